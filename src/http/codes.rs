//! Every answer that is not a success: its code, its status, its title. There is no other table.
//!
//! A code is a promise: clients branch on it. It is never renamed and never changes its meaning;
//! titles and details may.

use axum::http::StatusCode;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The `code` of the problem, and the fragment of its `type`.
    pub name: &'static str,
    pub status: StatusCode,
    pub title: &'static str,
}

/// Makes a constant of every row, and the list of them all: so none can be missing from it.
macro_rules! codes {
    ($($constant:ident $name:literal $status:ident $title:literal)*) => {
        $(pub const $constant: Code =
            Code { name: $name, status: StatusCode::$status, title: $title };)*

        /// All codes, in the order of the table.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

#[rustfmt::skip]
codes! {
    // The request cannot be read.
    BAD_REQUEST             "bad_request"             BAD_REQUEST            "The request is not valid HTTP"
    MALFORMED_JSON          "malformed_json"          BAD_REQUEST            "The body is not JSON"
    TIMEOUT                 "timeout"                 REQUEST_TIMEOUT        "The body did not arrive in time"
    BODY_TOO_LARGE          "body_too_large"          PAYLOAD_TOO_LARGE      "The body is too large"
    UNSUPPORTED_MEDIA_TYPE  "unsupported_media_type"  UNSUPPORTED_MEDIA_TYPE "The body has another type than it must"
    NOT_FOUND               "not_found"               NOT_FOUND              "There is no such thing"
    UPGRADE_REQUIRED        "upgrade_required"        UPGRADE_REQUIRED       "This is a WebSocket"
    METHOD_NOT_ALLOWED      "method_not_allowed"      METHOD_NOT_ALLOWED     "The method does not fit the path"
    RANGE_NOT_SATISFIABLE   "range_not_satisfiable"   RANGE_NOT_SATISFIABLE  "The range is not within the file"
    INVALID                 "invalid"                 UNPROCESSABLE_ENTITY   "A value does not fit"

    // Who asks.
    UNAUTHENTICATED         "unauthenticated"         UNAUTHORIZED           "Sign in first"
    WRONG_CREDENTIALS       "wrong_credentials"       UNAUTHORIZED           "The e-mail address or the password is wrong"
    FORBIDDEN               "forbidden"               FORBIDDEN              "This is not for you"
    EMAIL_TAKEN             "email_taken"             CONFLICT               "The e-mail address is taken"
    RATE_LIMITED            "rate_limited"            TOO_MANY_REQUESTS      "Too many requests"

    // Money and sessions.
    INSUFFICIENT_FUNDS      "insufficient_funds"      PAYMENT_REQUIRED       "The wallet does not cover it"
    WALLET_NOT_CONNECTED    "wallet_not_connected"    CONFLICT               "There is no wallet in this currency"
    SESSION_ACTIVE          "session_active"          CONFLICT               "Another session is active"
    SESSION_ENDED           "session_ended"           CONFLICT               "The session has ended"
    SESSION_NOT_ENDED       "session_not_ended"       CONFLICT               "The session has not ended"
    SESSION_CANCELLED       "session_cancelled"       CONFLICT               "The session was cancelled"
    ALREADY_REVIEWED        "already_reviewed"        CONFLICT               "The session has a review"
    REVIEW_CLOSED           "review_closed"           CONFLICT               "The review cannot be contested"
    SESSION_MOVED           "session_moved"           CONFLICT               "The session is metered elsewhere"
    OUT_OF_RANGE            "out_of_range"            UNPROCESSABLE_ENTITY   "The amount does not fit"
    NO_GATEWAY              "no_gateway"              CONFLICT               "There is no payment gateway"
    IDEMPOTENCY_KEY_REUSED  "idempotency_key_reused"  UNPROCESSABLE_ENTITY   "The Idempotency-Key belongs to another request"
    IDEMPOTENCY_KEY_RUNNING "idempotency_key_running" CONFLICT               "A request with this Idempotency-Key is running"

    // Files.
    VIDEO_NOT_READY         "video_not_ready"         CONFLICT               "The video cannot be played yet"
    UPLOAD_MISSING          "upload_missing"          CONFLICT               "Nothing was uploaded"
    UPLOAD_OVER             "upload_over"             CONFLICT               "Nothing more can be uploaded here"

    // Ours.
    BUSY                    "busy"                    SERVICE_UNAVAILABLE    "Too much at once"
    UNAVAILABLE             "unavailable"             SERVICE_UNAVAILABLE    "The database is away"
    STORAGE_UNAVAILABLE     "storage_unavailable"     SERVICE_UNAVAILABLE    "The files are out of reach"
    TOOK_TOO_LONG           "took_too_long"           SERVICE_UNAVAILABLE    "The answer took too long"
    INTERNAL                "internal"                INTERNAL_SERVER_ERROR  "Something broke on our side"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_code_is_there_twice() {
        let names: HashSet<_> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn every_row_is_in_order() {
        for Code { name, status, title } in ALL {
            assert!(status.is_client_error() || status.is_server_error(), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!title.is_empty() && !title.ends_with('.'), "{name}");
        }
    }
}
