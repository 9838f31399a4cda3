//! `murph doctor`: looks for everything that could keep Murph from working, and says how to mend
//! it. It makes nothing, migrates nothing and needs no running server.
//!
//! ```text
//! host.rs      files, limits and ports of this machine
//! storage.rs   the database
//! peers.rs     the way to other nodes
//! ```

mod host;
mod peers;
mod storage;

use std::{fmt::Write, process::ExitCode};

use clap::Args;
use serde::Serialize;

use crate::{
    cli::{fail::Failure, output},
    config::{Config, ConfigError, GatewayKind, Problem},
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Prints what was found as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, but not as well or as safely as it could.
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    detail: String,
    /// What to do about it, unless it is fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, detail: detail.into(), mend: None }
    }

    fn warning(name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { name: name.into(), state: State::Warning, detail: detail.into(), mend }
    }

    fn wrong(name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { name: name.into(), state: State::Wrong, detail: detail.into(), mend }
    }

    /// A failure's sentence holds the mend, behind the last semicolon.
    fn failed(name: &str, failure: &Failure) -> Self {
        match failure.sentence().rsplit_once("; ") {
            Some((detail, mend)) => Self::wrong(name, detail, mend),
            None => Self::wrong(name, failure.sentence(), "see the log of the database"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<Check>,
}

pub(super) async fn run(
    config: Result<Config, ConfigError>,
    options: &Options,
) -> Result<ExitCode, Failure> {
    let checks = match config {
        Ok(config) => examine(&config).await,
        Err(error) => error.problems.iter().map(refused).collect(),
    };
    let healthy = checks.iter().all(|check| check.state != State::Wrong);
    let diagnosis = Diagnosis { healthy, checks };
    if options.json { output::json(&diagnosis) } else { output::block(&text(&diagnosis)) }?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn refused(problem: &Problem) -> Check {
    let Problem { key, problem, mend, origin } = problem;
    let origin = origin.as_ref().map(|origin| format!(" (set by {origin})")).unwrap_or_default();
    Check::wrong("configuration", format!("{key}: {problem}{origin}"), mend.as_str())
}

async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = vec![Check::ok("configuration", "valid")];
    checks.extend(pitfalls(config));
    checks.extend(host::files(config));
    checks.extend(storage::examine(config).await);
    checks.push(peers::bus(config).await);
    checks.push(host::open_files(config));
    checks.push(host::listen(config).await);
    checks
}

/// Settings that are fine on a developer's machine. Production refuses the worst by itself.
fn pitfalls(config: &Config) -> Vec<Check> {
    let server = &config.server;
    let is_reachable = !server.listen.ip().is_loopback();
    let mut checks = Vec::new();
    checks.push(match (server.is_production(), is_reachable) {
        (true, _) => Check::ok("mode", "production"),
        (false, false) => Check::ok("mode", "development, for this machine only"),
        (false, true) => Check::warning(
            "mode",
            format!("development, and others can reach {}", server.listen),
            "set server.mode to \"production\" if anybody else uses this server",
        ),
    });
    if config.payments.gateway == GatewayKind::Sandbox {
        checks.push(Check::warning(
            "payments",
            "the sandbox: everybody pays with play money",
            "set payments.gateway to \"none\" before real people use this server",
        ));
    }
    if config.mux.has_idle_token() {
        checks.push(Check::warning(
            "mux",
            "not used: there is a token, and no other key",
            "set all keys of [mux], or leave them empty",
        ));
    }
    if server.is_production() && server.trusted_proxies.is_empty() {
        checks.push(Check::warning(
            "proxies",
            "none is trusted: behind one, all clients count as one and share its limits",
            "list the proxy that ends TLS in server.trusted_proxies",
        ));
    }
    checks
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for Check { name, state, detail, mend } in &diagnosis.checks {
        let state = match state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Wrong => "WRONG",
        };
        writeln!(text, "{state:<8} {name:<14} {detail}").expect("a string takes any text");
        if let Some(mend) = mend {
            writeln!(text, "{:<23} mend: {mend}", "").expect("a string takes any text");
        }
    }
    let verdict = if diagnosis.healthy { "nothing is wrong" } else { "something is wrong" };
    writeln!(text, "{verdict}").expect("a string takes any text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn states(settings: &[(&str, &str)]) -> Vec<(String, State)> {
        let flags = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let config = Config::load(Sources { flags, ..Sources::default() }).unwrap();
        pitfalls(&config).into_iter().map(|check| (check.name, check.state)).collect()
    }

    #[test]
    fn what_others_can_reach_is_no_place_for_development() {
        assert_eq!(states(&[])[0], ("mode".to_owned(), State::Ok));
        assert_eq!(states(&[("server.listen", "0.0.0.0:80")])[0].1, State::Warning);
        assert_eq!(states(&[])[1], ("payments".to_owned(), State::Warning));
    }

    #[test]
    fn a_failure_is_taken_apart_into_what_is_wrong_and_the_mend() {
        let check = Check::failed("x", &Failure::from("a; b; do that".to_owned()));
        assert_eq!((check.detail.as_str(), check.mend.as_deref()), ("a; b", Some("do that")));
    }
}
