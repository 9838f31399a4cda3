//! Money in, money out, and what is told of it: to the last micro-unit, once, to its owner only.

mod amounts;
mod history;
mod idempotency;
mod payouts;

use std::time::Duration;

use futures_util::future::join_all;
use murph::{config::GatewayKind, domain::session::Session, id::CourseId, service::sessions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, Reply, TestApp, money, start_of};

const CONNECT: &str = "/payments/wallet/connect";
const BALANCE: &str = "/payments/wallet/balance";
const TOP_UPS: &str = "/payments/wallet/top-ups";
const PAYOUTS: &str = "/payments/payouts";
const HISTORY: &str = "/payments/transactions";

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// `student` opens a session.
async fn open(app: &TestApp, student: &Person, course: CourseId) -> Session {
    let user = app.user(student).await;
    sessions::start(&app.app, &user, &start_of(course), app.now()).await.unwrap()
}

/// Ends it with so much watched.
async fn settle(app: &TestApp, session: Session, watched: Duration) -> Session {
    app.settled(session, watched).await
}

/// A teacher who sold so many minutes to one student, at one unit each.
async fn teacher_who_sold(app: &TestApp, sold: u64) -> Person {
    let (teacher, student) = (app.teacher().await, app.student_with("30.00").await);
    let course = app.course(&teacher, "1.00").await;
    let session = open(app, &student, course).await;
    app.app.clock.advance(minutes(sold));
    settle(app, session, minutes(sold)).await;
    // By now the first access token has expired.
    app.log_in(&teacher.email, PASSWORD).await
}

/// A POST of exactly this text.
async fn post_text(app: &TestApp, person: &Person, path: &str, key: &str, text: &str) -> Reply {
    let request = app.client.post(format!("{}/api/v1{path}", app.url));
    let request = request.bearer_auth(&person.access_token).header("idempotency-key", key);
    let request = request.header("content-type", "application/json").body(text.to_owned());
    Reply::to(&Method::POST, request).await
}

/// The entries of somebody's history.
async fn history(person: &Person, query: &str) -> Vec<Value> {
    let reply = person.get(&format!("{HISTORY}?{query}")).await.is(200);
    assert_eq!(reply.body["has_more"], false, "{reply:?}");
    reply.body["data"].as_array().unwrap().clone()
}

async fn assert_owns(person: &Person, amount: &str) {
    let (posted, held, available) = person.balance().await;
    assert_eq!((posted.as_str(), held.as_str(), available.as_str()), (amount, "0.00", amount));
}

// Wallets.

#[tokio::test]
async fn a_wallet_is_connected_once() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    assert_owns(&ada, "0.00").await;
    ada.post(TOP_UPS, json!({"amount": "30"})).await.refused(409, "wallet_not_connected");
    let made = ada.post(CONNECT, json!({})).await.is(201);
    assert_eq!(
        made.body,
        json!({
            "kind": "wallet", "currency": "USD", "posted": "0.00", "held": "0.00",
            "available": "0.00",
        })
    );
    ada.post(TOP_UPS, json!({"amount": "30"})).await.is(201);
    let again = ada.post(CONNECT, json!({"currency": "USD"})).await.is(200);
    assert_eq!(again.body["posted"], "30.00");
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_many_times_at_once_makes_one_wallet() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let replies = join_all((0..8).map(|_| ada.post(CONNECT, json!({})))).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    let found = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((made, found), (1, 7), "{replies:?}");
    app.close().await;
}

#[tokio::test]
async fn each_role_has_its_own_kind_of_account() {
    let app = TestApp::start().await;
    for (person, kind) in [
        (app.student().await, "wallet"),
        (app.teacher().await, "earnings"),
        (app.admin().await, "platform"),
    ] {
        assert_eq!(person.get(BALANCE).await.is(200).body["kind"], kind);
        assert!(person.post(CONNECT, json!({})).await.status.is_success());
        assert_eq!(person.get(BALANCE).await.is(200).body["kind"], kind);
    }
    app.close().await;
}

