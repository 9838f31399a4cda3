//! How a file gets to its video: expected, uploaded, looked at, and then it is what is played.
//!
//! Without Mux, a file is played as it was uploaded, and `processing` is the moment in which it is looked
//! at. With Mux, it lasts until that is done: see [`super::processing`].

use tracing::info;

use super::{Which, over, own_video, processing, remove};
use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        course::parse_duration,
        media::{ContentType, FIRST_BYTES, FileStatus, ListedVideo, VideoFile},
        mp4,
        user::User,
    },
    error::{Error, Result},
    id::{FileId, UserId},
    storage::{self, Found, Object, Spool},
    time::Timestamp,
};

/// A file that somebody wants to upload.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub content_type: ContentType,
    pub size_bytes: u64,
}

/// Where a file is to be put.
#[derive(Clone, Debug)]
pub struct UploadLink {
    pub url: String,
    pub file: VideoFile,
}

/// Lets a file for a video of `teacher` be uploaded. It takes the place of an upload that is not
/// confirmed; what is played stays until then.
pub async fn expect(
    app: &App,
    teacher: &User,
    which: Which,
    wanted: Wanted,
    now: Timestamp,
) -> Result<UploadLink> {
    let Wanted { content_type, size_bytes } = wanted;
    let is_taken = check_taken(app, content_type);
    is_taken.map_err(|problem| Error::invalid("content_type", problem))?;
    let most = app.config.storage.max_bytes;
    if !(1..=most).contains(&size_bytes) {
        return Err(Error::invalid("size_bytes", format!("must be between 1 and {most}")));
    }
    let lifetime = app.config.storage.upload_url();
    let file = VideoFile {
        id: FileId::new(now),
        video_id: which.video_id,
        content_type,
        size_bytes,
        duration_ms: None,
        status: FileStatus::Expected,
        failure: None,
        created_at: now,
        expires_at: storage::end(lifetime, now),
        mux: None,
    };
    let mut tx = app.db.begin().await?;
    // Or two at once could each take what is left.
    db::users::lock(&mut tx, teacher.id).await?;
    own_video(&mut tx, teacher, which).await?;
    let replaced = db::video_files::discard_upload(&mut tx, which.video_id).await?;
    if size_bytes > unused_bytes(app, &mut tx, teacher, now).await? {
        return Err(NO_ROOM);
    }
    db::video_files::insert(&mut tx, &file).await?;
    tx.commit().await?;
    remove(app, replaced).await;
    let object = Object::from(&file);
    let url = app.storage.upload_url(&app.public_url(), object, lifetime, now);
    Ok(UploadLink { url, file })
}

const NO_ROOM: Error = Error::OutOfRange("the teacher's files take up as much as they may");

/// How much more the files of `teacher` may take up.
async fn unused_bytes(app: &App, tx: &mut Tx, teacher: &User, now: Timestamp) -> Result<u64> {
    let taken = db::video_files::sum_bytes(tx, teacher.id, over(app, now)).await?;
    Ok(app.config.storage.teacher_max_bytes.saturating_sub(taken))
}

/// How large a file for a video of `teacher` may be now, before gigabytes of it come in.
pub async fn room(app: &App, teacher: &User, which: Which, now: Timestamp) -> Result<u64> {
    let mut tx = app.db.begin().await?;
    own_video(&mut tx, teacher, which).await?;
    let left = unused_bytes(app, &mut tx, teacher, now).await?;
    tx.rollback().await?;
    if left == 0 { Err(NO_ROOM) } else { Ok(left.min(app.config.storage.max_bytes)) }
}

/// Whether files of this type are taken here.
fn check_taken(app: &App, content_type: ContentType) -> Result<(), String> {
    let taken = &app.config.storage.content_types;
    if taken.contains(&content_type) {
        return Ok(());
    }
    let names: Vec<&str> = taken.iter().map(|taken| taken.as_str()).collect();
    Err(format!("is none of {}", names.join(", ")))
}

