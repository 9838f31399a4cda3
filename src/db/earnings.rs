//! What teachers have earned, added up; see [`crate::domain::earnings`].

use serde::Serialize;
use sqlx::FromRow;

use crate::{
    db::{
        Tx,
        portable::{Hex, Rows},
        videos::count,
    },
    domain::{
        calendar::Period,
        earnings::{Figures, Sums},
    },
    error::Result,
    id::{CourseId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

#[derive(Serialize)]
struct QuarterRow {
    teacher_id: Hex,
    currency: Currency,
    quarter: i64,
    course_id: Hex,
    #[serde(flatten)]
    figures: FiguresRow,
}

#[derive(Serialize)]
struct CourseRow {
    course_id: Hex,
    currency: Currency,
    teacher_id: Hex,
    #[serde(flatten)]
    figures: FiguresRow,
}

#[derive(Serialize)]
struct FiguresRow {
    sessions: u64,
    watched_ms: u64,
    paid: i64,
    earned: i64,
    bonus: i64,
}

impl From<Figures> for FiguresRow {
    fn from(figures: Figures) -> Self {
        Self {
            sessions: figures.sessions,
            watched_ms: figures.watched_ms,
            paid: figures.paid.micros(),
            earned: figures.earned.micros(),
            bonus: figures.bonus.micros(),
        }
    }
}

/// Adds to the sums by the quarter. In the order of the key, so that nodes never wait in a circle.
macro_rules! add_quarters {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [teacher_id uuid, currency text, quarter time, course_id uuid, sessions bigint,
             watched_ms bigint, paid bigint, earned bigint, bonus bigint],
            "INSERT INTO earnings_quarters AS e
               (teacher_id, currency, quarter, course_id, sessions, watched_ms, paid, earned, bonus)
             SELECT r.teacher_id, r.currency, r.quarter, r.course_id, r.sessions, r.watched_ms,
                    r.paid, r.earned, r.bonus FROM",
            "WHERE true ORDER BY r.teacher_id, r.currency, r.quarter, r.course_id
             ON CONFLICT (teacher_id, currency, quarter, course_id) DO UPDATE
                SET sessions = e.sessions + excluded.sessions,
                    watched_ms = e.watched_ms + excluded.watched_ms,
                    paid = e.paid + excluded.paid,
                    earned = e.earned + excluded.earned,
                    bonus = e.bonus + excluded.bonus"
        )
    };
}

/// Adds to the sums of courses, in the order of the key.
macro_rules! add_course_earnings {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [course_id uuid, currency text, teacher_id uuid, sessions bigint, watched_ms bigint,
             paid bigint, earned bigint, bonus bigint],
            "INSERT INTO course_earnings AS e
               (course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus)
             SELECT r.course_id, r.currency, r.teacher_id, r.sessions, r.watched_ms, r.paid,
                    r.earned, r.bonus FROM",
            "WHERE true ORDER BY r.course_id, r.currency
             ON CONFLICT (course_id, currency) DO UPDATE
                SET sessions = e.sessions + excluded.sessions,
                    watched_ms = e.watched_ms + excluded.watched_ms,
                    paid = e.paid + excluded.paid,
                    earned = e.earned + excluded.earned,
                    bonus = e.bonus + excluded.bonus"
        )
    };
}

/// The rows of `add_quarters!` and of `add_course_earnings!`.
pub(super) fn rows(sums: &Sums) -> (Rows, Rows) {
    let quarters =
        sums.quarters.iter().map(|((teacher, currency, quarter, course), figures)| QuarterRow {
            teacher_id: Hex(teacher.uuid()),
            currency: *currency,
            quarter: quarter.micros(),
            course_id: Hex(course.uuid()),
            figures: (*figures).into(),
        });
    let courses = sums.courses.iter().map(|((course, currency), (teacher, figures))| CourseRow {
        course_id: Hex(course.uuid()),
        currency: *currency,
        teacher_id: Hex(teacher.uuid()),
        figures: (*figures).into(),
    });
    (Rows::of(quarters), Rows::of(courses))
}

#[derive(FromRow)]
struct SumRow {
    sessions: i64,
    watched_ms: i64,
    paid: Money,
    earned: Money,
    bonus: Money,
}

impl From<SumRow> for Figures {
    fn from(row: SumRow) -> Self {
        Self {
            sessions: count(row.sessions),
            watched_ms: count(row.watched_ms),
            paid: row.paid,
            earned: row.earned,
            bonus: row.bonus,
        }
    }
}

