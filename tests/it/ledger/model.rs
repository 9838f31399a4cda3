//! Whatever operations come, however they are interleaved and batched, the database ends up where
//! the pure model ends up that does them one at a time.
//!
//! Nobody promises an order to operations that were under way at the same time; but there must be
//! one in which the model gives the same answers.

use futures_util::future::{BoxFuture, FutureExt, join_all};
use murph::{
    db,
    domain::{
        books::Books,
        course::{Course, Partner, Split},
        ledger::{Account, Done, Extend, JournalKind, Operation, Owner, Refusal, Settle, Start},
        session::{EndReason, Session},
        user::User,
    },
    error::{Error, Result},
    id::SessionId,
    money::Money,
};
use proptest::{collection::vec, prelude::*};

use super::{MINUTE, World, points, usd};
use crate::world::{
    GATEWAY, assert_balanced, draft, open_wallet, payout_of, post_between, post_patiently,
    top_up_of,
};

const STUDENTS: usize = 3;
const COURSES: usize = 3;

/// An operation before it is known on what: numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    TopUp {
        student: usize,
        amount: i64,
    },
    Start {
        student: usize,
        course: usize,
        lock: i64,
        cap: Option<i64>,
    },
    Extend {
        session: usize,
        amount: i64,
        or_less: bool,
        as_started: bool,
    },
    Settle {
        session: usize,
        seconds: u64,
        reason: EndReason,
        as_started: bool,
    },
    PayOut {
        course: usize,
        amount: i64,
    },
    /// Back from a wallet to the gateway.
    TakeBack {
        student: usize,
        amount: i64,
    },
}

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![1..100_i64, 1..60_000_000_i64]
}

fn steps() -> impl Strategy<Value = Step> {
    let nth = 0..100_usize;
    let reasons = prop_oneof![
        4 => Just(EndReason::EndedByStudent),
        1 => Just(EndReason::NeverStarted),
    ];
    prop_oneof![
        2 => (nth.clone(), amounts())
            .prop_map(|(student, amount)| Step::TopUp { student, amount }),
        4 => (nth.clone(), nth.clone(), amounts(), proptest::option::of(amounts())).prop_map(
            |(student, course, lock, cap)| Step::Start { student, course, lock, cap }
        ),
        3 => (nth.clone(), amounts(), any::<bool>(), any::<bool>()).prop_map(
            |(session, amount, or_less, as_started)| Step::Extend {
                session, amount, or_less, as_started,
            }
        ),
        4 => (nth.clone(), 0..4_000_u64, reasons, any::<bool>()).prop_map(
            |(session, seconds, reason, as_started)| Step::Settle {
                session, seconds, reason, as_started,
            }
        ),
        1 => (nth.clone(), amounts()).prop_map(|(course, amount)| Step::PayOut { course, amount }),
        1 => (nth, amounts()).prop_map(|(student, amount)| Step::TakeBack { student, amount }),
    ]
}

/// An operation and what it came to.
type Answered = (Operation, Result<Done>);

/// What is known from the answers so far.
struct Play {
    world: World,
    students: Vec<User>,
    courses: Vec<Course>,
    /// Each session as it was started, and as it was last seen.
    sessions: Vec<(Session, Session)>,
    model: Books,
}

impl Play {
    async fn new(nodes: usize) -> Self {
        let world = World::with_nodes(nodes).await;
        let mut model = Books::default();
        let mut students = Vec::new();
        for _ in 0..STUDENTS {
            let student = world.student().await;
            open_wallet(&world.app().db, &student).await;
            model.add_account(Account::new(Owner::Wallet(student.id), usd()), None);
            students.push(student);
        }
        let partner = Partner { name: "museum".into(), basis_points: points(777) };
        let shared = Split { platform: points(1_000), partners: vec![partner] };
        let mut courses = Vec::new();
        for (price, split) in
            [("0.60", Split::default()), ("1.234567", shared), ("0.00", Split::default())]
        {
            courses.push(world.course_with(price, split).await);
        }
        assert_eq!(courses.len(), COURSES);
        Self { world, students, courses, sessions: Vec::new(), model }
    }

    /// `None` if there is no session yet to do it with.
    fn operation(&self, step: &Step) -> Option<Operation> {
        let session = |nth: usize, as_started| {
            let (first, last) = self.sessions.get(nth % self.sessions.len().max(1))?;
            Some(if as_started { first } else { last }.clone())
        };
        let student = |nth: usize| self.students[nth % STUDENTS].id;
        let micros = Money::from_micros;
        Some(match *step {
            Step::TopUp { student: nth, amount } => {
                Operation::Post(top_up_of(student(nth), micros(amount)))
            }
            Step::Start { student: nth, course, lock, cap } => {
                let mut session = draft(student(nth), &self.courses[course % COURSES]);
                session.terms.spending_cap = cap.map(micros);
                Operation::Start(Start {
                    session,
                    lock_amount: micros(lock),
                    min_watch: MINUTE,
                    once: None,
                })
            }
            Step::Extend { session: nth, amount, or_less, as_started } => {
                let session = session(nth, as_started)?;
                Operation::Extend(Extend { session, amount: micros(amount), or_less })
            }
            Step::Settle { session: nth, seconds, reason, as_started } => {
                let session = session(nth, as_started)?;
                let watched = std::time::Duration::from_secs(seconds);
                let at = session.started_at + watched;
                Operation::Settle(Settle {
                    session,
                    watched,
                    stretches: vec![],
                    reason,
                    actor: None,
                    at,
                })
            }
            Step::PayOut { course, amount } => {
                let teacher = self.courses[course % COURSES].teacher_id;
                Operation::Post(payout_of(teacher, micros(amount)))
            }
            Step::TakeBack { student: nth, amount } => {
                let ends = [Owner::Wallet(student(nth)), Owner::Gateway(GATEWAY.into())];
                let kind = JournalKind::Reversal;
                let id = format!("reversal:{}", SessionId::new(self.world.clock.now()));
                Operation::Post(post_between(kind, id, ends, micros(amount)))
            }
        })
    }

