//! The videos of a course: adding, ordering, changing and deleting them; their files; watching them.
//!
//! What is in the storage follows the database: an object is expected before it can be put, and removed
//! after its row says that it may be. So whenever a Murph dies, [`sweep()`] finds what is left over. What
//! somebody may still be watching is left to it anyway: that is removed when no link and no session can
//! lead there any more.

mod playback;
mod processing;
mod sweep;
mod upload;

use std::collections::BTreeSet;

use tracing::info;

pub use self::{
    playback::{Kind, Playback, ensure_active, playback},
    processing::{hear, is_ours, process},
    sweep::sweep,
    upload::{UploadLink, Wanted, confirm, expect, expected, room, take_in, upload},
};
use crate::{
    app::App,
    db::{self, Tx},
    domain::{course::VIDEOS_MAX, media::ListedVideo, user::User, video::Video},
    error::{Error, OrLog, Result},
    id::{CourseId, FileId, VideoId},
    service::courses::own,
    time::Timestamp,
};

/// A video as a teacher wants it. The fields are checked already.
#[derive(Clone, Debug)]
pub struct NewVideo {
    pub title: String,
    pub duration_ms: u64,
    pub is_preview: bool,
}

/// What is to be different about a video; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct VideoChange {
    pub title: Option<String>,
    pub duration_ms: Option<u64>,
    pub is_preview: Option<bool>,
}

/// Which video of which course.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    pub course_id: CourseId,
    pub video_id: VideoId,
}

/// Adds a video to the end of a course of `teacher`.
pub async fn add(
    app: &App,
    teacher: &User,
    course_id: CourseId,
    new: NewVideo,
    now: Timestamp,
) -> Result<ListedVideo> {
    let mut tx = app.db.begin().await?;
    own(&mut tx, teacher, course_id).await?;
    let position = db::videos::next_position(&mut tx, course_id).await?;
    if position >= VIDEOS_MAX {
        return Err(Error::OutOfRange("the course has as many videos as it may"));
    }
    let NewVideo { title, duration_ms, is_preview } = new;
    let id = VideoId::new(now);
    let video = Video { id, course_id, title, duration_ms, position, created_at: now };
    db::videos::insert(&mut tx, &video).await?;
    let listed = ListedVideo { video, is_preview, file: None, upload: None };
    db::videos::update(&mut tx, &listed).await?;
    tx.commit().await?;
    info!(course.id = %course_id, video.id = %id, "added a video to course {course_id}");
    Ok(listed)
}

/// Changes a video of `teacher`. Whoever is watching it goes on with what it was.
pub async fn update(
    app: &App,
    teacher: &User,
    which: Which,
    change: VideoChange,
) -> Result<ListedVideo> {
    let mut tx = app.db.begin().await?;
    let mut listed = own_video(&mut tx, teacher, which).await?;
    let is_measured = listed.file.as_ref().is_some_and(|file| file.duration_ms.is_some());
    if is_measured && change.duration_ms.is_some_and(|ms| ms != listed.video.duration_ms) {
        return Err(Error::invalid("duration_ms", "is what the file itself says"));
    }
    listed.video.title = change.title.unwrap_or(listed.video.title);
    listed.video.duration_ms = change.duration_ms.unwrap_or(listed.video.duration_ms);
    listed.is_preview = change.is_preview.unwrap_or(listed.is_preview);
    db::videos::update(&mut tx, &listed).await?;
    tx.commit().await?;
    info!(video.id = %which.video_id, "changed video {}", which.video_id);
    Ok(listed)
}

/// Gives the videos of a course of `teacher` another order, in which each is named once.
pub async fn arrange(
    app: &App,
    teacher: &User,
    course_id: CourseId,
    order: &[VideoId],
) -> Result<Vec<ListedVideo>> {
    let mut tx = app.db.begin().await?;
    own(&mut tx, teacher, course_id).await?;
    let known = db::videos::list(&mut tx, course_id).await?;
    let known: BTreeSet<VideoId> = known.iter().map(|video| video.id).collect();
    let named: BTreeSet<VideoId> = order.iter().copied().collect();
    if named != known || named.len() != order.len() {
        return Err(Error::invalid("video_ids", "must name each video of the course once"));
    }
    db::videos::arrange(&mut tx, course_id, order).await?;
    let videos = db::videos::list_with_files(&mut tx, course_id).await?;
    tx.commit().await?;
    info!(course.id = %course_id, "arranged the videos of course {course_id}");
    Ok(videos)
}

/// Takes a video away for good: of its teacher, or as an admin. What was watched of it stays, and so does
/// its file while a session may be on it.
pub async fn delete(app: &App, user: &User, which: Which, now: Timestamp) -> Result<()> {
    let Which { course_id, video_id } = which;
    let mut tx = app.db.begin().await?;
    own_video(&mut tx, user, which).await?;
    db::videos::delete(&mut tx, course_id, video_id, now).await?;
    let left = db::videos::list(&mut tx, course_id).await?;
    let left: Vec<VideoId> = left.iter().map(|video| video.id).collect();
    db::videos::arrange(&mut tx, course_id, &left).await?;
    let upload = db::video_files::discard_upload(&mut tx, video_id).await?;
    tx.commit().await?;
    info!(video.id = %video_id, user.id = %user.id, "deleted video {video_id}");
    remove(app, upload).await;
    Ok(())
}

/// A video of a course that `user` may change; the course is locked.
async fn own_video(tx: &mut Tx, user: &User, which: Which) -> Result<ListedVideo> {
    own(tx, user, which.course_id).await?;
    let listed = db::videos::find(tx, which.course_id, which.video_id).await?;
    listed.ok_or(Error::NotFound("video"))
}

/// Of uploads whose links expired then or earlier, nothing comes in any more.
fn over(app: &App, now: Timestamp) -> Timestamp {
    now - app.storage.upload_lasts(app.config.storage.upload_url())
}

/// Removes discarded files, after the commit that discarded them, and says which went. What does not
/// work now is swept later.
async fn remove(app: &App, files: impl IntoIterator<Item = FileId>) -> Vec<FileId> {
    let mut gone = Vec::new();
    for file in files {
        // One may take so long that what was signed before it has expired.
        let removed = app.storage.remove(file, app.clock.now()).await;
        if removed.or_log("removing a file").is_some() {
            gone.push(file);
        }
    }
    gone
}
