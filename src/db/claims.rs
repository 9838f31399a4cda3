//! Whose sessions are: claimed, parked, orphaned. What any of this may do, the fence decides.

use std::time::Duration;

use serde::Serialize;
use sqlx::FromRow;

use crate::{
    db::{
        Conn, Tx,
        portable::{Hex, Rows, hex_array},
        sessions::{Row, to_ms},
    },
    domain::{
        claim::{Claim, Park},
        session::Session,
        stretch::Stretch,
    },
    error::Result,
    id::{NodeId, SessionId},
    time::Timestamp,
};

/// Named unlike the columns of sessions, among which they stand when rows are returned.
#[derive(Serialize)]
struct ClaimRow<'a> {
    session: Hex,
    seen: i64,
    login: Option<Hex>,
    watched: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<&'a [Stretch]>,
}

macro_rules! claim_sessions {
    ($db:ident) => {
        bulk!(
            $db "1",
            [session uuid, seen bigint, login uuid, watched bigint, story json],
            "UPDATE sessions
                SET fence = sessions.fence + 1, node_id = $2, watched_ms = r.watched,
                    entries = sessions.entries + CASE WHEN r.login IS NULL THEN 0 ELSE 1 END,
                    login_id = COALESCE(r.login, sessions.login_id),
                    stretches = COALESCE(r.story, sessions.stretches)
               FROM",
            "WHERE sessions.id = r.session AND sessions.status = 'active'
               AND sessions.fence = r.seen
             RETURNING sessions.id"
        )
    };
}

/// Puts sessions into the hands of `node`, each if it is still as it was seen, and says which.
///
/// From then on whoever had one before is refused. A session must not be named twice.
pub async fn claim<'a>(
    tx: &mut Tx,
    node: NodeId,
    claims: impl Iterator<Item = &'a Claim>,
) -> Result<Vec<SessionId>> {
    let rows = claims.map(|claim| ClaimRow {
        session: Hex(claim.session_id.uuid()),
        seen: claim.fence,
        login: claim.login_id.map(|login| Hex(login.uuid())),
        watched: to_ms(claim.watched),
        story: Some(&claim.stretches),
    });
    claim_rows(tx, node, Rows::of(rows)).await
}

/// The same for sessions as they were just read, each with all that is known to have been watched;
/// everything else stays.
pub async fn adopt(
    tx: &mut Tx,
    node: NodeId,
    orphans: &[(Session, Duration)],
) -> Result<Vec<SessionId>> {
    let rows = orphans.iter().map(|(orphan, watched)| ClaimRow {
        session: Hex(orphan.id.uuid()),
        seen: orphan.fence,
        login: None,
        watched: to_ms(*watched),
        story: None,
    });
    claim_rows(tx, node, Rows::of(rows)).await
}

async fn claim_rows(tx: &mut Tx, node: NodeId, rows: Rows) -> Result<Vec<SessionId>> {
    if rows.count == 0 {
        return Ok(Vec::new());
    }
    let claimed = match tx.conn() {
        Conn::Sqlite(conn) => {
            let claim = sqlx::query_scalar(claim_sessions!(sqlite));
            claim.bind(rows.json).bind(node).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => {
            let claim = sqlx::query_scalar(claim_sessions!(postgres));
            claim.bind(rows.json).bind(node).fetch_all(conn).await?
        }
    };
    Ok(claimed)
}

#[derive(Serialize)]
struct ParkRow<'a> {
    session: Hex,
    seen: i64,
    watched: i64,
    story: &'a [Stretch],
    heir: Option<Hex>,
}

/// `NOT … <>` instead of `=`: no index can serve it, or SQLite would look through all sessions of
/// the node for each row. Like `=`, it holds for no null.
macro_rules! park_sessions {
    ($db:ident) => {
        bulk!(
            $db "1",
            [session uuid, seen bigint, watched bigint, story json, heir uuid],
            "UPDATE sessions
                SET node_id = r.heir, watched_ms = r.watched, stretches = r.story
               FROM",
            "WHERE sessions.id = r.session AND sessions.status = 'active'
               AND sessions.fence = r.seen AND NOT (sessions.node_id <> $2)
             RETURNING sessions.id"
        )
    };
}

