//! What looking costs: statements are counted as sqlx reports them, which it does where they can be
//! told apart on PostgreSQL only.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use murph::{
    db::{Db, Tx},
    domain::calendar::Zone,
    service::earnings,
};
use tracing::{Event, Subscriber, instrument::WithSubscriber};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

use super::{MINUTE, start};
use crate::harness::postgres_url;

#[derive(Clone, Default)]
struct Statements(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// How many statements something asks, and what it comes to.
async fn counted<T>(work: impl Future<Output = T>) -> (usize, T) {
    // While there is one subscriber alone, tracing believes of an event that is new to it what the thread's
    // own subscriber says: other tests have none.
    let _second = tracing::Dispatch::new(registry());
    let statements = Statements::default();
    let result = work.with_subscriber(registry().with(statements.clone())).await;
    (statements.0.load(Ordering::SeqCst), result)
}

#[tokio::test]
async fn a_dashboard_asks_as_often_for_many_courses_as_for_one() {
    let app = start().await;
    let teacher = app.teacher().await;
    let student = app.student_with("100.00").await;
    let (zone, mut asked) = (Zone::utc(), Vec::new());
    for courses in [1, 24] {
        for _ in 0..courses {
            app.app.clock.advance(MINUTE);
            let course = app.course(&teacher, "0.10").await;
            app.watched(&student, course, MINUTE).await;
        }
        let work = earnings::dashboard(&app.app, teacher.id, &zone, app.now());
        let (statements, dashboard) = counted(work).await;
        let shown = serde_json::to_value(dashboard.unwrap()).unwrap();
        let shown = shown["courses"].as_array().unwrap();
        assert_eq!(shown.len(), 20.min(courses));
        assert!(shown.iter().all(|course| course["title"] == "A course"), "{shown:#?}");
        asked.push(statements);
    }
    if postgres_url().is_some() {
        assert!(asked[0] > 0);
        assert_eq!(asked[0], asked[1]);
    }
    app.close().await;
}

#[tokio::test]
async fn views_of_one_teacher_share_what_they_read() {
    let app = start().await;
    let teacher = app.teacher().await;
    let [one, other] = [(); 2].map(|()| app.app.views.open(teacher.id).unwrap());
    let zone = Zone::utc();
    let look = async |view: &earnings::View| {
        let work = earnings::live(&app.app, view, &zone, app.now());
        let (statements, live) = counted(work).await;
        (statements, live.unwrap())
    };
    // It is kept for a moment only, so on a slow machine not the first time.
    let mut shared = 0;
    for _ in 0..100 {
        let ((first, seen), (second, same)) = (look(&one).await, look(&other).await);
        assert_eq!(seen, same);
        shared += usize::from(first > 0 && second == 0);
    }
    assert!(shared > 0 || postgres_url().is_none());
    app.close().await;
}

#[tokio::test]
async fn a_snapshot_for_a_request_does_not_last_for_ever() {
    let app = start().await;
    if let Db::Postgres { .. } = &app.app.db {
        for (mut tx, timeout) in [
            (app.app.db.snapshot().await.unwrap(), "10s"),
            (app.app.db.unhurried_snapshot().await.unwrap(), "0"),
        ] {
            let Tx::Postgres(tx) = &mut tx else { unreachable!("it is PostgreSQL") };
            let set: String =
                sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut **tx).await.unwrap();
            assert_eq!(set, timeout);
        }
    }
    app.close().await;
}
