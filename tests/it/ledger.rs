//! The ledger and its writer on a real database: whatever comes together, money is moved once,
//! exactly, and whole.

use std::time::Duration;

use futures_util::future::join_all;
use murph::{
    app::App,
    db::{self, Tx},
    domain::{
        course::{Course, Partner, Split},
        ledger::{Done, Extend, JournalKind, Operation, Owner, Settled},
        session::{EndReason, Session, SessionStatus},
        user::User,
    },
    error::{Error, Result},
    id::CourseId,
    money::{BasisPoints, Money},
    service::{
        check,
        sessions::{self, End},
    },
};
use sqlx::AssertSqlSafe;

use crate::{
    harness::{TestDatabase, money, start_of},
    world::{
        GATEWAY, World, draft, execute, extend_by, payout_of, post, post_between, post_patiently,
        session_of, settle_after, start_for, top_up, usd,
    },
};

mod model;

const MINUTE: Duration = Duration::from_mins(1);

/// Hands in all at once, before the writer does any of them; to one node after the other.
async fn submit_all(world: &World, operations: Vec<Operation>) -> Vec<Result<Done>> {
    let submitted = operations.into_iter().enumerate();
    join_all(submitted.map(|(nth, operation)| world.node(nth).writer.submit(operation))).await
}

async fn started(world: &World, student: &User, course: &Course) -> Session {
    session_of(world.app().writer.submit(start_for(student.id, course)).await)
}

async fn settle(world: &World, session: &Session, watched: Duration) -> Settled {
    settled(world.app().writer.submit(settle_after(session, watched)).await)
}

#[track_caller]
fn settled(outcome: Result<Done>) -> Settled {
    match outcome {
        Ok(Done::Settled(settled)) => settled,
        other => panic!("not settled: {other:?}"),
    }
}

fn points(points: u16) -> BasisPoints {
    BasisPoints::new(points).unwrap()
}

#[tokio::test]
async fn of_many_starts_by_one_student_one_succeeds() {
    let world = World::with_nodes(2).await;
    // With 30.00 there is nothing left for the others: they are not told that, but why it is so.
    for (price, funds) in [("0.60", "45.00"), ("0.60", "30.00"), ("0.00", "30.00")] {
        let student = world.student_with(funds).await;
        let course = world.course(price).await;
        let starts = (0..100).map(|nth| {
            let (app, student, request) = (world.node(nth), &student, start_of(course.id));
            async move { sessions::start(app, student, &request, app.clock.now()).await }
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(starts).await.into_iter().partition(Result::is_ok);
        let [Ok(session)] = &won[..] else { panic!("{} sessions were started", won.len()) };
        for refused in &lost {
            assert!(
                matches!(refused, Err(Error::SessionActive(id)) if *id == session.id),
                "{refused:?}"
            );
        }
        assert_eq!(world.balance(Owner::Wallet(student.id)).await.1, session.held);
        settle(&world, session, MINUTE).await;
    }
    world.close().await;
}

#[tokio::test]
async fn what_is_held_for_one_session_does_not_pay_for_another() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let session = started(&world, &student, &course).await;

    let extends = vec![extend_by(&session, "0.01"); 10];
    for refused in submit_all(&world, extends).await {
        assert!(matches!(refused, Err(Error::InsufficientFunds { .. })), "{refused:?}");
    }
    let payouts = (0..10).map(|nth| {
        let ends = [Owner::Wallet(student.id), Owner::Gateway(GATEWAY.into())];
        let kind = JournalKind::Reversal;
        post(world.node(nth), post_between(kind, format!("reversal:{nth}"), ends, money("0.01")))
    });
    for refused in join_all(payouts).await {
        assert!(matches!(refused, Err(Error::InsufficientFunds { .. })), "{refused:?}");
    }
    assert_eq!(world.balance(Owner::Wallet(student.id)).await, (money("30.00"), money("30.00")));
    world.close().await;
}

#[tokio::test]
async fn of_many_settles_one_settles_and_all_get_its_receipt() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let session = started(&world, &student, &course).await;

    // Each has seen another time watched.
    let settles = (0..100).map(|nth| settle_after(&session, MINUTE + Duration::from_secs(nth)));
    let all: Vec<Settled> =
        submit_all(&world, settles.collect()).await.into_iter().map(settled).collect();

    assert_eq!(all.iter().filter(|settled| settled.by_this_call).count(), 1);
    let kept = world.find(session.id).await;
    assert!(all.iter().all(|settled| settled.session == kept), "somebody got another receipt");
    assert_eq!(
        world.balance(Owner::Wallet(student.id)).await,
        (money("30.00") - kept.cost, money("0"))
    );
    world.close().await;
}

