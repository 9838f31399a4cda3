//! PostgreSQL and Redis go away while players watch, and come back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use murph::domain::{session::EndReason, user::Role};
use redis::{Client, cmd};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    accounts::{Class, sign_in, student, viewer},
    nodes::{Cluster, Settings, own_postgres},
    viewer::{Viewer, Wish},
    wait_until,
};
use crate::{
    bus::server::Server,
    harness::{Reply, postgres_url},
    world::insert_user,
};

/// How often a node compares what it has with the database, and some time to do it.
const RECONCILED_MAX: Duration = Duration::from_secs(15);

/// What a node may have told and not written down when another settles one of its sessions: two
/// ticks, the pause between two checkpoints, and a commit on a busy machine.
const NOT_WRITTEN_MAX: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_on_while_postgresql_is_away() {
    let Some(settings) = Settings::of_this_run() else { return };
    let Some(mut postgres) = own_postgres().await else { return };
    let url = postgres.url().parse().unwrap();
    let cluster = Arc::new(Settings { database: Some(url), ..settings }.start(2).await);
    let mut class = Class::watching(&cluster, 10).await;
    let (_, token) = student(&cluster, "10.00").await;
    let ending = Arc::clone(&class.viewers[0]);
    let interruptions =
        || class.viewers.iter().map(|viewer| viewer.interruptions()).collect::<Vec<_>>();
    let before = interruptions();

    postgres.kill();
    class.until_more_is_watched().await;
    class.until_more_is_watched().await;
    ending.wish(Wish::End);
    let start = (Method::POST, "/sessions/start");
    let body = json!({"course_id": cluster.course.id});
    let asking = [0, 1].map(|nth| cluster.ask(nth, &token, start.clone(), Some(body.clone())));
    for reply in futures_util::future::join_all(asking).await {
        reply.unwrap().is(503);
    }
    assert!(!ending.has_receipt(), "nothing is told that is not on disk");
    assert_eq!(interruptions(), before, "nobody is sent away");

    postgres.start().await;
    wait_until("what ended is settled", async || ending.has_receipt()).await;
    let reply = cluster.ask(0, &token, start, Some(body)).await.unwrap().is(201);
    let unwatched = format!("/sessions/{}/end", reply.body["session"]["id"].as_str().unwrap());
    cluster.ask(1, &token, (Method::POST, &unwatched), Some(json!({}))).await.unwrap().is(200);
    class.viewers[1..].iter().for_each(|viewer| viewer.wish(Wish::Watch));
    wait_until("the others watch on", async || {
        class.viewers[1..].iter().all(|viewer| viewer.seat().is_some())
    })
    .await;
    cluster.until_all_are_kept().await;
    class.end().await;
    for viewer in &class.viewers {
        let lost = NOT_WRITTEN_MAX * (viewer.interruptions() - 1);
        viewer.assert_all_is_charged(lost).await;
    }
    drop(ending);
    finish(cluster, class, NOT_WRITTEN_MAX).await;
}

async fn finish(cluster: Arc<Cluster>, class: Class, ahead_max: Duration) {
    class.assert_settled(&cluster, ahead_max).await;
    drop(class);
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}

/// A Redis of its own, two nodes that have found it, and nobody on them yet.
async fn on_own_redis() -> Option<(Server, Arc<Cluster>)> {
    if postgres_url().is_none() {
        eprintln!("skipped: run it by scripts/with-postgres");
        return None;
    }
    let mut redis = Server::new()?;
    redis.start().await;
    let cluster = Arc::new(Settings::with_redis(redis.url()).start(2).await);
    until_bus(&cluster, "up").await;
    Some((redis, cluster))
}

async fn until_bus(cluster: &Cluster, status: &str) {
    for nth in 0..2 {
        wait_until(status, async || cluster.is_bus(nth, status).await).await;
    }
}

/// Asks the node where the viewer is not.
async fn ask_elsewhere(viewer: &Viewer, path: &str) -> Reply {
    let (here, _) = viewer.seat().expect("it watches");
    let asked = (Method::POST, path);
    viewer.cluster.ask(1 - here, &viewer.token, asked, Some(json!({}))).await.unwrap()
}

/// A viewer whose money is used up, waiting for more.
async fn suspended(cluster: &Arc<Cluster>, class: &mut Class) -> Arc<Viewer> {
    let poor = viewer(cluster, 0, "0.05").await;
    class.join(&poor, 1);
    wait_until("its money is used up", async || poor.phase() == "suspended").await;
    poor
}

/// It gets more money, by way of the other node, and watches on.
async fn wake_up(poor: &Viewer) {
    let (_, before) = poor.seat().expect("it watches");
    ask_elsewhere(poor, "/payments/wallet/connect").await;
    let top_up = (Method::POST, "/payments/wallet/top-ups");
    let (here, _) = poor.seat().expect("it watches");
    let body = Some(json!({"amount": "5.00"}));
    poor.cluster.ask(1 - here, &poor.token, top_up, body).await.unwrap().is(201);
    poor.add_funds("5.00");
    let began = Instant::now();
    wait_until("it plays again", async || {
        poor.phase() == "playing" && poor.seat().is_some_and(|(_, watched)| watched > before)
    })
    .await;
    eprintln!("watches on {:?} after the top-up", began.elapsed());
}

