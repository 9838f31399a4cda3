//! `/api/v1/discovery`: asking for courses in words of one's own.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::catalogue::Listed,
    domain::discovery::{Provider, parse_message},
    error::{Error, Result},
    http::{
        extract::{Json, Path, Query, Student},
        page::{self, Page},
    },
    id::{ChatId, CourseId},
    money::{Currency, Money},
    service::discovery::{self, Shown},
    time::Timestamp,
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/discovery/chat", post(chat))
        .route("/discovery/chat/history", get(history).delete(forget))
        .route("/discovery/chat/history/{chat_id}", delete(forget_one))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    message: String,
}

/// A message and its answer.
#[derive(Serialize)]
struct ChatView {
    id: ChatId,
    message: String,
    /// Plain text.
    reply: String,
    courses: Vec<SuggestedCourse>,
    provider: Provider,
    created_at: Timestamp,
}

/// A course that is named in an answer, as it is now.
#[derive(Serialize)]
struct SuggestedCourse {
    id: CourseId,
    title: String,
    price_per_minute: Money,
    currency: Currency,
    teacher_name: String,
    category_name: Option<String>,
    /// Why it fits, in plain text.
    why: String,
}

impl From<Shown> for ChatView {
    fn from(Shown { chat, courses }: Shown) -> Self {
        Self {
            id: chat.id,
            message: chat.message,
            reply: chat.reply,
            courses: courses.into_iter().map(SuggestedCourse::from).collect(),
            provider: chat.provider,
            created_at: chat.created_at,
        }
    }
}

impl From<(Listed, String)> for SuggestedCourse {
    fn from((Listed { course, teacher_name, category_name, .. }, why): (Listed, String)) -> Self {
        Self {
            id: course.id,
            title: course.title,
            price_per_minute: course.price_per_minute,
            currency: course.currency,
            teacher_name,
            category_name,
            why,
        }
    }
}

/// Say what to learn, and be answered with courses that are on offer.
async fn chat(
    State(app): State<App>,
    Student(student): Student,
    Json(body): Json<ChatRequest>,
) -> Result<Json<ChatView>> {
    let message = parse_message(&body.message);
    let message = message.map_err(|problem| Error::invalid("message", problem))?;
    Ok(Json(discovery::chat(&app, &student.user, message).await?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What one asked and was answered, the newest first.
async fn history(
    State(app): State<App>,
    Student(student): Student,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<ChatView>>> {
    let limit = page::limit(query.limit)?;
    let before = match query.cursor {
        Some(cursor) => {
            Some(page::read_cursor(&cursor)?.parse().map_err(|_| page::not_a_cursor())?)
        }
        None => None,
    };
    let one_more = i64::try_from(limit + 1).expect("a page is small");
    let found = discovery::history(&app, student.user.id, before, one_more).await?;
    Ok(Json(Page::new(found, limit, |shown| shown.chat.id.to_string())))
}

/// Have it all forgotten.
async fn forget(State(app): State<App>, Student(student): Student) -> Result<StatusCode> {
    discovery::forget(&app, student.user.id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Have one message and its answer forgotten.
async fn forget_one(
    State(app): State<App>,
    Student(student): Student,
    Path(id): Path<ChatId>,
) -> Result<StatusCode> {
    discovery::forget(&app, student.user.id, Some(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
