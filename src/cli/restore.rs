//! `murph restore`: puts a copy in the place of the `SQLite` database.
//!
//! The copy is copied again and checked before anything is touched; the old database stays beside
//! the new one under another name. Nothing here removes money.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{
        backup::{self, Duplicate},
        database,
        fail::{self, Failure},
        lock::Lock,
        output, sqlite_file,
    },
    clock::Clock,
    config::{Config, DatabaseUrl},
    db::{self, migrate},
    time::Timestamp,
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The copy, as `murph backup` made it
    file: PathBuf,
}

pub(super) async fn run(config: &Config, options: &Options) -> Result<ExitCode, Failure> {
    let target = match config.database_url() {
        DatabaseUrl::Sqlite(path) => sqlite_file::behind_links(&path),
        url @ DatabaseUrl::Postgres(_) => {
            let tools = "PostgreSQL is restored by its own tools: pg_restore --clean --if-exists";
            return Err(
                Failure::from(format!("{tools} -d '{url}' FILE")).with_code(fail::NO_ANSWER)
            );
        }
    };
    if !options.file.exists() {
        let file = options.file.display();
        return Err(Failure::from(format!("there is no {file}; check the path")));
    }
    database::make_directory(sqlite_file::directory(&target))?;
    let _lock = Lock::take(&target)?;
    let copy = checked_copy(config, &options.file, &target).await?;
    let old = put_aside(config, &target, Clock::System.now()).await?;
    copy.replace(&target)?;
    let target = target.display();
    let file = options.file.display();
    match old {
        Some(old) => {
            let old = old.display();
            output::line(format!("{target} is now the copy {file}; what was there is {old}"))
        }
        None => output::line(format!("{target} is now the copy {file}")),
    }
}

/// A copy of `file` beside `target` with the schema of this Murph, whole and balanced.
async fn checked_copy(config: &Config, file: &Path, target: &Path) -> Result<Duplicate, Failure> {
    let about = |failure: Failure| {
        Failure::from(format!("{} cannot be restored: {}", file.display(), failure.sentence()))
    };
    let db = database::look_at_file(file).await?;
    backup::check_whole(&db).await.map_err(about)?;
    let steps = migrate::status(&db).await.map_err(Failure::from).map_err(about)?;
    if steps.iter().all(|step| !step.applied) {
        let file = file.display();
        return Err(Failure::from(format!("{file} is not a database of Murph; check the path")));
    }
    let copy = Duplicate::of(&db, target).await?;
    db.close().await;
    if steps.iter().any(|step| !step.applied) {
        // Made by an older Murph. Its schema must be ours before the ledger can be checked.
        let db = database::open_sqlite(copy.path(), &config.database).await?;
        migrate::up(&db).await?;
        if !db::backup::fold_log(&db).await? {
            return Err(Failure::from(format!("another program uses {}", copy.path().display())));
        }
        db.close().await;
    }
    copy.check().await.map_err(about)?;
    Ok(copy)
}

/// Gives the database a second name and takes the files beside it away. `None` if there is none.
async fn put_aside(
    config: &Config,
    target: &Path,
    now: Timestamp,
) -> Result<Option<PathBuf>, Failure> {
    if !target.exists() {
        return Ok(None);
    }
    let moment = now.datetime().format("%Y%m%dT%H%M%S%.6fZ");
    let aside = sqlite_file::beside(target, &format!(".before-restore-{moment}"));
    let is_folded = fold_log(config, target).await.unwrap_or(false);
    for suffix in ["-wal", "-shm"] {
        // SQLite would take what is left in them for changes to the new file.
        let log = sqlite_file::beside(target, suffix);
        let gone = if is_folded {
            fs::remove_file(&log)
        } else {
            fs::rename(&log, sqlite_file::beside(&aside, suffix))
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail::file("move", &log)(error));
            }
            _ => {}
        }
    }
    // With a second name there is a database at every moment. Some file systems know no links.
    fs::hard_link(target, &aside)
        .or_else(|_| fs::rename(target, &aside))
        .map_err(fail::file("move", target))?;
    Ok(Some(aside))
}

/// Brings what is only in the log into the file, so that the file alone is the old database. One
/// that cannot even be opened keeps its log, and both are put aside as they are.
async fn fold_log(config: &Config, target: &Path) -> Result<bool, Failure> {
    let db = database::open_sqlite(target, &config.database).await?;
    let is_folded = db::backup::fold_log(&db).await?;
    db.close().await;
    Ok(is_folded)
}
