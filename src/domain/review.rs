//! Reviews, and how far they can be believed.
//!
//! What a review says is weighed by what its student did: how much of the course was watched, for
//! how long, in how many videos, and whether that fits the rating. All of it is arithmetic on whole
//! numbers: the same review has the same credibility on every machine, to the last digit.
//!
//! ```text
//! credibility = 40 % depth + 35 % consistency + 15 % duration + 10 % coverage
//! ```
//!
//! A review that looks bought is held back until an admin has looked at it: it counts for nothing
//! and brings no bonus.

mod summary;
mod suspicion;

pub use self::{
    summary::{Summary, Tally},
    suspicion::{
        BURST, BURST_WITHIN, Flag, NEIGHBOURS_MAX, REPEATED_MAX, REPEATED_WITHIN, Surroundings,
        flags,
    },
};

use std::{cmp::Ordering, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    domain::text,
    id::{CourseId, ReviewId, SessionId, UserId},
    money::{Currency, Money},
    time::{Timestamp, whole_ms},
};

/// The longest text of a review, in characters.
pub const TEXT_MAX: usize = 5_000;

/// The longest reason to contest or to decide, in characters.
pub const REASON_MAX: usize = 1_000;

/// The session that counts as a long one; a shorter course is watched sooner.
const LONG_SESSION: Duration = Duration::from_mins(10);

/// One to five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rating(u8);

/// A part of a whole, in millionths, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

super::word_enum! {
    /// What became of a review.
    ReviewStatus {
        /// Everybody sees it, and it counts.
        Published = "published",
        /// It looks bought: an admin has to look at it.
        Held = "held",
        /// An admin has looked at it. It is not shown and does not count.
        Rejected = "rejected",
    }
}

super::word_enum! {
    /// What became of the bonus for a review.
    BonusStatus {
        None = "none",
        /// The platform cannot cover it yet.
        Waiting = "waiting",
        Paid = "paid",
    }
}

/// What a student did, by which a review is weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Of the course, in all completed sessions.
    pub watched_ms: u64,
    /// Of the course, in the session that is reviewed.
    pub session_ms: u64,
    /// How long the course is.
    pub course_ms: u64,
    /// Videos of which at least half was watched, in all completed sessions.
    pub videos_watched: u64,
    pub videos: u64,
}

/// How far a review can be believed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Credibility {
    /// How much of the course was watched.
    pub depth: Share,
    /// How well that fits the rating.
    pub consistency: Share,
    /// How long the session was.
    pub duration: Share,
    /// In how many of the videos.
    pub coverage: Share,
    /// All of it together.
    #[serde(rename = "score")]
    pub total: Share,
    /// How much it counts in the rating of the course.
    pub weight: Share,
}

/// Part over whole, exactly. A whole is never zero.
#[derive(Clone, Copy, Debug)]
struct Fraction {
    part: u128,
    whole: u128,
}

/// A review as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub id: ReviewId,
    pub session_id: SessionId,
    pub course_id: CourseId,
    pub teacher_id: UserId,
    pub student_id: UserId,
    pub rating: Rating,
    pub text: String,
    pub credibility: Credibility,
    pub status: ReviewStatus,
    pub flags: Vec<Flag>,
    pub bonus: Money,
    pub currency: Currency,
    pub bonus_status: BonusStatus,
    /// Why the teacher thinks that it should not stand. Said once.
    pub contest: Option<Said>,
    /// What an admin had to say to it.
    pub decision: Option<Said>,
    pub created_at: Timestamp,
}

/// What somebody said about a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub by: UserId,
    pub reason: String,
    pub at: Timestamp,
}

/// What the reviews of a course come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Those that are shown, whether they count or not.
    pub reviews: u64,
    /// The weights of those that count, in millionths.
    pub weight: u64,
    /// Their ratings, each times its weight.
    pub points: u64,
}

impl Rating {
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    #[must_use]
    pub fn stars(self) -> u8 {
        self.0
    }

    /// Whether it speaks for the course.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.0 >= 4
    }

    #[must_use]
    fn is_extreme(self) -> bool {
        matches!(self.0, 1 | 5)
    }
}

impl TryFrom<i64> for Rating {
    type Error = String;

