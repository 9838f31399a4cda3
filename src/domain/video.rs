//! The parts of a course, and how much of them was watched.

use crate::{
    id::{CourseId, SessionId, VideoId},
    time::Timestamp,
};

/// One part of a course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    pub id: VideoId,
    pub course_id: CourseId,
    pub title: String,
    pub duration_ms: u64,
    /// Among the videos of the course, from 0.
    pub position: u32,
    pub created_at: Timestamp,
}

/// How far a session is with a video, all in all, as the node knows that meters it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoProgress {
    pub session_id: SessionId,
    /// The fence the node has the session under. What comes under an older one is not written.
    pub fence: i64,
    pub video_id: VideoId,
    pub position_ms: u64,
    pub watched_ms: u64,
    /// One bit for each 64th of the video.
    pub coverage: u64,
    pub at: Timestamp,
}

/// A video of which something was watched, in one session or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedVideo {
    pub video_id: VideoId,
    pub title: String,
    pub duration_ms: u64,
    pub position_ms: u64,
    pub watched_ms: u64,
    pub coverage: u64,
}

impl WatchedVideo {
    /// The same video, watched again later.
    pub fn go_on(&mut self, later: &Self) {
        self.position_ms = later.position_ms;
        self.watched_ms += later.watched_ms;
        self.coverage |= later.coverage;
    }
}

impl VideoProgress {
    /// Both in one: the position of `later`, and all that was watched in either.
    #[must_use]
    pub fn merged(self, later: Self) -> Self {
        Self {
            watched_ms: self.watched_ms.max(later.watched_ms),
            coverage: self.coverage | later.coverage,
            ..later
        }
    }
}
