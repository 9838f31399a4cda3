//! The life of a session, from its start to its receipt, by every way out.

use std::time::Duration;

use murph::{
    bus::Heard,
    db,
    domain::{claim::Claim, session::Session},
    service::nodes,
};
use serde_json::json;

use super::{School, player::Player};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn watching_pays_the_teacher_and_frees_the_rest() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    assert_eq!(school.student.balance().await.1, "30.00", "held");
    player.play(0).await;
    player.watch(&school.app, 0, 300, 5).await;
    player.say(json!({"type": "end"})).await;
    let (receipt, code) = player.last("receipt").await;
    assert_eq!(code, 1000);
    assert_eq!(receipt["cost"], "3.00", "{receipt:#}");
    assert_eq!(receipt["watched_ms"], 300_000);
    assert_eq!(receipt["end_reason"], "ended_by_student");
    let (posted, held, available) = school.student.balance().await;
    assert_eq!((posted.as_str(), held.as_str(), available.as_str()), ("47.00", "0.00", "47.00"));
    assert_eq!(school.teacher.balance().await.0, "2.70");
    school.app.close().await;
}

#[tokio::test]
async fn only_proven_time_is_charged() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 120, 5).await;
    // Silence: one tick past the last proof, and not a moment more.
    school.app.app.clock.advance(MINUTE);
    let tick = player.tick_where(|tick| tick["watched_ms"] == 125_000).await;
    assert_eq!(tick["cost"], "1.25");
    player.say(json!({"type": "pause"})).await;
    while player.until("state").await["phase"] != "paused" {}
    school.app.app.clock.advance(MINUTE);
    player.say(json!({"type": "end"})).await;
    let (receipt, _) = player.last("receipt").await;
    assert_eq!(receipt["watched_ms"], 125_000);
    let kinds: Vec<_> =
        receipt["stretches"].as_array().unwrap().iter().map(|s| &s["kind"]).collect();
    assert!(kinds.contains(&&json!("silent")) && kinds.contains(&&json!("paused")), "{kinds:?}");
    school.app.close().await;
}

#[tokio::test]
async fn a_short_session_is_free_once() {
    let school = School::open("0.60", "50.00").await;
    for (cost, status) in [("0.00", "cancelled"), ("0.20", "completed")] {
        let mut player = school.play().await;
        player.play(0).await;
        player.watch(&school.app, 0, 20, 5).await;
        player.say(json!({"type": "end"})).await;
        let (receipt, _) = player.last("receipt").await;
        assert_eq!((&receipt["cost"], &receipt["status"]), (&json!(cost), &json!(status)));
    }
    school.app.close().await;
}

#[tokio::test]
async fn a_lost_connection_goes_on_where_it_was() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 60, 5).await;
    let id = player.session_id;
    player.drop_out();
    let (mut player, hello) = Player::return_to(&school.app, &school.student, id).await;
    assert_eq!(hello["watched_ms"], 60_000);
    assert_eq!(hello["phase"], "paused");
    player.play(60_000).await;
    player.watch(&school.app, 60_000, 60, 5).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["cost"], "1.20");
    school.app.close().await;
}

#[tokio::test]
async fn whoever_does_not_come_back_is_settled_after_the_grace() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 90, 5).await;
    let path = format!("/sessions/{}", player.session_id);
    player.drop_out();
    // First it is found to be gone, then the grace passes.
    school.until_phase(&path, "detached").await;
    school.app.app.clock.advance(Duration::from_secs(29));
    assert_eq!(school.student.get(&path).await.body["status"], "active");
    school.app.app.clock.advance(Duration::from_secs(2));
    let session = school.until_ended(&path).await;
    assert_eq!(session["end_reason"], "disconnected");
    assert_eq!(session["cost"], "0.90");
    school.app.close().await;
}

#[tokio::test]
async fn who_never_comes_pays_nothing() {
    let school = School::open("0.60", "50.00").await;
    let reply = school.student.post("/sessions/start", json!({"course_id": school.course})).await;
    let path = format!("/sessions/{}", reply.body["session"]["id"].as_str().unwrap());
    school.app.app.clock.advance(MINUTE);
    let session = school.until_ended(&path).await;
    assert_eq!(session["end_reason"], "never_started");
    assert_eq!(session["status"], "cancelled");
    assert_eq!(school.student.balance().await.2, "50.00");
    school.app.close().await;
}

#[tokio::test]
async fn twelve_hours_are_enough() {
    let school = School::open("0.00", "1.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.until("tick").await;
    school.app.app.clock.advance(Duration::from_hours(12));
    assert_eq!(player.last("receipt").await.0["end_reason"], "max_duration");
    school.app.close().await;
}

#[tokio::test]
async fn an_end_by_rest_is_told_on_the_socket() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 100, 5).await;
    let path = format!("/sessions/{}/end", player.session_id);
    let receipt = school.student.post(&path, json!({})).await.is(200).body;
    assert_eq!(receipt["cost"], "1.00");
    let (told, code) = player.last("receipt").await;
    assert_eq!((&told["cost"], code), (&json!("1.00"), 1000));
    school.app.close().await;
}