#[tokio::test]
async fn currencies_are_never_mixed() {
    let app = TestApp::start().await;
    let ada = app.student_with("30.00").await;
    let euros = json!({"amount": "7.00", "currency": "EUR"});
    ada.post(TOP_UPS, euros.clone()).await.refused(409, "wallet_not_connected");
    ada.post(CONNECT, json!({"currency": "EUR"})).await.is(201);
    ada.post(TOP_UPS, euros).await.is(201);
    let posted = |reply: Reply| reply.is(200).body["posted"].clone();
    assert_eq!(posted(ada.get(&format!("{BALANCE}?currency=EUR")).await), "7.00");
    assert_eq!(posted(ada.get(BALANCE).await), "30.00");
    app.close().await;
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name() {
    let app = TestApp::start().await;
    let (ada, teacher) = (app.student_with("30.00").await, app.teacher().await);
    for currency in [json!("XYZ"), json!("usd"), json!("US"), json!(""), json!(7), json!(["USD"])] {
        let body = json!({"amount": "10", "currency": currency});
        for reply in [
            ada.post(CONNECT, json!({"currency": currency})).await,
            ada.post(TOP_UPS, body.clone()).await,
            teacher.post(PAYOUTS, body).await,
        ] {
            reply.refused(422, "invalid");
            assert_eq!(reply.body["param"], "currency", "{reply:?}");
        }
    }
    for field in ["user_id", "posted", "status", "provider", "Amount"] {
        let body = json!({"amount": "10", field: "x"});
        for reply in [ada.post(TOP_UPS, body.clone()).await, teacher.post(PAYOUTS, body).await] {
            reply.refused(422, "invalid");
            assert_eq!(reply.body["param"], field, "{reply:?}");
        }
    }
    for query in ["currency=XYZ", "currency=", "user_id=1", "currency=USD&currency=EUR"] {
        ada.get(&format!("{BALANCE}?{query}")).await.refused(422, "invalid");
        ada.get(&format!("{HISTORY}?{query}")).await.refused(422, "invalid");
    }
    assert_owns(&ada, "30.00").await;
    app.close().await;
}

#[tokio::test]
async fn a_top_up_can_be_looked_at() {
    let app = TestApp::start().await;
    let ada = app.student_with("30.00").await;
    let made = ada.post(TOP_UPS, json!({"amount": "12.345678"})).await.is(201);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        (&made.body["amount"], &made.body["currency"]),
        (&json!("12.345678"), &json!("USD"))
    );
    assert_eq!(made.body["status"], "completed");
    let seen = ada.get(&format!("{TOP_UPS}/{id}")).await.is(200);
    assert_eq!(seen.body, made.body);
    assert_owns(&ada, "42.345678").await;
    app.close().await;
}

#[tokio::test]
async fn a_top_up_stays_within_its_limits() {
    let app = TestApp::start().await;
    let ada = app.student_with("30.00").await;
    for amount in ["0.000001", "0.999999", "10000.000001", "1000000000"] {
        let reply = ada.post(TOP_UPS, json!({"amount": amount})).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], "amount", "{reply:?}");
    }
    assert_owns(&ada, "30.00").await;
    for amount in ["1.00", "10000.00"] {
        ada.post(TOP_UPS, json!({"amount": amount})).await.is(201);
    }
    assert_owns(&ada, "10031.00").await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_is_never_more_than_full() {
    let app = TestApp::start_with(|config| {
        config.money.wallet_max = money("100.00");
        config.money.top_up_max = money("60.00");
    })
    .await;
    let ada = app.student_with("60.00").await;
    ada.post(TOP_UPS, json!({"amount": "40.000001"})).await.refused(422, "out_of_range");
    let replies = join_all((0..6).map(|_| ada.post(TOP_UPS, json!({"amount": "20"})))).await;
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(done.len(), 2, "{replies:?}");
    for reply in refused {
        reply.refused(422, "out_of_range");
    }
    assert_owns(&ada, "100.00").await;
    assert_eq!(history(&ada, "").await.len(), 3);
    app.close().await;
}

#[tokio::test]
async fn without_a_gateway_no_money_moves() {
    let app = TestApp::start_with(|config| config.payments.gateway = GatewayKind::None).await;
    let (ada, teacher) = (app.student().await, app.teacher().await);
    ada.post(CONNECT, json!({})).await.is(201);
    ada.post(TOP_UPS, json!({"amount": "30"})).await.refused(409, "no_gateway");
    ada.post_once(TOP_UPS, "k", json!({"amount": "30"})).await.refused(409, "no_gateway");
    teacher.post(PAYOUTS, json!({"amount": "30"})).await.refused(409, "no_gateway");
    assert_owns(&ada, "0.00").await;
    assert!(history(&ada, "").await.is_empty());
    app.close().await;
}
