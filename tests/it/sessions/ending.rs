//! Ending a session: by whom, wherever it is metered, and once.

use std::time::Duration;

use futures_util::future::join_all;
use murph::{
    app::App,
    bus::{Heard, Inbox, Notice},
    db,
    domain::{
        session::{EndReason, Session, SessionStatus},
        stretch::{Stretch, StretchKind},
        user::User,
    },
    error::Error,
    id::{LoginId, SessionId},
    service::{
        identity::Caller,
        sessions::{self as service, End},
    },
};
use serde_json::json;

use super::{Class, assert_has, end};
use crate::{
    harness::{TestDatabase, start_of},
    world::{World, execute},
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn ending_twice_gives_the_same_receipt() {
    let class = Class::gather().await;
    let session = class.start().await;
    let first = end(&class.student, session).await.is(200);
    assert_eq!(
        first.body,
        json!({
            "session_id": session, "course_id": class.course, "course_title": "A course",
            "status": "cancelled", "end_reason": "ended_by_student",
            "started_at": class.app.now(), "ended_at": class.app.now(), "currency": "USD",
            "price_per_minute": "0.60", "watched_ms": 0, "cost": "0.00", "held": "30.00",
            "refund": "30.00", "was_free": true, "free_reason": "short_session",
            "split": {"teacher": "0.00", "platform": "0.00", "partners": []},
            "stretches": [], "videos": [],
        })
    );
    class.app.app.clock.advance(MINUTE);
    assert_eq!(end(&class.student, session).await.is(200).text, first.text);
    let receipt = class.student.get(&format!("/sessions/{session}/receipt")).await.is(200);
    assert_eq!(receipt.text, first.text);
    assert_has(&class.student, ["100.00", "0.00", "100.00"]).await;
    class.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_many_times_at_once_settles_once() {
    let class = Class::gather().await;
    let admin = class.app.admin().await;
    let session = class.start().await;
    let ends = (0..50).map(|nth| end(if nth % 5 == 0 { &admin } else { &class.student }, session));
    let replies = join_all(ends).await;
    let kept = end(&class.student, session).await.is(200);
    for reply in replies {
        assert_eq!(reply.is(200).text, kept.text);
    }
    // The books are checked: there is one settlement.
    assert_has(&class.student, ["100.00", "0.00", "100.00"]).await;
    class.app.close().await;
}

#[tokio::test]
async fn an_admin_ends_a_session_and_a_teacher_does_not() {
    let class = Class::gather().await;
    let (admin, other) = (class.app.admin().await, class.app.student().await);
    let session = class.start().await;
    end(&class.teacher, session).await.refused(403, "forbidden");
    end(&other, session).await.refused(404, "not_found");
    end(&admin, SessionId::new(class.app.now())).await.refused(404, "not_found");
    assert_has(&class.student, ["100.00", "30.00", "70.00"]).await;
    let receipt = end(&admin, session).await.is(200);
    assert_eq!(receipt.body["end_reason"], "ended_by_admin");
    assert_has(&class.student, ["100.00", "0.00", "100.00"]).await;
    class.app.close().await;
}

// Without a server, so that the test can be the meter.

/// One node that waits patiently, and what it hears.
async fn patient_world() -> (World, Inbox) {
    let database = TestDatabase::migrated().await;
    // Far longer than a test takes: who waits for it in vain fails.
    let world = World::start_on(database, 2, |config| config.node.answer_ms = 10_000).await;
    let inbox = world.app().listen();
    (world, inbox)
}

async fn started(world: &World, student: &User) -> Session {
    let course = world.course("0.60").await;
    let now = world.clock.now();
    service::start(world.app(), student, &start_of(course.id), now).await.unwrap()
}

fn caller(user: &User) -> Caller {
    Caller { user: user.clone(), login_id: LoginId::new(user.created_at) }
}

fn watched(span: Duration, actor: &User) -> End {
    let ms = u64::try_from(span.as_millis()).unwrap();
    End {
        watched: span,
        stretches: vec![Stretch(StretchKind::Watched, ms)],
        reason: EndReason::EndedByStudent,
        actor: Some(actor.id),
    }
}

/// The next wish to end a session that is heard.
async fn next_end(inbox: &mut Inbox) -> (SessionId, EndReason, u64) {
    loop {
        match inbox.recv().await.unwrap() {
            Heard::Notice(Notice::End { session_id, reason, answer, .. }) => {
                return (session_id, reason, answer.request);
            }
            Heard::Started(_) => {}
            other => panic!("heard {other:?}"),
        }
    }
}

async fn set_node(app: &App, sql: &str) {
    let mut tx = app.db.begin().await.unwrap();
    execute(&mut tx, sql).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_node_that_meters_a_session_is_asked_to_end_it() {
    let (world, mut inbox) = patient_world().await;
    let (app, student) = (world.app(), world.student_with("30.00").await);
    let session = started(&world, &student).await;
    let (asker, now) = (caller(&student), world.clock.now());

    let wish = service::end(app, &asker, session.id, now);
    let meter = async {
        let (id, reason, request) = next_end(&mut inbox).await;
        assert_eq!((id, reason), (session.id, EndReason::EndedByStudent));
        let end = watched(5 * MINUTE, &student);
        service::settle(app, session.clone(), end, now).await.unwrap();
        app.errands.done(request, None);
    };
    let (settled, ()) = tokio::join!(wish, meter);

    let settled = settled.unwrap();
    assert!(!settled.by_this_call);
    assert_eq!(settled.session.watched, 5 * MINUTE);
    // Ended, nobody is asked.
    let again = service::end(app, &asker, session.id, now).await.unwrap();
    assert_eq!(again, settled);
    assert!(inbox.try_recv().is_err());
    world.close().await;
}

#[tokio::test]
async fn a_node_that_answers_and_does_nothing_does_not_hold_it_up() {
    let (world, mut inbox) = patient_world().await;
    let (app, student) = (world.app(), world.student_with("30.00").await);
    let session = started(&world, &student).await;
    let (asker, now) = (caller(&student), world.clock.now() + MINUTE);

    let wish = service::end(app, &asker, session.id, now);
    let meter = async { app.errands.done(next_end(&mut inbox).await.2, None) };
    let (settled, ()) = tokio::join!(wish, meter);

    let settled = settled.unwrap();
    assert!(settled.by_this_call);
    assert_eq!(settled.session.status, SessionStatus::Cancelled);
    assert_eq!(settled.session.stretches, [Stretch(StretchKind::Opening, 60_000)]);
    world.close().await;
}

#[tokio::test]
async fn a_session_that_changes_hands_meanwhile_is_ended_all_the_same() {
    let (world, mut inbox) = patient_world().await;
    let (app, student) = (world.app(), world.student_with("30.00").await);
    let session = started(&world, &student).await;
    let (asker, now) = (caller(&student), world.clock.now() + 3 * MINUTE);

    let wish = service::end(app, &asker, session.id, now);
    let meter = async {
        // Each time that one is asked, another has it by the time it is settled.
        let (_, _, request) = next_end(&mut inbox).await;
        set_node(
            app,
            "UPDATE sessions SET fence = fence + 1, node_id = NULL, watched_ms = 60000,
               stretches = '[[\"opening\",1000],[\"watched\",45000]]'",
        )
        .await;
        app.errands.done(request, None);
    };
    let (settled, ()) = tokio::join!(wish, meter);

    let kept = settled.unwrap().session;
    assert_eq!(kept.watched, MINUTE);
    let story = [
        (StretchKind::Opening, 1_000),
        (StretchKind::Watched, 60_000),
        (StretchKind::NodeLost, 119_000),
    ];
    assert_eq!(kept.stretches, story.map(|(kind, ms)| Stretch(kind, ms)));
    assert_eq!(kept.cost.to_string(), "0.60");
    assert_eq!(world.find(session.id).await, kept);
    world.close().await;
}

/// What this one saw of it is out of date when it comes to settle.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_fence_goes_up_an_end_tries_again() {
    let database = TestDatabase::migrated().await;
    let world = World::start_on(database, 2, |config| config.node.answer_ms = 1).await;
    let student = world.student_with("30.00").await;
    for _ in 0..10 {
        let session = started(&world, &student).await;
        let (asker, now) = (caller(&student), world.clock.now());
        let ends = (0..4).map(|nth| service::end(world.node(nth), &asker, session.id, now));
        let rise = "UPDATE sessions SET fence = fence + 1 WHERE status = 'active'";
        let rises = (0..2).map(|nth| set_node(world.node(nth), rise));
        let (ended, _) = tokio::join!(join_all(ends), join_all(rises));
        for settled in ended {
            assert_ne!(settled.unwrap().session.status, SessionStatus::Active);
        }
    }
    world.close().await;
}

#[tokio::test]
async fn a_session_of_a_node_that_is_gone_is_settled_here() {
    let database = TestDatabase::migrated().await;
    let world = World::start_on(database, 2, |config| config.node.answer_ms = 1).await;
    let student = world.student_with("30.00").await;
    let session = started(&world, &student).await;
    let now = world.clock.now();
    // Node 1 asks node 0, which does not listen.
    let settled = service::end(world.node(1), &caller(&student), session.id, now).await.unwrap();
    assert!(settled.by_this_call);
    let mut teacher = student.clone();
    teacher.role = murph::domain::user::Role::Teacher;
    let refused = service::end(world.app(), &caller(&teacher), session.id, now).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let mut tx = world.app().db.read().await.unwrap();
    let active = db::sessions::find_active(&mut tx, student.id).await.unwrap();
    assert_eq!(active, None);
    drop(tx);
    world.close().await;
}
