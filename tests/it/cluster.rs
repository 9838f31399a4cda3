//! Several real nodes, one PostgreSQL, one Redis, and players who watch while something breaks.
//!
//! Players are honest and keep a log, and afterwards the books are compared with it: nobody paid
//! for more than was proven, nobody was settled twice, and nothing is left open. They run when
//! there is a PostgreSQL and a Redis; `MURPH_CRASH_ROUNDS` makes them longer.

mod accounts;
mod deaths;
mod nodes;
mod outages;
mod races;
mod viewer;
mod views;

use std::time::{Duration, Instant};

use serde_json::Value;

/// Whatever a test waits for comes much sooner.
const PATIENCE: Duration = Duration::from_mins(2);

/// Polls until it holds, and not for ever.
async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn span(field: &Value) -> Duration {
    Duration::from_millis(field.as_u64().unwrap_or_else(|| panic!("no milliseconds: {field}")))
}
