//! What can go wrong with a provider, and what that says about it.
//!
//! Some of it is brought about by what a student wrote, and says nothing about the provider: whoever
//! could make it count could turn the models off for everybody.

use std::{fmt, time::Duration};

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};

use serde_json::Value;

use crate::domain::discovery::Tokens;

/// By these providers say, with a status that otherwise is about the question, that it is ours to
/// mend: Gemini that it does not know the key, that the key may not, or that it wants to be paid;
/// Anthropic that the key may not; and Groq that the model is gone.
const SETUP_CODES: [&str; 5] = [
    "API_KEY_INVALID",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "permission_error",
    "model_decommissioned",
];

/// Groq's word for "all capacity is used".
const CAPACITY_EXCEEDED: u16 = 498;

/// Why there is no answer. Holds nothing that a provider wrote: it may repeat our key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It had all the time that one model has.
    TimedOut,
    /// So did others before it, and there was less left for it.
    CutShort,
    Unreachable,
    /// It has too much to do, or breaks. It may say for how long.
    Busy {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// It does not take what we sent, or does not want to answer it: an answer that is not JSON, as
    /// a student may have asked for, a text that is too long for it, words that it does not like.
    Refused(StatusCode),
    /// It does not know our key, the model or the path, or is not paid: somebody has to mend that.
    Setup(StatusCode),
    /// What it sent is not an answer, or far too much.
    Unreadable,
    /// It said nothing, as when all its tokens went into thinking; it took some all the same.
    Silent(Tokens),
    /// It does not want to talk about that, which is no fault of anybody's, and took tokens to say so.
    Declined(Tokens),
}

impl Trouble {
    /// For the metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::CutShort => "cut_short",
            Self::Unreachable => "unreachable",
            Self::Busy { .. } => "busy",
            Self::Refused(_) => "refused",
            Self::Setup(_) => "misconfigured",
            Self::Unreadable => "unreadable",
            Self::Silent(_) => "silent",
            Self::Declined(_) => "declined",
        }
    }

    /// Whether it is ours to mend.
    pub(super) fn is_setup(&self) -> bool {
        matches!(self, Self::Setup(_))
    }

    /// What it took, as far as it told.
    pub(super) fn tokens(&self) -> Tokens {
        match self {
            Self::Silent(tokens) | Self::Declined(tokens) => *tokens,
            _ => Tokens::default(),
        }
    }
}

/// As in "openai did not answer in time".
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("did not answer in time"),
            Self::CutShort => f.write_str("did not answer in the time that was left"),
            Self::Unreachable => f.write_str("cannot be reached"),
            Self::Busy { status, .. } | Self::Refused(status) | Self::Setup(status) => {
                write!(f, "answered {}", status.as_u16())
            }
            Self::Unreadable => f.write_str("sent what is no answer"),
            Self::Silent(_) => f.write_str("said nothing"),
            Self::Declined(_) => f.write_str("declined to answer"),
        }
    }
}

/// What is wrong by the head of a response; `None`: nothing.
pub(super) fn of_head(status: StatusCode, headers: &HeaderMap) -> Option<Trouble> {
    Some(match status.as_u16() {
        200..=299 => return None,
        408 | 425 | 429 | CAPACITY_EXCEEDED | 500..=599 => {
            Trouble::Busy { status, retry_after: retry_after(headers) }
        }
        400 | 403 | 413 | 422 => Trouble::Refused(status),
        _ => Trouble::Setup(status),
    })
}

/// What is wrong, if a refusal has this in its body.
///
/// Only words of the provider's own count, each in its place: what it says in sentences may be what
/// a student wrote. Nothing of it is kept.
pub(super) fn of_refusal(status: StatusCode, body: &[u8]) -> Trouble {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let reasons = error["details"].as_array().into_iter().flatten().map(|it| &it["reason"]);
    let mut codes = ["code", "status", "type"].map(|name| &error[name]).into_iter().chain(reasons);
    if codes.any(|code| code.as_str().is_some_and(|code| SETUP_CODES.contains(&code))) {
        Trouble::Setup(status)
    } else {
        Trouble::Refused(status)
    }
}

/// In seconds, as all of them send it; a date is not worth the trouble, as there is a rest anyway.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn of(status: u16, retry_after: Option<&'static str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        of_head(StatusCode::from_u16(status).unwrap(), &headers).map(|trouble| trouble.name())
    }

    #[test]
    fn a_status_says_whose_fault_it_is() {
        for (status, name) in [
            (200, None),
            (408, Some("busy")),
            (429, Some("busy")),
            (498, Some("busy")),
            (500, Some("busy")),
            (503, Some("busy")),
            (529, Some("busy")),
            (400, Some("refused")),
            (403, Some("refused")),
            (413, Some("refused")),
            (422, Some("refused")),
            (302, Some("misconfigured")),
            (401, Some("misconfigured")),
            (402, Some("misconfigured")),
            (404, Some("misconfigured")),
        ] {
            assert_eq!(of(status, None), name, "{status}");
        }
    }

    #[test]
    fn a_refusal_may_say_that_it_is_our_fault() {
        let of = |error: Value| {
            let body = json!({"error": error}).to_string();
            of_refusal(StatusCode::BAD_REQUEST, body.as_bytes()).name()
        };
        for error in [
            json!({"code": 400, "status": "INVALID_ARGUMENT",
                "details": [{"@type": "x"}, {"reason": "API_KEY_INVALID"}]}),
            json!({"code": 403, "status": "PERMISSION_DENIED"}),
            json!({"code": 400, "status": "FAILED_PRECONDITION"}),
            json!({"type": "permission_error"}),
            json!({"type": "invalid_request_error", "code": "model_decommissioned"}),
        ] {
            assert_eq!(of(error.clone()), "misconfigured", "{error}");
        }
        // What a student may have written, and what says something else.
        for error in [
            json!({"code": "json_validate_failed", "failed_generation": "API_KEY_INVALID"}),
            json!({"failed_generation": {"code": "API_KEY_INVALID"}}),
            json!({"message": "model_decommissioned", "details": ["API_KEY_INVALID"]}),
            json!({"code": "no API_KEY_INVALID", "details": {"reason": "API_KEY_INVALID"}}),
            json!("API_KEY_INVALID"),
            json!(null),
        ] {
            assert_eq!(of(error.clone()), "refused", "{error}");
        }
        for body in ["API_KEY_INVALID", "", "[]", "{\"error\": {\"code\": \"API_KEY_INVALID\""] {
            assert_eq!(of_refusal(StatusCode::FORBIDDEN, body.as_bytes()).name(), "refused");
        }
    }

    #[test]
    fn the_time_asked_for_is_in_seconds() {
        for (text, wait) in [("30", Some(30)), (" 0 ", Some(0)), ("-1", None), ("soon", None)] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{text}");
        }
    }
}
