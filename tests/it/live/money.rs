//! The hold of a session: grown, used up, filled again.

use std::time::Duration;

use serde_json::{Value, json};

use super::{School, player::Player};

#[tokio::test]
async fn the_hold_grows_by_itself_while_there_is_money() {
    let school = School::open("1.00", "3.00").await;
    let request = json!({"course_id": school.course, "lock_amount": "1.00"});
    let mut player = Player::start_with(&school.app, &school.student, request).await;
    player.play(0).await;
    player.watch(&school.app, 0, 45, 5).await;
    assert_eq!(school.student.balance().await.1, "1.00");
    player.watch(&school.app, 45_000, 5, 5).await;
    assert_eq!(player.told("extended").await["held"], "3.00");
    player.watch(&school.app, 50_000, 70, 5).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["cost"], "2.00");
    assert_eq!(school.student.balance().await.2, "1.00");
    school.app.close().await;
}

#[tokio::test]
async fn a_session_stops_at_exactly_its_hold_and_is_settled_later() {
    let school = School::open("1.00", "1.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 55, 5).await;
    assert!(player.told("low_balance").await["remaining_ms"].as_u64().unwrap() <= 30_000);
    school.app.app.clock.advance(Duration::from_secs(5));
    player.progress(60_000).await;
    assert_eq!(player.until("state").await["phase"], "suspended");
    school.app.app.clock.advance(Duration::from_mins(1));
    let tick = player.until("tick").await;
    assert_eq!((&tick["cost"], &tick["watched_ms"]), (&json!("1.00"), &json!(60_000)));
    school.app.app.clock.advance(Duration::from_secs(61));
    let (receipt, code) = player.last("receipt").await;
    assert_eq!((&receipt["end_reason"], code), (&json!("funds_exhausted"), 1000));
    assert_eq!(receipt["cost"], "1.00");
    school.app.close().await;
}

#[tokio::test]
async fn money_that_comes_in_wakes_a_suspended_session() {
    let school = School::open("1.00", "1.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 55, 5).await;
    school.app.app.clock.advance(Duration::from_secs(8));
    loop {
        if player.until("state").await["phase"] == "suspended" {
            break;
        }
    }
    school.student.top_up_more("5.00").await;
    assert_eq!(player.until("extended").await["held"], "6.00");
    assert_eq!(player.until("state").await["phase"], "playing");
    school.app.app.clock.advance(Duration::from_secs(5));
    player.progress(66_000).await;
    player.tick_where(|tick| tick["watched_ms"] == 65_000).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["watched_ms"], 65_000);
    school.app.close().await;
}

#[tokio::test]
async fn the_spending_cap_is_never_passed() {
    let school = School::open("1.00", "50.00").await;
    let request =
        json!({"course_id": school.course, "lock_amount": "1.00", "spending_cap": "1.50"});
    let mut player = Player::start_with(&school.app, &school.student, request).await;
    player.play(0).await;
    player.watch(&school.app, 0, 60, 5).await;
    assert_eq!(player_held(&mut player).await, "1.50");
    player.say(json!({"type": "extend", "amount": "1.00"})).await;
    assert_eq!(player.until("error").await["code"], "out_of_range");
    player.watch(&school.app, 60_000, 25, 5).await;
    school.app.app.clock.advance(Duration::from_secs(10));
    assert_eq!(player.tick_where(|tick| tick["cost"] == "1.50").await["remaining_ms"], 0);
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["cost"], "1.50");
    school.app.close().await;
}

async fn player_held(player: &mut Player) -> Value {
    player.until("tick").await["held"].clone()
}

#[tokio::test]
async fn a_player_may_ask_for_more_but_not_for_what_is_not_there() {
    let school = School::open("1.00", "10.00").await;
    let request = json!({"course_id": school.course, "lock_amount": "2.00", "auto_extend": false});
    let mut player = Player::start_with(&school.app, &school.student, request).await;
    player.say(json!({"type": "extend", "amount": "3.00"})).await;
    assert_eq!(player.until("extended").await["held"], "5.00");
    player.say(json!({"type": "extend", "amount": "5.01"})).await;
    assert_eq!(player.until("error").await["code"], "insufficient_funds");
    for amount in ["0", "-1", "1e400", "0.0000001"] {
        player.say(json!({"type": "extend", "amount": amount})).await;
        let error = player.until("error").await;
        assert_eq!((&error["code"], &error["terminal"]), (&json!("invalid"), &json!(false)));
    }
    assert_eq!(school.student.balance().await.1, "5.00");
    player.say(json!({"type": "end"})).await;
    player.last("receipt").await;
    school.app.close().await;
}

#[tokio::test]
async fn a_free_course_is_metered_and_costs_nothing() {
    let school = School::open("0.00", "1.00").await;
    let mut player = school.play().await;
    player.play(0).await;
    player.watch(&school.app, 0, 300, 5).await;
    player.say(json!({"type": "end"})).await;
    let (receipt, _) = player.last("receipt").await;
    assert_eq!((&receipt["cost"], &receipt["watched_ms"]), (&json!("0.00"), &json!(300_000)));
    assert_eq!(school.student.balance().await.0, "1.00");
    school.app.close().await;
}
