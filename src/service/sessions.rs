//! Sessions and their money: open with a hold, grow the hold, settle.
//!
//! Free or not, on this node or another: there is one `settle`, and it pays out once, whoever
//! calls it and however often.

use std::time::Duration;

use tracing::info;

use crate::{
    app::App,
    db,
    domain::{
        ledger::{Done, Extend, Operation, Settle, Settled, Start},
        session::{EndReason, Session, Terms},
        stretch::Stretch,
        user::{Role, User},
    },
    error::{Error, Result},
    id::{CourseId, SessionId, UserId},
    money::{Amount, Money},
    time::Timestamp,
};

/// For so long after a session that was free because it was short, the next is not.
const SHORT_SESSION_FREE_AGAIN: Duration = Duration::from_hours(24);

/// What a student asks for.
#[derive(Clone, Debug)]
pub struct StartRequest {
    pub course_id: CourseId,
    /// What to hold instead of the configured amount.
    pub lock_amount: Option<Amount>,
    pub spending_cap: Option<Amount>,
    pub auto_extend: bool,
}

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

/// Opens a session for `student` and holds funds for it: both or neither.
///
/// Nothing is charged for it before there is proof of watching.
pub async fn start(
    app: &App,
    student: &User,
    request: &StartRequest,
    now: Timestamp,
) -> Result<Session> {
    if student.role != Role::Student {
        return Err(Error::Forbidden("only students start sessions"));
    }
    let session = draft(app, student.id, request, now).await?;
    let lock_amount = request.lock_amount.map_or(app.config.metering.lock_amount, Amount::money);
    let min_watch = app.config.metering.min_session();
    let start = Start { session, lock_amount, min_watch };
    match app.writer.submit(Operation::Start(start)).await {
        Ok(Done::Started(session)) => {
            info!(
                session.id = %session.id, student.id = %student.id, held = %session.held,
                "opened session {}", session.id
            );
            Ok(session)
        }
        Ok(other) => Err(Error::Internal(format!("a start came to {other:?}"))),
        // Another node, or a wallet in another currency, was faster: the index said so.
        Err(error) if error.is_unique_violation() => {
            Err(session_in_the_way(app, student.id).await?)
        }
        Err(error) => Err(error),
    }
}

/// The session as it is to be, on the terms of today.
async fn draft(
    app: &App,
    student_id: UserId,
    request: &StartRequest,
    now: Timestamp,
) -> Result<Session> {
    let mut tx = app.db.read().await?;
    let course = db::courses::find(&mut tx, request.course_id).await?;
    let course = course.ok_or(Error::NotFound("course"))?;
    if !course.split.is_possible() {
        return Err(Error::Internal(format!("course {} shares out more than all", course.id)));
    }
    let since = now - SHORT_SESSION_FREE_AGAIN;
    let was_free = db::sessions::was_free_since(&mut tx, student_id, course.id, since).await?;
    let free_below = if was_free { Duration::ZERO } else { app.config.metering.min_session() };
    Ok(Session::open(
        student_id,
        (course.id, course.teacher_id),
        Terms {
            price_per_minute: course.price_per_minute,
            currency: course.currency,
            split: course.split,
            free_below,
            spending_cap: request.spending_cap.map(Amount::money),
            auto_extend: request.auto_extend,
        },
        now,
    ))
}

async fn session_in_the_way(app: &App, student: UserId) -> Result<Error> {
    let active = db::sessions::find_active(&mut app.db.read().await?, student).await?;
    // It may have ended in this very moment; then the student just tries again.
    Ok(active.map_or(Error::Busy, |session| Error::SessionActive(session.id)))
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
                let Session { cost, status, .. } = settled.session;
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
