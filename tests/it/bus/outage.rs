//! A Redis that dies, falls silent or is not there yet: Murph goes on, and so does the bus after it.

use murph::{
    bus::{Heard, Inbox, Reach, To},
    config::BusUrl,
};

use super::{count, done, next, nodes, server::Server, wait_until};
use crate::{
    cli::program::Place,
    harness::{TestApp, TestDatabase},
    world::World,
};

fn all_are(world: &World, reach: Reach) -> bool {
    world.nodes.iter().all(|node| node.bus.reach() == reach)
}

/// Each node hears that it may have missed something, and then the other one.
async fn assert_recovered(world: &World, inboxes: &mut [Inbox]) {
    for inbox in &mut *inboxes {
        assert_eq!(next(inbox).await, Heard::Gap);
    }
    for (from, request) in [(0, 101), (1, 102)] {
        world.nodes[from].bus.publish(To::All, done(request));
        for inbox in &mut *inboxes {
            assert_eq!(next(inbox).await, Heard::Notice(done(request)));
        }
    }
}

#[tokio::test]
async fn nodes_find_each_other_again_after_redis_was_killed() {
    let Some(mut server) = Server::new() else { return };
    server.start().await;
    let (world, mut inboxes) = nodes(&server.url(), 2).await;

    server.kill();
    // Some of these go to a connection that nobody knows to be dead, and some to none.
    for request in 0..50 {
        world.app().bus.publish(To::All, done(request));
    }
    wait_until("away", || all_are(&world, Reach::Away)).await;
    for request in 50..100 {
        world.app().bus.publish(To::All, done(request));
    }
    for request in 0..100 {
        assert_eq!(next(&mut inboxes[0]).await, Heard::Notice(done(request)), "it tells itself");
    }
    assert!(world.app().metrics.render().contains("\nmurph_bus_up 0\n"));
    assert_eq!((count(world.app(), "out", "lost"), count(world.app(), "out", "sent")), (100, 0));

    server.start().await;
    assert_recovered(&world, &mut inboxes).await;
    world.close().await;
}

#[tokio::test]
async fn a_redis_that_falls_silent_is_noticed() {
    let Some(mut server) = Server::new() else { return };
    server.start().await;
    let (world, mut inboxes) = nodes(&server.url(), 2).await;
    server.freeze();
    wait_until("away", || all_are(&world, Reach::Away)).await;
    server.thaw();
    assert_recovered(&world, &mut inboxes).await;
    world.close().await;
}

#[tokio::test]
async fn murph_ends_although_redis_is_silent() {
    let Some(mut server) = Server::new() else { return };
    server.start().await;
    let (world, _inboxes) = nodes(&server.url(), 1).await;
    server.freeze();
    world.app().bus.publish(To::All, done(1));
    let ending = world.close();
    tokio::time::timeout(super::PATIENCE, ending).await.expect("it waits for Redis");
}

#[tokio::test]
async fn murph_serves_without_redis_and_takes_it_when_it_comes() {
    let Some(mut server) = Server::new() else { return };
    let url = BusUrl::new(server.url());
    let app = TestApp::start_with(|config| config.bus.url = url).await;
    app.student_with("5.00").await;
    let health = app.get("/health/services").await.is(200);
    assert_eq!(health.body["status"], "degraded", "{health:?}");
    assert_eq!(health.body["services"]["bus"]["status"], "away", "{health:?}");
    app.get("/readyz").await.is(200);

    server.start().await;
    wait_until("up", || app.app.bus.reach() == Reach::Up).await;
    let health = app.get("/health/services").await.is(200);
    assert_eq!(health.body["status"], "healthy", "{health:?}");
    assert_eq!(health.body["services"]["bus"]["status"], "up", "{health:?}");
    app.close().await;
}

#[tokio::test]
async fn one_node_is_healthy_without_redis() {
    let app = TestApp::start().await;
    let health = app.get("/health/services").await.is(200);
    assert_eq!(health.body["status"], "healthy", "{health:?}");
    assert_eq!(health.body["services"]["bus"]["status"], "in_process", "{health:?}");
    app.close().await;
}

#[tokio::test]
async fn the_doctor_says_how_redis_is() {
    let Some(mut server) = Server::new() else { return };
    let database = TestDatabase::migrated().await;
    let place = Place::on(&database);
    let bus = format!("bus.url=redis://:hunter2@127.0.0.1:{}", server.port);
    let said = place.run(&["doctor", "--set", &bus]).well();
    let shown = format!("warning  bus            redis://:***@127.0.0.1:{} is away", server.port);
    assert!(said.contains(&shown), "{said}");

    server.start().await;
    let bus = format!("bus.url={}", server.url());
    let said = place.run(&["doctor", "--set", &bus]).well();
    assert!(
        said.contains(&format!("ok       bus            {} let us in", server.url())),
        "{said}"
    );
    database.remove().await;
}
