//! A circuit breaker: whoever fails again and again is left alone for a while.
//!
//! ```text
//!            failures_max in a row, or told to wait
//!  closed ───────────────────────────────────────────▶ resting
//!     ▲                                               │    ▲
//!     │ success                        rest is over   ▼    │ failure
//!     └─────────────────────────────────────────── one trial
//! ```
//!
//! Pure: it is given the time. A trial prolongs the rest, so that nobody else comes along
//! meanwhile; if nobody ever says how the trial ended, the next one is after that. If it ended
//! without saying anything about the provider, the next one may come at once. A success ends the
//! rest that it is the trial of, and no other: whoever was under way before it began knows nothing
//! of it.

use std::time::Duration;

use crate::time::Moment;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    rests_until: Option<Moment>,
    /// How far the last trial prolonged the rest.
    trial_until: Option<Moment>,
    /// Questions it did not take, in a row.
    refusals: u32,
}

impl Breaker {
    /// Whether somebody may come now. After a rest that is one, for a time of `rest`.
    pub(super) fn admit(&mut self, now: Moment, rest: Duration) -> bool {
        match self.rests_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.rests_until = Some(now + rest);
                self.trial_until = self.rests_until;
                true
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        if self.rests_until == self.trial_until {
            *self = Self::default();
        } else {
            (self.failures, self.refusals) = (0, 0);
        }
    }

    /// The last of `failures_max` in a row, or a failed trial, begins a rest.
    pub(super) fn failed(&mut self, now: Moment, failures_max: u32, rest: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= failures_max || self.rests_until.is_some() {
            self.rest(now + rest);
        }
    }

    /// It is neither better nor worse than it was: whoever comes next is the trial.
    pub(super) fn told_nothing(&mut self, now: Moment) {
        // A rest that somebody asked for meanwhile is kept.
        if self.rests_until.is_some() && self.rests_until == self.trial_until {
            self.rests_until = Some(now);
        }
    }

    /// It did not take a question, which says nothing about it, either. How many it did not take in
    /// a row may.
    pub(super) fn refused(&mut self, now: Moment) -> u32 {
        self.told_nothing(now);
        self.refusals = self.refusals.saturating_add(1);
        self.refusals
    }

    /// Leaves it alone until then. It never shortens a rest.
    pub(super) fn rest(&mut self, until: Moment) {
        self.rests_until = self.rests_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Moment {
        Moment::from_ms(ms)
    }

    #[test]
    fn three_failures_in_a_row_begin_a_rest_and_a_trial_ends_it() {
        let mut breaker = Breaker::default();
        for ms in [0, 1] {
            assert!(breaker.admit(at(ms), REST));
            breaker.failed(at(ms), 3, REST);
        }
        breaker.succeeded();
        for ms in [2, 3, 4] {
            assert!(breaker.admit(at(ms), REST), "a success forgets failures");
            breaker.failed(at(ms), 3, REST);
        }
        assert!(!breaker.admit(at(5), REST) && !breaker.admit(at(103), REST));
        assert!(breaker.admit(at(104), REST) && !breaker.admit(at(104), REST), "one trial");
        breaker.failed(at(110), 3, REST);
        assert!(!breaker.admit(at(209), REST) && breaker.admit(at(210), REST));
        breaker.succeeded();
        assert!(breaker.admit(at(211), REST) && breaker.admit(at(211), REST));
    }

    #[test]
    fn a_trial_nobody_hears_of_again_does_not_last_for_ever() {
        let mut breaker = Breaker::default();
        breaker.rest(at(50));
        assert!(!breaker.admit(at(49), REST) && breaker.admit(at(50), REST));
        assert!(!breaker.admit(at(149), REST) && breaker.admit(at(150), REST));
    }

    #[test]
    fn a_rest_that_was_asked_for_is_kept() {
        let mut breaker = Breaker::default();
        breaker.rest(at(5_000));
        breaker.failed(at(10), 1, REST);
        breaker.rest(at(20));
        assert!(!breaker.admit(at(4_999), REST) && breaker.admit(at(5_000), REST));
    }

    #[test]
    fn a_trial_that_tells_nothing_is_followed_by_another_one() {
        let mut breaker = Breaker::default();
        breaker.told_nothing(at(0));
        assert!(breaker.admit(at(0), REST) && breaker.admit(at(0), REST), "it does not rest");
        breaker.rest(at(50));
        breaker.told_nothing(at(10));
        assert!(!breaker.admit(at(49), REST) && breaker.admit(at(50), REST));
        breaker.told_nothing(at(60));
        assert!(breaker.admit(at(60), REST) && !breaker.admit(at(60), REST), "one at a time");
        breaker.rest(at(5_000));
        breaker.told_nothing(at(70));
        assert!(!breaker.admit(at(4_999), REST));
    }

    /// `first` and `second` are under way together.
    #[test]
    fn only_the_trial_ends_a_rest() {
        let mut breaker = Breaker::default();
        let (first, second) = (breaker.admit(at(0), REST), breaker.admit(at(0), REST));
        assert!(first && second);
        breaker.rest(at(5_000));
        breaker.succeeded();
        assert!(!breaker.admit(at(4_999), REST), "the second one's success is older than that");
        assert!(breaker.admit(at(5_000), REST));
        breaker.succeeded();
        assert!(breaker.admit(at(5_001), REST) && breaker.admit(at(5_001), REST));
    }

    #[test]
    fn refusals_are_counted_between_successes() {
        let mut breaker = Breaker::default();
        assert_eq!([breaker.refused(at(0)), breaker.refused(at(0))], [1, 2]);
        breaker.succeeded();
        assert_eq!(breaker.refused(at(0)), 1);
        assert!(breaker.admit(at(1), REST), "they are no failures");
        breaker.rest(at(50));
        breaker.succeeded();
        assert_eq!(breaker.refused(at(0)), 1, "also while it rests");
    }

    proptest! {
        /// However it goes, at most one is admitted in any time of a rest once it rests, and it is
        /// always admitted again after one.
        #[test]
        fn one_at_a_time_and_never_for_ever(steps in prop::collection::vec((0_u64..80, any::<bool>()), 1..60)) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            for (gap, fails) in steps {
                now += gap;
                let rested = breaker.rests_until.is_some();
                if breaker.admit(at(now), REST) {
                    prop_assert!(!rested || !breaker.admit(at(now), REST));
                    if fails { breaker.failed(at(now), 2, REST) } else { breaker.succeeded() }
                }
            }
            prop_assert!(breaker.admit(at(now + 100), REST));
        }
    }
}
