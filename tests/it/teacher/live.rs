//! What a live view asks, and of whom: it holds up nobody, and the database is not asked for nothing.

use std::time::Duration;

use murph::{
    bus::{Notice, To},
    domain::audience::{Audience, Count, parts},
    id::{CourseId, NodeId},
    money::Money,
};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{DEADLINE, Events, start};
use crate::{
    harness::{Person, TestApp},
    live::player::Player,
    world::{execute, usd},
};

/// Has another node tell that so many watch each of so many courses.
fn tell_of(
    app: &TestApp,
    teacher: &Person,
    (node, round): (NodeId, u64),
    courses: u128,
    viewers: u64,
) {
    let audience = Audience { viewers, pending: Money::from_micros(7) };
    let key = |nth| (teacher.id, CourseId::from_uuid(uuid::Uuid::from_u128(nth)), usd());
    let count: Count = (0..courses).map(|nth| (key(nth), audience)).collect();
    for part in parts(round, count) {
        app.app.audience.hear(&app.app, node, part);
    }
}

#[tokio::test]
async fn a_view_asks_for_its_sign_in_when_one_has_ended_and_not_all_the_time() {
    let app = start().await;
    let teacher = app.teacher().await;
    let node = NodeId::new(app.now());
    let mut events = Events::open(&teacher, &app, None).await;
    events.until(|event| event["viewers"] == 0).await;
    // Nobody has said so yet.
    let mut tx = app.app.db.begin().await.unwrap();
    let end = "UPDATE logins SET ended_at = created_at, end_reason = 'logged_out'";
    execute(&mut tx, end).await.unwrap();
    tx.commit().await.unwrap();
    for viewers in 1..=5 {
        tell_of(&app, &teacher, (node, viewers), 1, viewers);
        events.until(|event| event["viewers"] == viewers).await;
    }
    app.app.bus.publish(To::All, Notice::SignedOut { user_id: teacher.id });
    while events.next().await.is_some() {}
    app.close().await;
}

/// A live view of which not a byte is read.
async fn unread(app: &TestApp, teacher: &Person) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    let head = format!(
        "GET /api/v1/teacher/live HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        app.address, teacher.access_token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn whoever_does_not_read_a_view_slows_neither_players_nor_other_views() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "0.60").await;
    let student = app.student_with("30.00").await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(unread(&app, &teacher).await);
    }
    let mut player = Player::start(&app, &student, course).await;
    player.play(0).await;
    // Each event is more than a hundred kilobytes, so that no buffer takes in what nobody reads.
    let node = NodeId::new(app.now());
    for round in 1..=40 {
        tell_of(&app, &teacher, (node, round), 1_000, round);
        app.app.clock.advance(Duration::from_secs(5));
        player.progress(round * 5_000).await;
        player.tick_where(|tick| tick["watched_ms"] == round * 5_000).await;
    }
    let mut events = Events::open(&teacher, &app, None).await;
    events.until(|event| event["viewers"] == 40 * 1_000 + 1).await;
    player.say(json!({"type": "end"})).await;
    assert_eq!(player.last("receipt").await.0["cost"], "2.00");
    drop((events, streams));
    timeout(DEADLINE, app.close()).await.unwrap();
}

/// What has ended is not earned before it is settled: until then it is pending.
#[tokio::test]
async fn what_is_being_settled_is_pending() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "0.60").await;
    let (one, other) = (app.student_with("30.00").await, app.student_with("30.00").await);
    let (mut first, mut second) =
        (Player::start(&app, &one, course).await, Player::start(&app, &other, course).await);
    first.play(0).await;
    second.play(0).await;
    for step in 1..=24_u64 {
        app.app.clock.advance(Duration::from_secs(5));
        for player in [&mut first, &mut second] {
            player.progress(step * 5_000).await;
            player.tick_where(|tick| tick["watched_ms"] == step * 5_000).await;
        }
    }
    let mut events = Events::open(&teacher, &app, None).await;
    // Two minutes of each, less the fee.
    events.until(|event| event["earnings"][0]["pending"] == "2.16").await;
    first.say(json!({"type": "pause"})).await;
    while first.until("state").await["phase"] != "paused" {}
    let mut tx = app.app.db.begin().await.unwrap();
    execute(&mut tx, "UPDATE accounts SET posted = posted").await.unwrap();
    first.say(json!({"type": "end"})).await;
    second.watch(&app, 120_000, 60, 5).await;
    let (event, _) = events.until(|event| event["earnings"][0]["pending"] == "2.70").await;
    assert_eq!(event["earnings"][0]["today"], "0.00");
    tx.rollback().await.unwrap();
    let (receipt, _) = first.last("receipt").await;
    assert_eq!(receipt["cost"], "1.20");
    let earned = |event: &serde_json::Value| {
        event["earnings"][0]["pending"] == "1.62" && event["earnings"][0]["today"] == "1.08"
    };
    events.until(earned).await;
    drop(events);
    app.close().await;
}
