//! What a meter makes of what it hears.

use super::{
    Meter, Phase, Position, Proof, Rules, State, Verdict,
    evidence::{Evidence, Reference},
    limit_ms, whole_ms,
};
use crate::{domain::stretch::StretchKind, money::Money, time::Moment};

/// What was heard from a player.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) verdict: Verdict,
    /// Whether it proves that what it plays went on.
    pub(super) moved: bool,
}

impl Meter {
    pub(super) fn play(&mut self, position: Position, rules: &Rules, now: Moment) -> Verdict {
        match self.state {
            State::Opening | State::Detached { .. } => return Verdict::Fine,
            // A message that came twice.
            State::Playing
                if self.running(rules, now).phase == Phase::Playing
                    && self.reference.is_at(&position) =>
            {
                return Verdict::Fine;
            }
            // It goes on waiting for money, and not for longer.
            State::Suspended { .. } => self.state = State::Suspended { playing: true },
            State::Paused | State::Playing | State::Stalled { .. } => {
                self.turn(State::Playing, rules, now);
                self.suspend_if_used_up(rules, now);
            }
        }
        self.reference = Reference::new(&position, now);
        if position.is_absurd() { Verdict::Implausible } else { Verdict::Fine }
    }

    pub(super) fn progress(&mut self, proof: &Proof, rules: &Rules, now: Moment) -> Heard {
        let plays = match self.state {
            State::Playing | State::Stalled { .. } => true,
            State::Suspended { .. } => false,
            // Without `play` before it, it says nothing.
            State::Opening | State::Paused | State::Detached { .. } => return Heard::default(),
        };
        let evidence = self.reference.look(proof, now);
        match evidence {
            // Where the playhead is matters again when money has come.
            _ if !plays => {}
            Evidence::Moved { distance_ms } => self.confirm(distance_ms, rules, now),
            Evidence::Hidden => self.stall(StretchKind::Hidden, rules, now),
            Evidence::Unmoved | Evidence::Implausible => {
                self.stall(StretchKind::Stalled, rules, now);
            }
        }
        let is_fine = evidence != Evidence::Implausible;
        Heard {
            verdict: if is_fine { Verdict::Fine } else { Verdict::Implausible },
            moved: plays && matches!(evidence, Evidence::Moved { .. }),
        }
    }

    /// A proof that the playhead moved: books the time since the proof before.
    fn confirm(&mut self, distance_ms: u64, rules: &Rules, now: Moment) {
        let tick_ms = whole_ms(rules.tick);
        let gap_ms = self.gap_ms(now);
        let is_close = gap_ms <= tick_ms.saturating_mul(2);
        if let State::Stalled { kind, recoverable } = self.state {
            // Standing still in between does not undo the part in which it moved, or saying so
            // every other time would pay. What is known of that part is its length: it is told
            // as the last of the gap.
            let moved_ms = if is_close && recoverable { distance_ms.min(gap_ms) } else { 0 };
            let watched_ms = moved_ms.min(self.room_ms());
            self.book(kind, gap_ms - watched_ms);
            self.book(StretchKind::Watched, watched_ms);
        } else {
            let proven_ms = if is_close { gap_ms } else { tick_ms };
            self.book(StretchKind::Watched, proven_ms.min(self.room_ms()));
            if !self.is_used_up() {
                self.book(StretchKind::Silent, self.gap_ms(now));
            }
        }
        let used_up = self.is_used_up();
        self.state = if used_up { State::Suspended { playing: true } } else { State::Playing };
    }

    /// The player says that it stood still: what had run up since the last proof is not charged,
    /// unless the next proof comes soon and shows otherwise.
    fn stall(&mut self, kind: StretchKind, rules: &Rules, now: Moment) {
        let tick_ms = whole_ms(rules.tick);
        let gap_ms = self.gap_ms(now);
        let was_recoverable = !matches!(self.state, State::Stalled { recoverable: false, .. });
        let recoverable = was_recoverable && gap_ms <= tick_ms.saturating_mul(2);
        if !recoverable {
            let (stood_ms, kind_before) = match self.state {
                State::Stalled { kind, .. } => (gap_ms, kind),
                _ => (tick_ms, kind),
            };
            self.book(kind_before, stood_ms);
            self.book(StretchKind::Silent, self.gap_ms(now));
        }
        self.state = State::Stalled { kind, recoverable };
    }

    pub(super) fn pause(&mut self, rules: &Rules, now: Moment) {
        match &mut self.state {
            State::Opening | State::Detached { .. } => {}
            State::Suspended { playing } => *playing = false,
            State::Paused | State::Playing | State::Stalled { .. } => {
                self.turn(State::Paused, rules, now);
            }
        }
    }

    /// Nobody is there before the first attach, and nobody leaves twice.
    pub(super) fn detach(&mut self, rules: &Rules, now: Moment) {
        if !matches!(self.state, State::Opening | State::Detached { .. }) {
            self.turn(State::Detached { lost: false }, rules, now);
        }
    }

    pub(super) fn hold(&mut self, held: Money, rules: &Rules, now: Moment) {
        self.held = self.held.max(held);
        self.limit_ms = limit_ms(self.price_per_minute, self.held);
        if let State::Suspended { playing } = self.state
            && !self.is_used_up()
        {
            self.turn(if playing { State::Playing } else { State::Paused }, rules, now);
        }
    }
}
