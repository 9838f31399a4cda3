//! Who may watch a video, and for how long a link to it is good.
//!
//! A student's link names the session it was given in, and Murph sends nothing by it once that has ended:
//! what is on its way then breaks off within seconds. It sends while the session has not begun to play:
//! players load before they play. So what was downloaded while a session was open, watched or not, cannot
//! be taken back; and a link to S3 or Mux, which know nothing of sessions, is good until it expires.

use std::time::Duration;

use super::Which;
use crate::{
    app::App,
    db,
    domain::{
        media::{ContentType, PLAYBACK_MIN, VideoFile, playback_lasts},
        meter,
        session::Session,
        user::Role,
    },
    error::{Error, Result},
    id::SessionId,
    money::Money,
    service::{identity::Caller, nodes},
    storage::{self, Object},
    time::Timestamp,
};

/// The most that was watched in a session and is not written down yet: a few ticks, and a slow database.
const UNWRITTEN_MAX: Duration = Duration::from_mins(1);

/// A link by which a file is watched.
#[derive(Clone, Debug)]
pub struct Playback {
    pub url: String,
    pub expires_at: Timestamp,
    pub kind: Kind,
}

/// What a link leads to.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The file as it was uploaded.
    File { content_type: ContentType, size_bytes: u64 },
    /// What Mux made of it, and a picture of that.
    Stream { thumbnail_url: String },
}

/// Lets a video be watched by its teacher; by everybody, if it is a preview; and by a student whose
/// session on its course is open, for no longer than the money that is held for it.
pub async fn playback(
    app: &App,
    caller: Option<&Caller>,
    which: Which,
    now: Timestamp,
) -> Result<Playback> {
    let user = caller.map(|caller| &caller.user);
    let mut tx = app.db.read().await?;
    let session = match user.filter(|user| user.role == Role::Student) {
        Some(student) => db::sessions::find_active(&mut tx, student.id).await?,
        None => None,
    };
    let session = session.filter(|session| session.course_id == which.course_id);
    let course = db::courses::find(&mut tx, which.course_id).await?;
    let course = course.ok_or(Error::NotFound("course"))?;
    // Of a course that was taken away, a session that is open goes on.
    if session.is_none() && !course.is_shown_to(user.map(|user| (user.id, user.role))) {
        return Err(Error::NotFound("course"));
    }
    // Nor is a video lost to a session that was on it when it was deleted: it is charged for, too.
    let since = session.as_ref().map_or(Timestamp::END, |session| session.started_at);
    let Which { course_id, video_id } = which;
    let listed = db::videos::find_as_of(&mut tx, course_id, video_id, since).await?;
    let listed = listed.ok_or(Error::NotFound("video"))?;
    drop(tx);
    let is_owner = user.is_some_and(|user| user.id == course.teacher_id);
    let most = app.config.storage.playback_url();
    let (lifetime, session) = match (session, user) {
        _ if is_owner || listed.is_preview => (most, None),
        (Some(session), _) => {
            let left = unspent(app, &session, now).await?;
            let price = session.terms.price_per_minute;
            let lasts = playback_lasts(price, left, most);
            let lasts = lasts.ok_or_else(|| Error::InsufficientFunds {
                required: meter::cost(price, PLAYBACK_MIN, Money::from_micros(i64::MAX)),
                available: left,
            })?;
            (lasts, Some(session.id))
        }
        (None, Some(_)) => return Err(Error::Forbidden("start a session on this course first")),
        (None, None) => return Err(Error::Unauthenticated("only previews are for everybody")),
    };
    let file = listed.file.ok_or(Error::VideoNotReady)?;
    link(app, &file, session, lifetime, now)
}

fn link(
    app: &App,
    file: &VideoFile,
    session: Option<SessionId>,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Playback> {
    let expires_at = storage::end(lifetime, now);
    if let (Some(mux), Some(id)) = (&app.mux, file.playback_id()) {
        let url = mux.playback_url(id, expires_at)?;
        let kind = Kind::Stream { thumbnail_url: mux.thumbnail_url(id, expires_at)? };
        return Ok(Playback { url, expires_at, kind });
    }
    let what = (Object::from(file), session);
    let url = app.storage.playback_url(&app.public_url(), what, lifetime, now);
    let VideoFile { content_type, size_bytes, .. } = *file;
    Ok(Playback { url, expires_at, kind: Kind::File { content_type, size_bytes } })
}

/// Refuses what a link was given for in a session that has ended since.
pub async fn ensure_active(app: &App, session: SessionId) -> Result<()> {
    if db::sessions::is_active(&mut app.db.read().await?, session).await? {
        return Ok(());
    }
    Err(Error::Forbidden("the link is of a session that has ended"))
}

/// What is left of the hold of an open session. If its meter does not say, as if it had been watched ever
/// since that was written down last.
async fn unspent(app: &App, session: &Session, now: Timestamp) -> Result<Money> {
    if let Some(glance) = app.errands.look(app, session).await {
        return Ok(glance.held.checked_sub(glance.cost).unwrap_or_default());
    }
    let written = nodes::last_known(app, session).await?.watched;
    let watched = (written + UNWRITTEN_MAX).min(now.since(session.started_at));
    Ok(session.held - meter::cost(session.terms.price_per_minute, watched, session.held))
}
