//! Takes a file in, however large: piece by piece, to the disk, and for as long as it keeps coming.
//!
//! The usual limits of a request are too small for a file. Its own are: so many bytes, no pause longer
//! than `server.body_timeout_ms`, and `storage.upload_url_seconds` for all of it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};

use super::{
    codes::{self, Code},
    error::Problem,
    extract::{Json, Path, Teacher},
    openapi::{Input, Operation, Raw, Routes, routes},
    videos::{VideoPath, VideoView},
};
use crate::{
    app::App,
    domain::media::ContentType,
    error::Error,
    service::videos::{self, Which},
    storage::Spool,
};

/// The most of a form that is kept in memory, in bytes.
const UNREAD_MAX: usize = 1_024 * 1_024;

/// Routes below the prefix that take a file in. Not within the limits of other requests.
pub(super) fn routes() -> Routes {
    let routes = routes! { "videos"
        /// Send the file of a video of one's own course as the part `file` of a form.
        ///
        /// What it is called there is of no interest; its type has to be said.
        POST "/courses/{course_id}/videos/{video_id}/file" => file [
            BUSY OUT_OF_RANGE UPLOAD_MISSING UPLOAD_OVER STORAGE_UNAVAILABLE
        ];
    };
    routes.layer(DefaultBodyLimit::disable()).layer(middleware::map_response(closing))
}

/// What may go wrong while a file comes in.
pub(super) const WHILE_COMING: &[Code] = &[
    codes::BAD_REQUEST,
    codes::TIMEOUT,
    codes::BODY_TOO_LARGE,
    codes::UNSUPPORTED_MEDIA_TYPE,
    codes::INVALID,
];

/// A form with a file in it, which is read when it is clear that it is wanted.
enum FileForm {}

impl Input for FileForm {
    fn describe(operation: &mut Operation<'_>) {
        let types: Vec<_> = ContentType::ALL.iter().map(|content| content.as_str()).collect();
        operation.takes_file("file", &types.join(", "));
        operation.may_find(WHILE_COMING);
    }
}

/// Whoever is refused may still be sending. What comes is not read, so nothing can come after it on the
/// same connection, and the client is told so.
pub(super) async fn closing(mut response: Response) -> Response {
    if !response.status().is_success() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Reads all of `body` into `spool`, which has `most` bytes then, or fewer.
pub(super) async fn receive<E>(
    app: &App,
    spool: &mut Spool,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    most: u64,
) -> Result<(), Problem> {
    let pause_max = app.config.server.body_timeout();
    let end = Instant::now() + app.config.storage.upload_url();
    loop {
        let patience = pause_max.min(end.saturating_duration_since(Instant::now()));
        let piece = match timeout(patience, body.next()).await {
            Err(_) => return Err(Problem::new(codes::TIMEOUT, "the file comes too slowly")),
            Ok(None) => return Ok(()),
            Ok(Some(Err(_))) => return Err(Problem::new(codes::BAD_REQUEST, "the file broke off")),
            Ok(Some(Ok(piece))) => piece,
        };
        if u64::try_from(piece.len()).is_ok_and(|more| spool.size_bytes() + more > most) {
            return Err(too_large(most));
        }
        spool.write(&piece).await.map_err(logged)?;
    }
}

pub(super) fn too_large(most: u64) -> Problem {
    Problem::new(codes::BODY_TOO_LARGE, format!("at most {most} bytes are taken"))
}

/// An error on its way to become a problem, which is logged if it is ours.
pub(super) fn logged(error: Error) -> Problem {
    super::error::log(&error);
    error.into()
}

async fn file(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
    Raw { request, .. }: Raw<FileForm>,
) -> Result<Json<VideoView>, Problem> {
    let (teacher, which, now) = (&teacher.user, Which::from(path), app.clock.now());
    // Before gigabytes come in.
    let most = videos::room(&app, teacher, which, now).await.map_err(logged)?;
    let mut spool = app.storage.spool(teacher.id, None).await.map_err(logged)?;
    let listed = match read(&app, request, &mut spool, most).await {
        Ok(content_type) => {
            let (received, now) = ((content_type, &mut spool), app.clock.now());
            videos::upload(&app, teacher, which, received, now).await.map_err(logged)
        }
        Err(problem) => Err(problem),
    };
    spool.remove().await;
    Ok(Json(listed?.into()))
}

/// Reads the file of a form into `spool`, and says of which type it is.
async fn read(
    app: &App,
    request: Request,
    spool: &mut Spool,
    most: u64,
) -> Result<ContentType, Problem> {
    let unread = Unread::default();
    let request = request.map(|body| unread.count(body));
    let mut form = Multipart::from_request(request, app).await.map_err(|_| {
        let detail = "send a form, with Content-Type: multipart/form-data";
        Problem::new(codes::UNSUPPORTED_MEDIA_TYPE, detail)
    })?;
    let Some(part) = next(app, &mut form).await? else {
        return Err(invalid("file", "is missing"));
    };
    let content_type = take(app, part, (spool, most), &unread).await?;
    if let Some(part) = next(app, &mut form).await? {
        let name = part.name().unwrap_or_default();
        return Err(invalid(
            "file",
            if name == "file" { "is there twice" } else { "is not alone" },
        ));
    }
    Ok(content_type)
}

/// What of a form came in and was not given on: the reader of forms keeps it in memory, be it the head
/// of a part or what stands before the first one.
#[derive(Clone, Default)]
struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// A body that breaks off when too much of it is unread.
    fn count(&self, body: Body) -> Body {
        let unread = self.0.clone();
        let pieces = body.into_data_stream().map(move |piece| {
            let piece = piece.map_err(io::Error::other)?;
            let before = unread.fetch_add(piece.len(), Ordering::Relaxed);
            if before + piece.len() > UNREAD_MAX {
                return Err(io::Error::other("there is too much around the file"));
            }
            Ok(piece)
        });
        Body::from_stream(pieces)
    }

    fn less(&self, piece: &Bytes) {
        self.0.fetch_sub(piece.len(), Ordering::Relaxed);
    }
}

/// The next part of a form, if it comes in time.
async fn next<'a>(app: &App, form: &'a mut Multipart) -> Result<Option<Field<'a>>, Problem> {
    match timeout(app.config.server.body_timeout(), form.next_field()).await {
        Ok(part) => part.map_err(|error| broken(&error)),
        Err(_) => Err(Problem::new(codes::TIMEOUT, "the form comes too slowly")),
    }
}

fn broken(error: &MultipartError) -> Problem {
    // The first cause says it best.
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Problem::new(codes::BAD_REQUEST, format!("the form cannot be read: {cause}"))
}

/// The file in a part of a form.
async fn take(
    app: &App,
    part: Field<'_>,
    (spool, most): (&mut Spool, u64),
    unread: &Unread,
) -> Result<ContentType, Problem> {
    if part.name() != Some("file") {
        return Err(invalid("file", "is the only part that is taken"));
    }
    let content_type = part.content_type().unwrap_or("no type").parse::<ContentType>();
    let content_type =
        content_type.map_err(|problem| invalid("file", &format!("its type {problem}")))?;
    let part = part.inspect_ok(|piece| unread.less(piece));
    receive(app, spool, part, most).await?;
    match spool.size_bytes() {
        0 => Err(invalid("file", "is empty")),
        _ => Ok(content_type),
    }
}

fn invalid(param: &'static str, problem: &str) -> Problem {
    Error::invalid(param, problem).into()
}
