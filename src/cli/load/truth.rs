//! Whether what players were told is what the ledger says.
//!
//! For each session, after it has ended, these must be one:
//!
//! * the receipt as it came over the socket, as the answer to ending it over HTTP, and as it is
//!   read afterwards;
//! * its cost, and the price of the time watched; its refund, and what was held and not spent;
//! * its cost, the payment in the history of the wallet, and what the wallet has lost.
//!
//! Who left without a word was told no receipt: then no less may be charged than was told last,
//! unless a node was lost on the way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{
    api::{Account, Ask, Balance, Receipt, Refusal},
    fleet::Run,
    player::Played,
};
use crate::{domain::meter, id::SessionId, money::Money};

/// Sessions compared at the same time.
const AT_ONCE: usize = 32;

/// How long the server may take to settle, after the grace.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to ask for a receipt that is not there yet.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Page {
    data: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    r#type: String,
    amount: Money,
}

/// Compares everything, and gives back the accounts.
pub(super) async fn check(run: &Arc<Run>, played: Vec<Played>) -> Vec<Account> {
    let began = Instant::now();
    let checked = stream::iter(played).map(|player| check_one(run, player, began));
    checked.buffer_unordered(AT_ONCE).collect().await
}

async fn check_one(run: &Run, mut played: Played, began: Instant) -> Account {
    let mut cost = Money::ZERO;
    if let Some(session) = played.session {
        match written(run, &mut played, session, began).await {
            Ok((receipt, paid)) => {
                cost = receipt.cost;
                let mut tally = run.api.tally();
                tally.count_end(&receipt.end_reason);
                tally.truth.sessions += 1;
                tally.truth.free += u64::from(receipt.was_free);
                for difference in differences(&played, &receipt, paid) {
                    tally.truth.differs(format!("session {session}: {difference}"));
                }
            }
            Err(why) => run.api.tally().truth.differs(format!("session {session}: {why}")),
        }
    }
    let ask = Ask::get("balance", "/payments/wallet/balance");
    let after: Result<Balance, _> = run.api.ask_as(&mut played.account, played.place, &ask).await;
    let mut tally = run.api.tally();
    let who = played.account.id;
    match after {
        Ok(after) => {
            let lost = played.before.posted - after.posted;
            tally.truth.receipts += cost;
            tally.truth.wallets += lost;
            if lost != cost {
                tally.truth.differs(format!("wallet of {who}: lost {lost} for {cost}"));
            }
            if after.held != Money::ZERO {
                tally.truth.differs(format!("wallet of {who}: {} is still held", after.held));
            }
        }
        Err(refusal) => {
            let why = refusal.sentence();
            tally.truth.differs(format!("wallet of {who}: cannot be read: {why}"));
        }
    }
    drop(tally);
    played.account
}

/// The receipt, and what the wallet's history says was paid.
async fn written(
    run: &Run,
    played: &mut Played,
    session: SessionId,
    began: Instant,
) -> Result<(Receipt, Money), String> {
    let ask = Ask::get("receipt", format!("/sessions/{session}/receipt"));
    let deadline = began + played.grace + PATIENCE;
    let receipt: Receipt = loop {
        match run.api.ask_as(&mut played.account, played.place, &ask).await {
            Ok(receipt) => break receipt,
            Err(refusal) if is_open(&refusal) && Instant::now() < deadline => {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(refusal) => return Err(format!("has no receipt: {}", refusal.sentence())),
        }
    };
    let path = format!("/payments/transactions?session_id={session}");
    let history: Result<Page, _> =
        run.api.ask_as(&mut played.account, played.place, &Ask::get("history", path)).await;
    let history = history.map_err(|why| format!("has no history: {}", why.sentence()))?;
    let payments = history.data.iter().filter(|entry| entry.r#type == "payment");
    Ok((receipt, payments.map(|entry| entry.amount).sum()))
}

fn is_open(refusal: &Refusal) -> bool {
    refusal.is_status(reqwest::StatusCode::CONFLICT)
}

/// In words, what does not fit.
fn differences(played: &Played, receipt: &Receipt, paid: Money) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differs = |what: String| differences.push(what);
    for (whence, told) in [("socket", &played.receipt), ("end", &played.answer)] {
        if let Some(told) = told.as_ref().filter(|told| *told != receipt) {
            differs(format!("the {whence} told {told:?}, and {receipt:?} is written"));
        }
    }
    let Receipt { watched_ms, cost, held, refund, was_free, price_per_minute, .. } = *receipt;
    let watched = Duration::from_millis(watched_ms);
    let due = if was_free { Money::ZERO } else { meter::cost(price_per_minute, watched, held) };
    if cost != due {
        differs(format!("costs {cost} for {watched_ms} ms, which come to {due}"));
    }
    if refund != held - cost {
        differs(format!("gives back {refund} of {held} after {cost}"));
    }
    if paid != cost {
        differs(format!("costs {cost}, and the wallet paid {paid}"));
    }
    let last = played.tick.filter(|_| played.receipt.is_none() && !played.was_lost);
    if let Some(tick) = last.filter(|_| !was_free)
        && (cost < tick.cost || watched_ms < tick.watched_ms)
    {
        differs(format!("costs {cost} for {watched_ms} ms, after {tick:?} was told"));
    }
    differences
}
