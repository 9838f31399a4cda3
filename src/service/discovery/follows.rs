//! Whether suggestions are followed: of every session that starts, whether its course was suggested to its
//! student lately, and by whom.
//!
//! It is looked up when the session is there already, one after the other on one connection: nobody waits
//! for it, and however many start at once, they do not ask the database all at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    db::{self, Db},
    domain::{discovery::Provider, session::Session},
    error::{OrLog, Result},
    id::{CourseId, UserId},
    telemetry::Metrics,
    time::Timestamp,
};

/// For so long after a suggestion a session is taken to follow it.
const FOLLOWED_WITHIN: Duration = Duration::from_hours(7 * 24);

/// So many sessions may wait for being looked up. More are not counted.
const WAITING_MAX: usize = 4_096;

/// Where sessions are handed in that have started. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Follows {
    queue: mpsc::Sender<Start>,
}

#[derive(Debug)]
struct Start {
    student: UserId,
    course: CourseId,
    at: Timestamp,
}

/// Looks them up.
#[derive(Debug)]
pub struct Follower {
    db: Db,
    metrics: Metrics,
    queue: mpsc::Receiver<Start>,
}

impl Follows {
    #[must_use]
    pub fn new(db: &Db, metrics: &Metrics) -> (Self, Follower) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Self { queue: sender }, Follower { db: db.clone(), metrics: metrics.clone(), queue })
    }

    /// Has a session looked up that has just started.
    pub fn note(&self, session: &Session) {
        let Session { student_id: student, course_id: course, started_at: at, .. } = *session;
        // Too many wait, or the server stops: then it is not counted.
        let _ = self.queue.try_send(Start { student, course, at });
    }
}

impl Follower {
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let start = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                start = self.queue.recv() => start,
            };
            let Some(start) = start else { return };
            let suggested_by = self.suggested_by(&start).await;
            if let Some(provider) = suggested_by.or_log("looking for a suggestion").flatten() {
                self.metrics.discovery().record_followed(provider.as_str());
            }
        }
    }

    async fn suggested_by(&self, start: &Start) -> Result<Option<Provider>> {
        let Start { student, course, at } = *start;
        let mut tx = self.db.read().await?;
        db::chats::find_suggestion(&mut tx, student, course, (at - FOLLOWED_WITHIN, at)).await
    }
}
