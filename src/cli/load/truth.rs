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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account() -> Account {
        let id = "019aa5f2-0000-7000-8000-000000000001";
        serde_json::from_value(json!({
            "id": id, "email": "", "password": "", "access_token": "", "refresh_token": "",
        }))
        .unwrap()
    }

    /// A session of 100 s at 0.60 a minute, with other values where `other` has some.
    fn receipt(other: &Value) -> Receipt {
        let mut receipt = json!({
            "session_id": "019aa5f2-0000-7000-8000-000000000002",
            "end_reason": "ended_by_student", "price_per_minute": "0.60", "watched_ms": 100_000,
            "cost": "1.00", "held": "30.00", "refund": "29.00", "was_free": false,
        });
        for (name, value) in other.as_object().unwrap() {
            receipt[name] = value.clone();
        }
        serde_json::from_value(receipt).unwrap()
    }

    fn played(socket: Option<Receipt>, tick: Option<(u64, &str)>) -> Played {
        let zero = Money::ZERO;
        let tick = tick.map(|(watched_ms, cost)| {
            serde_json::from_value(json!({"seq": 1, "watched_ms": watched_ms, "cost": cost}))
        });
        Played {
            place: 0,
            account: account(),
            before: Balance { posted: zero, held: zero, available: zero },
            session: None,
            receipt: socket,
            answer: None,
            tick: tick.transpose().unwrap(),
            grace: Duration::ZERO,
            was_lost: false,
        }
    }

    fn count(socket: Option<&Value>, tick: Option<(u64, &str)>, written: &Value) -> usize {
        let paid = "1.00".parse().unwrap();
        differences(&played(socket.map(receipt), tick), &receipt(written), paid).len()
    }

    #[test]
    fn what_agrees_makes_no_difference() {
        assert_eq!(count(Some(&json!({})), Some((101_000, "1.01")), &json!({})), 0);
        assert_eq!(count(None, Some((100_000, "1.00")), &json!({})), 0);
        let free = json!({"watched_ms": 9, "was_free": true, "cost": "0.00", "refund": "30.00"});
        let free = receipt(&free);
        assert_eq!(differences(&played(None, Some((9, "0.09"))), &free, Money::ZERO).len(), 0);
    }

    #[test]
    fn every_difference_is_seen() {
        // Told another cost on the socket.
        assert_eq!(count(Some(&json!({"cost": "1.01"})), None, &json!({})), 1);
        // Another cost than the time comes to, and than was paid; nothing refunded for it.
        assert_eq!(count(None, None, &json!({"cost": "1.01"})), 3);
        assert_eq!(count(None, None, &json!({"watched_ms": 101_000})), 1);
        assert_eq!(count(None, None, &json!({"refund": "28.00"})), 1);
        // Free and charged.
        assert_eq!(count(None, None, &json!({"was_free": true})), 1);
        // More was told before the player left.
        assert_eq!(count(None, Some((100_001, "1.00")), &json!({})), 1);
    }
}
