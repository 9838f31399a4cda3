//! `/api/v1/teacher/reviews/summary`: what a teacher's reviews come to.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db,
    domain::review::{Rating, Share, Summary, Tally},
    error::{Error, Result},
    http::{
        courses::rating_text,
        extract::{Json, Query, Teacher},
    },
    id::CourseId,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SummaryQuery {
    /// One of one's own; all of them if nothing is said.
    course_id: Option<CourseId>,
}

/// What reviews come to: of all of a teacher's courses, or of one.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReviewSummary")]
pub(super) struct SummaryView {
    /// How many are published.
    count: u64,
    /// How many wait for an admin. They are in none of the other figures.
    held: u64,
    /// From one star to five.
    ratings: Vec<RatingCount>,
    /// Of all ratings, each counting as much; `null`: there is none.
    #[schemars(regex(pattern = r"^[1-5]\.[0-9]{2}$"))]
    average_rating: Option<String>,
    /// Of all ratings, each counting as far as it is credible, as for a course; `null`: none counts.
    #[schemars(regex(pattern = r"^[1-5]\.[0-9]{2}$"))]
    rating: Option<String>,
    /// `null`: there is none.
    average_credibility: Option<Share>,
}

/// How many published reviews give so many stars.
#[derive(Serialize, JsonSchema)]
struct RatingCount {
    rating: Rating,
    count: u64,
}

impl From<Summary> for SummaryView {
    fn from(summary: Summary) -> Self {
        let count = |(rating, tally): (Rating, Tally)| RatingCount { rating, count: tally.reviews };
        Self {
            count: summary.count(),
            held: summary.held,
            ratings: summary.tallies().map(count).collect(),
            average_rating: summary.average().map(rating_text),
            rating: summary.rating().map(rating_text),
            average_credibility: summary.credibility(),
        }
    }
}

pub(super) async fn summarize(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<SummaryQuery>,
) -> Result<Json<SummaryView>> {
    let mut tx = app.db.snapshot().await?;
    if let Some(id) = query.course_id {
        // A course that was deleted keeps its reviews.
        let course = db::courses::find(&mut tx, id).await?;
        course
            .filter(|course| course.teacher_id == teacher.user.id)
            .ok_or(Error::NotFound("course"))?;
    }
    let summary = db::ratings::summarize(&mut tx, teacher.user.id, query.course_id).await?;
    Ok(Json(summary.into()))
}
