//! Growing the hold of a session while it runs, and warning when that is not possible.

use std::sync::Arc;

use super::{Live, message::Outgoing, session::LiveSession};
use crate::{
    db,
    domain::{
        meter::{self, LOW_BALANCE},
        session::Session,
    },
    error::{Error, OrLog, Result},
    money::{Amount, Money},
    service::sessions,
    time::whole_ms,
};

/// What is to be done about a session with little left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Growth {
    /// Grow the hold; and, if that did not work, warn.
    Grow { and_warn: bool },
    /// Warn, unless the hold will grow.
    Warn,
}

/// Looks what the wallet has, and does what can be done with it.
pub(super) async fn run(live: Live, session: Arc<LiveSession>, growth: Growth) {
    let row = session.state().session.clone();
    let available = available(&live, &row).await.or_log("looking into a wallet");
    let room = room(&row, available.unwrap_or_default());
    let held = match growth {
        Growth::Grow { .. } if room.is_positive() => grow(&live, row).await,
        _ => None,
    };
    session.grown(&live, held);
    if matches!(growth, Growth::Warn | Growth::Grow { and_warn: true })
        && held.is_none()
        && available.is_some()
    {
        session.warn(&live, room);
    }
}

/// What the wallet of the session's student has free.
pub(super) async fn available(live: &Live, session: &Session) -> Result<Money> {
    let Some(wallet) = session.wallet() else { return Ok(Money::ZERO) };
    let account = db::accounts::find(&mut live.app.db.read().await?, wallet).await?;
    Ok(account.map_or(Money::ZERO, |account| account.available()))
}

/// By how much the hold can grow.
fn room(session: &Session, available: Money) -> Money {
    let cap = session.terms.spending_cap.map(|cap| cap - session.held);
    if session.terms.auto_extend {
        cap.map_or(available, |cap| cap.min(available))
    } else {
        Money::ZERO
    }
}

async fn grow(live: &Live, session: Session) -> Option<Money> {
    let amount = live.app.config.metering.lock_amount;
    match sessions::extend_or_less(&live.app, session, amount).await {
        Ok(session) => Some(session.held),
        // Somebody else was faster with the money, or the session has just moved or ended.
        Err(
            Error::InsufficientFunds { .. }
            | Error::OutOfRange(_)
            | Error::Fenced
            | Error::SessionEnded,
        ) => None,
        Err(error) => Err(error).or_log("growing a hold"),
    }
}

/// The player asked for more.
pub(super) async fn extend(live: Live, session: Arc<LiveSession>, amount: Amount) {
    let (student, id) = (session.student_id, session.id);
    match sessions::extend(&live.app, student, id, amount).await {
        Ok(row) => session.grown(&live, Some(row.held)),
        Err(error) => session.complain(&live, &error),
    }
}

impl LiveSession {
    /// Tells the player how long its money lasts, if that is not long.
    fn warn(&self, live: &Live, room: Money) {
        let state = self.state();
        let price = state.session.terms.price_per_minute;
        let remaining = state.meter.read(&live.rules, live.moment()).remaining;
        let Some(remaining) = remaining else { return };
        let lasts = remaining + meter::affordable(price, room);
        if let Some(socket) = &state.socket
            && LOW_BALANCE.iter().any(|mark| lasts <= *mark)
        {
            live.send(socket, &Outgoing::LowBalance { remaining_ms: whole_ms(lasts) });
        }
    }

    fn complain(&self, live: &Live, error: &Error) {
        if let Some(socket) = &self.state().socket {
            let (code, detail) = super::refusal::words(error);
            live.send(socket, &Outgoing::Error { code, detail, terminal: false });
        }
    }
}
