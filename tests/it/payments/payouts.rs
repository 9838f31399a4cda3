//! Earnings go out to the teacher who earned them, and no more than was earned.

use futures_util::future::join_all;
use serde_json::json;

use super::{BALANCE, PAYOUTS, assert_owns, history, teacher_who_sold};
use crate::harness::TestApp;

#[tokio::test]
async fn a_teacher_takes_out_what_was_earned() {
    let app = TestApp::start().await;
    let teacher = teacher_who_sold(&app, 20).await;
    assert_owns(&teacher, "18.00").await;
    let reply = teacher.post(PAYOUTS, json!({"amount": "17.999999"})).await.is(201);
    assert_eq!(
        (&reply.body["amount"], &reply.body["currency"]),
        (&json!("17.999999"), &json!("USD"))
    );
    assert_eq!(
        (&reply.body["status"], &reply.body["provider"]),
        (&json!("completed"), &json!("sandbox"))
    );
    assert_owns(&teacher, "0.000001").await;
    app.close().await;
}

#[tokio::test]
async fn nobody_takes_out_more_than_was_earned() {
    let app = TestApp::start().await;
    let (teacher, other) = (teacher_who_sold(&app, 20).await, app.teacher().await);
    for (person, currency, available) in
        [(&teacher, "USD", "18.00"), (&teacher, "EUR", "0.00"), (&other, "USD", "0.00")]
    {
        let body = json!({"amount": "18.000001", "currency": currency});
        let reply = person.post(PAYOUTS, body).await;
        reply.refused(402, "insufficient_funds");
        assert_eq!(reply.body["required"], "18.000001");
        assert_eq!(reply.body["available"], available, "{reply:?}");
    }
    assert_owns(&teacher, "18.00").await;
    assert_owns(&other, "0.00").await;
    assert!(history(&teacher, "type=payout").await.is_empty());
    app.close().await;
}

#[tokio::test]
async fn a_payout_has_a_smallest_amount() {
    let app = TestApp::start().await;
    let teacher = teacher_who_sold(&app, 20).await;
    for amount in ["9.999999", "0.000001", "1000000000.000001"] {
        let reply = teacher.post(PAYOUTS, json!({"amount": amount})).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], "amount", "{reply:?}");
    }
    teacher.post(PAYOUTS, json!({"amount": "10"})).await.is(201);
    assert_owns(&teacher, "8.00").await;
    app.close().await;
}

#[tokio::test]
async fn a_wallet_is_not_paid_out() {
    let app = TestApp::start().await;
    let (ada, admin) = (app.student_with("30.00").await, app.admin().await);
    for person in [&ada, &admin] {
        person.post(PAYOUTS, json!({"amount": "10"})).await.refused(403, "forbidden");
    }
    assert_owns(&ada, "30.00").await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payouts_at_once_never_overdraw() {
    let app = TestApp::start().await;
    let teacher = teacher_who_sold(&app, 30).await;
    let pay_out = |_| teacher.post(PAYOUTS, json!({"amount": "10"}));
    let replies = join_all((0..10).map(pay_out)).await;
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(done.len(), 2, "{replies:?}");
    for reply in refused {
        reply.refused(402, "insufficient_funds");
    }
    assert_owns(&teacher, "7.00").await;
    assert_eq!(history(&teacher, "type=payout").await.len(), 2);
    app.close().await;
}

#[tokio::test]
async fn who_teaches_gets_nine_tenths_and_the_platform_the_rest() {
    let app = TestApp::start().await;
    let (teacher, admin) = (teacher_who_sold(&app, 25).await, app.admin().await);
    assert_owns(&teacher, "22.50").await;
    assert_eq!(admin.get(BALANCE).await.is(200).body["posted"], "2.50");
    app.close().await;
}
