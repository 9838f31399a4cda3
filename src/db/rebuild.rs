//! What is kept beside the ledger, made anew from it.

use crate::{
    db::{Conn, Tx},
    error::Result,
};

/// The statements, in their order. `$quarter` is the quarter of an hour that `at` is in.
macro_rules! statements {
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
            "DELETE FROM video_views",
            "INSERT INTO video_views (video_id, sessions, watched_ms)
             SELECT video_id, COUNT(*), CAST(SUM(watched_ms) AS BIGINT)
               FROM session_video_progress GROUP BY video_id",
            "UPDATE courses
                SET reviews = COALESCE(k.reviews, 0), rating_weight = COALESCE(k.weight, 0),
                    rating_points = COALESCE(k.points, 0),
                    rating = CASE WHEN COALESCE(k.weight, 0) = 0 THEN 0
                                  ELSE k.points * 100 / k.weight END
               FROM courses same
               LEFT JOIN (SELECT course_id, COUNT(*) AS reviews,
                                 CAST(SUM(weight) AS BIGINT) AS weight,
                                 CAST(SUM(weight * rating) AS BIGINT) AS points
                            FROM reviews WHERE status = 'published' GROUP BY course_id) k
                 ON k.course_id = same.id
              WHERE same.id = courses.id
                AND (courses.reviews <> COALESCE(k.reviews, 0)
                     OR courses.rating_weight <> COALESCE(k.weight, 0)
                     OR courses.rating_points <> COALESCE(k.points, 0))",
        ]
    };
}

/// Makes all sums anew. Whoever settles meanwhile waits until the transaction has ended.
pub async fn run(tx: &mut Tx) -> Result<()> {
    let statements = match tx.conn() {
        Conn::Sqlite(_) => statements!("at - at % 900000000"),
        Conn::Postgres(conn) => {
            // On SQLite the transaction is the lock. Each statement after this one sees all that
            // was committed before it was granted.
            let tables = "LOCK TABLE reviews, earnings_quarters, course_earnings, video_views
                            IN EXCLUSIVE MODE";
            sqlx::query(tables).execute(conn).await?;
            statements!("date_bin('15 minutes', at, 'epoch')")
        }
    };
    for statement in statements {
        on!(tx, conn => sqlx::query(statement).execute(conn).await.map(drop))?;
    }
    Ok(())
}
