//! What the sessions of each node had watched, packed: see [`crate::domain::checkpoint`].

use crate::{
    db::{Conn, Tx, nodes, portable::hex_array},
    error::Result,
    id::NodeId,
};

fn row_of(slot: usize) -> i64 {
    i64::try_from(slot).expect("slots are few")
}

/// Writes the payloads of some slots. `false`, and nothing written, if `node` was buried: its
/// sessions are taken over from what it wrote before.
pub async fn write(tx: &mut Tx, node: NodeId, slots: &[(usize, Vec<u8>)]) -> Result<bool> {
    if !nodes::keep(tx, node).await? {
        return Ok(false);
    }
    match tx.conn() {
        Conn::Sqlite(conn) => {
            // There are no arrays to bind, and as JSON a payload would be twice as long.
            for (slot, payload) in slots {
                sqlx::query(
                    "INSERT INTO checkpoints (node_id, slot, payload) VALUES ($1, $2, $3)
                         ON CONFLICT (node_id, slot) DO UPDATE SET payload = excluded.payload",
                )
                .bind(node)
                .bind(row_of(*slot))
                .bind(payload.as_slice())
                .execute(&mut *conn)
                .await?;
            }
        }
        Conn::Postgres(conn) => {
            let (rows, payloads): (Vec<i64>, Vec<&[u8]>) =
                slots.iter().map(|(slot, payload)| (row_of(*slot), payload.as_slice())).unzip();
            sqlx::query(
                "INSERT INTO checkpoints (node_id, slot, payload)
                 SELECT $1, r.slot, r.payload FROM UNNEST($2::bigint[], $3::bytea[])
                     AS r (slot, payload)
                     ON CONFLICT (node_id, slot) DO UPDATE SET payload = excluded.payload",
            )
            .bind(node)
            .bind(rows)
            .bind(payloads)
            .execute(conn)
            .await?;
        }
    }
    Ok(true)
}

/// The payload of one slot.
pub async fn find(tx: &mut Tx, node: NodeId, slot: usize) -> Result<Option<Vec<u8>>> {
    let row: Option<(Vec<u8>,)> = on!(tx, conn => sqlx::query_as(
        "SELECT payload FROM checkpoints WHERE node_id = $1 AND slot = $2",
    )
    .bind(node)
    .bind(row_of(slot))
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(|(payload,)| payload))
}

/// All payloads of some nodes.
pub async fn list(tx: &mut Tx, of: &[NodeId]) -> Result<Vec<(NodeId, Vec<u8>)>> {
    let uuids = of.iter().map(|node| node.uuid());
    Ok(match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as(
                "SELECT node_id, payload FROM checkpoints
                  WHERE node_id IN (SELECT unhex(value) FROM json_each($1))",
            )
            .bind(hex_array(uuids))
            .fetch_all(conn)
            .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as("SELECT node_id, payload FROM checkpoints WHERE node_id = ANY($1)")
                .bind(uuids.collect::<Vec<_>>())
                .fetch_all(conn)
                .await?
        }
    })
}

/// Forgets everything of one node.
pub async fn delete(tx: &mut Tx, node: NodeId) -> Result<()> {
    on!(tx, conn => sqlx::query("DELETE FROM checkpoints WHERE node_id = $1")
        .bind(node)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets everything of nodes that are gone and whose sessions are all in other hands.
pub async fn delete_abandoned(tx: &mut Tx) -> Result<u64> {
    // Rows that another deletes just now are left to it. Each node is looked at once, and not for
    // each of its rows: behind it there may be a hundred thousand sessions that it had a moment
    // ago. `LIMIT 1`, or PostgreSQL reads all open ones instead of looking for one of each node.
    macro_rules! delete {
        ($lock:literal) => {
            concat!(
                "WITH gone AS MATERIALIZED (
                   SELECT DISTINCT c.node_id FROM checkpoints c
                    WHERE NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = c.node_id)),
                 abandoned AS MATERIALIZED (
                   SELECT g.node_id FROM gone g
                    WHERE (SELECT s.id FROM sessions s
                            WHERE s.node_id = g.node_id AND s.status = 'active' LIMIT 1) IS NULL)
                 DELETE FROM checkpoints WHERE (node_id, slot) IN
                   (SELECT c.node_id, c.slot FROM checkpoints c
                      JOIN abandoned a ON a.node_id = c.node_id",
                $lock,
                ")"
            )
        };
    }
    Ok(match tx.conn() {
        Conn::Sqlite(conn) => sqlx::query(delete!("")).execute(conn).await?.rows_affected(),
        Conn::Postgres(conn) => {
            let delete = sqlx::query(delete!(" FOR UPDATE OF c SKIP LOCKED"));
            delete.execute(conn).await?.rows_affected()
        }
    })
}
