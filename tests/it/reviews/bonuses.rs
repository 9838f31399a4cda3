//! What good reviews bring: paid once, in turn, and found in every history.

use futures_util::future::join_all;
use murph::{
    db,
    domain::{
        review::{Behaviour, BonusStatus, Rating, Review, ReviewStatus, judge},
        session::Session,
    },
    id::ReviewId,
    service::{earnings, reviews},
};
use serde_json::{Value, json};

use super::{MINUTE, School, rich_school};
use crate::{harness::Person, teacher::kept, world::execute};

/// A review of `session` that could not be better, whose bonus waits.
async fn insert_waiting(school: &School, session: &Session) {
    let behaviour = Behaviour {
        watched_ms: 600_000,
        session_ms: 600_000,
        course_ms: 600_000,
        videos_watched: 1,
        videos: 1,
    };
    let rating = Rating::try_from(5).unwrap();
    let (credibility, bonus) = judge(rating, behaviour, session.cost);
    let now = school.app.now();
    let review = Review {
        id: ReviewId::new(now),
        session_id: session.id,
        course_id: session.course_id,
        teacher_id: session.teacher_id,
        student_id: session.student_id,
        rating,
        text: String::new(),
        credibility,
        status: ReviewStatus::Published,
        flags: vec![],
        bonus,
        currency: session.terms.currency,
        bonus_status: BonusStatus::Waiting,
        contest: None,
        decision: None,
        created_at: now,
    };
    let mut tx = school.app.app.db.begin().await.unwrap();
    db::reviews::insert(&mut tx, &review).await.unwrap();
    let standing = review.standing();
    db::reviews::add_standing(&mut tx, review.course_id, standing, true).await.unwrap();
    db::ratings::add(&mut tx, &review, true).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_backlog_is_paid_in_one_go() {
    let school = rich_school().await;
    let student = school.app.student_with("500.00").await;
    for _ in 0..150 {
        let session = school.app.watched(&student, school.course, MINUTE).await;
        insert_waiting(&school, &session).await;
    }
    assert_eq!(school.earned().await, "75.00");
    let paid = reviews::pay_waiting(&school.app.app, school.app.now()).await.unwrap();
    assert_eq!(paid, 150);
    assert_eq!(school.earned().await, "97.50", "15 % of each");
    school.app.close().await;
}

#[tokio::test]
async fn money_for_one_bonus_pays_one_however_many_ask_at_once() {
    let mut school = School::open(1).await;
    let mut reviews = Vec::new();
    // The platform gets 1.00 of each session; each bonus is 1.50. Two courses, so that neither
    // review waits for the other.
    for _ in 0..2 {
        school.move_to_another_course().await;
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 10, 1).await;
        reviews.push((student, school.path(), json!({"session_id": session.id, "rating": 5})));
    }
    let sent = reviews
        .into_iter()
        .map(async |(student, path, body)| student.post(&path, body).await.is(201).body);
    let mut sent: Vec<Value> =
        join_all(sent).await.into_iter().map(|review| review["bonus_status"].clone()).collect();
    sent.sort_by_key(Value::to_string);
    assert_eq!(sent, ["paid", "waiting"]);
    assert_eq!(school.earned().await, "19.50", "twice 9.00, and one bonus");
    school.app.close().await;
}

/// The types of what is in somebody's history, in pages of one.
async fn history(person: &Person, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/payments/transactions?limit=1{query}{cursor}");
        let page = person.get(&path).await.is(200).body;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn types(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_bonus_is_in_the_history_of_who_paid_it_and_of_who_got_it() {
    let school = rich_school().await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("100.00").await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 5).await.is(201).body;
        assert_eq!(review["bonus_status"], "paid");
        sessions.push(session.id);
    }
    let paid = history(&admin, "&type=quality_bonus").await;
    assert_eq!(paid.len(), 2);
    assert!(paid.iter().all(|entry| entry["amount"] == "1.50"), "{paid:#?}");
    assert_eq!(paid[0]["session_id"], json!(sessions[1]), "newest first");
    assert_eq!(types(&history(&admin, "").await), ["quality_bonus", "fee", "quality_bonus", "fee"]);
    for session in sessions {
        let of_session = format!("&session_id={session}");
        let entries = history(&school.teacher, &of_session).await;
        assert_eq!(types(&entries), ["quality_bonus", "earning"]);
        assert_eq!(types(&history(&admin, &of_session).await), ["quality_bonus", "fee"]);
    }
    school.app.close().await;
}