/// Ends it on the other node, and gives the receipt.
async fn end_elsewhere(viewer: &Viewer) -> Value {
    let (_, told) = viewer.seat().expect("it watches");
    let reply = ask_elsewhere(viewer, &viewer.path("/end")).await.is(200);
    let watched = Duration::from_millis(reply.body["watched_ms"].as_u64().unwrap());
    assert!(watched + NOT_WRITTEN_MAX >= told, "told {told:?}, then {}", reply.body);
    viewer.log().take_receipt(reply.body.clone());
    reply.body
}

async fn until_told(viewer: &Viewer, patience: Duration) {
    let began = Instant::now();
    wait_until("the socket is closed", async || {
        viewer.log().sittings.last().is_some_and(|sitting| sitting.over.is_some())
    })
    .await;
    assert!(began.elapsed() < patience, "told after {:?}", began.elapsed());
    assert_eq!(viewer.log().sittings.last().unwrap().close, Some(1000));
}

async fn reason(viewer: &Viewer) -> EndReason {
    viewer.row().await.ending.expect("it has ended").reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_brings_speed_and_its_loss_costs_nothing_else() {
    let Some((mut redis, cluster)) = on_own_redis().await else { return };
    let mut class = Class::watching(&cluster, 8).await;
    let viewers = class.viewers.clone();
    let quick = Duration::from_secs(5);

    forge(&redis, &viewers).await;
    // Ends come by the same way, in order: what was forged has been heard by then.
    let receipt = end_elsewhere(&viewers[0]).await;
    until_told(&viewers[0], quick).await;
    assert_eq!(viewers[0].log().receipts[0], receipt);
    viewers[0].assert_all_is_charged(Duration::ZERO).await;
    Class::assert_still_watching(&viewers[1..]);
    wake_up(&*suspended(&cluster, &mut class).await).await;
    ask_elsewhere(&viewers[1], "/auth/logout").await.is(204);
    until_told(&viewers[1], quick).await;
    assert_eq!(reason(&viewers[1]).await, EndReason::LoggedOut);

    redis.kill();
    until_bus(&cluster, "away").await;
    wake_up(&*suspended(&cluster, &mut class).await).await;
    ask_elsewhere(&viewers[2], "/auth/logout").await.is(204);
    end_elsewhere(&viewers[3]).await;
    until_told(&viewers[3], RECONCILED_MAX).await;
    until_told(&viewers[2], RECONCILED_MAX).await;
    assert_eq!(reason(&viewers[2]).await, EndReason::LoggedOut);
    Class::assert_still_watching(&viewers[4..]);

    redis.start().await;
    until_bus(&cluster, "up").await;
    end_elsewhere(&viewers[4]).await;
    until_told(&viewers[4], quick).await;
    viewers[4].assert_all_is_charged(Duration::ZERO).await;
    class.end().await;
    drop(viewers);
    // Until a node hears of an end, it goes on telling.
    finish(cluster, class, RECONCILED_MAX).await;
}

/// Publishes the end of everybody's session on all channels there are.
async fn forge(redis: &Server, viewers: &[Arc<Viewer>]) {
    let client = Client::open(redis.url()).unwrap();
    let mut forger = client.get_multiplexed_async_connection().await.unwrap();
    let mut list = cmd("PUBSUB");
    let channels: Vec<String> =
        list.arg("CHANNELS").arg("murph:*").query_async(&mut forger).await.unwrap();
    assert!(channels.len() >= 3, "two nodes, and all: {channels:?}");
    for viewer in viewers {
        let node = viewer.row().await.node_id.expect("a node has it");
        let answer = json!({"to": node, "request": 1});
        let end = json!({"type": "end", "session_id": viewer.session, "reason": "ended_by_admin",
                         "actor": null, "answer": answer});
        let release = json!({"type": "release", "session_id": viewer.session, "answer": answer});
        for notice in [end, release] {
            let bare = json!({"from": node, "notice": notice}).to_string();
            let fakes = [bare.clone(), format!(".{bare}"), format!("{}.{bare}", "A".repeat(43))];
            for (channel, message) in
                channels.iter().flat_map(|channel| fakes.iter().map(move |text| (channel, text)))
            {
                let mut publish = cmd("PUBLISH");
                let heard: u64 =
                    publish.arg(channel).arg(message).query_async(&mut forger).await.unwrap();
                assert!(heard > 0, "the forgery came to nobody");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_ends_a_session_on_a_node_that_does_not_answer() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let mut class = Class::watching(&cluster, 4).await;
    class.until_more_is_watched().await;
    let admin = insert_user(cluster.db(), Role::Admin).await;
    let admin = sign_in(&cluster, &admin).await;
    let victim = Arc::clone(&class.viewers[0]);
    victim.wish(Wish::Stay);
    let (node, told) = victim.seat().unwrap();
    cluster.freeze(node);
    let asked = victim.path("/end");
    let asked = (Method::POST, asked.as_str());
    let reply = cluster.ask(1 - node, &admin, asked, Some(json!({}))).await.unwrap().is(200);
    let watched = Duration::from_millis(reply.body["watched_ms"].as_u64().unwrap());
    assert!(watched + NOT_WRITTEN_MAX >= told, "told {told:?}, then {}", reply.body);
    cluster.thaw(node);
    wait_until("the player is told", async || victim.has_receipt()).await;
    assert_eq!(victim.log().receipts[0], reply.body);
    drop(victim);
    class.end().await;
    finish(cluster, class, RECONCILED_MAX).await;
}
