//! `/api/v1/courses/{course_id}/videos`: the parts of a course, and their files.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    db::{self, catalogue::Listed},
    domain::{
        course::{Course, TITLE_MAX, VIDEO_MAX_MS, VIDEOS_MAX, parse_duration},
        media::{ContentType, ListedVideo, VideoStatus},
        user::Role,
    },
    error::{Error, Result},
    http::{
        answer::{Created, NoContent},
        courses::{shown, title},
        extract::{Caller, Json, Path, Teacher},
        openapi::{Routes, routes},
        page::Page,
    },
    id::{CourseId, VideoId},
    service::videos::{self, Kind, NewVideo, Playback, VideoChange, Wanted, Which},
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    let seen = routes! { "videos"
        /// The videos of a course, in its order.
        ///
        /// There are never more than fit one page.
        GET "/courses/{course_id}/videos" => list;
        /// Add a video to the end of one's own course.
        POST "/courses/{course_id}/videos" => add [OUT_OF_RANGE];
        /// Put the videos of one's own course into another order.
        PUT "/courses/{course_id}/videos/order" => arrange;
        /// One video, and how far its upload is.
        GET "/courses/{course_id}/videos/{video_id}" => show;
        /// Change a video of one's own course.
        ///
        /// What is not sent stays.
        PUT "/courses/{course_id}/videos/{video_id}" => update;
        /// Take a video out of one's own course; an admin may do so with any.
        ///
        /// What was watched of it stays.
        DELETE "/courses/{course_id}/videos/{video_id}" => delete [FORBIDDEN];
    };
    let links = routes! { "videos"
        /// Ask where to put the file of a video of one's own course.
        POST "/courses/{course_id}/videos/{video_id}/upload-url" => upload_url [
            OUT_OF_RANGE
        ];
        /// Say that the file is there.
        ///
        /// The answer is what was found: `ready`, or `failed` and why. With Mux, what is good is
        /// `processing` until Mux is done with it; what was played before goes on being played.
        POST "/courses/{course_id}/videos/{video_id}/confirm" => confirm [
            UPLOAD_MISSING UPLOAD_OVER STORAGE_UNAVAILABLE
        ];
        /// A link to watch a video by, for a while.
        ///
        /// Previews are for everybody, and anything for its teacher; whoever else has to have a
        /// session open on the course. A link to Murph is good for no longer than that session; one
        /// to S3 or Mux, which know nothing of sessions, until it expires.
        GET "/courses/{course_id}/videos/{video_id}/url" => url [
            INSUFFICIENT_FUNDS FORBIDDEN VIDEO_NOT_READY
        ];
    };
    seen.conditional().merge(links)
}

/// The ids in a path.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Video")]
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
    /// Why the last upload came to nothing, for its teacher.
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

async fn list(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(id): Path<CourseId>,
) -> Result<Json<Page<VideoView>>> {
    let mut tx = app.db.read().await?;
    let Listed { course, .. } = shown(&mut tx, id, caller.as_ref()).await?;
    let videos = db::videos::list_with_files(&mut tx, id).await?;
    let seen = videos.into_iter().map(|listed| seen_by(caller.as_ref(), &course, listed));
    Ok(page(seen.collect()))
}

/// How an upload goes is shown to those who look after the course.
fn seen_by(caller: Option<&Caller>, course: &Course, listed: ListedVideo) -> ListedVideo {
    let reader = caller.map(|caller| (caller.user.id, caller.user.role));
    let upload = listed.upload.filter(|_| course.is_looked_after_by(reader));
    ListedVideo { upload, ..listed }
}

fn page(videos: Vec<ListedVideo>) -> Json<Page<VideoView>> {
    let all = videos.len();
    Json(Page::new(videos, all, |listed| listed.video.id.to_string()))
}

