//! SQL, and nothing but: functions on [`Tx`] that return domain types and decide nothing.
//!
//! The SQL is written once and must mean the same on SQLite and on PostgreSQL (the macro `on!`);
//! rows of a batch come as one JSON parameter (the macro `bulk!`). Where a statement must differ,
//! one function holds both texts.
//!
//! * Whoever writes takes [`Db::begin`]: on SQLite that is the one writing connection with
//!   `BEGIN IMMEDIATE`, so that no transaction ever turns from reading to writing.
//! * Whoever only reads takes [`Db::read`].
//! * Whom requests must not keep waiting, as the ledger's writer, takes [`Db::begin_reserved`].

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    pool::{PoolConnection, PoolOptions},
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    config::{self, DatabaseUrl},
    error::{Error, Result},
};

#[macro_use]
mod portable;
#[macro_use]
pub mod accounts;
#[macro_use]
pub mod courses;
#[macro_use]
pub mod catalogue;
#[macro_use]
pub mod earnings;
#[macro_use]
pub mod idempotency;
#[macro_use]
pub mod journals;
#[macro_use]
pub mod rebuild;
#[macro_use]
pub mod sessions;

pub mod audit;
pub mod backup;
pub mod bonuses;
pub mod books;
pub mod chats;
pub mod checkpoints;
pub mod claims;
pub mod dashboard;
pub mod income;
pub mod inspect;
pub mod logins;
pub mod migrate;
pub mod mux;
pub mod nodes;
pub mod payments;
pub mod progress;
pub mod ratings;
pub mod reviews;
pub mod search;
pub mod secrets;
pub mod seen;
pub mod transactions;
mod types;
pub mod users;
pub mod video_files;
pub mod videos;
pub mod watched;

/// Connections that only read, on SQLite. Writing has its own.
const SQLITE_READERS: u32 = 4;

/// How long a writer on SQLite waits for another process that writes.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages SQLite's writer may keep in memory: negative means KiB. Taken when used.
const SQLITE_CACHE: &str = "-65536";

/// The same for each reader. What they read often is in the system's memory too, once for all.
const SQLITE_READER_CACHE: &str = "-4096";

/// Pages (of 4 KiB) in SQLite's log before they are folded into the file. Under load the same
/// pages are written again and again; folding them in rarely saves most of that.
const SQLITE_LOG_PAGES: &str = "8192";

/// Rows that SQLite's thread may be ahead of whoever reads them.
const ROW_BUFFER: usize = 1_024;

/// Connections on PostgreSQL that no request can take: one for each lane of the ledger's writer, one
/// for claims, and three for the lease, the checkpoints and takeovers, so that a node is not taken for
/// dead because it is busy.
const RESERVED_CONNECTIONS: u32 = 6;

/// A connection that was idle for no longer than this is taken to be open still: no database is back
/// sooner after it went away.
const TRUSTED_WHILE_IDLE: Duration = Duration::from_millis(100);

/// The database, whichever it is. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Db {
    Sqlite { reader: SqlitePool, writer: SqlitePool },
    Postgres { pool: PgPool, reserved: PgPool },
}

/// A connection with work on it. What was begun and not committed is rolled back when dropped.
#[derive(Debug)]
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
    /// Reading outside of a transaction.
    SqliteRead(PoolConnection<Sqlite>),
    PostgresRead(PoolConnection<Postgres>),
}

/// What `on!` matches: the connection below a [`Tx`].
pub(crate) enum Conn<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Tx {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(tx) => Conn::Sqlite(tx),
            Self::Postgres(tx) => Conn::Postgres(tx),
            Self::SqliteRead(connection) => Conn::Sqlite(connection),
            Self::PostgresRead(connection) => Conn::Postgres(connection),
        }
    }

    pub async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
            Self::SqliteRead(_) | Self::PostgresRead(_) => {
                return Err(Error::Internal("nothing was begun that could be committed".into()));
            }
        }
        Ok(())
    }

    pub async fn rollback(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
            Self::SqliteRead(_) | Self::PostgresRead(_) => {}
        }
        Ok(())
    }
}

