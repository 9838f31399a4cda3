//! Sessions as people see them: with the title of the course, and how much of it was watched.

use sqlx::FromRow;

use crate::{
    db::{Tx, progress, sessions::Row},
    domain::session::{Session, SessionStatus},
    error::Result,
    id::{CourseId, SessionId, UserId},
    time::Timestamp,
};

/// A session with what there is to see beside it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub session: Session,
    pub course_title: String,
    /// How many videos the course has.
    pub videos: i64,
    /// Which parts were watched of those videos that were begun: a bit is a 64th.
    pub coverage: Vec<i64>,
}

/// Whose sessions, which of them, and from where on.
#[derive(Clone, Debug)]
pub struct Filter {
    pub of: Of,
    pub status: Option<SessionStatus>,
    pub course_id: Option<CourseId>,
    /// Those before this one, in the order of the list.
    pub after: Position,
}

/// Whose sessions they are.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    Student(UserId),
    /// On whose courses.
    Teacher(UserId),
}

/// A place in a list: newest first, then by what tells sessions of one moment apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub started_at: Timestamp,
    pub id: SessionId,
}

#[derive(FromRow)]
struct SeenRow {
    #[sqlx(flatten)]
    row: Row,
    course_title: String,
    videos: i64,
}

macro_rules! select_seen {
    ($($where:literal),*) => {
        concat!(
            "SELECT ",
            session_columns!(),
            ", (SELECT c.title FROM courses c WHERE c.id = sessions.course_id) AS course_title,
               (SELECT COUNT(*) FROM videos v
                 WHERE v.course_id = sessions.course_id AND v.deleted_at IS NULL) AS videos
             FROM sessions WHERE ",
            $($where),*
        )
    };
}

macro_rules! list_seen {
    ($whose:literal) => {
        select_seen!(
            $whose,
            " = $1 AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR course_id = $3)
                AND (started_at, id) < ($4, $5)
              ORDER BY started_at DESC, id DESC LIMIT $6"
        )
    };
}

pub async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<Seen>> {
    let row: Option<SeenRow> = on!(tx, conn => sqlx::query_as(select_seen!("id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await)?;
    Ok(with_coverage(tx, row.into_iter().collect()).await?.pop())
}

/// The session `student` has open, if any.
pub async fn find_active(tx: &mut Tx, student: UserId) -> Result<Option<Seen>> {
    let row: Option<SeenRow> = on!(tx, conn => sqlx::query_as(select_seen!("student_id = $1 AND status = 'active'"))
            .bind(student)
            .fetch_optional(conn)
            .await)?;
    Ok(with_coverage(tx, row.into_iter().collect()).await?.pop())
}

/// At most `limit` sessions, newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Seen>> {
    let (sql, user) = match filter.of {
        Of::Student(student) => (list_seen!("student_id"), student),
        Of::Teacher(teacher) => (list_seen!("teacher_id"), teacher),
    };
    let rows: Vec<SeenRow> = on!(tx, conn => sqlx::query_as(sql)
        .bind(user)
        .bind(filter.status)
        .bind(filter.course_id)
        .bind(filter.after.started_at)
        .bind(filter.after.id)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    with_coverage(tx, rows).await
}

async fn with_coverage(tx: &mut Tx, rows: Vec<SeenRow>) -> Result<Vec<Seen>> {
    let ids: Vec<SessionId> = rows.iter().map(|seen| seen.row.id).collect();
    let found = if ids.is_empty() { Vec::new() } else { progress::coverage_of(tx, &ids).await? };
    let seen = rows.into_iter().map(|SeenRow { row, course_title, videos }| {
        let session = Session::from(row);
        let of_session = found.iter().filter(|(id, _)| *id == session.id);
        let coverage = of_session.map(|(_, coverage)| *coverage).collect();
        Seen { session, course_title, videos, coverage }
    });
    Ok(seen.collect())
}
