//! `Range` and the conditions of a request for a file, as RFC 9110 has them.
//!
//! `ServeFile` does most of it. Here is what it refuses and should not, or does not know: so that a player
//! gets the file rather than a refusal that it can do nothing about.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
};
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// What it means to ask for the whole file as a part.
const ALL: HeaderValue = HeaderValue::from_static("bytes=0-");

/// Makes a request for a file of so many bytes one that `file` answers rightly.
pub(super) async fn tidy(request: &mut Request, file: &ServeFile, size_bytes: u64) {
    // A file never changes: whoever wants it as it was gets it.
    request.headers_mut().remove(header::IF_UNMODIFIED_SINCE);
    request.headers_mut().remove(header::IF_MATCH);
    let Some(range) = request.headers().get(header::RANGE) else { return };
    let suffix = range.as_bytes().strip_prefix(b"bytes=");
    let is_of_a_get = request.method() == Method::GET;
    let Some(range) = suffix.filter(|_| is_of_a_get) else {
        // In a unit that is not known, or where there is no part to send.
        request.headers_mut().remove(header::RANGE);
        return;
    };
    if is_more_than_all(range, size_bytes) {
        request.headers_mut().insert(header::RANGE, ALL);
    }
    if let Some(known) = request.headers_mut().remove(header::IF_RANGE)
        && !is_of(&known, file).await
    {
        request.headers_mut().remove(header::RANGE);
    }
}

/// Whether a range is of the last bytes, and of more than there are.
fn is_more_than_all(range: &[u8], size_bytes: u64) -> bool {
    let Some((b'-', last)) = range.split_first() else { return false };
    let is_number = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
    // What no number can hold is more, too.
    let last = str::from_utf8(last).unwrap_or_default().parse().unwrap_or(u64::MAX);
    is_number && last > size_bytes
}

/// Whether `known`, a tag or a date, is that of `file`: then what somebody has goes together with it.
async fn is_of(known: &HeaderValue, file: &ServeFile) -> bool {
    let mut head = Request::new(Body::empty());
    *head.method_mut() = Method::HEAD;
    let served = file.clone().oneshot(head).await.unwrap_or_else(|never| match never {});
    let has = |headers: &HeaderMap, name| headers.get(name).is_some_and(|value| value == known);
    [header::ETAG, header::LAST_MODIFIED].into_iter().any(|name| has(served.headers(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_of_the_end_than_there_is_is_all() {
        for (range, is_all) in [
            ("-101", true),
            ("-99999999999999999999999999", true),
            ("-100", false),
            ("-0", false),
            ("-", false),
            ("--101", false),
            ("-101,0-1", false),
            ("0-200", false),
            ("", false),
        ] {
            assert_eq!(is_more_than_all(range.as_bytes(), 100), is_all, "{range}");
        }
    }
}
