//! Sign-ins and their chains of refresh tokens.

use sqlx::FromRow;

use uuid::Uuid;

use crate::{
    db::{Conn, Tx, portable::hex_array},
    domain::user::LoginEnd,
    error::Result,
    id::{LoginId, UserId},
    time::Timestamp,
};

/// Of nobody are more addresses looked at than these.
const ADDRESSES_MAX: i64 = 100;

/// A refresh token as it is kept, with the sign-in it belongs to.
#[derive(Clone, Debug, FromRow)]
pub struct RefreshToken {
    pub login_id: LoginId,
    pub user_id: UserId,
    pub used_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// A sign-in that begins.
#[derive(Clone, Debug)]
pub struct NewLogin {
    pub id: LoginId,
    pub user_id: UserId,
    pub address: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

pub async fn insert(tx: &mut Tx, login: &NewLogin) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO logins (id, user_id, address, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(login.id)
    .bind(login.user_id)
    .bind(&login.address)
    .bind(login.created_at)
    .bind(login.expires_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// From one address of each to the next, by the index: however often somebody has signed in, that is
/// no more steps than addresses.
macro_rules! addresses {
    ($users:literal) => {
        concat!(
            "WITH RECURSIVE seen (user_id, address, nth) AS (
               SELECT asked.id,
                      (SELECT MIN(l.address) FROM logins l WHERE l.user_id = asked.id),
                      CAST(1 AS BIGINT)
                 FROM (",
            $users,
            ") asked
                UNION ALL
               SELECT s.user_id,
                      (SELECT MIN(l.address) FROM logins l
                        WHERE l.user_id = s.user_id AND l.address > s.address),
                      s.nth + 1
                 FROM seen s WHERE s.address IS NOT NULL AND s.nth < $2)
             SELECT user_id, address FROM seen WHERE address IS NOT NULL"
        )
    };
}

/// From where each of `users` has signed in lately: each address once, and not endlessly many.
pub async fn list_addresses(tx: &mut Tx, users: &[UserId]) -> Result<Vec<(UserId, String)>> {
    let uuids = users.iter().map(|user| user.uuid());
    Ok(match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as(addresses!("SELECT unhex(value) AS id FROM json_each($1)"))
                .bind(hex_array(uuids))
                .bind(ADDRESSES_MAX)
                .fetch_all(conn)
                .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(addresses!("SELECT unnest(CAST($1 AS UUID[])) AS id"))
                .bind(uuids.collect::<Vec<Uuid>>())
                .bind(ADDRESSES_MAX)
                .fetch_all(conn)
                .await?
        }
    })
}

/// Adds a token to its sign-in's chain. Nothing happens if it is there.
pub async fn insert_token(
    tx: &mut Tx,
    token_hash: &[u8],
    login: LoginId,
    now: Timestamp,
) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO refresh_tokens (token_hash, login_id, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (token_hash) DO NOTHING",
    )
    .bind(token_hash)
    .bind(login)
    .bind(now)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

pub async fn find_token(tx: &mut Tx, token_hash: &[u8]) -> Result<Option<RefreshToken>> {
    let token = on!(tx, conn => sqlx::query_as(
        "SELECT t.login_id, l.user_id, t.used_at, l.expires_at, l.ended_at
           FROM refresh_tokens t JOIN logins l ON l.id = t.login_id
          WHERE t.token_hash = $1",
    )
    .bind(token_hash)
    .fetch_optional(conn)
    .await)?;
    Ok(token)
}

/// Marks a token as used. `false` if it was used before: of two at once, one wins.
pub async fn use_token(tx: &mut Tx, token_hash: &[u8], now: Timestamp) -> Result<bool> {
    let used = on!(tx, conn => sqlx::query(
        "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
    )
    .bind(token_hash)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(used == 1)
}

/// Lets a sign-in last until `expires_at`.
pub async fn prolong(tx: &mut Tx, login: LoginId, expires_at: Timestamp) -> Result<()> {
    on!(tx, conn => sqlx::query("UPDATE logins SET expires_at = $2 WHERE id = $1")
        .bind(login)
        .bind(expires_at)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Ends one sign-in, if it is still open.
pub async fn end(tx: &mut Tx, login: LoginId, reason: LoginEnd, now: Timestamp) -> Result<bool> {
    let ended = on!(tx, conn => sqlx::query(
        "UPDATE logins SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL",
    )
    .bind(login)
    .bind(now)
    .bind(reason)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(ended == 1)
}

/// Ends all open sign-ins of `user`, except one perhaps.
pub async fn end_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<LoginId>,
    reason: LoginEnd,
    now: Timestamp,
) -> Result<u64> {
    let ended = on!(tx, conn => sqlx::query(
        "UPDATE logins SET ended_at = $2, end_reason = $3
          WHERE user_id = $1 AND ended_at IS NULL AND ($4 IS NULL OR id <> $4)",
    )
    .bind(user)
    .bind(now)
    .bind(reason)
    .bind(except)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(ended)
}

/// Forgets tokens that were used before `before`. Who shows one again is refused as a stranger.
pub async fn delete_used_tokens(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM refresh_tokens WHERE token_hash IN
           (SELECT token_hash FROM refresh_tokens WHERE used_at < $1 ORDER BY used_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(deleted)
}

/// Forgets sign-ins that ran out before `before`, with their tokens.
pub async fn delete_expired(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM logins WHERE id IN
           (SELECT id FROM logins WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(deleted)
}
