//! How watching becomes money.
//!
//! A [`Meter`] is the state machine of one session. It is given events and the moment they
//! happened, and answers with a [`Reading`]. It reads no clock, does no I/O and cannot fail.
//!
//! ```text
//! opening ─attach─▶ paused ─play─▶ playing ◀─a proof─ stalled ◀─ the playhead stood still
//!                     ▲              │  │
//!                     └────pause─────┘  └─the hold is used up─▶ suspended ─Hold─▶ playing
//! any of them but opening ─detach─▶ detached ─attach─▶ paused
//! ```
//!
//! # Invariants
//!
//! * A charge never reaches further than one tick past the last proof, until the next proof
//!   confirms more, and never further than the hold.
//! * The price depends on the player's words and when they came, never on when somebody looked:
//!   what runs up between two proofs is computed when asked for, and booked when decided.
//! * The stretches add up: all of them to the session's age, the watched ones to what was watched.
//! * The cost falls only when a player says itself that it stood still, by at most one tick.
//! * Time moves forward only: a moment from the past counts as the latest one known.

mod evidence;
mod hearing;
mod story;
mod words;

use std::time::Duration;

use evidence::Reference;
pub use evidence::{Position, Proof};
use hearing::Heard;
use story::Story;
pub use words::{Event, Passage, Phase, Rate, Reading, Rules, Taken, Verdict};

use crate::{
    domain::{
        session::EndReason,
        stretch::{Stretch, StretchKind},
    },
    money::Money,
    time::Moment,
};

/// The longest a session can be watched; a longer one is ended before.
pub const WATCHED_MAX: Duration = Duration::from_hours(24);
/// The longest a session waits for its player to come for the first time.
pub const OPENING_MAX: Duration = Duration::from_secs(60);
/// The longest a session waits for money.
pub const SUSPENDED_MAX: Duration = Duration::from_secs(120);
/// The longest a session lasts, and so the most of it that can be watched.
pub const AGE_MAX: Duration = Duration::from_hours(12);
/// With less than this left, a hold grows by itself if it may.
pub const EXTEND_BELOW: Duration = Duration::from_secs(15);
/// With so much left, the player is told that its balance is low.
pub const LOW_BALANCE: [Duration; 2] = [Duration::from_secs(120), Duration::from_secs(30)];

/// How long `money` lasts at `price_per_minute`. A free course lasts for ever.
#[must_use]
pub fn affordable(price_per_minute: Money, money: Money) -> Duration {
    let micros = u128::try_from(money.micros()).unwrap_or_default();
    match u128::try_from(price_per_minute.micros()) {
        Ok(price) if price > 0 => {
            Duration::from_millis(u64::try_from(micros * 60_000 / price).unwrap_or(u64::MAX))
        }
        _ => Duration::MAX,
    }
}

/// What `watched` costs at `price_per_minute`: rounded down, never more than `held`.
///
/// Takes the whole watched time, not one tick, so rounding cannot add up over a session.
#[must_use]
pub fn cost(price_per_minute: Money, watched: Duration, held: Money) -> Money {
    let price = u128::try_from(price_per_minute.micros()).expect("a price is not negative");
    let exact = price * watched.as_millis() / 60_000;
    i64::try_from(exact).map_or(held, |micros| Money::from_micros(micros).min(held))
}

/// The shortest time that costs all of `held`, in milliseconds; `u64::MAX` if none does.
fn limit_ms(price_per_minute: Money, held: Money) -> u64 {
    let price = u128::try_from(price_per_minute.micros()).unwrap_or_default();
    let held = u128::try_from(held.micros()).unwrap_or_default();
    if price == 0 {
        return u64::MAX;
    }
    u64::try_from((held * 60_000).div_ceil(price)).unwrap_or(u64::MAX)
}

