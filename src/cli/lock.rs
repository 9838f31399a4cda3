//! One server for each `SQLite` file: whoever serves it holds a lock beside it.
//!
//! The writer of the ledger counts on being alone. PostgreSQL needs no such lock: there, any number
//! of servers may work at once. The system lets the lock go when its process ends, however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use crate::{
    cli::{
        fail::{self, Failure},
        sqlite_file,
    },
    config::{Config, DatabaseUrl},
};

/// The right to serve or replace a `SQLite` database, until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the lock of the configured database, if it is one that has one: nobody may serve from
    /// a `SQLite` file whose tables are changed.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Failure> {
        match config.database_url() {
            DatabaseUrl::Sqlite(path) => Self::take(&path).map(Some),
            DatabaseUrl::Postgres(_) => Ok(None),
        }
    }

    /// Takes the lock of the database at `path`. Its directory must be there.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        // Beside the database and not simply in the data directory: two servers with different
        // data directories must not share a file either.
        let lock = sqlite_file::behind_links(path).with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(fail::file("write", &lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _held: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::from(format!(
                "another Murph is at work on {}; stop it first (it holds {})",
                path.display(),
                lock.display()
            ))),
            Err(TryLockError::Error(error)) => Err(fail::file("lock", &lock)(error)),
        }
    }
}
