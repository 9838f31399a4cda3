//! What a player does by itself, and when: proofs, pauses, lost connections, and the end.

use std::time::{Duration, Instant};

use super::dice::Dice;

/// The shortest and the longest time between two pauses, or two cuts, of one player.
const HABIT_MIN: Duration = Duration::from_millis(500);
const HABIT_MAX: Duration = Duration::from_mins(1);

/// The longest a cut connection stays away; well within any grace.
const AWAY_MAX: Duration = Duration::from_secs(2);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Proof,
    Pause,
    Resume,
    Cut,
    Over,
}

/// When a player does what.
#[derive(Debug)]
pub(super) struct Habits {
    dice: Dice,
    /// About how long between two pauses, or two cuts.
    every: Duration,
    tick: Duration,
    proof: Option<Instant>,
    pause: Option<Instant>,
    resume: Option<Instant>,
    cut: Option<Instant>,
    over: Instant,
}

impl Habits {
    pub(super) fn new(dice: Dice, watch: Duration, over: Instant) -> Self {
        let every = (watch / 3).clamp(HABIT_MIN, HABIT_MAX);
        let tick = Duration::from_secs(5);
        Self { dice, every, tick, proof: None, pause: None, resume: None, cut: None, over }
    }

    pub(super) fn with_pauses(mut self, now: Instant) -> Self {
        self.pause = Some(now + self.some_time());
        self
    }

    pub(super) fn with_cuts(mut self, now: Instant) -> Self {
        self.cut = Some(now + self.some_time());
        self
    }

    /// How often the server wants proofs.
    pub(super) fn set_tick(&mut self, tick: Duration) {
        self.tick = tick;
    }

    /// What is due next.
    pub(super) fn next(&self) -> (Instant, Due) {
        let wishes = [
            (self.proof, Due::Proof),
            (self.pause, Due::Pause),
            (self.resume, Due::Resume),
            (self.cut, Due::Cut),
        ];
        let wishes = wishes.into_iter().filter_map(|(at, due)| Some((at?, due)));
        wishes
            .min_by_key(|(at, _)| *at)
            .filter(|(at, _)| *at < self.over)
            .unwrap_or((self.over, Due::Over))
    }

    /// Playing: proofs are due from now on.
    pub(super) fn play(&mut self, now: Instant) {
        self.resume = None;
        self.prove_next(now);
    }

    pub(super) fn prove_next(&mut self, now: Instant) {
        self.proof = Some(now + self.dice.about(self.tick));
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.proof = None;
        self.resume = Some(now + self.dice.span(self.every / 10, self.every / 3));
        self.pause = Some(now + self.every / 3 + self.some_time());
    }

    /// The connection goes. How long to stay away.
    pub(super) fn cut(&mut self, now: Instant) -> Duration {
        self.proof = None;
        // A paused player that comes back goes on playing.
        self.resume = None;
        let away = self.dice.span(HABIT_MIN / 10, (self.every / 5).min(AWAY_MAX));
        self.cut = Some(now + away + self.some_time());
        away
    }

    /// How long to wait before the `nth` try to come back.
    pub(super) fn backoff(&mut self, nth: u32) -> Duration {
        let longest = Duration::from_millis(100).saturating_mul(1 << nth.min(5));
        self.dice.span(longest / 2, longest)
    }

    fn some_time(&mut self) -> Duration {
        self.dice.span(self.every / 2, self.every)
    }
}

/// The playhead of an honest player: it moves with the clock while the video plays.
#[derive(Debug)]
pub(super) struct Playhead {
    at: Duration,
    since: Option<Instant>,
}

impl Playhead {
    pub(super) fn resting(at: Duration) -> Self {
        Self { at, since: None }
    }

    pub(super) fn position(&self, now: Instant) -> Duration {
        self.at + self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    pub(super) fn is_moving(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn play(&mut self, now: Instant) {
        self.at = self.position(now);
        self.since = Some(now);
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.at = self.position(now);
        self.since = None;
    }

    pub(super) fn rewind(&mut self) {
        self.at = Duration::ZERO;
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_player_proves_until_it_is_over() {
        let began = Instant::now();
        let over = began + ms(10_000);
        let mut habits = Habits::new(Dice::new(1, 1), ms(10_000), over);
        assert_eq!(habits.next(), (over, Due::Over));
        habits.set_tick(ms(1_000));
        habits.play(began);
        let mut proofs = 0;
        while let (at, Due::Proof) = habits.next() {
            habits.prove_next(at);
            proofs += 1;
        }
        assert!((9..=11).contains(&proofs), "{proofs}");
        assert_eq!(habits.next(), (over, Due::Over));
    }

    #[test]
    fn a_pause_ends_and_comes_again() {
        let began = Instant::now();
        let mut habits =
            Habits::new(Dice::new(1, 1), ms(9_000), began + ms(90_000)).with_pauses(began);
        for _ in 0..3 {
            let (at, due) = habits.next();
            assert_eq!(due, Due::Pause);
            habits.pause(at);
            let (at, due) = habits.next();
            assert_eq!(due, Due::Resume);
            habits.play(at);
            while let (at, Due::Proof) = habits.next() {
                habits.prove_next(at);
            }
        }
    }

    #[test]
    fn a_playhead_moves_only_while_it_plays() {
        let began = Instant::now();
        let mut playhead = Playhead::resting(ms(100));
        assert_eq!(playhead.position(began + ms(50)), ms(100));
        playhead.play(began);
        playhead.pause(began + ms(30));
        assert!(!playhead.is_moving());
        assert_eq!(playhead.position(began + ms(70)), ms(130));
        playhead.rewind();
        assert_eq!(playhead.position(began), ms(0));
    }
}
