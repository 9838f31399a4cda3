//! How often somebody may try. The limits are of one try a minute, so the second is refused
//! however slow the machine is.

use std::num::NonZeroU32;

use murph::config::Config;
use reqwest::Method;
use serde_json::json;

use super::{log_in, refresh, register};
use crate::harness::{PASSWORD, Reply, TestApp};

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn assert_told_to_wait(reply: &Reply, at_most_seconds: u64) {
    reply.refused(429, "rate_limited");
    let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=at_most_seconds).contains(&seconds), "{seconds}");
}

async fn limited(limit: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::start_with(|config| {
        config.server.trusted_proxies = "127.0.0.0/8".parse().into_iter().collect();
        limit(config);
    })
    .await
}

/// Signs in through a proxy that heard from `address`.
async fn log_in_from(app: &TestApp, address: &str, email: &str) -> Reply {
    let request = app.client.post(format!("{}/api/v1/auth/login", app.url));
    let body = json!({"email": email, "password": PASSWORD});
    Reply::to(&Method::POST, request.header("x-forwarded-for", address).json(&body)).await
}

#[tokio::test]
async fn guessing_one_account_locks_no_other() {
    let app = limited(|config| config.auth.login_per_minute = ONE).await;
    let (ada, bob) = (app.student().await, app.student().await);
    log_in(&app, &ada.email, "wrong horse").await.refused(401, "wrong_credentials");
    assert_told_to_wait(&log_in(&app, &ada.email, PASSWORD).await, 60);
    assert_told_to_wait(&log_in(&app, &ada.email.to_uppercase(), PASSWORD).await, 60);
    log_in(&app, &bob.email, PASSWORD).await.is(200);
    // Whoever is signed in stays so.
    ada.get("/auth/me").await.is(200);
    app.close().await;
}

#[tokio::test]
async fn nobodys_account_is_limited_like_any_other() {
    let app = limited(|config| config.auth.login_per_minute = ONE).await;
    log_in(&app, "nobody@example.org", PASSWORD).await.refused(401, "wrong_credentials");
    assert_told_to_wait(&log_in(&app, "nobody@example.org", PASSWORD).await, 60);
    app.close().await;
}

#[tokio::test]
async fn an_address_that_tried_too_often_uses_up_nobodys_share() {
    let app = limited(|config| {
        config.auth.login_per_minute = ONE;
        config.auth.login_per_minute_per_address = ONE;
    })
    .await;
    let (ada, bob) = (app.student().await, app.student().await);
    log_in_from(&app, "192.0.2.1", &ada.email).await.is(200);
    assert_told_to_wait(&log_in_from(&app, "192.0.2.1", &bob.email).await, 60);
    log_in_from(&app, "192.0.2.2", &bob.email).await.is(200);
    app.close().await;
}

#[tokio::test]
async fn guessing_the_current_password_is_signing_in() {
    let app = limited(|config| config.auth.login_per_minute = ONE).await;
    let ada = app.student().await;
    let change = |current: &str| {
        let body = json!({"current_password": current, "new_password": "battery staple"});
        let ada = &ada;
        async move { ada.put("/auth/me/password", body).await }
    };
    change("wrong horse").await.refused(401, "wrong_credentials");
    assert_told_to_wait(&change(PASSWORD).await, 60);
    assert_told_to_wait(&log_in(&app, &ada.email, PASSWORD).await, 60);
    app.close().await;
}

#[tokio::test]
async fn an_address_makes_only_so_many_accounts() {
    let app = limited(|config| config.auth.register_per_hour_per_address = ONE).await;
    register(&app, "ada@example.org").await.is(201);
    assert_told_to_wait(&register(&app, "bob@example.org").await, 3_600);
    log_in(&app, "bob@example.org", PASSWORD).await.refused(401, "wrong_credentials");
    app.close().await;
}

#[tokio::test]
async fn an_address_refreshes_only_so_often() {
    let app = limited(|config| config.auth.login_per_minute_per_address = ONE).await;
    // Twenty a minute; a slow machine gets a few more.
    for _ in 0..200 {
        let reply = refresh(&app, "no token").await;
        if reply.status != 401 {
            assert_told_to_wait(&reply, 3);
            return app.close().await;
        }
    }
    panic!("nobody was refused");
}
