//! One request as the log and the metrics see it: its id, its route, who asked, how it ended.
//!
//! What a client may choose freely never becomes a label or a line: not the path (the route
//! stands for it), not the query, no header but a well-formed `X-Request-Id`, and no body.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, Span, field, info, info_span};

use crate::{
    app::App,
    id::{RequestId, UserId},
    telemetry::AnsweredRequest,
    time::whole_ms,
};

/// Where clients and proxies name a request, and where the answer repeats it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id a client may choose.
const ID_LENGTH_MAX: usize = 64;

/// The route of a request for which there is none.
const NO_ROUTE: &str = "none";

/// The status logged when the client left, or the server stopped, before there was an answer.
const NO_ANSWER: u16 = 499;

tokio::task_local! {
    /// The request this task is answering. A problem finds the id here, wherever it arises.
    static CURRENT: Arc<Context>;
}

struct Context {
    id: String,
    user: OnceLock<UserId>,
    span: Span,
}

/// The id of the request that is being answered; `None` outside of one.
pub(super) fn request_id() -> Option<String> {
    CURRENT.try_with(|context| context.id.clone()).ok()
}

/// Remembers who asked, for the log.
pub(super) fn set_user(user: UserId) {
    // Outside of a request there is no line to put it in.
    let _ = CURRENT.try_with(|context| {
        context.span.record("user_id", field::display(user));
        context.user.set(user)
    });
}

/// Gives the request its id, and logs and counts the answer. The outermost layer.
pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_name = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let id = id_from_client(request.headers()).unwrap_or_else(|| new_id(&app));
    let header = HeaderValue::from_str(&id).expect("an id is made of plain letters");

    let span =
        info_span!("request", request_id = id, method, route = route_name, user_id = field::Empty);
    let context = Arc::new(Context { id, user: OnceLock::new(), span: span.clone() });
    let mut observation = Observation {
        app,
        context: context.clone(),
        method,
        route,
        began: Instant::now(),
        status: NO_ANSWER,
    };
    let mut response = CURRENT.scope(context, next.run(request)).instrument(span).await;
    observation.status = response.status().as_u16();
    response.headers_mut().insert(REQUEST_ID, header);
    response
}

/// Writes its line when it is dropped, so that there is one however the request ends.
struct Observation {
    app: App,
    context: Arc<Context>,
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
    status: u16,
}

impl Drop for Observation {
    fn drop(&mut self) {
        let Self { method, status, .. } = *self;
        let route = self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
        let duration = self.began.elapsed();
        self.app.metrics.record_request(AnsweredRequest { route, method, status, duration });
        info!(
            method,
            route,
            status,
            duration_ms = whole_ms(duration),
            request_id = self.context.id,
            user_id = self.context.user.get().map(field::display),
            "{method} {route} {status}"
        );
    }
}

/// The client's own id, if it cannot do harm in a log, a header or a shell.
fn id_from_client(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let fits = (1..=ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(is_plain);
    fits.then(|| id.to_owned())
}

fn new_id(app: &App) -> String {
    format!("req_{}", RequestId::new(app.clock.now()).uuid().simple())
}

/// A client may send any word as a method; only the known ones are repeated.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(id: &str) -> Option<String> {
        let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
        id_from_client(&HeaderMap::from_iter([(REQUEST_ID, id)]))
    }

    #[test]
    fn a_plain_id_is_kept() {
        for id in ["a", "01890000-0000-7000-8000-000000000000", "req_1.2-3", &"x".repeat(64)] {
            assert_eq!(chosen(id).as_deref(), Some(id));
        }
    }

    #[test]
    fn any_other_id_is_not() {
        for id in ["", "a b", "a;b", "<script>", "a\tb", "ü", "${x}", "a/b", &"x".repeat(65)] {
            assert_eq!(chosen(id), None, "{id:?}");
        }
        assert_eq!(id_from_client(&HeaderMap::new()), None);
    }

    #[test]
    fn outside_of_a_request_there_is_no_id() {
        assert_eq!(request_id(), None);
    }
}
