//! What a session cost, stretch by stretch, so that the student can add it up.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        meter,
        session::{EndReason, Session, SessionStatus},
        stretch::{self, StretchKind},
    },
    money::Money,
};

super::word_enum! {
    /// Why a session cost nothing.
    FreeReason {
        FreeCourse = "free_course",
        /// The player never came.
        NeverStarted = "never_started",
        /// It was watched for less than the shortest session.
        ShortSession = "short_session",
    }
}

/// A stretch on the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptStretch")]
pub struct Line {
    pub kind: StretchKind,
    /// Whether it is part of what was charged.
    pub charged: bool,
    /// From the start of the session.
    pub from_ms: u64,
    pub duration_ms: u64,
    pub cost: Money,
}

/// Why the ended session was free, if it was.
#[must_use]
pub fn free_reason(session: &Session) -> Option<FreeReason> {
    let ending = session.ending?;
    if !session.terms.price_per_minute.is_positive() {
        return Some(FreeReason::FreeCourse);
    }
    match (session.status, ending.reason) {
        (SessionStatus::Cancelled, EndReason::NeverStarted) => Some(FreeReason::NeverStarted),
        (SessionStatus::Cancelled, _) => Some(FreeReason::ShortSession),
        _ => None,
    }
}

/// The stretches of the ended session. One begins where the one before it ends, and the costs of
/// those that were charged come to the cost of the session.
///
/// Each costs what the watched time costs up to its end, less what it costs up to its beginning: so
/// no rounding adds up, just as it does not in the session.
#[must_use]
pub fn lines(session: &Session) -> Vec<Line> {
    let is_charged = free_reason(session).is_none();
    let (mut from_ms, mut watched_ms, mut cost) = (0_u64, 0_u64, Money::ZERO);
    let mut lines = Vec::new();
    for stretch in story(session) {
        let mut line = Line {
            kind: stretch.kind(),
            charged: is_charged && stretch.kind() == StretchKind::Watched,
            from_ms,
            duration_ms: stretch.ms(),
            cost: Money::ZERO,
        };
        if line.charged {
            watched_ms += stretch.ms();
            let watched = Duration::from_millis(watched_ms);
            let cost_so_far = meter::cost(session.terms.price_per_minute, watched, session.held);
            line.cost = cost_so_far - cost;
            cost = cost_so_far;
        }
        from_ms = from_ms.saturating_add(stretch.ms());
        lines.push(line);
    }
    lines
}

