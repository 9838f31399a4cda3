//! The files of videos.

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    db::{
        Tx, mux,
        videos::{count, stored},
    },
    domain::media::{AtMux, ContentType, FileStatus, VideoFile},
    error::Result,
    id::{CourseId, FileId, UserId, VideoId},
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: FileId,
    video_id: VideoId,
    content_type: ContentType,
    size_bytes: i64,
    duration_ms: Option<i64>,
    status: FileStatus,
    failure: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
    mux_since: Option<Timestamp>,
    mux_asset_id: Option<String>,
    mux_playback_id: Option<String>,
}

impl From<Row> for VideoFile {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            video_id: row.video_id,
            content_type: row.content_type,
            size_bytes: count(row.size_bytes),
            duration_ms: row.duration_ms.map(count),
            status: row.status,
            failure: row.failure,
            created_at: row.created_at,
            expires_at: row.expires_at,
            mux: row.mux_since.map(|since| AtMux {
                since,
                asset_id: row.mux_asset_id,
                playback_id: row.mux_playback_id,
            }),
        }
    }
}

macro_rules! select_files {
    ($where:literal) => {
        concat!(
            "SELECT f.id, f.video_id, f.content_type, f.size_bytes, f.duration_ms, f.status, f.failure,
                    f.created_at, f.expires_at, f.mux_since, f.mux_asset_id, f.mux_playback_id
               FROM video_files f ",
            $where
        )
    };
}

/// Writes a new file down, of which Mux knows nothing. There must be no other upload of its video: see
/// [`discard_upload`].
pub async fn insert(tx: &mut Tx, file: &VideoFile) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO video_files (id, video_id, content_type, size_bytes, duration_ms, status, failure,
           created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(file.id)
    .bind(file.video_id)
    .bind(file.content_type)
    .bind(stored(file.size_bytes))
    .bind(file.duration_ms.map(stored))
    .bind(file.status)
    .bind(&file.failure)
    .bind(file.created_at)
    .bind(file.expires_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: FileId) -> Result<Option<VideoFile>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(select_files!("WHERE f.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await)?;
    Ok(row.map(VideoFile::from))
}

/// Whose file it is.
pub async fn find_teacher(tx: &mut Tx, id: FileId) -> Result<Option<UserId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT c.teacher_id
           FROM video_files f JOIN videos v ON v.id = f.video_id JOIN courses c ON c.id = v.course_id
          WHERE f.id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?)
}

/// The files of a video that are not discarded: at most the one in use and one to come.
pub async fn list_of_video(tx: &mut Tx, video: VideoId) -> Result<Vec<VideoFile>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        select_files!("WHERE f.video_id = $1 AND f.status <> 'discarded'"),
    )
    .bind(video)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(VideoFile::from).collect())
}

/// The same, of all videos of a course.
pub async fn list_of_course(tx: &mut Tx, course: CourseId) -> Result<Vec<VideoFile>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(select_files!(
        "JOIN videos v ON v.id = f.video_id
          WHERE v.course_id = $1 AND v.deleted_at IS NULL AND f.status <> 'discarded'"
    ))
    .bind(course)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(VideoFile::from).collect())
}

/// It is there. `false`: nobody waits for it.
pub async fn set_uploaded(tx: &mut Tx, id: FileId) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'uploaded' WHERE id = $1 AND status = 'expected'",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// It is being looked at, by one or by several. `false`: there is nothing to look at any more.
pub async fn set_processing(tx: &mut Tx, id: FileId) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'processing'
          WHERE id = $1 AND status IN ('expected', 'uploaded', 'processing')",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// It is good, and what is played from now on. Its video must have no other such file. `false`: somebody
/// discarded it while it was looked at.
pub async fn set_ready(tx: &mut Tx, id: FileId, duration_ms: Option<u64>) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'ready', duration_ms = $2
          WHERE id = $1 AND status = 'processing'",
    )
    .bind(id)
    .bind(duration_ms.map(stored))
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// It is not good.
pub async fn set_failed(tx: &mut Tx, id: FileId, failure: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'failed', failure = $2
          WHERE id = $1 AND status = 'processing'",
    )
    .bind(id)
    .bind(failure)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Discards the file that was to be played, if there is one; returns what is to be removed.
pub async fn discard_upload(tx: &mut Tx, video: VideoId) -> Result<Option<FileId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "UPDATE video_files SET status = 'discarded', failure = NULL
          WHERE video_id = $1 AND status IN ('expected', 'uploaded', 'processing', 'failed')
          RETURNING id",
    )
    .bind(video)
    .fetch_optional(conn)
    .await)?)
}

