//! Many at once, on two nodes: of whatever may happen once, one does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use murph::domain::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    accounts::{Class, sign_in, student, viewer},
    nodes::{Cluster, Settings},
    viewer::{Viewer, Wish},
    wait_until,
};
use crate::{
    crash::{Dice, rounds},
    world::insert_user,
};

/// Of what nodes told, nothing is lost when none dies.
const NOTHING: Duration = Duration::ZERO;

async fn finish(cluster: Arc<Cluster>, class: Class) {
    class.assert_settled(&cluster, NOTHING).await;
    drop(class);
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}

/// So many in a short run, and ten times as many in a long one.
fn many(count: usize) -> usize {
    if rounds() > 3 { count * 10 } else { count }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_all_drop_at_once_are_all_settled() {
    let Some(settings) = Settings::of_this_run() else { return };
    // As many words as twenty players at the usual pace of these tests.
    let settings = Settings { tick: Duration::from_secs(2), ..settings };
    let cluster = Arc::new(settings.start(2).await);
    let count = if rounds() > 3 { 10_000 } else { 200 };
    let mut class = Class::watching(&cluster, count).await;
    let began = Instant::now();
    class.wish(Wish::DropOut);
    class.finished().await;
    let dropped = began.elapsed();
    let active = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
    wait_until("all are settled", async || cluster.number(active).await == 0).await;
    let (count, settled) = (class.viewers.len(), began.elapsed());
    eprintln!("{count} sockets dropped within {dropped:?}, all settled after {settled:?}");
    let other = "SELECT COUNT(*) FROM sessions WHERE end_reason <> 'disconnected'";
    assert_eq!(cluster.number(other).await, 0);
    class.assert_nearly_all_let_in();
    finish(cluster, class).await;
}

/// Ends a session in one of the ways there are, and gives what was answered, if anything was.
async fn end_by(viewer: &Viewer, admin: &str, way: u64) -> Option<Value> {
    let path = viewer.path("/end");
    let (node, token) = match way {
        1 => (0, viewer.token.as_str()),
        2 => (1, viewer.token.as_str()),
        3 => (0, admin),
        4 => (1, admin),
        5 => {
            viewer.wish(Wish::End);
            return None;
        }
        _ => {
            viewer.wish(Wish::DropOut);
            return None;
        }
    };
    let asked = (Method::POST, path.as_str());
    let reply = viewer.cluster.ask(node, token, asked, Some(json!({}))).await.unwrap();
    Some(reply.is(200).body)
}

/// The grace is as long as the others wait, and the hold lasts as long: whatever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_end_a_session_it_is_settled_once() {
    let Some(settings) = Settings::of_this_run() else { return };
    let grace = Duration::from_millis(100);
    let cluster = Arc::new(Settings { grace, ..settings }.start(2).await);
    let admin = insert_user(cluster.db(), Role::Admin).await;
    let admin = sign_in(&cluster, &admin).await;
    let mut dice = Dice::new();
    for _ in 0..rounds() {
        // Money for two seconds: it is used up about now, too.
        let mut class = Class::with_funds(&cluster, many(8), "0.20").await;
        let mut ends = Vec::new();
        for viewer in &class.viewers {
            for _ in 0..8 {
                let (way, later) = (dice.roll(6), Duration::from_millis(dice.roll(250)));
                let (viewer, admin) = (Arc::clone(viewer), admin.as_str());
                ends.push(async move {
                    tokio::time::sleep(later).await;
                    if let Some(receipt) = end_by(&viewer, admin, way).await {
                        viewer.log().take_receipt(receipt);
                    }
                });
            }
        }
        join_all(ends).await;
        class.wish(Wish::End);
        class.finished().await;
        let active = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
        wait_until("all are settled", async || cluster.number(active).await == 0).await;
        for (nth, viewer) in class.viewers.iter().enumerate() {
            let path = viewer.path("/receipt");
            let asked = (Method::GET, path.as_str());
            let reply = cluster.ask(nth % 2, &viewer.token, asked, None).await.unwrap().is(200);
            viewer.log().take_receipt(reply.body);
        }
        class.assert_settled(&cluster, NOTHING).await;
    }
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_starts_one_succeeds() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    for _ in 0..rounds() {
        // Enough for one hold.
        let (_, token) = student(&cluster, "30.00").await;
        let body = json!({"course_id": cluster.course.id});
        let starts = (0..100).map(|nth| {
            let start = (Method::POST, "/sessions/start");
            cluster.ask(nth % 2, &token, start, Some(body.clone()))
        });
        let replies: Vec<_> =
            join_all(starts).await.into_iter().map(|reply| reply.unwrap()).collect();
        let started: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(started.len(), 1, "{started:#?}");
        let id = started[0].body["session"]["id"].as_str().unwrap();
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            reply.refused(409, "session_active");
            assert_eq!(reply.body["session_id"], id, "{reply:?}");
        }
        let open = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
        assert_eq!(cluster.number(open).await, 1);
        let path = format!("/sessions/{id}/end");
        let end = (Method::POST, path.as_str());
        cluster.ask(1, &token, end, Some(json!({}))).await.unwrap().is(200);
    }
    crate::world::assert_balanced(cluster.db()).await;
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_that_all_come_back_at_once_lose_nothing() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let mut class = Class::watching(&cluster, many(40)).await;
    for round in 0..usize::try_from(rounds()).unwrap() {
        // All to one node, and then all to the other.
        let node = round % 2;
        let began = Instant::now();
        class.move_to(|_| node).await;
        class.until_more_is_watched().await;
        eprintln!("{} players were back after {:?}", class.viewers.len(), began.elapsed());
    }
    class.end().await;
    class.assert_nearly_all_let_in();
    for viewer in &class.viewers {
        viewer.assert_all_is_charged(NOTHING).await;
    }
    finish(cluster, class).await;
}

