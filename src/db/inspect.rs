//! What `murph doctor` and its like ask a database about itself. Nothing here writes.

use std::path::Path;

use sqlx::{pool::PoolOptions, sqlite::SqliteConnectOptions};

use crate::{db::Db, error::Result, time::Timestamp};

/// Opens a `SQLite` file that is there, so that nothing can be written through it.
pub async fn open_read_only(path: &Path) -> Result<Db> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(super::SQLITE_BUSY_TIMEOUT)
        .row_buffer_size(super::ROW_BUFFER);
    let pool = PoolOptions::new().max_connections(1).connect_with(options).await?;
    // SQLite opens a file when it first needs it: now, and not in the middle of something.
    sqlx::query("PRAGMA schema_version").execute(&pool).await?;
    Ok(Db::Sqlite { reader: pool.clone(), writer: pool })
}

/// Major and minor version, and the whole as the database says it.
pub async fn version(db: &Db) -> Result<(u32, u32, String)> {
    let sql = match db {
        Db::Sqlite { .. } => "SELECT sqlite_version()",
        Db::Postgres { .. } => "SELECT current_setting('server_version')",
    };
    let mut tx = db.read().await?;
    let text: String = on!(tx, conn => sqlx::query_scalar(sql).fetch_one(conn).await)?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok((major, minor, text))
}

/// What time the database believes it is. `None` for `SQLite`, which asks the same clock as we.
pub async fn clock(db: &Db) -> Result<Option<Timestamp>> {
    let Db::Postgres { pool, .. } = db else { return Ok(None) };
    Ok(Some(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await?))
}
