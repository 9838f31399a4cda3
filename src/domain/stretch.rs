//! Stretches of a session, one after the other: charged, or not and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::whole_ms;

super::word_enum! {
    /// What went on in a stretch. Only `watched` is charged.
    StretchKind {
        Watched = "watched",
        /// The player had not come yet.
        Opening = "opening",
        Paused = "paused",
        /// The playhead did not move.
        Stalled = "stalled",
        /// The page was hidden, and muted.
        Hidden = "hidden",
        /// The player said nothing.
        Silent = "silent",
        /// The hold was used up.
        Suspended = "suspended",
        /// The connection was lost.
        Detached = "detached",
        /// The node was lost that metered it.
        NodeLost = "node_lost",
    }
}

/// So long, one thing went on. In JSON `["watched", 5000]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch(pub StretchKind, pub u64);

impl Stretch {
    #[must_use]
    pub fn kind(self) -> StretchKind {
        self.0
    }

    #[must_use]
    pub fn ms(self) -> u64 {
        self.1
    }
}

/// A story of which only `known` is known, told to its end: the watched stretches come to
/// `watched`, and all together to `age`. What is missing is of the kind `rest`.
///
/// What is known beyond `age` stays: the wall clock was set back, and the stretches were measured
/// on one that was not. What is known as watched beyond `watched` was not charged, and so it is
/// `rest`, too.
#[must_use]
pub fn completed(
    known: &[Stretch],
    watched: Duration,
    age: Duration,
    rest: StretchKind,
) -> Vec<Stretch> {
    let mut story = Story { stretches: Vec::with_capacity(known.len() + 2), total: 0 };
    let mut unwatched = whole_ms(watched);
    for Stretch(kind, length) in known {
        if *kind == StretchKind::Watched {
            let charged = unwatched.min(*length);
            story.add(StretchKind::Watched, charged);
            story.add(rest, length - charged);
            unwatched -= charged;
        } else {
            story.add(*kind, *length);
        }
    }
    story.add(StretchKind::Watched, unwatched);
    story.add(rest, whole_ms(age).saturating_sub(story.total));
    story.stretches
}

/// How long some stretches are together.
#[must_use]
pub fn total(stretches: &[Stretch]) -> Duration {
    let sum = stretches.iter().fold(0_u64, |sum, stretch| sum.saturating_add(stretch.ms()));
    Duration::from_millis(sum)
}

struct Story {
    stretches: Vec<Stretch>,
    total: u64,
}

impl Story {
    fn add(&mut self, kind: StretchKind, length: u64) {
        self.total = self.total.saturating_add(length);
        match self.stretches.last_mut() {
            _ if length == 0 => {}
            Some(last) if last.0 == kind => last.1 = last.1.saturating_add(length),
            _ => self.stretches.push(Stretch(kind, length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::{StretchKind as Kind, *};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_missing_is_made_up_for() {
        let (opening, watched) = (Stretch(Kind::Opening, 2_000), Stretch(Kind::Watched, 5_000));
        let lost = |ms| Stretch(Kind::NodeLost, ms);
        for (known, watched_s, age_s, story) in [
            (vec![], 0, 0, vec![]),
            (vec![], 0, 9, vec![lost(9_000)]),
            (vec![], 5, 9, vec![watched, lost(4_000)]),
            (vec![opening], 5, 9, vec![opening, watched, lost(2_000)]),
            (vec![opening, watched], 5, 7, vec![opening, watched]),
            (vec![opening, watched], 6, 8, vec![opening, Stretch(Kind::Watched, 6_000)]),
            (vec![opening, lost(1_000)], 0, 9, vec![opening, lost(7_000)]),
            // Less was charged than was thought to be watched.
            (
                vec![watched, opening],
                3,
                7,
                vec![Stretch(Kind::Watched, 3_000), lost(2_000), opening],
            ),
            // The wall clock was set back.
            (vec![opening, watched], 5, 1, vec![opening, watched]),
        ] {
            let told = completed(&known, seconds(watched_s), seconds(age_s), Kind::NodeLost);
            assert_eq!(told, story, "{known:?} with {watched_s} s of {age_s} s");
        }
    }

    fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
        let stretch = (select(Kind::ALL), 0..100_000_u64);
        vec(stretch.prop_map(|(kind, ms)| Stretch(kind, ms)), 0..30)
    }

    fn sum_of(stretches: &[Stretch], kind: Kind) -> Duration {
        let of_kind = stretches.iter().filter(|stretch| stretch.kind() == kind);
        Duration::from_millis(of_kind.map(|stretch| stretch.ms()).sum())
    }

    proptest! {
        /// Whatever is known, the watched stretches sum to what was watched and all of them to the
        /// age, unless more than that is known; and nothing known of another kind gets lost.
        #[test]
        fn a_completed_story_always_adds_up(
            known in stretches(), watched in 0..2_000_000_u64, idle in 0..2_000_000_u64,
        ) {
            let watched = Duration::from_millis(watched);
            let age = watched + Duration::from_millis(idle);
            let story = completed(&known, watched, age, Kind::NodeLost);
            prop_assert_eq!(sum_of(&story, Kind::Watched), watched);
            let missing = watched.saturating_sub(sum_of(&known, Kind::Watched));
            prop_assert_eq!(total(&story), age.max(total(&known) + missing));
            for kind in Kind::ALL {
                let may_change = matches!(kind, Kind::Watched | Kind::NodeLost);
                prop_assert!(may_change || sum_of(&story, *kind) == sum_of(&known, *kind));
            }
            prop_assert!(story.iter().all(|stretch| stretch.ms() > 0));
            prop_assert!(story.windows(2).all(|pair| pair[0].kind() != pair[1].kind()));
            // Told again, it is the same.
            prop_assert_eq!(completed(&story, watched, age, Kind::NodeLost), story);
        }

        /// Not even nonsense in a row makes it panic.
        #[test]
        fn any_lengths_are_taken(known in vec(any::<u64>(), 0..5), watched: u64, age: u64) {
            let known: Vec<_> = known.into_iter().map(|ms| Stretch(Kind::Watched, ms)).collect();
            let ms = Duration::from_millis;
            let story = completed(&known, ms(watched), ms(age), Kind::Detached);
            prop_assert!(story.iter().any(|s| s.kind() == Kind::Watched) || watched == 0);
        }
    }
}
