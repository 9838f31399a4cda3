//! `/api/v1/payments`: wallets, top-ups, payouts, and the history of an account.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::{
        self,
        transactions::{Filter, Position},
    },
    domain::{
        ledger::{Account, AccountKind, Owner},
        payment::{PaymentStatus, Payout, TopUp, Transaction, TransactionType},
        user::User,
    },
    error::{Error, Result},
    http::{
        answer::{Ensured, Kept},
        extract::{Caller, IdempotencyKey, Json, Path, Query, Student, Teacher},
        openapi::{Routes, routes},
        page::{self, Cursor, Limit, Page},
    },
    id::{SessionId, TopUpId},
    money::{Amount, Currency, Money},
    service::{
        idempotency::Request,
        payments::{self, currency_or_default, owner_of},
    },
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    routes! { "payments"
        /// Open one's account in a currency.
        ///
        /// Opening it again changes nothing.
        POST "/payments/wallet/connect" => connect;
        /// What one has, and what of it is held for a session.
        GET "/payments/wallet/balance" => balance;
        /// Bring money into one's wallet.
        POST "/payments/wallet/top-ups" => top_up [
            WALLET_NOT_CONNECTED OUT_OF_RANGE NO_GATEWAY IDEMPOTENCY_KEY_RUNNING BUSY
        ];
        /// How far a top-up has come.
        GET "/payments/wallet/top-ups/{top_up_id}" => show_top_up;
        /// Have one's earnings paid out.
        POST "/payments/payouts" => pay_out [
            INSUFFICIENT_FUNDS OUT_OF_RANGE NO_GATEWAY IDEMPOTENCY_KEY_RUNNING BUSY
        ];
        /// The history of one's account, newest first.
        GET "/payments/transactions" => transactions;
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CurrencyRequest {
    /// The default one if nothing is said.
    currency: Option<Currency>,
}

/// A student's wallet or a teacher's earnings.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
struct BalanceView {
    kind: AccountKind,
    currency: Currency,
    posted: Money,
    held: Money,
    available: Money,
}

impl From<Account> for BalanceView {
    fn from(account: Account) -> Self {
        Self {
            kind: account.owner.kind(),
            currency: account.currency,
            posted: account.posted,
            held: account.held,
            available: account.available(),
        }
    }
}

async fn connect(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<CurrencyRequest>,
) -> Result<Ensured<BalanceView>> {
    let currency = currency_or_default(&app, body.currency)?;
    let (account, is_new) =
        payments::connect(&app, &caller.user, currency, app.clock.now()).await?;
    Ok(if is_new { Ensured::New(account.into()) } else { Ensured::Known(account.into()) })
}

async fn balance(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<CurrencyRequest>,
) -> Result<Json<BalanceView>> {
    let currency = currency_or_default(&app, query.currency)?;
    let account = payments::balance(&app, &caller.user, currency).await?;
    Ok(Json(account.into()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AmountRequest {
    amount: Amount,
    /// The default one if nothing is said.
    currency: Option<Currency>,
}

async fn top_up(
    State(app): State<App>,
    Student(student): Student,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<AmountRequest>,
) -> Result<Kept<TopUp>> {
    let currency = currency_or_default(&app, body.currency)?;
    let request = Request::new(student.user.id, key, "top_up", &(body.amount.money(), currency));
    let sum = (body.amount, currency);
    let now = app.clock.now();
    Ok(payments::top_up(&app, &student.user, sum, request, now).await?.into())
}

async fn show_top_up(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<TopUpId>,
) -> Result<Json<TopUp>> {
    let top_up = db::payments::find_top_up(&mut app.db.read().await?, id).await?;
    let own = top_up.filter(|top_up| top_up.user_id == caller.user.id);
    Ok(Json(own.ok_or(Error::NotFound("top-up"))?))
}

async fn pay_out(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<AmountRequest>,
) -> Result<Kept<Payout>> {
    let currency = currency_or_default(&app, body.currency)?;
    let request = Request::new(teacher.user.id, key, "payout", &(body.amount.money(), currency));
    let sum = (body.amount, currency);
    let now = app.clock.now();
    Ok(payments::pay_out(&app, &teacher.user, sum, request, now).await?.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TransactionsQuery {
    /// The default one if nothing is said.
    currency: Option<Currency>,
    #[serde(rename = "type")]
    kind: Option<TransactionType>,
    status: Option<PaymentStatus>,
    session_id: Option<SessionId>,
    /// Not before this moment.
    from: Option<Timestamp>,
    /// Before this moment.
    to: Option<Timestamp>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

/// One entry of an account's history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Transaction")]
struct TransactionView {
    id: String,
    #[serde(rename = "type")]
    kind: TransactionType,
    status: PaymentStatus,
    amount: Money,
    currency: Currency,
    session_id: Option<SessionId>,
    at: Timestamp,
}

impl From<Transaction> for TransactionView {
    fn from(entry: Transaction) -> Self {
        Self {
            id: format!("{}:{}", entry.kind, entry.reference),
            kind: entry.kind,
            status: entry.status,
            amount: entry.amount,
            currency: entry.currency,
            session_id: entry.session_id,
            at: entry.at,
        }
    }
}

async fn transactions(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TransactionsQuery>,
) -> Result<Json<Page<TransactionView>>> {
    let limit = query.limit;
    let filter = filter(&app, &caller.user, query)?;
    let mut tx = app.db.read().await?;
    let found = db::transactions::list(&mut tx, &filter, limit.and_one()).await?;
    let place =
        |entry: &Transaction| page::place(entry.at, format!("{}|{}", entry.kind, entry.reference));
    Ok(Json(Page::new(found, limit.entries(), place)))
}

fn filter(app: &App, user: &User, query: TransactionsQuery) -> Result<Filter> {
    let currency = currency_or_default(app, query.currency)?;
    let owner = owner_of(user);
    let after = match (query.cursor, query.to) {
        (Some(cursor), _) => read_position(&cursor)?,
        // Nothing sorts before an empty word, so this leaves out the moment itself.
        (None, Some(to)) => Position { at: to, kind: String::new(), reference: String::new() },
        (None, None) => {
            Position { at: Timestamp::END, kind: String::new(), reference: String::new() }
        }
    };
    Ok(Filter {
        account_id: owner.account(currency),
        user_id: owner.user(),
        currency,
        share: match owner {
            Owner::Platform => TransactionType::Fee,
            _ => TransactionType::Earning,
        },
        kind: query.kind,
        status: query.status,
        session_id: query.session_id,
        from: query.from,
        after,
    })
}

fn read_position(cursor: &Cursor) -> Result<Position> {
    let (at, rest): (_, String) = cursor.place()?;
    let (kind, reference) = rest.split_once('|').ok_or_else(page::not_a_cursor)?;
    Ok(Position { at, kind: kind.to_owned(), reference: reference.to_owned() })
}
