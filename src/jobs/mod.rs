//! What is done from time to time, beside the requests.

use tokio::time::MissedTickBehavior;

use crate::app::App;

mod bonuses;
mod mux;
mod prune;
mod sweep;

/// Sets all jobs to work, until the server stops.
pub fn spawn(app: &App) {
    app.tasks.spawn(bonuses::run(app.clone()));
    app.tasks.spawn(mux::run(app.clone()));
    app.tasks.spawn(prune::run(app.clone()));
    app.tasks.spawn(sweep::run(app.clone()));
}

/// A timer for a job: after a pause it goes on as before, without catching up.
fn every(period: std::time::Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
