//! `/media/{file_id}`: files in the data directory, for whoever has a link that says so.
//!
//! A link lets in by itself: no token is asked for, and none is worth anything here. One that was given to
//! a student does so while the session goes on that it names. With files in S3 there is nothing at this
//! path.
//!
//! Sending ends [`SLACK`] after the link, and [`ASK_EVERY`] after the session at the latest: players ask
//! for another link in time. What a connection holds then, one that takes nothing is rid of by
//! `server.idle_timeout_ms`.

use std::{io, time::Duration};

use axum::{
    RequestExt,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use futures_util::{TryStreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{
    codes,
    error::Problem,
    extract::{ClientAddr, Path, Query},
    openapi::{Input, Operation, Output, Promise, Raw, Routes, routes},
    range,
    upload::{self, receive},
};
use crate::{
    app::App,
    domain::{
        address::subscriber,
        media::{ContentType, VideoFile},
    },
    error::{Error, Result},
    id::{FileId, SessionId},
    service::videos,
    storage::{Action, Link, Local, Object, Spool, StreamPlace, Watcher},
    time::Moment,
};

/// How long after the end of its link a file is still being sent: for a part that was asked for in time.
const SLACK: Duration = Duration::from_mins(1);

/// How often it is asked, while a file is being sent, whether the session of its link goes on.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Routes outside of the prefix, and not within the limits of other requests.
pub(super) fn routes() -> Routes {
    let giving = routes! { "media"
        /// Send a file, or the part of it that is asked for with `Range`.
        ///
        /// The link is the one of `/api/v1/courses/{course_id}/videos/{video_id}/url`.
        GET "/media/{file_id}" => play [
            FORBIDDEN RANGE_NOT_SATISFIABLE BUSY STORAGE_UNAVAILABLE
        ];
    };
    let taking = routes! { "media"
        /// Take in a file that is expected: of the type and the size that the link says, and once.
        ///
        /// The link is the one of `/api/v1/courses/{course_id}/videos/{video_id}/upload-url`.
        PUT "/media/{file_id}" => put [
            FORBIDDEN UPLOAD_OVER BUSY UNAVAILABLE STORAGE_UNAVAILABLE
        ];
    };
    giving.merge(taking.layer(middleware::map_response(upload::closing)))
}

/// A video of any type, as it is sent and answered.
const VIDEO: &str = "video/*";

/// A request for a file or a part of it.
enum Asked {}

impl Input for Asked {
    fn describe(operation: &mut Operation<'_>) {
        for header in ["Range", "If-None-Match", "If-Modified-Since"] {
            operation.asks_for(header);
        }
    }
}

/// A request that carries a file.
enum Sent {}

impl Input for Sent {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes(VIDEO, &json!({}));
        operation.may_find(upload::WHILE_COMING);
    }
}

/// A file, or a part of it.
struct Played(Response);

impl IntoResponse for Played {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Output for Played {
    fn describe(operation: &mut Operation<'_>) {
        let video = |description| Promise::of(VIDEO, json!({})).described(description);
        let whole = video("The file.").with(&["Accept-Ranges", "ETag", "Last-Modified"]);
        let part = video("A part of the file.");
        let part = part.with(&["Accept-Ranges", "Content-Range", "ETag", "Last-Modified"]);
        let unchanged = Promise::empty("It is what it was then.").with(&["ETag", "Last-Modified"]);
        operation.answers(StatusCode::OK, whole);
        operation.answers(StatusCode::PARTIAL_CONTENT, part);
        operation.answers(StatusCode::NOT_MODIFIED, unchanged);
    }
}

/// The file is there.
struct TakenIn;

impl IntoResponse for TakenIn {
    fn into_response(self) -> Response {
        StatusCode::OK.into_response()
    }
}

impl Output for TakenIn {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(StatusCode::OK, Promise::empty("Done."));
    }
}

/// What a link says behind its path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinkQuery {
    r#type: ContentType,
    size: u64,
    session: Option<SessionId>,
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
    let link = Link { action, object, session: query.session, expires: query.expires };
    local.check(&link, &query.signature, app.clock.now())?;
    Ok((object, local))
}

