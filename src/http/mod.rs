//! REST: take a request apart, call a use case, answer. Errors become statuses in [`mod@error`].
//!
//! A request goes through these, from the outside in:
//!
//! ```text
//! trailing slash off ─▶ route ─▶ id, log, metrics ─▶ headers ─▶ CORS ─▶ panics ─▶ time ─▶ handler
//!                                   observe                                              extract
//! ```
//!
//! Handlers decide nothing: what is allowed is in their arguments (`extract`), what is right in
//! `service`. What is not a success is a problem of the one table in [`codes`].

pub mod admin;
mod answer;
pub mod auth;
mod catalogue;
pub mod codes;
pub mod courses;
pub mod discovery;
mod docs;
pub mod error;
mod etag;
pub mod extract;
mod health;
mod jwks;
mod media;
mod observe;
pub mod openapi;
mod page;
pub mod payments;
mod range;
pub mod reviews;
pub mod sessions;
pub mod socket;
pub mod teacher;
mod upload;
pub mod users;
pub mod videos;
mod webhooks;

use std::{any::Any, time::Duration};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, Uri, header, uri::PathAndQuery},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower::ServiceExt;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::{error, warn};

use self::{error::Problem, openapi::Routes};
use crate::{app::App, config, live::Live};

/// In front of every path that is part of the API.
pub const PREFIX: &str = "/api/v1";

/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// When to ask again after an answer took too long.
const RETRY_TOOK_TOO_LONG: Duration = Duration::from_secs(2);

/// In the extensions of a request whose head gave the length of its body in two ways. The server
/// puts it there, as hyper shows only one of the two.
#[derive(Clone, Copy, Debug)]
pub struct AmbiguousLength;

/// Everything Murph answers over HTTP.
pub fn router(app: App, live: Live) -> Router {
    let routes = routes(app.config.server.request_timeout());
    let routes = routes.layer(Extension(live)).into_router();
    let routes = with_layers(routes, &app).with_state(app);
    // A layer of the router itself would come after routing, too late to change the path.
    Router::new().fallback_service(routes.map_request(without_trailing_slash))
}

/// The whole table. What carries files has limits of its own; all else is answered within `limit`.
fn routes(limit: Duration) -> Routes {
    let files = upload::routes().below(PREFIX).merge(media::routes());
    let api = Routes::default()
        .merge(auth::routes())
        .merge(users::routes())
        .merge(courses::routes())
        .merge(discovery::routes())
        .merge(videos::routes())
        .merge(sessions::routes())
        .merge(payments::routes())
        .merge(reviews::routes())
        .merge(teacher::routes())
        .merge(webhooks::routes())
        .merge(admin::routes());
    let beside =
        socket::routes().merge(health::routes()).merge(jwks::routes()).merge(docs::routes());
    api.below(PREFIX).merge(beside).within(limit).merge(files)
}

/// What every request goes through, whatever its route. The last one is the outermost.
fn with_layers(routes: Router<App>, app: &App) -> Router<App> {
    let server = &app.config.server;
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(refuse_ambiguous_length))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors(server))
        .layer(middleware::map_response(with_security_headers))
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
}

async fn not_found(uri: Uri) -> Problem {
    let below = uri.path().strip_prefix(PREFIX).unwrap_or(uri.path());
    let detail = if below.starts_with("/api/") {
        // A client whose base address ends with the prefix, and which adds it once more.
        format!("the prefix is in this path twice: once {PREFIX} is enough")
    } else {
        "there is nothing at this path".to_owned()
    };
    Problem::new(codes::NOT_FOUND, detail)
}

/// axum adds the `Allow` header.
async fn method_not_allowed() -> Problem {
    Problem::new(codes::METHOD_NOT_ALLOWED, "the Allow header has the methods that do")
}

/// `/courses/` is `/courses`. Answered at once: a redirect would turn a POST into a GET.
fn without_trailing_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    let shorter = path.trim_end_matches('/');
    if shorter.is_empty() || shorter.len() == path.len() {
        return request;
    }
    let shorter = match request.uri().query() {
        Some(query) => format!("{shorter}?{query}"),
        None => shorter.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(shorter).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Gives up on a handler. Whatever transaction it had open is rolled back when it is dropped; what
/// it had handed to the ledger's writer may still be done, so the answer promises nothing.
async fn answer_in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        warn!("gave up on a request after {limit:?}");
        let detail = "it is not known whether this was done; ask, or send it again with the same \
                      Idempotency-Key";
        Problem::new(codes::TOOK_TOO_LONG, detail).retry_after(RETRY_TOOK_TOO_LONG).into_response()
    })
}

/// Whoever gives the length of a body in two ways may want a proxy in front to believe one and us
/// the other, and so to smuggle a request past it. RFC 9112 (6.3) lets a server refuse that.
async fn refuse_ambiguous_length(request: Request, next: Next) -> Response {
    if request.extensions().get::<AmbiguousLength>().is_some() {
        let detail = "send Content-Length or Transfer-Encoding, not both";
        return Problem::new(codes::BAD_REQUEST, detail).into_response();
    }
    next.run(request).await
}

/// The answer when a handler panicked. What it said is for the log only.
#[expect(clippy::needless_pass_by_value, reason = "tower-http passes it so")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing");
    error!("a handler panicked and said: {said}");
    let detail = "this is not your fault; the log has it under the request_id";
    Problem::new(codes::INTERNAL, detail).into_response()
}

/// Lets the pages of the listed origins use the API, and no others.
///
/// Credentials (cookies) are never allowed: a page sends its token in a header, so a page that is
/// not meant to has nothing to send.
fn cors(server: &config::Server) -> CorsLayer {
    let origins = &server.cors_origins;
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            observe::REQUEST_ID,
        ])
        .expose_headers([
            observe::REQUEST_ID,
            answer::REPLAYED,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
            header::RETRY_AFTER,
        ])
        .max_age(CORS_MAX_AGE)
}

/// Answers are about one person and one moment: nobody keeps them, unless a handler says so.
async fn with_security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::StatusCode,
        routing::get,
    };

    use super::*;

    async fn ask(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_says_nothing() {
        async fn handler() -> &'static str {
            panic!("secret words")
        }
        let router =
            Router::new().route("/", get(handler)).layer(CatchPanicLayer::custom(panicked));
        let (status, body) = ask(router, "/").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn two_lengths_are_refused() {
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .layer(middleware::from_fn(refuse_ambiguous_length));
        assert_eq!(ask(router.clone(), "/").await.0, StatusCode::OK);
        let router = router.map_request(|mut request: Request| {
            request.extensions_mut().insert(AmbiguousLength);
            request
        });
        let (status, _) = ask(Router::new().fallback_service(router), "/").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn only_slashes_at_the_end_go() {
        for (from, to) in [
            ("/", "/"),
            ("//", "//"),
            ("/courses", "/courses"),
            ("/courses/", "/courses"),
            ("/courses//?limit=1/", "/courses?limit=1/"),
            ("/a//b/", "/a//b"),
            ("http://murph.example/courses/", "http://murph.example/courses"),
            ("*", "*"),
        ] {
            let request = Request::builder().uri(from).body(Body::empty()).unwrap();
            assert_eq!(without_trailing_slash(request).uri(), to, "{from}");
        }
    }
}
