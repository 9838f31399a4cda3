//! `/api/v1/courses/{course_id}/videos`: the parts of a course, and their files.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    middleware,
    routing::{get, post, put},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db,
    domain::{
        course::parse_duration,
        media::{ContentType, ListedVideo, VideoStatus},
        user::Role,
    },
    error::{Error, Result},
    http::{
        courses::{shown, title},
        etag,
        extract::{Caller, Json, Path, Teacher},
        page::Page,
    },
    id::{CourseId, VideoId},
    service::videos::{self, NewVideo, VideoChange, Wanted, Which},
    time::Timestamp,
};

pub fn routes() -> Router<App> {
    let seen = Router::new()
        .route("/courses/{course_id}/videos", get(list).post(add))
        .route("/courses/{course_id}/videos/order", put(arrange))
        .route("/courses/{course_id}/videos/{video_id}", get(show).put(update).delete(delete))
        .layer(middleware::from_fn(etag::if_changed));
    Router::new()
        .route("/courses/{course_id}/videos/{video_id}/upload-url", post(upload_url))
        .route("/courses/{course_id}/videos/{video_id}/confirm", post(confirm))
        .route("/courses/{course_id}/videos/{video_id}/url", get(url))
        .merge(seen)
}

/// The ids in a path.
#[derive(Deserialize)]
pub(super) struct VideoPath {
    course_id: CourseId,
    video_id: VideoId,
}

impl From<VideoPath> for Which {
    fn from(VideoPath { course_id, video_id }: VideoPath) -> Self {
        Self { course_id, video_id }
    }
}

/// A video, as everybody sees it who may see its course.
#[derive(Serialize)]
pub(super) struct VideoView {
    id: VideoId,
    course_id: CourseId,
    title: String,
    duration_ms: u64,
    /// Its place in the course, from 0.
    position: u32,
    is_preview: bool,
    status: VideoStatus,
    /// Of the file that is played.
    content_type: Option<ContentType>,
    size_bytes: Option<u64>,
    /// Why the last upload came to nothing.
    failure: Option<String>,
    created_at: Timestamp,
}

impl From<ListedVideo> for VideoView {
    fn from(listed: ListedVideo) -> Self {
        let (status, failure) = (listed.status(), listed.failure().map(str::to_owned));
        let ListedVideo { video, is_preview, file, .. } = listed;
        Self {
            id: video.id,
            course_id: video.course_id,
            title: video.title,
            duration_ms: video.duration_ms,
            position: video.position,
            is_preview,
            status,
            content_type: file.as_ref().map(|file| file.content_type),
            size_bytes: file.as_ref().map(|file| file.size_bytes),
            failure,
            created_at: video.created_at,
        }
    }
}

/// The videos of a course, in its order. There are never more than fit one page.
async fn list(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(id): Path<CourseId>,
) -> Result<Json<Page<VideoView>>> {
    let mut tx = app.db.read().await?;
    shown(&mut tx, id, caller.as_ref()).await?;
    Ok(page(db::videos::list_with_files(&mut tx, id).await?))
}

fn page(videos: Vec<ListedVideo>) -> Json<Page<VideoView>> {
    let all = videos.len();
    Json(Page::new(videos, all, |listed| listed.video.id.to_string()))
}

/// One video, and how far its upload is.
async fn show(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(VideoPath { course_id, video_id }): Path<VideoPath>,
) -> Result<Json<VideoView>> {
    let mut tx = app.db.read().await?;
    shown(&mut tx, course_id, caller.as_ref()).await?;
    let listed = db::videos::find(&mut tx, course_id, video_id).await?;
    Ok(Json(listed.ok_or(Error::NotFound("video"))?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoRequest {
    title: String,
    duration_ms: u64,
    #[serde(default)]
    is_preview: bool,
}

/// Add a video to the end of one's own course.
async fn add(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<VideoRequest>,
) -> Result<(StatusCode, Json<VideoView>)> {
    let new = NewVideo {
        title: title(&body.title)?,
        duration_ms: duration(body.duration_ms)?,
        is_preview: body.is_preview,
    };
    let listed = videos::add(&app, &teacher.user, id, new, app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(listed.into())))
}

fn duration(duration_ms: u64) -> Result<u64> {
    parse_duration(duration_ms).map_err(|problem| Error::invalid("duration_ms", problem))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderRequest {
    video_ids: Vec<VideoId>,
}

/// Put the videos of one's own course into another order.
async fn arrange(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<OrderRequest>,
) -> Result<Json<Page<VideoView>>> {
    Ok(page(videos::arrange(&app, &teacher.user, id, &body.video_ids).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoUpdateRequest {
    title: Option<String>,
    duration_ms: Option<u64>,
    is_preview: Option<bool>,
}

/// Change a video of one's own course. What is not sent stays.
async fn update(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
    Json(body): Json<VideoUpdateRequest>,
) -> Result<Json<VideoView>> {
    let change = VideoChange {
        title: body.title.as_deref().map(title).transpose()?,
        duration_ms: body.duration_ms.map(duration).transpose()?,
        is_preview: body.is_preview,
    };
    Ok(Json(videos::update(&app, &teacher.user, path.into(), change).await?.into()))
}

/// Take a video out of one's own course; an admin may do so with any. What was watched of it stays.
async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<VideoPath>,
) -> Result<StatusCode> {
    if caller.user.role == Role::Student {
        return Err(Error::Forbidden("this is for teachers"));
    }
    videos::delete(&app, &caller.user, path.into(), app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadRequest {
    content_type: ContentType,
    size_bytes: u64,
}

/// How to send a file: a request with this method, these headers and the file as its body.
#[derive(Serialize)]
struct UploadView {
    method: &'static str,
    url: String,
    headers: UploadHeaders,
    expires_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct UploadHeaders {
    content_type: ContentType,
    /// A browser sends it by itself.
    content_length: String,
}

/// Ask where to put the file of a video of one's own course.
async fn upload_url(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
    Json(body): Json<UploadRequest>,
) -> Result<(StatusCode, Json<UploadView>)> {
    let wanted = Wanted { content_type: body.content_type, size_bytes: body.size_bytes };
    let now = app.clock.now();
    let link = videos::expect(&app, &teacher.user, path.into(), wanted, now).await?;
    let view = UploadView {
        method: "PUT",
        url: link.url,
        headers: UploadHeaders {
            content_type: link.file.content_type,
            content_length: link.file.size_bytes.to_string(),
        },
        expires_at: link.file.expires_at,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Say that the file is there. The answer is what was found: `ready`, or `failed` and why.
async fn confirm(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
) -> Result<Json<VideoView>> {
    let now = app.clock.now();
    Ok(Json(videos::confirm(&app, &teacher.user, path.into(), now).await?.into()))
}

#[derive(Serialize)]
struct PlaybackView {
    url: String,
    expires_at: Timestamp,
    content_type: ContentType,
    size_bytes: u64,
}

/// A link to watch a video by, for a while.
async fn url(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(path): Path<VideoPath>,
) -> Result<Json<PlaybackView>> {
    let now = app.clock.now();
    let playback = videos::playback(&app, caller.as_ref(), path.into(), now).await?;
    Ok(Json(PlaybackView {
        url: playback.url,
        expires_at: playback.expires_at,
        content_type: playback.file.content_type,
        size_bytes: playback.file.size_bytes,
    }))
}
