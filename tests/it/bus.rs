//! Nodes that hear of each other through a Redis, and what happens without it.
//!
//! They run when `scripts/with-redis` says where there is one. Tests that kill it start their own.

mod outage;
pub(crate) mod server;

use std::{env, time::Duration};

use futures_util::StreamExt;
use murph::{
    app::App,
    bus::{Heard, Inbox, Notice, To},
    config::{BusUrl, Config, Secret},
    id::NodeId,
};
use redis::{AsyncConnectionConfig, Client, cmd};

use crate::{
    harness::TestDatabase,
    world::{World, start_node},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The Redis of this run.
pub(crate) fn shared_redis() -> Option<String> {
    let url = env::var("MURPH_TEST_REDIS").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: run it by scripts/with-redis");
    }
    url
}

/// A secret of its own keeps a test apart from the others on one Redis.
fn through(redis: &str) -> impl Fn(&mut Config) + use<> {
    let bus = BusUrl::new(redis);
    let secret = Secret::new(format!("a secret for one test only: {}", server::dice()));
    move |config| {
        config.bus.url = bus.clone();
        config.auth.secret = secret.clone();
    }
}

/// Nodes that have found the Redis, and what each hears.
async fn nodes(redis: &str, count: usize) -> (World, Vec<Inbox>) {
    let world = World::start_on(TestDatabase::migrated().await, count, through(redis)).await;
    let mut inboxes = Vec::new();
    for node in &world.nodes {
        inboxes.push(connected(node).await);
    }
    (world, inboxes)
}

async fn connected(node: &App) -> Inbox {
    let mut inbox = node.listen();
    assert_eq!(next(&mut inbox).await, Heard::Gap, "nobody knows what was said before");
    inbox
}

async fn next(inbox: &mut Inbox) -> Heard {
    let heard = tokio::time::timeout(PATIENCE, inbox.recv()).await.expect("nothing is heard");
    heard.expect("the bus is there")
}

async fn wait_until(what: &str, done: impl Fn() -> bool) {
    let polling = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.unwrap_or_else(|_| panic!("still not {what}"));
}

fn done(request: u64) -> Notice {
    Notice::Done { request }
}

