//! Answers to requests that carried an `Idempotency-Key`.

use std::fmt::Write;

use serde::Serialize;
use sqlx::FromRow;

use crate::{
    db::{
        Tx,
        portable::{Hex, Rows},
    },
    domain::{ledger::Once, session::Session},
    error::Result,
    id::UserId,
    time::Timestamp,
};

/// What is kept of a request that came before.
#[derive(Clone, Debug, FromRow)]
pub struct Kept {
    pub request_hash: Vec<u8>,
    pub status: Option<i64>,
    pub body: Option<String>,
    pub created_at: Timestamp,
}

/// Takes the key for this transaction. `false` if it is taken; should another node be at work
/// under it right now, the answer waits for that.
pub async fn claim(
    tx: &mut Tx,
    user: UserId,
    key: &str,
    request_hash: &[u8],
    now: Timestamp,
) -> Result<bool> {
    let claimed = on!(tx, conn => sqlx::query(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, created_at)
         VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, key) DO NOTHING",
    )
    .bind(user)
    .bind(key)
    .bind(request_hash)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(claimed == 1)
}

pub async fn find(tx: &mut Tx, user: UserId, key: &str) -> Result<Option<Kept>> {
    let kept = on!(tx, conn => sqlx::query_as(
        "SELECT request_hash, status, body, created_at
           FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(key)
    .fetch_optional(conn)
    .await)?;
    Ok(kept)
}

/// Keeps the answer under the claimed key.
pub async fn keep(tx: &mut Tx, user: UserId, key: &str, status: u16, body: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE idempotency_keys SET status = $3, body = $4 WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(key)
    .bind(i64::from(status))
    .bind(body)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// `key_`: every row of `bulk!` has a `key` already.
#[derive(Serialize)]
struct StartRow<'a> {
    user_id: Hex,
    key_: &'a str,
    request_hash: String,
    body: String,
    created_at: i64,
}

/// Keeps the keys of sessions that have just been opened. One that is there already is a unique
/// violation: its request was done.
macro_rules! insert_start_keys {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [user_id uuid, key_ text, request_hash bytes, body text, created_at time],
            "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at)
             SELECT r.user_id, r.key_, r.request_hash, 201, r.body, r.created_at
               FROM",
            "ORDER BY r.user_id"
        )
    };
}

/// The rows of `insert_start_keys!`. What is kept is which session it was: the rest of the answer
/// is as it is when it is asked for again.
pub(super) fn start_keys<'a>(
    requests: impl Iterator<Item = (&'a Session, &'a Once)>,
    now: Timestamp,
) -> Rows {
    Rows::of(requests.map(|(session, once)| StartRow {
        user_id: Hex(session.student_id.uuid()),
        key_: &once.key,
        request_hash: hex(&once.request_hash),
        body: serde_json::json!({ "session_id": session.id }).to_string(),
        created_at: now.micros(),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Forgets one key if it is from before `before`.
pub async fn delete_if_older(
    tx: &mut Tx,
    user: UserId,
    key: &str,
    before: Timestamp,
) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND created_at < $3",
    )
    .bind(user)
    .bind(key)
    .bind(before)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Forgets one key.
pub async fn delete(tx: &mut Tx, user: UserId, key: &str) -> Result<()> {
    on!(tx, conn => sqlx::query("DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2")
        .bind(user)
        .bind(key)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets keys from before `before`.
pub async fn delete_older(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM idempotency_keys WHERE (user_id, key) IN
           (SELECT user_id, key FROM idempotency_keys
             WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(deleted)
}
