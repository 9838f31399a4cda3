//! Starting a session: once for each request, however often it is sent.

use std::time::Duration;

use serde::Deserialize;
use tracing::info;

use crate::{
    app::App,
    bus::Heard,
    db,
    domain::{
        ledger::{Done, Once, Operation, Start},
        session::{Session, Terms},
        user::{Role, User},
    },
    error::{Error, Result},
    id::{CourseId, LoginId, SessionId, UserId},
    money::{Amount, Money},
    service::idempotency,
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
    /// The sign-in it is asked with.
    pub login_id: Option<LoginId>,
}

/// What a request with a key came to.
#[derive(Clone, Debug)]
pub struct Started {
    /// As it is now.
    pub session: Session,
    /// Whether an earlier request with the same key had started it.
    pub is_replayed: bool,
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
    open(app, student, request, None, now).await
}

/// The same, at most once for each key, if there is one: sent again, it answers with the session it
/// had opened.
///
/// The key is written in the transaction that opens the session, so there is never one without
/// the other. Should two come at once, the database lets one through, and the other is told that
/// the student has a session open: if it is the one of this key, that is the answer.
pub async fn start_once(
    app: &App,
    student: &User,
    request: &StartRequest,
    once: Option<Once>,
    now: Timestamp,
) -> Result<Started> {
    let Some(once) = once else {
        let session = open(app, student, request, None, now).await?;
        return Ok(Started { session, is_replayed: false });
    };
    let replayed = |session| Started { session, is_replayed: true };
    if let Some(session) = started_before(app, student.id, &once, now).await? {
        return Ok(replayed(session));
    }
    match open(app, student, request, Some(once.clone()), now).await {
        Ok(session) => Ok(Started { session, is_replayed: false }),
        Err(error @ (Error::SessionActive(_) | Error::Busy)) => {
            let session = started_before(app, student.id, &once, now).await?;
            session.map(replayed).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The session that was started by the same request before.
async fn started_before(
    app: &App,
    student: UserId,
    once: &Once,
    now: Timestamp,
) -> Result<Option<Session>> {
    #[derive(Deserialize)]
    struct Kept {
        session_id: SessionId,
    }
    let Some(body) = idempotency::find(app, student, once, now).await? else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&body)
        .map_err(|error| Error::Internal(format!("a key was kept without its session: {error}")))?;
    let session = db::sessions::find(&mut app.db.read().await?, kept.session_id).await?;
    session.map(Some).ok_or_else(|| Error::Internal(format!("no session {}", kept.session_id)))
}

async fn open(
    app: &App,
    student: &User,
    request: &StartRequest,
    once: Option<Once>,
    now: Timestamp,
) -> Result<Session> {
    if student.role != Role::Student {
        return Err(Error::Forbidden("only students start sessions"));
    }
    let session = draft(app, student.id, request, now).await?;
    let min_watch = app.config.metering.min_session();
    ensure_enough(request, session.terms.least_hold(min_watch))?;
    // A dear course holds more than usual: enough for the shortest session.
    let usual = || app.config.metering.lock_amount.max(session.terms.least_hold(min_watch));
    let lock_amount = request.lock_amount.map_or_else(usual, Amount::money);
    let start = Start { session, lock_amount, min_watch, once };
    match app.writer.submit(Operation::Start(start)).await {
        Ok(Done::Started(session)) => {
            info!(
                session.id = %session.id, student.id = %student.id, held = %session.held,
                "opened session {}", session.id
            );
            app.follows.note(&session);
            app.bus.tell_here(Heard::Started(Box::new(session.clone())));
            Ok(session)
        }
        Ok(other) => Err(Error::Internal(format!("a start came to {other:?}"))),
        // Another node, or a wallet in another currency, was faster: the index said so. Or it was
        // the same request; whoever sent it with a key will look for that.
        Err(error) if error.is_unique_violation() => {
            Err(session_in_the_way(app, student.id).await?)
        }
        Err(error) => Err(error),
    }
}

/// Refuses what could not buy the shortest session, whatever is in the wallet.
fn ensure_enough(request: &StartRequest, least: Money) -> Result<()> {
    for (param, amount) in
        [("lock_amount", request.lock_amount), ("spending_cap", request.spending_cap)]
    {
        if amount.is_some_and(|amount| amount.money() < least) {
            let problem = format!("must be at least {least}, which buys the shortest session");
            return Err(Error::invalid(param, problem));
        }
    }
    Ok(())
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
    let course = course.filter(|course| course.is_shown_to(None));
    let course = course.ok_or(Error::NotFound("course"))?;
    if !course.split.is_possible() {
        return Err(Error::Internal(format!("course {} shares out more than all", course.id)));
    }
    // Asked first, and the other after it: a free session that ends in between is seen by one of
    // them. Otherwise whoever starts while ending would never pay.
    if let Some(active) = db::sessions::find_active(&mut tx, student_id).await? {
        return Err(Error::SessionActive(active.id));
    }
    let since = now - SHORT_SESSION_FREE_AGAIN;
    let was_free = db::sessions::was_free_since(&mut tx, student_id, course.id, since).await?;
    let free_below = if was_free { Duration::ZERO } else { app.config.metering.min_session() };
    let terms = Terms {
        price_per_minute: course.price_per_minute,
        currency: course.currency,
        split: course.split,
        free_below,
        spending_cap: request.spending_cap.map(Amount::money),
        auto_extend: request.auto_extend,
    };
    let mut session = Session::open(student_id, (course.id, course.teacher_id), terms, now);
    // Until the player comes, and perhaps to another node, it is this one that sees to it.
    session.node_id = Some(app.node_id);
    session.login_id = request.login_id;
    Ok(session)
}

async fn session_in_the_way(app: &App, student: UserId) -> Result<Error> {
    let active = db::sessions::find_active(&mut app.db.read().await?, student).await?;
    // It may have ended in this very moment; then the student just tries again.
    Ok(active.map_or(Error::Busy, |session| Error::SessionActive(session.id)))
}