    /// Hands in one operation to one node: posts in a transaction of their own or by the writer.
    fn submit(&self, nth: usize, operation: Operation) -> BoxFuture<'_, Result<Done>> {
        let app = self.world.node(nth);
        match operation {
            Operation::Post(own) if nth.is_multiple_of(2) => {
                async move { post_patiently(app, own).await.map(|()| Done::Posted) }.boxed()
            }
            operation => app.writer.submit(operation).boxed(),
        }
    }

    /// Hands in a chunk without waiting for any of it.
    async fn chunk(&mut self, steps: &[Step]) {
        let operations: Vec<_> = steps.iter().filter_map(|step| self.operation(step)).collect();
        let submitted = operations.iter().cloned().enumerate();
        let outcomes =
            join_all(submitted.map(|(nth, operation)| self.submit(nth, operation))).await;
        for outcome in &outcomes {
            self.see(outcome);
        }
        let done: Vec<Answered> = operations.into_iter().zip(outcomes).collect();
        let explained = explain(&self.model, &done);
        self.model = explained.unwrap_or_else(|| panic!("no order explains {done:#?}"));
    }

    fn see(&mut self, outcome: &Result<Done>) {
        match outcome {
            Ok(Done::Started(session)) => self.sessions.push((session.clone(), session.clone())),
            Ok(Done::Extended(session)) => self.saw(session),
            Ok(Done::Settled(settled)) => self.saw(&settled.session),
            _ => {}
        }
    }

    fn saw(&mut self, session: &Session) {
        let known = self.sessions.iter_mut().find(|(first, _)| first.id == session.id);
        known.expect("it was started").1 = session.clone();
    }

    /// The database has what the model has.
    async fn compare(&self) {
        let mut tx = self.world.app().db.read().await.unwrap();
        for account in self.model.accounts() {
            let kept = db::accounts::find(&mut tx, account.id).await.unwrap();
            // A refused post opens accounts in the model, and with nothing in them.
            let kept = kept.unwrap_or_else(|| Account::new(account.owner.clone(), usd()));
            assert_eq!(kept, *account);
        }
        for (session, _) in &self.sessions {
            let kept = db::sessions::find(&mut tx, session.id).await.unwrap();
            assert_eq!(kept.as_ref(), self.model.session(session.id));
        }
        drop(tx);
        assert_balanced(&self.world.app().db).await;
    }
}

/// Does `operation` in the model; tells whether it comes to the same there.
fn agrees(model: &mut Books, (operation, outcome): &Answered) -> bool {
    match (model.apply(operation.clone()), outcome) {
        (Ok(expected), Ok(done)) => expected == *done,
        // Another node was faster, or no wallet was at hand to tell: then an index said so.
        (Err(Refusal::SessionActive(_)), Err(error)) if error.is_unique_violation() => true,
        // Who waited for another start of the same student on PostgreSQL sees its hold, but not
        // yet its session: refused all the same.
        (Err(Refusal::SessionActive(_)), Err(Error::InsufficientFunds { .. })) => true,
        (Err(refusal), Err(error)) => Error::from(refusal).to_string() == error.to_string(),
        _ => false,
    }
}

/// The model after `done`, in an order in which everything comes to what it came to.
fn explain(model: &Books, done: &[Answered]) -> Option<Books> {
    if done.is_empty() {
        return Some(model.clone());
    }
    (0..done.len()).find_map(|first| {
        let mut after = model.clone();
        let mut rest = done.to_vec();
        let answered = rest.remove(first);
        agrees(&mut after, &answered).then(|| explain(&after, &rest)).flatten()
    })
}

fn play(nodes: usize, chunks: &[Vec<Step>]) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut play = Play::new(nodes).await;
        for chunk in chunks {
            play.chunk(chunk).await;
        }
        play.compare().await;
        play.world.close().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// One node, chunks of any size.
    #[test]
    fn one_node_does_what_the_model_does(chunks in vec(vec(steps(), 1..7), 1..25)) {
        play(1, &chunks);
    }

    /// Two nodes on one database.
    #[test]
    fn two_nodes_do_what_the_model_does_in_some_order(chunks in vec(vec(steps(), 1..7), 1..15)) {
        play(2, &chunks);
    }
}
