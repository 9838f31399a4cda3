//! `murph migrate`: the schema, forward or one step back.

use std::{
    io::{self, BufRead, IsTerminal},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{database, fail::Failure, lock::Lock, output, sqlite_file, sqlite_file::Found},
    config::{Config, DatabaseUrl},
    db::{Db, migrate},
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Only shows which steps the database has taken
    #[arg(long, conflicts_with = "down")]
    status: bool,
    /// Takes the last step back, with all data that it made room for
    #[arg(long)]
    down: bool,
    /// Does not ask before taking a step back
    #[arg(long, requires = "down")]
    yes: bool,
}

pub(super) async fn run(config: &Config, options: &Options) -> Result<ExitCode, Failure> {
    if options.status {
        status(config).await
    } else if options.down {
        down(config, options.yes).await
    } else {
        up(config).await
    }
}

async fn status(config: &Config) -> Result<ExitCode, Failure> {
    if let DatabaseUrl::Sqlite(path) = config.database_url()
        && sqlite_file::look(&path)? == Found::Nothing
    {
        return output::line(format!("there is no database at {} yet", path.display()));
    }
    let db = database::look(config).await?;
    for step in migrate::status(&db).await? {
        let state = if step.applied { "taken" } else { "missing" };
        output::line(format!("{:04}  {state:<7}  {}", step.version, step.name))?;
    }
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn up(config: &Config) -> Result<ExitCode, Failure> {
    let db = database::open(config).await?;
    let missing: Vec<_> =
        migrate::status(&db).await?.into_iter().filter(|step| !step.applied).collect();
    if missing.is_empty() {
        db.close().await;
        return output::line("the schema is current");
    }
    let _lock = Lock::of(config)?;
    migrate::up(&db).await?;
    db.close().await;
    for step in missing {
        output::line(format!("{:04}  {}", step.version, step.name))?;
    }
    output::line("the schema is current now")
}

async fn down(config: &Config, is_agreed: bool) -> Result<ExitCode, Failure> {
    let db = database::look(config).await?;
    let last = migrate::status(&db).await?.into_iter().rfind(|step| step.applied);
    db.close().await;
    let Some(last) = last else { return output::line("there is no step to take back") };
    let step = format!("step {:04} ({})", last.version, last.name);
    if !is_agreed && !is_agreed_to(&step, config.server.is_production())? {
        return Err(Failure::from("nothing was taken back".to_owned()));
    }

    let _lock = Lock::of(config)?;
    let db: Db = database::open(config).await?;
    let taken = migrate::down(&db).await?;
    db.close().await;
    output::line(match taken {
        Some(_) => format!("took {step} back"),
        None => "there is no step to take back".to_owned(),
    })
}

/// Asks on a terminal. Where there is nobody to ask, or too much to lose, only `--yes` will do.
fn is_agreed_to(step: &str, is_production: bool) -> Result<bool, Failure> {
    let why = match (is_production, io::stdin().is_terminal()) {
        (true, _) => "this is production",
        (false, false) => "there is nobody to ask",
        (false, true) => {
            output::aside(&format!("Take {step} back, with all data in it? [y/N] "));
            let mut answer = String::new();
            // No answer is a no.
            drop(io::stdin().lock().read_line(&mut answer));
            return Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()));
        }
    };
    Err(Failure::from(format!(
        "taking {step} back loses all data in it, and {why}; make a backup and add --yes"
    )))
}
