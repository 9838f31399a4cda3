//! What went on in a session so far, as stretches that add up.

use super::{AGE_MAX, whole_ms};
use crate::domain::stretch::{Stretch, StretchKind};

/// The most stretches of one session.
const STRETCHES_MAX: usize = 200;

/// How many are kept in order; after that there is still room for one of each kind.
const STRETCHES_IN_ORDER: usize = STRETCHES_MAX - StretchKind::ALL.len();

/// Stretches, their sum, and the sum of the watched ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    stretches: Vec<Stretch>,
    age_ms: u64,
    watched_ms: u64,
}

impl Story {
    pub(super) fn age_ms(&self) -> u64 {
        self.age_ms
    }

    pub(super) fn watched_ms(&self) -> u64 {
        self.watched_ms
    }

    pub(super) fn into_stretches(self) -> Vec<Stretch> {
        self.stretches
    }

    /// Goes on with `ms` of `kind`.
    ///
    /// A story that has grown too long is no longer told in order: what goes on is added to the
    /// last stretch of its kind, so that the sums stay true.
    pub(super) fn book(&mut self, kind: StretchKind, ms: u64) {
        // No clock gets there; a wrong one must not break the sum.
        let ms = ms.min(u64::MAX - self.age_ms);
        if ms == 0 {
            return;
        }
        self.age_ms += ms;
        if kind == StretchKind::Watched {
            self.watched_ms += ms;
            debug_assert!(self.watched_ms <= whole_ms(AGE_MAX), "watched no longer than it lasts");
        }
        let reach = if self.stretches.len() < STRETCHES_IN_ORDER { 1 } else { STRETCHES_MAX };
        match self.stretches.iter_mut().rev().take(reach).find(|last| last.kind() == kind) {
            Some(last) => last.1 += ms,
            None => self.stretches.push(Stretch(kind, ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_kind_are_one_stretch() {
        let mut story = Story::default();
        for (kind, ms) in [
            (StretchKind::Paused, 5),
            (StretchKind::Watched, 0),
            (StretchKind::Paused, 6),
            (StretchKind::Watched, 7),
            (StretchKind::Paused, 1),
        ] {
            story.book(kind, ms);
        }
        assert_eq!((story.age_ms(), story.watched_ms()), (19, 7));
        let told = [
            Stretch(StretchKind::Paused, 11),
            Stretch(StretchKind::Watched, 7),
            Stretch(StretchKind::Paused, 1),
        ];
        assert_eq!(story.into_stretches(), told);
    }

    #[test]
    fn a_long_story_stays_short_and_still_adds_up() {
        let mut story = Story::default();
        for _ in 0..1_000 {
            story.book(StretchKind::Watched, 3);
            story.book(StretchKind::Paused, 2);
        }
        for kind in StretchKind::ALL {
            story.book(*kind, 1);
        }
        assert_eq!((story.age_ms(), story.watched_ms()), (5_009, 3_001));
        let stretches = story.into_stretches();
        assert!(stretches.len() <= STRETCHES_MAX, "{} stretches", stretches.len());
        assert_eq!(stretches.iter().map(|stretch| stretch.ms()).sum::<u64>(), 5_009);
    }

    #[test]
    fn no_span_breaks_the_sum() {
        let mut story = Story::default();
        story.book(StretchKind::Paused, u64::MAX - 3);
        story.book(StretchKind::Detached, u64::MAX);
        assert_eq!(story.age_ms(), u64::MAX);
        assert_eq!(story.into_stretches()[1], Stretch(StretchKind::Detached, 3));
    }
}
