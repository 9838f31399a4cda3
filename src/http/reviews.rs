//! `/api/v1/reviews`: what students say about courses, and what admins make of it.

mod summary;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::{
        self,
        reviews::{Filter, Listed, Of},
    },
    domain::{
        review::{
            BonusStatus, Credibility, Flag, REASON_MAX, Rating, ReviewStatus, Said, TEXT_MAX,
            parse_reason, parse_text,
        },
        user::Role,
    },
    error::{Error, Result},
    http::{
        answer::Kept,
        courses::shown,
        extract::{Admin, Caller, IdempotencyKey, Json, Path, Query, Student, Teacher},
        openapi::{Routes, routes},
        page::{self, Cursor, Limit, Page},
    },
    id::{CourseId, ReviewId, SessionId, UserId},
    money::{Currency, Money},
    service::{
        idempotency::Request,
        reviews::{self, NewReview, Verdict},
    },
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    routes! { "reviews"
        /// What students say about a course; newest first.
        GET "/reviews/courses/{course_id}/reviews" => list;
        /// Review a session that one has completed: once.
        ///
        /// What looks bought is held back until an admin has looked at it.
        POST "/reviews/courses/{course_id}/reviews" => create [
            SESSION_NOT_ENDED SESSION_CANCELLED ALREADY_REVIEWED OUT_OF_RANGE
            IDEMPOTENCY_KEY_RUNNING BUSY
        ];
        /// A review that is one's own, of one's course, or that one watches over.
        GET "/reviews/{review_id}" => show;
        /// Ask an admin to look at a review of one's course: once, and until then it is as it was.
        POST "/reviews/{review_id}/contest" => contest [REVIEW_CLOSED];
        /// The reviews of a teacher's courses, also those that are held back; newest first.
        GET "/teacher/reviews" => of_teacher;
        /// What the reviews of one's courses come to, or of one of them: ratings, credibility, held ones.
        GET "/teacher/reviews/summary" => summary::summarize [NOT_FOUND];
        /// All reviews, those that are held back (`status=held`), or contested ones; newest first.
        GET "/admin/reviews" => of_everybody;
        /// Let a review count that is held back or contested.
        POST "/admin/reviews/{review_id}/approve" => approve [
            OUT_OF_RANGE IDEMPOTENCY_KEY_RUNNING BUSY
        ];
        /// Take a review away that is not to be believed.
        ///
        /// A bonus that was paid stays paid.
        POST "/admin/reviews/{review_id}/reject" => reject [IDEMPOTENCY_KEY_RUNNING];
    }
}

/// A review, as everybody sees it.
#[derive(Serialize, JsonSchema)]
struct PublicReview {
    id: ReviewId,
    course_id: CourseId,
    /// None if the account was deleted.
    student_name: Option<String>,
    rating: Rating,
    text: String,
    credibility: Credibility,
    created_at: Timestamp,
}

impl From<Listed> for PublicReview {
    fn from(Listed { review, student_name, .. }: Listed) -> Self {
        Self {
            id: review.id,
            course_id: review.course_id,
            student_name,
            rating: review.rating,
            text: review.text,
            credibility: review.credibility,
            created_at: review.created_at,
        }
    }
}

/// A review, as those see it whom it is about: its student, its teacher, and admins.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Review")]
struct ReviewView {
    #[serde(flatten)]
    review: PublicReview,
    session_id: SessionId,
    student_id: UserId,
    course_title: String,
    status: ReviewStatus,
    /// Why it is held back: for admins only, as whoever knows it gets around it.
    flags: Vec<FlagView>,
    bonus: Money,
    currency: Currency,
    /// What was paid stays paid, also if the review is rejected later.
    bonus_status: BonusStatus,
    /// For its teacher and admins.
    contest: Option<SaidView>,
    decision: Option<SaidView>,
}

/// What somebody said about a review.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SaidOfReview")]
struct SaidView {
    reason: String,
    at: Timestamp,
}

impl From<Said> for SaidView {
    fn from(Said { reason, at, .. }: Said) -> Self {
        Self { reason, at }
    }
}

/// Why a review looks bought, also in words.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FlagOfReview")]
struct FlagView {
    flag: Flag,
    explanation: &'static str,
}

impl From<Flag> for FlagView {
    fn from(flag: Flag) -> Self {
        Self { flag, explanation: flag.explanation() }
    }
}

