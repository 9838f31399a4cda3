//! `/api/v1/courses`: what teachers offer, and at which price.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db,
    domain::{
        course::{Course, Partner, Price, parse_duration, parse_partners, parse_title},
        video::Video,
    },
    error::{Error, Result},
    http::{
        extract::{Caller, Json, Path, Teacher},
        page::Page,
    },
    id::{CourseId, UserId, VideoId},
    money::{BasisPoints, Currency, Money},
    service::{
        courses::{self, NewCourse},
        payments::currency_or_default,
    },
    time::Timestamp,
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/courses", post(create))
        .route("/courses/{course_id}", get(show))
        .route("/courses/{course_id}/videos", post(add_video).get(videos))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseRequest {
    title: String,
    price_per_minute: Price,
    currency: Option<Currency>,
    #[serde(default)]
    partners: Vec<PartnerRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerRequest {
    name: String,
    basis_points: BasisPoints,
}

#[derive(Serialize)]
struct CourseView {
    id: CourseId,
    teacher_id: UserId,
    title: String,
    price_per_minute: Money,
    currency: Currency,
    platform_basis_points: BasisPoints,
    partners: Vec<Partner>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Course> for CourseView {
    fn from(course: Course) -> Self {
        Self {
            id: course.id,
            teacher_id: course.teacher_id,
            title: course.title,
            price_per_minute: course.price_per_minute,
            currency: course.currency,
            platform_basis_points: course.split.platform,
            partners: course.split.partners,
            created_at: course.created_at,
            updated_at: course.updated_at,
        }
    }
}

/// Offer a course.
async fn create(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Json(body): Json<CourseRequest>,
) -> Result<(StatusCode, Json<CourseView>)> {
    let partners = body.partners.into_iter();
    let partners = partners
        .map(|PartnerRequest { name, basis_points }| Partner { name, basis_points })
        .collect();
    let platform = app.config.fees.platform_basis_points;
    let new = NewCourse {
        title: title(&body.title)?,
        price_per_minute: body.price_per_minute,
        currency: currency_or_default(&app, body.currency)?,
        partners: parse_partners(partners, platform)
            .map_err(|problem| Error::invalid("partners", problem))?,
    };
    let course = courses::create(&app, &teacher.user, new, app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(course.into())))
}

fn title(text: &str) -> Result<String> {
    parse_title(text).map_err(|problem| Error::invalid("title", problem))
}

/// What a course is, and what it costs.
async fn show(
    State(app): State<App>,
    _: Caller,
    Path(id): Path<CourseId>,
) -> Result<Json<CourseView>> {
    let course = db::courses::find(&mut app.db.read().await?, id).await?;
    Ok(Json(course.ok_or(Error::NotFound("course"))?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoRequest {
    title: String,
    duration_ms: u64,
}

#[derive(Serialize)]
struct VideoView {
    id: VideoId,
    course_id: CourseId,
    title: String,
    duration_ms: u64,
    /// Its place in the course, from 0.
    position: u32,
    created_at: Timestamp,
}

impl From<Video> for VideoView {
    fn from(video: Video) -> Self {
        let Video { id, course_id, title, duration_ms, position, created_at } = video;
        Self { id, course_id, title, duration_ms, position, created_at }
    }
}

/// Add a video to the end of one's own course.
async fn add_video(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<VideoRequest>,
) -> Result<(StatusCode, Json<VideoView>)> {
    let duration_ms = parse_duration(body.duration_ms)
        .map_err(|problem| Error::invalid("duration_ms", problem))?;
    let video = (title(&body.title)?, duration_ms);
    let video = courses::add_video(&app, &teacher.user, id, video, app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(video.into())))
}

/// The videos of a course, in its order. There are never more than fit one page.
async fn videos(
    State(app): State<App>,
    _: Caller,
    Path(id): Path<CourseId>,
) -> Result<Json<Page<VideoView>>> {
    let mut tx = app.db.read().await?;
    db::courses::find(&mut tx, id).await?.ok_or(Error::NotFound("course"))?;
    let found = db::videos::list(&mut tx, id).await?;
    let all = found.len();
    Ok(Json(Page::new(found, all, |video| video.id.to_string())))
}
