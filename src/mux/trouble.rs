//! What can go wrong with Mux, and what that says.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

use super::asset;

/// Why there is no answer, or not the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was not even asked.
    Unreachable,
    /// It was asked, and may have done it.
    Silent,
    /// It has too much to do, or breaks.
    Busy(StatusCode),
    /// It does not take this, and says why. Plain text.
    Refused(String),
    /// It does not know such a thing.
    Unknown,
    /// It does not know our key or the path, or is not paid: somebody has to mend that.
    Setup(StatusCode),
    /// What it sent is no answer.
    Unreadable,
}

impl Trouble {
    /// Whether nothing can have come of it.
    #[must_use]
    pub fn is_before(&self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Setup(_)
                | Self::Unknown
                | Self::Busy(StatusCode::TOO_MANY_REQUESTS)
        )
    }

    /// Whether it is ours to mend.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Setup(_) | Self::Unknown)
    }
}

/// As in "Mux did not answer".
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("cannot be reached"),
            Self::Silent => f.write_str("did not answer"),
            Self::Busy(status) | Self::Setup(status) => write!(f, "answered {}", status.as_u16()),
            Self::Refused(why) => write!(f, "refused it: {why}"),
            Self::Unknown => f.write_str("answered 404"),
            Self::Unreadable => f.write_str("sent what is no answer"),
        }
    }
}

pub(super) fn of_sending(error: &reqwest::Error) -> Trouble {
    if error.is_connect() { Trouble::Unreachable } else { Trouble::Silent }
}

/// An answer that is no success. `body` says why, if it is about what was sent.
pub(super) fn of_status(status: StatusCode, body: &[u8]) -> Trouble {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            Trouble::Refused(why(body, status))
        }
        StatusCode::NOT_FOUND => Trouble::Unknown,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Trouble::Busy(status),
        status if status.is_server_error() => Trouble::Busy(status),
        status => Trouble::Setup(status),
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: asset::Errors,
}

fn why(body: &[u8], status: StatusCode) -> String {
    let words = serde_json::from_slice::<Refusal>(body).ok();
    let words = words.and_then(|refusal| refusal.error.words());
    words.unwrap_or_else(|| format!("with status {}", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Trouble {
        of_status(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_status_says_whose_fault_it_is() {
        let why =
            r#"{"error":{"type":"invalid_parameters","messages":["No <b>such\u0000 input\n"]}}"#;
        for status in [400, 422] {
            assert_eq!(of(status, why), Trouble::Refused("No <b>such  input".into()));
            let silent = Trouble::Refused(format!("with status {status}"));
            for nothing in ["", "[]", "{\"error\":{\"messages\":[]}}", "{\"error\":\"no\"}"] {
                assert_eq!(of(status, nothing), silent, "{nothing}");
            }
        }
        for status in [401, 402, 403, 302] {
            assert!(of(status, why).is_setup() && of(status, why).is_before(), "{status}");
        }
        assert!(!of(429, why).is_setup() && of(429, why).is_before());
        for status in [408, 500, 503] {
            assert!(!of(status, why).is_setup() && !of(status, why).is_before(), "{status}");
        }
        assert_eq!(of(404, why), Trouble::Unknown);
    }
}
