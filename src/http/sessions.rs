//! `/api/v1/sessions`: open, look at and end metered sessions.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    bus::Glance,
    db::{
        self,
        seen::{Filter, Of, Position, Seen},
    },
    domain::{
        meter::Phase,
        progress::course_percentage,
        session::{EndReason, SessionStatus},
        user::Role,
    },
    error::{Error, Result},
    http::{
        answer::{Created, Repeatable},
        extract::{Caller, IdempotencyKey, Json, Path, Query, Student},
        openapi::{Routes, routes},
        page::{self, Cursor, Limit, Page},
    },
    id::{CourseId, SessionId, UserId},
    money::{Amount, Currency, Money},
    service::{
        idempotency::Request,
        receipts::{self, Receipt},
        sessions::{self, StartRequest, Started},
        tickets,
    },
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    routes! { "sessions"
        /// A student's own sessions, or those on a teacher's courses; newest first.
        GET "/sessions" => list [FORBIDDEN];
        /// Hold funds and open a session.
        ///
        /// Sent again with the same `Idempotency-Key`, the answer is the session as it is now and a
        /// new ticket, not the first answer byte for byte: the first ticket would be worthless
        /// after half a minute, and the retry of a lost answer is just when it is needed.
        POST "/sessions/start" => start [
            NOT_FOUND INSUFFICIENT_FUNDS WALLET_NOT_CONNECTED SESSION_ACTIVE BUSY
        ];
        /// The session one has open.
        GET "/sessions/active" => active [NOT_FOUND];
        /// A session one has, teaches, or watches over.
        GET "/sessions/{session_id}" => show;
        /// A new ticket for one's own session, to connect or to come back.
        POST "/sessions/{session_id}/ticket" => ticket [SESSION_ENDED];
        /// End a session and get its receipt.
        ///
        /// For its student, or an admin. Ended again, it gives the same receipt.
        POST "/sessions/{session_id}/end" => end [FORBIDDEN BUSY];
        /// What a session cost, and why.
        GET "/sessions/{session_id}/receipt" => receipt [SESSION_NOT_ENDED];
    }
}

/// A session, as everybody sees it who may see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView {
    id: SessionId,
    student_id: UserId,
    course_id: CourseId,
    course_title: String,
    teacher_id: UserId,
    status: SessionStatus,
    phase: PhaseView,
    price_per_minute: Money,
    currency: Currency,
    held: Money,
    watched_ms: u64,
    cost: Money,
    refund: Money,
    spending_cap: Option<Money>,
    auto_extend: bool,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    end_reason: Option<EndReason>,
    /// Of the whole course.
    #[schemars(range(max = 100))]
    watch_percentage: u8,
}

impl From<Seen> for SessionView {
    fn from(seen: Seen) -> Self {
        let Seen { session, course_title, videos, coverage } = seen;
        let coverage = coverage.into_iter().map(i64::cast_unsigned);
        Self {
            id: session.id,
            student_id: session.student_id,
            course_id: session.course_id,
            course_title,
            teacher_id: session.teacher_id,
            status: session.status,
            phase: session.status.into(),
            price_per_minute: session.terms.price_per_minute,
            currency: session.terms.currency,
            held: session.held,
            watched_ms: session.watched_ms(),
            cost: session.cost,
            refund: session.refund(),
            spending_cap: session.terms.spending_cap,
            auto_extend: session.terms.auto_extend,
            started_at: session.started_at,
            ended_at: session.ending.map(|ending| ending.at),
            end_reason: session.ending.map(|ending| ending.reason),
            watch_percentage: course_percentage(coverage, videos.cast_unsigned()),
        }
    }
}

/// What is going on in a session.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "SessionPhase")]
enum PhaseView {
    Metered(Phase),
    Unmetered(Unmetered),
}

/// Whether it is playing just now, only its meter knows.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Unmetered {
    /// The node that meters it did not say.
    Active,
    /// It has ended.
    Settled,
}

impl From<SessionStatus> for PhaseView {
    fn from(status: SessionStatus) -> Self {
        Self::Unmetered(match status {
            SessionStatus::Active => Unmetered::Active,
            SessionStatus::Completed | SessionStatus::Cancelled => Unmetered::Settled,
        })
    }
}

