//! Connections that are slow, silent, stuck or too many, and what a stop does to them.

use std::time::Duration;

use super::wire::{Wire, soon};
use crate::harness::TestApp;

async fn wire(app: &TestApp) -> Wire {
    Wire::open(app.address).await
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let app = TestApp::start_with(|config| config.server.header_timeout_ms = 200).await;
    wire(&app).await.assert_closed().await;
    app.close().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let app = TestApp::start_with(|config| config.server.header_timeout_ms = 300).await;
    let mut wire = wire(&app).await;
    wire.send("GET /livez HTTP/1.1\r\nX-Slow: ").await;
    // A byte now and then does not help.
    let mut drip = tokio::time::interval(Duration::from_millis(20));
    soon("being cut off", async {
        while wire.try_send("x").await.is_ok() {
            drip.tick().await;
        }
    })
    .await;
    app.close().await;
}

#[tokio::test]
async fn a_second_head_has_as_little_time_as_the_first() {
    let app = TestApp::start_with(|config| config.server.header_timeout_ms = 300).await;
    let mut wire = wire(&app).await;
    assert_eq!(wire.get("/livez").await.status, 200);
    wire.send("GET /livez HT").await;
    wire.assert_closed().await;
    app.close().await;
}

#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let app = TestApp::start_with(|config| config.server.header_timeout_ms = 100).await;
    let mut wire = wire(&app).await;
    assert_eq!(wire.get("/livez").await.status, 200);
    wire.assert_silence().await;
    assert_eq!(wire.get("/livez").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_connection_is_not_kept_for_ever() {
    let app = TestApp::start_with(|config| config.server.idle_timeout_ms = 200).await;
    let mut wire = wire(&app).await;
    assert_eq!(wire.get("/livez").await.status, 200);
    wire.assert_closed().await;
    app.close().await;
}

#[tokio::test]
async fn who_never_reads_is_cut_off() {
    let app = TestApp::start_with(|config| config.server.idle_timeout_ms = 300).await;
    let mut wire = wire(&app).await;
    let requests = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    soon("being cut off", async { while wire.try_send(&requests).await.is_ok() {} }).await;
    assert_eq!(Wire::open(app.address).await.get("/livez").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let app = TestApp::start_with(|config| config.server.max_connections = 2).await;
    let (mut first, mut second) = (wire(&app).await, wire(&app).await);
    assert_eq!(first.get("/livez").await.status, 200);
    assert_eq!(second.get("/livez").await.status, 200);
    let mut third = wire(&app).await;
    third.send("GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").await;
    third.assert_silence().await;
    drop(first);
    assert_eq!(third.answer().await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_stop_lets_a_running_request_finish_and_refuses_new_ones() {
    let app = TestApp::start().await;
    let address = app.address;
    let (mut running, mut idle) = (wire(&app).await, wire(&app).await);
    assert_eq!(idle.get("/livez").await.status, 200);
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\n\
                Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    running.send(head).await;
    // The server asks for the body, so the request is running now.
    assert_eq!(running.answer().await.status, 100);

    let finishing = async {
        idle.assert_closed().await;
        soon("being refused", async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        running.send("{}").await;
        let answer = running.answer().await;
        answer.assert_problem(422, "invalid");
        assert_eq!(answer.header("connection"), Some("close"));
    };
    tokio::join!(app.close(), finishing);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let app = TestApp::start_with(|config| config.server.drain_ms = 100).await;
    let mut running = wire(&app).await;
    running.send("POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\n").await;
    soon("the stop", app.close()).await;
    running.assert_closed().await;
}
