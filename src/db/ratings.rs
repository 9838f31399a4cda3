//! What the published reviews of courses come to by their ratings, and so those of their teachers: kept as
//! reviews come and go, while the course is locked.

use sqlx::FromRow;

use crate::{
    db::{Tx, videos::count},
    domain::review::{Rating, Review, Summary, Tally},
    error::Result,
    id::{CourseId, UserId},
};

/// Counts a review that is published, or takes it out again.
pub async fn add(tx: &mut Tx, review: &Review, is_published: bool) -> Result<()> {
    let times: i64 = if is_published { 1 } else { -1 };
    on!(tx, conn => sqlx::query(
        "INSERT INTO course_ratings AS k
           (course_id, rating, teacher_id, reviews, credibility, weight)
         VALUES ($1, $2, $3, $4, $4 * $5, $4 * $6)
             ON CONFLICT (course_id, rating) DO UPDATE
            SET reviews = k.reviews + excluded.reviews,
                credibility = k.credibility + excluded.credibility,
                weight = k.weight + excluded.weight",
    )
    .bind(review.course_id)
    .bind(review.rating)
    .bind(review.teacher_id)
    .bind(times)
    .bind(review.credibility.total)
    .bind(review.credibility.weight)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    rating: Rating,
    reviews: i64,
    credibility: i64,
    weight: i64,
}

/// What the reviews of all courses of a teacher come to, or those of one of them.
pub async fn summarize(tx: &mut Tx, teacher: UserId, course: Option<CourseId>) -> Result<Summary> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT rating, CAST(SUM(reviews) AS BIGINT) AS reviews,
                CAST(SUM(credibility) AS BIGINT) AS credibility,
                CAST(SUM(weight) AS BIGINT) AS weight
           FROM course_ratings
          WHERE teacher_id = $1 AND ($2 IS NULL OR course_id = $2) GROUP BY rating",
    )
    .bind(teacher)
    .bind(course)
    .fetch_all(conn)
    .await)?;
    let held: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT COUNT(*) FROM reviews
          WHERE status = 'held' AND teacher_id = $1 AND ($2 IS NULL OR course_id = $2)",
    )
    .bind(teacher)
    .bind(course)
    .fetch_one(conn)
    .await)?;
    let mut summary = Summary::with_held(count(held));
    for Row { rating, reviews, credibility, weight } in rows {
        let tally = Tally {
            reviews: count(reviews),
            credibility: count(credibility),
            weight: count(weight),
        };
        summary.add(rating, tally);
    }
    Ok(summary)
}
