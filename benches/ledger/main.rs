//! How many sessions can be started and settled durably in a second: the writer, which commits
//! many at once, against one transaction for each operation on 16 connections.
//!
//! Both sides write the same rows under the same constraints, in the same run, on SQLite (a file)
//! and on the PostgreSQL that `MURPH_TEST_DATABASE` names. Repeat with
//!
//! ```text
//! scripts/with-postgres --durable cargo bench --bench ledger
//! ```
//!
//! `MURPH_BENCH_SECONDS` says how long each cell is measured (3).

#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench prints a table of rates"
)]

mod ground;
mod plain;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ground::Ground;
use plain::Plain;
use tokio::task::JoinSet;

/// Connections of the baseline, each with its own transactions.
const PLAIN_CONNECTIONS: usize = 16;

#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    wallets: usize,
    teachers: usize,
    /// How many ask at the same time.
    asking: usize,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "1 wallet", wallets: 1, teachers: 1, asking: 1 },
    Scenario { name: "64 wallets", wallets: 64, teachers: 16, asking: 64 },
    Scenario { name: "5000 wallets", wallets: 5_000, teachers: 500, asking: 5_000 },
    Scenario { name: "5000 wallets, one hot teacher", wallets: 5_000, teachers: 1, asking: 5_000 },
];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let seconds = std::env::var("MURPH_BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    let span = Duration::from_secs(seconds.unwrap_or(3));
    println!("start+settle pairs per second, durable\n");
    println!(
        "{:<11} {:<30} {:>9} {:>9} {:>7}   {:>16}",
        "database", "scenario", "plain", "writer", "ratio", "start alone, w/p"
    );
    runtime.block_on(async {
        for scenario in SCENARIOS.iter().filter(|scenario| is_wanted("SQLite", scenario)) {
            report("SQLite", None, *scenario, span).await;
        }
        let Ok(url) = std::env::var("MURPH_TEST_DATABASE") else {
            println!("PostgreSQL  not measured: MURPH_TEST_DATABASE is not set");
            return;
        };
        for scenario in SCENARIOS.iter().filter(|scenario| is_wanted("PostgreSQL", scenario)) {
            report("PostgreSQL", Some(&url), *scenario, span).await;
        }
    });
}

/// Only what `MURPH_BENCH_ONLY` names, if it names something: `SQLite`, or a scenario.
fn is_wanted(database: &str, scenario: &Scenario) -> bool {
    std::env::var("MURPH_BENCH_ONLY")
        .map_or(true, |only| database.contains(&only) || scenario.name.contains(&only))
}

async fn report(database: &str, postgres: Option<&str>, scenario: Scenario, span: Duration) {
    let ground = Arc::new(Ground::lay(postgres, scenario.wallets, scenario.teachers).await);
    let plain = Arc::new(Plain::connect(&ground.url, PLAIN_CONNECTIONS).await);
    let asking = scenario.asking.min(PLAIN_CONNECTIONS);
    // One after the other and again, so that neither side has the machine at its best.
    let mut rates = [0.0, 0.0];
    let mut alone = [0.0, 0.0];
    for _ in 0..2 {
        rates[0] += plain_rate(&ground, &plain, asking, span / 2).await / 2.0;
        rates[1] += writer_rate(&ground, scenario.asking, span / 2).await / 2.0;
        if scenario.wallets == 1 {
            alone[0] += start_micros(&ground, Some(&plain)).await / 2.0;
            alone[1] += start_micros(&ground, None).await / 2.0;
        }
    }
    let alone = match alone {
        [0.0, _] => String::new(),
        [plain, writer] => format!("{:.2} ({writer:.0} µs)", writer / plain),
    };
    println!(
        "{database:<11} {:<30} {:>9.0} {:>9.0} {:>6.1}x   {alone:>16}",
        scenario.name,
        rates[0],
        rates[1],
        rates[1] / rates[0]
    );
    ground.check().await;
}

/// Pairs per second of the baseline, with `asking` connections at work.
async fn plain_rate(
    ground: &Arc<Ground>,
    plain: &Arc<Plain>,
    asking: usize,
    span: Duration,
) -> f64 {
    let (ground, plain) = (ground.clone(), plain.clone());
    rate(asking, span, move |nth, turn| {
        let (ground, plain) = (ground.clone(), plain.clone());
        async move {
            // Each connection keeps to its own wallets: a student has one session at a time.
            let turns = (ground.seats() / asking).max(1);
            let seat = ground.seat(nth + turn % turns * asking);
            let session = plain.start(&ground, seat).await;
            plain.settle(&ground, seat, session).await;
        }
    })
    .await
}

async fn writer_rate(ground: &Arc<Ground>, asking: usize, span: Duration) -> f64 {
    let ground = ground.clone();
    rate(asking, span, move |nth, _| {
        let ground = ground.clone();
        async move {
            let session = ground.start(ground.seat(nth)).await;
            ground.settle(session).await;
        }
    })
    .await
}

/// What a start takes that comes alone; its settlement is not counted.
async fn start_micros(ground: &Ground, plain: Option<&Plain>) -> f64 {
    let mut spent = Duration::ZERO;
    let mut count = 0_u32;
    while spent < Duration::from_millis(700) {
        let seat = ground.seat(0);
        let began = Instant::now();
        if let Some(plain) = plain {
            let session = plain.start(ground, seat).await;
            spent += began.elapsed();
            plain.settle(ground, seat, session).await;
        } else {
            let session = ground.start(seat).await;
            spent += began.elapsed();
            ground.settle(session).await;
        }
        count += 1;
    }
    spent.as_secs_f64() * 1e6 / f64::from(count)
}

/// Runs `work(nth, turn)` on `asking` tasks for `span` and counts how often it ended per second.
async fn rate<W, F>(asking: usize, span: Duration, work: W) -> f64
where
    W: Fn(usize, usize) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for nth in 0..asking {
        let (work, done) = (work.clone(), done.clone());
        tasks.spawn(async move {
            let mut turn = 0;
            while began.elapsed() < span {
                work(nth, turn).await;
                turn += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no operation fails");
    }
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}
