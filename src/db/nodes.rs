//! Running nodes and their leases, which are judged by the database's clock and by no other.

use std::time::Duration;

use sqlx::FromRow;

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::NodeId,
    time::Timestamp,
};

/// A node that has joined, and has neither left nor been buried.
#[derive(Clone, Debug, FromRow)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    /// By the database's clock, as everything here.
    pub started_at: Timestamp,
    /// Whether its lease still holds.
    pub is_alive: bool,
}

/// What time it is on the database's clock. On PostgreSQL, all of a transaction is one moment.
async fn now(tx: &mut Tx) -> Result<Timestamp> {
    let (now,) = match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as("SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)")
                .fetch_one(conn)
                .await?
        }
        Conn::Postgres(conn) => sqlx::query_as("SELECT now()").fetch_one(conn).await?,
    };
    Ok(now)
}

/// Writes that `node` is alive for as long as its lease; also if it was forgotten.
pub async fn join(tx: &mut Tx, node: NodeId, name: &str, lease: Duration) -> Result<()> {
    let now = now(tx).await?;
    on!(tx, conn => sqlx::query(
        "INSERT INTO nodes (id, name, started_at, lease_until) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                                            lease_until = excluded.lease_until",
    )
    .bind(node)
    .bind(name)
    .bind(now)
    .bind(now + lease)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Lets `node` live for another `lease`. `false`: it was buried, and its sessions are not its own.
pub async fn renew(tx: &mut Tx, node: NodeId, lease: Duration) -> Result<bool> {
    let lease_until = now(tx).await? + lease;
    let renewed = on!(tx, conn => sqlx::query("UPDATE nodes SET lease_until = $2 WHERE id = $1")
        .bind(node)
        .bind(lease_until)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(renewed == 1)
}

/// Forgets `node`. Whatever it still has is anybody's.
pub async fn leave(tx: &mut Tx, node: NodeId) -> Result<()> {
    on!(tx, conn => sqlx::query("DELETE FROM nodes WHERE id = $1")
        .bind(node)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets all nodes whose lease has run out, except for `me`, and says which.
///
/// One that is renewed in this moment, or that another buries, is left alone.
pub async fn bury_expired(tx: &mut Tx, me: NodeId) -> Result<Vec<NodeId>> {
    let now = now(tx).await?;
    let buried: Vec<(NodeId,)> = match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as("DELETE FROM nodes WHERE lease_until <= $1 AND id <> $2 RETURNING id")
                .bind(now)
                .bind(me)
                .fetch_all(conn)
                .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(
                "DELETE FROM nodes WHERE id IN
                   (SELECT id FROM nodes WHERE lease_until <= $1 AND id <> $2
                       FOR UPDATE SKIP LOCKED)
                 RETURNING id",
            )
            .bind(now)
            .bind(me)
            .fetch_all(conn)
            .await?
        }
    };
    Ok(buried.into_iter().map(|(node,)| node).collect())
}

/// Whether `node` has joined and its lease holds.
pub async fn is_alive(tx: &mut Tx, node: NodeId) -> Result<bool> {
    let now = now(tx).await?;
    let alive: Option<(NodeId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM nodes WHERE id = $1 AND lease_until > $2",
    )
    .bind(node)
    .bind(now)
    .fetch_optional(conn)
    .await)?;
    Ok(alive.is_some())
}

/// Whether `node` was not buried, and will not be before the transaction ends. Its lease may be
/// renewed meanwhile.
pub(super) async fn keep(tx: &mut Tx, node: NodeId) -> Result<bool> {
    let kept: Option<(NodeId,)> = match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as("SELECT id FROM nodes WHERE id = $1")
                .bind(node)
                .fetch_optional(conn)
                .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as("SELECT id FROM nodes WHERE id = $1 FOR KEY SHARE")
                .bind(node)
                .fetch_optional(conn)
                .await?
        }
    };
    Ok(kept.is_some())
}

/// All nodes, the oldest first.
pub async fn list(tx: &mut Tx) -> Result<Vec<Node>> {
    let now = now(tx).await?;
    let nodes = on!(tx, conn => sqlx::query_as(
        "SELECT id, name, started_at, lease_until > $1 AS is_alive FROM nodes
          ORDER BY started_at, id",
    )
    .bind(now)
    .fetch_all(conn)
    .await)?;
    Ok(nodes)
}
