//! What a teacher's reviews come to.

use murph::{id::CourseId, service::earnings};
use serde_json::{Value, json};

use super::School;
use crate::{harness::Person, teacher::kept, world::execute};

const SUMMARY: &str = "/teacher/reviews/summary";

async fn summary(teacher: &Person, course: Option<&CourseId>) -> Value {
    let query = course.map(|id| format!("?course_id={id}")).unwrap_or_default();
    teacher.get(&format!("{SUMMARY}{query}")).await.is(200).body
}

/// As many of each rating, from one star to five.
fn ratings(counts: [u64; 5]) -> Value {
    let one = |(stars, count)| json!({"rating": stars, "count": count});
    (1..=5).zip(counts).map(one).collect()
}

#[tokio::test]
async fn a_teacher_sees_what_all_reviews_come_to_and_those_of_each_course() {
    let mut school = School::open(1).await;
    let nothing = json!({
        "count": 0, "held": 0, "ratings": ratings([0; 5]), "average_rating": null, "rating": null,
        "average_credibility": null,
    });
    assert_eq!(summary(&school.teacher, None).await, nothing);
    let first = school.course;
    // Watched whole: 1, 0.9125 and 0.65 are the credibilities of these.
    for rating in [5, 4, 1] {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, 10, 1).await;
        school.review(&student, &session, rating).await.is(201);
    }
    school.move_to_another_course().await;
    let student = school.app.student_with("30.00").await;
    // A tenth of it, and no video: 0.04 + 0.35 x 0.35 + 0.015.
    let session = school.watched(&student, 1, 0).await;
    school.review(&student, &session, 4).await.is(201);

    let of_first = summary(&school.teacher, Some(&first)).await;
    assert_eq!(
        of_first,
        json!({
            "count": 3, "held": 0, "ratings": ratings([1, 0, 0, 1, 1]),
            // 10 / 3, and (5 + 4 + 0.65) / 2.65
            "average_rating": "3.33", "rating": "3.64", "average_credibility": "0.854166",
        })
    );
    let path = format!("/api/v1/courses/{first}");
    assert_eq!(school.app.get(&path).await.is(200).body["rating"], of_first["rating"]);
    let of_second = summary(&school.teacher, Some(&school.course)).await;
    assert_eq!(
        of_second,
        json!({
            "count": 1, "held": 0, "ratings": ratings([0, 0, 0, 1, 0]),
            "average_rating": "4.00", "rating": null, "average_credibility": "0.177500",
        })
    );
    let all = summary(&school.teacher, None).await;
    assert_eq!((&all["count"], &all["ratings"]), (&json!(4), &ratings([1, 0, 0, 2, 1])));
    assert_eq!((&all["average_rating"], &all["rating"]), (&json!("3.50"), &json!("3.64")));
    assert_eq!(all["average_credibility"], "0.685000");
    let other = school.app.teacher().await;
    assert_eq!(summary(&other, None).await, nothing);
    school.app.close().await;
}

#[tokio::test]
async fn what_is_held_or_rejected_is_in_no_average() {
    let school = School::open(2).await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("30.00").await;
    // Praise after a minute of twenty.
    let session = school.watched(&student, 1, 0).await;
    let review = school.review(&student, &session, 5).await.is(201).body;
    let path = format!("/admin/reviews/{}", review["id"].as_str().unwrap());
    let because = json!({"reason": "I have looked at it."});
    let mut seen = vec![summary(&school.teacher, None).await];
    // Said again, it is counted once.
    for verdict in ["approve", "approve", "reject", "reject", "approve"] {
        admin.post(&format!("{path}/{verdict}"), because.clone()).await.is(200);
        seen.push(summary(&school.teacher, Some(&school.course)).await);
    }
    let figures = seen.iter().map(|seen| (&seen["count"], &seen["held"], &seen["average_rating"]));
    let (held, published) = ((0, 1, Value::Null), (1, 0, json!("5.00")));
    let rejected = (0, 0, Value::Null);
    let expected = [&held, &published, &published, &rejected, &rejected, &published];
    for (seen, (count, held, average)) in figures.zip(expected) {
        assert_eq!(seen, (&json!(count), &json!(held), average));
    }
    school.app.close().await;
}

#[tokio::test]
async fn only_ones_own_courses_are_summed_up() {
    let school = School::open(1).await;
    let (other, student) = (school.app.teacher().await, school.app.student_with("30.00").await);
    let session = school.watched(&student, 10, 1).await;
    school.review(&student, &session, 4).await.is(201);
    let nowhere = CourseId::new(school.app.now());
    for (person, course, status, code) in [
        (&other, school.course.to_string(), 404, "not_found"),
        (&school.teacher, nowhere.to_string(), 404, "not_found"),
        (&school.teacher, "Rust".to_owned(), 422, "invalid"),
        (&student, school.course.to_string(), 403, "forbidden"),
    ] {
        person.get(&format!("{SUMMARY}?course_id={course}")).await.refused(status, code);
    }
    school.teacher.get(&format!("{SUMMARY}?by=day")).await.refused(422, "invalid");
    // Its reviews stay when it goes.
    let path = format!("/courses/{}", school.course);
    school.teacher.send(reqwest::Method::DELETE, &path, None, &[]).await.is(204);
    let deleted = summary(&school.teacher, Some(&school.course)).await;
    assert_eq!(deleted, summary(&school.teacher, None).await);
    assert_eq!(deleted["count"], 1);
    school.app.close().await;
}

#[tokio::test]
async fn the_sums_of_ratings_are_checked_and_made_anew() {
    let school = School::open(1).await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 10, 1).await;
    school.review(&student, &session, 4).await.is(201);
    let admin = school.app.admin().await;
    let before = kept(&school.app).await;
    let shown = summary(&school.teacher, None).await;
    for spoil in [
        "DELETE FROM course_ratings",
        "UPDATE course_ratings SET rating = 5",
        "UPDATE course_ratings SET reviews = 2",
        "UPDATE course_ratings SET credibility = credibility + 1",
        "UPDATE course_ratings SET weight = 0",
        "UPDATE course_ratings SET teacher_id = (SELECT student_id FROM sessions)",
    ] {
        let mut tx = school.app.app.db.begin().await.unwrap();
        execute(&mut tx, spoil).await.unwrap();
        tx.commit().await.unwrap();
        let report = admin.get("/admin/ledger/check").await.is(200).body;
        let found = report["findings"].as_array().unwrap();
        let subject = format!("course {}", school.course);
        let is_it = |found: &Value| found["invariant"] == "I13" && found["subject"] == subject;
        assert!(found.iter().any(is_it), "{spoil}: {found:?}");
        earnings::rebuild(&school.app.app.db).await.unwrap();
        assert_eq!(kept(&school.app).await, before, "{spoil}");
        assert_eq!(summary(&school.teacher, None).await, shown, "{spoil}");
    }
    school.app.close().await;
}
