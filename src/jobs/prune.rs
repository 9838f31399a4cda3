//! Forgets what nobody needs any more: answers older than a day, sign-ins that ran out, limits of
//! addresses that were not heard of lately.
//!
//! Safe to run on every node at once.

use std::time::Duration;

use crate::{
    app::App,
    db,
    error::{OrLog, Result},
    service::idempotency,
};

/// How often it is done.
const PERIOD: Duration = Duration::from_mins(1);

/// The most rows forgotten in one transaction, so that nobody waits for it.
const BATCH_MAX: u64 = 1_000;

/// How long a used refresh token is remembered, so that a second use gives a thief away.
const USED_TOKENS_KEPT: Duration = Duration::from_hours(24);

pub(super) async fn run(app: App) {
    let mut timer = super::every(PERIOD);
    while app.stop.run_until_cancelled(timer.tick()).await.is_some() {
        app.limits.prune();
        // A full batch means that there is more.
        while prune(&app).await.or_log("forgetting what is old").unwrap_or(0) >= BATCH_MAX {
            if app.stop.is_cancelled() {
                return;
            }
        }
    }
}

/// Forgets one batch of each kind; says how large the largest was.
async fn prune(app: &App) -> Result<u64> {
    let now = app.clock.now();
    let limit = i64::try_from(BATCH_MAX).expect("a batch is small");
    let mut tx = app.db.begin().await?;
    let keys = db::idempotency::delete_older(&mut tx, now - idempotency::KEPT_FOR, limit).await?;
    let tokens = db::logins::delete_used_tokens(&mut tx, now - USED_TOKENS_KEPT, limit).await?;
    let logins = db::logins::delete_expired(&mut tx, now, limit).await?;
    tx.commit().await?;
    Ok(keys.max(tokens).max(logins))
}