/// A span in whole milliseconds, the only unit that is reckoned in here.
fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What a meter is doing, since [`Meter::since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Paused,
    /// Since the last proof.
    Playing,
    /// Since the last proof, while a proof to come may still confirm some of the time; else since
    /// whenever. `kind` is what to call it if none does.
    Stalled {
        kind: StretchKind,
        recoverable: bool,
    },
    /// Since the millisecond at which the hold was used up.
    Suspended {
        playing: bool,
    },
    Detached {
        lost: bool,
    },
}

/// The meter of one session.
#[derive(Clone, Debug)]
pub struct Meter {
    price_per_minute: Money,
    held: Money,
    limit_ms: u64,
    free_below_ms: u64,
    story: Story,
    /// Up to here, everything is booked in the story.
    since: Moment,
    /// The latest moment at which something was applied.
    latest: Moment,
    reference: Reference,
    state: State,
}

// A million of them are in memory at once.
const _: () = assert!(size_of::<Meter>() <= 200);

/// What goes on from [`Meter::since`] to a moment: first `watched_ms` of watching, as far as is
/// known, then the rest in the phase shown.
struct Running {
    watched_ms: u64,
    rest_ms: u64,
    phase: Phase,
    kind: StretchKind,
}

impl Meter {
    /// The meter of a session that started `age` ago and whose player has not come yet.
    #[must_use]
    pub fn opening(rate: Rate, age: Duration, now: Moment) -> Self {
        let mut meter = Self::new(rate, State::Opening, now);
        meter.story.book(StretchKind::Opening, whole_ms(age));
        meter
    }

    /// The meter of a session that another one has metered before, detached as of now.
    ///
    /// `watched` is the truth. What `stretches` do not tell of it, because their last part was
    /// lost with the node, becomes one stretch after them; what they tell beyond it is left out.
    #[must_use]
    pub fn taken_over(
        rate: Rate,
        watched: Duration,
        stretches: Vec<Stretch>,
        taken: Taken,
        now: Moment,
    ) -> Self {
        let mut meter = Self::new(rate, State::Detached { lost: taken.lost }, now);
        let mut untold_ms = whole_ms(watched).min(meter.room_ms());
        for Stretch(kind, ms) in stretches {
            if kind == StretchKind::Watched {
                let told_ms = ms.min(untold_ms);
                meter.story.book(kind, told_ms);
                untold_ms -= told_ms;
            } else {
                meter.story.book(kind, ms);
            }
        }
        meter.story.book(StretchKind::Watched, untold_ms);
        let rest_ms = whole_ms(taken.age).saturating_sub(meter.story.age_ms());
        meter.story.book(gone(taken.lost), rest_ms);
        meter
    }

    fn new(rate: Rate, state: State, now: Moment) -> Self {
        let price_per_minute = rate.price_per_minute.max(Money::ZERO);
        let held = rate.held.max(Money::ZERO);
        Self {
            price_per_minute,
            held,
            limit_ms: limit_ms(price_per_minute, held),
            free_below_ms: whole_ms(rate.free_below),
            story: Story::default(),
            since: now,
            latest: now,
            reference: Reference::default(),
            state,
        }
    }

    /// Takes in what happened at `now`, and shows what it led to.
    pub fn apply(&mut self, event: Event, rules: &Rules, now: Moment) -> Reading {
        let now = now.max(self.latest);
        self.latest = now;
        let (from, booked_ms) = (self.reference, self.story.watched_ms());
        self.suspend_if_used_up(rules, now);
        let mut heard = Heard::default();
        match event {
            Event::Attach => self.turn(State::Paused, rules, now),
            Event::Play(position) => heard.verdict = self.play(position, rules, now),
            Event::Progress(proof) => heard = self.progress(&proof, rules, now),
            Event::Pause => self.pause(rules, now),
            Event::Detach => self.detach(rules, now),
            Event::Hold(held) => self.hold(held, rules, now),
            Event::Tick => {}
        }
        let to = if heard.moved { self.reference } else { from };
        let passage = Passage {
            video: to.video,
            from_ms: from.at_ms,
            to_ms: to.at_ms,
            watched_ms: self.story.watched_ms() - booked_ms,
        };
        let passage = (heard.moved || passage.watched_ms > 0).then_some(passage);
        Reading { verdict: heard.verdict, passage, ..self.read(rules, now) }
    }

    /// What the meter shows at `now`. Changes nothing.
    #[must_use]
    pub fn read(&self, rules: &Rules, now: Moment) -> Reading {
        let running = self.running(rules, now);
        let watched_ms = self.story.watched_ms() + running.watched_ms;
        let watched = Duration::from_millis(watched_ms);
        let left = |limit_ms: u64| Duration::from_millis(limit_ms.saturating_sub(watched_ms));
        Reading {
            phase: running.phase,
            reason: running.kind,
            watched,
            cost: cost(self.price_per_minute, watched, self.held),
            held: self.held,
            remaining: (self.limit_ms < u64::MAX).then(|| left(self.limit_ms)),
            free_remaining: left(self.free_below_ms),
            verdict: Verdict::Fine,
            passage: None,
        }
    }

    /// When the phase changes by itself, if the player says nothing: the hold is used up, or one
    /// tick after the last proof is over. May be in the past: then it has changed already.
    #[must_use]
    pub fn next_change(&self, rules: &Rules) -> Option<Moment> {
        let tick_ms = whole_ms(rules.tick);
        let left_ms = self.limit_ms.saturating_sub(self.story.watched_ms());
        // The last millisecond of the tick is still playing.
        let span_ms = if left_ms <= tick_ms { left_ms } else { tick_ms.saturating_add(1) };
        (self.state == State::Playing).then(|| self.since + Duration::from_millis(span_ms))
    }

    /// Why the session is over, if nobody ended it and it is.
    #[must_use]
    pub fn over(&self, rules: &Rules, now: Moment) -> Option<EndReason> {
        let running = self.running(rules, now);
        let age_ms = self.story.age_ms().saturating_add(running.watched_ms + running.rest_ms);
        let lasted = |span: Duration| running.rest_ms >= whole_ms(span);
        match (running.phase, self.state) {
            (Phase::Opening, _) if age_ms >= whole_ms(OPENING_MAX) => Some(EndReason::NeverStarted),
            _ if age_ms >= whole_ms(AGE_MAX) => Some(EndReason::MaxDuration),
            (Phase::Suspended, _) if lasted(SUSPENDED_MAX) => Some(EndReason::FundsExhausted),
            (_, State::Detached { lost }) if lasted(rules.grace) => {
                Some(if lost { EndReason::NodeLost } else { EndReason::Disconnected })
            }
            _ => None,
        }
    }

    /// The session's whole story so far, for the receipt.
    #[must_use]
    pub fn stretches(&self, rules: &Rules, now: Moment) -> Vec<Stretch> {
        let running = self.running(rules, now);
        let mut story = self.story.clone();
        story.book(StretchKind::Watched, running.watched_ms);
        story.book(running.kind, running.rest_ms);
        story.into_stretches()
    }

    /// A hold that ran out while nobody looked did so at that very millisecond, and what is heard
    /// afterwards does not undo it.
    fn suspend_if_used_up(&mut self, rules: &Rules, now: Moment) {
        let running = self.running(rules, now);
        if self.state == State::Playing && running.phase == Phase::Suspended {
            self.book(StretchKind::Watched, running.watched_ms);
            self.state = State::Suspended { playing: true };
        }
    }

    /// Books all up to `now` as it is, and goes on as `state`.
    fn turn(&mut self, state: State, rules: &Rules, now: Moment) {
        let running = self.running(rules, now);
        self.book(StretchKind::Watched, running.watched_ms);
        self.book(running.kind, running.rest_ms);
        self.state = state;
    }

    fn book(&mut self, kind: StretchKind, ms: u64) {
        self.story.book(kind, ms);
        self.since = self.since + Duration::from_millis(ms);
    }

    fn running(&self, rules: &Rules, now: Moment) -> Running {
        let gap_ms = self.gap_ms(now.max(self.latest));
        let waits = |phase, kind| Running { watched_ms: 0, rest_ms: gap_ms, phase, kind };
        match self.state {
            State::Opening => waits(Phase::Opening, StretchKind::Opening),
            State::Paused => waits(Phase::Paused, StretchKind::Paused),
            State::Stalled { kind, .. } => waits(Phase::Stalled, kind),
            State::Suspended { .. } => waits(Phase::Suspended, StretchKind::Suspended),
            State::Detached { lost } => waits(Phase::Detached, gone(lost)),
            State::Playing => {
                let watched_ms = gap_ms.min(whole_ms(rules.tick)).min(self.room_ms());
                let rest_ms = gap_ms - watched_ms;
                let (phase, kind) = if self.story.watched_ms() + watched_ms >= self.limit_ms {
                    (Phase::Suspended, StretchKind::Suspended)
                } else if rest_ms > 0 {
                    (Phase::Stalled, StretchKind::Silent)
                } else {
                    (Phase::Playing, StretchKind::Watched)
                };
                Running { watched_ms, rest_ms, phase, kind }
            }
        }
    }

    /// How long ago the last thing was booked.
    fn gap_ms(&self, now: Moment) -> u64 {
        now.ms().saturating_sub(self.since.ms())
    }

    /// How much more can be watched.
    fn room_ms(&self) -> u64 {
        self.limit_ms.min(whole_ms(AGE_MAX)).saturating_sub(self.story.watched_ms())
    }

    fn is_used_up(&self) -> bool {
        self.story.watched_ms() >= self.limit_ms
    }
}

/// What to call the time without a player.
fn gone(lost: bool) -> StretchKind {
    if lost { StretchKind::NodeLost } else { StretchKind::Detached }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn costs_by_the_minute_rounded_down() {
        for (price, seconds, held, cost_is) in [
            ("0.50", 923, "30.00", "7.691666"),
            ("0.50", 300, "30.00", "2.50"),
            ("1.00", 5, "30.00", "0.083333"),
            ("0.000001", 59, "30.00", "0.00"),
            ("0.000001", 60, "30.00", "0.000001"),
            ("1.50", 1_200, "30.00", "30.00"),
            ("1.50", 7_200, "30.00", "30.00"),
            ("0.00", 7_200, "0.00", "0.00"),
        ] {
            let cost = cost(money(price), Duration::from_secs(seconds), money(held));
            assert_eq!(cost, money(cost_is), "{price} × {seconds} s of {held}");
        }
    }

    proptest! {
        /// More watching never costs less, and nothing ever costs more than the hold.
        #[test]
        fn cost_grows_with_time_up_to_the_hold(
            price in 0..=100_000_000_000_i64, watched in 0..86_400_000_u64, more in 0..86_400_000_u64,
            held in 0..1_000_000_000_000_i64,
        ) {
            let held = Money::from_micros(held);
            let price = Money::from_micros(price);
            let less = cost(price, Duration::from_millis(watched), held);
            let greater = cost(price, Duration::from_millis(watched + more), held);
            prop_assert!(less <= greater && greater <= held && !less.is_negative());
        }
    }
}
