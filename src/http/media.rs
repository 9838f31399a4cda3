//! `/media/{file_id}`: files in the data directory, for whoever has a link that says so.
//!
//! A link lets in by itself: no token is asked for, and none is worth anything here. With files in S3
//! there is nothing at this path.

use std::io;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{self, get},
};
use http_body_util::BodyExt;
use serde::Deserialize;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{
    codes,
    error::Problem,
    extract::{Path, Query},
    upload::{self, receive},
};
use crate::{
    app::App,
    domain::media::ContentType,
    error::{Error, Result},
    id::FileId,
    service::videos,
    storage::{Action, Link, Local, Object},
};

/// Routes outside of the prefix, and not within the limits of other requests.
pub(super) fn routes() -> Router<App> {
    let taking = routing::put(put).layer(middleware::map_response(upload::closing));
    Router::new().route("/media/{file_id}", get(play).merge(taking))
}

/// What a link says behind its path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkQuery {
    r#type: ContentType,
    size: u64,
    expires: i64,
    signature: String,
}

/// The object a link is to, and where it is kept, if the link lets one do this with it.
fn check<'a>(
    app: &'a App,
    id: FileId,
    action: Action,
    query: &LinkQuery,
) -> Result<(Object, &'a Local)> {
    let local = app.storage.local().ok_or(Error::NotFound("file"))?;
    let object = Object { id, content_type: query.r#type, size_bytes: query.size };
    let link = Link { action, object, expires: query.expires };
    local.check(&link, &query.signature, app.clock.now())?;
    Ok((object, local))
}

/// Sends a file, or the part of it that is asked for with `Range`.
async fn play(
    State(app): State<App>,
    Path(id): Path<FileId>,
    Query(query): Query<LinkQuery>,
    request: Request,
) -> Result<Response> {
    let (object, local) = check(&app, id, Action::Play, &query)?;
    let mime = object.content_type.as_str().parse().expect("a type of the list is one");
    let file = ServeFile::new_with_mime(local.path_of(id), &mime);
    let served = file.oneshot(request).await.unwrap_or_else(|never| match never {});
    let mut response = served.map(|body| Body::new(body.map_err(axum::Error::new)));
    match response.status() {
        StatusCode::NOT_FOUND => return Err(Error::NotFound("file")),
        StatusCode::RANGE_NOT_SATISFIABLE => return Ok(not_within(&response, object)),
        status if status.is_server_error() => {
            let cause = io::Error::other(status.to_string());
            return Err(Error::storage("sending a file", cause));
        }
        _ => {}
    }
    // It is a video and nothing else, also for whoever opens the link as a page.
    let policy = HeaderValue::from_static("default-src 'none'; media-src 'self'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn not_within(response: &Response, object: Object) -> Response {
    let detail =
        format!("the file has {} bytes, and one range at a time is sent", object.size_bytes);
    let mut problem = Problem::new(codes::RANGE_NOT_SATISFIABLE, detail).into_response();
    if let Some(range) = response.headers().get(header::CONTENT_RANGE) {
        problem.headers_mut().insert(header::CONTENT_RANGE, range.clone());
    }
    problem
}

/// Takes in a file that is expected: of the type and the size that the link says, and once.
async fn put(
    State(app): State<App>,
    Path(id): Path<FileId>,
    Query(query): Query<LinkQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (object, _) = check(&app, id, Action::Upload, &query).map_err(Problem::from)?;
    let Object { content_type, size_bytes, .. } = object;
    if headers.get(header::CONTENT_TYPE).is_none_or(|sent| sent != content_type.as_str()) {
        let detail = format!("the link is for Content-Type: {content_type}");
        return Err(Problem::new(codes::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let wrong_size = || {
        let detail = format!("the link is for {size_bytes} bytes");
        Problem::new(codes::INVALID, detail).about("content-length")
    };
    // Without it, what comes is counted.
    let length = headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length.to_str().ok() != Some(&size_bytes.to_string())) {
        return Err(wrong_size());
    }
    let file = videos::expected(&app, id).await.map_err(upload::logged)?;
    let spool = receive(&app, body.into_data_stream(), size_bytes).await?;
    if spool.size_bytes() != size_bytes {
        return Err(wrong_size());
    }
    videos::take_in(&app, &file, spool, app.clock.now()).await.map_err(upload::logged)?;
    Ok(StatusCode::OK)
}
