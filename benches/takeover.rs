//! How long a node takes to take over all sessions of dead ones, and what it costs to keep their
//! checkpoints: a whole Murph, as `murph serve` runs it, on a database with open sessions.
//!
//! Twice: from what the rows say, and, after it was killed, from its checkpoints. A takeover is
//! measured from the start of the process to its first answer, which it does not give before. On
//! SQLite (a file) and on the PostgreSQL that `MURPH_TEST_DATABASE` names. Repeat with
//!
//! ```text
//! scripts/with-postgres --durable cargo bench --bench takeover
//! ```
//!
//! `MURPH_BENCH_SESSIONS` says how many sessions (100 000).

#![expect(clippy::print_stdout, clippy::float_arithmetic, reason = "a bench prints a table")]

#[path = "ledger/ground.rs"]
#[expect(dead_code, reason = "the ledger's bench settles, too")]
mod ground;
#[path = "live/machine.rs"]
#[expect(dead_code, reason = "the live bench asks for more")]
mod machine;
#[path = "server/serving.rs"]
mod serving;

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use ground::{Ground, HELD, WATCHED};
use murph::{
    db,
    domain::{
        claim::Claim,
        ledger::{Done, Operation, Start},
        stretch::{Stretch, StretchKind},
    },
    time::whole_ms,
};
use serving::Serving;
use tokio::task::JoinSet;

/// Sessions that are being started at the same time.
const AT_ONCE: usize = 2_000;

/// Rounds of the wheel over which the keeping is measured.
const ROUNDS: u32 = 4;

/// From one checkpoint of a session to the next: the default.
const TICK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if std::env::var_os(serving::ROLE).is_some() {
        return murph::cli::main();
    }
    let sessions = std::env::var("MURPH_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok());
    let sessions = sessions.unwrap_or(100_000);
    println!("{sessions} open sessions of a node that is gone\n");
    println!(
        "{:<12} {:>10} {:>18} {:>14} {:>22}",
        "", "taken over", "with checkpoints", "core to keep", "a round of checkpoints"
    );
    measure("SQLite", None, sessions);
    match std::env::var("MURPH_TEST_DATABASE") {
        Ok(url) => measure("PostgreSQL", Some(&url), sessions),
        Err(_) => println!("PostgreSQL: MURPH_TEST_DATABASE names none"),
    }
    ExitCode::SUCCESS
}

fn measure(name: &str, postgres: Option<&str>, sessions: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let ground = runtime.block_on(Ground::lay(postgres, sessions, 500));
    runtime.block_on(watch(&ground, sessions));

    let first = Server::start(&ground);
    runtime.block_on(assert_kept(&ground, sessions));
    // A round, so that every session is in a checkpoint.
    thread::sleep(TICK + TICK / 5);
    let (cpu, written) = (machine::cpu(first.id()), first.checkpoints());
    thread::sleep(TICK * ROUNDS);
    let core =
        machine::cpu(first.id()).saturating_sub(cpu).as_secs_f64() / (TICK * ROUNDS).as_secs_f64();
    let round = (first.checkpoints() - written) / f64::from(ROUNDS);
    let took = first.took;
    drop(first);

    // As if its lease had run out.
    runtime.block_on(forget_nodes(&ground));
    let second = Server::start(&ground);
    runtime.block_on(assert_kept(&ground, sessions));
    println!(
        "{name:<12} {:>8.2} s {:>16.2} s {:>12.1} % {:>19.0} ms",
        took.as_secs_f64(),
        second.took.as_secs_f64(),
        core * 100.0,
        round * 1_000.0
    );
}

/// Starts sessions and lets each be watched for a while, on a node that then is gone.
async fn watch(ground: &Ground, sessions: usize) {
    let mut tasks = JoinSet::new();
    for nth in 0..sessions {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.expect("there are tasks").expect("a session starts");
        }
        let app = ground.app.clone();
        let session = ground.session(ground.seat(nth));
        tasks.spawn(async move {
            let start =
                Start { session, lock_amount: HELD, min_watch: Duration::from_mins(1), once: None };
            let session = match app.writer.submit(Operation::Start(start)).await {
                Ok(Done::Started(session)) => session,
                other => panic!("a start came to {other:?}"),
            };
            let stretches = vec![Stretch(StretchKind::Watched, whole_ms(WATCHED))];
            let (session_id, fence) = (session.id, session.fence);
            let claim = Claim { session_id, fence, login_id: None, watched: WATCHED, stretches };
            app.claims.claim(claim).await.expect("a claim succeeds").expect("nobody else wants it");
        });
    }
    while let Some(started) = tasks.join_next().await {
        started.expect("a session starts");
    }
}

/// Whether all are in the hands of one node that is there.
async fn assert_kept(ground: &Ground, sessions: usize) {
    let mut tx = ground.app.db.read().await.expect("the database answers");
    let now = ground.app.clock.now();
    let mut kept = 0;
    for node in db::nodes::list(&mut tx).await.expect("nodes can be read") {
        let its = db::claims::list_of_node(&mut tx, node.id, now).await;
        kept += its.expect("sessions can be read").len();
    }
    assert_eq!(kept, sessions, "all are taken over");
}

async fn forget_nodes(ground: &Ground) {
    let mut tx = ground.app.db.begin().await.expect("the database answers");
    for node in db::nodes::list(&mut tx).await.expect("nodes can be read") {
        db::nodes::leave(&mut tx, node.id).await.expect("a node is forgotten");
    }
    tx.commit().await.expect("a commit");
}

struct Server {
    serving: Serving,
    /// From the start of the process to its first answer.
    took: Duration,
}

impl Server {
    fn start(ground: &Ground) -> Self {
        let began = Instant::now();
        let serving = Serving::start(&[
            ("SERVER__DATA_DIR", std::env::temp_dir().display().to_string()),
            ("DATABASE__URL", ground.url.to_string()),
            ("AUTH__SECRET", "a secret of this bench, long enough, 0123".to_owned()),
            // Nobody comes back while this is measured, and nobody is settled for it.
            ("METERING__RECONNECT_GRACE_MS", "600000".to_owned()),
        ]);
        get(&format!("{}/livez", serving.url));
        Self { serving, took: began.elapsed() }
    }

    fn id(&self) -> u32 {
        self.serving.child.id()
    }

    /// Seconds that were spent on writing checkpoints so far.
    fn checkpoints(&self) -> f64 {
        let page = get(&format!("{}/metrics", self.serving.url));
        let line = page.lines().find(|line| line.starts_with("murph_checkpoint_seconds_sum"));
        let (_, sum) = line.expect("it is measured").rsplit_once(' ').expect("a value");
        sum.parse().expect("a number")
    }
}

fn get(url: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        client.get(url).send().await.expect("Murph answers").text().await.expect("text")
    })
}