async fn play(
    State(app): State<App>,
    Path(id): Path<FileId>,
    Query(query): Query<LinkQuery>,
    Raw { mut request, .. }: Raw<Asked>,
) -> Result<Played> {
    let (object, local) = check(&app, id, Action::Play, &query)?;
    let watcher = if let Some(session) = query.session {
        videos::ensure_active(&app, session).await?;
        Watcher::Session(session)
    } else {
        let ClientAddr(address) = request.extract_parts_with_state(&app).await?;
        Watcher::Address(subscriber(address))
    };
    let place = local.stream(watcher)?;
    let mime = object.content_type.as_str().parse().expect("a type of the list is one");
    let file = ServeFile::new_with_mime(local.path_of(id), &mime);
    range::tidy(&mut request, &file, object.size_bytes).await;
    let served = file.oneshot(request).await.unwrap_or_else(|never| match never {});
    let sending = Sending::new(&app, &query, place);
    let mut response = served.map(|body| sending.send(Body::new(body)));
    match response.status() {
        StatusCode::NOT_FOUND => return Err(Error::NotFound("file")),
        StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Played(not_within(&response, object))),
        status if status.is_server_error() => {
            let cause = io::Error::other(status.to_string());
            return Err(Error::storage("sending a file", cause));
        }
        _ => {}
    }
    // It is a video and nothing else, also for whoever opens the link as a page.
    let policy = HeaderValue::from_static("default-src 'none'; media-src 'self'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(Played(response))
}

/// What is asked again and again while a file is being sent.
struct Sending {
    app: App,
    session: Option<SessionId>,
    asked: Moment,
    end: Moment,
    /// Given back when the last piece is.
    _place: StreamPlace,
}

impl Sending {
    fn new(app: &App, query: &LinkQuery, place: StreamPlace) -> Self {
        let now = app.clock.moment();
        let left = u64::try_from(query.expires - app.clock.now().seconds()).unwrap_or_default();
        let end = now + Duration::from_secs(left) + SLACK;
        Self { app: app.clone(), session: query.session, asked: now, end, _place: place }
    }

    /// `body`, which breaks off when it may not be sent any more.
    fn send(self, body: Body) -> Body {
        let pieces = body.into_data_stream().map_err(io::Error::other);
        Body::from_stream(stream::try_unfold(
            (pieces, self),
            |(mut pieces, mut sending)| async move {
                let Some(piece) = pieces.try_next().await? else { return Ok::<_, io::Error>(None) };
                sending.ensure_allowed().await?;
                Ok(Some((piece, (pieces, sending))))
            },
        ))
    }

    async fn ensure_allowed(&mut self) -> io::Result<()> {
        let now = self.app.clock.moment();
        if now >= self.end {
            return Err(io::Error::other("the link ended a while ago"));
        }
        let Some(session) = self.session.filter(|_| now.since(self.asked) >= ASK_EVERY) else {
            return Ok(());
        };
        self.asked = now;
        match videos::ensure_active(&self.app, session).await {
            Err(Error::Forbidden(why)) => Err(io::Error::other(why)),
            // A database that is away ends no session.
            _ => Ok(()),
        }
    }
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

async fn put(
    State(app): State<App>,
    Path(id): Path<FileId>,
    Query(query): Query<LinkQuery>,
    Raw { request, .. }: Raw<Sent>,
) -> Result<TakenIn, Problem> {
    let (object, _) = check(&app, id, Action::Upload, &query).map_err(Problem::from)?;
    let Object { content_type, size_bytes, .. } = object;
    let headers = request.headers();
    if headers.get(header::CONTENT_TYPE).is_none_or(|sent| sent != content_type.as_str()) {
        let detail = format!("the link is for Content-Type: {content_type}");
        return Err(Problem::new(codes::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    // Without it, what comes is counted.
    let length = headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length.to_str().ok() != Some(&size_bytes.to_string())) {
        return Err(wrong_size(size_bytes));
    }
    let (file, teacher) = videos::expected(&app, id).await.map_err(upload::logged)?;
    let mut spool = app.storage.spool(teacher, Some(id)).await.map_err(upload::logged)?;
    let taken = take(&app, &file, &mut spool, request.into_body()).await;
    spool.remove().await;
    taken.map(|()| TakenIn)
}

async fn take(app: &App, file: &VideoFile, spool: &mut Spool, body: Body) -> Result<(), Problem> {
    receive(app, spool, body.into_data_stream(), file.size_bytes).await?;
    if spool.size_bytes() != file.size_bytes {
        return Err(wrong_size(file.size_bytes));
    }
    videos::take_in(app, file, spool).await.map_err(upload::logged)
}

fn wrong_size(size_bytes: u64) -> Problem {
    let detail = format!("the link is for {size_bytes} bytes");
    Problem::new(codes::INVALID, detail).about("content-length")
}
