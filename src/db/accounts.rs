//! The ledger's accounts.

use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    db::{
        Conn, Tx,
        portable::{Hex, Rows, hex_array},
    },
    domain::{
        books::Change,
        ledger::{Account, AccountKind, Owner},
    },
    error::{Error, Result},
    id::{AccountId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: AccountId,
    kind: AccountKind,
    user_id: Option<UserId>,
    name: Option<String>,
    currency: Currency,
    posted: Money,
    held: Money,
}

/// What an account has at the moment it is locked.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Locked {
    pub id: AccountId,
    pub posted: Money,
    pub held: Money,
    /// Of a wallet: the session its student has open.
    pub active_session: Option<SessionId>,
}

impl Row {
    fn into_account(self) -> Result<Account> {
        let owner = match (self.kind, self.user_id, self.name) {
            (AccountKind::Wallet, Some(user), _) => Owner::Wallet(user),
            (AccountKind::Earnings, Some(user), _) => Owner::Earnings(user),
            (AccountKind::Platform, ..) => Owner::Platform,
            (AccountKind::Partner, _, Some(name)) => Owner::Partner(name),
            (AccountKind::Gateway, _, Some(name)) => Owner::Gateway(name),
            _ => return Err(Error::Internal(format!("account {} has no owner", self.id))),
        };
        let Self { id, currency, posted, held, .. } = self;
        Ok(Account { id, owner, currency, posted, held })
    }
}

/// The accounts of `ids` that exist, locked until the end of the transaction.
///
/// Locked in the order of their ids, so that two nodes never wait for each other. On SQLite the
/// transaction is the lock.
pub async fn lock(tx: &mut Tx, ids: &[AccountId]) -> Result<Vec<Locked>> {
    let uuids = ids.iter().map(|id| id.uuid());
    let rows = match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as(
                "SELECT a.id, a.posted, a.held, s.id AS active_session
                   FROM json_each($1) AS wanted
                   JOIN accounts a ON a.id = unhex(wanted.value)
                   LEFT JOIN sessions s ON s.student_id = a.user_id AND s.status = 'active'
                         AND a.kind = 'wallet'",
            )
            .bind(hex_array(uuids))
            .fetch_all(conn)
            .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(
                "SELECT id, posted, held,
                        CASE kind WHEN 'wallet' THEN
                          (SELECT s.id FROM sessions s
                            WHERE s.student_id = accounts.user_id AND s.status = 'active')
                        END AS active_session
                   FROM accounts
                  WHERE id = ANY($1)
                  ORDER BY id
                    FOR NO KEY UPDATE OF accounts",
            )
            .bind(uuids.collect::<Vec<Uuid>>())
            .fetch_all(conn)
            .await?
        }
    };
    Ok(rows)
}

/// Opens an account with nothing in it. Nothing happens if it is there.
pub async fn insert(tx: &mut Tx, account: &Account, now: Timestamp) -> Result<bool> {
    let inserted = on!(tx, conn => sqlx::query(
        "INSERT INTO accounts (id, kind, user_id, name, currency, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT DO NOTHING",
    )
    .bind(account.id)
    .bind(account.owner.kind())
    .bind(account.owner.user())
    .bind(account.owner.name())
    .bind(account.currency)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}

/// Brings balances to what the books say: one update for each account.
macro_rules! update_accounts {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n, [id uuid, posted bigint, held bigint],
            "UPDATE accounts SET posted = accounts.posted + r.posted, held = accounts.held + r.held
               FROM", "WHERE accounts.id = r.id"
        )
    };
}

/// The rows of `update_accounts!`.
pub(super) fn updates<'a>(changes: impl Iterator<Item = Change<'a>>) -> Rows {
    #[derive(Serialize)]
    struct Update {
        id: Hex,
        posted: i64,
        held: i64,
    }
    let moved = changes
        .filter(|change| change.posted != Money::ZERO || change.held != Money::ZERO)
        .map(|change| Update {
            id: Hex(change.account.id.uuid()),
            posted: change.posted.micros(),
            held: change.held.micros(),
        });
    Rows::of(moved)
}

/// Whether `user` owns anything in any account.
pub async fn has_money(tx: &mut Tx, user: UserId) -> Result<bool> {
    let found: Option<(AccountId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM accounts WHERE user_id = $1 AND posted <> 0 LIMIT 1",
    )
    .bind(user)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}

/// The account, if it is open.
pub async fn find(tx: &mut Tx, id: AccountId) -> Result<Option<Account>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, kind, user_id, name, currency, posted, held FROM accounts WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    row.map(Row::into_account).transpose()
}