impl Db {
    /// Opens the database. A SQLite file that is not there yet is made.
    pub async fn connect(url: &DatabaseUrl, settings: &config::Database) -> Result<Self> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let options = sqlite_options(path);
                let acquire = settings.acquire_timeout();
                // A file does not hang up: no connection needs to be tried before it is used.
                let pool_of = |max, options| {
                    PoolOptions::new()
                        .max_connections(max)
                        .acquire_timeout(acquire)
                        .test_before_acquire(false)
                        .connect_with(options)
                };
                let writer = pool_of(1, options.clone()).await?;
                let reading =
                    options.pragma("query_only", "ON").pragma("cache_size", SQLITE_READER_CACHE);
                let reader = pool_of(SQLITE_READERS, reading).await?;
                Ok(Self::Sqlite { reader, writer })
            }
            DatabaseUrl::Postgres(url) => {
                let options = postgres_options(url, settings)?;
                let pool_of = |max| {
                    PoolOptions::<Postgres>::new()
                        .max_connections(max)
                        .acquire_timeout(settings.acquire_timeout())
                        // Which costs a round trip each time; the pool tries them when they come back.
                        .test_before_acquire(false)
                };
                let shared = pool_of(settings.max_connections).before_acquire(|conn, meta| {
                    Box::pin(async move {
                        if meta.idle_for > TRUSTED_WHILE_IDLE {
                            conn.ping().await?;
                        }
                        Ok(true)
                    })
                });
                let pool = shared.connect_with(options.clone()).await?;
                let reserved = pool_of(RESERVED_CONNECTIONS).connect_with(options).await?;
                Ok(Self::Postgres { pool, reserved })
            }
        }
    }

    /// Starts a transaction that may write.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_on(false).await
    }

    /// Starts a transaction on a connection that no request can take.
    ///
    /// These connections are not tried before use, which would cost a round trip each time. One that
    /// was cut off while it was idle fails here, with nothing done, and the next one is taken.
    pub async fn begin_reserved(&self) -> Result<Tx> {
        let mut left = RESERVED_CONNECTIONS;
        loop {
            match self.begin_on(true).await {
                Err(error) if error.is_cut_off() && left > 0 => left -= 1,
                result => return result,
            }
        }
    }

    async fn begin_on(&self, is_reserved: bool) -> Result<Tx> {
        Ok(match self {
            // IMMEDIATE takes the write lock now, where `busy_timeout` waits for it. A deferred
            // transaction that turns from reading to writing fails at once instead.
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres { pool, reserved } => {
                let pool = if is_reserved { reserved } else { pool };
                Tx::Postgres(pool.begin().await?)
            }
        })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { reader, .. } => Tx::SqliteRead(reader.acquire().await?),
            Self::Postgres { pool, .. } => Tx::PostgresRead(pool.acquire().await?),
        })
    }

    /// A transaction that sees the database as it is now, however long it reads.
    pub async fn snapshot(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { reader, .. } => Tx::Sqlite(reader.begin().await?),
            Self::Postgres { pool, .. } => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Tx::Postgres(pool.begin_with(begin).await?)
            }
        })
    }

    /// The same for whoever looks at everything, which takes as long as it takes.
    pub async fn unhurried_snapshot(&self) -> Result<Tx> {
        let mut tx = self.snapshot().await?;
        if let Tx::Postgres(tx) = &mut tx {
            sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut **tx).await?;
        }
        Ok(tx)
    }

    /// Has the courses be found that a migration left without their words.
    async fn fill_index(&self) -> Result<()> {
        if search::is_missing(&mut self.read().await?).await? {
            let mut tx = self.begin().await?;
            search::fill(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Open and idle connections of each pool, for the metrics.
    #[must_use]
    pub fn connections(&self) -> [(&'static str, u32, usize); 2] {
        match self {
            Self::Sqlite { reader, writer } => [
                ("reader", reader.size(), reader.num_idle()),
                ("writer", writer.size(), writer.num_idle()),
            ],
            Self::Postgres { pool, reserved } => [
                ("shared", pool.size(), pool.num_idle()),
                ("reserved", reserved.size(), reserved.num_idle()),
            ],
        }
    }

    /// Closes every connection; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, reserved } => {
                pool.close().await;
                reserved.close().await;
            }
        }
    }
}

fn sqlite_options(path: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL may lose the last commits when the power goes, and they were acknowledged.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", SQLITE_CACHE)
        .pragma("wal_autocheckpoint", SQLITE_LOG_PAGES)
        .row_buffer_size(ROW_BUFFER)
        .optimize_on_close(true, None)
}

fn postgres_options(url: &str, settings: &config::Database) -> Result<PgConnectOptions> {
    let timeout = settings.statement_timeout_ms.to_string();
    Ok(PgConnectOptions::from_str(url)?.application_name("murph").options([
        ("statement_timeout", timeout.as_str()),
        ("lock_timeout", timeout.as_str()),
        // A node that vanished in the middle of its work must not hold its locks for ever.
        ("idle_in_transaction_session_timeout", "60000"),
        ("timezone", "UTC"),
        // What is promised must not depend on how the server, or the role, is set up.
        ("synchronous_commit", "on"),
        ("default_transaction_isolation", "read committed"),
        // Few statements, all by primary key, run again and again: planning them anew buys nothing.
        ("plan_cache_mode", "force_generic_plan"),
    ]))
}