#[tokio::test]
async fn a_teacher_for_whom_a_bonus_may_yet_come_stays_one() {
    let school = rich_school().await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("100.00").await;
    let mut last = Value::Null;
    for _ in 0..4 {
        let session = school.watched(&student, 10, 1).await;
        last = school.review(&student, &session, 5).await.is(201).body;
    }
    assert_eq!((&last["status"], &last["bonus"]), (&json!("held"), &json!("1.50")));
    let pay_out = async || {
        let all = json!({"amount": school.earned().await});
        school.teacher.post("/payments/payouts", all).await.is(201);
    };
    pay_out().await;
    let path = format!("/users/{}", school.teacher.id);
    let leave = async || admin.put(&path, json!({"role": "student"})).await;
    let refused = leave().await;
    refused.refused(422, "invalid");
    assert_eq!(refused.body["param"], "role");

    let approve = format!("/admin/reviews/{}/approve", last["id"].as_str().unwrap());
    admin.post(&approve, json!({"reason": "A fan."})).await.is(200);
    // With the bonus alone there is too little to be paid out.
    school.watched(&student, 20, 1).await;
    pay_out().await;
    leave().await.is(200);
    school.app.close().await;
}

/// Whose reviews the check complains about after `sql`, of which nothing is kept.
async fn complaints(school: &School, sql: &str) -> Vec<String> {
    let mut tx = school.app.app.db.begin().await.unwrap();
    execute(&mut tx, sql).await.unwrap();
    let report = db::audit::check(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    let of_reviews = report.findings.into_iter().filter(|finding| finding.invariant == "I13");
    let of_reviews = of_reviews.filter(|finding| finding.subject.starts_with("review "));
    of_reviews.map(|finding| finding.subject).collect()
}

#[tokio::test]
async fn a_bonus_that_does_not_follow_from_its_review_is_found() {
    for (school, status) in [(rich_school().await, "paid"), (School::open(1).await, "waiting")] {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 10, 1).await;
        let review = school.review(&student, &session, 5).await.is(201).body;
        assert_eq!(review["bonus_status"], status);
        let review = format!("review {}", review["id"].as_str().unwrap());
        for sql in ["rating = 3", "credibility = 699999", "bonus = bonus * 2", "bonus = bonus / 4"]
        {
            let found = complaints(&school, &format!("UPDATE reviews SET {sql}")).await;
            assert!(found.contains(&review), "{status}, {sql}: {found:?}");
        }
        for forgotten in ["none", "waiting"] {
            let sql = format!("bonus_status = '{forgotten}', journal_id = NULL");
            let found = complaints(&school, &format!("UPDATE reviews SET {sql}")).await;
            assert_eq!(found.contains(&review), status == "paid", "{status}, {sql}: {found:?}");
            // The review is another than the one it was paid for, which a step back of the schema
            // has taken away.
            let later = "created_at = (SELECT MAX(expires_at) FROM logins)";
            let found = complaints(&school, &format!("UPDATE reviews SET {sql}, {later}")).await;
            assert_eq!(found, [""; 0], "{status}, {sql}");
        }
        school.app.close().await;
    }
}

#[tokio::test]
async fn sums_are_rebuilt_with_bonuses() {
    let school = rich_school().await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 10, 1).await;
    school.app.app.clock.advance(MINUTE * 20);
    let review = school.review(&student, &session, 5).await.is(201).body;
    assert_eq!(review["bonus_status"], "paid");
    let before = kept(&school.app).await;
    // The bonus, in a quarter of an hour of its own, and in all.
    assert!(before.iter().any(|row| row.ends_with(" 0 0 0 0 1500000")), "{before:#?}");
    assert!(before.iter().any(|row| row.ends_with(" 10000000 5000000 1500000")), "{before:#?}");
    let mut tx = school.app.app.db.begin().await.unwrap();
    let spoil = "UPDATE earnings_quarters SET bonus = 0; UPDATE course_earnings SET bonus = 0";
    execute(&mut tx, spoil).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(kept(&school.app).await, before);
    earnings::rebuild(&school.app.app.db).await.unwrap();
    assert_eq!(kept(&school.app).await, before);
    school.app.close().await;
}