/// Comes in by a ticket; how it was received: a type of message, or a code for closing.
async fn knock(viewer: &Viewer, node: usize, ticket: &str) -> (String, Option<u16>) {
    let mut socket = viewer.connect(node, ticket).await.expect("there is a node");
    let mut first = String::new();
    loop {
        match tokio::time::timeout(super::PATIENCE, socket.next()).await.expect("an answer") {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                message["type"].as_str().unwrap().clone_into(&mut first);
                if first == "hello" {
                    return (first, None);
                }
            }
            Some(Ok(Message::Close(frame))) => return (first, frame.map(|f| f.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return (first, None),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_lets_one_in_on_whichever_node() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let guest = viewer(&cluster, 0, "10.00").await;
    for round in 0..usize::try_from(rounds()).unwrap() {
        let path = guest.path("/ticket");
        let asked = (Method::POST, path.as_str());
        let reply = cluster.ask(round % 2, &guest.token, asked, Some(json!({}))).await;
        let reply = reply.unwrap().is(201);
        let ticket = reply.body["ticket"].as_str().unwrap();
        let knocks = join_all((0..6).map(|nth| knock(&guest, nth % 2, ticket))).await;
        let let_in = knocks.iter().filter(|(first, _)| first == "hello").count();
        assert_eq!(let_in, 1, "{knocks:?}");
        let again = join_all([0, 1].map(|node| knock(&guest, node, ticket))).await;
        for knock in again.iter().chain(knocks.iter().filter(|(first, _)| first != "hello")) {
            assert_eq!(knock, &("error".to_owned(), Some(4001)));
        }
    }
    let path = guest.path("/end");
    let end = (Method::POST, path.as_str());
    cluster.ask(0, &guest.token, end, Some(json!({}))).await.unwrap().is(200);
    drop(guest);
    crate::world::assert_balanced(cluster.db()).await;
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}