/// Takes sessions out of the hands of `node`, each if it is still in them, and says which. An heir
/// has it then, or nobody.
///
/// A session must not be named twice.
pub async fn park<'a>(
    tx: &mut Tx,
    node: NodeId,
    parks: impl Iterator<Item = &'a Park>,
) -> Result<Vec<SessionId>> {
    let rows = Rows::of(parks.map(|park| ParkRow {
        session: Hex(park.session_id.uuid()),
        seen: park.fence,
        watched: to_ms(park.watched),
        story: &park.stretches,
        heir: park.heir.map(|heir| Hex(heir.uuid())),
    }));
    if rows.count == 0 {
        return Ok(Vec::new());
    }
    let parked = match tx.conn() {
        Conn::Sqlite(conn) => {
            let park = sqlx::query_scalar(park_sessions!(sqlite));
            park.bind(rows.json).bind(node).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => {
            let park = sqlx::query_scalar(park_sessions!(postgres));
            park.bind(rows.json).bind(node).fetch_all(conn).await?
        }
    };
    Ok(parked)
}

/// Nodes that have open sessions and are gone.
///
/// Steps through the index from node to node, so that it takes no longer with more sessions.
async fn list_gone(tx: &mut Tx) -> Result<Vec<NodeId>> {
    let gone = on!(tx, conn => sqlx::query_scalar(
        "WITH RECURSIVE owners (node_id) AS (
           SELECT (SELECT s.node_id FROM sessions s
                    WHERE s.status = 'active' AND s.node_id IS NOT NULL
                    ORDER BY s.node_id LIMIT 1)
           UNION ALL
           SELECT (SELECT s.node_id FROM sessions s
                    WHERE s.status = 'active' AND s.node_id > o.node_id
                    ORDER BY s.node_id LIMIT 1)
             FROM owners o WHERE o.node_id IS NOT NULL
         )
         SELECT o.node_id FROM owners o
          WHERE o.node_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = o.node_id)",
    )
    .fetch_all(conn)
    .await)?;
    Ok(gone)
}

/// Open sessions that are in nobody's hands, or in those of a node that was buried or has left;
/// locked, and without those that another has locked. At most `limit`.
///
/// A node that is late and not buried yet keeps its sessions: it may come back.
pub async fn list_orphans(tx: &mut Tx, limit: usize) -> Result<Vec<Session>> {
    let gone = list_gone(tx).await?.into_iter().map(NodeId::uuid);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<Row> = match tx.conn() {
        // With `OR`, SQLite would go through all open sessions.
        Conn::Sqlite(conn) => {
            sqlx::query_as(concat!(
                "SELECT ",
                session_columns!(),
                " FROM sessions WHERE status = 'active' AND node_id IS NULL
                 UNION ALL
                 SELECT ",
                session_columns!(),
                " FROM sessions
                   WHERE status = 'active'
                     AND node_id IN (SELECT unhex(value) FROM json_each($1))
                 LIMIT $2",
            ))
            .bind(hex_array(gone))
            .bind(limit)
            .fetch_all(conn)
            .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(concat!(
                "SELECT ",
                session_columns!(),
                " FROM sessions
                   WHERE status = 'active' AND (node_id IS NULL OR node_id = ANY($1))
                   LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
            ))
            .bind(gone.collect::<Vec<_>>())
            .bind(limit)
            .fetch_all(conn)
            .await?
        }
    };
    Ok(rows.into_iter().map(Session::from).collect())
}

/// An open session of a node, as the database knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub struct Owned {
    pub id: SessionId,
    pub fence: i64,
    pub watched_ms: i64,
    /// Whether the sign-in its player came with has ended.
    pub is_signed_out: bool,
}

/// What `node` has, for comparing it with what it thinks it has.
pub async fn list_of_node(tx: &mut Tx, node: NodeId, now: Timestamp) -> Result<Vec<Owned>> {
    let sessions = on!(tx, conn => sqlx::query_as(
        // A sign-in that is forgotten says nothing: it is forgotten long after it has ended.
        "SELECT s.id, s.fence, s.watched_ms,
                COALESCE(l.ended_at IS NOT NULL OR l.expires_at <= $2, FALSE) AS is_signed_out
           FROM sessions s LEFT JOIN logins l ON l.id = s.login_id
          WHERE s.status = 'active' AND s.node_id = $1",
    )
    .bind(node)
    .bind(now)
    .fetch_all(conn)
    .await)?;
    Ok(sessions)
}
