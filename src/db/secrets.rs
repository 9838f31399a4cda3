//! Secrets that the nodes of one installation share.

use crate::{db::Tx, error::Result, time::Timestamp};

pub async fn find(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    let row: Option<(String,)> = on!(tx, conn => sqlx::query_as(
        "SELECT value FROM secrets WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(|(value,)| value))
}

/// Keeps `value` unless there is one: of several nodes that start at once, one makes the secret.
pub async fn insert(tx: &mut Tx, name: &str, value: &str, now: Timestamp) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO secrets (name, value, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(value)
    .bind(now)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}
