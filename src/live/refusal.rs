//! What a player is told when something was refused, in the words REST has for it.

use crate::error::Error;

/// The code that clients branch on, and a sentence. Failures of ours are not explained.
pub(super) fn words(error: &Error) -> (&'static str, String) {
    let code = match error {
        Error::NotFound(_) => "not_found",
        Error::Unauthenticated(_) => "unauthenticated",
        Error::Forbidden(_) => "forbidden",
        Error::Invalid { .. } => "invalid",
        Error::InsufficientFunds { .. } => "insufficient_funds",
        Error::OutOfRange(_) => "out_of_range",
        Error::SessionEnded => "session_ended",
        Error::Fenced => "session_moved",
        Error::Busy => "busy",
        Error::Unavailable(_) => "unavailable",
        error => {
            tracing::error!(%error, "a player could not be served: {error}");
            return ("internal", "this is not your fault".to_owned());
        }
    };
    (code, error.to_string())
}
