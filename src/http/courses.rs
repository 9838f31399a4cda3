//! `/api/v1/courses`: what teachers offer, and at which price.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::{self, Tx, catalogue::Listed},
    domain::{
        course::{
            Change, CourseStatus, DESCRIPTION_MAX, Level, PARTNER_NAME_MAX, PARTNERS_MAX, Partner,
            Price, TITLE_MAX, parse_description, parse_title,
        },
        earnings::Figures,
        progress::{course_percentage, watch_percentage},
        user::Role,
        video::WatchedVideo,
    },
    error::{Error, Result},
    http::{
        answer::{Created, NoContent},
        catalogue,
        extract::{Admin, Caller, Json, Object, Path, Teacher},
        openapi::{Routes, routes},
    },
    id::{CategoryId, CourseId, UserId, VideoId},
    money::{BasisPoints, Currency, Money},
    service::{
        courses::{self, CourseChange, NewCourse},
        payments::currency_or_default,
    },
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    let routes = routes! { "courses"
        /// Look for courses.
        ///
        /// What is found by words comes in the order of how well it fits. What is not on offer is
        /// only for its teacher.
        GET "/courses" => catalogue::list [FORBIDDEN];
        /// Offer a course, or begin a draft of one.
        POST "/courses" => create [OUT_OF_RANGE];
        /// What a course is, what it costs, and how far one is with it.
        GET "/courses/{course_id}" => show;
        /// Change one's own course.
        ///
        /// What is not sent stays; whoever watches goes on under the old terms.
        PUT "/courses/{course_id}" => update;
        /// Change what the platform gets of what students pay for a course.
        ///
        /// Whoever watches goes on under the old terms. What is made anew begins with what is configured.
        PUT "/admin/courses/{course_id}/share" => set_share;
        /// Take one's own course away; an admin may do so with any.
        ///
        /// Its history stays.
        DELETE "/courses/{course_id}" => delete [FORBIDDEN];
        /// What students choose among.
        GET "/categories" => catalogue::categories;
    };
    routes.conditional()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PartnerRequest {
    #[schemars(length(min = 1, max = PARTNER_NAME_MAX))]
    name: String,
    #[schemars(extend("minimum" = 1))]
    basis_points: BasisPoints,
}

