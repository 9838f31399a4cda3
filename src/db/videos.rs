//! The videos of a course.
//!
//! Positions tell videos of a course apart, also while they change and after a video is deleted: those
//! on show have 0 and up, without a gap; deleted ones are far behind.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;
use sqlx::FromRow;

use crate::{
    db::{
        Conn, Tx,
        portable::{Hex, Rows},
        video_files,
    },
    domain::{
        course::VIDEOS_MAX,
        media::{FileStatus, ListedVideo, VideoFile},
        meter,
        video::Video,
    },
    error::Result,
    id::{CourseId, VideoId},
    time::Timestamp,
};

/// Where the positions of deleted videos begin.
const DELETED_FROM: i64 = 1_000_000;

/// The most videos a session can be on: as many as a course has, and as many that were deleted under it.
const WATCHABLE_MAX: u32 = 2 * VIDEOS_MAX;

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
        "SELECT COALESCE(MAX(position) + 1, 0) FROM videos
          WHERE course_id = $1 AND deleted_at IS NULL",
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
          WHERE course_id = $1 AND deleted_at IS NULL ORDER BY position",
    )
    .bind(course)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Video::from).collect())
}

/// The same, and behind them those that were deleted so lately that a session may still be on them.
pub async fn list_watchable(tx: &mut Tx, course: CourseId, now: Timestamp) -> Result<Vec<Video>> {
    const SINCE: Duration = meter::AGE_MAX;
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, course_id, title, duration_ms, position, created_at FROM videos
          WHERE course_id = $1 AND (deleted_at IS NULL OR deleted_at > $2)
          ORDER BY position LIMIT $3",
    )
    .bind(course)
    .bind(now - SINCE)
    .bind(i64::from(WATCHABLE_MAX))
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Video::from).collect())
}

#[derive(FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    video: Row,
    is_preview: bool,
}

impl ListedRow {
    fn with(self, files: Vec<VideoFile>) -> ListedVideo {
        let (mut file, mut upload) = (None, None);
        for found in files {
            match found.status {
                FileStatus::Ready => file = Some(found),
                _ => upload = Some(found),
            }
        }
        ListedVideo { video: self.video.into(), is_preview: self.is_preview, file, upload }
    }
}

/// A video of `course`, with its files.
pub async fn find(tx: &mut Tx, course: CourseId, id: VideoId) -> Result<Option<ListedVideo>> {
    find_as_of(tx, course, id, Timestamp::END).await
}

/// The same, also if it was deleted after `then`.
pub async fn find_as_of(
    tx: &mut Tx,
    course: CourseId,
    id: VideoId,
    then: Timestamp,
) -> Result<Option<ListedVideo>> {
    let row: Option<ListedRow> = on!(tx, conn => sqlx::query_as(
        "SELECT id, course_id, title, duration_ms, position, created_at, is_preview FROM videos
          WHERE id = $1 AND course_id = $2 AND (deleted_at IS NULL OR deleted_at > $3)",
    )
    .bind(id)
    .bind(course)
    .bind(then)
    .fetch_optional(conn)
    .await)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(row.with(video_files::list_of_video(tx, id).await?)))
}

/// All videos of `course` with their files, in their order.
pub async fn list_with_files(tx: &mut Tx, course: CourseId) -> Result<Vec<ListedVideo>> {
    let rows: Vec<ListedRow> = on!(tx, conn => sqlx::query_as(
        "SELECT id, course_id, title, duration_ms, position, created_at, is_preview FROM videos
          WHERE course_id = $1 AND deleted_at IS NULL ORDER BY position",
    )
    .bind(course)
    .fetch_all(conn)
    .await)?;
    let mut files: HashMap<VideoId, Vec<VideoFile>> = HashMap::new();
    for file in video_files::list_of_course(tx, course).await? {
        files.entry(file.video_id).or_default().push(file);
    }
    let with_files = |row: ListedRow| {
        let files = files.remove(&row.video.id).unwrap_or_default();
        row.with(files)
    };
    Ok(rows.into_iter().map(with_files).collect())
}

/// Writes down what a teacher may change of a video.
pub async fn update(tx: &mut Tx, listed: &ListedVideo) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE videos SET title = $2, duration_ms = $3, is_preview = $4 WHERE id = $1",
    )
    .bind(listed.video.id)
    .bind(&listed.video.title)
    .bind(stored(listed.video.duration_ms))
    .bind(listed.is_preview)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

#[derive(Serialize)]
struct PlaceRow {
    id: Hex,
    position: i64,
}

macro_rules! arrange {
    ($db:ident) => {
        bulk!(
            $db "1",
            [id uuid, position bigint],
            "UPDATE videos SET position = r.position FROM",
            "WHERE videos.id = r.id"
        )
    };
}

/// Gives the videos of `course` the order of `ids`, which are all of them. The course is locked.
pub async fn arrange(tx: &mut Tx, course: CourseId, ids: &[VideoId]) -> Result<()> {
    // Out of the way first: no position may be there twice, not even in the middle of a statement.
    on!(tx, conn => sqlx::query(
        "UPDATE videos SET position = position + $2 WHERE course_id = $1 AND deleted_at IS NULL",
    )
    .bind(course)
    .bind(DELETED_FROM / 2)
    .execute(conn)
    .await
    .map(drop))?;
    let rows =
        Rows::of((0..).zip(ids).map(|(position, id)| PlaceRow { id: Hex(id.uuid()), position }));
    match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query(arrange!(sqlite)).bind(rows.json).execute(conn).await?;
        }
        Conn::Postgres(conn) => {
            sqlx::query(arrange!(postgres)).bind(rows.json).execute(conn).await?;
        }
    }
    Ok(())
}

/// Takes a video of `course` off show. The row stays, for what was watched of it; its place is free.
pub async fn delete(tx: &mut Tx, course: CourseId, id: VideoId, now: Timestamp) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE videos SET deleted_at = $3, position =
           (SELECT COALESCE(MAX(d.position) + 1, $4) FROM videos d
             WHERE d.course_id = $2 AND d.deleted_at IS NOT NULL)
          WHERE id = $1 AND course_id = $2",
    )
    .bind(id)
    .bind(course)
    .bind(now)
    .bind(DELETED_FROM)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}