#[tokio::test]
async fn a_refused_operation_does_not_sink_its_batch() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let poor = world.student_with("0.01").await;
    let mut operations = Vec::new();
    for _ in 0..20 {
        operations.push(start_for(world.student_with("30.00").await.id, &course));
    }
    operations.insert(7, start_for(poor.id, &course));

    let outcomes = submit_all(&world, operations).await;

    assert!(matches!(outcomes[7], Err(Error::InsufficientFunds { .. })), "{:?}", outcomes[7]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 20);
    world.close().await;
}

#[tokio::test]
async fn an_operation_the_database_refuses_does_not_sink_its_batch() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let nowhere = Course { id: CourseId::new(world.clock.now()), ..course.clone() };
    let unlucky = world.student_with("30.00").await;
    let mut operations = Vec::new();
    for _ in 0..20 {
        operations.push(start_for(world.student_with("30.00").await.id, &course));
    }
    operations.insert(7, start_for(unlucky.id, &nowhere));

    let outcomes = submit_all(&world, operations).await;

    assert!(matches!(outcomes[7], Err(Error::Database(_))), "{:?}", outcomes[7]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 20);
    assert_eq!(world.balance(Owner::Wallet(unlucky.id)).await, (money("30.00"), money("0")));
    world.close().await;
}

/// The writer has not had a chance to take anything while they are handed in, so exactly as many
/// are done as fit.
#[tokio::test]
async fn a_full_queue_refuses_at_once_and_leaves_nothing_half_done() {
    let world = World::start_on(TestDatabase::migrated().await, 1, |config| {
        config.ledger.queue_max = 4;
        config.ledger.batch_max = 3;
    })
    .await;
    let course = world.course("0.60").await;
    let mut operations = Vec::new();
    for _ in 0..10 {
        operations.push(start_for(world.student_with("30.00").await.id, &course));
    }

    let outcomes = submit_all(&world, operations).await;

    let (done, refused) = outcomes.split_at(4);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(Error::Busy))), "{refused:?}");
    assert_eq!(world.count("SELECT COUNT(*) FROM sessions").await, 4);
    world.close().await;
}

#[tokio::test]
async fn settling_what_was_extended_meanwhile_frees_the_whole_hold() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let seen = started(&world, &student, &course).await;
    let extended = session_of(world.node(1).writer.submit(extend_by(&seen, "10.00")).await);
    assert_eq!(extended.held, money("40.00"));

    // Longer than the first hold would have paid for.
    let receipt = settle(&world, &seen, 60 * MINUTE).await.session;

    assert_eq!((receipt.held, receipt.cost), (money("40.00"), money("36.00")));
    assert_eq!(world.balance(Owner::Wallet(student.id)).await, (money("14.00"), money("0")));
    world.close().await;
}

#[tokio::test]
async fn settling_or_extending_what_has_ended_meanwhile_changes_nothing() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let seen = started(&world, &student, &course).await;
    let receipt = settled(world.node(1).writer.submit(settle_after(&seen, MINUTE)).await);
    assert!(receipt.by_this_call);
    // In what it freed, another session has begun.
    let other = started(&world, &student, &course).await;

    let again = settle(&world, &seen, 5 * MINUTE).await;
    let refused = world.app().writer.submit(extend_by(&seen, "1.00")).await;

    assert_eq!(again, Settled { by_this_call: false, ..receipt });
    assert!(matches!(refused, Err(Error::SessionEnded)), "{refused:?}");
    assert_eq!(world.balance(Owner::Wallet(student.id)).await, (money("49.40"), other.held));
    world.close().await;
}

#[tokio::test]
async fn a_session_that_changed_hands_is_out_of_reach() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let seen = started(&world, &student, &course).await;
    world.sql("UPDATE sessions SET fence = fence + 1").await;

    for operation in [settle_after(&seen, MINUTE), extend_by(&seen, "1.00")] {
        let refused = world.app().writer.submit(operation).await;
        assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    }

    let now = world.find(seen.id).await;
    assert_eq!((now.status, now.held), (SessionStatus::Active, seen.held));
    settle(&world, &now, MINUTE).await;
    world.close().await;
}

