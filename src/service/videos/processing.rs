//! What Mux makes of files: handed over, waited for, and deleted when no file has it any more.
//!
//! A file is written down as Mux's first, and Mux is told of it after the commit, so whoever dies in between
//! leaves something that [`process`] finds. Nobody can ask Mux which asset is whose: if an answer is lost,
//! the asset is known by its mark when Mux tells of it. One that bears a mark of ours and is not its file's
//! is a leftover, and deleted; what bears none is somebody else's, and left alone.
//!
//! What Mux tells may come twice, late and in any order: a file only ever goes forward.
//!
//! A file fails only when Mux has it and can make nothing of it. Whatever else goes wrong says nothing about
//! the file: it is played as it was uploaded, and by what Mux made of it should that be ready after all.

use std::time::Duration;

use tracing::{error, info, warn};

use super::{remove, upload::play};
use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        course::parse_duration,
        media::{FileStatus, VideoFile},
    },
    error::{OrLog, Result},
    id::FileId,
    mux::{About, Asset, Mux, State, Trouble},
    storage::Object,
};

/// How long Mux may fetch a file after it was told of it.
const INPUT_LASTS: Duration = Duration::from_hours(24);

/// How long nothing is heard of a file, before Mux is asked about it, or told of it once more.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long Mux may take for a file, before it is played as it was uploaded.
const TAKES_MAX: Duration = Duration::from_hours(24);

/// How often in a row Mux may not do what it is asked, before it is left alone for a while.
const TROUBLES_MAX: usize = 3;

/// Hands a file over, beside the request that confirmed it. What comes to nothing, or finds no place, is
/// done by [`process`].
pub(super) fn begin(app: &App, id: FileId) {
    let (app, stop) = (app.clone(), app.stop.clone());
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        let Some(mux) = &app.mux else { return };
        let Some(_place) = mux.place() else { return };
        tokio::select! {
            () = stop.cancelled() => {}
            done = ask(&app, mux, id) => drop(done.or_log("handing a file over to Mux")),
        }
    });
}

/// Does what is left to be done with Mux, `batch` files at a time: hands over what was not, asks about what
/// nothing was heard of, waits no more for what takes too long, and deletes what no file has any more. Safe
/// to be broken off, and to be done by several nodes at once.
pub async fn process(app: &App, batch: u32) -> Result<()> {
    let limit = i64::from(batch);
    let Some(mux) = &app.mux else { return play_as_they_are(app, limit).await };
    'asking: loop {
        let before = app.clock.now() - PATIENCE;
        let due = db::mux::list_due(&mut app.db.read().await?, before, limit).await?;
        if due.is_empty() {
            break;
        }
        for id in due {
            if !ask(app, mux, id).await? {
                // It would say the same of the others. Next time it is their turn first.
                break 'asking;
            }
        }
    }
    delete_leftovers(app, mux, limit).await
}

/// Tells Mux of a file, or asks about it. `false`: it is of no use to ask more now.
async fn ask(app: &App, mux: &Mux, id: FileId) -> Result<bool> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let is_ours = db::mux::claim(&mut tx, id, now - PATIENCE, now).await?;
    let file = db::video_files::find(&mut tx, id).await?.filter(|_| is_ours);
    tx.commit().await?;
    let Some(file) = file else { return Ok(true) };
    // Only an answer says whether Mux was done in time: who could not ask for a day knows nothing.
    let is_late = file.mux.as_ref().is_some_and(|mux| mux.since <= now - TAKES_MAX);
    let outcome = match file.asset_id() {
        None => hand_over(app, mux, &file).await,
        Some(asset) => match mux.find(asset).await {
            Ok(None) => {
                play_as_it_is(app, id, "Mux does not know it").await?;
                return Ok(true);
            }
            Ok(Some(found)) => {
                let is_given_up = is_late && found.state == State::Preparing;
                hear(app, found).await?;
                if is_given_up {
                    play_as_it_is(app, id, "Mux was not done with it in time").await?;
                }
                return Ok(true);
            }
            Err(trouble) => Err(trouble),
        },
    };
    match outcome {
        Ok(asset) => hear(app, asset).await.map(|()| true),
        Err(Trouble::Refused(why)) => {
            play_as_it_is(app, id, &format!("Mux does not take it: {why}")).await?;
            Ok(true)
        }
        Err(trouble) => {
            log(&trouble);
            // What it sends about an asset of ours is an answer, if a bad one.
            let is_given_up = file.asset_id().is_none() || trouble == Trouble::Unreadable;
            if is_late && is_given_up {
                play_as_it_is(app, id, "Mux did not take it in time").await?;
            } else if trouble.is_before() {
                let mut tx = app.db.begin().await?;
                db::mux::release(&mut tx, id).await?;
                tx.commit().await?;
            }
            // That is about this one.
            Ok(trouble == Trouble::Unreadable)
        }
    }
}

