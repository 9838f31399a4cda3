//! A Murph on a fresh database, with students who have money and teachers who have courses.

use std::{sync::Arc, time::Duration};

use murph::{
    app::App,
    clock::Clock,
    config::{Config, DatabaseUrl, Sources},
    db::{self, Db},
    domain::{
        course::{Course, Split},
        ledger::{Done, Journal, JournalKind, Operation, Owner, Post, Settle, Start, Transfer},
        session::{EndReason, Session, Terms},
        user::{Role, User, UserStatus},
    },
    id::{CourseId, UserId},
    money::{BasisPoints, Currency, Money},
    service::ledger::{self, Sessions},
    time::Timestamp,
};

#[path = "../database/postgres.rs"]
mod postgres;

/// Students that are given money in one transaction.
const CHUNK: usize = 500;

/// What a session is watched; at 0.60 a minute it costs 0.50.
pub(crate) const WATCHED: Duration = Duration::from_secs(50);
pub(crate) const PRICE: Money = Money::from_micros(600_000);
pub(crate) const HELD: Money = Money::from_micros(30_000_000);

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) app: App,
    pub(crate) url: DatabaseUrl,
    seats: Vec<Seat>,
    _directory: Option<tempfile::TempDir>,
}

/// A place to watch from: whose wallet, and which course.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) student: UserId,
    pub(crate) teacher: UserId,
    pub(crate) course: CourseId,
}

pub(crate) fn usd() -> Currency {
    "USD".parse().expect("a currency")
}

impl Ground {
    pub(crate) async fn lay(postgres: Option<&str>, wallets: usize, teachers: usize) -> Self {
        let (url, directory) = if let Some(url) = postgres {
            (postgres::fresh(url).await, None)
        } else {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("bench.db");
            (DatabaseUrl::Sqlite(path), Some(directory))
        };
        let mut config = Config::load(Sources::default()).expect("the defaults are valid");
        config.auth.secret =
            murph::config::Secret::new("a secret of this bench, long enough, 0123");
        config.database.url = Some(url.clone());
        let db = Db::connect(&url, &config.database).await.expect("the database answers");
        db::migrate::up(&db).await.expect("the schema is made");
        let app = App::start(config, Clock::System, db).await.expect("Murph starts");
        let seats = furnish(&app, wallets, teachers).await;
        Self { app, url, seats, _directory: directory }
    }

    pub(crate) fn seat(&self, nth: usize) -> Seat {
        self.seats[nth % self.seats.len()]
    }

    pub(crate) fn seats(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn session(&self, seat: Seat) -> Session {
        // Long enough ago to have been watched by now.
        let now = self.app.clock.now() - WATCHED;
        Session::open(
            seat.student,
            (seat.course, seat.teacher),
            Terms {
                price_per_minute: PRICE,
                currency: usd(),
                split: split(),
                free_below: Duration::ZERO,
                spending_cap: None,
                auto_extend: true,
            },
            now,
        )
    }

    pub(crate) async fn start(&self, seat: Seat) -> Session {
        let session = self.session(seat);
        let start =
            Start { session, lock_amount: HELD, min_watch: Duration::from_mins(1), once: None };
        match self.app.writer.submit(Operation::Start(start)).await.expect("a start succeeds") {
            Done::Started(session) => session,
            other => panic!("a start came to {other:?}"),
        }
    }

    pub(crate) async fn settle(&self, session: Session) {
        let settle = Settle {
            session,
            watched: WATCHED,
            stretches: vec![],
            reason: EndReason::EndedByStudent,
            actor: None,
            at: self.app.clock.now(),
        };
        self.app.writer.submit(Operation::Settle(settle)).await.expect("a settle succeeds");
    }

    /// A rate at which the books do not balance is no rate.
    pub(crate) async fn check(self: Arc<Self>) {
        let mut tx = self.app.db.unhurried_snapshot().await.expect("the database answers");
        let report = db::audit::check(&mut tx).await.expect("the books can be read");
        assert!(report.balanced, "{:#?}", report.findings);
        drop(tx);
        self.app.finish().await;
    }
}

fn split() -> Split {
    Split { platform: BasisPoints::new(1_000).expect("10 %"), partners: Vec::new() }
}

/// Makes everybody, and gives each student a million.
async fn furnish(app: &App, wallets: usize, teachers: usize) -> Vec<Seat> {
    let now = app.clock.now();
    let mut courses = Vec::new();
    let mut tx = app.db.begin().await.expect("the database answers");
    for _ in 0..teachers {
        let teacher = person(Role::Teacher, now);
        db::users::insert(&mut tx, &teacher, "none").await.expect("a teacher is made");
        let course = course_of(&teacher, now);
        db::courses::insert(&mut tx, &course).await.expect("a course is made");
        courses.push(course);
    }
    tx.commit().await.expect("a commit");
    let students: Vec<User> = (0..wallets).map(|_| person(Role::Student, now)).collect();
    for chunk in students.chunks(CHUNK) {
        let mut tx = app.db.begin().await.expect("the database answers");
        for student in chunk {
            db::users::insert(&mut tx, student, "none").await.expect("a student is made");
            let wallet = murph::domain::ledger::Account::new(Owner::Wallet(student.id), usd());
            db::accounts::insert(&mut tx, &wallet, now).await.expect("a wallet is made");
        }
        let gifts: Vec<_> = chunk.iter().map(|student| gift(student, now)).collect();
        ledger::apply(&mut tx, &gifts, Sessions::Read, now).await.expect("money is given");
        tx.commit().await.expect("a commit");
    }
    let seat = |(student, course): (&User, &Course)| Seat {
        student: student.id,
        teacher: course.teacher_id,
        course: course.id,
    };
    students.iter().zip(courses.iter().cycle()).map(seat).collect()
}

fn person(role: Role, now: Timestamp) -> User {
    let id = UserId::new(now);
    User {
        id,
        email: format!("{id}@example.org"),
        name: "Somebody".into(),
        role,
        status: UserStatus::Active,
        profile: serde_json::json!({}),
        created_at: now,
        updated_at: now,
    }
}

fn course_of(teacher: &User, now: Timestamp) -> Course {
    Course::offered(teacher.id, "A course", (PRICE, usd()), split(), now)
}

fn gift(student: &User, now: Timestamp) -> Operation {
    let (wallet, gateway) = (Owner::Wallet(student.id), Owner::Gateway("bench".into()));
    Operation::Post(Post {
        journal: Journal {
            id: format!("top_up:bench:{}", student.id),
            kind: JournalKind::TopUp,
            actor: None,
            at: now,
            transfers: vec![Transfer {
                debit: gateway.account(usd()),
                credit: wallet.account(usd()),
                currency: usd(),
                amount: Money::from_micros(1_000_000_000_000),
            }],
        },
        owners: vec![(wallet, usd()), (gateway, usd())],
        wallet_max: murph::money::AMOUNT_MAX,
        earning: None,
    })
}
