//! What moves on a teacher's dashboard while people watch: small enough to be read at every tick.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use crate::{
    app::App,
    domain::calendar::Zone,
    error::Result,
    id::CourseId,
    money::{Currency, Money},
    time::Timestamp,
};

/// What moves on a dashboard while people watch.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct LiveView {
    viewers: u64,
    earnings: Vec<LiveEarnings>,
    /// Those that are being watched.
    courses: Vec<LiveCourse>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct LiveEarnings {
    currency: Currency,
    today: Money,
    /// What the open sessions come to so far.
    pending: Money,
    /// It may still change, and for a moment what was settled is in both.
    pending_is_provisional: bool,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct LiveCourse {
    course_id: CourseId,
    currency: Currency,
    viewers: u64,
    pending: Money,
}

/// How it is at this moment.
pub async fn live(app: &App, view: &View, zone: &Zone, now: Timestamp) -> Result<LiveView> {
    let audience = app.audience.of(app, view.teacher);
    let today = zone.begin_of(zone.day_of(now));
    let earned = view.earned_since(app, today, &audience).await?;
    let mut currencies: BTreeSet<Currency> = earned.keys().copied().collect();
    currencies.extend(audience.iter().map(|(_, currency, _)| *currency));
    currencies.insert(app.config.money.default_currency());
    let of = |currency: Currency| LiveEarnings {
        currency,
        today: earned.get(&currency).copied().unwrap_or_default(),
        pending: audience
            .iter()
            .filter(|(_, of, _)| *of == currency)
            .map(|(_, _, audience)| audience.pending)
            .sum(),
        pending_is_provisional: true,
    };
    Ok(LiveView {
        viewers: audience.iter().map(|(_, _, audience)| audience.viewers).sum(),
        earnings: currencies.into_iter().map(of).collect(),
        courses: audience
            .iter()
            .map(|(course_id, currency, audience)| LiveCourse {
                course_id: *course_id,
                currency: *currency,
                viewers: audience.viewers,
                pending: audience.pending,
            })
            .collect(),
    })
}
