//! What teachers earn, added up: by the quarter of an hour, and by the course.
//!
//! Every settled session and every bonus is one [`Earning`]; sums of them are kept beside the
//! ledger, in the transaction that moves the money, and can be made anew from it at any time.

use std::{
    collections::BTreeMap,
    ops::{Add, AddAssign},
    time::Duration,
};

use crate::{
    domain::session::{Session, SessionStatus},
    id::{CourseId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

/// Days and hours begin with one of these, in every time zone there is today.
pub const QUARTER: Duration = Duration::from_mins(15);

/// What one session or one bonus adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earning {
    pub teacher_id: UserId,
    pub course_id: CourseId,
    pub currency: Currency,
    pub at: Timestamp,
    pub figures: Figures,
}

/// Sessions, what was watched in them, and what that brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Those that were free for being short do not count.
    pub sessions: u64,
    pub watched_ms: u64,
    /// By the students, to everybody.
    pub paid: Money,
    /// Of that, the teacher's share.
    pub earned: Money,
    /// From the platform, for good reviews.
    pub bonus: Money,
}

impl Figures {
    /// What the teacher has got.
    #[must_use]
    pub fn total(&self) -> Money {
        self.earned + self.bonus
    }

    /// What went to the platform and to partners.
    #[must_use]
    pub fn fee(&self) -> Money {
        self.paid - self.earned
    }
}

impl Add for Figures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sessions: self.sessions + other.sessions,
            watched_ms: self.watched_ms + other.watched_ms,
            paid: self.paid + other.paid,
            earned: self.earned + other.earned,
            bonus: self.bonus + other.bonus,
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), Self::add)
    }
}

impl Earning {
    /// What a session brought that has ended. Nothing if it was cancelled.
    #[must_use]
    pub fn of_session(session: &Session) -> Option<Self> {
        let ending = session.ending.filter(|_| session.status == SessionStatus::Completed)?;
        Some(Self {
            teacher_id: session.teacher_id,
            course_id: session.course_id,
            currency: session.terms.currency,
            at: ending.at,
            figures: Figures {
                sessions: 1,
                watched_ms: session.watched_ms(),
                paid: session.cost,
                earned: session.shares().teacher,
                bonus: Money::ZERO,
            },
        })
    }
}

/// The beginning of the quarter of an hour that `at` is in.
#[must_use]
pub fn quarter_of(at: Timestamp) -> Timestamp {
    let micros = i64::try_from(QUARTER.as_micros()).expect("a quarter is short");
    let begin = at.micros() - at.micros().rem_euclid(micros);
    Timestamp::from_micros(begin).expect("it is not later than what is in it")
}

super::word_enum! {
    /// What brought it.
    EntryKind {
        Session = "session",
        Bonus = "quality_bonus",
    }
}

/// One session or one bonus, as its teacher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    pub journal_id: String,
    pub kind: EntryKind,
    pub session_id: SessionId,
    pub course_id: CourseId,
    pub course_title: String,
    pub started_at: Timestamp,
    pub figures: Figures,
}

/// Sums of earnings, one for each row that is kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// By teacher, currency, quarter of an hour and course.
    pub quarters: BTreeMap<(UserId, Currency, Timestamp, CourseId), Figures>,
    /// By course and currency, with the teacher.
    pub courses: BTreeMap<(CourseId, Currency), (UserId, Figures)>,
}

impl Sums {
    #[must_use]
    pub fn of<'a>(earnings: impl IntoIterator<Item = &'a Earning>) -> Self {
        let mut sums = Self::default();
        for Earning { teacher_id, course_id, currency, at, figures } in earnings {
            let key = (*teacher_id, *currency, quarter_of(*at), *course_id);
            *sums.quarters.entry(key).or_default() += *figures;
            let course = sums.courses.entry((*course_id, *currency));
            course.or_insert((*teacher_id, Figures::default())).1 += *figures;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earning(course: u128, at_micros: i64, micros: i64) -> Earning {
        Earning {
            teacher_id: UserId::from_uuid(uuid::Uuid::nil()),
            course_id: CourseId::from_uuid(uuid::Uuid::from_u128(course)),
            currency: "USD".parse().unwrap(),
            at: Timestamp::from_micros(at_micros).unwrap(),
            figures: Figures {
                sessions: 1,
                watched_ms: 60_000,
                paid: Money::from_micros(micros * 2),
                earned: Money::from_micros(micros),
                bonus: Money::ZERO,
            },
        }
    }

    #[test]
    fn sums_are_by_quarter_and_by_course() {
        const QUARTER_MICROS: i64 = 900_000_000;
        let earnings = [
            earning(1, 0, 1),
            earning(1, QUARTER_MICROS - 1, 10),
            earning(1, QUARTER_MICROS, 100),
            earning(2, QUARTER_MICROS, 1_000),
        ];
        let sums = Sums::of(&earnings);
        let earned: Vec<i64> =
            sums.quarters.values().map(|figures| figures.earned.micros()).collect();
        assert_eq!(earned, [11, 100, 1_000]);
        let of_courses: Vec<i64> =
            sums.courses.values().map(|(_, figures)| figures.total().micros()).collect();
        assert_eq!(of_courses, [111, 1_000]);
        let all: Figures = sums.quarters.values().copied().sum();
        assert_eq!((all.sessions, all.fee()), (4, Money::from_micros(1_111)));
    }
}
