//! What Mux has of files, and what it is asked for.
//!
//! A file that is looked at and good is Mux's from `mux_since` on, while it is `processing`. It has an asset
//! as soon as one is known, and an id to be played by once it is ready. What no file has any more is a
//! leftover, until it is deleted at Mux.

use crate::{
    db::{Tx, videos::stored},
    error::Result,
    id::{CourseId, FileId},
    time::Timestamp,
};

/// A file is good, and Mux is to have it. `false`: somebody discarded it while it was looked at.
pub async fn want(
    tx: &mut Tx,
    id: FileId,
    duration_ms: Option<u64>,
    now: Timestamp,
) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET duration_ms = $2, mux_since = $3
          WHERE id = $1 AND status = 'processing' AND mux_since IS NULL",
    )
    .bind(id)
    .bind(duration_ms.map(stored))
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Files at Mux about which it was asked at `before` or earlier, if at all: those first that wait longest.
pub async fn list_due(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<Vec<FileId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM video_files
          WHERE status = 'processing' AND mux_since IS NOT NULL
            AND (mux_asked_at IS NULL OR mux_asked_at <= $1)
          ORDER BY mux_asked_at NULLS FIRST, id LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// Files that are Mux's since `then` or earlier.
pub async fn list_since(tx: &mut Tx, then: Timestamp, limit: i64) -> Result<Vec<FileId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM video_files
          WHERE status = 'processing' AND mux_since IS NOT NULL AND mux_since <= $1
          ORDER BY id LIMIT $2",
    )
    .bind(then)
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// It is being asked now. `false`: somebody else asks, or has asked after `before`.
pub async fn claim(tx: &mut Tx, id: FileId, before: Timestamp, now: Timestamp) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET mux_asked_at = $3
          WHERE id = $1 AND status = 'processing' AND mux_since IS NOT NULL
            AND (mux_asked_at IS NULL OR mux_asked_at <= $2)",
    )
    .bind(id)
    .bind(before)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// It was not asked after all.
pub async fn release(tx: &mut Tx, id: FileId) -> Result<()> {
    on!(tx, conn => sqlx::query("UPDATE video_files SET mux_asked_at = NULL WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// The file of an asset.
pub async fn find_file(tx: &mut Tx, asset: &str) -> Result<Option<FileId>> {
    Ok(on!(tx, conn => sqlx::query_scalar("SELECT id FROM video_files WHERE mux_asset_id = $1")
        .bind(asset)
        .fetch_optional(conn)
        .await)?)
}

/// The course a file belongs to, be it deleted or not.
pub async fn find_course(tx: &mut Tx, id: FileId) -> Result<Option<CourseId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT v.course_id FROM video_files f JOIN videos v ON v.id = f.video_id WHERE f.id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?)
}

/// A file that is Mux's, or was until it was discarded, has this asset. `false`: it has one, or needs none.
pub async fn set_asset(tx: &mut Tx, id: FileId, asset: &str) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET mux_asset_id = $2
          WHERE id = $1 AND status IN ('processing', 'discarded') AND mux_since IS NOT NULL
            AND mux_asset_id IS NULL",
    )
    .bind(id)
    .bind(asset)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// What is played under this id is its file's from now on.
pub async fn set_playback(tx: &mut Tx, id: FileId, playback: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET mux_playback_id = $2 WHERE id = $1 AND mux_asset_id IS NOT NULL",
    )
    .bind(id)
    .bind(playback)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Nothing came of it, and what Mux has is a leftover. Its uploader is told so for a while from `now` on.
/// `false`: it is not Mux's any more.
pub async fn set_failed(tx: &mut Tx, id: FileId, failure: &str, now: Timestamp) -> Result<bool> {
    let rows = on!(tx, conn => sqlx::query(
        "UPDATE video_files SET status = 'failed', failure = $2,
                expires_at = CASE WHEN expires_at > $3 THEN expires_at ELSE $3 END
          WHERE id = $1 AND status = 'processing' AND mux_since IS NOT NULL",
    )
    .bind(id)
    .bind(failure)
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected()))?;
    if rows == 1 {
        leave(tx, id).await?;
        part(tx, id).await?;
    }
    Ok(rows == 1)
}

/// Mux has nothing of it any more.
pub async fn part(tx: &mut Tx, id: FileId) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE video_files SET mux_playback_id = NULL, mux_asset_id = NULL WHERE id = $1",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// What Mux has of a file is a leftover.
async fn leave(tx: &mut Tx, id: FileId) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO mux_leftovers (asset_id)
         SELECT mux_asset_id FROM video_files WHERE id = $1 AND mux_asset_id IS NOT NULL
         ON CONFLICT (asset_id) DO NOTHING",
    )
    .bind(id)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// An asset of ours that no file has.
pub async fn insert_leftover(tx: &mut Tx, asset: &str) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO mux_leftovers (asset_id) VALUES ($1) ON CONFLICT (asset_id) DO NOTHING",
    )
    .bind(asset)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Leftovers behind `after`, in their order.
pub async fn list_leftovers(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<String>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT asset_id FROM mux_leftovers WHERE asset_id > $1 ORDER BY asset_id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await)?)
}

/// It is not at Mux any more.
pub async fn delete_leftover(tx: &mut Tx, asset: &str) -> Result<()> {
    on!(tx, conn => sqlx::query("DELETE FROM mux_leftovers WHERE asset_id = $1")
        .bind(asset)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}
