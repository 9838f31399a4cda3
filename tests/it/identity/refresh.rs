//! Chains of refresh tokens: each is traded once, and whoever trades one twice loses the chain.

use std::time::Duration;

use super::{assert_signed_in, assert_signed_out, me, refresh};
use crate::harness::{PASSWORD, Person, TestApp};

/// Longer than an answer may be asked for again.
const TOO_LATE: Duration = Duration::from_secs(11);

const DAY: Duration = Duration::from_hours(24);

/// The sign-in after one more trade.
async fn next(app: &TestApp, person: &Person) -> Person {
    let reply = refresh(app, &person.refresh_token).await.is(200);
    app.person(person.email.clone(), &reply.body)
}

#[tokio::test]
async fn each_trade_gives_new_tokens_of_the_same_person() {
    let app = TestApp::start().await;
    let first = app.student().await;
    app.app.clock.advance(TOO_LATE);
    let second = next(&app, &first).await;
    app.app.clock.advance(TOO_LATE);
    let third = next(&app, &second).await;
    assert_eq!((first.id, first.id), (second.id, third.id));
    let tokens = [&first.refresh_token, &second.refresh_token, &third.refresh_token];
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2]);
    assert_signed_in(&app, &third).await;
    app.close().await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_some_seconds() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let successor = next(&app, &ada).await;
    for _ in 0..2 {
        app.app.clock.advance(Duration::from_secs(5));
        let again = next(&app, &ada).await;
        assert_eq!(again.refresh_token, successor.refresh_token);
        assert_signed_in(&app, &again).await;
    }
    app.close().await;
}

#[tokio::test]
async fn a_token_that_comes_back_later_ends_its_whole_chain() {
    let app = TestApp::start().await;
    let stolen = app.student().await;
    let laptop = app.log_in(&stolen.email, PASSWORD).await;
    let successor = next(&app, &stolen).await;
    app.app.clock.advance(TOO_LATE);
    refresh(&app, &stolen.refresh_token).await.refused(401, "unauthenticated");
    assert_signed_out(&app, &stolen).await;
    assert_signed_out(&app, &successor).await;
    assert_signed_in(&app, &laptop).await;
    app.close().await;
}

#[tokio::test]
async fn a_token_whose_successor_was_used_ends_its_chain_at_once() {
    let app = TestApp::start().await;
    let stolen = app.student().await;
    let second = next(&app, &stolen).await;
    let third = next(&app, &second).await;
    refresh(&app, &stolen.refresh_token).await.refused(401, "unauthenticated");
    assert_signed_out(&app, &third).await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_trades_at_once_give_one_successor() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let trades = (0..8).map(|_| next(&app, &ada));
    let all = futures_util::future::join_all(trades).await;
    assert!(all.iter().all(|one| one.refresh_token == all[0].refresh_token));
    for one in &all {
        assert_signed_in(&app, one).await;
    }
    refresh(&app, &all[0].refresh_token).await.is(200);
    app.close().await;
}

#[tokio::test]
async fn a_sign_in_lasts_as_long_as_it_is_used() {
    let app = TestApp::start().await;
    let mut ada = app.student().await;
    for _ in 0..3 {
        app.app.clock.advance(DAY * 29);
        ada = next(&app, &ada).await;
        assert_signed_in(&app, &ada).await;
    }
    app.app.clock.advance(DAY * 30);
    assert_signed_out(&app, &ada).await;
    app.close().await;
}

#[tokio::test]
async fn what_is_no_refresh_token_trades_for_nothing() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let long = "x".repeat(5_000);
    let cut = &ada.refresh_token[1..];
    for token in ["", " ", "x", cut, &long, &ada.access_token, &ada.id.to_string()] {
        refresh(&app, token).await.refused(401, "unauthenticated");
    }
    me(&app, &ada.refresh_token).await.refused(401, "unauthenticated");
    next(&app, &ada).await;
    app.close().await;
}
