//! Money in and out: wallets, top-ups, payouts.

use tracing::info;

use crate::{
    app::App,
    bus::{Notice, To},
    db::{self, Tx},
    domain::{
        ledger::{Account, Journal, JournalKind, Owner, Post, Transfer, payout_id, top_up_id},
        payment::{PaymentStatus, Payout, TopUp},
        user::{Role, User},
    },
    error::{Error, Result},
    gateway::Gateway,
    id::{PayoutId, TopUpId},
    money::{Amount, Currency, Money},
    service::{
        idempotency::{self, Answer, Begun, Request},
        ledger,
    },
    time::Timestamp,
};

/// Whose account somebody's money is in: a student's wallet, a teacher's earnings.
#[must_use]
pub fn owner_of(user: &User) -> Owner {
    match user.role {
        Role::Student => Owner::Wallet(user.id),
        Role::Teacher => Owner::Earnings(user.id),
        Role::Admin => Owner::Platform,
    }
}

/// The currency that was asked for, or else the first of those this Murph works with.
pub fn currency_or_default(app: &App, currency: Option<Currency>) -> Result<Currency> {
    let money = &app.config.money;
    match currency {
        None => Ok(money.default_currency()),
        Some(currency) if money.deals_in(currency) => Ok(currency),
        Some(_) => {
            let known: Vec<_> = money.currencies.iter().map(Currency::as_str).collect();
            Err(Error::invalid("currency", format!("is none of {}", known.join(", "))))
        }
    }
}

/// Opens the user's account in `currency`. `true` if it was not open before.
pub async fn connect(
    app: &App,
    user: &User,
    currency: Currency,
    now: Timestamp,
) -> Result<(Account, bool)> {
    let account = Account::new(owner_of(user), currency);
    let mut tx = app.db.begin().await?;
    let is_new = db::accounts::insert(&mut tx, &account, now).await?;
    tx.commit().await?;
    if is_new {
        info!(user.id = %user.id, %currency, "connected an account of {}", user.id);
    }
    Ok((balance(app, user, currency).await?, is_new))
}

/// The user's account in `currency`; an empty one if it was never opened.
pub async fn balance(app: &App, user: &User, currency: Currency) -> Result<Account> {
    let empty = Account::new(owner_of(user), currency);
    let found = db::accounts::find(&mut app.db.read().await?, empty.id).await?;
    Ok(found.unwrap_or(empty))
}

/// Brings money from the gateway into the student's wallet.
pub async fn top_up(
    app: &App,
    student: &User,
    (amount, currency): (Amount, Currency),
    request: Request,
    now: Timestamp,
) -> Result<Answer> {
    let gateway = app.gateway.as_ref().ok_or(Error::NoGateway)?;
    let limits = &app.config.money;
    ensure_between(amount, limits.top_up_min, limits.top_up_max)?;
    let (mut tx, claim) = match idempotency::begin(app, request, now).await? {
        Begun::Done(answer) => return Ok(answer),
        Begun::Work(tx, claim) => (tx, claim),
    };

    let wallet = Owner::Wallet(student.id).account(currency);
    db::accounts::find(&mut tx, wallet).await?.ok_or(Error::WalletNotConnected)?;
    let top_up = collect(gateway, student, (amount.money(), currency), now);
    let journal = top_up_journal(&top_up);
    if top_up.status == PaymentStatus::Completed {
        let owners = vec![
            (Owner::Wallet(student.id), currency),
            (Owner::Gateway(top_up.provider.clone()), currency),
        ];
        let post =
            Post { journal: journal.clone(), owners, wallet_max: limits.wallet_max, earning: None };
        ledger::post(&mut tx, post, now).await?;
    }
    let journal_id = (top_up.status == PaymentStatus::Completed).then_some(journal.id.as_str());
    db::payments::insert_top_up(&mut tx, &top_up, journal_id).await?;
    let answer = claim.finish(tx, 201, &top_up).await?;
    if top_up.status == PaymentStatus::Completed {
        // A session that has used up its hold goes on.
        app.bus.publish(To::All, Notice::Credited { user_id: student.id });
    }
    info!(
        user.id = %student.id, amount = %top_up.amount, %currency, top_up.id = %top_up.id,
        journal.id, "topped up the wallet of {}", student.id
    );
    Ok(answer)
}