#[tokio::test]
async fn a_session_nobody_knows_is_not_found() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let mut ghost = draft(student.id, &course);
    ghost.held = money("30.00");
    for operation in [settle_after(&ghost, MINUTE), extend_by(&ghost, "1.00")] {
        let refused = world.app().writer.submit(operation).await;
        assert!(matches!(refused, Err(Error::NotFound("session"))), "{refused:?}");
    }
    world.close().await;
}

/// Posts and settles that touch the same accounts from opposite ends, from several nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transfers_in_opposite_order_do_not_disturb_each_other() {
    let world = World::with_nodes(3).await;
    let mut crossings = Vec::new();
    for _ in 0..4 {
        let there = world.student_with("100.00").await;
        let back = world.student_with("100.00").await;
        crossings.push([Owner::Wallet(there.id), Owner::Wallet(back.id)]);
    }
    let kind = JournalKind::Reversal;
    let posts = (0..120_usize).map(|nth| {
        let mut ends = crossings[nth % 4].clone();
        if nth % 8 >= 4 {
            ends.reverse();
        }
        // Each touches two pairs, so that there are circles to be had.
        let mut both = post_between(kind, format!("reversal:{nth}"), ends, money("0.01"));
        let mut others = crossings[(nth + 1) % 4].clone();
        if nth % 3 == 0 {
            others.reverse();
        }
        let second = post_between(kind, String::new(), others, money("0.02"));
        both.journal.transfers.extend(second.journal.transfers);
        both.owners.extend(second.owners);
        post(world.node(nth), both)
    });
    for outcome in join_all(posts).await {
        outcome.unwrap();
    }
    world.close().await;
}

