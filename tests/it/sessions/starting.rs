//! Starting a session: what it holds, what it answers, and when it is refused.

use futures_util::future::join_all;
use murph::{domain::session::SessionStatus, id::CourseId, service::tickets};
use serde_json::{Value, json};

use super::{Class, START, assert_has, assert_refused_for, end, id, session_of};
use crate::harness::TestApp;

#[tokio::test]
async fn starting_holds_funds_and_says_where_to_connect() {
    let class = Class::gather().await;
    let Class { app, teacher, student, course } = &class;
    let started = student.post(START, json!({"course_id": course})).await.is(201);
    let session = session_of(&started);
    assert_eq!(
        started.body["session"],
        json!({
            "id": session, "student_id": student.id, "course_id": course,
            "course_title": "A course", "teacher_id": teacher.id, "status": "active",
            "phase": started.body["session"]["phase"], "price_per_minute": "0.60",
            "currency": "USD", "held": "30.00", "watched_ms": 0, "cost": "0.00",
            "refund": "0.00", "spending_cap": null, "auto_extend": true,
            "started_at": app.now(), "ended_at": null, "end_reason": null, "watch_percentage": 0,
        })
    );
    assert_ne!(started.body["session"]["phase"], "settled");
    let ws_url = format!("{}/ws/session/{session}", app.url.replace("http", "ws"));
    assert_eq!(started.body["ws_url"], ws_url.as_str());
    let ticket = started.body["ticket"].as_str().unwrap();
    let ticket = tickets::redeem(&app.app, ticket, session, app.now()).unwrap();
    assert_eq!((ticket.user_id, ticket.entries), (student.id, 0));
    assert_has(student, ["100.00", "30.00", "70.00"]).await;

    let kept = class.find(session).await;
    assert_eq!((kept.node_id, kept.login_id), (Some(app.app.node_id), Some(ticket.login_id)));
    assert_eq!(kept.status, SessionStatus::Active);
    class.app.close().await;
}

#[tokio::test]
async fn behind_a_proxy_the_player_is_sent_to_the_proxy() {
    let app = TestApp::start_with(|config| {
        config.server.public_url = "https://murph.example.org/api/".into();
    })
    .await;
    let (teacher, student) = (app.teacher().await, app.student().await);
    let course = app.course(&teacher, "0").await;
    let started = student.post(START, json!({"course_id": course})).await.is(201);
    let ws_url = format!("wss://murph.example.org/api/ws/session/{}", session_of(&started));
    assert_eq!(started.body["ws_url"], ws_url.as_str());
    app.close().await;
}

#[tokio::test]
async fn a_free_course_holds_nothing_and_needs_no_wallet() {
    let app = TestApp::start_with(|config| config.node.answer_ms = 50).await;
    let (teacher, student) = (app.teacher().await, app.student().await);
    let course = app.course(&teacher, "0").await;
    let started = student.post(START, json!({"course_id": course})).await.is(201);
    assert_eq!(started.body["session"]["held"], "0.00");
    assert_has(&student, ["0.00", "0.00", "0.00"]).await;
    let receipt = end(&student, session_of(&started)).await.is(200);
    assert_eq!(receipt.body["free_reason"], "free_course");
    assert_eq!((&receipt.body["cost"], &receipt.body["refund"]), (&json!("0.00"), &json!("0.00")));
    app.close().await;
}

#[tokio::test]
async fn the_hold_is_the_smallest_of_what_is_wanted_owned_and_allowed() {
    let class = Class::gather().await;
    let (student, course) = (&class.student, class.course);
    for (wishes, held) in [
        (json!({}), "30.00"),
        (json!({"lock_amount": "12.345678"}), "12.345678"),
        (json!({"lock_amount": 0.6}), "0.60"),
        (json!({"lock_amount": 1_000}), "100.00"),
        (json!({"spending_cap": "5.00"}), "5.00"),
        (json!({"spending_cap": "500", "lock_amount": "40"}), "40.00"),
        (json!({"spending_cap": "20", "lock_amount": "40", "auto_extend": false}), "20.00"),
    ] {
        let mut body = wishes.clone();
        body["course_id"] = json!(course);
        let started = student.post(START, body).await.is(201).body["session"].clone();
        assert_eq!(started["held"], held, "{wishes}");
        assert_eq!(started["auto_extend"], wishes.get("auto_extend") != Some(&json!(false)));
        assert_eq!(started["spending_cap"].is_null(), wishes.get("spending_cap").is_none());
        end(student, id(&started["id"])).await.is(200);
        assert_has(student, ["100.00", "0.00", "100.00"]).await;
    }
    class.app.close().await;
}

