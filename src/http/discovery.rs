//! `/api/v1/discovery`: asking for courses in words of one's own.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::catalogue::Listed,
    domain::{
        course::Level,
        discovery::{MESSAGE_MAX, Provider, parse_message},
    },
    error::{Error, Result},
    http::{
        answer::NoContent,
        extract::{Json, Path, Query, Student},
        openapi::{Routes, routes},
        page::{Cursor, Limit, Page},
    },
    id::{ChatId, CourseId},
    money::{Currency, Money},
    service::discovery::{self, Shown},
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    routes! { "discovery"
        /// Say what to learn, and be answered with courses that are on offer.
        ///
        /// So many messages a day; those that were forgotten count, too.
        POST "/discovery/chat" => chat [RATE_LIMITED BUSY];
        /// What one asked and was answered, the newest first.
        GET "/discovery/chat/history" => history;
        /// Have it all forgotten.
        DELETE "/discovery/chat/history" => forget;
        /// Have one message and its answer forgotten.
        DELETE "/discovery/chat/history/{chat_id}" => forget_one;
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    #[schemars(length(min = 1, max = MESSAGE_MAX))]
    message: String,
}

/// A message and its answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Chat")]
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
#[derive(Serialize, JsonSchema)]
struct SuggestedCourse {
    id: CourseId,
    title: String,
    price_per_minute: Money,
    currency: Currency,
    teacher_name: String,
    category_name: Option<String>,
    /// `null`: it is for everybody.
    level: Option<Level>,
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
            level: course.level,
            why,
        }
    }
}

async fn chat(
    State(app): State<App>,
    Student(student): Student,
    Json(body): Json<ChatRequest>,
) -> Result<Json<ChatView>> {
    let message = parse_message(&body.message);
    let message = message.map_err(|problem| Error::invalid("message", problem))?;
    Ok(Json(discovery::chat(&app, &student.user, message).await?.into()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

async fn history(
    State(app): State<App>,
    Student(student): Student,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<ChatView>>> {
    let HistoryQuery { limit, cursor } = query;
    let before = cursor.as_ref().map(Cursor::read).transpose()?;
    let found = discovery::history(&app, student.user.id, before, limit.and_one()).await?;
    Ok(Json(Page::new(found, limit.entries(), |shown| shown.chat.id.to_string())))
}

async fn forget(State(app): State<App>, Student(student): Student) -> Result<NoContent> {
    discovery::forget(&app, student.user.id, None).await?;
    Ok(NoContent)
}

async fn forget_one(
    State(app): State<App>,
    Student(student): Student,
    Path(id): Path<ChatId>,
) -> Result<NoContent> {
    discovery::forget(&app, student.user.id, Some(id)).await?;
    Ok(NoContent)
}
