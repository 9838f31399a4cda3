//! `GET /api/v1/teacher/live`: server-sent events while students watch.
//!
//! Each event is the whole view, so whoever comes back has missed nothing: with `Last-Event-ID` it
//! is sent again only if it is another by now. A client that reads slowly is sent fewer of them,
//! each the newest; nobody waits for it.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{Stream, stream};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::DashboardQuery;
use crate::{
    app::App,
    domain::{calendar::Zone, user::Role},
    error::{OrLog, Result},
    http::{
        extract::{Query, Teacher},
        openapi::{Input, Operation, Output, Promise},
    },
    service::{
        earnings::{self, LiveView},
        identity::{self, Caller},
    },
};

/// The name of the events.
const EVENT: &str = "live";

/// How soon a browser that lost the connection comes back.
const RETRY: Duration = Duration::from_secs(2);

/// How often the database is asked whether a sign-in still stands, if nobody said that one has ended.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// After so long a silence a comment is sent, so that no proxy takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How much of a hash is enough to tell two views apart.
const ID_BYTES: usize = 12;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The id of the last event that a client has got, if it comes back.
#[derive(Debug)]
pub(super) struct LastEventId(Option<String>);

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        Ok(Self(id.map(str::to_owned)))
    }
}

impl Input for LastEventId {
    fn describe(operation: &mut Operation<'_>) {
        operation.asks_for("Last-Event-ID");
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Events(Response);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Output for Events {
    fn describe(operation: &mut Operation<'_>) {
        let schema = json!({
            "type": "string",
            "description": format!("Events of the name `{EVENT}`; `x-data` is the schema of the JSON in `data`."),
            "x-data": operation.written::<LiveView>(),
        });
        operation.answers(StatusCode::OK, Promise::of("text/event-stream", schema));
    }
}

/// What is needed to go on.
struct Watch {
    app: App,
    teacher: Caller,
    zone: Zone,
    timer: Interval,
    /// The id of what was sent last.
    shown: Option<String>,
    view: earnings::View,
    /// When the sign-in stood.
    asked_at: Option<Instant>,
}

pub(super) async fn watch(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<DashboardQuery>,
    LastEventId(shown): LastEventId,
) -> Result<Events> {
    let zone = super::zone(&teacher, query.time_zone.as_deref())?;
    let view = app.views.open(teacher.user.id)?;
    let mut timer = interval(app.clock.cadence(app.config.metering.tick()));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch { app, teacher, zone, timer, shown, view, asked_at: None };
    let events = Sse::new(events(watch)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = events.into_response();
    // For proxies that would rather collect an answer first.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Events(response))
}

fn events(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    })
}

impl Watch {
    /// The next event, when there is something new. `None`: this is over.
    async fn next(&mut self) -> Option<Event> {
        let stopped = self.app.stop.clone();
        loop {
            tokio::select! {
                () = stopped.cancelled() => return None,
                () = self.view.called() => self.asked_at = None,
                _ = self.timer.tick() => {}
            }
            if !self.may_go_on().await {
                return None;
            }
            let Some(json) = self.look().await else { continue };
            let hash = Sha256::digest(&json);
            let id = URL_SAFE_NO_PAD.encode(&hash[..ID_BYTES]);
            if self.shown.as_ref() != Some(&id) {
                let event = Event::default().event(EVENT).id(&id).retry(RETRY).data(json);
                self.shown = Some(id);
                return Some(event);
            }
        }
    }

    /// Whether the sign-in still stands, and is a teacher's. As long as the database cannot say, it
    /// does: then there is nothing to see either.
    async fn may_go_on(&mut self) -> bool {
        if self.asked_at.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return true;
        }
        let Caller { user, login_id } = &self.teacher;
        let now = self.app.clock.now();
        let found = identity::find_signed_in(&self.app, user.id, *login_id, now).await;
        let Some(found) = found.or_log("looking for a teacher's sign-in") else { return true };
        self.asked_at = Some(Instant::now());
        found.is_some_and(|user| user.role == Role::Teacher)
    }

    /// How it is, as JSON. `None` if the database cannot say just now.
    async fn look(&self) -> Option<String> {
        let now = self.app.clock.now();
        let live = earnings::live(&self.app, &self.view, &self.zone, now).await;
        let live = live.or_log("looking at a teacher's earnings")?;
        serde_json::to_string(&live).or_log("writing a teacher's earnings")
    }
}
