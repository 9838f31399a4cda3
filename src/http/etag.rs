//! What a client has already is not sent again: `ETag` and `If-None-Match`.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::{codes, error::Problem};

/// How much of the hash is enough to tell two answers apart.
const TAG_BYTES: usize = 15;

/// Gives answers to GET and HEAD a tag that follows from their text, and says "not modified" to
/// whoever shows it again. The work is done all the same, so that what one may not see any more is
/// gone.
pub(super) async fn if_changed(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        let detail = "the answer broke off";
        return Problem::new(codes::INTERNAL, detail).into_response();
    };
    let body = body.to_bytes();
    let tag = URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..TAG_BYTES]);
    let tag = HeaderValue::try_from(format!("\"{tag}\"")).expect("base64 is ASCII");
    let is_known = known.is_some_and(|known| names(&known, &tag));
    parts.headers.insert(header::ETAG, tag);
    // Kept by whoever asked, and asked for again each time.
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("authorization"));
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// Whether a list of tags, weak or not, has this one, or is `*`.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let tags = known.to_str().unwrap_or_default().split(',');
    let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_list_is_enough() {
        let tag = HeaderValue::from_static("\"a\"");
        for (known, is_named) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(names(&HeaderValue::from_static(known), &tag), is_named, "{known}");
        }
    }
}
