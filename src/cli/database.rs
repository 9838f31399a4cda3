//! Opening the configured database for a command, with a clear sentence if that fails.
//!
//! * [`open`] to work with it: what is missing is made.
//! * [`look`] to look at it: nothing is made and nothing is changed.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, time::Duration};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::{
    cli::{
        fail::{self, Failure},
        sqlite_file::{self, Found},
    },
    config::{Config, Database, DatabaseUrl},
    db::{Db, inspect, migrate},
    error::Error,
};

/// Opens the database to work with it. A `SQLite` file is made if it is not there.
pub(super) async fn open(config: &Config) -> Result<Db, Failure> {
    match config.database_url() {
        DatabaseUrl::Sqlite(path) => open_sqlite(&path, &config.database).await,
        DatabaseUrl::Postgres(url) => open_postgres(url, &config.database).await,
    }
}

/// Opens the database to look at it.
pub(super) async fn look(config: &Config) -> Result<Db, Failure> {
    match config.database_url() {
        DatabaseUrl::Sqlite(path) => look_at_file(&path).await,
        DatabaseUrl::Postgres(url) => {
            // Looking at all of a large ledger takes longer than any request may.
            let settings =
                Database { statement_timeout_ms: 0, max_connections: 1, ..config.database.clone() };
            open_postgres(url, &settings).await
        }
    }
}

pub(super) async fn open_sqlite(path: &Path, settings: &Database) -> Result<Db, Failure> {
    make_directory(sqlite_file::directory(path))?;
    sqlite_file::look(path)?;
    sqlite_file::make_private(path)?;
    sqlite_file::check_writable(path)?;
    let url = DatabaseUrl::Sqlite(path.to_owned());
    Db::connect(&url, settings).await.map_err(|error| about_file(path, error))
}

/// Opens a `SQLite` file that must be there, and cannot be changed through what is returned.
pub(super) async fn look_at_file(path: &Path) -> Result<Db, Failure> {
    if sqlite_file::look(path)? == Found::Nothing {
        let path = path.display();
        return Err(Failure::from(format!(
            "there is no database at {path}; `murph serve` or `murph migrate` makes one, or \
             check database.url"
        )));
    }
    inspect::open_read_only(path).await.map_err(|error| about_file(path, error))
}

/// Puts the file's name before what is wrong with it.
pub(super) fn about_file(path: &Path, error: Error) -> Failure {
    let failure = Failure::from(error);
    Failure::from(format!("{}: {}", path.display(), failure.sentence()))
}

async fn open_postgres(url: String, settings: &Database) -> Result<Db, Failure> {
    let options: Option<PgConnectOptions> = url.parse().ok();
    match (Db::connect(&DatabaseUrl::Postgres(url), settings).await, options) {
        (Err(Error::Unavailable(error) | Error::Database(error)), Some(options)) => {
            Err(Failure::from(why_not(&options, &error, settings.acquire_timeout()).await))
        }
        (result, _) => Ok(result?),
    }
}

/// Why there is no connection. The pool tries again and again until its time is up, and then
/// knows no reason; one connection of our own gives it.
async fn why_not(options: &PgConnectOptions, error: &sqlx::Error, limit: Duration) -> String {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return fail::postgres(options, error);
    }
    match tokio::time::timeout(limit, options.connect()).await {
        Ok(Err(reason)) => fail::postgres(options, &reason),
        _ => fail::postgres(options, error),
    }
}

/// Makes a directory, and those above it, that only its owner can look into: password hashes
/// and signing secrets are kept there.
pub(super) fn make_directory(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(fail::file("make the directory", path))
}

/// Migrates a database that is new. One that is behind is not touched, since a server of the
/// older kind may be working on it: that is a failure.
pub(super) async fn migrate_if_new(db: &Db) -> Result<(), Failure> {
    let steps = migrate::status(db).await?;
    if steps.iter().any(|step| step.applied) {
        return check_current(&steps);
    }
    Ok(migrate::up(db).await?)
}

/// A failure if the schema is not the one this Murph works with.
pub(super) fn check_current(steps: &[migrate::Step]) -> Result<(), Failure> {
    match steps.iter().find(|step| !step.applied) {
        None => Ok(()),
        Some(step) => Err(Failure::from(format!(
            "the database has not taken step {} ({}) of the schema; run `murph migrate` first",
            step.version, step.name
        ))),
    }
}
