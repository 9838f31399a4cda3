//! What `murph doctor` looks at in the database.

use std::{path::Path, time::Duration};

use super::Check;
use crate::{
    cli::{
        backup, database,
        fail::Failure,
        sqlite_file::{self, Found},
    },
    clock::Clock,
    config::{Config, DatabaseUrl},
    db::{Db, inspect, migrate},
};

/// The oldest that have all the SQL we use.
const SQLITE_OLDEST: (u32, u32) = (3, 38);
const POSTGRES_OLDEST: (u32, u32) = (15, 0);

/// Leases and sign-ins are judged by one clock and made by the other.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(2);

pub(super) async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    if let DatabaseUrl::Sqlite(path) = config.database_url() {
        match sqlite_file::look(&path) {
            Ok(Found::Nothing) => return vec![not_there(&path)],
            Ok(Found::Database { has_wal }) => checks.extend(file(&path, has_wal)),
            Err(failure) => return vec![Check::failed("database", &failure)],
        }
    }
    match database::look(config).await {
        Ok(db) => {
            checks.extend(questions(&db).await);
            db.close().await;
        }
        Err(failure) => checks.push(Check::failed("database", &failure)),
    }
    checks
}

fn not_there(path: &Path) -> Check {
    let detail = format!("{} is not there yet", path.display());
    Check::warning("database", detail, "`murph serve` makes it, or check database.url")
}

fn file(path: &Path, has_wal: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Err(failure) = sqlite_file::check_writable(path) {
        checks.push(Check::failed("database file", &failure));
    }
    checks.push(if has_wal {
        Check::ok("journal", "WAL")
    } else {
        // What a copy looks like before it is first served from.
        Check::warning("journal", "not WAL yet", "`murph serve` turns it on by itself")
    });
    checks
}

async fn questions(db: &Db) -> Vec<Check> {
    let mut checks = vec![answer("database", version(db).await)];
    checks.push(answer("schema", schema(db).await));
    if matches!(db, Db::Sqlite { .. }) {
        let whole = backup::check_whole(db).await;
        checks.push(answer("integrity", whole.map(|()| Check::ok("integrity", "whole"))));
    } else {
        checks.push(answer("clock", clock(db).await));
    }
    checks
}

/// What was found, or why it could not be.
fn answer(name: &str, result: Result<Check, Failure>) -> Check {
    result.unwrap_or_else(|failure| Check::failed(name, &failure))
}

async fn version(db: &Db) -> Result<Check, Failure> {
    let (major, minor, text) = inspect::version(db).await?;
    let oldest = match db {
        Db::Sqlite { .. } => SQLITE_OLDEST,
        Db::Postgres { .. } => POSTGRES_OLDEST,
    };
    let detail = format!("{} {text}", db.name());
    Ok(if (major, minor) >= oldest {
        Check::ok("database", detail)
    } else {
        let mend = format!("use version {}.{} or newer", oldest.0, oldest.1);
        Check::wrong("database", format!("{detail} is too old"), mend)
    })
}

async fn schema(db: &Db) -> Result<Check, Failure> {
    let steps = migrate::status(db).await?;
    let missing = steps.iter().filter(|step| !step.applied).count();
    Ok(match missing {
        0 => {
            let last = steps.last().map_or(0, |step| step.version);
            Check::ok("schema", format!("current, at step {last}"))
        }
        _ => Check::warning(
            "schema",
            format!("{missing} of {} steps are missing", steps.len()),
            "`murph serve` takes them by itself, or run `murph migrate`",
        ),
    })
}

async fn clock(db: &Db) -> Result<Check, Failure> {
    let Some(theirs) = inspect::clock(db).await? else {
        return Ok(Check::ok("clock", "ours"));
    };
    let ours = Clock::System.now();
    let off = ours.since(theirs).max(theirs.since(ours));
    Ok(if off <= CLOCK_OFF_MAX {
        Check::ok("clock", format!("the database's is {} ms off ours", off.as_millis()))
    } else {
        Check::wrong(
            "clock",
            format!("the database's is {} s off ours", off.as_secs()),
            "let both machines keep time by NTP",
        )
    })
}
