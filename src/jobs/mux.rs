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
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        // Broken off wherever it is: what is left over is found again, and a stop does not wait for Mux.
        tokio::select! {
            () = app.stop.cancelled() => return,
            done = videos::process(&app, BATCH_MAX) => drop(done.or_log("what is to be done with Mux")),
        }
    }
}
