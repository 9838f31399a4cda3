//! The command line: `murph`, which serves, and the commands around it.
//!
//! Each command is a module with a `run`. What it says goes to standard output, why it failed to
//! standard error, in one sentence that ends with what to do about it.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | done; everything is in order |
//! | 1 | failed; something is not in order |
//! | 2 | the command line is wrong, or the question could not be answered |

mod backup;
mod check_ledger;
mod database;
mod doctor;
mod fail;
mod health;
mod load;
mod lock;
mod migrate;
mod output;
mod rebuild;
mod restore;
mod serve;
mod signals;
mod sqlite_file;
mod user;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::fail::Failure;
use crate::{
    config::{Config, Sources},
    http::openapi,
    live::message::ASYNCAPI,
};

/// Meters attention and turns it into money, exactly.
///
/// Without a command, Murph serves.
#[derive(Debug, Parser)]
#[command(name = "murph", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

// Where settings come from, besides the defaults and the environment. No documentation comment:
// clap would take it for what each command is about.
#[derive(Args, Debug, Default)]
struct Settings {
    #[arg(long, value_name = "FILE", help = "Reads settings from a TOML file [env: MURPH_CONFIG]")]
    config: Option<PathBuf>,
    /// Sets one setting, stronger than file and environment; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT; a second signal ends it at once
    Serve,
    /// Brings the database's schema forward, or one step back
    Migrate(migrate::Options),
    /// Checks that the books balance, while servers run
    CheckLedger(check_ledger::Options),
    /// Adds up anew what teachers earned and how courses are rated, from the ledger and the reviews
    Rebuild,
    /// Shows the settings in effect as TOML, without the secrets
    Config,
    #[command(about = "Prints what is asked and answered over HTTP, as OpenAPI")]
    Openapi,
    #[command(about = "Prints what is said on sockets, as AsyncAPI: to read and to generate from")]
    Asyncapi,
    /// Makes accounts
    #[command(subcommand)]
    User(user::Command),
    /// Asks a running server whether it is well
    Health(health::Options),
    /// Looks for everything that could keep Murph from working, and says how to mend it
    Doctor(doctor::Options),
    #[command(about = "Copies the SQLite database while it is in use")]
    Backup(backup::Options),
    /// Puts a copy made by `backup` in the database's place
    Restore(restore::Options),
    /// Plays many simulated videos: how big a machine must be, and whether it tells the truth
    Load(load::Options),
}

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let (command, settings) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return show_usage(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(format!("cannot start threads: {error}")).report(),
    };
    let code = runtime.block_on(run(command, settings)).unwrap_or_else(|failure| failure.report());
    // Whatever still runs has been given up on: a second signal, a password nobody waits for.
    runtime.shutdown_background();
    code
}

fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(Command, Settings), clap::Error> {
    let matches = take_settings(Cli::command()).try_get_matches_from(arguments)?;
    let command = Cli::from_arg_matches(&matches)?.command.unwrap_or(Command::Serve);
    Ok((command, given_settings(&matches)?))
}

/// Lets every command take settings. Clap's own global arguments would not do: given before and
/// behind the command, those before it are lost without a word.
fn take_settings(command: clap::Command) -> clap::Command {
    Settings::augment_args(command).mut_subcommands(take_settings)
}

/// The settings of all levels; what stands further behind is stronger.
fn given_settings(matches: &ArgMatches) -> Result<Settings, clap::Error> {
    let mut settings = Settings::from_arg_matches(matches)?;
    if let Some((_, matches)) = matches.subcommand() {
        let further = given_settings(matches)?;
        settings.config = further.config.or(settings.config);
        settings.set.extend(further.set);
    }
    Ok(settings)
}

/// What clap has to say: help, the version, or what it did not understand.
fn show_usage(error: &clap::Error) -> ExitCode {
    // Whoever closed the pipe does not want to know.
    drop(error.print());
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn run(command: Command, settings: Settings) -> Result<ExitCode, Failure> {
    let config = || Config::load(Sources::of_process(settings.config, settings.set));
    match command {
        Command::Serve => serve::run(config()?).await,
        Command::Migrate(options) => migrate::run(&config()?, &options).await,
        Command::CheckLedger(options) => {
            let cannot_check = |failure: Failure| failure.with_code(fail::NO_ANSWER);
            let config = config().map_err(Failure::from).map_err(cannot_check)?;
            check_ledger::run(&config, &options).await.map_err(cannot_check)
        }
        Command::Rebuild => rebuild::run(&config()?).await,
        Command::Config => output::block(&config()?.masked()),
        Command::Openapi => output::block(openapi::text()),
        Command::Asyncapi => output::block(ASYNCAPI),
        Command::User(command) => user::run(config()?, command).await,
        Command::Health(options) => health::run(config, options).await,
        Command::Doctor(options) => doctor::run(config(), &options).await,
        Command::Backup(options) => backup::run(&config()?, &options).await,
        Command::Restore(options) => restore::run(&config()?, &options).await,
        Command::Load(options) => load::run(options).await,
    }
}

/// Takes `section.key=value` apart. Whether there is such a setting, `config` will tell.
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as section.key=value, such as server.listen=127.0.0.1:9000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Settings {
        parse(line.split(' ')).unwrap().1
    }

    #[test]
    fn the_command_line_is_consistent() {
        take_settings(Cli::command()).debug_assert();
    }

    #[test]
    fn settings_may_stand_before_and_behind_the_command() {
        let before = settings("murph --set log.filter=a=b --config x migrate");
        assert_eq!(before.set, [("log.filter".to_owned(), "a=b".to_owned())]);
        assert_eq!(before.config, Some("x".into()));
        let both = settings("murph --set a.b=1 migrate --set c.d=2 --set e.f=3 --config y");
        let keys: Vec<_> = both.set.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a.b", "c.d", "e.f"]);
        assert_eq!(both.config, Some("y".into()));
        assert_eq!(settings("murph").set.len(), 0);
        let deep = "murph --set a.b=1 user create --email e --name n --role admin --set c.d=2";
        assert_eq!(settings(deep).set.len(), 2);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for text in ["", "listen", "listen=1", "server.listen"] {
            assert!(setting(text).is_err(), "{text}");
        }
    }
}
