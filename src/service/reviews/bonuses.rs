//! Bonuses for reviews: paid from the platform's account as far as that goes, one after the other.

use tracing::info;

use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        earnings::{Earning, Figures},
        ledger::{Journal, JournalKind, Owner, Post, Transfer, bonus_id},
        review::{BonusStatus, Review},
    },
    error::{Error, OrLog, Result},
    id::{ReviewId, UserId},
    money::{AMOUNT_MAX, Currency},
    service::ledger,
    time::Timestamp,
};

/// How many of those that wait are looked up at a time.
const BATCH_MAX: usize = 100;

/// Pays the bonus of a review that has just been published, if there is one and it was not paid
/// before.
pub(super) async fn pay_or_wait(
    tx: &mut Tx,
    review: &mut Review,
    actor: Option<UserId>,
    now: Timestamp,
) -> Result<()> {
    if !review.bonus.is_positive() || review.bonus_status != BonusStatus::None {
        return Ok(());
    }
    // Nobody overtakes those who wait already.
    if db::bonuses::list_waiting(tx, review.currency, None, 1).await?.is_empty() {
        pay(tx, review, actor, now).await
    } else {
        review.bonus_status = BonusStatus::Waiting;
        Ok(())
    }
}

/// Pays the bonus, or has it wait for the platform to have enough.
async fn pay(
    tx: &mut Tx,
    review: &mut Review,
    actor: Option<UserId>,
    now: Timestamp,
) -> Result<()> {
    if db::journals::is_there(tx, &bonus_id(review.session_id)).await? {
        // Paid for a review of this session that was forgotten with a step back of the schema.
        review.bonus_status = BonusStatus::Paid;
        return Ok(());
    }
    review.bonus_status = match ledger::post(tx, post(review, actor, now), now).await {
        Ok(()) => BonusStatus::Paid,
        Err(Error::InsufficientFunds { .. }) => BonusStatus::Waiting,
        Err(error) => return Err(error),
    };
    Ok(())
}

fn post(review: &Review, actor: Option<UserId>, now: Timestamp) -> Post {
    let Review { currency, bonus, teacher_id, course_id, .. } = *review;
    let owners = [Owner::Platform, Owner::Earnings(teacher_id)];
    let [debit, credit] = owners.each_ref().map(|owner| owner.account(currency));
    let transfers = vec![Transfer { debit, credit, currency, amount: bonus }];
    let figures = Figures { bonus, ..Figures::default() };
    Post {
        journal: Journal {
            id: bonus_id(review.session_id),
            kind: JournalKind::QualityBonus,
            actor,
            at: now,
            transfers,
        },
        owners: owners.map(|owner| (owner, currency)).into(),
        wallet_max: AMOUNT_MAX,
        earning: Some(Earning { teacher_id, course_id, currency, at: now, figures }),
    }
}

/// Pays the bonuses that wait, the oldest first in each currency, until the platform cannot cover
/// the next. Safe to run on every node at once.
pub async fn pay_waiting(app: &App, now: Timestamp) -> Result<usize> {
    let currencies = db::bonuses::list_currencies(&mut app.db.read().await?).await?;
    let mut paid = 0;
    for currency in currencies {
        paid += pay_waiting_in(app, currency, now).await?;
    }
    Ok(paid)
}

/// Each is tried once: one that cannot be paid, for whatever reason, keeps nobody from theirs.
async fn pay_waiting_in(app: &App, currency: Currency, now: Timestamp) -> Result<usize> {
    let batch = i64::try_from(BATCH_MAX).expect("a batch is small");
    let (mut paid, mut last) = (0, None);
    loop {
        let mut tx = app.db.read().await?;
        let waiting = db::bonuses::list_waiting(&mut tx, currency, last, batch).await?;
        drop(tx);
        for id in &waiting {
            if app.stop.is_cancelled() {
                return Ok(paid);
            }
            match pay_one(app, *id, now).await.or_log("paying a bonus") {
                Some(BonusStatus::Paid) => paid += 1,
                // The platform has too little, and a smaller one must not overtake.
                Some(BonusStatus::Waiting) => return Ok(paid),
                Some(BonusStatus::None) | None => {}
            }
        }
        if waiting.len() < BATCH_MAX {
            return Ok(paid);
        }
        last = waiting.last().copied();
    }
}

/// What became of a bonus that waited; none if another node was here.
async fn pay_one(app: &App, id: ReviewId, now: Timestamp) -> Result<BonusStatus> {
    let mut tx = app.db.begin().await?;
    let review = db::reviews::lock(&mut tx, id).await?;
    let review = review.filter(|review| review.bonus_status == BonusStatus::Waiting);
    let Some(mut review) = review else { return Ok(BonusStatus::None) };
    pay(&mut tx, &mut review, None, now).await?;
    if review.bonus_status == BonusStatus::Paid {
        db::reviews::update(&mut tx, &review).await?;
        tx.commit().await?;
        info!(review.id = %id, bonus = %review.bonus, "paid the bonus for review {id}");
    }
    Ok(review.bonus_status)
}
