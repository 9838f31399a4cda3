//! How long looking for a course takes among very many: a whole Murph, as `murph serve` runs it,
//! and readers who ask again as soon as they are answered.
//!
//! On SQLite (a file), or on the PostgreSQL that `MURPH_TEST_DATABASE` names. Repeat with
//!
//! ```text
//! cargo bench --bench catalogue
//! scripts/with-postgres cargo bench --bench catalogue
//! ```
//!
//! Each kind of question is asked in three ways: first all readers look at the first page, for which Murph
//! reads once for all who wait; then each leafs through on his own, so that hardly any two ask the same, in
//! the manner of people, if very quick ones: each looks at a page before he asks for another; and last the
//! same without looking, which keeps all cores busy.
//!
//! `MURPH_BENCH_COURSES` says how many courses (100 000), `MURPH_BENCH_READERS` how many readers
//! (50), `MURPH_BENCH_SECONDS` how long each kind of question is asked in each way (5),
//! `MURPH_BENCH_PAUSE_MS` how long a page is looked at (200), `MURPH_BENCH_ONLY` a part of the names of
//! those kinds that are asked.

#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench prints a table of rates"
)]

#[path = "../database/postgres.rs"]
mod postgres;
#[path = "../server/serving.rs"]
mod serving;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use murph::{
    clock::Clock,
    config::{Config, DatabaseUrl, Sources},
    db::{self, Db},
    domain::{
        course::{Course, Split},
        review::Standing,
        user::{Role, User, UserStatus},
    },
    id::UserId,
    money::Money,
    time::Timestamp,
};
use serde_json::json;
use serving::Serving;
use tokio::task::JoinSet;

/// Courses that are made in one transaction.
const CHUNK: usize = 1_000;

/// Courses of one teacher.
const OF_TEACHER: usize = 50;

/// Pages that readers leaf through.
const PAGES_MAX: usize = 500;

/// Words of titles and descriptions; the first ones stand in very many.
const WORDS: [&str; 24] = [
    "course",
    "learn",
    "beginner",
    "advanced",
    "rust",
    "python",
    "music",
    "piano",
    "painting",
    "statistics",
    "marketing",
    "spanish",
    "history",
    "chemistry",
    "yoga",
    "cooking",
    "guitar",
    "algebra",
    "design",
    "writing",
    "photography",
    "sailing",
    "astronomy",
    "origami",
];

fn main() -> ExitCode {
    if std::env::var_os(serving::ROLE).is_some() {
        return murph::cli::main();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let courses = from_environment("MURPH_BENCH_COURSES", 100_000);
    let readers = from_environment("MURPH_BENCH_READERS", 50);
    let only = std::env::var("MURPH_BENCH_ONLY").ok();
    let span = from_environment("MURPH_BENCH_SECONDS", 5);
    let span = Duration::from_secs(u64::try_from(span).expect("a bench is not that long"));
    let pause = from_environment("MURPH_BENCH_PAUSE_MS", 200);
    let pause = Duration::from_millis(u64::try_from(pause).expect("nobody looks that long"));
    let directory = tempfile::tempdir().expect("a directory");
    let url = match std::env::var("MURPH_TEST_DATABASE") {
        Ok(url) => runtime.block_on(postgres::fresh(&url)),
        Err(_) => DatabaseUrl::Sqlite(directory.path().join("bench.db")),
    };
    let teacher = runtime.block_on(furnish(&url, courses));
    let server = Serving::start(&[
        ("SERVER__DATA_DIR", directory.path().display().to_string()),
        ("DATABASE__URL", url.to_string()),
        ("AUTH__SECRET", "a secret of this bench, long enough, 0123".to_owned()),
    ]);
    println!("{courses} courses, {readers} readers at once\n");
    let looked_at = format!("each another, {} ms each", pause.as_millis());
    let ways = ["all the first page", &looked_at, "each another page"];
    println!("{:<26}{:^32}{:^32}{:^32}", "", ways[0], ways[1], ways[2]);
    let columns = format!("{:>11} {:>8} {:>8}   ", "answers/s", "p50", "p99").repeat(ways.len());
    println!("{:<26}{columns}", "");
    for (name, query) in [
        ("the newest", String::new()),
        ("the cheapest", "sort=price".into()),
        ("in a range of prices", "min_price=0.30&max_price=0.40&sort=-price".into()),
        ("the best rated", "sort=-rating".into()),
        ("rated 4 and better", "min_rating=4".into()),
        ("of a teacher", format!("teacher_id={teacher}&limit=5")),
        ("a word of most courses", "search=course".into()),
        ("a word of few courses", "search=origami".into()),
        ("two words", "search=advanced+sailing".into()),
        ("a word of none", "search=nowhere".into()),
        ("a word, dear ones only", "search=learn&min_price=0.98".into()),
        ("a word, the cheapest", "search=learn&sort=price".into()),
        ("few courses, best rated", "search=origami+guitar&sort=-rating".into()),
    ] {
        if only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let first = format!("{}/api/v1/courses?{query}", server.url);
        let pages = runtime.block_on(leaf_through(&first));
        let restless = Reading { readers, span, pause: Duration::ZERO };
        let people = Reading { pause, ..restless };
        let ways = [(vec![first], restless), (pages.clone(), people), (pages, restless)];
        let took =
            ways.map(|(pages, reading)| summary(runtime.block_on(ask(pages, reading)), span));
        println!("{name:<26}{}", took.concat());
    }
    ExitCode::SUCCESS
}

/// Answers in a second, and how long the middle one and the slow ones took.
fn summary(mut took: Vec<Duration>, span: Duration) -> String {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let ms = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1_000.0);
    let rate = took.len() as f64 / span.as_secs_f64();
    format!("{rate:>11.0} {:>8} {:>8}   ", ms(at(50)), ms(at(99)))
}

