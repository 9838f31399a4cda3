//! What a teacher with very many settled sessions waits for: the dashboard and the lists of
//! earnings, over HTTP; and how long it takes to make their sums anew.
//!
//! On SQLite (a file), or on the PostgreSQL that `MURPH_TEST_DATABASE` names. Repeat with
//!
//! ```text
//! cargo bench --bench earnings
//! scripts/with-postgres cargo bench --bench earnings
//! ```
//!
//! `MURPH_BENCH_SESSIONS` says how many sessions (1 000 000), spread evenly over a year and twenty
//! courses; each is started and settled by the ledger itself.

#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench prints a table"
)]

#[expect(dead_code, reason = "the bench of the ledger does more with it")]
#[path = "../ledger/ground.rs"]
mod ground;

use std::time::{Duration, Instant};

use ground::{Ground, HELD, WATCHED, usd};
use murph::{
    config::Database,
    db,
    domain::{
        course::{Course, Split},
        ledger::{Done, Operation, Settle, Start},
        session::{EndReason, Session, Terms},
        user::{Role, User},
    },
    server,
    service::{
        earnings, identity,
        ledger::{self, Sessions},
    },
    time::Timestamp,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const STUDENTS: usize = 1_000;
const COURSES: usize = 20;
const YEAR: Duration = Duration::from_hours(24 * 365);
const PASSWORD: &str = "correct horse";
const EMAIL: &str = "teacher@example.org";

/// How often each question is asked.
const ASKED: usize = 200;

fn main() {
    let sessions = std::env::var("MURPH_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(run(sessions.unwrap_or(1_000_000)));
}

async fn run(sessions: usize) {
    let postgres = std::env::var("MURPH_TEST_DATABASE").ok();
    let ground = Ground::lay(postgres.as_deref(), STUDENTS, 1).await;
    let registration = identity::Registration {
        email: EMAIL.into(),
        name: "Teacher".into(),
        password: PASSWORD.into(),
        role: Role::Teacher,
    };
    let now = ground.app.clock.now();
    let teacher = identity::create_user(&ground.app, registration, now).await.expect("a teacher").0;
    let courses = offer(&ground, &teacher, now).await;
    let began = Instant::now();
    let apart = YEAR / u32::try_from(sessions).expect("few");
    for round in 0..sessions / STUDENTS {
        let first = u32::try_from(round * STUDENTS).expect("few");
        let at = now - YEAR + apart * first;
        settle_all(&ground, &teacher, &courses, (at, apart)).await;
    }
    println!("{sessions} sessions settled in {:.0} s", began.elapsed().as_secs_f64());
    vacuum(&ground.app.db).await;
    let began = Instant::now();
    // As `murph rebuild` does, which takes as long as it takes.
    let patient = Database { statement_timeout_ms: 0, ..ground.app.config.database.clone() };
    let db = db::Db::connect(&ground.url, &patient).await.expect("the database answers");
    earnings::rebuild(&db).await.expect("sums are made anew");
    println!("made anew from the ledger in {:.1} s\n", began.elapsed().as_secs_f64());
    vacuum(&db).await;
    db.close().await;
    ask_all(&ground).await;
}

/// As autovacuum does within a minute.
async fn vacuum(db: &db::Db) {
    if let db::Db::Postgres { pool, .. } = db {
        sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("tables are looked at");
    }
}

async fn offer(ground: &Ground, teacher: &User, now: Timestamp) -> Vec<Course> {
    let mut tx = ground.app.db.begin().await.expect("the database answers");
    let mut courses = Vec::new();
    for nth in 0..COURSES {
        let price = (ground::PRICE, usd());
        let title = format!("Course {nth}");
        let course = Course::offered(teacher.id, title, price, Split::default(), now);
        db::courses::insert(&mut tx, &course).await.expect("a course is made");
        courses.push(course);
    }
    tx.commit().await.expect("a commit");
    courses
}

/// One session of each student, one after the other on any of the courses: so that nearly every course has
/// a sum of its own in every quarter of an hour. Two commits for all of them.
async fn settle_all(
    ground: &Ground,
    teacher: &User,
    courses: &[Course],
    (first, apart): (Timestamp, Duration),
) {
    let start = |nth: usize| {
        let at = first + apart * u32::try_from(nth).expect("few");
        let course = &courses[nth * 7 % COURSES];
        let session = Session::open(
            ground.seat(nth).student,
            (course.id, teacher.id),
            Terms {
                price_per_minute: ground::PRICE,
                currency: usd(),
                split: course.split.clone(),
                free_below: Duration::ZERO,
                spending_cap: None,
                auto_extend: true,
            },
            at,
        );
        let min_watch = Duration::from_mins(1);
        Operation::Start(Start { session, lock_amount: HELD, min_watch, once: None })
    };
    let started = apply(ground, &(0..STUDENTS).map(start).collect::<Vec<_>>(), first).await;
    let settle = |done| {
        let Done::Started(session) = done else { panic!("a start came to {done:?}") };
        let at = session.started_at + WATCHED;
        Operation::Settle(Settle {
            session,
            watched: WATCHED,
            stretches: vec![],
            reason: EndReason::EndedByStudent,
            actor: None,
            at,
        })
    };
    apply(ground, &started.into_iter().map(settle).collect::<Vec<_>>(), first).await;
}

async fn apply(ground: &Ground, operations: &[Operation], now: Timestamp) -> Vec<Done> {
    let mut tx = ground.app.db.begin().await.expect("the database answers");
    let outcomes = ledger::apply(&mut tx, operations, Sessions::AsSeen, now).await;
    let outcomes = outcomes.expect("the ledger works").expect("all is as it was seen");
    tx.commit().await.expect("a commit");
    outcomes.into_iter().map(|outcome| outcome.expect("it is done")).collect()
}

async fn ask_all(ground: &Ground) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/api/v1", listener.local_addr().expect("an address"));
    let stop = CancellationToken::new();
    let serving = server::run(listener, ground.app.clone(), stop.clone());
    let asking = async {
        ask(&url).await;
        stop.cancel();
    };
    tokio::join!(serving, asking).0.expect("it ended well");
}

async fn ask(url: &str) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let log_in = client.post(format!("{url}/auth/login"));
    let log_in = log_in.json(&json!({"email": EMAIL, "password": PASSWORD}));
    let tokens: Value = log_in.send().await.expect("an answer").json().await.expect("tokens");
    let token = tokens["access_token"].as_str().expect("a token");
    println!("{:<44} {:>9} {:>9} {:>9}", "", "p50", "p99", "max");
    for (name, path) in [
        ("dashboard", "/teacher/dashboard?time_zone=Africa/Nairobi"),
        ("own courses", "/teacher/courses"),
        ("by day, a month", "/teacher/earnings?limit=30"),
        ("by day, a hundred", "/teacher/earnings?from=2000-01-01&limit=100"),
        ("by hour, a hundred", "/teacher/earnings?by=hour&limit=100"),
        ("by session, a hundred", "/teacher/earnings?by=session&from=2000-01-01&limit=100"),
    ] {
        let mut took = Vec::new();
        for _ in 0..ASKED {
            let began = Instant::now();
            let request = client.get(format!("{url}{path}")).bearer_auth(token);
            let response = request.send().await.expect("Murph answers");
            assert!(response.status().is_success(), "{response:?}");
            response.bytes().await.expect("a whole answer");
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let ms = |nth: usize| format!("{:.1} ms", took[nth].as_secs_f64() * 1_000.0);
        let [p50, p99, max] = [ASKED / 2, ASKED * 99 / 100, ASKED - 1].map(ms);
        println!("{name:<44} {p50:>9} {p99:>9} {max:>9}");
    }
    let began = Instant::now();
    let export = client.get(format!("{url}/teacher/earnings.csv?from=2000-01-01"));
    let export = export.bearer_auth(token).send().await.expect("Murph answers");
    let bytes = export.bytes().await.expect("a whole table").len();
    let (mib, took) = (bytes as f64 / 1_048_576.0, began.elapsed().as_secs_f64());
    println!("{:<44} {mib:.0} MiB in {took:.1} s", "the table of all sessions");
}