async fn hand_over(app: &App, mux: &Mux, file: &VideoFile) -> Result<Asset, Trouble> {
    let what = (Object::from(file), None);
    let input = app.storage.playback_url(&app.public_url(), what, INPUT_LASTS, app.clock.now());
    let mark = app.keys.mark(file.id);
    let asset = mux.create(&input, &mark).await?;
    info!(file.id = %file.id, asset.id, "handed file {} over to Mux", file.id);
    Ok(Asset { mark: Some(mark), ..asset })
}

fn log(trouble: &Trouble) {
    if trouble.is_setup() {
        error!("Mux {trouble}: look at mux.token_id, mux.token_secret and mux.base_url");
    } else {
        warn!("Mux {trouble}");
    }
}

/// Whether something is about an asset of ours: it bears a mark of ours, or is known.
pub async fn is_ours(app: &App, about: &About) -> Result<bool> {
    if about.mark.as_ref().is_some_and(|mark| app.keys.marked(mark).is_some()) {
        return Ok(true);
    }
    let Some(id) = &about.id else { return Ok(false) };
    Ok(db::mux::find_file(&mut app.db.read().await?, id).await?.is_some())
}

/// Takes note of what Mux says of an asset.
pub async fn hear(app: &App, asset: Asset) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let known = db::mux::find_file(&mut tx, &asset.id).await?;
    if known.is_none() && asset.state == State::Deleted {
        db::mux::delete_leftover(&mut tx, &asset.id).await?;
        return tx.commit().await;
    }
    let marked = || app.keys.marked(asset.mark.as_ref()?);
    let Some(id) = known.or_else(marked) else { return tx.rollback().await };
    let file = lock(&mut tx, id).await?;
    // Somebody else may have heard of it first.
    let has = file.as_ref().is_some_and(|file| file.asset_id() == Some(&asset.id));
    if !has && !db::mux::set_asset(&mut tx, id, &asset.id).await? {
        info!(file.id = %id, asset.id, "file {id} does not need asset {}", asset.id);
        db::mux::insert_leftover(&mut tx, &asset.id).await?;
        return tx.commit().await;
    }
    match (file, asset.state) {
        (Some(file), State::Ready { playback_id, duration_ms }) if file.is_at_mux() => {
            finish(app, tx, &file, (Some(&playback_id), duration_ms)).await
        }
        (Some(file), State::Errored(why)) if file.is_at_mux() => {
            tx.commit().await?;
            fail(app, id, &format!("Mux cannot make a video of it: {why}")).await
        }
        // Played as it was uploaded, by a node without Mux or as Mux was late.
        (Some(file), State::Ready { playback_id, .. })
            if file.status == FileStatus::Ready && file.playback_id().is_none() =>
        {
            db::mux::set_playback(&mut tx, id, &playback_id).await?;
            tx.commit().await?;
            info!(file.id = %id, "file {id} is ready at Mux after all");
            Ok(())
        }
        (Some(file), State::Deleted) => {
            db::mux::part(&mut tx, id).await?;
            tx.commit().await?;
            if file.status == FileStatus::Ready {
                warn!(file.id = %id, "Mux has nothing of file {id}: it is played as it was uploaded");
            }
            play_as_it_is(app, id, "it was deleted at Mux").await
        }
        // Heard before, or too late.
        _ => tx.commit().await,
    }
}