macro_rules! sums {
    () => {
        "CAST(COALESCE(SUM(sessions), 0) AS BIGINT) AS sessions,
         CAST(COALESCE(SUM(watched_ms), 0) AS BIGINT) AS watched_ms,
         CAST(COALESCE(SUM(paid), 0) AS BIGINT) AS paid,
         CAST(COALESCE(SUM(earned), 0) AS BIGINT) AS earned,
         CAST(COALESCE(SUM(bonus), 0) AS BIGINT) AS bonus"
    };
}

/// What `teacher` earned in `period`, with one course or with all, by the quarter of an hour.
pub async fn list_quarters(
    tx: &mut Tx,
    (teacher, currency): (UserId, Currency),
    course: Option<CourseId>,
    period: Period,
) -> Result<Vec<(Timestamp, Figures)>> {
    #[derive(FromRow)]
    struct Row {
        quarter: Timestamp,
        #[sqlx(flatten)]
        sums: SumRow,
    }
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(concat!(
        "SELECT quarter, ", sums!(), " FROM earnings_quarters
          WHERE teacher_id = $1 AND currency = $2 AND quarter >= $3 AND quarter < $4
            AND ($5 IS NULL OR course_id = $5)
          GROUP BY quarter",
    ))
    .bind(teacher)
    .bind(currency)
    .bind(period.begin)
    .bind(period.end)
    .bind(course)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(|row| (row.quarter, row.sums.into())).collect())
}

/// How many sessions of a teacher's course have ended from `begin` on, in all its currencies.
pub async fn count_sessions(
    tx: &mut Tx,
    (teacher, course): (UserId, CourseId),
    begin: Timestamp,
) -> Result<u64> {
    let sessions: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(e.sessions), 0) AS BIGINT)
           FROM (SELECT currency FROM course_earnings WHERE course_id = $2) used
           JOIN earnings_quarters e
             ON e.teacher_id = $1 AND e.currency = used.currency AND e.quarter >= $3
            AND e.quarter < $4 AND e.course_id = $2",
    )
    .bind(teacher)
    .bind(course)
    .bind(begin)
    .bind(Timestamp::END)
    .fetch_one(conn)
    .await)?;
    Ok(count(sessions))
}

/// What `teacher` got from `begin` on, bonuses included, by currency.
pub async fn list_since(
    tx: &mut Tx,
    teacher: UserId,
    begin: Timestamp,
) -> Result<Vec<(Currency, Money)>> {
    // By currency, so that the key is walked from the day on and not from the beginning. And with an end:
    // PostgreSQL takes what has none for a third of the table, and reads all of it.
    Ok(on!(tx, conn => sqlx::query_as(
        "SELECT e.currency, CAST(SUM(e.earned + e.bonus) AS BIGINT)
           FROM (SELECT DISTINCT currency FROM course_earnings WHERE teacher_id = $1) used
           JOIN earnings_quarters e
             ON e.teacher_id = $1 AND e.currency = used.currency AND e.quarter >= $2
            AND e.quarter < $3
          GROUP BY e.currency",
    )
    .bind(teacher)
    .bind(begin)
    .bind(Timestamp::END)
    .fetch_all(conn)
    .await)?)
}

#[derive(FromRow)]
struct CourseSum {
    course_id: CourseId,
    currency: Currency,
    #[sqlx(flatten)]
    sums: SumRow,
}

/// What each course of `teacher` has brought in all.
pub async fn list_courses(
    tx: &mut Tx,
    teacher: UserId,
) -> Result<Vec<(CourseId, Currency, Figures)>> {
    let rows: Vec<CourseSum> = on!(tx, conn => sqlx::query_as(
        "SELECT course_id, currency, sessions, watched_ms, paid, earned, bonus
           FROM course_earnings WHERE teacher_id = $1",
    )
    .bind(teacher)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(|row| (row.course_id, row.currency, row.sums.into())).collect())
}

/// What `course` has brought in all, by currency.
pub async fn of_course(tx: &mut Tx, course: CourseId) -> Result<Vec<(Currency, Figures)>> {
    let rows: Vec<CourseSum> = on!(tx, conn => sqlx::query_as(
        "SELECT course_id, currency, sessions, watched_ms, paid, earned, bonus
           FROM course_earnings WHERE course_id = $1 ORDER BY currency",
    )
    .bind(course)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(|row| (row.currency, row.sums.into())).collect())
}
