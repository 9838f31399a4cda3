//! Removes files that are of no use any more: what nobody confirmed, what courses had that are deleted,
//! and what could not be removed when it was discarded.

use std::time::Duration;

use crate::{app::App, db, domain::meter, error::Result, time::Timestamp};

/// How long what was uploaded waits to be confirmed, after the link for it has expired; and how long
/// it is told why an upload failed.
const UNCONFIRMED_KEPT: Duration = Duration::from_hours(24);

/// For how long after a course was deleted its files are looked for. A Murph that did not run for all
/// of that time leaves them where they are.
const DELETED_SEEN: Duration = Duration::from_hours(30 * 24);

/// Removes at most `limit` files, and says how many. Safe to be done by several nodes at once.
pub async fn sweep(app: &App, limit: u32, now: Timestamp) -> Result<usize> {
    let limit = i64::from(limit);
    let mut tx = app.db.begin().await?;
    db::video_files::discard_abandoned(&mut tx, now - UNCONFIRMED_KEPT, limit).await?;
    // Sessions that were open when the course was deleted go on.
    let deleted = (now - DELETED_SEEN, now - meter::AGE_MAX);
    db::video_files::discard_of_deleted_courses(&mut tx, deleted, limit).await?;
    // Not before its link has expired: somebody could put it there again.
    let discarded = db::video_files::list_discarded(&mut tx, now, limit).await?;
    tx.commit().await?;
    for &file in &discarded {
        app.storage.remove(file, now).await?;
    }
    if !discarded.is_empty() {
        let mut tx = app.db.begin().await?;
        for &file in &discarded {
            db::video_files::delete(&mut tx, file).await?;
        }
        tx.commit().await?;
    }
    Ok(discarded.len())
}
