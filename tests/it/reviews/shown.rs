//! What everybody sees of reviews.

use serde_json::{Value, json};

use super::School;

#[tokio::test]
async fn a_rating_is_the_mean_of_ratings_by_their_weights() {
    let school = School::open(2).await;
    // 1.0 x 4 stars; 0.75 x 3 stars, of whom watched half; nothing for five stars after a tenth.
    for (minutes, videos, stars, weight, rating) in [
        (20, 2, 4, "1.000000", "4.00"),
        (10, 1, 3, "0.750000", "3.57"),
        (2, 0, 5, "0.000000", "3.57"),
    ] {
        let student = school.app.student_with("30.00").await;
        let session = school.watched(&student, minutes, videos).await;
        let review = school.review(&student, &session, stars).await.is(201).body;
        assert_eq!(review["status"], "published");
        assert_eq!(review["credibility"]["weight"], weight, "{review:#}");
        assert_eq!(school.course().await["rating"], rating, "(4 + 0.75 x 3) / 1.75");
    }
    assert_eq!(school.course().await["reviews"], 3, "one of them counts for nothing");
    school.app.close().await;
}

#[tokio::test]
async fn whoever_is_gone_is_not_named_any_more() {
    let school = School::open(1).await;
    let admin = school.app.admin().await;
    let student = school.app.student_with("30.00").await;
    let session = school.watched(&student, 10, 1).await;
    let review = school.review(&student, &session, 4).await.is(201).body;
    assert_eq!(review["student_name"], "Somebody");
    let path = format!("/users/{}", student.id);
    for (status, name) in
        [("suspended", json!("Somebody")), ("deleted", Value::Null), ("active", json!("Somebody"))]
    {
        admin.put(&path, json!({"status": status})).await.is(200);
        let listed = school.app.get(&format!("/api/v1{}", school.path())).await.is(200).body;
        assert_eq!(listed["data"][0]["student_name"], name, "{status}");
        let one = format!("/reviews/{}", review["id"].as_str().unwrap());
        assert_eq!(school.teacher.get(&one).await.is(200).body["student_name"], name, "{status}");
    }
    school.app.close().await;
}
