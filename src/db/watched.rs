//! What a student has watched lately, course by course.

use std::collections::BTreeMap;

use sqlx::FromRow;

use crate::{
    db::Tx,
    domain::progress::course_percentage,
    error::Result,
    id::{CategoryId, CourseId, UserId, VideoId},
};

/// The most sessions that are looked at, the latest ones, and the most courses they come to.
const SESSIONS_MAX: i64 = 200;
const COURSES_MAX: i64 = 20;

/// A course of which something was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedCourse {
    pub id: CourseId,
    /// Nothing if it is not on offer: what it is called by now is its teacher's business.
    pub title: Option<String>,
    pub category_id: Option<CategoryId>,
    pub watch_percentage: u8,
}

#[derive(FromRow)]
struct Row {
    id: CourseId,
    title: Option<String>,
    category_id: Option<CategoryId>,
    videos: i64,
}

/// The courses `student` watched lately, the last one first.
pub async fn list(tx: &mut Tx, student: UserId) -> Result<Vec<WatchedCourse>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT c.id, CASE WHEN c.status = 'published' THEN c.title END AS title, c.category_id,
                (SELECT COUNT(*) FROM videos v
                  WHERE v.course_id = c.id AND v.deleted_at IS NULL) AS videos
           FROM (SELECT course_id, MAX(started_at) AS at
                   FROM (SELECT course_id, started_at FROM sessions
                          WHERE student_id = $1 AND watched_ms > 0
                          ORDER BY started_at DESC LIMIT $2) s
                  GROUP BY course_id ORDER BY at DESC, course_id LIMIT $3) r
           JOIN courses c ON c.id = r.course_id
          ORDER BY r.at DESC, c.id",
    )
    .bind(student)
    .bind(SESSIONS_MAX)
    .bind(COURSES_MAX)
    .fetch_all(conn)
    .await)?;
    let seen = coverage(tx, student).await?;
    let watched = rows.into_iter().map(|Row { id, title, category_id, videos }| {
        let of_course = seen.iter().filter(|((course, _), _)| *course == id);
        let coverage = of_course.map(|(_, bits)| *bits);
        let watch_percentage = course_percentage(coverage, videos.cast_unsigned());
        WatchedCourse { id, title, category_id, watch_percentage }
    });
    Ok(watched.collect())
}

/// Which parts of which video that is still there were watched in these sessions together.
async fn coverage(tx: &mut Tx, student: UserId) -> Result<BTreeMap<(CourseId, VideoId), u64>> {
    let rows: Vec<(CourseId, VideoId, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT s.course_id, p.video_id, p.coverage
           FROM (SELECT id, course_id FROM sessions
                  WHERE student_id = $1 AND watched_ms > 0
                  ORDER BY started_at DESC LIMIT $2) s
           JOIN session_video_progress p ON p.session_id = s.id
           JOIN videos v ON v.id = p.video_id AND v.deleted_at IS NULL",
    )
    .bind(student)
    .bind(SESSIONS_MAX)
    .fetch_all(conn)
    .await)?;
    let mut seen = BTreeMap::new();
    for (course, video, coverage) in rows {
        *seen.entry((course, video)).or_default() |= coverage.cast_unsigned();
    }
    Ok(seen)
}
