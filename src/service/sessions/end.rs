//! Ending a session on somebody's word, wherever it is metered.

use tracing::warn;

use crate::{
    app::App,
    bus::Notice,
    db,
    domain::{
        ledger::Settled,
        session::{EndReason, Session, SessionStatus},
        stretch::{self, StretchKind},
        user::Role,
    },
    error::{Error, Result},
    id::{NodeId, SessionId},
    service::{
        identity::Caller,
        nodes,
        sessions::{End, settle},
    },
    time::Timestamp,
};

/// How often it is tried again because the session has changed hands meanwhile.
const ATTEMPTS_MAX: usize = 4;

/// Ends a session for its student, or for an admin. Ended already, it is as it was.
///
/// The node that meters it knows to the millisecond what was watched, so that one is asked. If it
/// does not answer in time, the session is settled here with what was last heard of it: at most
/// one tick less, in the student's favour. Should both happen at once, the database lets one
/// through; the answer is how the session ended, whoever ended it.
pub async fn end(app: &App, caller: &Caller, id: SessionId, now: Timestamp) -> Result<Settled> {
    let reason = match caller.user.role {
        Role::Student => EndReason::EndedByStudent,
        Role::Admin => EndReason::EndedByAdmin,
        Role::Teacher => return Err(Error::Forbidden("only its student or an admin ends it")),
    };
    for _ in 0..ATTEMPTS_MAX {
        let session = find_to_end(app, caller, id).await?;
        if session.status != SessionStatus::Active {
            return Ok(Settled { session, by_this_call: false });
        }
        let session = match session.node_id {
            // Even without an answer it may be done.
            Some(node) => {
                ask_for_end(app, node, &session, (reason, caller)).await;
                find_to_end(app, caller, id).await?
            }
            None => session,
        };
        match end_here(app, caller, session, reason, now).await {
            // It is in other hands than when it was read: those are asked next.
            Err(Error::Fenced) => {}
            result => return result,
        }
    }
    Err(Error::Busy)
}

async fn find_to_end(app: &App, caller: &Caller, id: SessionId) -> Result<Session> {
    let session = db::sessions::find(&mut app.db.read().await?, id).await?;
    let is_admin = caller.user.role == Role::Admin;
    let session = session.filter(|session| is_admin || session.student_id == caller.user.id);
    session.ok_or(Error::NotFound("session"))
}

/// Has the node end the session that meters it, and waits until it has, or for too long.
async fn ask_for_end(
    app: &App,
    node: NodeId,
    session: &Session,
    (reason, caller): (EndReason, &Caller),
) {
    let (session_id, actor) = (session.id, Some(caller.user.id));
    let notice = |answer| Notice::End { session_id, reason, actor, answer };
    let patience = app.config.node.answer();
    if !app.errands.ask(app, node, notice, patience).await {
        warn!(session.id = %session_id, node.id = %node, "a node did not end a session in time");
    }
}

/// Settles without the meter. An ended session is answered with how it ended.
async fn end_here(
    app: &App,
    caller: &Caller,
    session: Session,
    reason: EndReason,
    now: Timestamp,
) -> Result<Settled> {
    if session.status != SessionStatus::Active {
        return Ok(Settled { session, by_this_call: false });
    }
    let known = nodes::last_known(app, &session).await?;
    // Whoever comes with a player raises the fence; before that, it was never there.
    let rest = match session.fence {
        1 => StretchKind::Opening,
        _ => StretchKind::NodeLost,
    };
    let age = now.since(session.started_at);
    let end = End {
        watched: known.watched,
        stretches: stretch::completed(&known.stretches, known.watched, age, rest),
        reason,
        actor: Some(caller.user.id),
    };
    settle(app, session, end, now).await
}
