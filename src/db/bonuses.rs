//! Bonuses for reviews that wait until the platform can cover them.

use crate::{
    db::Tx,
    error::Result,
    id::{ReviewId, UserId},
    money::Currency,
};

/// The currencies in which bonuses wait for the platform.
pub async fn list_currencies(tx: &mut Tx) -> Result<Vec<Currency>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT DISTINCT currency FROM reviews WHERE bonus_status = 'waiting'",
    )
    .fetch_all(conn)
    .await)?)
}

/// At most `limit` reviews whose bonus waits for the platform, the oldest first, behind `after`.
pub async fn list_waiting(
    tx: &mut Tx,
    currency: Currency,
    after: Option<ReviewId>,
    limit: i64,
) -> Result<Vec<ReviewId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM reviews WHERE bonus_status = 'waiting' AND currency = $1 AND id > $2
          ORDER BY id LIMIT $3",
    )
    .bind(currency)
    .bind(after.unwrap_or(ReviewId::from_uuid(uuid::Uuid::nil())))
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// Whether a bonus for a review of one of a teacher's courses waits, or may yet come: an admin can
/// approve what is held back, and also what was rejected.
pub async fn has_any(tx: &mut Tx, teacher: UserId) -> Result<bool> {
    let found: Option<(ReviewId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM reviews
          WHERE teacher_id = $1 AND bonus > 0 AND bonus_status <> 'paid' LIMIT 1",
    )
    .bind(teacher)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}