/// A course, as everybody sees it who may see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Course")]
pub(super) struct CourseView {
    id: CourseId,
    teacher_id: UserId,
    teacher_name: String,
    title: String,
    description: String,
    category_id: Option<CategoryId>,
    category_name: Option<String>,
    /// `null`: it is for everybody.
    level: Option<Level>,
    status: CourseStatus,
    price_per_minute: Money,
    currency: Currency,
    platform_basis_points: BasisPoints,
    partners: Vec<Partner>,
    /// What credible reviews come to, from 1 to 5; `null`: nobody has rated it.
    #[schemars(regex(pattern = r"^[1-5]\.[0-9]{2}$"))]
    rating: Option<String>,
    reviews: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Listed> for CourseView {
    fn from(listed: Listed) -> Self {
        let Listed { course, teacher_name, category_name, reviews, rating } = listed;
        Self {
            rating: rating.map(rating_text),
            reviews,
            id: course.id,
            teacher_id: course.teacher_id,
            teacher_name,
            title: course.title,
            description: course.description,
            category_id: course.category_id,
            category_name,
            level: course.level,
            status: course.status,
            price_per_minute: course.price_per_minute,
            currency: course.currency,
            platform_basis_points: course.split.platform,
            partners: course.split.partners,
            created_at: course.created_at,
            updated_at: course.updated_at,
        }
    }
}

/// A rating that comes in hundredths.
pub(super) fn rating_text(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

crate::domain::word_enum! {
    /// A status that a teacher may give a course; deleting has a method of its own.
    GivenStatus {
        Draft = "draft",
        Published = "published",
        Archived = "archived",
    }
}

impl From<GivenStatus> for CourseStatus {
    fn from(status: GivenStatus) -> Self {
        match status {
            GivenStatus::Draft => Self::Draft,
            GivenStatus::Published => Self::Published,
            GivenStatus::Archived => Self::Archived,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CourseRequest {
    #[schemars(length(min = 1, max = TITLE_MAX))]
    title: String,
    #[serde(default)]
    #[schemars(length(max = DESCRIPTION_MAX))]
    description: String,
    category_id: Option<CategoryId>,
    /// For everybody if nothing is said.
    level: Option<Level>,
    /// On offer if nothing is said.
    status: Option<GivenStatus>,
    price_per_minute: Price,
    /// The default one if nothing is said.
    currency: Option<Currency>,
    /// Who shares in what students pay, beside the platform; what is left is the teacher's.
    #[serde(default)]
    #[schemars(length(max = PARTNERS_MAX))]
    partners: Vec<Object<PartnerRequest>>,
}

async fn create(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Json(body): Json<CourseRequest>,
) -> Result<Created<CourseView>> {
    let new = NewCourse {
        title: title(&body.title)?,
        description: description(&body.description)?,
        category_id: body.category_id,
        level: body.level,
        status: body.status.map_or(CourseStatus::Published, CourseStatus::from),
        price_per_minute: body.price_per_minute,
        currency: currency_or_default(&app, body.currency)?,
        partners: partners(body.partners),
    };
    let course = courses::create(&app, &teacher.user, new, app.clock.now()).await?;
    Ok(Created(view(&app, course.id).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CourseUpdateRequest {
    #[schemars(length(min = 1, max = TITLE_MAX))]
    title: Option<String>,
    #[schemars(length(max = DESCRIPTION_MAX))]
    description: Option<String>,
    /// `null` takes the course out of its category.
    #[serde(default)]
    category_id: Change<CategoryId>,
    /// `null` makes it a course for everybody.
    #[serde(default)]
    level: Change<Level>,
    status: Option<GivenStatus>,
    price_per_minute: Option<Price>,
    currency: Option<Currency>,
    #[schemars(length(max = PARTNERS_MAX))]
    partners: Option<Vec<Object<PartnerRequest>>>,
}

async fn update(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<CourseUpdateRequest>,
) -> Result<Json<CourseView>> {
    let change = CourseChange {
        title: body.title.as_deref().map(title).transpose()?,
        description: body.description.as_deref().map(description).transpose()?,
        category: body.category_id,
        level: body.level,
        status: body.status.map(CourseStatus::from),
        price_per_minute: body.price_per_minute,
        currency: match body.currency {
            Some(currency) => Some(currency_or_default(&app, Some(currency))?),
            None => None,
        },
        partners: body.partners.map(partners),
    };
    courses::update(&app, &teacher.user, id, change, app.clock.now()).await?;
    Ok(Json(view(&app, id).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShareRequest {
    platform_basis_points: BasisPoints,
}

async fn set_share(
    State(app): State<App>,
    _: Admin,
    Path(id): Path<CourseId>,
    Json(body): Json<ShareRequest>,
) -> Result<Json<CourseView>> {
    courses::set_share(&app, id, body.platform_basis_points, app.clock.now()).await?;
    Ok(Json(view(&app, id).await?))
}

async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CourseId>,
) -> Result<NoContent> {
    if caller.user.role == Role::Student {
        return Err(Error::Forbidden("this is for teachers"));
    }
    courses::delete(&app, &caller.user, id, app.clock.now()).await?;
    Ok(NoContent)
}

async fn view(app: &App, id: CourseId) -> Result<CourseView> {
    let listed = db::catalogue::find(&mut app.db.read().await?, id).await?;
    Ok(listed.ok_or(Error::NotFound("course"))?.into())
}

pub(super) fn title(text: &str) -> Result<String> {
    parse_title(text).map_err(|problem| Error::invalid("title", problem))
}

fn description(text: &str) -> Result<String> {
    parse_description(text).map_err(|problem| Error::invalid("description", problem))
}

fn partners(named: Vec<Object<PartnerRequest>>) -> Vec<Partner> {
    let partner = |Object(PartnerRequest { name, basis_points })| Partner { name, basis_points };
    named.into_iter().map(partner).collect()
}

/// A course with all that is known of it.
#[derive(Serialize, JsonSchema)]
struct CourseDetails {
    #[serde(flatten)]
    course: CourseView,
    video_count: u64,
    duration_ms: u64,
    statistics: Statistics,
    /// How far the student is who asks; `null` for anybody else.
    progress: Option<ProgressView>,
}

/// What was watched of a course, by everybody, in sessions that were not cancelled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CourseStatistics")]
struct Statistics {
    sessions: u64,
    watched_ms: u64,
}

/// How far a student is with a course.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CourseProgress")]
struct ProgressView {
    watched_ms: u64,
    #[schemars(range(max = 100))]
    watch_percentage: u8,
    videos: Vec<VideoProgressView>,
}

/// How far a student is with a video.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VideoProgress")]
struct VideoProgressView {
    video_id: VideoId,
    /// Where the student was last.
    position_ms: u64,
    watched_ms: u64,
    #[schemars(range(max = 100))]
    watch_percentage: u8,
}

async fn show(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(id): Path<CourseId>,
) -> Result<Json<CourseDetails>> {
    let mut tx = app.db.read().await?;
    let listed = shown(&mut tx, id, caller.as_ref()).await?;
    let videos = db::videos::list(&mut tx, id).await?;
    let brought: Figures =
        db::earnings::of_course(&mut tx, id).await?.into_iter().map(|(_, figures)| figures).sum();
    let student = caller.filter(|caller| caller.user.role == Role::Student);
    let progress = match student {
        Some(student) => {
            let watched = db::progress::list_of_student(&mut tx, student.user.id, id, None).await?;
            Some(ProgressView::of(&watched, videos.len()))
        }
        None => None,
    };
    Ok(Json(CourseDetails {
        course: listed.into(),
        video_count: u64::try_from(videos.len()).expect("a course has few videos"),
        duration_ms: videos.iter().map(|video| video.duration_ms).sum(),
        statistics: Statistics { sessions: brought.sessions, watched_ms: brought.watched_ms },
        progress,
    }))
}

impl ProgressView {
    fn of(watched: &[WatchedVideo], videos: usize) -> Self {
        let coverage = watched.iter().map(|video| video.coverage);
        let videos = u64::try_from(videos).unwrap_or(u64::MAX);
        Self {
            watched_ms: watched.iter().map(|video| video.watched_ms).sum(),
            watch_percentage: course_percentage(coverage, videos),
            videos: watched
                .iter()
                .map(|video| VideoProgressView {
                    video_id: video.video_id,
                    position_ms: video.position_ms,
                    watched_ms: video.watched_ms,
                    watch_percentage: watch_percentage(video.coverage),
                })
                .collect(),
        }
    }
}

/// A course that `caller` may see; what is hidden is not there, but for who is watching it.
pub(super) async fn shown(tx: &mut Tx, id: CourseId, caller: Option<&Caller>) -> Result<Listed> {
    let reader = caller.map(|caller| (caller.user.id, caller.user.role));
    let listed = db::catalogue::find(tx, id).await?.ok_or(Error::NotFound("course"))?;
    if listed.course.is_shown_to(reader) || is_watching(tx, id, reader).await? {
        Ok(listed)
    } else {
        Err(Error::NotFound("course"))
    }
}

async fn is_watching(
    tx: &mut Tx,
    course: CourseId,
    reader: Option<(UserId, Role)>,
) -> Result<bool> {
    let Some((student, Role::Student)) = reader else { return Ok(false) };
    let session = db::sessions::find_active(tx, student).await?;
    Ok(session.is_some_and(|session| session.course_id == course))
}
