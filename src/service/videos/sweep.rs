//! Removes files that are of no use any more: what nobody confirmed, what was replaced, what courses and
//! videos had that are deleted, and what could not be removed when it was discarded.

use std::time::Duration;

use super::{over, remove};
use crate::{app::App, db, domain::meter, error::Result, time::Timestamp};

/// How long what was uploaded waits to be confirmed, after the link for it has expired; and how long
/// it is told why an upload failed.
const UNCONFIRMED_KEPT: Duration = Duration::from_hours(24);

/// For how long after a course or a video was deleted its files are looked for. A Murph that did not run
/// for all of that time leaves them where they are.
const DELETED_SEEN: Duration = Duration::from_hours(30 * 24);

/// Removes files, `batch` of them at a time, until there are no more, and says how many. Safe to be broken
/// off, and to be done by several nodes at once. A file that cannot be removed is tried again the next time.
pub async fn sweep(app: &App, batch: u32, now: Timestamp) -> Result<usize> {
    let limit = i64::from(batch);
    while discard(app, limit, now).await? {}
    // Not earlier: an upload that began just before its link expired would put there what nobody remembers.
    let before = over(app, now);
    let (mut removed, mut after) = (0, db::video_files::BEGINNING);
    loop {
        let mut tx = app.db.read().await?;
        let files = db::video_files::list_discarded(&mut tx, before, after, limit).await?;
        drop(tx);
        let Some(&last) = files.last() else { return Ok(removed) };
        after = last;
        let read = files.len();
        let gone = remove(app, files.into_iter().map(|(_, file)| file)).await;
        if !gone.is_empty() {
            let mut tx = app.db.begin().await?;
            for &file in &gone {
                db::video_files::delete(&mut tx, file).await?;
            }
            tx.commit().await?;
        }
        removed += gone.len();
        if i64::try_from(read).is_ok_and(|read| read < limit) {
            return Ok(removed);
        }
    }
}

/// Discards what is of no use any more, a batch of each kind. `true`: there may be more.
async fn discard(app: &App, limit: i64, now: Timestamp) -> Result<bool> {
    let mut tx = app.db.read().await?;
    let abandoned = db::video_files::list_abandoned(&mut tx, now - UNCONFIRMED_KEPT, limit).await?;
    // Sessions that were open when it was deleted go on.
    let then = (now - DELETED_SEEN, now - meter::AGE_MAX);
    let deleted = db::video_files::list_of_deleted(&mut tx, then, limit).await?;
    drop(tx);
    if abandoned.is_empty() && deleted.is_empty() {
        return Ok(false);
    }
    let mut tx = app.db.begin().await?;
    for &file in &abandoned {
        db::video_files::discard_abandoned(&mut tx, file).await?;
    }
    for &file in &deleted {
        db::video_files::discard(&mut tx, file).await?;
    }
    tx.commit().await?;
    let is_full = |files: usize| i64::try_from(files).is_ok_and(|files| files >= limit);
    Ok(is_full(abandoned.len()) || is_full(deleted.len()))
}