/// The two lanes of each node, and the nodes, meet in the same wallets and the same sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn extends_and_settles_of_the_same_sessions_do_not_disturb_each_other() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let free = world.course("0.00").await;
    let mut open = Vec::new();
    for nth in 0..40 {
        let student = world.student_with("100.00").await;
        open.push(started(&world, &student, if nth % 4 == 0 { &free } else { &course }).await);
    }
    let mut operations = Vec::new();
    for session in &open {
        operations.extend([
            extend_by(session, "1.00"),
            settle_after(session, 2 * MINUTE),
            settle_after(session, 3 * MINUTE),
            extend_by(session, "2.00"),
        ]);
    }
    // Each node gets them in another order.
    let backwards = operations.iter().rev().cloned().map(|op| world.node(1).writer.submit(op));
    let forwards = operations.iter().cloned().map(|op| world.node(0).writer.submit(op));
    for outcome in join_all(forwards.chain(backwards)).await {
        assert!(
            matches!(outcome, Ok(_) | Err(Error::SessionEnded | Error::OutOfRange(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM sessions WHERE status = 'active'").await, 0);
    world.close().await;
}

#[tokio::test]
async fn a_teacher_without_an_account_is_paid_all_the_same() {
    let world = World::with_nodes(2).await;
    let course = world.course("0.60").await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let student = world.student_with("30.00").await;
        open.push(started(&world, &student, &course).await);
    }
    // All at once, so that two nodes open the account in the same moment.
    let settles = open.iter().map(|session| settle_after(session, 10 * MINUTE)).collect();
    submit_all(&world, settles).await.into_iter().for_each(|outcome| drop(settled(outcome)));

    let earned = world.balance(Owner::Earnings(course.teacher_id)).await;
    assert_eq!(earned, (money("54.00"), money("0")));
    assert_eq!(world.balance(Owner::Platform).await.0, money("6.00"));
    world.close().await;
}

/// PostgreSQL may say of each unique index that the row is there already. It may also end one of
/// them in favour of another, because what is new cannot be locked in its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_account_may_be_opened_by_many_at_once() {
    let world = World::with_nodes(3).await;
    for round in 0..8 {
        let partner = Owner::Partner(format!("partner {round}"));
        let posts = (0..6).map(|nth| {
            let ends = [Owner::Gateway(GATEWAY.into()), partner.clone()];
            let id = format!("reversal:{round}:{nth}");
            let same = post_between(JournalKind::Reversal, id, ends, money("0.01"));
            post_patiently(world.node(nth), same)
        });
        for outcome in join_all(posts).await {
            outcome.unwrap();
        }
        assert_eq!(world.balance(partner).await.0, money("0.06"));
    }
    world.close().await;
}

#[tokio::test]
async fn a_free_course_is_metered_and_moves_no_money() {
    let world = World::start().await;
    let course = world.course("0.00").await;
    let student = world.student().await;
    let session = started(&world, &student, &course).await;
    assert_eq!(session.held, Money::ZERO);
    let refused = world.app().writer.submit(extend_by(&session, "1.00")).await;
    assert!(matches!(refused, Err(Error::OutOfRange(_))), "{refused:?}");

    let receipt = settle(&world, &session, 10 * MINUTE).await.session;

    assert_eq!((receipt.status, receipt.cost), (SessionStatus::Completed, Money::ZERO));
    assert_eq!(world.find(session.id).await.watched, 10 * MINUTE);
    assert_eq!(world.count("SELECT COUNT(*) FROM transfers").await, 0);
    world.close().await;
}

#[tokio::test]
async fn partners_get_their_part_and_the_teacher_what_is_left_over() {
    let world = World::start().await;
    let partner = |name: &str, share| Partner { name: name.into(), basis_points: points(share) };
    let partners = vec![partner("museum", 1_000), partner("library", 333)];
    let split = Split { platform: points(3_000), partners };
    let course = world.course_with("0.000101", split).await;
    let student = world.student_with("1.00").await;
    let session = started(&world, &student, &course).await;

    let receipt = settle(&world, &session, MINUTE).await.session;

    assert_eq!(receipt.cost.micros(), 101);
    let owners = [
        (Owner::Platform, 30),
        (Owner::Partner("museum".into()), 10),
        (Owner::Partner("library".into()), 3),
        (Owner::Earnings(course.teacher_id), 58),
    ];
    for (owner, share) in owners {
        assert_eq!(world.balance(owner.clone()).await.0.micros(), share, "{owner:?}");
    }
    world.close().await;
}

#[tokio::test]
async fn a_new_price_does_not_touch_a_running_session() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let session = started(&world, &student, &course).await;
    world.sql("UPDATE courses SET price_per_minute = 5000000, platform_basis_points = 9000").await;

    // Seen afresh, so that only the row can know the old price.
    let receipt = settle(&world, &world.find(session.id).await, 10 * MINUTE).await.session;

    assert_eq!(receipt.cost, money("6.00"));
    assert_eq!(world.balance(Owner::Earnings(course.teacher_id)).await.0, money("5.40"));
    world.close().await;
}

/// Starts by the service, watches for `watched`, ends.
async fn watch(app: &App, student: &User, course: CourseId, watched: Duration) -> Session {
    let now = app.clock.now();
    let session = sessions::start(app, student, &start_of(course), now).await.unwrap();
    let end = End {
        watched,
        stretches: vec![],
        reason: EndReason::EndedByStudent,
        actor: Some(student.id),
    };
    app.clock.advance(watched);
    sessions::settle(app, session, end, app.clock.now()).await.unwrap().session
}

#[tokio::test]
async fn a_short_session_is_free_once_in_a_day_for_each_course() {
    let world = World::start().await;
    let (one, other) = (world.course("0.60").await, world.course("0.60").await);
    let student = world.student_with("30.00").await;
    let short = Duration::from_secs(59);
    let charged = money("0.59");
    let cost = async |course: &Course| watch(world.app(), &student, course.id, short).await.cost;

    assert_eq!(cost(&one).await, Money::ZERO);
    assert_eq!(cost(&one).await, charged, "a second time on the same day");
    assert_eq!(cost(&other).await, Money::ZERO, "another course");
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(cost(&one).await, Money::ZERO, "on another day");
    world.close().await;
}

#[tokio::test]
async fn a_session_that_never_started_does_not_use_up_the_free_one() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let never = watch(world.app(), &student, course.id, Duration::ZERO).await;
    assert_eq!((never.status, never.cost), (SessionStatus::Cancelled, Money::ZERO));
    let short = watch(world.app(), &student, course.id, Duration::from_secs(59)).await;
    assert_eq!(short.cost, Money::ZERO);
    let long = watch(world.app(), &student, course.id, MINUTE).await;
    assert_eq!((long.status, long.cost), (SessionStatus::Completed, money("0.60")));
    world.close().await;
}

