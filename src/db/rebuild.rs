//! What is kept beside the ledger, made anew from it.

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::CourseId,
};

/// What the sums by the quarter of an hour are by the ledger. `$quarter` is the one that `at` is in.
macro_rules! due_quarters {
    ($quarter:literal) => {
        concat!(
            "SELECT teacher_id, currency, ",
            $quarter,
            " AS quarter, course_id,
                    CAST(SUM(sessions) AS BIGINT) AS sessions,
                    CAST(SUM(watched_ms) AS BIGINT) AS watched_ms,
                    CAST(SUM(paid) AS BIGINT) AS paid, CAST(SUM(earned) AS BIGINT) AS earned,
                    CAST(SUM(bonus) AS BIGINT) AS bonus
               FROM (SELECT s.teacher_id, s.currency, s.ended_at AS at, s.course_id,
                            1 AS sessions, s.watched_ms, s.cost AS paid,
                            COALESCE(t.amount, 0) AS earned, 0 AS bonus
                       FROM sessions s
                       LEFT JOIN accounts a ON a.user_id = s.teacher_id
                            AND a.kind = 'earnings' AND a.currency = s.currency
                       LEFT JOIN transfers t
                         ON t.journal_id = s.journal_id AND t.credit_account_id = a.id
                      WHERE s.status = 'completed'
                      UNION ALL
                     SELECT s.teacher_id, t.currency, t.at, s.course_id, 0, 0, 0, 0, t.amount
                       FROM sessions s
                       JOIN transfers t
                         ON t.journal_id = 'quality_bonus:' || lower(hex(s.id))) entries
              GROUP BY teacher_id, currency, ",
            $quarter,
            ", course_id"
        )
    };
    (sqlite) => {
        due_quarters!("at - at % 900000000")
    };
    (postgres) => {
        due_quarters!("date_bin('15 minutes', at, 'epoch')")
    };
}

macro_rules! insert_quarters {
    ($db:ident) => {
        concat!(
            "INSERT INTO earnings_quarters (teacher_id, currency, quarter, course_id, sessions,
               watched_ms, paid, earned, bonus) ",
            due_quarters!($db),
            // By the key: what is read together lies together.
            " ORDER BY teacher_id, currency, quarter, course_id"
        )
    };
}

/// What the sums of courses are by those of quarters of an hour.
macro_rules! due_courses {
    () => {
        "SELECT course_id, currency, teacher_id, CAST(SUM(sessions) AS BIGINT) AS sessions,
                CAST(SUM(watched_ms) AS BIGINT) AS watched_ms, CAST(SUM(paid) AS BIGINT) AS paid,
                CAST(SUM(earned) AS BIGINT) AS earned, CAST(SUM(bonus) AS BIGINT) AS bonus
           FROM earnings_quarters GROUP BY course_id, currency, teacher_id"
    };
}

/// `$what` of courses `c` that are not rated as their reviews say, which come to `k`.
macro_rules! misrated {
    ($what:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM courses c
               LEFT JOIN (SELECT course_id, COUNT(*) AS reviews,
                                 CAST(SUM(weight) AS BIGINT) AS weight,
                                 CAST(SUM(weight * rating) AS BIGINT) AS points
                            FROM reviews WHERE status = 'published' GROUP BY course_id) k
                 ON k.course_id = c.id
              WHERE c.reviews <> COALESCE(k.reviews, 0)
                 OR c.rating_weight <> COALESCE(k.weight, 0)
                 OR c.rating_points <> COALESCE(k.points, 0)"
        )
    };
}

/// What the published reviews of courses come to by their ratings, of the courses that `$of` says.
macro_rules! due_ratings {
    ($of:literal) => {
        concat!(
            "SELECT course_id, rating, teacher_id, COUNT(*) AS reviews,
                    CAST(SUM(credibility) AS BIGINT) AS credibility,
                    CAST(SUM(weight) AS BIGINT) AS weight
               FROM reviews WHERE status = 'published' ",
            $of,
            " GROUP BY course_id, rating, teacher_id"
        )
    };
}

