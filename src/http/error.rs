//! Turns what went wrong into an answer: `application/problem+json` (RFC 9457).
//!
//! Failures of ours are logged here, once, with their causes, and never explained to the client:
//! it gets the request's id, under which the log can be searched.

use std::{error::Error as _, fmt::Write as _, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{error, warn};

use super::{
    codes::{self, Code},
    docs, observe,
};
use crate::{error::Error, id::SessionId, money::Money};

/// When to ask again after a queue of ours was full.
const RETRY_BUSY: Duration = Duration::from_secs(1);

/// When to ask again after the database was away.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(2);

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    code: Code,
    detail: String,
    param: Option<String>,
    retry_after_seconds: Option<u32>,
    /// Hardly any has some, and all are passed around.
    members: Box<Members>,
}

/// What some codes say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
struct Members {
    /// With `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    required: Option<Money>,
    /// With `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Money")]
    available: Option<Money>,
    /// With `session_active`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SessionId")]
    session_id: Option<SessionId>,
}

impl Problem {
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            param: None,
            retry_after_seconds: None,
            members: Box::default(),
        }
    }

    /// Names the field, query parameter or header that is to blame.
    #[must_use]
    pub fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        // Rounded up: whoever comes back at that time shall not be early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_seconds = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    #[must_use]
    fn with(self, members: Members) -> Self {
        Self { members: Box::new(members), ..self }
    }

    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }
}

/// What went wrong (RFC 9457).
// In the order in which they are read best.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body<'a> {
    /// Where the code is explained.
    r#type: String,
    title: &'a str,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// In words, for people.
    detail: &'a str,
    /// What to branch on.
    #[schemars(with = "Code")]
    code: &'a str,
    /// The field, parameter or header that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    param: Option<&'a str>,
    /// What the request is called in the logs.
    // Without it only outside of a request, which is in unit tests.
    #[schemars(with = "String")]
    request_id: Option<String>,
    #[serde(flatten)]
    members: &'a Members,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Code { name, status, title } = self.code;
        let body = Body {
            r#type: format!("{}#{name}", docs::ERRORS),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code: name,
            param: self.param.as_deref(),
            request_id: observe::request_id(),
            members: &self.members,
        };
        let body = serde_json::to_string(&body).expect("a problem is plain data");

        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 wants a challenge with every 401.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        log(&self);
        Problem::from(self).into_response()
    }
}

/// What the client is told. Whoever turns an error into more than a response logs it too.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = Self::new(code_of(&error), detail_of(&error));
        match error {
            Error::Invalid { param, .. } => problem.about(param),
            Error::InsufficientFunds { required, available } => {
                let (required, available) = (Some(required), Some(available));
                problem.with(Members { required, available, ..Members::default() })
            }
            Error::SessionActive(session) => {
                problem.with(Members { session_id: Some(session), ..Members::default() })
            }
            Error::RateLimited { retry_after } => problem.retry_after(retry_after),
            Error::Busy => problem.retry_after(RETRY_BUSY),
            Error::Unavailable(_) | Error::Storage { .. } => problem.retry_after(RETRY_UNAVAILABLE),
            _ => problem,
        }
    }
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::NotFound(_) => codes::NOT_FOUND,
        Error::Unauthenticated(_) => codes::UNAUTHENTICATED,
        Error::WrongCredentials => codes::WRONG_CREDENTIALS,
        Error::Forbidden(_) => codes::FORBIDDEN,
        Error::Invalid { .. } => codes::INVALID,
        Error::EmailTaken => codes::EMAIL_TAKEN,
        Error::InsufficientFunds { .. } => codes::INSUFFICIENT_FUNDS,
        Error::WalletNotConnected => codes::WALLET_NOT_CONNECTED,
        Error::SessionActive(_) => codes::SESSION_ACTIVE,
        Error::SessionEnded => codes::SESSION_ENDED,
        Error::SessionNotEnded => codes::SESSION_NOT_ENDED,
        Error::SessionCancelled => codes::SESSION_CANCELLED,
        Error::AlreadyReviewed => codes::ALREADY_REVIEWED,
        Error::ReviewClosed(_) => codes::REVIEW_CLOSED,
        Error::Fenced => codes::SESSION_MOVED,
        Error::OutOfRange(_) => codes::OUT_OF_RANGE,
        Error::IdempotencyKeyReused => codes::IDEMPOTENCY_KEY_REUSED,
        Error::IdempotencyKeyRunning => codes::IDEMPOTENCY_KEY_RUNNING,
        Error::NoGateway => codes::NO_GATEWAY,
        Error::VideoNotReady => codes::VIDEO_NOT_READY,
        Error::UploadMissing => codes::UPLOAD_MISSING,
        Error::UploadOver => codes::UPLOAD_OVER,
        Error::RateLimited { .. } => codes::RATE_LIMITED,
        Error::Busy => codes::BUSY,
        Error::Unavailable(_) => codes::UNAVAILABLE,
        Error::Storage { .. } => codes::STORAGE_UNAVAILABLE,
        Error::Database(_) | Error::Schema(_) | Error::Internal(_) => codes::INTERNAL,
    }
}

