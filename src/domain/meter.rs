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
    time::{Moment, whole_ms},
};

/// The longest a session can be watched; a longer one is ended before.
pub const WATCHED_MAX: Duration = Duration::from_hours(24);
/// The longest a session waits for its player to come for the first time.
pub const OPENING_MAX: Duration = Duration::from_mins(1);
/// The longest a session waits for money.
pub const SUSPENDED_MAX: Duration = Duration::from_mins(2);
/// The longest a session lasts, and so the most of it that can be watched.
pub const AGE_MAX: Duration = Duration::from_hours(12);
/// With less than this left, a hold grows by itself if it may.
pub const EXTEND_BELOW: Duration = Duration::from_secs(15);
/// With so much left, the player is told that its balance is low.
pub const LOW_BALANCE: [Duration; 2] = [Duration::from_mins(2), Duration::from_secs(30)];

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
    use proptest::{prelude::*, prop_oneof};

    use super::*;

    const RULES: Rules = Rules { tick: Duration::from_secs(5), grace: Duration::from_secs(30) };
    const TICK_MS: u64 = 5_000;
    const START: Moment = Moment::from_ms(1_000_000);

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    /// A cent a second.
    fn rate(held: &str) -> Rate {
        Rate {
            price_per_minute: money("0.60"),
            held: money(held),
            free_below: Duration::from_mins(1),
        }
    }

    fn after(ms: u64) -> Moment {
        START + Duration::from_millis(ms)
    }

    fn position(at_ms: u64) -> Position {
        Position { video: 0, at_ms, length_ms: None }
    }

    fn seen(position: Position) -> Proof {
        Proof { position, rate_percent: 100, visible: true, muted: false }
    }

    fn play(at_ms: u64) -> Event {
        Event::Play(position(at_ms))
    }

    fn proof(at_ms: u64) -> Event {
        Event::Progress(seen(position(at_ms)))
    }

    fn hidden(at_ms: u64) -> Event {
        Event::Progress(Proof { visible: false, muted: true, ..seen(position(at_ms)) })
    }

    /// A meter whose player came at once, and what happened after so many milliseconds.
    fn played(rate: Rate, events: &[(u64, Event)]) -> Meter {
        let mut meter = Meter::opening(rate, Duration::ZERO, START);
        meter.apply(Event::Attach, &RULES, START);
        for (ms, event) in events {
            meter.apply(*event, &RULES, after(*ms));
        }
        meter
    }

    /// `5000 proof 4900, 6000 pause`: what happened after so many milliseconds.
    fn script(text: &str) -> Vec<(u64, Event)> {
        let lines = text.split(',').map(str::trim).filter(|line| !line.is_empty());
        let number = |text: &str| text.replace('_', "").parse::<u64>().unwrap();
        lines
            .map(|line| {
                let mut words = line.split(' ');
                let ms = number(words.next().unwrap());
                let (word, value) = (words.next().unwrap(), words.next().unwrap_or_default());
                let proof = |visible, muted| {
                    let position = position(number(value));
                    Event::Progress(Proof { visible, muted, ..seen(position) })
                };
                let event = match word {
                    "play" => play(number(value)),
                    "proof" => proof(true, false),
                    "unseen" => proof(false, false),
                    "muted" => proof(true, true),
                    "hidden" => proof(false, true),
                    "pause" => Event::Pause,
                    "detach" => Event::Detach,
                    "attach" => Event::Attach,
                    "hold" => Event::Hold(money(value)),
                    other => panic!("{other} is no event"),
                };
                (ms, event)
            })
            .collect()
    }

    /// `watched 5000 silent 1 = stalled, silent`: the story, and what goes on.
    fn told(meter: &Meter, ms: u64) -> String {
        let stretches = meter.stretches(&RULES, after(ms));
        let reading = meter.read(&RULES, after(ms));
        let watched: u64 =
            stretches.iter().filter(|s| s.0 == StretchKind::Watched).map(|s| s.1).sum();
        assert_eq!(Duration::from_millis(watched), reading.watched, "{stretches:?}");
        let mut words: Vec<_> =
            stretches.iter().map(|Stretch(kind, ms)| format!("{kind} {ms}")).collect();
        words.push(format!("= {}, {}", reading.phase, reading.reason));
        words.join(" ")
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

    #[test]
    fn only_proven_time_is_charged() {
        for (claim, events, until, story) in [
            ("nothing is charged before play", "", 9_000, "paused 9000 = paused, paused"),
            (
                "a proof without play is none",
                "5_000 proof 5_000",
                6_000,
                "paused 6000 = paused, paused",
            ),
            (
                "a play is provisional for one tick",
                "0 play 0",
                5_000,
                "watched 5000 = playing, watched",
            ),
            (
                "then its player is silent",
                "0 play 0",
                5_001,
                "watched 5000 silent 1 = stalled, silent",
            ),
            (
                "proofs confirm what ran up",
                "0 play 0, 5_000 proof 5_000, 10_000 proof 9_900",
                12_000,
                "watched 12000 = playing, watched",
            ),
            (
                "a proof within two ticks confirms all since the last",
                "0 play 0, 10_000 proof 9_000",
                10_000,
                "watched 10000 = playing, watched",
            ),
            (
                "a later one only a tick of it",
                "0 play 0, 10_001 proof 9_000",
                11_000,
                "watched 5000 silent 5001 watched 999 = playing, watched",
            ),
        ] {
            assert_eq!(told(&played(rate("30.00"), &script(events)), until), story, "{claim}");
        }
    }

    #[test]
    fn an_end_charges_at_most_a_tick() {
        for (claim, events, until, story) in [
            (
                "a pause charges until then",
                "0 play 0, 3_000 pause",
                4_000,
                "watched 3000 paused 1000 = paused, paused",
            ),
            (
                "a late pause charges one tick",
                "0 play 0, 8_000 pause",
                9_000,
                "watched 5000 silent 3000 paused 1000 = paused, paused",
            ),
            (
                "so does losing the connection",
                "0 play 0, 8_000 detach, 9_000 detach",
                10_000,
                "watched 5000 silent 3000 detached 2000 = detached, detached",
            ),
            (
                "coming back is not playing",
                "0 play 0, 2_000 detach, 3_000 play 2_000, 4_000 attach",
                5_000,
                "watched 2000 detached 2000 paused 1000 = paused, paused",
            ),
            (
                "a new connection ends what an older one played",
                "0 play 0, 2_000 attach",
                4_000,
                "watched 2000 paused 2000 = paused, paused",
            ),
        ] {
            assert_eq!(told(&played(rate("30.00"), &script(events)), until), story, "{claim}");
        }
    }

    #[test]
    fn playing_again_begins_anew() {
        for (claim, events, until, story) in [
            (
                "play again is a repeated message",
                "0 play 7, 2_000 play 7",
                5_001,
                "watched 5000 silent 1 = stalled, silent",
            ),
            (
                "unless the session had fallen silent",
                "0 play 7, 6_000 play 7",
                7_000,
                "watched 5000 silent 1000 watched 1000 = playing, watched",
            ),
            (
                "a seek begins anew",
                "0 play 0, 3_000 play 900_000, 8_000 proof 905_000",
                8_000,
                "watched 8000 = playing, watched",
            ),
            (
                "a late seek charges one tick",
                "0 play 0, 9_000 play 900_000",
                9_000,
                "watched 5000 silent 4000 = playing, watched",
            ),
        ] {
            assert_eq!(told(&played(rate("30.00"), &script(events)), until), story, "{claim}");
        }
    }

    #[test]
    fn standing_still_is_not_charged() {
        // After 5 s of playing, proven.
        for (claim, events, until, story) in [
            (
                "unmoved",
                "10_000 proof 5_000",
                11_000,
                "watched 5000 stalled 6000 = stalled, stalled",
            ),
            (
                "hidden and muted",
                "10_000 hidden 10_000",
                11_000,
                "watched 5000 hidden 6000 = stalled, hidden",
            ),
            (
                "heard if not seen",
                "10_000 unseen 10_000",
                10_000,
                "watched 10000 = playing, watched",
            ),
            (
                "seen if not heard",
                "10_000 muted 10_000",
                10_000,
                "watched 10000 = playing, watched",
            ),
        ] {
            let all = script(&format!("0 play 0, 5000 proof 5000, {events}"));
            assert_eq!(told(&played(rate("30.00"), &all), until), story, "{claim}");
        }
    }

    #[test]
    fn a_proof_soon_wins_back_what_moved() {
        // After 5 s of playing, proven.
        for (claim, events, until, story) in [
            (
                "it moved for a part of the gap",
                "10_000 proof 5_000, 15_000 proof 8_000",
                16_000,
                "watched 5000 stalled 7000 watched 4000 = playing, watched",
            ),
            (
                "saying unmoved every other time gains nothing",
                "10_000 proof 5_000, 15_000 proof 15_000, 20_000 proof 15_000, 25_000 proof 26_000",
                25_000,
                "watched 25000 = playing, watched",
            ),
            (
                "what was hidden is not won back",
                "10_000 hidden 10_000, 15_000 proof 15_000",
                15_000,
                "watched 5000 hidden 5000 watched 5000 = playing, watched",
            ),
            (
                "nothing is after more than two ticks",
                "10_000 proof 5_000, 15_001 proof 15_000",
                16_000,
                "watched 5000 stalled 10001 watched 999 = playing, watched",
            ),
            (
                "nor when it kept on saying so",
                "9_000 proof 5_000, 16_000 hidden 5_000, 17_000 hidden 5_000, 18_000 proof 7_000",
                18_000,
                "watched 5000 stalled 11000 hidden 2000 = playing, watched",
            ),
        ] {
            let all = script(&format!("0 play 0, 5000 proof 5000, {events}"));
            assert_eq!(told(&played(rate("30.00"), &all), until), story, "{claim}");
        }
    }

    #[test]
    fn a_stall_ends_without_a_charge() {
        // After 5 s of playing, proven.
        for (claim, events, until, story) in [
            (
                "unmoved after a silence",
                "30_000 proof 5_000",
                31_000,
                "watched 5000 stalled 5000 silent 20000 stalled 1000 = stalled, stalled",
            ),
            (
                "a pause adds nothing",
                "8_000 proof 5_000, 9_000 pause",
                9_500,
                "watched 5000 stalled 4000 paused 500 = paused, paused",
            ),
            (
                "nor does leaving",
                "8_000 proof 5_000, 9_000 detach",
                9_500,
                "watched 5000 stalled 4000 detached 500 = detached, detached",
            ),
            (
                "playing again begins anew",
                "8_000 proof 5_000, 9_000 play 5_000",
                10_000,
                "watched 5000 stalled 4000 watched 1000 = playing, watched",
            ),
            (
                "what is implausible proves nothing",
                "10_000 proof 900_000",
                11_000,
                "watched 5000 stalled 6000 = stalled, stalled",
            ),
            (
                "the next proof from there does",
                "10_000 proof 900_000, 15_000 proof 905_000, 20_000 proof 910_000",
                20_000,
                "watched 5000 stalled 5000 watched 10000 = playing, watched",
            ),
        ] {
            let all = script(&format!("0 play 0, 5000 proof 5000, {events}"));
            assert_eq!(told(&played(rate("30.00"), &all), until), story, "{claim}");
        }
    }

    #[test]
    fn implausible_positions_are_told_from_plausible_ones() {
        let video = |video| Position { video, ..position(101_000) };
        let long = |at_ms, length_ms| Position { video: 3, at_ms, length_ms: Some(length_ms) };
        let at = |at_ms| Position { video: 3, at_ms, length_ms: None };
        // 5 s after playing video 3 at 100 s.
        for (position, verdict) in [
            (at(105_000), Verdict::Fine),
            (at(130_000), Verdict::Fine),
            (at(130_001), Verdict::Implausible),
            (at(99_000), Verdict::Fine),
            (at(98_999), Verdict::Implausible),
            (at(172_800_001), Verdict::Implausible),
            (at(u64::MAX), Verdict::Implausible),
            (long(105_000, 95_000), Verdict::Fine),
            (long(105_001, 95_000), Verdict::Implausible),
            (long(105_001, u64::MAX), Verdict::Fine),
            (video(3), Verdict::Fine),
            (video(4), Verdict::Implausible),
            (video(Position::NO_VIDEO), Verdict::Fine),
        ] {
            let mut meter = played(rate("30.00"), &[(0, Event::Play(at(100_000)))]);
            let reading = meter.apply(Event::Progress(seen(position)), &RULES, after(5_000));
            assert_eq!(reading.verdict, verdict, "{position:?}");
            let charged = if verdict == Verdict::Fine { TICK_MS } else { 0 };
            assert_eq!(reading.watched, Duration::from_millis(charged), "{position:?}");
        }
        let mut meter = played(rate("30.00"), &[]);
        let reading = meter.apply(play(u64::MAX), &RULES, START);
        assert_eq!((reading.verdict, reading.phase), (Verdict::Implausible, Phase::Playing));
    }

    #[test]
    fn an_absurd_position_is_forgotten() {
        let events = [(0, play(0)), (5_000, proof(u64::MAX)), (10_000, proof(10_000))];
        assert_eq!(
            told(&played(rate("30.00"), &events), 10_000),
            "watched 10000 = playing, watched"
        );
    }

    #[test]
    fn a_hold_is_used_up_to_the_millisecond() {
        // 0.07 is 7 s. Whatever is heard later, and whenever somebody looks:
        for (claim, events, until, story) in [
            ("until then it plays", "", 6_999, "watched 6999 = playing, watched"),
            ("then it stops", "", 7_000, "watched 7000 = suspended, suspended"),
            ("seen late", "", 90_000, "watched 7000 suspended 83000 = suspended, suspended"),
            (
                "a proof",
                "9_000 proof 9_000",
                9_000,
                "watched 7000 suspended 2000 = suspended, suspended",
            ),
            (
                "standing still",
                "9_000 proof 5_000",
                9_000,
                "watched 7000 suspended 2000 = suspended, suspended",
            ),
            ("a pause", "9_000 pause", 9_500, "watched 7000 suspended 2500 = suspended, suspended"),
            (
                "a seek",
                "9_000 play 99_000",
                9_500,
                "watched 7000 suspended 2500 = suspended, suspended",
            ),
            (
                "money goes on playing",
                "9_000 hold 0.08",
                11_000,
                "watched 7000 suspended 2000 watched 1000 suspended 1000 = suspended, suspended",
            ),
            (
                "money before that, without a break",
                "6_000 hold 0.08",
                8_500,
                "watched 8000 suspended 500 = suspended, suspended",
            ),
            (
                "too little money",
                "9_000 hold 0.07, 9_500 hold 0.01",
                10_000,
                "watched 7000 suspended 3000 = suspended, suspended",
            ),
            (
                "money after a pause",
                "8_000 pause, 9_000 hold 1.00",
                9_500,
                "watched 7000 suspended 2000 paused 500 = paused, paused",
            ),
            (
                "money after a pause and a play",
                "8_000 pause, 8_500 play 7_000, 9_000 hold 1.00",
                9_500,
                "watched 7000 suspended 2000 watched 500 = playing, watched",
            ),
            (
                "lost and back, and without money as before",
                "8_000 detach, 9_000 attach, 9_500 play 7_000",
                10_000,
                "watched 7000 suspended 1000 detached 1000 paused 500 suspended 500 = suspended, suspended",
            ),
        ] {
            let all = script(&format!("0 play 0, 5000 proof 5000, {events}"));
            assert_eq!(told(&played(rate("0.07"), &all), until), story, "{claim}");
        }
        // Beyond a tick only a proof tells, and tells when.
        let events = [(0, play(0)), (9_000, proof(9_000))];
        let story = "watched 7000 suspended 2000 = suspended, suspended";
        assert_eq!(told(&played(rate("0.07"), &events), 9_000), story);
        // What is won back from a stall may be all that was left.
        let events = [(0, play(0)), (5_000, proof(0)), (9_000, proof(9_000))];
        let story = "stalled 2000 watched 7000 = suspended, suspended";
        assert_eq!(told(&played(rate("0.07"), &events), 9_000), story);
    }

    #[test]
    fn a_limit_is_the_first_millisecond_that_costs_the_hold() {
        for (price, held, limit) in [
            ("0.60", "0.07", Some(7_000)),
            ("0.70", "0.10", Some(8_572)),
            ("0.60", "0.00", Some(0)),
            ("0.00", "0.00", None),
            ("0.00", "5.00", None),
        ] {
            let rate = Rate { price_per_minute: money(price), ..rate(held) };
            let mut meter = played(rate, &[]);
            let reading = meter.apply(play(0), &RULES, START);
            assert_eq!(reading.remaining, limit.map(Duration::from_millis), "{held} at {price}");
            let is_suspended = reading.phase == Phase::Suspended;
            assert_eq!(is_suspended, limit == Some(0), "{held} at {price}");
        }
    }

    #[test]
    fn a_reading_says_how_long_it_is_free_and_how_long_there_is_money() {
        let meter = played(rate("0.61"), &[(0, play(0))]);
        let reading = meter.read(&RULES, after(4_500));
        assert_eq!(reading.cost, money("0.045"));
        assert_eq!(reading.remaining, Some(Duration::from_millis(56_500)));
        assert_eq!(reading.free_remaining, Duration::from_millis(55_500));
        let rate = Rate { free_below: Duration::from_secs(4), ..rate("0.61") };
        let reading = played(rate, &[(0, play(0))]).read(&RULES, after(4_500));
        assert_eq!(reading.free_remaining, Duration::ZERO);
    }

    #[test]
    fn a_meter_says_when_it_changes_by_itself() {
        for (held, events, change) in [
            ("30.00", vec![], None),
            ("30.00", vec![(0, play(0))], Some(5_001)),
            ("30.00", vec![(0, play(0)), (4_000, proof(4_000))], Some(9_001)),
            ("0.05", vec![(0, play(0))], Some(5_000)),
            ("0.07", vec![(0, play(0)), (4_000, proof(4_000))], Some(7_000)),
            ("0.07", vec![(0, play(0)), (4_000, proof(4_000)), (8_000, Event::Tick)], None),
            ("30.00", vec![(0, play(0)), (4_000, proof(0))], None),
            ("0.00", vec![(0, play(0))], None),
        ] {
            let meter = played(rate(held), &events);
            assert_eq!(meter.next_change(&RULES), change.map(after), "{held} {events:?}");
            if let Some(change) = change {
                let before = meter.read(&RULES, after(change - 1)).phase;
                let then = meter.read(&RULES, after(change)).phase;
                assert!(before == Phase::Playing && then != Phase::Playing, "{before} {then}");
            }
        }
    }

    #[test]
    fn a_session_is_over_when_nothing_can_come_any_more() {
        let opening = Meter::opening(rate("1.00"), Duration::from_secs(20), START);
        let paused = played(rate("1.00"), &[]);
        let gone = played(rate("1.00"), &[(500, Event::Detach)]);
        let spent = played(rate("0.01"), &[(0, play(0))]);
        for (meter, at_ms, reason) in [
            (&opening, 40_000, EndReason::NeverStarted),
            (&paused, 43_200_000, EndReason::MaxDuration),
            (&gone, 30_500, EndReason::Disconnected),
            (&spent, 121_000, EndReason::FundsExhausted),
        ] {
            assert_eq!(meter.over(&RULES, after(at_ms - 1)), None, "{reason}");
            assert_eq!(meter.over(&RULES, after(at_ms)), Some(reason));
        }
        for (lost, reason) in [(true, EndReason::NodeLost), (false, EndReason::Disconnected)] {
            let taken = Taken { age: Duration::from_secs(500), lost };
            let meter = Meter::taken_over(rate("1.00"), Duration::ZERO, vec![], taken, START);
            assert_eq!(meter.over(&RULES, after(29_999)), None, "a fresh grace");
            assert_eq!(meter.over(&RULES, after(30_000)), Some(reason));
        }
    }

    #[test]
    fn asking_again_prolongs_nothing() {
        let spent = script("0 play 0, 60_000 play 9, 90_000 pause, 100_000 play 9");
        let gone = script("500 detach, 20_000 detach, 30_000 pause, 30_000 play 9");
        for (events, at_ms, reason) in
            [(spent, 121_000, EndReason::FundsExhausted), (gone, 30_500, EndReason::Disconnected)]
        {
            let meter = played(rate("0.01"), &events);
            assert_eq!(meter.over(&RULES, after(at_ms)), Some(reason));
        }
    }

    #[test]
    fn who_never_came_is_not_there_to_play_or_leave() {
        let mut meter = Meter::opening(rate("1.00"), Duration::ZERO, START);
        for event in [play(0), proof(5_000), Event::Pause, Event::Detach] {
            assert_eq!(meter.apply(event, &RULES, after(5_000)).phase, Phase::Opening);
        }
        assert_eq!(told(&meter, 6_000), "opening 6000 = opening, opening");
    }

    #[test]
    fn a_session_taken_over_has_its_story_told() {
        let story = [Stretch(StretchKind::Paused, 1_000), Stretch(StretchKind::Watched, 20_000)];
        for (watched, age, lost, told_is) in [
            (20, 31, true, "paused 1000 watched 20000 node_lost 10000 = detached, node_lost"),
            (20, 31, false, "paused 1000 watched 20000 detached 10000 = detached, detached"),
            (25, 31, true, "paused 1000 watched 25000 node_lost 5000 = detached, node_lost"),
            (15, 31, true, "paused 1000 watched 15000 node_lost 15000 = detached, node_lost"),
            (25, 10, true, "paused 1000 watched 25000 node_lost 1000 = detached, node_lost"),
            // No more than the hold is ever watched.
            (99, 100, false, "paused 1000 watched 61000 detached 38000 = detached, detached"),
        ] {
            let taken = Taken { age: Duration::from_secs(age), lost };
            let watched = Duration::from_secs(watched);
            let meter = Meter::taken_over(rate("0.61"), watched, story.to_vec(), taken, START);
            let at_ms = if age == 10 { 1_000 } else { 0 };
            assert_eq!(told(&meter, at_ms), told_is);
        }
    }

    #[test]
    fn what_was_watched_is_told_video_by_video() {
        let elsewhere = Position { video: 1, at_ms: 50, length_ms: None };
        let mut meter = played(rate("30.00"), &[]);
        let passages: Vec<_> = [
            (0, play(0)),
            (4_000, proof(4_100)),
            (6_000, Event::Play(elsewhere)),
            (7_000, Event::Tick),
            (9_000, Event::Progress(Proof { visible: false, muted: true, ..seen(elsewhere) })),
            (10_000, Event::Progress(seen(Position { at_ms: 900, ..elsewhere }))),
            (12_000, Event::Pause),
        ]
        .into_iter()
        .filter_map(|(ms, event)| meter.apply(event, &RULES, after(ms)).passage)
        .map(|passage| (passage.video, passage.from_ms, passage.to_ms, passage.watched_ms))
        .collect();
        let told = [
            (0, 0, 4_100, 4_000),
            (0, 4_100, 4_100, 2_000),
            (1, 50, 900, 850),
            (1, 900, 900, 2_000),
        ];
        assert_eq!(passages, told);
    }

    #[test]
    fn what_plays_while_waiting_for_money_is_not_seen() {
        let mut meter = played(rate("0.02"), &script("0 play 0"));
        let passages: Vec<_> =
            script("3000 proof 3000, 4000 proof 4000, 5000 hold 1.00, 6000 proof 6000")
                .into_iter()
                .map(|(ms, event)| meter.apply(event, &RULES, after(ms)).passage)
                .map(|passage| passage.map(|p| (p.from_ms, p.to_ms, p.watched_ms)))
                .collect();
        assert_eq!(passages, [Some((0, 0, 2_000)), None, None, Some((4_000, 6_000, 1_000))]);
    }

    #[test]
    fn who_names_no_video_goes_on_with_the_same() {
        let at = |video, at_ms| Position { video, ..position(at_ms) };
        let mut meter = played(rate("30.00"), &[(0, Event::Play(at(3, 0)))]);
        let unnamed = Event::Progress(seen(at(Position::NO_VIDEO, 1_000)));
        let reading = meter.apply(unnamed, &RULES, after(1_000));
        assert_eq!(reading.passage.map(|passage| passage.video), Some(3));
        let reading = meter.apply(Event::Progress(seen(at(4, 2_000))), &RULES, after(2_000));
        assert_eq!(reading.verdict, Verdict::Implausible);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let mut meter = played(rate("30.00"), &[(0, play(0)), (5_000, proof(5_000))]);
        meter.apply(Event::Tick, &RULES, after(8_000));
        assert_eq!(told(&meter, 3_000), "watched 8000 = playing, watched");
        meter.apply(Event::Pause, &RULES, after(6_000));
        assert_eq!(told(&meter, 0), "watched 8000 = paused, paused");
        assert_eq!(told(&meter, 9_000), "watched 8000 paused 1000 = paused, paused");
    }

    #[test]
    fn twelve_hours_are_the_most_that_is_watched() {
        let taken = Taken { age: AGE_MAX, lost: false };
        let free = Rate { price_per_minute: Money::ZERO, ..rate("0.00") };
        let watched = AGE_MAX.checked_sub(Duration::from_secs(1)).unwrap();
        let mut meter = Meter::taken_over(free, watched, vec![], taken, START);
        for event in [Event::Attach, play(0)] {
            meter.apply(event, &RULES, START);
        }
        let reading = meter.apply(proof(4_000), &RULES, after(4_000));
        assert_eq!(reading.watched, AGE_MAX);
        assert_eq!(meter.over(&RULES, after(4_000)), Some(EndReason::MaxDuration));
    }

    /// What a simulated player does next, so long after what it did before.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Play,
        Seek(u64),
        Stand,
        Move,
        /// So much further than time went, in milliseconds.
        Rush(u64),
        Hide,
        Pause,
        Detach,
        Attach,
        Hold(i64),
    }

    fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
        let act = prop_oneof![
            3 => Just(Act::Play),
            1 => (0..1_000_000_u64).prop_map(Act::Seek),
            3 => Just(Act::Stand),
            9 => Just(Act::Move),
            1 => (0..100_000_u64).prop_map(Act::Rush),
            1 => Just(Act::Hide),
            1 => Just(Act::Pause),
            1 => Just(Act::Detach),
            2 => Just(Act::Attach),
            1 => (0..3_000_000_i64).prop_map(Act::Hold),
        ];
        let gap = prop_oneof![4 => 0..5_100_u64, 2 => 4_900..10_200_u64, 1 => 0..60_000_u64];
        prop::collection::vec((gap, act), 0..80)
    }

    fn rates() -> impl Strategy<Value = Rate> {
        (prop_oneof![1 => Just(0), 9 => 1..2_000_000_i64], 0..2_000_000_i64).prop_map(
            |(price, held)| Rate {
                price_per_minute: Money::from_micros(price),
                held: Money::from_micros(held),
                free_below: Duration::from_mins(1),
            },
        )
    }

    /// Turns acts into events, each with its milliseconds after the start.
    fn events(acts: &[(u64, Act)]) -> Vec<(u64, Event)> {
        let (mut now, mut head) = (0, 0);
        let mut events = Vec::new();
        for (gap, act) in acts {
            now += gap;
            head += match act {
                Act::Move | Act::Hide => *gap,
                Act::Rush(more) => gap + more,
                Act::Seek(to) => to.saturating_sub(head),
                _ => 0,
            };
            let event = match act {
                Act::Play | Act::Seek(_) => play(head),
                Act::Stand | Act::Move | Act::Rush(_) => proof(head),
                Act::Hide => hidden(head),
                Act::Pause => Event::Pause,
                Act::Detach => Event::Detach,
                Act::Attach => Event::Attach,
                Act::Hold(micros) => Event::Hold(Money::from_micros(*micros)),
            };
            events.push((now, event));
        }
        events
    }

    /// Money lets a session go on at once, if it was playing.
    fn is_word(event: Event) -> bool {
        matches!(event, Event::Play(_) | Event::Progress(_) | Event::Hold(_))
    }

    fn garbage() -> impl Strategy<Value = Event> {
        let number = || prop_oneof![any::<u64>(), Just(u64::MAX), 0..20_000_u64];
        let position = || {
            (any::<u16>(), number(), prop::option::of(number()))
                .prop_map(|(video, at_ms, length_ms)| Position { video, at_ms, length_ms })
        };
        let proof = (position(), any::<u16>(), any::<bool>(), any::<bool>()).prop_map(
            |(position, rate_percent, visible, muted)| Proof {
                position,
                rate_percent,
                visible,
                muted,
            },
        );
        prop_oneof![
            Just(Event::Attach),
            position().prop_map(Event::Play),
            proof.prop_map(Event::Progress),
            Just(Event::Pause),
            Just(Event::Detach),
            any::<i64>().prop_map(|micros| Event::Hold(Money::from_micros(micros))),
            Just(Event::Tick),
        ]
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

        /// The limit always costs the hold, and a millisecond less never does.
        #[test]
        fn a_limit_is_exact(price in 1..=100_000_000_000_i64, held in 1..1_000_000_000_000_i64) {
            let (price, held) = (Money::from_micros(price), Money::from_micros(held));
            let limit = limit_ms(price, held);
            let cost_of = |ms| cost(price, Duration::from_millis(ms), Money::from_micros(i64::MAX));
            prop_assert!(cost_of(limit) >= held && cost_of(limit - 1) < held);
        }

        /// A session never costs more than its hold, and its stretches always sum to its age and
        /// to what was watched. The cost falls only by what a player takes back, a tick at most.
        #[test]
        fn a_session_always_adds_up(rate in rates(), acts in acts(), age in 0..50_000_u64) {
            let mut meter = Meter::opening(rate, Duration::from_millis(age), START);
            let mut passed_ms = 0;
            let mut before = meter.read(&RULES, START);
            for (now, event) in events(&acts) {
                let unsaid = meter.read(&RULES, after(now));
                prop_assert!(unsaid.watched >= before.watched && unsaid.cost >= before.cost);
                let reading = meter.apply(event, &RULES, after(now));
                prop_assert!(reading.cost <= reading.held && reading.held >= before.held);
                prop_assert!(reading.watched + RULES.tick >= unsaid.watched);
                if !matches!(event, Event::Progress(_)) {
                    prop_assert_eq!(reading.watched, unsaid.watched);
                }
                let left = reading.held - reading.cost;
                prop_assert_eq!(left == Money::ZERO && rate.price_per_minute.is_positive(),
                    reading.remaining == Some(Duration::ZERO));
                passed_ms += reading.passage.map_or(0, |passage| passage.watched_ms);
                before = reading;

                let stretches = meter.stretches(&RULES, after(now));
                let sum = |only: Option<StretchKind>| -> u64 {
                    let is_it = |s: &&Stretch| only.is_none_or(|kind| s.kind() == kind);
                    stretches.iter().filter(is_it).map(|s| s.ms()).sum()
                };
                prop_assert_eq!(sum(None), age + now);
                let watched_ms = sum(Some(StretchKind::Watched));
                prop_assert_eq!(Duration::from_millis(watched_ms), reading.watched);
                prop_assert!(stretches.iter().all(|stretch| stretch.ms() > 0));
            }
            let last = meter.latest;
            meter.apply(Event::Pause, &RULES, last);
            let booked_ms = meter.story.watched_ms();
            let unpassed_ms = booked_ms - passed_ms;
            prop_assert!(Duration::from_millis(unpassed_ms) <= RULES.tick);
        }

        /// A charge never reaches further than one tick past the last word; a word never
        /// confirms more than two ticks, and without words nothing is charged.
        #[test]
        fn nothing_is_charged_without_proof(
            rate in rates(), acts in acts(), silence in 0..90_000_u64,
        ) {
            let mut meter = played(rate, &[]);
            let mut bound_ms = 0;
            let mut word_ms = None;
            for (now, event) in events(&acts) {
                let read = meter.read(&RULES, after(now)).watched;
                meter.apply(event, &RULES, after(now));
                let gap_ms = word_ms.map_or(0, |word_ms| now - word_ms);
                prop_assert!(read <= Duration::from_millis(bound_ms + gap_ms.min(TICK_MS)));
                if is_word(event) {
                    bound_ms += gap_ms.min(2 * TICK_MS);
                    word_ms = Some(now);
                }
                let read = meter.read(&RULES, after(now)).watched;
                let later = meter.read(&RULES, after(now + silence)).watched;
                prop_assert!(later <= read + Duration::from_millis(silence.min(TICK_MS)));
            }
        }

        /// It never matters when, or whether, somebody looked.
        #[test]
        fn looking_changes_nothing(
            rate in rates(), acts in acts(), looks in prop::collection::vec(0..400_000_u64, 0..40),
        ) {
            let mut events = events(&acts);
            let meter = played(rate, &events);
            let end = events.last().map_or(0, |last| last.0);
            events.extend(looks.iter().map(|ms| (ms % (end + 1), Event::Tick)));
            // Stable: what happens in the same millisecond stays in order.
            events.sort_by_key(|event| event.0);
            let watched = played(rate, &events);
            for ms in [end, end + 3_000, end + 20_000] {
                prop_assert_eq!(meter.read(&RULES, after(ms)), watched.read(&RULES, after(ms)));
                prop_assert_eq!(
                    meter.stretches(&RULES, after(ms)), watched.stretches(&RULES, after(ms)));
            }
        }

        /// A session that is cut at proofs, by a lost connection or by a change of its node,
        /// always costs what it costs uncut.
        #[test]
        fn cutting_changes_no_price(
            rate in rates(), acts in acts(),
            cuts in prop::collection::vec((0..3_u8, 0..9_000_u64), 80),
        ) {
            let mut whole = played(rate, &[]);
            let mut parts = played(rate, &[]);
            let mut away_ms = 0;
            for ((now, event), (cut, away)) in events(&acts).into_iter().zip(cuts) {
                let reading = whole.apply(event, &RULES, after(now));
                let part = parts.apply(event, &RULES, after(now + away_ms));
                prop_assert_eq!((part.watched, part.cost), (reading.watched, reading.cost));
                prop_assert_eq!((part.phase, part.verdict), (reading.phase, reading.verdict));
                let proven = reading.passage.is_some_and(|p| p.from_ms != p.to_ms);
                let Event::Progress(proof) = event else { continue };
                if !proven || reading.phase != Phase::Playing || cut == 0 {
                    continue;
                }
                let before = after(now + away_ms);
                away_ms += away;
                if cut == 1 {
                    parts.apply(Event::Detach, &RULES, before);
                } else {
                    let rate = Rate { held: part.held, ..rate };
                    let stretches = parts.stretches(&RULES, before);
                    let taken = Taken { age: Duration::from_millis(now + away_ms), lost: true };
                    let then = after(now + away_ms);
                    parts = Meter::taken_over(rate, part.watched, stretches, taken, then);
                }
                for event in [Event::Attach, Event::Play(proof.position)] {
                    parts.apply(event, &RULES, after(now + away_ms));
                }
            }
            let told: u64 = parts.stretches(&RULES, parts.latest).iter().map(|s| s.ms()).sum();
            prop_assert_eq!(told, parts.latest.ms() - START.ms());
        }

        /// Nothing anybody can send makes a meter panic, or its cost exceed the hold.
        #[test]
        fn garbage_is_harmless(
            rate in (any::<i64>(), any::<i64>(), any::<u64>()),
            events in prop::collection::vec((any::<u64>(), any::<bool>(), garbage()), 0..60),
            rules in (any::<u64>(), any::<u64>()), age: u64, watched: u64,
        ) {
            let rate = Rate {
                price_per_minute: Money::from_micros(rate.0),
                held: Money::from_micros(rate.1),
                free_below: Duration::from_millis(rate.2),
            };
            let (tick, grace) =
                (Duration::from_millis(rules.0), Duration::from_millis(rules.1));
            let rules = Rules { tick, grace };
            let stretches =
                vec![Stretch(StretchKind::Watched, age), Stretch(StretchKind::Paused, watched)];
            let taken = Taken { age: Duration::from_millis(age), lost: true };
            let span = Duration::from_secs(watched);
            for mut meter in [
                Meter::opening(rate, Duration::MAX, START),
                Meter::opening(rate, Duration::from_millis(age), START),
                Meter::taken_over(rate, span, stretches, taken, Moment::from_ms(age)),
            ] {
                let mut now = meter.latest;
                for (moment, near, event) in &events {
                    let soon = now + Duration::from_millis(moment % 9_000);
                    now = if *near { soon } else { Moment::from_ms(*moment) };
                    let reading = meter.apply(*event, &rules, now);
                    prop_assert!(reading.cost <= reading.held && !reading.cost.is_negative());
                    let stretches = meter.stretches(&rules, now);
                    let sum = stretches.iter().try_fold(0_u64, |sum, s| sum.checked_add(s.ms()));
                    prop_assert!(sum.is_some() && stretches.len() <= 200);
                    let _ = (meter.over(&rules, now), meter.next_change(&rules));
                }
            }
        }
    }
}