impl ReviewView {
    /// As somebody of this role sees it.
    fn of(listed: Listed, role: Role) -> Self {
        let mut review = listed.review.clone();
        if role != Role::Admin {
            review.flags.clear();
        }
        if role == Role::Student {
            review.contest = None;
        }
        Self {
            session_id: review.session_id,
            student_id: review.student_id,
            course_title: listed.course_title.clone(),
            status: review.status,
            flags: review.flags.into_iter().map(FlagView::from).collect(),
            bonus: review.bonus,
            currency: review.currency,
            bonus_status: review.bonus_status,
            contest: review.contest.map(SaidView::from),
            decision: review.decision.map(SaidView::from),
            review: listed.into(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReviewRequest {
    session_id: SessionId,
    rating: Rating,
    /// Plain text.
    #[serde(default)]
    #[schemars(length(max = TEXT_MAX))]
    text: String,
}

async fn create(
    State(app): State<App>,
    Student(student): Student,
    Path(course): Path<CourseId>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ReviewRequest>,
) -> Result<Kept<ReviewView>> {
    let ReviewRequest { session_id, rating, text } = body;
    let text = parse_text(&text).map_err(|problem| Error::invalid("text", problem))?;
    let asked = (course, session_id, rating, &text);
    let request = Request::new(student.user.id, key, "review", &asked);
    let new = (course, NewReview { session_id, rating, text });
    let view = |listed| ReviewView::of(listed, Role::Student);
    let now = app.clock.now();
    Ok(reviews::create(&app, &student.user, new, (request, view), now).await?.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

async fn list(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(course): Path<CourseId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PublicReview>>> {
    shown(&mut app.db.read().await?, course, caller.as_ref()).await?;
    let of = (Of::Course(course), Some(ReviewStatus::Published));
    page(&app, of, query, PublicReview::from).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReviewsQuery {
    status: Option<ReviewStatus>,
    course_id: Option<CourseId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

async fn of_teacher(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<ReviewsQuery>,
) -> Result<Json<Page<ReviewView>>> {
    let ReviewsQuery { status, course_id, limit, cursor } = query;
    let of = Of::Teacher(teacher.user.id, course_id);
    let query = PageQuery { limit, cursor };
    page(&app, (of, status), query, |listed| ReviewView::of(listed, Role::Teacher)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AllReviewsQuery {
    status: Option<ReviewStatus>,
    /// Only those that a teacher contests and nobody has decided on.
    #[serde(default)]
    contested: bool,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

async fn of_everybody(
    State(app): State<App>,
    _: Admin,
    Query(query): Query<AllReviewsQuery>,
) -> Result<Json<Page<ReviewView>>> {
    let AllReviewsQuery { status, contested, limit, cursor } = query;
    let of = if contested { Of::Contested } else { Of::Everybody };
    let query = PageQuery { limit, cursor };
    page(&app, (of, status), query, |listed| ReviewView::of(listed, Role::Admin)).await
}

async fn page<T>(
    app: &App,
    (of, status): (Of, Option<ReviewStatus>),
    query: PageQuery,
    view: impl Fn(Listed) -> T,
) -> Result<Json<Page<T>>> {
    let PageQuery { limit, cursor } = query;
    let after = cursor.as_ref().map(Cursor::place).transpose()?;
    let filter = Filter { of, status, after };
    let found = db::reviews::list(&mut app.db.read().await?, &filter, limit.and_one()).await?;
    let place = |Listed { review, .. }: &Listed| page::place(review.created_at, review.id);
    Ok(Json(Page::with(found, limit.entries(), place, view)))
}

async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ReviewId>,
) -> Result<Json<ReviewView>> {
    let listed = find(&app, id).await?;
    let review = &listed.review;
    let is_theirs = match caller.user.role {
        Role::Student => review.student_id == caller.user.id,
        Role::Teacher => review.teacher_id == caller.user.id,
        Role::Admin => true,
    };
    if !is_theirs {
        return Err(Error::NotFound("review"));
    }
    Ok(Json(ReviewView::of(listed, caller.user.role)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReasonRequest {
    /// Plain text.
    #[schemars(length(min = 1, max = REASON_MAX))]
    reason: String,
}

async fn contest(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<ReviewId>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ReviewView>> {
    let reason = reason(&body)?;
    reviews::contest(&app, &teacher.user, id, reason, app.clock.now()).await?;
    Ok(Json(ReviewView::of(find(&app, id).await?, Role::Teacher)))
}

async fn approve(
    State(app): State<App>,
    Admin(admin): Admin,
    Path(id): Path<ReviewId>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ReasonRequest>,
) -> Result<Kept<ReviewView, 200>> {
    decide(&app, &admin, (id, Verdict::Approve), key, &body).await
}

async fn reject(
    State(app): State<App>,
    Admin(admin): Admin,
    Path(id): Path<ReviewId>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ReasonRequest>,
) -> Result<Kept<ReviewView, 200>> {
    decide(&app, &admin, (id, Verdict::Reject), key, &body).await
}

async fn decide(
    app: &App,
    admin: &Caller,
    (id, verdict): (ReviewId, Verdict),
    key: Option<String>,
    body: &ReasonRequest,
) -> Result<Kept<ReviewView, 200>> {
    let decision = (id, verdict, reason(body)?);
    let request = Request::new(admin.user.id, key, "decision", &decision);
    let view = |listed| ReviewView::of(listed, Role::Admin);
    let now = app.clock.now();
    Ok(reviews::decide(app, &admin.user, decision, (request, view), now).await?.into())
}

fn reason(body: &ReasonRequest) -> Result<String> {
    parse_reason(&body.reason).map_err(|problem| Error::invalid("reason", problem))
}

async fn find(app: &App, id: ReviewId) -> Result<Listed> {
    let listed = db::reviews::find(&mut app.db.read().await?, id).await?;
    listed.ok_or(Error::NotFound("review"))
}
