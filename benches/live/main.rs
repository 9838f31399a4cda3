//! What a tick costs on its way to a player: a whole Murph with ten thousand sockets, on SQLite or on
//! the PostgreSQL that `MURPH_TEST_DATABASE` names, against the least that can be done: a loop of
//! `send()` over as many sockets, in the same run.
//!
//! Murph runs as `murph serve` does, in a process of its own; so does the loop. Players are in
//! further processes and cost neither of the two anything. What is compared is the CPU time of the
//! sender, by tick that has arrived.
//!
//! ```text
//! cargo bench --bench live
//! scripts/with-postgres cargo bench --bench live
//! ```
//!
//! `MURPH_BENCH_SOCKETS` says how many sockets (10 000), `MURPH_BENCH_SECONDS` how long each phase
//! is measured (20). More than 18 000 sockets need more than 20 000 open files in a process.

#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench prints a table of rates"
)]

mod bare;
mod clients;
mod crew;
// What `murph load` measures with. Their tests run there.
#[path = "../../src/cli/load/histogram.rs"]
#[expect(dead_code, reason = "the fleet of `load` asks for more, and so do the tests")]
mod histogram;
#[path = "../../src/cli/load/lateness.rs"]
#[expect(dead_code, reason = "only its tests need all of it")]
mod lateness;
mod machine;
mod murph_server;
#[path = "../server/serving.rs"]
mod serving;
mod socket;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

pub(crate) use self::serving::ROLE;
use self::{bare::Bare, clients::Counted, crew::Crew, murph_server::Murph};

/// From one tick of a session to the next.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// Rounds between a change and the measurement.
const SETTLE: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("murph") => return murph::cli::main(),
        Ok("bare") => bare::main(),
        Ok("clients") => clients::main(),
        _ => measure(),
    }
    ExitCode::SUCCESS
}

fn from_environment(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn measure() {
    let sockets = from_environment("MURPH_BENCH_SOCKETS", 10_000);
    let seconds = from_environment("MURPH_BENCH_SECONDS", 20);
    let window = Duration::from_secs(u64::try_from(seconds).expect("a window is not that long"));
    println!("{sockets} sockets, a tick a second each, {seconds} s for each line\n");
    println!(
        "{:<32} {:>9} {:>9} {:>9} {:>7}   lateness of ticks in ms",
        "", "µs a tick", "in user", "ticks/s", "core"
    );

    let (rows, frame) = measure_murph(sockets, window);
    let bare = measure_bare(sockets, &frame, window);
    println!("\nagainst the bare loop");
    for (name, micros) in rows {
        println!("{name:<32} {:>8.2}x", micros / bare);
    }
}

/// The cost of a tick in µs for each way players behave, and a tick as it was sent.
fn measure_murph(sockets: usize, window: Duration) -> (Vec<(&'static str, f64)>, String) {
    let murph = Murph::start(sockets);
    let before = murph.memory_bytes();
    let began = Instant::now();
    let mut crew = Crew::aboard_murph(&murph, sockets);
    let took = began.elapsed();
    let mut rows = Vec::new();
    let mut frame = String::new();
    let mut playing = 0;
    // With a proof every other tick, each second tick would find its player silent, and be followed
    // by a `state`: twice the frames.
    for (name, is_proving) in
        [("Murph, a proof with every tick", true), ("Murph, silent players", false)]
    {
        crew.set_proving(is_proving);
        std::thread::sleep(SETTLE);
        let (micros, counted) = measure_phase(name, &mut crew, window, murph.id());
        rows.push((name, micros));
        if is_proving {
            playing = murph.memory_bytes();
            frame = counted.frame;
        }
    }
    let ended = crew.end();
    let after = murph.memory_bytes();
    let per_session = (playing as f64 - before as f64) / sockets as f64 / 1_024.0;
    println!(
        "\nMurph: {sockets} started, attached and playing in {:.1} s; all ended {:.1} s after the \
         first said so",
        took.as_secs_f64(),
        ended.as_secs_f64()
    );
    println!(
        "memory: {} MiB before, {} MiB with all playing: {per_session:.2} KiB a session; {} MiB \
         when all had ended\n",
        before >> 20,
        playing >> 20,
        after >> 20,
    );
    murph.stop();
    (rows, frame)
}

fn measure_bare(sockets: usize, frame: &str, window: Duration) -> f64 {
    let bare = Bare::start(sockets, frame);
    let mut crew = Crew::aboard_bare(bare.address, sockets);
    std::thread::sleep(SETTLE);
    let (micros, _) = measure_phase("bare loop of send()", &mut crew, window, bare.id());
    drop(crew);
    micros
}

fn measure_phase(name: &str, crew: &mut Crew, window: Duration, sender: u32) -> (f64, Counted) {
    crew.begin_counting();
    let (began, cpu, user) = (Instant::now(), machine::cpu(sender), machine::user(sender));
    std::thread::sleep(window);
    let (took, cpu) = (began.elapsed(), machine::cpu(sender).saturating_sub(cpu));
    let user = machine::user(sender).saturating_sub(user);
    let counted = crew.counted();
    assert!(counted.ticks > 0, "{name}: no tick came");
    let by_tick = |cpu: Duration| cpu.as_secs_f64() * 1e6 / counted.ticks as f64;
    let micros = by_tick(cpu);
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    println!(
        "{name:<32} {micros:>9.2} {:>9.2} {:>9.0} {:>6.1}%   p50 {:.1}, p99 {:.1}, max {:.1}{}",
        by_tick(user),
        counted.ticks as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        ms(counted.lateness.percentile(50)),
        ms(counted.lateness.percentile(99)),
        ms(counted.lateness.max()),
        if counted.lost > 0 { format!("; {} sockets LOST", counted.lost) } else { String::new() },
    );
    (micros, counted)
}