/// What was kept of the session's stretches; made up for if they do not come to what it was
/// charged for, because it was settled by somebody who did not know them.
fn story(session: &Session) -> Vec<stretch::Stretch> {
    let age = match session.ending {
        Some(ending) if session.stretches.is_empty() => ending.at.since(session.started_at),
        // Measured on a monotonic clock, from which the wall clock may differ.
        _ => stretch::total(&session.stretches),
    };
    stretch::completed(&session.stretches, session.watched, age, StretchKind::NodeLost)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{
        domain::{
            course::Split,
            session::Terms,
            stretch::{Stretch, StretchKind as Kind},
        },
        id::{CourseId, UserId},
        time::Timestamp,
    };

    fn micros(micros: i64) -> Money {
        Money::from_micros(micros)
    }

    /// A session that ended with such stretches, of which so much was found to be watched.
    fn ended(
        (price, held, free_below): (i64, i64, u64),
        stretches: Vec<Stretch>,
        watched: u64,
        reason: EndReason,
    ) -> Session {
        let now = Timestamp::EPOCH;
        let terms = Terms {
            price_per_minute: micros(price),
            currency: "USD".parse().unwrap(),
            split: Split::default(),
            free_below: Duration::from_millis(free_below),
            spending_cap: None,
            auto_extend: true,
        };
        let course = (CourseId::new(now), UserId::new(now));
        let mut session = Session::open(UserId::new(now), course, terms, now);
        session.held = micros(held);
        session.stretches = stretches;
        session.end(Duration::from_millis(watched), reason, now);
        session
    }

    fn minutes(kind: Kind, minutes: u64) -> Stretch {
        Stretch(kind, minutes * 60_000)
    }

    #[test]
    fn watched_stretches_cost_and_others_do_not() {
        let stretches = vec![
            minutes(Kind::Opening, 1),
            minutes(Kind::Watched, 2),
            minutes(Kind::Paused, 3),
            minutes(Kind::Watched, 4),
        ];
        let terms = (500_000, 30_000_000, 60_000);
        let session = ended(terms, stretches, 360_000, EndReason::EndedByStudent);
        let lines = lines(&session);
        let seen: Vec<_> = lines.iter().map(|line| (line.from_ms / 60_000, line.cost)).collect();
        let (none, one, two) = (Money::ZERO, micros(1_000_000), micros(2_000_000));
        assert_eq!(seen, [(0, none), (1, one), (3, none), (6, two)]);
        assert_eq!(session.cost, one + two);
        assert_eq!(free_reason(&session), None);
    }

    #[test]
    fn what_was_free_says_why() {
        let watched = |ms| vec![Stretch(Kind::Watched, ms)];
        for (price, ms, reason, free) in [
            (0, 600_000, EndReason::EndedByStudent, Some(FreeReason::FreeCourse)),
            (0, 0, EndReason::NeverStarted, Some(FreeReason::FreeCourse)),
            (500_000, 0, EndReason::NeverStarted, Some(FreeReason::NeverStarted)),
            (500_000, 59_999, EndReason::EndedByStudent, Some(FreeReason::ShortSession)),
            (500_000, 60_000, EndReason::EndedByStudent, None),
        ] {
            let session = ended((price, price * 60, 60_000), watched(ms), ms, reason);
            assert_eq!(free_reason(&session), free, "{ms} ms at {price}");
            let is_charged = lines(&session).iter().any(|line| line.charged);
            assert_eq!(is_charged, free.is_none(), "{ms} ms at {price}");
        }
    }

    fn reasons() -> impl Strategy<Value = EndReason> {
        select(&[EndReason::EndedByStudent, EndReason::NeverStarted, EndReason::NodeLost][..])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever happened in a session, and however it was settled, its receipt adds up.
        #[test]
        fn a_receipt_always_adds_up(
            price in prop_oneof![Just(0), 1..5_000_000_i64, 1..=100_000_000_000_i64],
            held in 0..1_000_000_000_i64,
            free_below in prop_oneof![Just(0), 0..200_000_u64],
            stretches in vec((select(Kind::ALL), 0..3_000_000_u64), 0..20),
            made_up in proptest::option::of(0..80_000_000_u64),
            reason in reasons(),
        ) {
            let stretches: Vec<_> = stretches.into_iter().map(|(k, ms)| Stretch(k, ms)).collect();
            let watched = stretches.iter().filter(|s| s.kind() == Kind::Watched);
            let watched = made_up.unwrap_or_else(|| watched.map(|stretch| stretch.ms()).sum());
            let held = if price == 0 { 0 } else { held };
            let session = ended((price, held, free_below), stretches, watched, reason);

            let lines = lines(&session);

            prop_assert_eq!(lines.iter().map(|line| line.cost).sum::<Money>(), session.cost);
            let mut end = 0;
            for line in &lines {
                prop_assert_eq!(line.from_ms, end);
                prop_assert!(line.charged || line.cost == Money::ZERO);
                prop_assert!(!line.cost.is_negative());
                end += line.duration_ms;
            }
            let of_kind = lines.iter().filter(|line| line.kind == Kind::Watched);
            let told = Duration::from_millis(of_kind.map(|line| line.duration_ms).sum());
            prop_assert_eq!(told, session.watched);
            prop_assert!(Duration::from_millis(end) >= session.watched);
            prop_assert_eq!(free_reason(&session).is_some(), !lines.iter().any(|l| l.charged)
                && (session.status == SessionStatus::Cancelled || price == 0));
        }
    }
}
