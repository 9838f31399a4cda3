//! An account's history, drawn from sessions, top-ups, payouts and transfers.
//!
//! Nothing is written for it: a session's row is its lock, its payment and its refund.

use sqlx::FromRow;

use crate::{
    db::Tx,
    domain::{
        ledger::{rewarded_session, settled_session},
        payment::{PaymentStatus, Transaction, TransactionType},
    },
    error::Result,
    id::{AccountId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

/// Whose history, which entries of it, and from where on.
#[derive(Clone, Debug)]
pub struct Filter {
    pub account_id: AccountId,
    /// Whose sessions, top-ups and payouts belong to it; nobody's for the platform.
    pub user_id: Option<UserId>,
    pub currency: Currency,
    /// What a share of a settled session is called in this account.
    pub share: TransactionType,
    pub kind: Option<TransactionType>,
    pub status: Option<PaymentStatus>,
    pub session_id: Option<SessionId>,
    pub from: Option<Timestamp>,
    /// Entries after this one, in the order of the list.
    pub after: Position,
}

/// A place in a history: newest first, then by what tells entries of one moment apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub at: Timestamp,
    pub kind: String,
    pub reference: String,
}

#[derive(FromRow)]
struct Row {
    kind: TransactionType,
    status: PaymentStatus,
    amount: Money,
    currency: Currency,
    session_id: Option<SessionId>,
    reference: String,
    at: Timestamp,
}

impl From<Row> for Transaction {
    fn from(row: Row) -> Self {
        let Row { kind, status, amount, currency, session_id, reference, at } = row;
        let session_id = session_id
            .or_else(|| settled_session(&reference))
            .or_else(|| rewarded_session(&reference));
        Self { kind, status, amount, currency, session_id, reference, at }
    }
}

/// Transfers `$of` the account, called `$kind` in its history. They may be many, so this walks its
/// index and stops by itself.
macro_rules! transfers {
    ($kind:literal, $of:literal) => {
        concat!(
            "SELECT * FROM (
             SELECT ",
            $kind,
            " AS kind, 'completed' AS status, t.amount, t.currency,
                    CAST(NULL AS UUID) AS session_id, t.journal_id AS reference, t.at
               FROM transfers t JOIN journals j ON j.id = t.journal_id
              WHERE ",
            $of,
            " AND t.at <= $9
                AND (t.at < $9 OR ",
            $kind,
            " < $10
                     OR (",
            $kind,
            " = $10 AND t.journal_id < $11))
                AND ($5 IS NULL OR ",
            $kind,
            " = $5)
                AND ($6 IS NULL OR $6 = 'completed')
                AND ($7 IS NULL OR t.journal_id IN
                       ('settle:' || lower(hex($7)), 'quality_bonus:' || lower(hex($7))))
                AND ($8 IS NULL OR t.at >= $8)
              ORDER BY t.at DESC, kind DESC, t.journal_id DESC LIMIT $12) moved"
        )
    };
}

/// At most `limit` entries, newest first.
///
/// What is another's session, top-up or payout is few rows for one user. Shares of a popular
/// teacher are not, and neither are bonuses that the platform has paid.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Transaction>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(concat!(
        "SELECT kind, status, amount, currency, session_id, reference, at FROM (
           SELECT 'lock' AS kind,
                  CASE WHEN status = 'active' THEN 'pending' ELSE 'completed' END AS status,
                  held AS amount, currency, id AS session_id, lower(hex(id)) AS reference,
                  started_at AS at
             FROM sessions WHERE student_id = $1 AND held > 0
           UNION ALL
           SELECT 'payment', 'completed', cost, currency, id, lower(hex(id)), ended_at
             FROM sessions WHERE student_id = $1 AND cost > 0
           UNION ALL
           SELECT 'refund', 'completed', held - cost, currency, id, lower(hex(id)), ended_at
             FROM sessions WHERE student_id = $1 AND status <> 'active' AND held > cost
           UNION ALL
           SELECT 'top_up', status, amount, currency, CAST(NULL AS UUID), lower(hex(id)), created_at
             FROM top_ups WHERE user_id = $1
           UNION ALL
           SELECT 'payout', status, amount, currency, CAST(NULL AS UUID), lower(hex(id)), created_at
             FROM payouts WHERE user_id = $1
           UNION ALL ",
        transfers!(
            "CASE j.kind WHEN 'settle' THEN $4 ELSE j.kind END",
            "t.credit_account_id = $2 AND j.kind <> 'top_up'"
        ),
        " UNION ALL ",
        transfers!(
            "j.kind",
            // As the index of bonuses has it.
            "t.debit_account_id = $2 AND substr(t.journal_id, 1, 14) = 'quality_bonus:'"
        ),
        "
         ) history
          WHERE currency = $3
            AND ($5 IS NULL OR kind = $5)
            AND ($6 IS NULL OR status = $6)
            AND ($7 IS NULL OR session_id = $7
                 OR reference IN
                      ('settle:' || lower(hex($7)), 'quality_bonus:' || lower(hex($7))))
            AND ($8 IS NULL OR at >= $8)
            AND (at < $9 OR (at = $9 AND (kind < $10 OR (kind = $10 AND reference < $11))))
          ORDER BY at DESC, kind DESC, reference DESC
          LIMIT $12",
    ))
    .bind(filter.user_id)
    .bind(filter.account_id)
    .bind(filter.currency)
    .bind(filter.share)
    .bind(filter.kind)
    .bind(filter.status)
    .bind(filter.session_id)
    .bind(filter.from)
    .bind(filter.after.at)
    .bind(&filter.after.kind)
    .bind(&filter.after.reference)
    .bind(limit)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Transaction::from).collect())
}
