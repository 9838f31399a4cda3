//! Pays the bonuses that wait until the platform can cover them.
//!
//! Safe to run on every node at once.

use std::time::Duration;

use crate::{app::App, error::OrLog, service::reviews};

/// How often it is tried.
const PERIOD: Duration = Duration::from_mins(1);

pub(super) async fn run(app: App) {
    let mut timer = super::every(PERIOD);
    while app.stop.run_until_cancelled(timer.tick()).await.is_some() {
        reviews::pay_waiting(&app, app.clock.now()).await.or_log("paying bonuses");
    }
}