async fn show(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(VideoPath { course_id, video_id }): Path<VideoPath>,
) -> Result<Json<VideoView>> {
    let mut tx = app.db.read().await?;
    let Listed { course, .. } = shown(&mut tx, course_id, caller.as_ref()).await?;
    let listed = db::videos::find(&mut tx, course_id, video_id).await?;
    let listed = listed.ok_or(Error::NotFound("video"))?;
    Ok(Json(seen_by(caller.as_ref(), &course, listed).into()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VideoRequest {
    #[schemars(length(min = 1, max = TITLE_MAX))]
    title: String,
    #[schemars(range(min = 1, max = VIDEO_MAX_MS))]
    duration_ms: u64,
    #[serde(default)]
    is_preview: bool,
}

async fn add(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<VideoRequest>,
) -> Result<Created<VideoView>> {
    let new = NewVideo {
        title: title(&body.title)?,
        duration_ms: duration(body.duration_ms)?,
        is_preview: body.is_preview,
    };
    let listed = videos::add(&app, &teacher.user, id, new, app.clock.now()).await?;
    Ok(Created(listed.into()))
}

fn duration(duration_ms: u64) -> Result<u64> {
    parse_duration(duration_ms).map_err(|problem| Error::invalid("duration_ms", problem))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OrderRequest {
    /// Each of the course once.
    #[schemars(length(max = VIDEOS_MAX))]
    video_ids: Vec<VideoId>,
}

async fn arrange(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(id): Path<CourseId>,
    Json(body): Json<OrderRequest>,
) -> Result<Json<Page<VideoView>>> {
    Ok(page(videos::arrange(&app, &teacher.user, id, &body.video_ids).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VideoUpdateRequest {
    #[schemars(length(min = 1, max = TITLE_MAX))]
    title: Option<String>,
    #[schemars(range(min = 1, max = VIDEO_MAX_MS))]
    duration_ms: Option<u64>,
    is_preview: Option<bool>,
}

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

async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<VideoPath>,
) -> Result<NoContent> {
    if caller.user.role == Role::Student {
        return Err(Error::Forbidden("this is for teachers"));
    }
    videos::delete(&app, &caller.user, path.into(), app.clock.now()).await?;
    Ok(NoContent)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UploadRequest {
    content_type: ContentType,
    #[schemars(extend("minimum" = 1))]
    size_bytes: u64,
}

const UPLOAD_METHOD: &str = "PUT";

/// How to send a file: a request with this method, these headers and the file as its body.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UploadLink")]
struct UploadView {
    #[schemars(extend("const" = UPLOAD_METHOD))]
    method: &'static str,
    #[schemars(extend("format" = "uri"))]
    url: String,
    headers: UploadHeaders,
    expires_at: Timestamp,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
struct UploadHeaders {
    content_type: ContentType,
    /// A browser sends it by itself.
    content_length: String,
    /// With files in S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<&'static str>,
}

async fn upload_url(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
    Json(body): Json<UploadRequest>,
) -> Result<Created<UploadView>> {
    let wanted = Wanted { content_type: body.content_type, size_bytes: body.size_bytes };
    let now = app.clock.now();
    let link = videos::expect(&app, &teacher.user, path.into(), wanted, now).await?;
    let view = UploadView {
        method: UPLOAD_METHOD,
        url: link.url,
        headers: UploadHeaders {
            content_type: link.file.content_type,
            content_length: link.file.size_bytes.to_string(),
            if_none_match: app.storage.upload_condition(),
        },
        expires_at: link.file.expires_at,
    };
    Ok(Created(view))
}

async fn confirm(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Path(path): Path<VideoPath>,
) -> Result<Json<VideoView>> {
    Ok(Json(videos::confirm(&app, &teacher.user, path.into()).await?.into()))
}

/// A link to a file, good for a while.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlaybackLink")]
struct PlaybackView {
    #[schemars(extend("format" = "uri"))]
    url: String,
    expires_at: Timestamp,
    content_type: PlayedType,
    /// Of the file; not of a stream.
    size_bytes: Option<u64>,
    /// A picture of the stream, good for as long; without Mux, there is none.
    #[schemars(extend("format" = "uri"))]
    thumbnail_url: Option<String>,
}

/// That of the file, or with Mux that of a list of streams (HLS).
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum PlayedType {
    File(ContentType),
    Stream(StreamType),
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
enum StreamType {
    #[serde(rename = "application/vnd.apple.mpegurl")]
    Hls,
}

async fn url(
    State(app): State<App>,
    caller: Option<Caller>,
    Path(path): Path<VideoPath>,
) -> Result<Json<PlaybackView>> {
    let now = app.clock.now();
    let playback = videos::playback(&app, caller.as_ref(), path.into(), now).await?;
    let (content_type, size_bytes, thumbnail_url) = match playback.kind {
        Kind::File { content_type, size_bytes } => {
            (PlayedType::File(content_type), Some(size_bytes), None)
        }
        Kind::Stream { thumbnail_url } => {
            (PlayedType::Stream(StreamType::Hls), None, Some(thumbnail_url))
        }
    };
    let Playback { url, expires_at, .. } = playback;
    Ok(Json(PlaybackView { url, expires_at, content_type, size_bytes, thumbnail_url }))
}
