//! `kill -9` at any moment: what was acknowledged is there afterwards, nothing is half done, and
//! the next process goes on with the same database.
//!
//! The victim prints a line for each operation that was acknowledged; the parent reads them, kills
//! it after a random number of lines, and looks at what is left. `MURPH_CRASH_ROUNDS` says how
//! often, `MURPH_CRASH_SEED` repeats a run.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use murph::{
    app::App,
    clock::Clock,
    config::DatabaseUrl,
    db::{self, Db, Tx},
    domain::{
        course::{Course, Split},
        session::{Session, SessionStatus},
        user::Role,
    },
    error::Result,
    id::{SessionId, UserId},
    money::Money,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    harness::{TestDatabase, money},
    world::{
        assert_balanced, dawn, draft, extend_by, insert_course, insert_user, open_wallet, post,
        session_of, settle_after, start_node, start_with, top_up_of,
    },
};

pub(crate) mod postgres;
mod serve;

/// Tells a test that it is the victim, and of which database.
const DATABASE: &str = "MURPH_CRASH_DATABASE";

/// Operations a victim has under way at once.
const TASKS: usize = 8;

/// A victim is killed after at most so many acknowledged operations.
const ACKNOWLEDGED_MAX: u64 = 400;

/// A victim ends by itself, if its parent does not end it.
const LIFE_MAX: Duration = Duration::from_mins(2);

/// How long the operating system and the database may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn rounds() -> u64 {
    env::var("MURPH_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

/// Numbers that look random and follow from a seed, which is printed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = env::var("MURPH_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
        // The second half of such an id is random.
        let seed = seed.unwrap_or_else(|| UserId::new(dawn()).uuid().as_u64_pair().1);
        eprintln!("MURPH_CRASH_SEED={seed}");
        Self(seed)
    }

    /// 1 to `max`.
    pub(crate) fn roll(&mut self, max: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % max + 1
    }
}

/// Polls until `done`, and not for ever.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let polling = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.unwrap_or_else(|_| panic!("still not {what}"));
}

/// Tells the parent, at once and in one piece.
fn acknowledge(what: &str, id: &str, amount: Money) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nack {what} {id} {}\n", amount.micros()).as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What the parent was told: the last word on each session, and the top-ups.
#[derive(Default)]
struct Acknowledged {
    operations: i64,
    held: BTreeMap<SessionId, Money>,
    cost: BTreeMap<SessionId, Money>,
    top_ups: Vec<String>,
}

impl Acknowledged {
    fn read(&mut self, line: &str) -> bool {
        let Some(line) = line.strip_prefix("ack ") else { return false };
        // The victim may have died within a line.
        let Some(words) = line.strip_suffix('\n') else { return false };
        let words: Vec<&str> = words.split(' ').collect();
        let [what, id, amount] = words[..] else { panic!("{line:?}") };
        let amount = Money::from_micros(amount.parse().unwrap());
        self.note(what, id, amount);
        true
    }

    fn note(&mut self, what: &str, id: &str, amount: Money) {
        match what {
            "top_up" => self.top_ups.push(id.to_owned()),
            "hold" => drop(self.held.insert(id.parse().unwrap(), amount)),
            "settle" => drop(self.cost.insert(id.parse().unwrap(), amount)),
            _ => panic!("nobody does {what}"),
        }
        self.operations += 1;
    }

    /// Reads up to `count` acknowledgements.
    fn read_lines(&mut self, lines: &mut BufReader<ChildStdout>, count: u64) {
        let mut seen = 0;
        let mut line = String::new();
        while seen < count {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                return;
            }
            seen += u64::from(self.read(&line));
        }
    }

    /// Takes in what was acknowledged later.
    fn append(&mut self, mut later: Self) {
        self.operations += later.operations;
        self.held.append(&mut later.held);
        self.cost.append(&mut later.cost);
        self.top_ups.append(&mut later.top_ups);
    }

    /// All of it is in the database, and at most `in_flight` operations more.
    async fn assert_kept(&self, db: &Db, in_flight: i64) {
        self.assert_found(db).await;
        self.assert_no_more_than(db, in_flight).await;
    }

    /// All of it is in the database.
    async fn assert_found(&self, db: &Db) {
        let mut tx = db.read().await.unwrap();
        for id in self.held.keys().chain(self.cost.keys()) {
            let session = db::sessions::find(&mut tx, *id).await.unwrap();
            let session = session.unwrap_or_else(|| panic!("session {id} is lost"));
            // One more extend may have been under way.
            assert!(Some(&session.held) >= self.held.get(id), "{session:?}");
            if let Some(cost) = self.cost.get(id) {
                assert_eq!(session.cost, *cost, "{session:?}");
                assert_ne!(session.status, SessionStatus::Active, "{session:?}");
            }
        }
        drop(tx);
        for id in &self.top_ups {
            let sql = format!("SELECT COUNT(*) FROM journals WHERE id = '{id}'");
            assert_eq!(number(db, &sql).await, 1, "{id} is lost");
        }
    }

    /// At most `in_flight` operations are there that were not acknowledged, and the books balance.
    async fn assert_no_more_than(&self, db: &Db, in_flight: i64) {
        // Each extend is by one whole unit, on a hold of ten.
        let done = number(db, "SELECT COUNT(*) FROM journals").await
            + number(db, "SELECT COUNT(*) FROM sessions").await
            + number(
                db,
                "SELECT CAST(COALESCE(SUM(held / 1000000 - 10), 0) AS BIGINT) FROM sessions",
            )
            .await;
        let more = done - self.operations;
        assert!((0..=in_flight).contains(&more), "{more} more than acknowledged");
        assert_balanced(db).await;
    }
}

