//! What looks bought, or is said to harm: who says it too often, together, or from one place.

use std::time::Duration;

use futures_util::future::join_all;
use murph::{
    db::{self, logins::NewLogin},
    domain::session::SessionStatus,
    id::{LoginId, UserId},
    money::Money,
};
use serde_json::json;

use super::{MINUTE, School, sign_in_from};
use crate::{
    harness::{Person, TestApp},
    world::execute,
};

#[tokio::test]
async fn nobody_votes_without_watching_or_endlessly() {
    let school = School::open(1).await;
    let (honest, hostile) =
        (school.app.student_with("30.00").await, school.app.student_with("30.00").await);
    let session = school.watched(&honest, 10, 1).await;
    school.review(&honest, &session, 5).await.is(201);

    // All of the course, and the one short session of the day that is free.
    school.watched(&hostile, 10, 1).await;
    let short = school.app.watched(&hostile, school.course, Duration::from_secs(5)).await;
    assert_eq!((short.status, short.cost), (SessionStatus::Cancelled, Money::ZERO));
    for _ in 0..8 {
        let nothing = school.watched(&hostile, 0, 0).await;
        assert_eq!((nothing.status, nothing.cost), (SessionStatus::Cancelled, Money::ZERO));
        school.review(&hostile, &nothing, 1).await.refused(409, "session_cancelled");
    }
    let course = school.course().await;
    assert_eq!((&course["rating"], &course["reviews"]), (&json!("5.00"), &json!(1)));

    // Nor with next to nothing.
    for nth in 1..=6 {
        let moment = school.app.watched(&hostile, school.course, Duration::from_millis(1)).await;
        assert_eq!(moment.status, SessionStatus::Completed);
        let review = school.review(&hostile, &moment, 1).await.is(201).body;
        assert_eq!(review["status"], if nth <= 3 { "published" } else { "held" }, "{nth}");
    }
    assert_eq!(school.course().await["reviews"], 4);
    let held = school.app.admin().await.get("/admin/reviews?status=held").await.is(200).body;
    assert_eq!(held["data"][0]["flags"][0]["flag"], "repeated_praise");
    school.app.close().await;
}

/// Signed in from where a proxy says.
async fn behind_a_proxy() -> School {
    School::open_with(1, |config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await
}

async fn student_at(school: &School, address: &str) -> Person {
    let student = school.app.student_with("30.00").await;
    sign_in_from(&school.app, &student, address).await;
    student
}

#[tokio::test]
async fn all_of_a_subscribers_addresses_are_one() {
    let school = behind_a_proxy().await;
    let everybody = "100.64.0.7";
    for address in ["2001:db8:1:2::1", everybody] {
        sign_in_from(&school.app, &school.teacher, address).await;
    }
    let neighbour = student_at(&school, "2001:db8:1:2::99").await;
    let elsewhere = student_at(&school, "2001:db8:1:200::1").await;
    sign_in_from(&school.app, &elsewhere, everybody).await;
    for (student, status) in [(&elsewhere, "published"), (&neighbour, "held")] {
        let session = school.watched(student, 10, 1).await;
        let review = school.review(student, &session, 4).await.is(201).body;
        assert_eq!(review["status"], status, "{review:#}");
    }
    school.app.close().await;
}

#[tokio::test]
async fn several_reviewers_at_one_address_are_held() {
    let school = behind_a_proxy().await;
    for (nth, address, status) in [
        (1, "203.0.113.50", "published"),
        (2, "203.0.113.50", "published"),
        (3, "203.0.113.51", "published"),
        (4, "203.0.113.50", "held"),
    ] {
        let student = student_at(&school, address).await;
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 4).await.is(201).body;
        assert_eq!(review["status"], status, "{nth}");
    }
    let held = school.app.admin().await.get("/admin/reviews?status=held").await.is(200).body;
    assert_eq!(held["data"][0]["flags"][0]["flag"], "shared_address");
    school.app.close().await;
}

/// Whoever looked up the reviewers before the others came must not have missed them.
#[tokio::test]
async fn neighbours_who_come_at_once_see_each_other() {
    let school = behind_a_proxy().await;
    let mut bodies = Vec::new();
    for _ in 0..6 {
        let student = student_at(&school, "203.0.113.50").await;
        let session = school.watched(&student, 10, 1).await;
        bodies.push((student, json!({"session_id": session.id, "rating": 4})));
    }
    let path = school.path();
    let sent = bodies.into_iter().map(async |(student, body)| student.post(&path, body).await);
    let sent = join_all(sent).await;
    let published = sent.into_iter().filter(|reply| reply.body["status"] == "published").count();
    assert_eq!(published, 2);
    school.app.close().await;
}

#[tokio::test]
async fn of_nobody_endlessly_many_addresses_are_read() {
    let app = TestApp::start().await;
    let (many, same, other) = (app.student().await, app.student().await, app.student().await);
    let mut tx = app.app.db.begin().await.unwrap();
    for nth in 0..150 {
        for (user, address) in
            [(&many, format!("203.0.113.{nth}")), (&same, "203.0.113.1".to_owned())]
        {
            let (created_at, expires_at) = (app.now(), app.now() + MINUTE);
            let id = LoginId::new(created_at);
            let login = NewLogin { id, user_id: user.id, address, created_at, expires_at };
            db::logins::insert(&mut tx, &login).await.unwrap();
        }
    }
    let found = db::logins::list_addresses(&mut tx, &[many.id, same.id, other.id]).await.unwrap();
    tx.commit().await.unwrap();
    let of = |user: UserId| {
        let mut found: Vec<&str> = found
            .iter()
            .filter(|(of, _)| *of == user)
            .map(|(_, address)| address.as_str())
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(of(many.id).len(), 100);
    // Also from where they registered.
    assert_eq!(of(same.id), ["127.0.0.1", "203.0.113.1"]);
    assert_eq!(of(other.id), ["127.0.0.1"]);
    app.close().await;
}

#[tokio::test]
async fn sessions_in_another_currency_are_sessions_too() {
    let school = School::open(1).await;
    let change = async |sql: &str| {
        let mut tx = school.app.app.db.begin().await.unwrap();
        execute(&mut tx, sql).await.unwrap();
        tx.commit().await.unwrap();
    };
    change("UPDATE courses SET currency = 'EUR', price_per_minute = 0").await;
    let crowd = school.app.student().await;
    for _ in 0..12 {
        school.watched(&crowd, 1, 0).await;
    }
    change("UPDATE courses SET currency = 'USD', price_per_minute = 1000000").await;
    for nth in 1..=10 {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 2, 1).await;
        let review = school.review(&student, &session, 4).await.is(201).body;
        assert_eq!(review["status"], "published", "{nth}: of less than half of the sessions");
    }
    school.app.close().await;
}