#[tokio::test]
async fn what_does_not_fit_a_start_is_refused_by_name() {
    let class = Class::gather().await;
    for (field, value) in [
        ("lock_amount", json!("0")),
        ("lock_amount", json!("-1")),
        ("lock_amount", json!("1000000000.000001")),
        ("lock_amount", json!("0.0000001")),
        ("lock_amount", json!("1e400")),
        ("lock_amount", json!("all")),
        // One minute costs 0.60.
        ("lock_amount", json!("0.599999")),
        ("spending_cap", json!(0)),
        ("spending_cap", json!(-0.01)),
        ("spending_cap", json!("0.599999")),
        ("spending_cap", json!([])),
        ("auto_extend", json!("yes")),
        ("course_id", json!("x")),
        ("student_id", json!(class.teacher.id)),
        ("price_per_minute", json!("0")),
    ] {
        let mut body = json!({"course_id": class.course});
        body[field] = value;
        assert_refused_for(&class.student.post(START, body).await, field);
    }
    assert_refused_for(&class.student.post(START, json!({})).await, "course_id");
    let nowhere = json!({"course_id": CourseId::new(class.app.now())});
    class.student.post(START, nowhere).await.refused(404, "not_found");
    assert_has(&class.student, ["100.00", "0.00", "100.00"]).await;
    class.app.close().await;
}

#[tokio::test]
async fn who_has_too_little_is_told_how_much_it_takes() {
    let class = Class::gather().await;
    let (poor, stranger) = (class.app.student_with("1.00").await, class.app.student().await);
    let dear = class.app.course(&class.teacher, "1.000001").await;
    let refused = poor.post(START, json!({"course_id": dear})).await;
    refused.refused(402, "insufficient_funds");
    assert_eq!(
        (&refused.body["required"], &refused.body["available"]),
        (&json!("1.000001"), &json!("1.00"))
    );
    let body = json!({"course_id": class.course});
    stranger.post(START, body.clone()).await.refused(409, "wallet_not_connected");
    class.teacher.post(START, body).await.refused(403, "forbidden");
    assert_has(&poor, ["1.00", "0.00", "1.00"]).await;
    class.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_starts_one_succeeds_and_the_others_name_it() {
    let class = Class::gather().await;
    let body = json!({"course_id": class.course, "lock_amount": "100"});
    let replies = join_all((0..10).map(|_| class.student.post(START, body.clone()))).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    let [won] = &won[..] else { panic!("{} sessions were started", won.len()) };
    for reply in &lost {
        // All funds are held, and still it is the session that is in the way.
        reply.refused(409, "session_active");
        assert_eq!(reply.body["session_id"], json!(session_of(won)));
    }
    assert_has(&class.student, ["100.00", "100.00", "0.00"]).await;
    class.app.close().await;
}

#[tokio::test]
async fn the_session_one_has_open_can_be_asked_for() {
    let class = Class::gather().await;
    class.student.get("/sessions/active").await.refused(404, "not_found");
    let session = class.start().await;
    let active = class.student.get("/sessions/active").await.is(200);
    assert_eq!((id(&active.body["id"]), &active.body["status"]), (session, &json!("active")));
    let shown = class.student.get(&format!("/sessions/{session}")).await.is(200);
    assert_eq!(shown.body, active.body);
    end(&class.student, session).await.is(200);
    class.student.get("/sessions/active").await.refused(404, "not_found");
    let shown = class.student.get(&format!("/sessions/{session}")).await.is(200);
    let seen = ["status", "phase", "end_reason", "refund"].map(|name| shown.body[name].clone());
    let expected: [Value; 4] =
        ["cancelled", "settled", "ended_by_student", "30.00"].map(Value::from);
    assert_eq!(seen, expected);
    class.app.close().await;
}
