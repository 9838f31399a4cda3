//! `murph load`: a fleet of honest players, to see how big a machine must be, and whether what
//! players are told is what the ledger says.
//!
//! It uses the public API only, as players do, so it can be pointed at any Murph with play money:
//!
//! ```text
//! school ─▶ seats ─▶ fleet ─▶ player ─▶ api, link      makes accounts, plays, counts
//!                              └─▶ truth ─▶ report      compares, says
//! ```

mod api;
mod dice;
mod fleet;
mod habits;
mod histogram;
mod lateness;
mod link;
mod player;
mod process;
mod report;
mod school;
mod tally;
mod truth;
mod upgrade;

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::{
    api::{Api, Node},
    fleet::{Ending, Run, Script, Seat},
    process::{Outcome, Part},
    report::Report,
    school::{Course, School, Wanted},
    tally::Tally,
};
use crate::{
    cli::{
        fail::{self, Failure},
        output,
        signals::Signals,
    },
    money::Money,
};

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// A node to play on; may be repeated, players are spread over all
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: Vec<String>,
    /// How many play at the same time, if they watch long enough
    #[arg(long, default_value = "100")]
    players: NonZeroUsize,
    /// How many start per second
    #[arg(long, default_value = "50")]
    rate: NonZeroU32,
    /// How long each of them watches, as in 500ms, 60s, 5m, 2h
    #[arg(long, value_parser = span, default_value = "60s")]
    duration: Duration,
    /// The length of the video; whoever comes to its end begins again
    #[arg(long, value_name = "MINUTES", default_value = "90")]
    video_minutes: NonZeroU32,
    /// What a minute costs
    #[arg(long, default_value = "0.60")]
    price: Money,
    /// Students to have an account, at least as many as players [default: as many]
    #[arg(long)]
    accounts: Option<NonZeroUsize>,
    /// Keeps the accounts in a file and uses those in it: making them is slow
    #[arg(long, value_name = "FILE")]
    accounts_file: Option<PathBuf>,
    /// How many of a hundred players pause now and then
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent())]
    pause_percent: u8,
    /// How many of a hundred players lose their connection now and then, and come back
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent())]
    drop_percent: u8,
    /// How players end
    #[arg(long, value_enum, default_value = "socket")]
    end: Ending,
    /// Processes to play in; each has its own limit of open files
    #[arg(long, default_value = "1")]
    processes: NonZeroUsize,
    /// Addresses of this machine to play from: one has some 28 000 ports
    #[arg(long, value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// The same seed, the same behaviour
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true)]
    worker: bool,
}

pub(super) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    let signals = Signals::listen()?;
    tokio::select! {
        code = load(&options, &stop) => code,
        () = signals.stop_then_end(&stop) => {
            let left = "ended at once by a second signal; sessions may be left open";
            Err(Failure::from(left.to_owned()))
        }
    }
}

async fn load(options: &Options, stop: &CancellationToken) -> Result<ExitCode, Failure> {
    let mut nodes = Vec::new();
    for url in &options.url {
        nodes.push(Node::find(url).await?);
    }
    let api = Api::new(nodes, options.source.clone())?;
    if options.worker {
        let part = process::receive(stop).await?;
        process::report(&play(options, api, part, stop).await)?;
        return Ok(ExitCode::SUCCESS);
    }
    let prepared = tokio::select! {
        prepared = prepare(options, &api) => prepared?,
        () = stop.cancelled() => return Err(Failure::from("stopped before it began".to_owned())),
    };
    let (mut school, seats) = prepared;
    let course = school.course.clone();
    let outcomes = if options.processes.get() == 1 {
        vec![play(options, api, Part { course, seats }, stop).await]
    } else {
        process::run(parts(&course, seats, options.processes), stop).await?
    };
    let mut tally = Tally::default();
    for outcome in outcomes {
        tally.merge(&outcome.tally);
        school.renew(outcome.accounts);
    }
    keep(options, &school)?;
    let report = Report::of(tally);
    if options.json { output::json(&report) } else { output::block(&report.table()) }?;
    Ok(if report.is_true() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes accounts and fills wallets, as far as that is not done yet.
async fn prepare(options: &Options, api: &Api) -> Result<(School, Vec<Seat>), Failure> {
    let players = options.players.get();
    let accounts = options.accounts.map_or(players, NonZeroUsize::get);
    if accounts < players {
        let why = "a student has one session at a time, so there cannot be fewer accounts than \
                   players; raise --accounts";
        return Err(Failure::from(why.to_owned()).with_code(fail::NO_ANSWER));
    }
    let wanted = Wanted {
        accounts,
        players,
        price_per_minute: options.price,
        length_ms: u64::from(options.video_minutes.get()) * 60_000,
        watch: options.duration,
    };
    let kept = match &options.accounts_file {
        Some(file) => School::read(file)?,
        None => None,
    };
    let mut school = School::open(api, kept, &wanted).await?;
    // At once: they are worth more than whatever may go wrong later.
    keep(options, &school)?;
    let seats = school.seat(api, &wanted).await?;
    keep(options, &school)?;
    // What went wrong so far was not the fleet's doing.
    *api.tally() = Tally::default();
    Ok((school, seats))
}

fn keep(options: &Options, school: &School) -> Result<(), Failure> {
    match &options.accounts_file {
        Some(file) => school.write(file),
        None => Ok(()),
    }
}

/// Deals the seats out like cards.
fn parts(course: &Course, seats: Vec<Seat>, processes: NonZeroUsize) -> Vec<Part> {
    let part = |_| Part { course: course.clone(), seats: Vec::new() };
    let mut parts: Vec<_> = (0..processes.get()).map(part).collect();
    for seat in seats {
        parts[seat.place % processes].seats.push(seat);
    }
    parts
}

/// Plays a part in this process, and compares what came of it.
async fn play(options: &Options, api: Api, part: Part, stop: &CancellationToken) -> Outcome {
    let script = Script {
        course_id: part.course.id,
        video_id: part.course.video_id,
        length: Duration::from_mins(options.video_minutes.get().into()),
        watch: options.duration,
        pace: Duration::from_secs(1) / options.rate.get(),
        pause_percent: options.pause_percent,
        drop_percent: options.drop_percent,
        end: options.end,
        seed: options.seed,
    };
    let stop = stop.clone();
    let run = Arc::new(Run { api, script, stop, began: Instant::now() });
    let played = fleet::play(&run, part.seats).await;
    let accounts = truth::check(&run, played).await;
    let tally = std::mem::take(&mut *run.api.tally());
    Outcome { tally, accounts }
}

fn percent() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=100)
}

/// Reads a span such as `500ms`, `60s`, `5m` or `2h`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("write it as 500ms, 60s, 5m or 2h, and not {text:?}");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(span("2h"), Ok(Duration::from_hours(2)));
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "18446744073709551615h"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
