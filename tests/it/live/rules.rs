//! What a player may not say, and what it gets for it. None of it costs anybody anything.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::School;

/// Nothing was charged, whatever was said.
async fn close_free(school: School) {
    assert_eq!(school.student.balance().await.0, "50.00");
    assert_eq!(school.teacher.balance().await.0, "0.00");
    school.app.close().await;
}

#[tokio::test]
async fn what_is_no_message_closes_the_socket() {
    for (message, close) in [
        (Message::binary(vec![1, 2, 3]), 4009),
        (Message::text("x".repeat(5 * 1024)), 1009),
        (Message::text("{\"type\":"), 4009),
        (Message::text("[]"), 4009),
        (Message::text("{\"type\":\"play\",\"type\":\"end\"}"), 4009),
    ] {
        let school = School::open("0.60", "50.00").await;
        let mut player = school.play().await;
        player.say_raw(message).await;
        let (error, code) = player.last("error").await;
        assert_eq!(code, close, "{error}");
        assert_eq!(error["terminal"], true);
        assert_eq!(school.session(&player).await["status"], "active");
        close_free(school).await;
    }
}

#[tokio::test]
async fn what_is_a_message_but_wrong_is_answered_with_an_error() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    for (message, code) in [
        (json!({"type": "dance"}), "unknown_type"),
        (json!({"type": "play"}), "invalid"),
        (json!({"type": "play", "position_ms": -1}), "invalid"),
        (json!({"type": "play", "position_ms": "5"}), "invalid"),
        (json!({"type": "play", "position_ms": 1.5}), "invalid"),
        (json!({"type": "extend"}), "invalid"),
        (
            json!({"type": "progress", "position_ms": 1, "video_id": "01890000-0000-7000-8000-000000000000"}),
            "unknown_video",
        ),
    ] {
        player.say(message.clone()).await;
        let error = player.until("error").await;
        assert_eq!(error["code"], code, "{message} {error}");
        assert_eq!(error["terminal"], false);
    }
    // And it goes on.
    player.play(0).await;
    player.say(json!({"type": "end"})).await;
    player.last("receipt").await;
    close_free(school).await;
}

#[tokio::test]
async fn positions_that_cannot_be_prove_nothing() {
    let school = School::open("0.60", "50.00").await;
    let mut player = school.play().await;
    for position in [3_600_000_u64, 0, 1_000_000_000_000_000_000, 5] {
        player.play(10_000).await;
        school.app.app.clock.advance(std::time::Duration::from_secs(5));
        player.progress(position).await;
        assert_eq!(player.until("error").await["code"], "implausible_position");
        player.say(json!({"type": "pause"})).await;
        let tick = player.tick_where(|tick| tick["seq"].as_u64().unwrap() > 0).await;
        assert_eq!(tick["cost"], "0.00", "{position}");
    }
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["watched_ms"], 0);
    close_free(school).await;
}

#[tokio::test]
async fn a_thousand_messages_at_once_are_too_many() {
    let school = School::open_with("0.60", "50.00", |c| c.live.messages_per_second_max = 10).await;
    let mut player = school.play().await;
    player.flood(r#"{"type":"pause"}"#, 1_000).await;
    let (error, code) = player.last("error").await;
    assert_eq!((&error["code"], code), (&json!("too_many_messages"), 4029));
    close_free(school).await;
}
