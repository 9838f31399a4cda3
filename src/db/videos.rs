//! The videos of a course.

use sqlx::FromRow;

use crate::{
    db::Tx,
    domain::video::Video,
    error::Result,
    id::{CourseId, VideoId},
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: VideoId,
    course_id: CourseId,
    title: String,
    duration_ms: i64,
    position: i64,
    created_at: Timestamp,
}

impl From<Row> for Video {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            course_id: row.course_id,
            title: row.title,
            duration_ms: count(row.duration_ms),
            position: u32::try_from(row.position).unwrap_or(u32::MAX),
            created_at: row.created_at,
        }
    }
}

/// A number as a row has it; a CHECK keeps it from being negative.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The same, the other way; what no column can hold is as much as one can.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Adds a video at the position it names, which must be free: see [`next_position`].
pub async fn insert(tx: &mut Tx, video: &Video) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO videos (id, course_id, title, duration_ms, position, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(video.id)
    .bind(video.course_id)
    .bind(&video.title)
    .bind(stored(video.duration_ms))
    .bind(i64::from(video.position))
    .bind(video.created_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// The position behind the last video of `course`: nobody else's until the transaction ends, if the
/// course is locked in it.
pub async fn next_position(tx: &mut Tx, course: CourseId) -> Result<u32> {
    let next: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT COALESCE(MAX(position) + 1, 0) FROM videos WHERE course_id = $1",
    )
    .bind(course)
    .fetch_one(conn)
    .await)?;
    Ok(u32::try_from(next).unwrap_or(u32::MAX))
}

/// All videos of `course`, in their order.
pub async fn list(tx: &mut Tx, course: CourseId) -> Result<Vec<Video>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, course_id, title, duration_ms, position, created_at FROM videos
          WHERE course_id = $1 ORDER BY position",
    )
    .bind(course)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Video::from).collect())
}

/// How much of a video was watched by everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Views {
    pub id: VideoId,
    pub title: String,
    pub sessions: u64,
    pub watched_ms: u64,
}

/// The videos of `course` that were watched, in their order.
pub async fn list_views(tx: &mut Tx, course: CourseId) -> Result<Vec<Views>> {
    let rows: Vec<(VideoId, String, i64, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT v.id, v.title, w.sessions, w.watched_ms
           FROM videos v JOIN video_views w ON w.video_id = v.id
          WHERE v.course_id = $1 ORDER BY v.position, v.id",
    )
    .bind(course)
    .fetch_all(conn)
    .await)?;
    let views = |(id, title, sessions, watched_ms)| Views {
        id,
        title,
        sessions: count(sessions),
        watched_ms: count(watched_ms),
    };
    Ok(rows.into_iter().map(views).collect())
}
