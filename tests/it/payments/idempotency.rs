//! A payment with an `Idempotency-Key` is made once, however often it is sent.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{CONNECT, PAYOUTS, TOP_UPS, assert_owns, history, teacher_who_sold};
use crate::harness::{PASSWORD, TestApp};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn the_same_request_is_answered_the_same() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    let first = ada.post_once(TOP_UPS, "key", json!({"amount": "30"})).await.is(201);
    assert!(!first.is_replayed());
    app.app.clock.advance(Duration::from_mins(1));
    for body in [json!({"amount": "30"}), json!({"currency": "USD", "amount": 30})] {
        let again = ada.post_once(TOP_UPS, "key", body).await.is(201);
        assert_eq!(again.text, first.text);
        assert_eq!(again.headers["content-type"], first.headers["content-type"]);
        assert_eq!(again.headers["idempotency-replayed"], "true");
    }
    assert_owns(&ada, "35.00").await;
    app.close().await;
}

#[tokio::test]
async fn without_a_key_each_request_counts() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    for _ in 0..2 {
        ada.post(TOP_UPS, json!({"amount": "30"})).await.is(201);
    }
    assert_owns(&ada, "65.00").await;
    app.close().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_person() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.student_with("5.00").await, app.student_with("5.00").await);
    ada.post(CONNECT, json!({"currency": "EUR"})).await.is(201);
    let first = ada.post_once(TOP_UPS, "key", json!({"amount": "30"})).await.is(201);
    for body in [json!({"amount": "30.000001"}), json!({"amount": "30", "currency": "EUR"})] {
        let reply = ada.post_once(TOP_UPS, "key", body).await;
        reply.refused(422, "idempotency_key_reused");
        assert!(!reply.is_replayed());
    }
    ada.post_once(TOP_UPS, "Key", json!({"amount": "1"})).await.is(201);
    let others = bob.post_once(TOP_UPS, "key", json!({"amount": "30"})).await.is(201);
    assert_ne!(others.body["id"], first.body["id"]);
    assert_owns(&ada, "36.00").await;
    assert_owns(&bob, "35.00").await;
    app.close().await;
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let top_up = || ada.post_once(TOP_UPS, "key", json!({"amount": "30"}));
    top_up().await.refused(409, "wallet_not_connected");
    ada.post(CONNECT, json!({})).await.is(201);
    let done = top_up().await.is(201);
    assert!(!done.is_replayed());
    assert_owns(&ada, "30.00").await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_under_one_key_are_one() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    let top_up = || ada.post_once(TOP_UPS, "key", json!({"amount": "30"}));
    let replies = join_all((0..20).map(|_| top_up())).await;
    let kept = top_up().await.is(201);
    for reply in &replies {
        match reply.status.as_u16() {
            201 => assert_eq!(reply.text, kept.text),
            _ => reply.refused(409, "idempotency_key_running"),
        }
    }
    let made = replies.iter().filter(|reply| reply.status == 201 && !reply.is_replayed()).count();
    assert_eq!(made, 1, "{replies:?}");
    assert_owns(&ada, "35.00").await;
    app.close().await;
}

#[tokio::test]
async fn a_key_is_kept_for_a_day() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    let first = ada.post_once(TOP_UPS, "key", json!({"amount": "30"})).await.is(201);
    app.app.clock.advance(DAY);
    let ada = app.log_in(&ada.email, PASSWORD).await;
    let kept = ada.post_once(TOP_UPS, "key", json!({"amount": "30"})).await.is(201);
    assert_eq!(kept.text, first.text);
    ada.post_once(TOP_UPS, "key", json!({"amount": "40"}))
        .await
        .refused(422, "idempotency_key_reused");

    app.app.clock.advance(Duration::from_micros(1));
    let new = ada.post_once(TOP_UPS, "key", json!({"amount": "40"})).await.is(201);
    assert_ne!(new.body["id"], first.body["id"]);
    let again = ada.post_once(TOP_UPS, "key", json!({"amount": "40"})).await.is(201);
    assert_eq!(again.text, new.text);
    assert_owns(&ada, "75.00").await;
    app.close().await;
}

#[tokio::test]
async fn a_key_is_one_visible_word_of_bounded_length() {
    let app = TestApp::start().await;
    let ada = app.student_with("5.00").await;
    let body = || Some(json!({"amount": "30"}));
    let long = "x".repeat(256);
    for key in ["", " ", "a b", "a\tb", "ü", &long] {
        let reply = ada.post_once(TOP_UPS, key, json!({"amount": "30"})).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], "Idempotency-Key", "{reply:?}");
    }
    let two = [("idempotency-key", "a"), ("idempotency-key", "b")];
    ada.send(Method::POST, TOP_UPS, body(), &two).await.refused(422, "invalid");
    assert_owns(&ada, "5.00").await;
    ada.post_once(TOP_UPS, &long[1..], json!({"amount": "30"})).await.is(201);
    assert_owns(&ada, "35.00").await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payout_is_made_once_too() {
    let app = TestApp::start().await;
    let teacher = teacher_who_sold(&app, 30).await;
    let pay_out = || teacher.post_once(PAYOUTS, "key", json!({"amount": "10"}));
    let first = pay_out().await.is(201);
    for reply in join_all((0..5).map(|_| pay_out())).await {
        match reply.status.as_u16() {
            201 => assert_eq!(reply.text, first.text),
            _ => reply.refused(409, "idempotency_key_running"),
        }
    }
    let other = teacher.post_once(PAYOUTS, "key", json!({"amount": "11"})).await;
    other.refused(422, "idempotency_key_reused");
    assert_owns(&teacher, "17.00").await;
    assert_eq!(history(&teacher, "type=payout").await.len(), 1);
    app.close().await;
}
