//! `murph backup`: a checked copy of the `SQLite` database, made while servers use it.
//!
//! The copy appears under its name only when it is whole, checked and on the disk.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{
        database,
        fail::{self, Failure},
        output, sqlite_file,
    },
    config::{Config, DatabaseUrl},
    db::{Db, backup, migrate},
    domain::audit::Report,
    service,
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Where to put the copy; nothing may be there yet
    file: PathBuf,
}

pub(super) async fn run(config: &Config, options: &Options) -> Result<ExitCode, Failure> {
    let target = &options.file;
    let source = match config.database_url() {
        DatabaseUrl::Sqlite(path) => path,
        url @ DatabaseUrl::Postgres(_) => {
            let tools = format!("PostgreSQL is copied by its own tools: pg_dump -Fc '{url}'");
            return Err(Failure::from(tools).with_code(fail::NO_ANSWER));
        }
    };
    if target.exists() {
        return Err(is_there(target));
    }
    let db = database::look_at_file(&source).await?;
    let copy = Duplicate::of(&db, target).await?;
    db.close().await;
    let report = copy.check().await?;
    copy.publish(target)?;
    output::line(format!(
        "copied {} to {}: whole and balanced, with {} accounts, {} sessions and {} transfers",
        source.display(),
        target.display(),
        report.accounts,
        report.sessions,
        report.transfers
    ))
}

fn is_there(target: &Path) -> Failure {
    Failure::from(format!("{} is there already; choose another name", target.display()))
}

/// A copy that is not finished. Its file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Duplicate {
    path: PathBuf,
}

impl Duplicate {
    /// Copies a database to a temporary name beside `target`, to be moved there later.
    pub(super) async fn of(db: &Db, target: &Path) -> Result<Self, Failure> {
        let suffix = format!(".unfinished-{}", std::process::id());
        let copy = Self { path: sqlite_file::beside(target, &suffix) };
        // Made by us, since SQLite would let others read it; it accepts a file that is empty.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy.path)
            .map_err(fail::file("make", &copy.path))?;
        let written = backup::write_copy(db, &copy.path).await;
        written.map_err(|error| database::about_file(target, error))?;
        Ok(copy)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the copy is whole and its books balance.
    pub(super) async fn check(&self) -> Result<Report, Failure> {
        let db = database::look_at_file(&self.path).await?;
        check_whole(&db).await?;
        let steps = migrate::status(&db).await?;
        database::check_current(&steps)?;
        let report = service::check::check(&db).await?;
        db.close().await;
        match report.findings.first() {
            None => Ok(report),
            Some(finding) => Err(Failure::from(format!(
                "the ledger does not balance ({} {}); nothing was changed, see `murph check-ledger`",
                finding.subject, finding.problem
            ))),
        }
    }

    /// Gives the copy its name, unless something else has got it in the meantime.
    fn publish(self, target: &Path) -> Result<(), Failure> {
        self.sync()?;
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(is_there(target));
            }
            // Some file systems know no links.
            Err(_) => fs::rename(&self.path, target).map_err(fail::file("make", target))?,
        }
        sync_directory(target)
    }

    /// Moves the copy to `target`, over whatever is there, in one step.
    pub(super) fn replace(self, target: &Path) -> Result<(), Failure> {
        self.sync()?;
        fs::rename(&self.path, target).map_err(fail::file("replace", target))?;
        sync_directory(target)
    }

    fn sync(&self) -> Result<(), Failure> {
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(fail::file("write", &self.path))
    }
}

impl Drop for Duplicate {
    fn drop(&mut self) {
        // Most often there is nothing left under this name.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            drop(fs::remove_file(sqlite_file::beside(&self.path, suffix)));
        }
    }
}

/// A failure if `SQLite` finds something wrong with the file.
pub(super) async fn check_whole(db: &Db) -> Result<(), Failure> {
    match backup::integrity(db).await?.first() {
        None => Ok(()),
        Some(problem) => Err(Failure::from(format!(
            "the database is damaged ({}); put an older copy in its place with `murph restore`",
            problem.trim()
        ))),
    }
}

/// Makes what was renamed in a directory last, even if the power goes.
fn sync_directory(file: &Path) -> Result<(), Failure> {
    let directory = sqlite_file::directory(file);
    File::open(directory).and_then(|file| file.sync_all()).map_err(fail::file("write", directory))
}