pub(crate) async fn number(db: &Db, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    match &mut db.begin().await.unwrap() {
        Tx::Sqlite(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
        Tx::Postgres(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
        Tx::SqliteRead(_) | Tx::PostgresRead(_) => unreachable!("it may write"),
    }
}

/// The victim: does what a node does, and says what was acknowledged, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other tests, to be killed"]
async fn victim() {
    let Ok(url) = env::var(DATABASE) else { return };
    let url: DatabaseUrl = url.parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = TestDatabase { url: url.clone(), directory }.config();
    let app = start_node(&url, config, &Clock::manual(dawn())).await;
    settle_what_was_left(&app).await;
    let course = new_course(&app.db).await;
    let tasks = (0..TASKS).map(|extends| {
        let (app, course) = (&app, &course);
        async move {
            let student = new_student(&app.db).await;
            live(app, course, student, extends, &acknowledge).await.unwrap();
        }
    });
    let _ = tokio::time::timeout(LIFE_MAX, join_all(tasks)).await;
    panic!("nobody killed it");
}

async fn new_course(db: &Db) -> Course {
    let teacher = insert_user(db, Role::Teacher).await;
    insert_course(db, teacher.id, money("0.60"), Split::default()).await
}

async fn new_student(db: &Db) -> UserId {
    let student = insert_user(db, Role::Student).await;
    open_wallet(db, &student).await;
    student.id
}

async fn settle_what_was_left(app: &App) {
    let sql = AssertSqlSafe("SELECT id FROM sessions WHERE status = 'active'");
    let open: Vec<uuid::Uuid> = match &app.db {
        Db::Sqlite { reader, .. } => sqlx::query_scalar(sql).fetch_all(reader).await.unwrap(),
        Db::Postgres { pool, .. } => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
    };
    for id in open {
        let mut tx = app.db.read().await.unwrap();
        let session = db::sessions::find(&mut tx, SessionId::from_uuid(id)).await.unwrap();
        drop(tx);
        // Its hold may never have been acknowledged.
        settle(app, &session.unwrap(), &acknowledge).await.unwrap();
    }
}

/// One student: money, and session after session, until something fails.
async fn live(
    app: &App,
    course: &Course,
    student: UserId,
    extends: usize,
    tell: &impl Fn(&str, &str, Money),
) -> Result<()> {
    loop {
        let top_up = top_up_of(student, money("20.00"));
        let id = top_up.journal.id.clone();
        post(app, top_up).await?;
        tell("top_up", &id, money("20.00"));
        let start = start_with(draft(student, course), "10.00");
        let mut session = session_of(Ok(app.writer.submit(start).await?));
        tell("hold", &session.id.to_string(), session.held);
        for _ in 0..extends % 3 {
            session = session_of(Ok(app.writer.submit(extend_by(&session, "1.00")).await?));
            tell("hold", &session.id.to_string(), session.held);
        }
        settle(app, &session, tell).await?;
    }
}

async fn settle(app: &App, session: &Session, tell: &impl Fn(&str, &str, Money)) -> Result<()> {
    let settle = settle_after(session, Duration::from_mins(10));
    let settled = session_of(Ok(app.writer.submit(settle).await?));
    tell("settle", &settled.id.to_string(), settled.cost);
    Ok(())
}

fn spawn_victim(database: &TestDatabase) -> (Child, BufReader<ChildStdout>) {
    let url = match &database.url {
        DatabaseUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
        DatabaseUrl::Postgres(url) => url.clone(),
    };
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::victim", "--nocapture", "--include-ignored"])
        .env(DATABASE, url)
        // What it cannot remove any more goes with our own.
        .env("TMPDIR", database.directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap());
    (victim, lines)
}

/// PostgreSQL may still be at work for a process that is gone.
async fn wait_for_backends(url: &DatabaseUrl) {
    let DatabaseUrl::Postgres(url) = url else { return };
    wait_until("rid of the victim's connections", async || {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let others: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        others == 0
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut dice = Dice::new();
    let database = TestDatabase::migrated().await;
    let mut acknowledged = Acknowledged::default();
    let mut in_flight = 0;
    for round in 0..rounds() {
        let count = dice.roll(ACKNOWLEDGED_MAX);
        let (mut victim, mut lines) = spawn_victim(&database);
        let mut lately = Acknowledged::default();
        lately.read_lines(&mut lines, count);
        victim.kill().unwrap();
        victim.wait().unwrap();
        // Said before it died, and not read yet.
        lately.read_lines(&mut lines, u64::MAX);
        assert!(
            lately.operations >= i64::try_from(count).unwrap(),
            "round {round}: the victim died by itself"
        );
        eprintln!("round {round}: {} acknowledged", lately.operations);
        wait_for_backends(&database.url).await;

        in_flight += i64::try_from(TASKS).unwrap();
        let db = database.connect().await;
        lately.assert_found(&db).await;
        acknowledged.append(lately);
        acknowledged.assert_no_more_than(&db, in_flight).await;
        db.close().await;
    }
    let db = database.connect().await;
    acknowledged.assert_kept(&db, in_flight).await;
    db.close().await;
    database.remove().await;
}
