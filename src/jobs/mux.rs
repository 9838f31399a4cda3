//! Tells Mux of files, asks what became of them, and has deleted what is of no use any more.
//!
//! Safe to run on every node at once.

use std::time::Duration;

use crate::{app::App, error::OrLog, service::videos};

/// How often it is done.
const PERIOD: Duration = Duration::from_mins(1);

/// The most files that are read at once.
const BATCH_MAX: u32 = 100;

pub(super) async fn run(app: App) {
    let mut timer = super::every(PERIOD);
    while app.stop.run_until_cancelled(timer.tick()).await.is_some() {
        // Broken off wherever it is: what is left over is found again, and a stop does not wait for Mux.
        let process = videos::process(&app, BATCH_MAX);
        if let Some(done) = app.stop.run_until_cancelled(process).await {
            done.or_log("what is to be done with Mux");
        }
    }
}