/// A file that somebody waits for, so that it makes sense to take it in, and whose it is.
pub async fn expected(app: &App, id: FileId) -> Result<(VideoFile, UserId)> {
    let mut tx = app.db.read().await?;
    let file = db::video_files::find(&mut tx, id).await?;
    let file = file.filter(|file| file.status == FileStatus::Expected);
    let teacher = db::video_files::find_teacher(&mut tx, id).await?;
    file.zip(teacher).ok_or(Error::UploadOver)
}

/// Keeps what came in for a file that is expected.
pub async fn take_in(app: &App, file: &VideoFile, spool: &mut Spool) -> Result<()> {
    let limit = app.config.storage.upload_url();
    let is_new = app.storage.keep(spool, file.into(), limit, app.clock.now()).await?;
    let mut tx = app.db.begin().await?;
    // Also when it was there already: whoever put it there may have died before saying so.
    let is_expected = db::video_files::set_uploaded(&mut tx, file.id).await?;
    let found = db::video_files::find(&mut tx, file.id).await?;
    tx.commit().await?;
    // Confirmed meanwhile is fine. Given up meanwhile, nobody else would remove it soon, or ever.
    let is_over = found
        .is_none_or(|found| matches!(found.status, FileStatus::Discarded | FileStatus::Failed));
    let is_taken = is_new && (is_expected || !is_over);
    if is_new && !is_taken {
        remove(app, [file.id]).await;
    }
    if !is_taken {
        return Err(Error::UploadOver);
    }
    info!(video.id = %file.video_id, file.id = %file.id, "took file {} in", file.id);
    Ok(())
}

/// Makes a file that came through the API that of a video of `teacher`.
pub async fn upload(
    app: &App,
    teacher: &User,
    which: Which,
    (content_type, spool): (ContentType, &mut Spool),
    now: Timestamp,
) -> Result<ListedVideo> {
    let is_taken = check_taken(app, content_type);
    is_taken.map_err(|problem| Error::invalid("file", format!("its type {problem}")))?;
    if !content_type.begins_with(spool.first()) {
        return Err(Error::invalid("file", not_what_it_says(content_type)));
    }
    let wanted = Wanted { content_type, size_bytes: spool.size_bytes() };
    let link = expect(app, teacher, which, wanted, now).await?;
    take_in(app, &link.file, spool).await?;
    confirm(app, teacher, which).await
}

/// Looks at what was uploaded for a video of `teacher`, and plays it from now on if it is good, or hands it
/// over to Mux.
///
/// Safe to be done by several at once, and again: the first one to finish decides. What was played
/// before is left to whoever has a link to it, and then to the sweep.
pub async fn confirm(app: &App, teacher: &User, which: Which) -> Result<ListedVideo> {
    let mut tx = app.db.begin().await?;
    let listed = own_video(&mut tx, teacher, which).await?;
    tx.rollback().await?;
    let Some(upload) = &listed.upload else {
        // Confirmed already, or there never was anything.
        return if listed.file.is_some() { Ok(listed) } else { Err(Error::UploadMissing) };
    };
    // It was looked at, and is at Mux.
    if upload.status == FileStatus::Failed || upload.mux.is_some() {
        return Ok(listed);
    }
    // Nobody holds a lock while the storage is asked.
    let found = app.storage.find(upload.id, app.clock.now()).await?;
    let found = found.ok_or(Error::UploadMissing)?;
    let mut tx = app.db.begin().await?;
    let is_open = db::video_files::set_processing(&mut tx, upload.id).await?;
    tx.commit().await?;
    let verdict = if is_open { Some(look_at(app, upload, &found).await?) } else { None };
    decide(app, teacher, which, (upload.id, verdict)).await
}

/// What is wrong with a file, or how long it plays, if it says so.
type Verdict = Result<Option<u64>, String>;

