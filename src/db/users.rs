//! People and their passwords.

use sqlx::{FromRow, types::Json};

use crate::{
    db::{Conn, Tx},
    domain::user::{Role, User, UserStatus},
    error::Result,
    id::{LoginId, UserId},
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: UserId,
    email: String,
    name: String,
    role: Role,
    status: UserStatus,
    profile: Json<serde_json::Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(FromRow)]
struct RowWithPassword {
    #[sqlx(flatten)]
    user: Row,
    password_hash: String,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            role: row.role,
            status: row.status,
            profile: row.profile.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An e-mail address that is taken already is a unique violation.
pub async fn insert(tx: &mut Tx, user: &User, password_hash: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO users
           (id, email, name, role, status, password_hash, profile, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(user.id)
    .bind(&user.email)
    .bind(&user.name)
    .bind(user.role)
    .bind(user.status)
    .bind(password_hash)
    .bind(Json(&user.profile))
    .bind(user.created_at)
    .bind(user.updated_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: UserId) -> Result<Option<User>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, email, name, role, status, profile, created_at, updated_at
           FROM users WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(User::from))
}

/// The user with this address, lower case, and the hash of the password.
pub async fn find_by_email(tx: &mut Tx, email: &str) -> Result<Option<(User, String)>> {
    let row: Option<RowWithPassword> = on!(tx, conn => sqlx::query_as(
        "SELECT id, email, name, role, status, profile, created_at, updated_at, password_hash
           FROM users WHERE email = $1",
    )
    .bind(email)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(|row| (row.user.into(), row.password_hash)))
}

/// The user behind a sign-in that has neither ended nor run out.
pub async fn find_signed_in(
    tx: &mut Tx,
    user: UserId,
    login: LoginId,
    now: Timestamp,
) -> Result<Option<User>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT u.id, u.email, u.name, u.role, u.status, u.profile, u.created_at, u.updated_at
           FROM logins l JOIN users u ON u.id = l.user_id
          WHERE l.id = $1 AND u.id = $2 AND l.ended_at IS NULL AND l.expires_at > $3",
    )
    .bind(login)
    .bind(user)
    .bind(now)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(User::from))
}

/// Writes what somebody may change about themselves; `None` leaves it as it is.
pub async fn update_profile(
    tx: &mut Tx,
    id: UserId,
    name: Option<&str>,
    profile: Option<&serde_json::Value>,
    now: Timestamp,
) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE users
            SET name = COALESCE($2, name), profile = COALESCE($3, profile), updated_at = $4
          WHERE id = $1",
    )
    .bind(id)
    .bind(name)
    .bind(profile.map(Json))
    .bind(now)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Writes what an admin may change about somebody; `None` leaves it as it is. Each of the two
/// leaves the other's columns alone: a change of name must not undo a suspension.
pub async fn update_standing(
    tx: &mut Tx,
    id: UserId,
    (role, status): (Option<Role>, Option<UserStatus>),
    name: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE users
            SET role = COALESCE($2, role), status = COALESCE($3, status),
                name = COALESCE($4, name), updated_at = $5
          WHERE id = $1",
    )
    .bind(id)
    .bind(role)
    .bind(status)
    .bind(name)
    .bind(now)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Keeps others from locking the account until the end of the transaction.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<()> {
    // On SQLite the transaction is the lock.
    if let Conn::Postgres(conn) = tx.conn() {
        let lock = sqlx::query("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE");
        lock.bind(id).execute(conn).await?;
    }
    Ok(())
}

/// Locks an account until the end of the transaction, if it is active and has this password.
pub async fn lock_with_password(tx: &mut Tx, id: UserId, hash: &str) -> Result<bool> {
    let locked = on!(tx, conn => sqlx::query(
        "UPDATE users SET updated_at = updated_at
          WHERE id = $1 AND password_hash = $2 AND status = 'active'",
    )
    .bind(id)
    .bind(hash)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(locked == 1)
}

/// Replaces the hash of a password, if it is still `old_hash`.
pub async fn update_password(
    tx: &mut Tx,
    id: UserId,
    old_hash: &str,
    new_hash: &str,
    now: Timestamp,
) -> Result<bool> {
    let updated = on!(tx, conn => sqlx::query(
        "UPDATE users SET password_hash = $3, updated_at = $4
          WHERE id = $1 AND password_hash = $2",
    )
    .bind(id)
    .bind(old_hash)
    .bind(new_hash)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(updated == 1)
}
