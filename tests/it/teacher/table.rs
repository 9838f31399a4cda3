//! Long lists, and places in them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use murph::{
    domain::{
        course::Split,
        ledger::{JournalKind, Owner},
        user::Role,
    },
    money::Money,
};
use serde_json::json;

use super::{MINUTE, all, start, sum};
use crate::{
    harness::money,
    world::{
        GATEWAY, draft, insert_course, insert_user, open_wallet, post, post_between, session_of,
        settle_after, start_with, top_up,
    },
};

/// How many sessions are more than the table reads at a time.
const STUDENTS: usize = 50;
const ROUNDS: usize = 22;

#[tokio::test]
async fn of_entries_of_one_moment_none_gets_lost_between_two_readings() {
    let app = start().await;
    let teacher = app.teacher().await;
    let db = &app.app.db;
    let course = insert_course(db, teacher.id, money("1.00"), Split::default()).await;
    let mut students = Vec::new();
    for _ in 0..STUDENTS {
        let student = insert_user(db, Role::Student).await;
        open_wallet(db, &student).await;
        top_up(&app.app, student.id, money("100.00")).await.unwrap();
        students.push(student);
    }
    for _ in 0..ROUNDS {
        let sessions = students.iter().map(async |student| {
            let mut session = draft(student.id, &course);
            // So that it is not taken for one that nobody keeps.
            session.node_id = Some(app.app.node_id);
            let started = app.app.writer.submit(start_with(session, "30.00")).await;
            let ended = app.app.writer.submit(settle_after(&session_of(started), MINUTE)).await;
            session_of(ended)
        });
        let ended = join_all(sessions).await;
        assert!(ended.iter().all(|session| session.cost == money("1.00")));
    }
    let all_of_it = STUDENTS * ROUNDS;
    let posted = teacher.balance().await.0;
    assert_eq!(
        posted,
        Money::from_micros(1_000_000 * i64::try_from(all_of_it).unwrap()).to_string()
    );

    app.app.clock.advance(MINUTE * 2);
    let table = teacher.get("/teacher/earnings.csv").await.is(200).text;
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), all_of_it);
    assert!(rows.iter().all(|row| row[0] == rows[0][0]), "they are of one moment");
    let sessions: BTreeSet<&str> = rows.iter().map(|row| row[3]).collect();
    assert_eq!(sessions.len(), all_of_it);
    let total: Money = rows.iter().map(|row| money(row.last().unwrap())).sum();
    assert_eq!(total.to_string(), posted);

    let listed = all(&teacher, "by=session", 100).await;
    assert_eq!((listed.len(), sum(&listed, "total")), (all_of_it, posted));
    app.close().await;
}

#[tokio::test]
async fn what_was_not_earned_does_not_end_a_list() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let student = app.student_with("100.00").await;
    for _ in 0..3 {
        app.watched(&student, course, MINUTE * 10).await;
    }
    app.app.clock.advance(MINUTE);
    // Something that came back.
    let ends = [Owner::Gateway(GATEWAY.into()), Owner::Earnings(teacher.id)];
    let mut back = post_between(JournalKind::Reversal, "reversal:1".into(), ends, money("5.00"));
    back.journal.at = app.now();
    post(&app.app, back).await.unwrap();

    assert_eq!(teacher.balance().await.0, "32.00");
    for limit in 1..=4 {
        let found = all(&teacher, "by=session", limit).await;
        assert_eq!((found.len(), sum(&found, "total").as_str()), (3, "27.00"), "{limit}");
    }
    let page = teacher.get("/teacher/earnings?by=session&limit=2").await.is(200).body;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (2, &json!(true)));
    app.close().await;
}
