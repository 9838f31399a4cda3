//! Sessions and their money: open with a hold, grow the hold, settle.
//!
//! Free or not, on this node or another: there is one `settle`, and it pays out once, whoever
//! calls it and however often.

mod end;
mod start;

use std::time::Duration;

use tracing::info;

pub use self::{
    end::end,
    start::{StartRequest, Started, start, start_once},
};
use crate::{
    app::App,
    db::{self, seen::Seen},
    domain::{
        ledger::{Done, Extend, Operation, Settle, Settled},
        session::{EndReason, Session},
        stretch::Stretch,
        user::{Role, User},
    },
    error::{Error, Result},
    id::{SessionId, UserId},
    money::{Amount, Money},
    time::Timestamp,
};

/// How a session is to end.
#[derive(Clone, Debug)]
pub struct End {
    pub watched: Duration,
    /// What that is made of, with what was not charged.
    pub stretches: Vec<Stretch>,
    pub reason: EndReason,
    /// Who asked for it; nobody if Murph saw by itself that it was over.
    pub actor: Option<UserId>,
}

/// Grows the hold of `student`'s open session by `amount`.
pub async fn extend(
    app: &App,
    student: UserId,
    session_id: SessionId,
    amount: Amount,
) -> Result<Session> {
    let session = find_own(app, student, session_id).await?;
    grow(app, session, amount.money(), false).await
}

/// Grows the hold by itself while the student watches: by `amount`, or by what there is.
pub async fn extend_or_less(app: &App, session: Session, amount: Money) -> Result<Session> {
    grow(app, session, amount, true).await
}

async fn grow(app: &App, session: Session, amount: Money, or_less: bool) -> Result<Session> {
    let id = session.id;
    let extend = Extend { session, amount, or_less };
    match app.writer.submit(Operation::Extend(extend)).await? {
        Done::Extended(session) => {
            info!(session.id = %id, held = %session.held, "extended session {id}");
            Ok(session)
        }
        other => Err(Error::Internal(format!("an extend came to {other:?}"))),
    }
}

/// Ends a session: charges what was watched, pays everybody their share, frees the rest.
///
/// `session` is what the caller last saw of it. One that has ended since is answered with how it
/// ended; one that has changed hands is refused.
pub async fn settle(app: &App, session: Session, end: End, now: Timestamp) -> Result<Settled> {
    let session_id = session.id;
    let End { watched, stretches, reason, actor } = end;
    let settle = Settle { session, watched, stretches, reason, actor, at: now };
    match app.writer.submit(Operation::Settle(settle)).await? {
        Done::Settled(settled) => {
            if settled.by_this_call {
                let Session { cost, status, watched, .. } = settled.session;
                app.metrics.record_settlement(status.as_str(), reason.as_str(), watched);
                info!(session.id = %session_id, %cost, %status, %reason, "settled session {session_id}");
            }
            Ok(settled)
        }
        other => Err(Error::Internal(format!("a settle came to {other:?}"))),
    }
}

/// The student's own session; anybody else's is not there.
pub async fn find_own(app: &App, student: UserId, id: SessionId) -> Result<Session> {
    let session = db::sessions::find(&mut app.db.read().await?, id).await?;
    session.filter(|session| session.student_id == student).ok_or(Error::NotFound("session"))
}

/// A session as its student, its teacher and admins may see it; for others it is not there.
pub async fn find_seen(app: &App, user: &User, id: SessionId) -> Result<Seen> {
    let seen = db::seen::find(&mut app.db.read().await?, id).await?;
    let seen = seen.filter(|Seen { session, .. }| {
        user.role == Role::Admin || [session.student_id, session.teacher_id].contains(&user.id)
    });
    seen.ok_or(Error::NotFound("session"))
}