/// A session as it is at this moment, if the node that meters it can be asked.
async fn live_view(app: &App, seen: Seen) -> SessionView {
    let is_active = seen.session.status == SessionStatus::Active;
    let glance = if is_active { app.errands.look(app, &seen.session).await } else { None };
    let view = SessionView::from(seen);
    match glance {
        Some(Glance { phase, watched_ms, cost, held }) => {
            SessionView { phase: PhaseView::Metered(phase), watched_ms, cost, held, ..view }
        }
        None => view,
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StartRequest")]
struct StartBody {
    course_id: CourseId,
    /// What to hold instead of the configured amount.
    lock_amount: Option<Amount>,
    /// The most the session may cost.
    spending_cap: Option<Amount>,
    #[serde(default = "yes")]
    auto_extend: bool,
}

fn yes() -> bool {
    true
}

/// A session, and how to connect to it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StartedSession")]
struct StartView {
    session: SessionView,
    /// Where the player connects.
    #[schemars(extend("format" = "uri"))]
    ws_url: String,
    /// What it comes with; nothing if the session has ended by now.
    ticket: Option<String>,
}

async fn start(
    State(app): State<App>,
    Student(student): Student,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<StartBody>,
) -> Result<Repeatable<StartView>> {
    let once = Request::new(student.user.id, key, "start", &body).into_once();
    let request = StartRequest {
        course_id: body.course_id,
        lock_amount: body.lock_amount,
        spending_cap: body.spending_cap,
        auto_extend: body.auto_extend,
        login_id: Some(student.login_id),
    };
    let now = app.clock.now();
    let Started { session, is_replayed } =
        sessions::start_once(&app, &student.user, &request, once, now).await?;
    let seen = db::seen::find(&mut app.db.read().await?, session.id).await?;
    let seen = seen.ok_or(Error::NotFound("session"))?;
    let is_active = seen.session.status == SessionStatus::Active;
    let ticket = is_active.then(|| tickets::issue(&app, &seen.session, student.login_id, now));
    let ws_url = ws_url(&app, seen.session.id);
    let answer = StartView { session: seen.into(), ws_url, ticket };
    Ok(Repeatable { answer, is_replayed })
}

/// Where the player of a session connects: this Murph, over a WebSocket.
fn ws_url(app: &App, id: SessionId) -> String {
    let url = app.public_url();
    // `https` becomes `wss`.
    let (_, rest) = url.split_at_checked("http".len()).unwrap_or_default();
    format!("ws{rest}/ws/session/{id}")
}

/// What lets a player in, once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Ticket")]
struct TicketView {
    ticket: String,
    #[schemars(extend("format" = "uri"))]
    ws_url: String,
    expires_in_seconds: u64,
}

async fn ticket(
    State(app): State<App>,
    Student(student): Student,
    Path(id): Path<SessionId>,
) -> Result<Created<TicketView>> {
    let session = sessions::find_own(&app, student.user.id, id).await?;
    if session.status != SessionStatus::Active {
        return Err(Error::SessionEnded);
    }
    let view = TicketView {
        ticket: tickets::issue(&app, &session, student.login_id, app.clock.now()),
        ws_url: ws_url(&app, id),
        expires_in_seconds: tickets::LIFETIME.as_secs(),
    };
    Ok(Created(view))
}

async fn end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<Json<Receipt>> {
    let settled = sessions::end(&app, &caller, id, app.clock.now()).await?;
    Ok(Json(receipts::of(&app, &settled.session).await?))
}

async fn active(State(app): State<App>, Student(student): Student) -> Result<Json<SessionView>> {
    let seen = db::seen::find_active(&mut app.db.read().await?, student.user.id).await?;
    let seen = seen.ok_or(Error::NotFound("active session"))?;
    Ok(Json(live_view(&app, seen).await))
}

async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<Json<SessionView>> {
    let seen = sessions::find_seen(&app, &caller.user, id).await?;
    Ok(Json(live_view(&app, seen).await))
}

async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<Json<Receipt>> {
    let seen = sessions::find_seen(&app, &caller.user, id).await?;
    Ok(Json(receipts::of(&app, &seen.session).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<SessionStatus>,
    course_id: Option<CourseId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<SessionView>>> {
    let of = match caller.user.role {
        Role::Student => Of::Student(caller.user.id),
        Role::Teacher => Of::Teacher(caller.user.id),
        Role::Admin => return Err(Error::Forbidden("this is for students and teachers")),
    };
    let ListQuery { status, course_id, limit, cursor } = query;
    let (started_at, id) = match cursor {
        Some(cursor) => cursor.place()?,
        None => (Timestamp::END, SessionId::from_uuid(Uuid::max())),
    };
    let filter = Filter { of, status, course_id, after: Position { started_at, id } };
    let found = db::seen::list(&mut app.db.read().await?, &filter, limit.and_one()).await?;
    let place = |seen: &Seen| page::place(seen.session.started_at, seen.session.id);
    Ok(Json(Page::new(found, limit.entries(), place)))
}
