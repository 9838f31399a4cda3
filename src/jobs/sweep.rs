//! Removes files that are of no use any more.
//!
//! Safe to run on every node at once.

use std::time::Duration;

use tracing::info;

use crate::{app::App, error::OrLog, service::videos};

/// How often it is done.
const PERIOD: Duration = Duration::from_mins(1);

/// The most files removed in one transaction.
const BATCH_MAX: u32 = 100;

pub(super) async fn run(app: App) {
    let mut timer = super::every(PERIOD);
    while app.stop.run_until_cancelled(timer.tick()).await.is_some() {
        // Broken off wherever it is: what is left over is found again, and a stop does not wait for S3.
        app.stop.run_until_cancelled(sweep(&app)).await;
    }
}

async fn sweep(app: &App) {
    let removed = videos::sweep(app, BATCH_MAX, app.clock.now()).await;
    match removed.or_log("removing files that are of no use") {
        Some(count) if count > 0 => info!(count, "removed {count} files"),
        _ => {}
    }
    app.storage.sweep().await.or_log("removing what never came in");
}
