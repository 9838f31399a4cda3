//! Whether suggestions are followed.

use std::time::{Duration, Instant};

use murph::id::CourseId;
use reqwest::Method;
use serde_json::json;

use super::{
    HISTORY, School,
    models::asking,
    provider::{Act, Provider},
};
use crate::harness::{Person, Reply};

/// What is counted of a provider.
async fn followed(school: &School, provider: &str) -> u64 {
    let line = format!("murph_discovery_followed_total{{provider=\"{provider}\"}} ");
    let page = school.app.get("/metrics").await.text;
    let count = page.lines().find_map(|known| known.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Waits until so many are counted of the built-in provider, of which there are no more by then.
async fn counted(school: &School, count: u64) {
    let began = Instant::now();
    while followed(school, "built_in").await < count {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not counted");
        tokio::task::yield_now().await;
    }
    assert_eq!(followed(school, "built_in").await, count);
}

/// Starts a session and ends it.
async fn look_into(student: &Person, course: CourseId, key: Option<&str>) {
    let body = json!({"course_id": course});
    let start = async || -> Reply {
        match key {
            Some(key) => student.post_once("/sessions/start", key, body.clone()).await,
            None => student.post("/sessions/start", body.clone()).await,
        }
    };
    let started = start().await.is(201);
    if key.is_some() {
        assert!(start().await.is(201).is_replayed());
    }
    let id = started.body["session"]["id"].as_str().unwrap();
    student.post(&format!("/sessions/{id}/end"), json!({})).await.is(200);
}

/// Sessions are looked up in the order in which they start, so when a later one is counted, those
/// before it were not to be.
#[tokio::test]
async fn a_session_on_a_course_that_was_suggested_is_counted_once() {
    let school = School::open().await;
    let (guitar, cooking) =
        (school.find("Guitar for beginners").await, school.find("Cooking with spices").await);
    let other = school.app.student_with("50.00").await;
    look_into(&school.student, guitar, None).await;
    school.ask("guitar").await.is(200);
    look_into(&school.student, cooking, None).await;
    look_into(&other, guitar, None).await;
    look_into(&school.student, guitar, None).await;
    counted(&school, 1).await;
    // Each session counts, but not each request.
    look_into(&school.student, guitar, Some("once")).await;
    look_into(&school.student, guitar, None).await;
    counted(&school, 3).await;
    school.app.close().await;
}

#[tokio::test]
async fn a_suggestion_is_forgotten_with_the_time_and_with_its_chat() {
    let school = School::open().await;
    let (guitar, cooking) =
        (school.find("Guitar for beginners").await, school.find("Cooking with spices").await);
    let hours = |hours| school.app.app.clock.advance(Duration::from_hours(hours));
    school.ask("guitar").await.is(200);
    hours(7 * 24);
    look_into(&school.student, guitar, None).await;
    counted(&school, 1).await;
    school.later(1);
    look_into(&school.student, guitar, None).await;
    school.ask("guitar").await.is(200);
    school.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
    look_into(&school.student, guitar, None).await;
    school.ask("spices").await.is(200);
    look_into(&school.student, cooking, None).await;
    counted(&school, 2).await;
    school.app.close().await;
}

#[tokio::test]
async fn whoever_suggested_it_last_is_counted() {
    let provider = Provider::start(|heard| {
        let guitar = heard.course("Guitar for beginners");
        Act::pick("Begin with this.", [(guitar.as_str(), "It is for you.")])
    })
    .await;
    let school = asking(&[&provider], |config| config.ai.messages_per_day_all = 1).await;
    let (guitar, week) =
        (school.find("Guitar for beginners").await, school.find("Guitar chords in a week").await);
    let answer = school.ask("some guitar chords").await.is(200).body;
    assert_eq!(
        (&answer["provider"], answer["courses"].as_array().unwrap().len()),
        (&json!("openai"), 1)
    );
    look_into(&school.student, week, None).await;
    look_into(&school.student, guitar, None).await;
    // The model may not be asked any more today.
    let answer = school.ask("guitar").await.is(200).body;
    assert_eq!(answer["provider"], "built_in");
    look_into(&school.student, guitar, None).await;
    counted(&school, 1).await;
    assert_eq!(followed(&school, "openai").await, 1);
    school.app.close().await;
}
