//! A copy of a SQLite database, made while it is in use.

use std::path::Path;

use crate::{
    db::{Db, Tx},
    error::{Error, Result},
};

/// Writes a whole, compact copy of the database to `target`, which must not be there yet.
pub async fn write_copy(db: &Db, target: &Path) -> Result<()> {
    let Db::Sqlite { writer, .. } = db else {
        return Err(Error::Internal("only SQLite is copied by Murph".into()));
    };
    let target = target.to_str().ok_or_else(|| Error::Internal("the path is not text".into()))?;
    sqlx::query("VACUUM INTO $1").bind(target).execute(writer).await?;
    Ok(())
}

/// Brings everything that is only in the log into the file. `false` if others are in the way.
///
/// Closing does so too, but on a thread of its own that nobody can wait for.
pub async fn fold_log(db: &Db) -> Result<bool> {
    let Db::Sqlite { writer, .. } = db else { return Ok(true) };
    let (is_busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(writer).await?;
    Ok(is_busy == 0)
}

/// What SQLite itself finds wrong with the file; nothing if it is whole.
pub async fn integrity(db: &Db) -> Result<Vec<String>> {
    let mut tx = db.read().await?;
    let lines: Vec<String> = match &mut tx {
        Tx::SqliteRead(connection) => {
            sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut **connection).await?
        }
        _ => return Ok(Vec::new()),
    };
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
