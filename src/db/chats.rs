//! What students asked discovery and were answered, and how much of it they may.

use sqlx::{FromRow, types::Json};

use crate::{
    db::{
        Tx,
        videos::{count, stored},
    },
    domain::discovery::{Chat, Pick, Provider, Tokens},
    error::Result,
    id::{ChatId, CourseId, UserId},
    money::Money,
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: ChatId,
    user_id: UserId,
    message: String,
    reply: String,
    picks: Json<Vec<Pick>>,
    provider: Provider,
    input_tokens: i64,
    output_tokens: i64,
    cost: Money,
    created_at: Timestamp,
}

impl From<Row> for Chat {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            message: row.message,
            reply: row.reply,
            picks: row.picks.0,
            provider: row.provider,
            tokens: Tokens { input: count(row.input_tokens), output: count(row.output_tokens) },
            cost: row.cost,
            created_at: row.created_at,
        }
    }
}

pub async fn insert(tx: &mut Tx, chat: &Chat) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO discovery_chats (id, user_id, message, reply, picks, provider, input_tokens,
           output_tokens, cost, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(chat.id)
    .bind(chat.user_id)
    .bind(&chat.message)
    .bind(&chat.reply)
    .bind(Json(&chat.picks))
    .bind(chat.provider)
    .bind(stored(chat.tokens.input))
    .bind(stored(chat.tokens.output))
    .bind(chat.cost)
    .bind(chat.created_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// At most `limit` of what `user` asked before `before`, the newest first.
pub async fn list(tx: &mut Tx, user: UserId, before: ChatId, limit: i64) -> Result<Vec<Chat>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, user_id, message, reply, picks, provider, input_tokens, output_tokens, cost,
                created_at
           FROM discovery_chats WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(user)
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Chat::from).collect())
}

/// Who suggested `course` to `user` last, if anybody did from one moment to another.
///
/// Walks through the chats of that time, the newest first, which are few: their number is the quota of
/// some days. An id stands in quotes as nothing else can: those within a text have a backslash before them.
pub async fn find_suggestion(
    tx: &mut Tx,
    user: UserId,
    course: CourseId,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<Provider>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT provider FROM discovery_chats
          WHERE user_id = $1 AND id > $2 AND created_at <= $3 AND CAST(picks AS TEXT) LIKE $4
          ORDER BY id DESC LIMIT 1",
    )
    .bind(user)
    .bind(ChatId::before(from))
    .bind(to)
    .bind(format!("%\"{course}\"%"))
    .fetch_optional(conn)
    .await)?)
}

/// Forgets one of the chats of `user`, if it is one.
pub async fn delete(tx: &mut Tx, user: UserId, id: ChatId) -> Result<bool> {
    let deleted = on!(tx, conn => sqlx::query(
        "DELETE FROM discovery_chats WHERE user_id = $1 AND id = $2",
    )
    .bind(user)
    .bind(id)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(deleted == 1)
}

/// Forgets all chats of `user`.
pub async fn delete_all(tx: &mut Tx, user: UserId) -> Result<()> {
    on!(tx, conn => sqlx::query("DELETE FROM discovery_chats WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Counts a message of `user`, in the day that is under way or, if that began before `day_ago`, in
/// a new one. `false`, and no change, if there were `messages_max` already.
///
/// One statement: messages sent at the same time are counted one after the other.
pub async fn spend(
    tx: &mut Tx,
    user: UserId,
    (now, day_ago): (Timestamp, Timestamp),
    messages_max: u32,
) -> Result<bool> {
    let spent = on!(tx, conn => sqlx::query(
        "INSERT INTO discovery_usage AS u (user_id, began_at, used, total_cost)
         VALUES ($1, $2, 1, 0)
             ON CONFLICT (user_id) DO UPDATE
            SET used = CASE WHEN u.began_at <= $3 THEN 1 ELSE u.used + 1 END,
                began_at = CASE WHEN u.began_at <= $3 THEN excluded.began_at ELSE u.began_at END
          WHERE u.began_at <= $3 OR u.used < $4",
    )
    .bind(user)
    .bind(now)
    .bind(day_ago)
    .bind(i64::from(messages_max))
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(spent == 1)
}

/// Counts a message of whomever in the day that began at `day`. `false`, and no change, if there
/// were `messages_max` already.
///
/// All who ask wait for each other at this row: call it in a transaction of its own.
pub async fn spend_of_all(tx: &mut Tx, day: Timestamp, messages_max: u32) -> Result<bool> {
    let spent = on!(tx, conn => sqlx::query(
        "INSERT INTO discovery_days AS d (began_at, used) VALUES ($1, 1)
             ON CONFLICT (began_at) DO UPDATE SET used = d.used + 1 WHERE d.used < $2",
    )
    .bind(day)
    .bind(i64::from(messages_max))
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(spent == 1)
}

/// When the day began that is under way, having begun after `day_ago`, if `user` has sent
/// `messages_max` in it.
pub async fn find_full_day(
    tx: &mut Tx,
    user: UserId,
    day_ago: Timestamp,
    messages_max: u32,
) -> Result<Option<Timestamp>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT began_at FROM discovery_usage WHERE user_id = $1 AND began_at > $2 AND used >= $3",
    )
    .bind(user)
    .bind(day_ago)
    .bind(i64::from(messages_max))
    .fetch_optional(conn)
    .await)?)
}

/// Adds to what models took for `user` in all.
pub async fn add_cost(tx: &mut Tx, user: UserId, cost: Money) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE discovery_usage SET total_cost = total_cost + $2 WHERE user_id = $1",
    )
    .bind(user)
    .bind(cost)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}
