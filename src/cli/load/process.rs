//! Several processes: one has 20 000 sockets at most on many systems, and one core's worth of work
//! is not enough to try a large server.
//!
//! The first process prepares everything and reports; the others are the same program with the
//! same arguments and `--worker`. Each reads its seats from standard input, and stops when that
//! ends, so none is left behind. What they saw comes back as one line of JSON.

use std::{
    io::{BufRead, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{api::Account, fleet::Seat, school::Course, tally::Tally};
use crate::cli::{
    fail::{self, Failure},
    output,
};

/// What a process is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Part {
    pub(super) course: Course,
    pub(super) seats: Vec<Seat>,
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// With the tokens they have now.
    pub(super) accounts: Vec<Account>,
}

/// Lets other processes do the `parts`.
pub(super) async fn run(
    parts: Vec<Part>,
    stop: &CancellationToken,
) -> Result<Vec<Outcome>, Failure> {
    let children: Vec<_> = parts.iter().map(|_| start()).collect::<Result<_, _>>()?;
    let mut handed = Vec::new();
    for (child, part) in children.into_iter().zip(parts) {
        handed.push(spawn_blocking(move || hand(child, &part)));
    }
    let mut ended = Vec::new();
    let mut inputs = Vec::new();
    for child in handed {
        let (child, input) = child.await.expect("a part is plain data")?;
        inputs.push(input);
        ended.push(spawn_blocking(move || child.wait_with_output()));
    }
    let stopper = stop.clone().cancelled_owned();
    let all = futures_util::future::join_all(ended);
    let mut all = std::pin::pin!(all);
    let outputs = tokio::select! {
        outputs = all.as_mut() => outputs,
        () = stopper => {
            inputs.clear();
            all.await
        }
    };
    outputs.into_iter().map(|output| outcome(output.expect("waiting does not panic"))).collect()
}

fn start() -> Result<Child, Failure> {
    let failed = |error: std::io::Error| {
        Failure::from(format!("cannot start another process: {}", fail::said(&error)))
    };
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(std::env::args_os().skip(1))
        .arg("--worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)
}

/// Gives a process its part. Its standard input stays open.
fn hand(mut child: Child, part: &Part) -> Result<(Child, ChildStdin), Failure> {
    let mut line = serde_json::to_vec(part).expect("a part is plain data");
    line.push(b'\n');
    let mut input = child.stdin.take().expect("it is a pipe");
    match input.write_all(&line).and_then(|()| input.flush()) {
        Ok(()) => Ok((child, input)),
        Err(error) => {
            let why = fail::said(&error);
            Err(Failure::from(format!("cannot hand work to another process: {why}")))
        }
    }
}

fn outcome(output: std::io::Result<std::process::Output>) -> Result<Outcome, Failure> {
    let broken = |why: String| Failure::from(format!("another process broke: {why}"));
    let output = output.map_err(|error| broken(fail::said(&error)))?;
    serde_json::from_slice(&output.stdout).map_err(|_| broken(output.status.to_string()))
}

/// In another process: the part it is handed. Its input's end cancels `stop`.
pub(super) async fn receive(stop: &CancellationToken) -> Result<Part, Failure> {
    let (give, take) = tokio::sync::oneshot::channel();
    let stop = stop.clone();
    // A thread of its own, and not one of the runtime's: nothing waits for its end.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut line = String::new();
        let read = input.read_line(&mut line);
        drop(give.send(read.map(|_| line)));
        let mut rest = [0; 64];
        while input.read(&mut rest).is_ok_and(|length| length > 0) {}
        stop.cancel();
    });
    let nobody = || Failure::from("--worker is for load itself: leave it out".to_owned());
    let line = take.await.map_err(|_| nobody())?.map_err(|_| nobody())?;
    serde_json::from_str(&line).map_err(|_| nobody())
}

pub(super) fn report(outcome: &Outcome) -> Result<(), Failure> {
    let line = serde_json::to_string(outcome).expect("an outcome is plain data");
    output::line(line).map(drop)
}
