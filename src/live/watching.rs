//! What of which video a player has watched, gathered here and written down from time to time.

use std::sync::{Arc, Weak};

use super::{Live, session::LiveSession};
use crate::{
    db,
    domain::{
        meter::{Passage, Position},
        progress::Progress,
        video::{Video, VideoProgress, WatchedVideo},
    },
    error::{OrLog, Result},
    id::{CourseId, VideoId},
    time::Timestamp,
};

/// The videos of a session's course, and what was watched of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Watching {
    videos: Arc<[Video]>,
    rows: Vec<Progress>,
    /// Since it was written down last.
    is_changed: bool,
    is_known: bool,
}

impl Watching {
    /// With what was watched before, on another node or another connection.
    pub(super) fn new(videos: Arc<[Video]>, known: &[WatchedVideo]) -> Self {
        let index = |id: VideoId| videos.iter().position(|video| video.id == id);
        let rows = known
            .iter()
            .filter_map(|row| {
                let video = u16::try_from(index(row.video_id)?).ok()?;
                Some(Progress {
                    video,
                    position_ms: row.position_ms,
                    watched_ms: row.watched_ms,
                    coverage: row.coverage,
                })
            })
            .collect();
        Self { videos, rows, is_changed: false, is_known: true }
    }

    /// Whether the course's videos were looked up.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// A position as the meter wants it. `None` if the course has no such video.
    pub(super) fn position(&self, video_id: Option<VideoId>, at_ms: u64) -> Option<Position> {
        let Some(id) = video_id else {
            return Some(Position { video: Position::NO_VIDEO, at_ms, length_ms: None });
        };
        let index = self.videos.iter().position(|video| video.id == id)?;
        let length_ms = Some(self.videos[index].duration_ms);
        Some(Position { video: u16::try_from(index).ok()?, at_ms, length_ms })
    }

    /// The player went through a part of a video.
    pub(super) fn passed(&mut self, passage: Passage) {
        let Passage { video, from_ms, to_ms, watched_ms } = passage;
        let Some(length_ms) = self.videos.get(usize::from(video)).map(|video| video.duration_ms)
        else {
            return;
        };
        let known = self.rows.iter().position(|row| row.video == video);
        let index = known.unwrap_or_else(|| {
            // One at a time: most watch only one, and a million are in memory at once.
            self.rows.reserve_exact(1);
            self.rows.push(Progress::new(video));
            self.rows.len() - 1
        });
        self.rows[index].advance(from_ms, to_ms, Some(length_ms), watched_ms);
        self.is_changed = true;
    }
}

impl LiveSession {
    /// What has to be written down about the videos, if anything changed since last time.
    pub(super) fn take_progress(&self, now: Timestamp) -> Vec<VideoProgress> {
        let mut state = self.state();
        if !std::mem::take(&mut state.watching.is_changed) {
            return Vec::new();
        }
        let (session_id, fence) = (state.session.id, state.session.fence);
        let Watching { videos, rows, .. } = &state.watching;
        let row = |progress: &Progress| VideoProgress {
            session_id,
            fence,
            video_id: videos[usize::from(progress.video)].id,
            position_ms: progress.position_ms,
            watched_ms: progress.watched_ms,
            coverage: progress.coverage,
            at: now,
        };
        rows.iter().map(row).collect()
    }
}

/// Writes one session's progress down.
pub(super) async fn save(live: &Live, session: &LiveSession) {
    let rows = session.take_progress(live.app.clock.now());
    if !rows.is_empty() {
        let recorded = live.app.claims.record(rows).await.or_log("writing video progress");
        // What was not written is still to be written.
        session.state().watching.is_changed |= recorded.is_none();
    }
}

/// Writes progress down, if there is any.
pub(super) async fn write(live: &Live, rows: Vec<VideoProgress>) {
    if !rows.is_empty() {
        live.app.claims.record(rows).await.or_log("writing video progress");
    }
}

/// The videos of a course, in one list for all of its sessions on this node.
pub(super) async fn videos(live: &Live, course: CourseId) -> Result<Arc<[Video]>> {
    let now = live.app.clock.now();
    let videos = db::videos::list_watchable(&mut live.app.db.read().await?, course, now).await?;
    let mut known = live.videos.lock().expect("nobody panics while holding it");
    if let Some(shared) = known.get(&course).and_then(Weak::upgrade)
        && *shared == *videos
    {
        return Ok(shared);
    }
    known.retain(|_, videos| videos.strong_count() > 0);
    let videos: Arc<[Video]> = videos.into();
    known.insert(course, Arc::downgrade(&videos));
    Ok(videos)
}