/// The same, as it is kept. What is nothing need not be there.
macro_rules! kept_ratings {
    () => {
        "SELECT course_id, rating, teacher_id, reviews, credibility, weight FROM course_ratings
          WHERE reviews <> 0 OR credibility <> 0 OR weight <> 0"
    };
}

/// What teachers earned. Whoever settles meanwhile waits until the transaction has ended.
pub async fn earnings(tx: &mut Tx) -> Result<()> {
    lock(tx, "LOCK TABLE earnings_quarters, course_earnings IN EXCLUSIVE MODE").await?;
    let quarters = match tx.conn() {
        Conn::Sqlite(_) => insert_quarters!(sqlite),
        Conn::Postgres(_) => insert_quarters!(postgres),
    };
    let courses = concat!(
        "INSERT INTO course_earnings
           (course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus) ",
        due_courses!()
    );
    let (no_quarters, no_courses) =
        ("DELETE FROM earnings_quarters", "DELETE FROM course_earnings");
    run(tx, &[no_quarters, quarters, no_courses, courses]).await
}

/// How much was watched of each video. Whoever writes down what was watched waits meanwhile.
pub async fn views(tx: &mut Tx) -> Result<()> {
    lock(tx, "LOCK TABLE video_views IN EXCLUSIVE MODE").await?;
    let insert = "INSERT INTO video_views (video_id, sessions, watched_ms)
                  SELECT video_id, COUNT(*), CAST(SUM(watched_ms) AS BIGINT)
                    FROM session_video_progress GROUP BY video_id";
    run(tx, &["DELETE FROM video_views", insert]).await
}

/// On SQLite the transaction is the lock. Each statement after it sees all that was committed before
/// it was granted.
async fn lock(tx: &mut Tx, tables: &'static str) -> Result<()> {
    if let Conn::Postgres(conn) = tx.conn() {
        sqlx::query(tables).execute(conn).await?;
    }
    Ok(())
}

async fn run(tx: &mut Tx, statements: &[&'static str]) -> Result<()> {
    for statement in statements {
        on!(tx, conn => sqlx::query(*statement).execute(conn).await.map(drop))?;
    }
    Ok(())
}

/// Courses that are not rated as their reviews say.
pub async fn list_misrated(tx: &mut Tx) -> Result<Vec<CourseId>> {
    let misrated = concat!(
        misrated!("c.id"),
        " UNION
         SELECT course_id FROM (",
        due_ratings!(""),
        " EXCEPT ",
        kept_ratings!(),
        ") missed
          UNION
         SELECT course_id FROM (",
        kept_ratings!(),
        " EXCEPT ",
        due_ratings!(""),
        ") strayed"
    );
    Ok(on!(tx, conn => sqlx::query_scalar(misrated).fetch_all(conn).await)?)
}

/// Rates a course, which is locked, as its reviews say.
pub async fn rate(tx: &mut Tx, course: CourseId) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE courses
            SET reviews = k.reviews, rating_weight = k.weight, rating_points = k.points,
                rating = CASE WHEN k.weight = 0 THEN 0 ELSE k.points * 100 / k.weight END
           FROM (SELECT COUNT(*) AS reviews, CAST(COALESCE(SUM(weight), 0) AS BIGINT) AS weight,
                        CAST(COALESCE(SUM(weight * rating), 0) AS BIGINT) AS points
                   FROM reviews WHERE status = 'published' AND course_id = $1) k
          WHERE courses.id = $1",
    )
    .bind(course)
    .execute(conn)
    .await
    .map(drop))?;
    let insert = concat!(
        "INSERT INTO course_ratings (course_id, rating, teacher_id, reviews, credibility, weight) ",
        due_ratings!("AND course_id = $1")
    );
    for statement in ["DELETE FROM course_ratings WHERE course_id = $1", insert] {
        on!(tx, conn => sqlx::query(statement).bind(course).execute(conn).await.map(drop))?;
    }
    Ok(())
}