/// How many messages went that way and ended so.
fn count(app: &App, direction: &str, result: &str) -> u64 {
    let page = app.metrics.render();
    let name =
        format!("murph_bus_messages_total{{direction=\"{direction}\",result=\"{result}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn nodes_hear_each_other_and_themselves_once() {
    let Some(redis) = shared_redis() else { return };
    let (world, mut inboxes) = nodes(&redis, 2).await;
    world.nodes[0].bus.publish(To::All, done(1));
    for inbox in &mut inboxes {
        assert_eq!(next(inbox).await, Heard::Notice(done(1)));
    }
    // Redis keeps the order: had the first come back to its sender, it would be heard before.
    world.nodes[1].bus.publish(To::All, done(2));
    for inbox in &mut inboxes {
        assert_eq!(next(inbox).await, Heard::Notice(done(2)));
    }
    assert!(world.app().metrics.render().contains("\nmurph_bus_up 1\n"));
    world.close().await;
}

#[tokio::test]
async fn what_is_for_one_node_is_heard_by_no_other() {
    let Some(redis) = shared_redis() else { return };
    let (world, mut inboxes) = nodes(&redis, 3).await;
    let bus = &world.app().bus;
    bus.publish(To::Node(world.nodes[0].node_id), done(0));
    bus.publish(To::Node(world.nodes[1].node_id), done(1));
    bus.publish(To::Node(world.nodes[2].node_id), done(2));
    bus.publish(To::All, done(9));
    for (own, inbox) in (0..).zip(&mut inboxes) {
        assert_eq!(next(inbox).await, Heard::Notice(done(own)));
        assert_eq!(next(inbox).await, Heard::Notice(done(9)));
    }
    world.close().await;
}

#[tokio::test]
async fn two_installations_on_one_redis_do_not_mix() {
    let Some(redis) = shared_redis() else { return };
    let (ours, mut our_inboxes) = nodes(&redis, 2).await;
    let (theirs, mut their_inboxes) = nodes(&redis, 1).await;
    theirs.app().bus.publish(To::All, done(1));
    assert_eq!(next(&mut their_inboxes[0]).await, Heard::Notice(done(1)));
    // Whether Redis had the other one first does not matter: nobody was to be told of it.
    wait_until("told", || count(theirs.app(), "out", "sent") == 1).await;
    ours.app().bus.publish(To::All, done(2));
    assert_eq!(next(&mut our_inboxes[1]).await, Heard::Notice(done(2)));
    assert_eq!(count(&ours.nodes[1], "in", "forged"), 0);
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn a_node_with_the_next_secret_hears_those_with_the_last() {
    let Some(redis) = shared_redis() else { return };
    let (world, mut inboxes) = nodes(&redis, 1).await;
    let mut config = world.app().config.clone();
    config.auth.previous_secrets = vec![config.auth.secret.clone()];
    config.auth.secret = Secret::new(format!("the next secret: {}", server::dice()));
    let newer = start_node(&world.database.url, config, &world.clock).await;
    let mut inbox = connected(&newer).await;

    world.app().bus.publish(To::All, done(1));
    world.app().bus.publish(To::Node(newer.node_id), done(2));
    for request in [1, 2] {
        assert_eq!(next(&mut inbox).await, Heard::Notice(done(request)));
    }
    assert_eq!(next(&mut inboxes[0]).await, Heard::Notice(done(1)));
    newer.finish().await;
    world.close().await;
}

/// What is published to one node, as Redis sees it: channel and message.
async fn overhear(redis: &str, from: &App, to: NodeId, notice: Notice) -> (String, Vec<u8>) {
    let mut spy = Client::open(redis).unwrap().get_async_pubsub().await.unwrap();
    spy.psubscribe(format!("murph:*:node:{to}")).await.unwrap();
    from.bus.publish(To::Node(to), notice);
    let message = spy.on_message().next().await.unwrap();
    (message.get_channel_name().to_owned(), message.get_payload_bytes().to_vec())
}

#[tokio::test]
async fn forged_and_altered_messages_are_dropped_and_counted() {
    let Some(redis) = shared_redis() else { return };
    let (world, mut inboxes) = nodes(&redis, 2).await;
    let victim = &world.nodes[1];
    let (channel, message) = overhear(&redis, world.app(), victim.node_id, done(1)).await;
    assert_eq!(next(&mut inboxes[1]).await, Heard::Notice(done(1)));

    let text = String::from_utf8(message.clone()).unwrap();
    let (proof, json) = text.split_once('.').unwrap();
    let to_all = format!("{}:all", channel.split(":node:").next().unwrap());
    let large = [message.clone(), vec![b' '; 16 * 1024]].concat();
    let forgeries = [
        (&channel, text.replace("\"request\":1", "\"request\":7").into_bytes()),
        (
            &channel,
            text.replace(&world.app().node_id.to_string(), &victim.node_id.to_string()).into(),
        ),
        (&channel, json.as_bytes().to_vec()),
        (&channel, format!(".{json}").into_bytes()),
        (&channel, format!("{}.{json}", &proof[1..]).into_bytes()),
        (&channel, b"\xff\x00".to_vec()),
        (&channel, Vec::new()),
        // Genuine, but not for everybody.
        (&to_all, message),
        (&channel, large),
    ];
    let config = AsyncConnectionConfig::new();
    let client = Client::open(redis.as_str()).unwrap();
    let mut forger = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let refused = u64::try_from(forgeries.len()).unwrap() - 1;
    for (channel, message) in forgeries {
        let mut publish = cmd("PUBLISH");
        let heard: u64 = publish.arg(channel).arg(message).query_async(&mut forger).await.unwrap();
        assert!(heard > 0, "the forgery came to nobody");
    }
    world.app().bus.publish(To::Node(victim.node_id), done(2));
    assert_eq!(next(&mut inboxes[1]).await, Heard::Notice(done(2)));
    assert_eq!(count(victim, "in", "forged"), refused);
    assert_eq!(count(victim, "in", "too_large"), 1);
    assert_eq!(count(victim, "in", "heard"), 2);
    world.close().await;
}

#[tokio::test]
async fn what_a_node_says_last_is_heard() {
    const WORDS: u64 = 1_000;
    let Some(redis) = shared_redis() else { return };
    let (world, mut inboxes) = nodes(&redis, 2).await;
    for request in 0..WORDS {
        world.nodes[0].bus.publish(To::All, done(request));
    }
    world.nodes[0].bus.publish(To::All, Notice::Left { node_id: world.nodes[0].node_id });
    world.nodes[0].finish().await;
    for request in 0..WORDS {
        assert_eq!(next(&mut inboxes[1]).await, Heard::Notice(done(request)));
    }
    let left = Notice::Left { node_id: world.nodes[0].node_id };
    assert_eq!(next(&mut inboxes[1]).await, Heard::Notice(left));
    world.nodes[1].finish().await;
    world.database.remove().await;
}
