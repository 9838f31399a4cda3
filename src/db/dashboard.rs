//! What a dashboard shows of courses: each kind of thing in one question, for all of them together.

use sqlx::FromRow;

use crate::{
    db::{Tx, videos::count},
    domain::course::CourseStatus,
    error::Result,
    id::{CourseId, VideoId},
};

/// How much of a video was watched by everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSum {
    pub course_id: CourseId,
    pub video_id: VideoId,
    pub title: String,
    pub sessions: u64,
    pub watched_ms: u64,
}

/// What `courses` are called, and whether they are on offer.
pub async fn list_titles(
    tx: &mut Tx,
    courses: &[CourseId],
) -> Result<Vec<(CourseId, String, CourseStatus)>> {
    let ids = courses.iter().map(|course| course.uuid());
    Ok(among!(tx, ids, "SELECT id, title, status FROM courses WHERE id", "")?)
}

/// The videos of `courses` that were watched, those of each in their order.
pub async fn list_videos(tx: &mut Tx, courses: &[CourseId]) -> Result<Vec<VideoSum>> {
    #[derive(FromRow)]
    struct Row {
        course_id: CourseId,
        id: VideoId,
        title: String,
        sessions: i64,
        watched_ms: i64,
    }
    let ids = courses.iter().map(|course| course.uuid());
    let rows: Vec<Row> = among!(
        tx,
        ids,
        "SELECT v.course_id, v.id, v.title, w.sessions, w.watched_ms
           FROM videos v JOIN video_views w ON w.video_id = v.id WHERE v.course_id",
        "ORDER BY v.course_id, v.position, v.id"
    )?;
    let sum = |row: Row| VideoSum {
        course_id: row.course_id,
        video_id: row.id,
        title: row.title,
        sessions: count(row.sessions),
        watched_ms: count(row.watched_ms),
    };
    Ok(rows.into_iter().map(sum).collect())
}