    fn try_from(stars: i64) -> Result<Self, String> {
        match u8::try_from(stars) {
            Ok(stars @ 1..=5) => Ok(Self(stars)),
            _ => Err("must be 1, 2, 3, 4 or 5".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Rating {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl Serialize for Rating {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl Share {
    pub const WHOLE: Self = Self(1_000_000);

    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// `None` if it is more than the whole.
    #[must_use]
    pub fn from_millionths(millionths: i64) -> Option<Self> {
        let share = u32::try_from(millionths).ok().map(Self);
        share.filter(|share| *share <= Self::WHOLE)
    }
}

/// With all its digits: `"0.812500"`.
impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = Self::WHOLE.0;
        serializer.collect_str(&format_args!("{}.{:06}", self.0 / whole, self.0 % whole))
    }
}

impl Fraction {
    /// At most the whole; nothing of nothing is nothing.
    fn at_most_whole(part: u64, whole: u64) -> Self {
        let whole = u128::from(whole.max(1));
        Self { part: u128::from(part).min(whole), whole }
    }

    fn share(self) -> Share {
        let millionths = self.of(u64::from(Share::WHOLE.0));
        Share(u32::try_from(millionths).expect("a part is no more than the whole"))
    }

    /// Compares with so many hundredths.
    fn cmp_percent(self, percent: u128) -> Ordering {
        (self.part * 100).cmp(&(self.whole * percent))
    }

    /// This part of `amount`, rounded down. Digit by digit, as the product may be wider than any
    /// integer there is.
    fn of(self, amount: u64) -> u64 {
        let (mut taken, mut rest) = (0_u64, 0_u128);
        for bit in (0..u64::BITS).rev() {
            taken *= 2;
            rest *= 2;
            if amount >> bit & 1 == 1 {
                rest += self.part;
            }
            while rest >= self.whole {
                rest -= self.whole;
                taken += 1;
            }
        }
        taken
    }
}

/// How far `rating` can be believed from somebody who behaved so; and the bonus it is worth, of what
/// the session has brought.
#[must_use]
pub fn judge(rating: Rating, behaviour: Behaviour, payment: Money) -> (Credibility, Money) {
    let Behaviour { watched_ms, session_ms, course_ms, videos_watched, videos } = behaviour;
    let long = whole_ms(LONG_SESSION);
    let long = if course_ms == 0 { long } else { long.min(course_ms) };
    let depth = Fraction::at_most_whole(watched_ms.min(course_ms), course_ms);
    let duration = Fraction::at_most_whole(session_ms, long);
    let coverage = Fraction::at_most_whole(videos_watched.min(videos), videos);
    let consistency = consistency(rating, depth);

    // Over one denominator: that of the consistency has that of the depth in it.
    let whole = consistency.whole * duration.whole * coverage.whole;
    let part_of = |fraction: Fraction| whole / fraction.whole * fraction.part;
    let part = 40 * part_of(depth)
        + 35 * part_of(consistency)
        + 15 * part_of(duration)
        + 10 * part_of(coverage);
    let total = Fraction { part, whole: whole * 100 };
    let credibility = Credibility {
        depth: depth.share(),
        consistency: consistency.share(),
        duration: duration.share(),
        coverage: coverage.share(),
        total: total.share(),
        weight: weight(total),
    };
    let is_worth_it = rating.is_good() && total.cmp_percent(70).is_ge();
    (credibility, if is_worth_it { bonus(total, payment) } else { Money::ZERO })
}

/// One less the distance between the rating, spread over 0 to 1, and the depth.
fn consistency(rating: Rating, depth: Fraction) -> Fraction {
    let whole = depth.whole * 4;
    let distance = (u128::from(rating.0 - 1) * depth.whole).abs_diff(depth.part * 4);
    Fraction { part: whole - distance, whole }
}

/// Full above 0.8, the credibility itself from 0.5 on, nothing below.
fn weight(credibility: Fraction) -> Share {
    if credibility.cmp_percent(80).is_gt() {
        Share::WHOLE
    } else if credibility.cmp_percent(50).is_ge() {
        credibility.share()
    } else {
        Share::default()
    }
}

/// From 5 % of the payment at a credibility of 0.7 to 15 % at 1.0, in a straight line.
fn bonus(Fraction { part, whole }: Fraction, payment: Money) -> Money {
    let rate = Fraction { part: part * 100 - whole * 55, whole: whole * 300 };
    let bonus = rate.of(u64::try_from(payment.micros()).unwrap_or_default());
    Money::from_micros(i64::try_from(bonus).expect("a bonus is a part of the payment"))
}

impl Review {
    /// What this review does to the standing of its course while it is published.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let weight = u64::from(self.credibility.weight.millionths());
        Standing { reviews: 1, weight, points: weight * u64::from(self.rating.stars()) }
    }
}

/// A text as it is kept: trimmed, of any number of lines, and plain.
pub fn parse_text(text: &str) -> Result<String, String> {
    plain_lines(text, TEXT_MAX)
}

/// A reason as it is kept: something, and plain text.
pub fn parse_reason(text: &str) -> Result<String, String> {
    let reason = plain_lines(text, REASON_MAX)?;
    if reason.is_empty() { Err("must say something".into()) } else { Ok(reason) }
}

fn plain_lines(text: &str, max: usize) -> Result<String, String> {
    let text = text::lines(text, max)?;
    if text::has_markup(&text) { Err("must be plain text, without HTML".into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOLLAR: Money = Money::from_micros(1_000_000);

    fn credibility(stars: i64, behaviour: Behaviour) -> Credibility {
        judge(rating(stars), behaviour, DOLLAR).0
    }

    fn bonus_of(stars: i64, behaviour: Behaviour) -> i64 {
        judge(rating(stars), behaviour, DOLLAR).1.micros()
    }

    fn rating(stars: i64) -> Rating {
        stars.try_into().unwrap()
    }

    /// Watched so many tenths of a course of 20 minutes and 10 videos, in one session.
    fn watched(tenths: u64) -> Behaviour {
        Behaviour {
            watched_ms: tenths * 120_000,
            session_ms: tenths * 120_000,
            course_ms: 1_200_000,
            videos_watched: tenths,
            videos: 10,
        }
    }

    fn printed(share: Share) -> String {
        serde_json::to_string(&share).unwrap()
    }

    #[test]
    fn each_factor_has_its_part() {
        // 0.4 x 0.5 + 0.35 x (1 - |1 - 0.5|) + 0.15 x 1 + 0.1 x 0.5
        let (half, bonus) = judge(rating(5), watched(5), DOLLAR);
        let factors = [half.depth, half.consistency, half.duration, half.coverage, half.total];
        assert_eq!(
            factors.map(printed),
            ["\"0.500000\"", "\"0.500000\"", "\"1.000000\"", "\"0.500000\"", "\"0.575000\""]
        );
        assert_eq!(printed(half.weight), "\"0.575000\"");
        assert_eq!(bonus, Money::ZERO, "below 0.7");

        let (whole, bonus) = judge(rating(5), watched(10), DOLLAR);
        assert_eq!(whole.total, Share::WHOLE);
        assert_eq!(bonus, Money::from_micros(150_000));

        // Nothing was watched, and it was bad: that is consistent, and nothing else.
        let nothing = credibility(1, watched(0));
        assert_eq!(printed(nothing.total), "\"0.350000\"");
        assert_eq!(nothing.weight, Share::default());
    }

    #[test]
    fn a_third_is_rounded_down_and_thresholds_are_exact() {
        let third = Behaviour { watched_ms: 1, course_ms: 3, ..watched(0) };
        assert_eq!(printed(credibility(1, third).depth), "\"0.333333\"");

        // Exactly 0.8 is not above it: 0.4 x 0.8 + 0.35 x 0.8 + 0.15 x 0.8 + 0.1 x 0.8.
        let at = Behaviour {
            watched_ms: 8 * 150_000,
            session_ms: 480_000,
            course_ms: 1_500_000,
            videos_watched: 4,
            videos: 5,
        };
        let exact = credibility(5, at);
        assert_eq!(printed(exact.total), "\"0.800000\"");
        assert_eq!(printed(exact.weight), "\"0.800000\"");
        let above = Behaviour { watched_ms: at.watched_ms + 1, ..at };
        assert_eq!(credibility(5, above).weight, Share::WHOLE);
    }

    #[test]
    fn a_bonus_begins_with_five_percent() {
        // 0.4 x 0.7 + 0.35 x 0.7 + 0.15 x 0.7 + 0.1 x 0.7
        let at = Behaviour {
            watched_ms: 700_000,
            session_ms: 420_000,
            course_ms: 1_000_000,
            videos_watched: 7,
            videos: 10,
        };
        assert_eq!(printed(credibility(5, at).total), "\"0.700000\"");
        assert_eq!(bonus_of(5, at), 50_000);
        let below = Behaviour { watched_ms: at.watched_ms - 1, ..at };
        assert_eq!(bonus_of(5, below), 0);
        assert_eq!(bonus_of(3, watched(10)), 0, "it is not good");
    }

    #[test]
    fn a_course_without_videos_proves_nothing() {
        let nothing = Behaviour { course_ms: 0, videos: 0, ..watched(9) };
        let unproven = credibility(5, nothing);
        assert_eq!(unproven.depth, Share::default());
        assert_eq!(unproven.coverage, Share::default());
        assert_eq!(printed(unproven.total), "\"0.150000\"");
    }

    #[test]
    fn what_looks_bought_is_named() {
        let calm = Surroundings { recent_sessions: 100, ..Surroundings::default() };
        let good = credibility(5, watched(10));
        assert_eq!(flags(rating(5), &good, &calm), []);
        let hasty = credibility(5, Behaviour { watched_ms: 119_999, ..watched(0) });
        assert_eq!(flags(rating(5), &hasty, &calm), [Flag::Extreme]);
        assert_eq!(flags(rating(4), &hasty, &calm), []);
        assert_eq!(flags(rating(1), &hasty, &calm), [Flag::Extreme]);
        let tenth = credibility(5, watched(1));
        assert_eq!(flags(rating(5), &tenth, &calm), []);

        let busy = |recent_reviews, recent_sessions| Surroundings {
            recent_reviews,
            recent_sessions,
            ..calm
        };
        assert_eq!(flags(rating(3), &good, &busy(9, 9)), []);
        assert_eq!(flags(rating(3), &good, &busy(10, 19)), [Flag::Burst]);
        assert_eq!(flags(rating(3), &good, &busy(10, 20)), []);

        for stars in [1, 3, 4] {
            let third = Surroundings { repeated: 2, ..calm };
            assert_eq!(flags(rating(stars), &good, &third), []);
            let fourth = Surroundings { repeated: 3, ..calm };
            assert_eq!(flags(rating(stars), &good, &fourth), [Flag::Repeated]);
        }
        let near = Surroundings { is_at_teachers: true, ..calm };
        assert_eq!(flags(rating(2), &good, &near), [Flag::SharedAddress]);
        let many = Surroundings { neighbours: 2, ..calm };
        assert_eq!(flags(rating(2), &good, &many), [Flag::SharedAddress]);
    }

    #[test]
    fn texts_are_plain() {
        assert_eq!(parse_text("  3 < 4 and a<3\n "), Ok("3 < 4 and a<3".to_owned()));
        for text in ["<b>bold</b>", "a <script>", "</p>", "<!-- -->", "<?php", "\u{7}"] {
            assert!(parse_text(text).is_err(), "{text:?}");
        }
        assert!(parse_text(&"x".repeat(TEXT_MAX + 1)).is_err());
        assert!(parse_reason(" ").is_err());
    }

    proptest! {
        /// Whatever somebody watched: every figure stays within its bounds, and it cannot matter
        /// by how little, nothing ever overflows.
        #[test]
        fn credibility_never_leaves_its_bounds(
            stars in 1..=5_i64, watched_ms in 0..u64::from(u32::MAX), session_ms in 0..86_400_000_u64,
            course_ms in 0..86_400_000_000_u64, videos_watched in 0..600_u64, videos in 0..=500_u64,
            payment in 0..=i64::MAX,
        ) {
            let behaviour =
                Behaviour { watched_ms, session_ms, course_ms, videos_watched, videos };
            let payment = Money::from_micros(payment);
            let (credibility, bonus) = judge(rating(stars), behaviour, payment);
            prop_assert!(credibility.total <= Share::WHOLE);
            prop_assert!(credibility.weight <= Share::WHOLE);
            let (bonus, payment) = (i128::from(bonus.micros()), i128::from(payment.micros()));
            prop_assert!(bonus * 100 <= payment * 15);
            if stars >= 4 && credibility.total.millionths() >= 700_000 {
                prop_assert!((bonus + 1) * 100 > payment * 5);
            } else {
                prop_assert_eq!(bonus, 0);
            }
        }

        /// More watched of the same course is never less credible, for the highest rating.
        #[test]
        fn watching_more_never_hurts_praise(less in 0..1_200_000_u64, more in 0..1_200_000_u64) {
            let (less, more) = (less.min(more), less.max(more));
            let of = |watched_ms| {
                credibility(5, Behaviour { watched_ms, ..watched(5) }).total
            };
            prop_assert!(of(less) <= of(more));
        }
    }
}