#[tokio::test]
async fn signing_out_ends_what_was_watched_with_it() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 100, 5).await;
    school.student.post("/auth/logout", json!({})).await.is(204);
    let (receipt, code) = player.last("receipt").await;
    assert_eq!((&receipt["end_reason"], code), (&json!("logged_out"), 1000));
    assert_eq!(receipt["cost"], "1.00");
    school.app.close().await;
}

#[tokio::test]
async fn signing_out_elsewhere_ends_nothing() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    let elsewhere = school.app.log_in(&school.student.email, crate::harness::PASSWORD).await;
    elsewhere.post("/auth/logout", json!({})).await.is(204);
    player.watch(&school.app, 0, 20, 5).await;
    assert_eq!(school.session(&player).await["status"], "active");
    school.app.close().await;
}

#[tokio::test]
async fn of_two_sockets_the_newest_wins_and_time_counts_once() {
    let school = School::open("0.60", "50.00").await;
    let mut first = school.play().await;
    first.play(0).await;
    first.watch(&school.app, 0, 60, 5).await;
    let (mut second, hello) =
        Player::return_to(&school.app, &school.student, first.session_id).await;
    assert_eq!(hello["watched_ms"], 60_000);
    assert_eq!(first.last("superseded").await.1, 4003);
    second.play(60_000).await;
    second.watch(&school.app, 60_000, 60, 5).await;
    second.say(json!({"type": "end"})).await;
    assert_eq!(second.last("receipt").await.0["watched_ms"], 120_000);
    school.app.close().await;
}

#[tokio::test]
async fn stopping_the_server_settles_nobody_and_the_next_one_goes_on() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 60, 5).await;
    let id = player.session_id;
    let School { app, student, .. } = school;
    let now = app.now();
    let (mut messages, database) =
        tokio::join!(player.closed(), async { app.close_and_keep().await });
    assert_eq!(messages.1, 1012);
    assert_eq!(messages.0.pop().unwrap()["type"], "drain");

    let app = crate::harness::TestApp::start_on(database, |_| {}).await;
    app.app.clock.advance(now.since(app.now()) + Duration::from_secs(20));
    let student = app.log_in(&student.email, crate::harness::PASSWORD).await;
    let (mut player, hello) = Player::return_to(&app, &student, id).await;
    assert_eq!(hello["watched_ms"], 60_000);
    player.play(60_000).await;
    player.watch(&app, 60_000, 60, 5).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["cost"], "1.20");
    app.close().await;
}

/// The session in the database, claimed once more: as by somebody whom `school`'s node has not heard
/// of, who has seen so much of it `watched`.
async fn claimed_unheard(school: &School, player: &Player, watched: Option<Duration>) {
    let app = &school.app.app;
    let known = row(school, player).await;
    let claim = Claim {
        session_id: known.id,
        fence: known.fence,
        login_id: known.login_id,
        watched: watched.unwrap_or(known.watched),
        stretches: known.stretches,
    };
    app.claims.claim(claim).await.unwrap().expect("nobody else wants it");
    app.bus.tell_here(Heard::Gap);
}

async fn row(school: &School, player: &Player) -> Session {
    let mut tx = school.app.app.db.read().await.unwrap();
    db::sessions::find(&mut tx, player.session_id).await.unwrap().unwrap()
}

/// The commit went through, its answer did not: the database knows a newer fence than we do.
#[tokio::test]
async fn a_claim_whose_answer_was_lost_loses_nothing_that_is_watched() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 60, 5).await;
    claimed_unheard(&school, &player, None).await;
    let app = &school.app.app;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while nodes::last_known(app, &row(&school, &player).await).await.unwrap().watched < MINUTE {
        assert!(std::time::Instant::now() < deadline, "no checkpoint under the newer fence");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    player.watch(&school.app, 60_000, 60, 5).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["watched_ms"], 120_000);
    school.app.close().await;
}

/// It went to another node and back while nobody here heard of it.
#[tokio::test]
async fn what_was_watched_elsewhere_is_not_forgotten_for_what_is_left_here() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 60, 5).await;
    school.app.app.clock.advance(2 * MINUTE);
    claimed_unheard(&school, &player, Some(2 * MINUTE)).await;
    assert_eq!(player.closed().await.1, 1012, "come back");
    let (mut player, hello) =
        Player::return_to(&school.app, &school.student, player.session_id).await;
    assert_eq!(hello["watched_ms"], 120_000);
    player.play(120_000).await;
    player.watch(&school.app, 120_000, 30, 5).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["watched_ms"], 150_000);
    school.app.close().await;
}