#[tokio::test]
async fn a_clock_set_back_changes_no_charge() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("30.00").await;
    let session = started(&world, &student, &course).await;
    let Operation::Settle(mut early) = settle_after(&session, 10 * MINUTE) else {
        unreachable!("it is a settle")
    };
    early.at = session.started_at - Duration::from_hours(1);

    let receipt = settled(world.app().writer.submit(Operation::Settle(early)).await).session;

    assert_eq!(receipt.cost, money("6.00"));
    assert_eq!(receipt.ending.unwrap().at, session.started_at + 10 * MINUTE);
    assert_eq!(world.find(session.id).await, receipt);
    world.close().await;
}

#[tokio::test]
async fn a_payment_is_credited_once() {
    let world = World::with_nodes(2).await;
    let student = world.student_with("1.00").await;
    let ends = || [Owner::Gateway(GATEWAY.into()), Owner::Wallet(student.id)];
    let kind = JournalKind::TopUp;
    let posts = (0..20).map(|nth| {
        let same = post_between(kind, "top_up:test:the same".into(), ends(), money("5.00"));
        post(world.node(nth), same)
    });
    let outcomes = join_all(posts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(refused.is_unique_violation(), "{refused:?}");
    }
    assert_eq!(world.balance(Owner::Wallet(student.id)).await.0, money("6.00"));
    world.close().await;
}

#[tokio::test]
async fn or_less_takes_what_there_is() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("34.00").await;
    let session = started(&world, &student, &course).await;
    let extend = Extend { session: session.clone(), amount: money("10.00"), or_less: true };
    let extended = session_of(world.app().writer.submit(Operation::Extend(extend)).await);
    assert_eq!(extended.held, money("34.00"));
    world.close().await;
}

/// A world with one settled and one open session, and a payout.
async fn lived_in() -> World {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let session = started(&world, &student, &course).await;
    settle(&world, &session, 10 * MINUTE).await;
    post(world.app(), payout_of(course.teacher_id, money("1.00"))).await.unwrap();
    started(&world, &student, &course).await;
    world
}

/// Lets one transaction write what the schema forbids.
const NO_RULES_SQLITE: &str = "
    PRAGMA ignore_check_constraints = ON;
    PRAGMA defer_foreign_keys = ON;
    DROP TRIGGER journals_keep; DROP TRIGGER journals_stay;
    DROP TRIGGER transfers_keep; DROP TRIGGER transfers_stay;";
const NO_RULES_POSTGRES: &str = "
    SET LOCAL session_replication_role = replica;
    DO $$ DECLARE rule record; BEGIN
      FOR rule IN SELECT conname, conrelid::regclass AS of FROM pg_constraint
                   WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.of, rule.conname);
      END LOOP;
    END $$;";

