//! What this node hears on the bus. Hints: whatever matters is asked of the database.

use std::sync::Arc;

use super::{
    Live, ending, keep,
    session::{LiveSession, Stage},
    watching,
};
use crate::{
    bus::{Answer, Heard, Inbox, Notice, To},
    domain::{claim::Park, session::EndReason},
    error::{OrLog, Result},
    id::{SessionId, UserId},
    service::identity,
};

/// Listens until the node has stopped.
pub(super) async fn run(live: Live, mut inbox: Inbox) {
    let stopped = live.app.finishing();
    loop {
        tokio::select! {
            heard = inbox.recv() => match heard {
                Some(heard) => act(&live, heard),
                None => return,
            },
            () = stopped.cancelled() => return,
        }
    }
}

fn act(live: &Live, heard: Heard) {
    match heard {
        Heard::Started(session) => {
            let (now, moment) = (live.app.clock.now(), live.moment());
            live.take_in(LiveSession::opening(*session, now, moment));
        }
        Heard::Gap => {
            live.app.views.call_all();
            live.spawn(keep::reconcile(live.clone()));
        }
        Heard::Notice(notice) => obey(live, notice),
    }
}

fn obey(live: &Live, notice: Notice) {
    match notice {
        Notice::End { session_id, reason, actor, answer } => {
            end(live, session_id, (reason, actor), answer);
        }
        Notice::Release { session_id, answer } => {
            live.spawn(release(live.clone(), session_id, answer));
        }
        Notice::Look { session_id, answer } => look(live, session_id, answer),
        Notice::Seen { request, glance } => live.app.errands.done(request, Some(glance)),
        Notice::Done { request } => live.app.errands.done(request, None),
        Notice::Credited { user_id } => {
            if let Some(session) = live.registry.find_of(user_id) {
                session.credited(live);
            }
        }
        Notice::SignedOut { user_id } => {
            live.app.views.call(user_id);
            if let Some(session) = live.registry.find_of(user_id) {
                live.spawn(sign_out(live.clone(), session));
            }
        }
        Notice::Left { node_id } => {
            live.app.audience.leave(node_id);
            live.spawn(keep::adopt(live.clone()));
        }
        Notice::Audience { node_id, part } => live.app.audience.hear(&live.app, node_id, part),
    }
}

/// Tells somebody how a session is.
fn look(live: &Live, id: SessionId, answer: Answer) {
    let request = answer.request;
    let glance = live.registry.find(id).and_then(|session| session.glance(live));
    let told = glance.map_or(Notice::Done { request }, |glance| Notice::Seen { request, glance });
    live.app.bus.publish(To::Node(answer.to), told);
}

/// Settles a session for somebody who waits for it.
fn end(live: &Live, id: SessionId, why: (EndReason, Option<UserId>), answer: Answer) {
    if let Some(session) = live.registry.find(id) {
        let mut state = session.state();
        match state.stage {
            Stage::Open => {
                state.answers.push(answer);
                ending::begin(live, &session, &mut state, why.0, why.1);
                return;
            }
            Stage::Ending => {
                state.answers.push(answer);
                return;
            }
            Stage::Gone => {}
        }
    }
    // Not here: the asker sees for itself what has become of it.
    live.app.bus.publish(To::Node(answer.to), Notice::Done { request: answer.request });
}

/// Writes a session down and lets go of it, for a node where its player has come in.
async fn release(live: Live, id: SessionId, answer: Answer) {
    if let Some(session) = live.registry.find(id)
        && let Some((total, socket)) = session.stop(&live)
    {
        watching::save(&live, &session).await;
        // To that node, and not to anybody: whoever else took it would raise the fence, and the
        // player's ticket would be worthless.
        let park = Park { heir: Some(answer.to), ..total.into() };
        live.app.claims.park(park).await.or_log("letting go of a session");
        // Not before: whoever comes to this node meanwhile must find what was watched.
        live.registry.remove(&session);
        if let Some(socket) = socket {
            live.supersede(&socket);
        }
    }
    live.app.bus.publish(To::Node(answer.to), Notice::Done { request: answer.request });
}

/// Ends a session whose player's sign-in has ended; the database says whether it has.
async fn sign_out(live: Live, session: Arc<LiveSession>) {
    if is_signed_out(&live, &session).await.or_log("looking for a sign-in") == Some(true) {
        end_signed_out(&live, &session);
    }
}

async fn is_signed_out(live: &Live, session: &Arc<LiveSession>) -> Result<bool> {
    let Some(login_id) = session.state().session.login_id else { return Ok(false) };
    let (student, now) = (session.student_id, live.app.clock.now());
    let user = identity::find_signed_in(&live.app, student, login_id, now).await?;
    Ok(user.is_none())
}

pub(super) fn end_signed_out(live: &Live, session: &Arc<LiveSession>) {
    let mut state = session.state();
    if state.stage == Stage::Open {
        ending::begin(live, session, &mut state, EndReason::LoggedOut, None);
    }
}