fn collect(
    gateway: &Gateway,
    student: &User,
    (amount, currency): (Money, Currency),
    now: Timestamp,
) -> TopUp {
    let id = TopUpId::new(now);
    let payment = gateway.collect(id, amount, currency);
    TopUp {
        id,
        user_id: student.id,
        account_id: Owner::Wallet(student.id).account(currency),
        currency,
        amount,
        provider: gateway.name().to_owned(),
        provider_payment_id: payment.id,
        status: payment.status,
        created_at: now,
    }
}

fn top_up_journal(top_up: &TopUp) -> Journal {
    let gateway = Owner::Gateway(top_up.provider.clone());
    Journal {
        id: top_up_id(&top_up.provider, &top_up.provider_payment_id),
        kind: JournalKind::TopUp,
        actor: Some(top_up.user_id),
        at: top_up.created_at,
        transfers: vec![Transfer {
            debit: gateway.account(top_up.currency),
            credit: top_up.account_id,
            currency: top_up.currency,
            amount: top_up.amount,
        }],
    }
}

/// Sends a teacher's earnings to the gateway.
pub async fn pay_out(
    app: &App,
    teacher: &User,
    (amount, currency): (Amount, Currency),
    request: Request,
    now: Timestamp,
) -> Result<Answer> {
    let gateway = app.gateway.as_ref().ok_or(Error::NoGateway)?;
    ensure_between(amount, app.config.money.payout_min, crate::money::AMOUNT_MAX)?;
    let (mut tx, claim) = match idempotency::begin(app, request, now).await? {
        Begun::Done(answer) => return Ok(answer),
        Begun::Work(tx, claim) => (tx, claim),
    };
    let payout = take_earnings(&mut tx, gateway, teacher, (amount.money(), currency), now).await?;
    let answer = claim.finish(tx, 201, &payout).await?;
    info!(
        user.id = %teacher.id, amount = %payout.amount, %currency, payout.id = %payout.id,
        "paid out to {}", teacher.id
    );
    Ok(answer)
}

async fn take_earnings(
    tx: &mut Tx,
    gateway: &Gateway,
    teacher: &User,
    (amount, currency): (Money, Currency),
    now: Timestamp,
) -> Result<Payout> {
    let id = PayoutId::new(now);
    let earnings = Owner::Earnings(teacher.id);
    let outside = Owner::Gateway(gateway.name().to_owned());
    let journal = Journal {
        id: payout_id(id),
        kind: JournalKind::Payout,
        actor: Some(teacher.id),
        at: now,
        transfers: vec![Transfer {
            debit: earnings.account(currency),
            credit: outside.account(currency),
            currency,
            amount,
        }],
    };
    let payout = Payout {
        id,
        user_id: teacher.id,
        account_id: earnings.account(currency),
        currency,
        amount,
        provider: gateway.name().to_owned(),
        status: gateway.send(id, amount, currency).status,
        created_at: now,
    };
    let journal_id = journal.id.clone();
    let owners = vec![(earnings, currency), (outside, currency)];
    let post = Post { journal, owners, wallet_max: crate::money::AMOUNT_MAX, earning: None };
    ledger::post(tx, post, now).await?;
    db::payments::insert_payout(tx, &payout, &journal_id).await?;
    Ok(payout)
}

fn ensure_between(amount: Amount, min: Money, max: Money) -> Result<()> {
    if (min..=max).contains(&amount.money()) {
        Ok(())
    } else {
        Err(Error::invalid("amount", format!("must be between {min} and {max}")))
    }
}