/// The error's own words, unless they are for the log only.
fn detail_of(error: &Error) -> String {
    match error {
        Error::Database(_) | Error::Schema(_) | Error::Internal(_) => {
            "this is not your fault; the log has it under the request_id".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Writes a failure of ours to the log. Refusals are no failures: the access log has them.
pub(super) fn log(error: &Error) {
    let status = code_of(error).status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        warn!("a request was turned away: {}", with_causes(error));
    } else if status.is_server_error() {
        error!("a request failed: {}", with_causes(error));
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::Storage { doing, .. } = error {
        write!(text, " (while {doing})").expect("writing to a string cannot fail");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a string cannot fail");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::time::Timestamp;

    fn every_error() -> Vec<Error> {
        let (required, available) = (Money::from_micros(30_000_000), Money::ZERO);
        let gone = || Arc::new(sqlx::Error::Protocol("secret words".into()));
        vec![
            Error::NotFound("session"),
            Error::Unauthenticated("no token"),
            Error::WrongCredentials,
            Error::Forbidden("students only"),
            Error::invalid("email", "is not an address"),
            Error::EmailTaken,
            Error::InsufficientFunds { required, available },
            Error::WalletNotConnected,
            Error::SessionActive(SessionId::new(Timestamp::EPOCH)),
            Error::SessionEnded,
            Error::SessionNotEnded,
            Error::SessionCancelled,
            Error::AlreadyReviewed,
            Error::ReviewClosed("an admin has decided"),
            Error::Fenced,
            Error::OutOfRange("the wallet is full"),
            Error::IdempotencyKeyReused,
            Error::IdempotencyKeyRunning,
            Error::NoGateway,
            Error::VideoNotReady,
            Error::UploadMissing,
            Error::UploadOver,
            Error::storage("writing", std::io::Error::other("secret words")),
            Error::RateLimited { retry_after: Duration::from_millis(6_001) },
            Error::Busy,
            Error::Unavailable(gone()),
            Error::Database(gone()),
            Error::Schema("secret words".into()),
            Error::Internal("secret words".into()),
        ]
    }

    async fn answer(error: Error) -> (Response, Value) {
        let (parts, body) = error.into_response().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(parts, axum::body::Body::empty()), json)
    }

    #[tokio::test]
    async fn every_error_is_a_problem_of_the_table() {
        for error in every_error() {
            let (response, body) = answer(error.clone()).await;
            let code = codes::ALL.iter().find(|code| body["code"] == code.name).unwrap();
            assert_eq!(response.status(), code.status);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(body["status"], code.status.as_u16());
            assert_eq!(body["title"], code.title);
            assert_eq!(body["type"], format!("/docs/errors#{}", code.name));
            assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
        }
    }

    #[tokio::test]
    async fn failures_of_ours_are_not_explained() {
        for error in every_error() {
            let (_, body) = answer(error).await;
            assert!(!body.to_string().contains("secret"), "{body}");
        }
        let cause = Error::Database(Arc::new(sqlx::Error::Protocol("secret words".into())));
        assert!(with_causes(&cause).ends_with("secret words"));
    }

    #[tokio::test]
    async fn some_say_more() {
        let (required, available) = (Money::from_micros(7_500_000), Money::ZERO);
        let (_, body) = answer(Error::InsufficientFunds { required, available }).await;
        assert_eq!((&body["required"], &body["available"]), (&json!("7.50"), &json!("0.00")));

        let session = SessionId::new(Timestamp::EPOCH);
        let (_, body) = answer(Error::SessionActive(session)).await;
        assert_eq!(body["session_id"], session.to_string());

        let (_, body) = answer(Error::invalid("email", "is not an address")).await;
        assert_eq!(body["param"], "email");

        let (response, _) = answer(Error::Unauthenticated("no token")).await;
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test]
    async fn waiting_times_are_rounded_up() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (6_000, "6"), (6_001, "7")] {
            let retry_after = Duration::from_millis(millis);
            let (response, _) = answer(Error::RateLimited { retry_after }).await;
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