/// Each look has a time of its own: S3 may take long to answer, and what is signed expires.
async fn look_at(app: &App, file: &VideoFile, found: &Found) -> Result<Verdict> {
    if found.size_bytes != file.size_bytes {
        let size = found.size_bytes;
        return Ok(Err(format!("has {size} bytes and should have {}", file.size_bytes)));
    }
    let is_other = |found: &String| *found != file.content_type.as_str();
    if found.content_type.as_ref().is_some_and(is_other) {
        return Ok(Err(format!("was not uploaded as {}", file.content_type)));
    }
    let length = u64::try_from(FIRST_BYTES).expect("a few bytes").min(file.size_bytes);
    let first = app.storage.read(file.id, (0, length), app.clock.now()).await?;
    if !file.content_type.begins_with(&first) {
        return Ok(Err(not_what_it_says(file.content_type)));
    }
    let duration = if file.content_type.has_boxes() { measure(app, file).await? } else { None };
    Ok(duration.map(parse_duration).transpose().map_err(|problem| format!("its length {problem}")))
}

fn not_what_it_says(content_type: ContentType) -> String {
    format!("does not begin like {content_type}")
}

/// How long a file plays, as it says itself.
async fn measure(app: &App, file: &VideoFile) -> Result<Option<u64>> {
    let mut search = mp4::Search::new(file.size_bytes);
    let mut at = 0;
    loop {
        let length = mp4::READ_BYTES.min(file.size_bytes.saturating_sub(at));
        if length == 0 {
            return Ok(None);
        }
        let bytes = app.storage.read(file.id, (at, length), app.clock.now()).await?;
        match search.step(&bytes) {
            mp4::Step::Read(next) => at = next,
            mp4::Step::Found(duration) => return Ok(duration),
        }
    }
}

/// Writes a verdict down, unless somebody else did meanwhile.
async fn decide(
    app: &App,
    teacher: &User,
    which: Which,
    (id, verdict): (FileId, Option<Verdict>),
) -> Result<ListedVideo> {
    let mut tx = app.db.begin().await?;
    let mut listed = own_video(&mut tx, teacher, which).await?;
    let is_open =
        listed.upload.as_ref().is_some_and(|upload| upload.id == id && upload.is_looked_at());
    let (Some(verdict), true) = (verdict, is_open) else {
        tx.rollback().await?;
        return Ok(listed);
    };
    let status = match (&verdict, &app.mux) {
        (Ok(duration), mux) => {
            let is_open = if mux.is_some() {
                db::mux::want(&mut tx, id, *duration, app.clock.now()).await?
            } else {
                play(app, &mut tx, &mut listed, (id, *duration)).await?
            };
            if !is_open {
                // Swept away meanwhile. What is played now must not be discarded for it.
                tx.rollback().await?;
                return Err(Error::UploadOver);
            }
            if mux.is_some() { FileStatus::Processing } else { FileStatus::Ready }
        }
        (Err(failure), _) => {
            db::video_files::set_failed(&mut tx, id, failure).await?;
            FileStatus::Failed
        }
    };
    let listed = db::videos::find(&mut tx, which.course_id, which.video_id).await?;
    tx.commit().await?;
    info!(video.id = %which.video_id, file.id = %id, %status, "looked at file {id}: {status}");
    match status {
        FileStatus::Failed => drop(remove(app, [id]).await),
        FileStatus::Processing => processing::begin(app, id),
        _ => {}
    }
    listed.ok_or(Error::NotFound("video"))
}

/// Plays a file of a video from now on, which plays so long, if that is known. `false`: it was swept away,
/// and all of this must be undone.
pub(super) async fn play(
    app: &App,
    tx: &mut Tx,
    listed: &mut ListedVideo,
    (id, duration_ms): (FileId, Option<u64>),
) -> Result<bool> {
    let end = storage::end(app.config.storage.playback_url(), app.clock.now());
    db::video_files::discard_current(tx, listed.video.id, end).await?;
    if !db::video_files::set_ready(tx, id, duration_ms).await? {
        return Ok(false);
    }
    if let Some(duration_ms) = duration_ms {
        listed.video.duration_ms = duration_ms;
        db::videos::update(tx, listed).await?;
    }
    Ok(true)
}
