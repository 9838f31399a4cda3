//! The end of a session: whatever the reason, one settlement, and a receipt.
//!
//! Metering stops at once; settling takes a commit, or longer if the database is away. The session
//! stays in the registry meanwhile, so that nobody begins it anew.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Live,
    close::Close,
    message::Outgoing,
    session::{LiveSession, Stage, State, Total},
    socket::Socket,
    watching,
};
use crate::{
    bus::{Notice, To},
    db,
    domain::session::{EndReason, Session},
    error::{Error, OrLog, Result},
    id::UserId,
    service::{
        receipts,
        sessions::{self, End},
    },
};

/// How many sessions are being settled at once: enough to fill the writer's batches.
pub(super) const AT_ONCE: usize = 2_048;

/// The first and the longest pause between two attempts to settle.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Ends the charge now, and settles as soon as the database takes it.
pub(super) fn begin(
    live: &Live,
    session: &Arc<LiveSession>,
    state: &mut State,
    reason: EndReason,
    actor: Option<UserId>,
) {
    let total = state.total(live);
    state.stage = Stage::Ending;
    let (live, session) = (live.clone(), Arc::clone(session));
    live.clone().spawn(async move {
        let _permit = live.ends.acquire().await;
        // In a box, so that those who wait for their turn are small.
        Box::pin(finish(live.clone(), session, total, (reason, actor))).await;
    });
}

async fn finish(
    live: Live,
    session: Arc<LiveSession>,
    total: Total,
    why: (EndReason, Option<UserId>),
) {
    // First, so that the receipt has it.
    watching::save(&live, &session).await;
    let outcome = settle(&live, total, why).await;
    // And now, if the database was away then.
    watching::save(&live, &session).await;
    let (socket, answers) = {
        let mut state = session.state();
        state.stage = Stage::Gone;
        (state.socket.take(), std::mem::take(&mut state.answers))
    };
    live.registry.remove(&session);
    for answer in answers {
        live.app.bus.publish(To::Node(answer.to), Notice::Done { request: answer.request });
    }
    let Some(socket) = socket else { return };
    match outcome {
        Outcome::Settled(row) => {
            send_receipt(&live, &socket, &row).await;
            socket.close(Close::Ended);
        }
        Outcome::Elsewhere => live.supersede(&socket),
        Outcome::Stopping => socket.close(Close::Restart),
    }
}

/// What came of an attempt to settle.
enum Outcome {
    /// It is settled, by this call or by another.
    Settled(Box<Session>),
    /// It is another node's by now.
    Elsewhere,
    /// This node stops before the database could be reached. Whoever takes the session over will
    /// settle it.
    Stopping,
}

async fn settle(live: &Live, total: Total, why: (EndReason, Option<UserId>)) -> Outcome {
    let Total { mut session, watched, stretches } = total;
    let (reason, actor) = why;
    let mut pause = PAUSE;
    loop {
        let end = End { watched, stretches: stretches.clone(), reason, actor };
        let now = live.app.clock.now();
        match sessions::settle(&live.app, session.clone(), end, now).await {
            Ok(settled) => return Outcome::Settled(Box::new(settled.session)),
            // Claimed again on this very node, a moment ago; or taken over.
            Err(Error::Fenced) => match own(live, &session, watched).await {
                Ok(Some(row)) => session = row,
                Ok(None) => return Outcome::Elsewhere,
                Err(error) => {
                    Err::<(), _>(error).or_log("looking whose a session is");
                }
            },
            Err(error) => {
                Err::<(), _>(error).or_log("settling a session");
            }
        }
        if timeout(pause, live.app.stop.cancelled()).await.is_ok() {
            return Outcome::Stopping;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The row of a session, if it has ended, or is still this node's: one that knows of more than what
/// was `watched` here was another's meanwhile.
async fn own(live: &Live, session: &Session, watched: Duration) -> Result<Option<Session>> {
    let row = db::sessions::find(&mut live.app.db.read().await?, session.id).await?;
    let is_ours = |row: &Session| row.node_id == Some(live.app.node_id) && row.watched <= watched;
    Ok(row.filter(|row| row.ending.is_some() || is_ours(row)))
}

/// Sends the receipt of an ended session: the last message.
pub(super) async fn send_receipt(live: &Live, socket: &Arc<Socket>, session: &Session) {
    let receipt = receipts::of(&live.app, session).await.or_log("writing a receipt");
    match receipt.as_ref().map(Outgoing::receipt) {
        Some(Ok(message)) => live.send(socket, &message),
        Some(Err(error)) => tracing::error!(%error, "a receipt is no JSON object"),
        None => {}
    }
}
