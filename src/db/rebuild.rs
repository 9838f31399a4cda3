//! What is kept beside the ledger, made anew from it.

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::CourseId,
};

/// The statements for earnings, in their order. `$quarter` is the quarter of an hour that `at` is in.
macro_rules! earnings {
    ($quarter:literal) => {
        [
            "DELETE FROM earnings_quarters",
            concat!(
                "INSERT INTO earnings_quarters
                   (teacher_id, currency, quarter, course_id, sessions, watched_ms, paid, earned, bonus)
                 SELECT teacher_id, currency, ", $quarter, ", course_id,
                        CAST(SUM(sessions) AS BIGINT), CAST(SUM(watched_ms) AS BIGINT),
                        CAST(SUM(paid) AS BIGINT), CAST(SUM(earned) AS BIGINT),
                        CAST(SUM(bonus) AS BIGINT)
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
                  GROUP BY teacher_id, currency, ", $quarter, ", course_id",
            ),
            "DELETE FROM course_earnings",
            "INSERT INTO course_earnings
               (course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus)
             SELECT course_id, currency, teacher_id, CAST(SUM(sessions) AS BIGINT),
                    CAST(SUM(watched_ms) AS BIGINT), CAST(SUM(paid) AS BIGINT),
                    CAST(SUM(earned) AS BIGINT), CAST(SUM(bonus) AS BIGINT)
               FROM earnings_quarters GROUP BY course_id, currency, teacher_id",
        ]
    };
}

/// What teachers earned. Whoever settles meanwhile waits until the transaction has ended.
pub async fn earnings(tx: &mut Tx) -> Result<()> {
    lock(tx, "LOCK TABLE earnings_quarters, course_earnings IN EXCLUSIVE MODE").await?;
    let statements = match tx.conn() {
        Conn::Sqlite(_) => earnings!("at - at % 900000000"),
        Conn::Postgres(_) => earnings!("date_bin('15 minutes', at, 'epoch')"),
    };
    run(tx, &statements).await
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

/// What the reviews of courses come to.
macro_rules! standing {
    () => {
        "(SELECT course_id, COUNT(*) AS reviews, CAST(SUM(weight) AS BIGINT) AS weight,
                 CAST(SUM(weight * rating) AS BIGINT) AS points
            FROM reviews WHERE status = 'published' GROUP BY course_id)"
    };
}

/// Courses that are not rated as their reviews say.
pub async fn list_misrated(tx: &mut Tx) -> Result<Vec<CourseId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(concat!(
        "SELECT c.id FROM courses c LEFT JOIN ", standing!(), " k ON k.course_id = c.id
          WHERE c.reviews <> COALESCE(k.reviews, 0)
             OR c.rating_weight <> COALESCE(k.weight, 0)
             OR c.rating_points <> COALESCE(k.points, 0)",
    ))
    .fetch_all(conn)
    .await)?)
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
    Ok(())
}