/// Breaks something in a transaction, and tells which invariants the check says are broken.
async fn broken_by(world: &World, sql: &str) -> Vec<&'static str> {
    let mut tx = world.app().db.begin().await.unwrap();
    let (rules, id) = match tx {
        Tx::Postgres(_) => (NO_RULES_POSTGRES, "'00000000-0000-0000-0000-00000000000{}'"),
        _ => (NO_RULES_SQLITE, "x'0000000000000000000000000000000{}'"),
    };
    execute(&mut tx, rules).await.unwrap();
    let sql = sql.replace("{nobody}", &id.replace("{}", "1"));
    execute(&mut tx, &sql.replace("{no one}", &id.replace("{}", "2"))).await.unwrap();
    let report = db::audit::check(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    if let murph::db::Db::Sqlite { writer, .. } = &world.app().db {
        // Not part of the transaction.
        let rules = sqlx::raw_sql(AssertSqlSafe("PRAGMA ignore_check_constraints = OFF"));
        rules.execute(writer).await.unwrap();
    }
    assert_eq!(report.balanced, report.findings.is_empty());
    let mut broken: Vec<_> = report.findings.iter().map(|finding| finding.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

#[tokio::test]
async fn the_check_names_every_broken_invariant() {
    let world = lived_in().await;
    let ended = "(SELECT journal_id FROM sessions WHERE status <> 'active')";
    let cases: &[(&str, &[&str])] = &[
        ("UPDATE accounts SET posted = posted + 1 WHERE kind = 'platform'", &["I1", "I11", "I2"]),
        (
            "UPDATE accounts SET posted = posted + CASE kind WHEN 'platform' THEN 1 ELSE -1 END
              WHERE kind IN ('platform', 'gateway')",
            &["I11", "I2"],
        ),
        ("UPDATE accounts SET held = held + 1 WHERE kind = 'wallet'", &["I3"]),
        ("UPDATE sessions SET held = held - 1 WHERE status = 'active'", &["I3"]),
        (
            &format!(
                "UPDATE transfers SET amount = amount + 1 WHERE journal_id = {ended} AND seq = 1;
                 UPDATE accounts SET posted = posted + 1 WHERE kind = 'platform';
                 UPDATE accounts SET posted = posted - 1 WHERE kind = 'wallet'"
            ),
            &["I4"],
        ),
        (
            &format!(
                "INSERT INTO transfers SELECT journal_id, 9, p.id, e.id, t.currency, 1, t.at
                   FROM transfers t, accounts p, accounts e
                  WHERE t.journal_id = {ended} AND t.seq = 1
                    AND p.kind = 'platform' AND e.kind = 'earnings';
                 UPDATE accounts SET posted = posted - 1 WHERE kind = 'platform';
                 UPDATE accounts SET posted = posted + 1 WHERE kind = 'earnings'"
            ),
            &["I12", "I4"],
        ),
        ("UPDATE accounts SET held = posted + 1 WHERE kind = 'wallet'", &["I3", "I5"]),
        ("UPDATE accounts SET held = -1 WHERE kind = 'platform'", &["I3", "I5"]),
        ("UPDATE sessions SET journal_id = NULL WHERE status <> 'active'", &["I12", "I4", "I6"]),
        (
            "INSERT INTO journals SELECT 'settle:nothing', 'settle', NULL, at FROM journals
              LIMIT 1",
            &["I6"],
        ),
        (
            "UPDATE sessions SET status = 'completed', ended_at = started_at,
                    end_reason = 'disconnected' WHERE status = 'active'",
            &["I12", "I3", "I6"],
        ),
        (
            "UPDATE sessions SET watched_ms = watched_ms - 60000 WHERE status <> 'active'",
            &["I12", "I9"],
        ),
        ("UPDATE sessions SET ended_at = started_at WHERE status <> 'active'", &["I9"]),
        (
            "INSERT INTO transfers SELECT id, 9, {nobody}, {no one}, 'USD', 1, at
               FROM journals WHERE kind = 'payout'",
            &["I11"],
        ),
        ("UPDATE earnings_quarters SET earned = earned + 1", &["I12"]),
        ("UPDATE earnings_quarters SET earned = earned + 1, bonus = bonus - 1", &["I12"]),
        ("UPDATE earnings_quarters SET paid = paid + 1, sessions = sessions + 1", &["I12"]),
        ("UPDATE earnings_quarters SET quarter = (SELECT MAX(ended_at) FROM sessions)", &["I12"]),
        ("UPDATE course_earnings SET watched_ms = watched_ms + 1", &["I12"]),
        ("UPDATE course_earnings SET bonus = bonus + 1", &["I12"]),
        ("UPDATE course_earnings SET paid = paid + 1", &["I12"]),
        ("DELETE FROM course_earnings", &["I12"]),
    ];
    for (sql, expected) in cases {
        assert_eq!(broken_by(&world, sql).await, *expected, "{sql}");
    }
    // Nothing of that was kept.
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_check_raises_no_false_alarm_while_money_moves() {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let mut students = Vec::new();
    for _ in 0..8 {
        students.push(world.student_with("100.00").await);
    }
    let live = students.iter().map(async |student| {
        for _ in 0..10 {
            let session = started(&world, student, &course).await;
            let session = session_of(world.app().writer.submit(extend_by(&session, "1.00")).await);
            settle(&world, &session, MINUTE).await;
            top_up(world.app(), student.id, money("0.01")).await.unwrap();
        }
    });
    let checks = async {
        for _ in 0..20 {
            let report = check::check(&world.app().db).await.unwrap();
            assert!(report.balanced, "{:#?}", report.findings);
        }
    };
    tokio::join!(join_all(live), checks);
    world.close().await;
}
