//! A start with an `Idempotency-Key` starts one session, however often it is sent.

use std::time::Duration;

use futures_util::future::join_all;
use murph::{
    domain::ledger::{Once, Operation},
    error::Error,
    id::LoginId,
    service::{
        sessions::{Started, start_once},
        tickets,
    },
};
use serde_json::json;

use super::{Class, START, assert_has, end, session_of};
use crate::{
    harness::{PASSWORD, start_of},
    world::{World, session_of as outcome_of, settle_after, start_for},
};

const DAY: Duration = Duration::from_hours(24);

fn once(key: &str) -> Once {
    Once { key: key.into(), request_hash: [7; 32] }
}

#[tokio::test]
async fn sent_again_it_answers_with_the_same_session_and_a_new_ticket() {
    let class = Class::gather().await;
    let (student, app) = (&class.student, &class.app.app);
    let body = || json!({"course_id": class.course});
    let first = student.post_once(START, "key", body()).await.is(201);
    assert!(!first.is_replayed());
    let session = session_of(&first);

    app.clock.advance(tickets::LIFETIME);
    let old = first.body["ticket"].as_str().unwrap();
    assert!(tickets::redeem(app, old, session, app.clock.now()).is_err());
    let again = student.post_once(START, "key", body()).await.is(201);
    assert!(again.is_replayed());
    assert_eq!(again.body["session"], first.body["session"]);
    assert_eq!(again.body["ws_url"], first.body["ws_url"]);
    let new = again.body["ticket"].as_str().unwrap();
    assert_eq!(tickets::redeem(app, new, session, app.clock.now()).unwrap().session_id, session);

    // It is the session as it is now, also when it has ended.
    end(student, session).await.is(200);
    let late = student.post_once(START, "key", body()).await.is(201);
    assert!(late.is_replayed());
    assert_eq!(session_of(&late), session);
    assert_eq!(late.body["session"]["status"], "cancelled");
    assert!(late.body["ticket"].is_null());
    assert_has(student, ["100.00", "0.00", "100.00"]).await;
    class.app.close().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_student() {
    let class = Class::gather().await;
    let other = class.app.student_with("100.00").await;
    let body = json!({"course_id": class.course});
    let first = class.student.post_once(START, "key", body.clone()).await.is(201);
    for (name, value) in [
        ("lock_amount", json!("30.00")),
        ("spending_cap", json!("30.00")),
        ("auto_extend", json!(false)),
        ("course_id", json!(class.app.course(&class.teacher, "0.60").await)),
    ] {
        let mut changed = body.clone();
        changed[name] = value;
        let reply = class.student.post_once(START, "key", changed).await;
        reply.refused(422, "idempotency_key_reused");
    }
    let top_up = class.student.post_once("/payments/wallet/top-ups", "key", json!({"amount": 5}));
    top_up.await.refused(422, "idempotency_key_reused");
    // Another way to say the same.
    let same = json!({"auto_extend": true, "course_id": class.course});
    assert!(class.student.post_once(START, "key", same).await.is(201).is_replayed());
    let others = other.post_once(START, "key", body.clone()).await.is(201);
    assert!(!others.is_replayed());
    assert_ne!(session_of(&others), session_of(&first));
    class.student.post_once(START, "Key", body).await.refused(409, "session_active");
    class.app.close().await;
}

#[tokio::test]
async fn a_key_of_a_payment_is_none_for_a_start() {
    let class = Class::gather().await;
    let top_up = json!({"amount": "5.00"});
    class.student.post_once("/payments/wallet/top-ups", "key", top_up).await.is(201);
    let start = class.student.post_once(START, "key", json!({"course_id": class.course})).await;
    start.refused(422, "idempotency_key_reused");
    assert_has(&class.student, ["105.00", "0.00", "105.00"]).await;
    class.app.close().await;
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again() {
    let class = Class::gather().await;
    let poor = class.app.student_with("1.00").await;
    let dear = class.app.course(&class.teacher, "5.00").await;
    let start = || poor.post_once(START, "key", json!({"course_id": dear}));
    start().await.refused(402, "insufficient_funds");
    poor.top_up("9.00").await;
    let started = start().await.is(201);
    assert!(!started.is_replayed());
    assert_has(&poor, ["10.00", "10.00", "0.00"]).await;
    class.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_under_one_key_are_one() {
    let class = Class::gather().await;
    for round in ["first", "second", "third"] {
        let body = json!({"course_id": class.course, "lock_amount": "100.00"});
        let starts = (0..12).map(|_| class.student.post_once(START, round, body.clone()));
        let replies: Vec<_> =
            join_all(starts).await.into_iter().map(|reply| reply.is(201)).collect();
        let session = session_of(&replies[0]);
        assert!(replies.iter().all(|reply| session_of(reply) == session), "{replies:?}");
        assert_eq!(replies.iter().filter(|reply| !reply.is_replayed()).count(), 1);
        assert_has(&class.student, ["100.00", "100.00", "0.00"]).await;
        end(&class.student, session).await.is(200);
    }
    class.app.close().await;
}

/// Two bodies under one key: whoever comes first has it, and the other is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_requests_under_one_key_one_is_done() {
    let class = Class::gather().await;
    let bodies = ["10.00", "20.00", "10.00", "20.00", "10.00", "20.00"]
        .map(|amount| json!({"course_id": class.course, "lock_amount": amount}));
    let starts = bodies.iter().map(|body| class.student.post_once(START, "key", body.clone()));
    let replies = join_all(starts).await;
    let done: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(done.len(), 3, "{replies:?}");
    assert!(done.iter().all(|reply| session_of(reply) == session_of(done[0])));
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(422, "idempotency_key_reused");
    }
    class.app.close().await;
}

#[tokio::test]
async fn a_key_is_kept_for_a_day() {
    let class = Class::gather().await;
    let body = || json!({"course_id": class.course});
    let first = class.student.post_once(START, "key", body()).await.is(201);
    end(&class.student, session_of(&first)).await.is(200);

    class.app.app.clock.advance(DAY);
    let student = class.app.log_in(&class.student.email, PASSWORD).await;
    let kept = student.post_once(START, "key", body()).await.is(201);
    assert_eq!((session_of(&kept), kept.is_replayed()), (session_of(&first), true));

    class.app.app.clock.advance(Duration::from_micros(1));
    let other = json!({"course_id": class.course, "lock_amount": "5.00"});
    let new = student.post_once(START, "key", other.clone()).await.is(201);
    assert!(!new.is_replayed());
    assert_ne!(session_of(&new), session_of(&first));
    let again = student.post_once(START, "key", other).await.is(201);
    assert_eq!((session_of(&again), again.is_replayed()), (session_of(&new), true));
    class.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_nodes_one_key_is_one_session() {
    let world = World::with_nodes(3).await;
    for (price, wallet) in [("0.60", "30.00"), ("0.60", "70.00"), ("0.00", "1.00")] {
        let course = world.course(price).await;
        let student = world.student_with(wallet).await;
        let starts = (0..30).map(|nth| {
            let (app, student, course) = (world.node(nth), &student, course.id);
            async move {
                let now = app.clock.now();
                start_once(app, student, &start_of(course), Some(once("key")), now).await
            }
        });
        let started: Vec<Started> =
            join_all(starts).await.into_iter().map(Result::unwrap).collect();
        assert!(started.iter().all(|one| one.session == started[0].session));
        assert_eq!(started.iter().filter(|one| !one.is_replayed).count(), 1);
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM sessions").await, 3);
    assert_eq!(world.count("SELECT COUNT(*) FROM idempotency_keys").await, 3);
    world.close().await;
}

/// The key is taken though the session it started has ended: nothing but the key is in the way.
#[tokio::test]
async fn a_key_that_is_taken_does_not_sink_its_batch() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let keyed = |start: Operation| match start {
        Operation::Start(mut start) => {
            start.once = Some(once("key"));
            Operation::Start(start)
        }
        _ => unreachable!("it is a start"),
    };
    let writer = &world.app().writer;
    let first = outcome_of(writer.submit(keyed(start_for(student.id, &course))).await);
    writer.submit(settle_after(&first, Duration::from_mins(1))).await.unwrap();

    let mut operations = Vec::new();
    for _ in 0..10 {
        operations.push(start_for(world.student_with("30.00").await.id, &course));
    }
    operations.insert(4, keyed(start_for(student.id, &course)));
    let outcomes = join_all(operations.into_iter().map(|one| writer.submit(one))).await;

    let Err(error) = &outcomes[4] else { panic!("started twice under one key") };
    assert!(error.is_unique_violation(), "{error:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);

    // Whoever sent it gets the first session all the same.
    let mut request = start_of(course.id);
    request.login_id = Some(LoginId::new(world.clock.now()));
    let now = world.clock.now();
    let again = start_once(world.app(), &student, &request, Some(once("key")), now).await.unwrap();
    assert_eq!((again.session.id, again.is_replayed), (first.id, true));
    let other = Once { key: "key".into(), request_hash: [8; 32] };
    let refused = start_once(world.app(), &student, &request, Some(other), now).await;
    assert!(matches!(refused, Err(Error::IdempotencyKeyReused)), "{refused:?}");
    world.close().await;
}
