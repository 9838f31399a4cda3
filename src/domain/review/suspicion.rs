//! Why a review looks bought: by what else happens around it. It says so and no more; an admin decides.

use std::time::Duration;

use super::{Credibility, Rating, Share};
use crate::domain::word_enum;

/// A rating from the lowest or the highest, given after less than this part of the course, is odd.
const EXTREME_BELOW: Share = Share(100_000);

/// With so many reviews of a course in this time, by more than half of those who watched it then,
/// somebody has called them together.
pub const BURST: u64 = 10;
pub const BURST_WITHIN: Duration = Duration::from_hours(1);

/// A student who has reviewed one teacher so often lately does it again and again: to praise, or to
/// harm. Each review counts, and each session may have one.
pub const REPEATED_MAX: u64 = 3;
pub const REPEATED_WITHIN: Duration = Duration::from_hours(30 * 24);

/// So many of the last reviewers of a course may sign in from the same address as this one.
pub const NEIGHBOURS_MAX: u64 = 2;

word_enum! {
    /// Why a review looks bought.
    Flag {
        Extreme = "extreme_rating",
        Burst = "burst",
        // Whatever the rating. It is called as it was when only praise was looked at, as rows and
        // clients know the word.
        Repeated = "repeated_praise",
        SharedAddress = "shared_address",
    }
}

impl Flag {
    /// What an admin, and whoever wrote it, is told.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Extreme => "the lowest or highest rating after less than a tenth of the course",
            Self::Burst => {
                "ten or more reviews of this course within an hour, by more than half of those \
                 who watched it"
            }
            Self::Repeated => "this student has reviewed this teacher three times within 30 days",
            Self::SharedAddress => {
                "signs in from the same address as the teacher, or as several reviewers of this \
                 course"
            }
        }
    }
}

/// What else is known when a review comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Reviews of the course within [`BURST_WITHIN`], with this one.
    pub recent_reviews: u64,
    /// Sessions of the course that ended in that time, about.
    pub recent_sessions: u64,
    /// Reviews of this student for this teacher within [`REPEATED_WITHIN`], without this one.
    pub repeated: u64,
    /// Whether student and teacher sign in from one address.
    pub is_at_teachers: bool,
    /// How many of the last other reviewers sign in from an address of this one.
    pub neighbours: u64,
}

/// Why a review looks bought: nothing if it does not.
#[must_use]
pub fn flags(rating: Rating, credibility: &Credibility, around: &Surroundings) -> Vec<Flag> {
    let is_burst =
        around.recent_reviews >= BURST && around.recent_reviews * 2 > around.recent_sessions;
    [
        (rating.is_extreme() && credibility.depth < EXTREME_BELOW, Flag::Extreme),
        (is_burst, Flag::Burst),
        (around.repeated >= REPEATED_MAX, Flag::Repeated),
        (around.is_at_teachers || around.neighbours >= NEIGHBOURS_MAX, Flag::SharedAddress),
    ]
    .into_iter()
    .filter_map(|(is_odd, flag)| is_odd.then_some(flag))
    .collect()
}
