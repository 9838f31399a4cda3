//! Top-ups and payouts: money on its way from or to a gateway.

use sqlx::FromRow;

use crate::{
    db::Tx,
    domain::payment::{PaymentStatus, Payout, TopUp},
    error::Result,
    id::{AccountId, TopUpId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

#[derive(FromRow)]
struct TopUpRow {
    id: TopUpId,
    user_id: UserId,
    account_id: AccountId,
    currency: Currency,
    amount: Money,
    provider: String,
    provider_payment_id: String,
    status: PaymentStatus,
    created_at: Timestamp,
}

/// A payment that is there already is a unique violation.
pub async fn insert_top_up(tx: &mut Tx, top_up: &TopUp, journal_id: Option<&str>) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO top_ups (id, user_id, account_id, currency, amount, provider,
           provider_payment_id, status, journal_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(top_up.id)
    .bind(top_up.user_id)
    .bind(top_up.account_id)
    .bind(top_up.currency)
    .bind(top_up.amount)
    .bind(&top_up.provider)
    .bind(&top_up.provider_payment_id)
    .bind(top_up.status)
    .bind(journal_id)
    .bind(top_up.created_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

pub async fn find_top_up(tx: &mut Tx, id: TopUpId) -> Result<Option<TopUp>> {
    let row: Option<TopUpRow> = on!(tx, conn => sqlx::query_as(
        "SELECT id, user_id, account_id, currency, amount, provider, provider_payment_id, status,
                created_at
           FROM top_ups WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(|row| TopUp {
        id: row.id,
        user_id: row.user_id,
        account_id: row.account_id,
        currency: row.currency,
        amount: row.amount,
        provider: row.provider,
        provider_payment_id: row.provider_payment_id,
        status: row.status,
        created_at: row.created_at,
    }))
}

pub async fn insert_payout(tx: &mut Tx, payout: &Payout, journal_id: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO payouts
           (id, user_id, account_id, currency, amount, provider, status, journal_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(payout.id)
    .bind(payout.user_id)
    .bind(payout.account_id)
    .bind(payout.currency)
    .bind(payout.amount)
    .bind(&payout.provider)
    .bind(payout.status)
    .bind(journal_id)
    .bind(payout.created_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}