/// Discards the file that is played, if there is one. Links to it are good until `end`.
pub async fn discard_current(tx: &mut Tx, video: VideoId, end: Timestamp) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'discarded',
                expires_at = CASE WHEN expires_at > $2 THEN expires_at ELSE $2 END
          WHERE video_id = $1 AND status = 'ready'",
    )
    .bind(video)
    .bind(end)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Uploads that nobody could add to since `before`, and that came to nothing. Those that are Mux's do not
/// yet.
pub async fn list_abandoned(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<Vec<FileId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM video_files
          WHERE expires_at < $1 AND status <> 'ready' AND status <> 'discarded'
            AND (status <> 'processing' OR mux_since IS NULL)
          ORDER BY expires_at LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// The files of courses that were deleted between two moments, and of videos that were; as many of each.
pub async fn list_of_deleted(
    tx: &mut Tx,
    (from, to): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<FileId>> {
    let of_courses = "SELECT f.id
         FROM courses c JOIN videos v ON v.course_id = c.id JOIN video_files f ON f.video_id = v.id
        WHERE c.status = 'deleted' AND c.updated_at >= $1 AND c.updated_at < $2
          AND f.status <> 'discarded' LIMIT $3";
    let of_videos = "SELECT f.id FROM videos v JOIN video_files f ON f.video_id = v.id
        WHERE v.deleted_at IS NOT NULL AND v.deleted_at >= $1 AND v.deleted_at < $2
          AND f.status <> 'discarded' LIMIT $3";
    let mut files = Vec::new();
    for sql in [of_courses, of_videos] {
        let found: Vec<FileId> = on!(tx, conn => sqlx::query_scalar(sql)
            .bind(from)
            .bind(to)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        files.extend(found);
    }
    Ok(files)
}

/// Discards a file, unless it has become what is played, or Mux's.
pub async fn discard_abandoned(tx: &mut Tx, id: FileId) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'discarded', failure = NULL
          WHERE id = $1 AND status <> 'ready' AND status <> 'discarded'
            AND (status <> 'processing' OR mux_since IS NULL)",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Discards a file of something that was deleted.
pub async fn discard(tx: &mut Tx, id: FileId) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'discarded', failure = NULL
          WHERE id = $1 AND status <> 'discarded'",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// How far a list of discarded files was read: by when their links expired, and by their ids.
pub type Place = (Timestamp, FileId);

/// The place before all files.
pub const BEGINNING: Place = (Timestamp::EPOCH, FileId::from_uuid(Uuid::nil()));

/// Discarded files behind `after` whose links expired at `before` or earlier.
pub async fn list_discarded(
    tx: &mut Tx,
    before: Timestamp,
    after: Place,
    limit: i64,
) -> Result<Vec<Place>> {
    Ok(on!(tx, conn => sqlx::query_as(
        "SELECT expires_at, id FROM video_files
          WHERE expires_at <= $1 AND (expires_at, id) > ($2, $3)
            AND status <> 'ready' AND status = 'discarded'
          ORDER BY expires_at, id LIMIT $4",
    )
    .bind(before)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// What all files of a teacher take up, or may come to: but for those that were found to be no good, and
/// whose links expired at `over` or earlier.
pub async fn sum_bytes(tx: &mut Tx, teacher: UserId, over: Timestamp) -> Result<u64> {
    let sum: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(f.size_bytes), 0) AS BIGINT)
           FROM courses c JOIN videos v ON v.course_id = c.id JOIN video_files f ON f.video_id = v.id
          WHERE c.teacher_id = $1 AND (f.status <> 'failed' OR f.expires_at > $2)",
    )
    .bind(teacher)
    .bind(over)
    .fetch_one(conn)
    .await)?;
    Ok(count(sum))
}

/// Forgets a discarded file, and leaves what Mux has of it to be deleted there.
pub async fn delete(tx: &mut Tx, id: FileId) -> Result<()> {
    // In one statement: somebody may just be learning of the asset.
    let asset: Option<Option<String>> = on!(tx, conn => sqlx::query_scalar(
        "DELETE FROM video_files WHERE id = $1 AND status = 'discarded' RETURNING mux_asset_id",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    match asset.flatten() {
        Some(asset) => mux::insert_leftover(tx, &asset).await,
        None => Ok(()),
    }
}