/// A file, and nobody else changes the videos of its course until the transaction ends.
async fn lock(tx: &mut Tx, id: FileId) -> Result<Option<VideoFile>> {
    if let Some(course) = db::mux::find_course(tx, id).await? {
        db::courses::lock(tx, course).await?;
    }
    db::video_files::find(tx, id).await
}

/// Plays a file from now on, whose course is locked: what Mux made of it, if that is named.
async fn finish(
    app: &App,
    mut tx: Tx,
    file: &VideoFile,
    (playback_id, measured): (Option<&str>, Option<u64>),
) -> Result<()> {
    let measured = measured.map(parse_duration).transpose().unwrap_or_else(|problem| {
        warn!(file.id = %file.id, "the length of file {}, as Mux says, {problem}", file.id);
        None
    });
    let listed = match db::mux::find_course(&mut tx, file.id).await? {
        Some(course) => db::videos::find(&mut tx, course, file.video_id).await?,
        None => None,
    };
    let Some(mut listed) = listed else { return tx.rollback().await };
    let what = (file.id, measured.or(file.duration_ms));
    if !play(app, &mut tx, &mut listed, what).await? {
        return tx.rollback().await;
    }
    if let Some(playback_id) = playback_id {
        db::mux::set_playback(&mut tx, file.id, playback_id).await?;
    }
    tx.commit().await?;
    info!(video.id = %file.video_id, file.id = %file.id, "file {} is ready", file.id);
    Ok(())
}

/// Gives a file up that is at Mux, and says why: it is no video.
async fn fail(app: &App, id: FileId, why: &str) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let is_over = db::mux::set_failed(&mut tx, id, why, app.clock.now()).await?;
    tx.commit().await?;
    if is_over {
        info!(file.id = %id, "gave file {id} up: {why}");
        remove(app, [id]).await;
    }
    Ok(())
}

/// Plays a file that is at Mux as it was uploaded, for a reason that is not the file's. Nothing is removed,
/// and it keeps its asset.
async fn play_as_it_is(app: &App, id: FileId, why: &str) -> Result<()> {
    let mut tx = app.db.begin().await?;
    match lock(&mut tx, id).await? {
        Some(file) if file.is_at_mux() => {
            warn!(file.id = %id, "file {id} is played as it was uploaded: {why}");
            finish(app, tx, &file, (None, None)).await
        }
        _ => tx.rollback().await,
    }
}

/// What Mux was to have, and there is no Mux any more. Other nodes may still have one, and get a while to
/// be done with it. One batch at a time is enough.
async fn play_as_they_are(app: &App, limit: i64) -> Result<()> {
    let before = app.clock.now() - PATIENCE;
    let waiting = db::mux::list_since(&mut app.db.read().await?, before, limit).await?;
    for id in waiting {
        play_as_it_is(app, id, "there is no Mux any more").await?;
    }
    Ok(())
}

/// One that cannot be deleted is tried again the next time, and keeps the others waiting only if they seem
/// to fare no better.
async fn delete_leftovers(app: &App, mux: &Mux, limit: i64) -> Result<()> {
    let (mut after, mut troubles) = (String::new(), 0);
    loop {
        let left = db::mux::list_leftovers(&mut app.db.read().await?, &after, limit).await?;
        let Some(last) = left.last() else { return Ok(()) };
        after.clone_from(last);
        for asset in left {
            match mux.delete(&asset).await {
                Ok(()) => {
                    troubles = 0;
                    let mut tx = app.db.begin().await?;
                    db::mux::delete_leftover(&mut tx, &asset).await?;
                    tx.commit().await?;
                    info!(asset.id = asset, "deleted asset {asset} at Mux");
                }
                Err(trouble) => {
                    log(&trouble);
                    if !matches!(trouble, Trouble::Refused(_)) {
                        troubles += 1;
                    }
                    if troubles == TROUBLES_MAX {
                        return Ok(());
                    }
                }
            }
        }
    }
}
