//! How much of which video was watched in a session.

use serde::Serialize;
use sqlx::FromRow;

use crate::{
    db::{
        Conn, Tx,
        portable::{Hex, Rows},
        videos::{count, stored},
    },
    domain::{
        session::SessionStatus,
        video::{VideoProgress, WatchedVideo},
    },
    error::Result,
    id::{CourseId, SessionId, UserId, VideoId},
};

#[derive(Serialize)]
struct ProgressRow {
    session_id: Hex,
    fence: i64,
    video_id: Hex,
    position_ms: i64,
    watched_ms: i64,
    coverage: i64,
    updated_at: i64,
}

/// Both joins drop rows: of a session that has changed hands, or of a video it is not about.
macro_rules! upsert_progress {
    ($db:ident) => {
        bulk!(
            $db "1",
            [session_id uuid, fence bigint, video_id uuid, position_ms bigint, watched_ms bigint,
             coverage bigint, updated_at time],
            "INSERT INTO session_video_progress AS p
               (session_id, video_id, position_ms, watched_ms, coverage, updated_at)
             SELECT r.session_id, r.video_id, r.position_ms, r.watched_ms, r.coverage, r.updated_at
               FROM",
            "JOIN sessions s ON s.id = r.session_id AND s.fence = r.fence
             JOIN videos v ON v.id = r.video_id AND v.course_id = s.course_id
            WHERE TRUE
            ORDER BY r.session_id, r.video_id
               ON CONFLICT (session_id, video_id) DO UPDATE
              SET position_ms = excluded.position_ms,
                  watched_ms = CASE WHEN excluded.watched_ms > p.watched_ms
                                    THEN excluded.watched_ms ELSE p.watched_ms END,
                  coverage = p.coverage | excluded.coverage,
                  updated_at = excluded.updated_at"
        )
    };
}

/// Adds to how much of each video was watched in all: what is more than is known. In the order of the
/// key, so that nodes never wait in a circle.
macro_rules! add_views {
    ($db:ident) => {
        bulk!(
            $db "1",
            [session_id uuid, fence bigint, video_id uuid, watched_ms bigint],
            "INSERT INTO video_views AS w (video_id, sessions, watched_ms)
             SELECT r.video_id, COUNT(*) - COUNT(p.video_id),
                    CAST(SUM(CASE WHEN r.watched_ms > COALESCE(p.watched_ms, 0)
                                  THEN r.watched_ms - COALESCE(p.watched_ms, 0)
                                  ELSE 0 END) AS BIGINT)
               FROM",
            "JOIN sessions s ON s.id = r.session_id AND s.fence = r.fence
             JOIN videos v ON v.id = r.video_id AND v.course_id = s.course_id
             LEFT JOIN session_video_progress p
               ON p.session_id = r.session_id AND p.video_id = r.video_id
            WHERE TRUE
            GROUP BY r.video_id
            ORDER BY r.video_id
               ON CONFLICT (video_id) DO UPDATE
              SET sessions = w.sessions + excluded.sessions,
                  watched_ms = w.watched_ms + excluded.watched_ms"
        )
    };
}

/// Adds to what is known: the position is the new one, time and coverage only grow.
///
/// What comes under a fence that is not the session's is not written. A session may have ended.
/// No video of a session must be named twice under one fence.
pub async fn upsert(tx: &mut Tx, progress: &[VideoProgress]) -> Result<u64> {
    let rows = Rows::of(progress.iter().map(|progress| ProgressRow {
        session_id: Hex(progress.session_id.uuid()),
        fence: progress.fence,
        video_id: Hex(progress.video_id.uuid()),
        position_ms: stored(progress.position_ms),
        watched_ms: stored(progress.watched_ms),
        coverage: progress.coverage.cast_signed(),
        updated_at: progress.at.micros(),
    }));
    // First the sums, which are of the difference to what is there.
    let statements = match tx.conn() {
        Conn::Sqlite(_) => [add_views!(sqlite), upsert_progress!(sqlite)],
        Conn::Postgres(_) => [add_views!(postgres), upsert_progress!(postgres)],
    };
    let mut written = 0;
    for statement in statements {
        written = on!(tx, conn => sqlx::query(statement)
            .bind(&rows.json)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
    }
    Ok(written)
}

#[derive(FromRow)]
struct Row {
    video_id: VideoId,
    title: String,
    duration_ms: i64,
    position_ms: i64,
    watched_ms: i64,
    coverage: i64,
}

impl From<Row> for WatchedVideo {
    fn from(row: Row) -> Self {
        Self {
            video_id: row.video_id,
            title: row.title,
            duration_ms: count(row.duration_ms),
            position_ms: count(row.position_ms),
            watched_ms: count(row.watched_ms),
            coverage: row.coverage.cast_unsigned(),
        }
    }
}

/// The videos of which something was watched in `session`, in the order of the course.
pub async fn list(tx: &mut Tx, session: SessionId) -> Result<Vec<WatchedVideo>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT p.video_id, v.title, v.duration_ms, p.position_ms, p.watched_ms, p.coverage
           FROM session_video_progress p JOIN videos v ON v.id = p.video_id
          WHERE p.session_id = $1
          ORDER BY v.position",
    )
    .bind(session)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(WatchedVideo::from).collect())
}

/// The videos of `course` of which `student` has watched something, in all sessions (of one status)
/// together; the position is the last one.
pub async fn list_of_student(
    tx: &mut Tx,
    student: UserId,
    course: CourseId,
    status: Option<SessionStatus>,
) -> Result<Vec<WatchedVideo>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT p.video_id, v.title, v.duration_ms, p.position_ms, p.watched_ms, p.coverage
           FROM sessions s
           JOIN session_video_progress p ON p.session_id = s.id
           JOIN videos v ON v.id = p.video_id
          WHERE s.student_id = $1 AND s.course_id = $2 AND v.deleted_at IS NULL
            AND ($3 IS NULL OR s.status = $3)
          ORDER BY v.position, p.updated_at",
    )
    .bind(student)
    .bind(course)
    .bind(status)
    .fetch_all(conn)
    .await)?;
    let mut watched: Vec<WatchedVideo> = Vec::new();
    for video in rows.into_iter().map(WatchedVideo::from) {
        match watched.last_mut().filter(|last| last.video_id == video.video_id) {
            Some(last) => last.go_on(&video),
            None => watched.push(video),
        }
    }
    Ok(watched)
}

/// The coverage of each video that was begun in one of `sessions` and was not deleted since.
pub async fn coverage_of(tx: &mut Tx, sessions: &[SessionId]) -> Result<Vec<(SessionId, i64)>> {
    Ok(among!(
        tx,
        sessions.iter().map(|session| session.uuid()),
        "SELECT p.session_id, p.coverage
           FROM session_video_progress p JOIN videos v ON v.id = p.video_id
          WHERE v.deleted_at IS NULL AND p.session_id",
        ""
    )?)
}
