//! What it takes to meter many sessions at once: time and memory for each, as their number grows.
//!
//! All of them play. Every 5 s each is told where its playhead is, and later in the same 5 s, when
//! the caches hold other things, it is ticked and read, as a server does. Only the meters are
//! measured, side by side in a `Vec`: no sockets, no registry.
//!
//! ```text
//! cargo bench --bench meter
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints a table")]

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use murph::{
    domain::meter::{Event, Meter, Phase, Position, Proof, Rate, Reading, Rules},
    money::Money,
    time::Moment,
};

const COUNTS: [u64; 3] = [10_000, 100_000, 1_000_000];

const TICK_MS: u64 = 5_000;
const RULES: Rules = Rules { tick: Duration::from_secs(5), grace: Duration::from_secs(30) };

/// Each count is played for so many rounds or more.
const ROUNDS_MIN: u64 = 15;
/// So many meters in all are ticked for each count.
const WORK: u64 = 20_000_000;

/// So many are timed together, whatever the count: the median of batches leaves out those in which
/// another process had the core, which in one long round would be counted as the meters' own.
const BATCH: usize = 5_000;

const PAGE_BYTES: u64 = 4_096;

/// What one meter takes, in tenths of a nanosecond.
#[derive(Clone, Copy)]
struct Took {
    progress: u64,
    tick: u64,
}

fn main() {
    println!("size_of::<Meter>() is {} bytes\n", size_of::<Meter>());
    println!(
        "{:>9} {:>12} {:>8} {:>10} {:>14} {:>13} {:>11}",
        "meters",
        "ns/progress",
        "ns/tick",
        "ns, both",
        "of a core, 5 s",
        "bytes/meter",
        "vs smallest"
    );
    // Kept to the end: memory that was given back and taken again would not be seen to grow.
    let mut kept = Vec::new();
    let mut smallest = None;
    for count in COUNTS {
        let before = resident_bytes();
        let mut meters: Vec<Meter> = (0..count).map(playing).collect();
        let took = play(&mut meters, (WORK / count).max(ROUNDS_MIN));
        let bytes = resident_bytes().saturating_sub(before) / count;
        let both = took.progress + took.tick;
        let smallest = *smallest.get_or_insert(both);
        // Tenths of a nanosecond in 5 s, in hundredths of a percent.
        let share = both * count / 5_000_000;
        let ratio = both * 100 / smallest;
        println!(
            "{count:>9} {:>12} {:>8} {:>10} {:>12} % {bytes:>13} {:>10}x",
            tenths(took.progress),
            tenths(took.tick),
            tenths(both),
            hundredths(share),
            hundredths(ratio),
        );
        kept.push(meters);
    }
    black_box(kept);
}

/// When the `nth` player speaks in each round.
fn offset_ms(nth: u64) -> u64 {
    nth * 7_919 % TICK_MS
}

fn playing(nth: u64) -> Meter {
    let rate = Rate {
        price_per_minute: Money::from_micros(500_000),
        held: Money::from_micros(1_000_000_000),
        free_below: Duration::from_mins(1),
    };
    let mut meter = Meter::opening(rate, Duration::from_millis(900), Moment::default());
    let now = Moment::from_ms(offset_ms(nth));
    meter.apply(Event::Attach, &RULES, now);
    let position = Position { video: 0, at_ms: 0, length_ms: None };
    meter.apply(Event::Play(position), &RULES, now + Duration::from_millis(100));
    meter
}

fn play(meters: &mut [Meter], rounds: u64) -> Took {
    let (mut progress, mut tick) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let began_ms = round * TICK_MS;
        each(meters, &mut progress, |nth, meter| {
            let at_ms = began_ms + offset_ms(nth);
            let position = Position { video: 0, at_ms, length_ms: Some(86_400_000) };
            let proof = Proof { position, rate_percent: 100, visible: true, muted: false };
            meter.apply(Event::Progress(proof), &RULES, Moment::from_ms(at_ms))
        });
        let end = Moment::from_ms(began_ms + TICK_MS);
        each(meters, &mut tick, |_, meter| meter.apply(Event::Tick, &RULES, end));
    }
    Took { progress: median(progress), tick: median(tick) }
}

/// Does `work` to each meter once, and notes what one took in each batch, in tenths of a nanosecond.
fn each(meters: &mut [Meter], took: &mut Vec<u64>, work: impl Fn(u64, &mut Meter) -> Reading) {
    let mut nth = 0;
    for batch in meters.chunks_mut(BATCH) {
        let count = u64::try_from(batch.len()).expect("a count fits 64 bits");
        let began = Instant::now();
        let mut playing = 0_u64;
        for meter in batch {
            playing += u64::from(black_box(work(nth, meter)).phase == Phase::Playing);
            nth += 1;
        }
        let nanos = began.elapsed().as_nanos();
        assert_eq!(playing, count, "all of them play");
        took.push(u64::try_from(nanos).expect("it takes less than centuries") * 10 / count);
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// What of this process is in memory.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE_BYTES
}