fn from_environment(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// Where the pages are that begin with this one.
async fn leaf_through(first: &str) -> Vec<String> {
    let client = client();
    let mut pages = vec![first.to_owned()];
    while pages.len() < PAGES_MAX {
        let url = pages.last().expect("there is one");
        let page = client.get(url).send().await.expect("Murph answers");
        let page: serde_json::Value = page.json().await.expect("a page");
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        pages.push(format!("{first}&cursor={cursor}"));
    }
    pages
}

/// How readers read.
#[derive(Clone, Copy)]
struct Reading {
    readers: usize,
    /// How long all of them do.
    span: Duration,
    /// How long each looks at a page before he asks for another.
    pause: Duration,
}

/// Asks for these pages in turn, and says how long each answer took. Nobody begins when another does.
async fn ask(pages: Vec<String>, reading: Reading) -> Vec<Duration> {
    let Reading { readers, span, pause } = reading;
    let (client, pages) = (client(), Arc::new(pages));
    let mut tasks = JoinSet::new();
    let until = Instant::now() + span;
    for reader in 0..readers {
        let (client, pages) = (client.clone(), Arc::clone(&pages));
        // Far from where the others are.
        let mut nth = reader * pages.len() / readers;
        let first =
            pause * u32::try_from(reader).expect("few") / u32::try_from(readers).expect("few");
        tasks.spawn(async move {
            tokio::time::sleep(first).await;
            let mut took = Vec::new();
            while Instant::now() < until {
                let began = Instant::now();
                let url = &pages[nth % pages.len()];
                let response = client.get(url).send().await.expect("Murph answers");
                assert!(response.status().is_success(), "{response:?}");
                response.bytes().await.expect("a whole answer");
                took.push(began.elapsed());
                nth += 1;
                // No time at all would be a millisecond, too.
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            took
        });
    }
    tasks.join_all().await.concat()
}

/// Makes the courses; the id of one of the teachers.
async fn furnish(url: &DatabaseUrl, courses: usize) -> UserId {
    let config = Config::load(Sources::default()).expect("the defaults are valid");
    let db = Db::connect(url, &config.database).await.expect("the database answers");
    db::migrate::up(&db).await.expect("the schema is made");
    let now = Clock::System.now();
    let mut categories = db::courses::categories(&mut db.read().await.expect("it answers"))
        .await
        .expect("there are categories")
        .into_iter()
        .cycle();
    let mut teacher = person(now);
    for chunk in (0..courses).collect::<Vec<_>>().chunks(CHUNK) {
        let mut tx = db.begin().await.expect("the database answers");
        for nth in chunk {
            if nth % OF_TEACHER == 0 {
                teacher = person(now);
                db::users::insert(&mut tx, &teacher, "none").await.expect("a teacher is made");
            }
            let micros = i64::try_from(nth % 100 + 1).expect("a price") * 10_000;
            let price = (Money::from_micros(micros), "USD".parse().expect("a currency"));
            let (title, description) = words(*nth);
            let course = Course {
                description,
                category_id: categories.next().map(|category| category.id),
                ..Course::offered(teacher.id, title, price, Split::default(), now)
            };
            db::courses::insert(&mut tx, &course).await.expect("a course is made");
            if nth % 3 == 0 {
                let stars = u64::try_from(nth % 5 + 1).expect("few");
                let standing =
                    Standing { reviews: 1, weight: 1_000_000, points: stars * 1_000_000 };
                let rated = db::reviews::add_standing(&mut tx, course.id, standing, true).await;
                rated.expect("a course is rated");
            }
        }
        tx.commit().await.expect("a commit");
    }
    if let Db::Postgres { pool, .. } = &db {
        // As autovacuum does within a minute.
        sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("tables are looked at");
    }
    db.close().await;
    teacher.id
}

/// The n-th title and description: "course" is in each, a later word in ever fewer.
fn words(nth: usize) -> (String, String) {
    let mut random = u64::try_from(nth).expect("a number").wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The lower of two: the first words are the common ones.
        let of = |bits: u64| usize::try_from(bits % WORDS.len() as u64).expect("an index");
        WORDS[of(random).min(of(random >> 32))]
    };
    let title = format!("{} {} {nth}", word(), word());
    let mut description = String::from("a course");
    for _ in 0..20 {
        description.push(' ');
        description.push_str(word());
    }
    (title, description)
}

fn person(now: Timestamp) -> User {
    let id = UserId::new(now);
    User {
        id,
        email: format!("{id}@example.org"),
        name: "Somebody".into(),
        role: Role::Teacher,
        status: UserStatus::Active,
        profile: json!({}),
        created_at: now,
        updated_at: now,
    }
}
