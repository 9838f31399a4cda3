//! A session: what a student bought, on which terms, and how it ended.

use std::time::Duration;

use crate::{
    domain::{
        course::Split,
        ledger::Owner,
        meter::{self, Rate},
        settlement,
        stretch::Stretch,
    },
    id::{AccountId, CourseId, LoginId, NodeId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

super::word_enum! {
    SessionStatus {
        Active = "active",
        /// Ended and charged.
        Completed = "completed",
        /// Ended and free.
        Cancelled = "cancelled",
    }
}

super::word_enum! {
    /// Why a session ended.
    EndReason {
        EndedByStudent = "ended_by_student",
        Disconnected = "disconnected",
        NeverStarted = "never_started",
        FundsExhausted = "funds_exhausted",
        NodeLost = "node_lost",
        MaxDuration = "max_duration",
        EndedByAdmin = "ended_by_admin",
        LoggedOut = "logged_out",
    }
}

/// What was agreed when the session started. Later changes to the course do not touch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub price_per_minute: Money,
    pub currency: Currency,
    pub split: Split,
    /// Ended with less watched time than this, the session is free.
    pub free_below: Duration,
    /// The most the student wants to spend on it.
    pub spending_cap: Option<Money>,
    /// Whether the hold may grow by itself while the student watches.
    pub auto_extend: bool,
}

impl Terms {
    /// What must be held at least, so that it buys `min_watch`. Nothing for a free course.
    #[must_use]
    pub fn least_hold(&self, min_watch: Duration) -> Money {
        if !self.price_per_minute.is_positive() {
            return Money::ZERO;
        }
        let cost = meter::cost(self.price_per_minute, min_watch, Money::from_micros(i64::MAX));
        cost.max(Money::from_micros(1))
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub at: Timestamp,
    pub reason: EndReason,
}

/// One student watching one course, with the funds held for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub student_id: UserId,
    pub course_id: CourseId,
    pub teacher_id: UserId,
    pub terms: Terms,
    /// Reserved in the student's wallet, and so the most the session can cost.
    pub held: Money,
    pub status: SessionStatus,
    /// Goes up whenever the session changes hands; a write with an older one is refused.
    pub fence: i64,
    /// Who meters it. `None`: nobody yet.
    pub node_id: Option<NodeId>,
    /// How often a player has come in: a ticket is good for the next time.
    pub entries: i64,
    /// The sign-in its player came with.
    pub login_id: Option<LoginId>,
    pub watched: Duration,
    pub cost: Money,
    /// What was charged and what was not, up to when it was written last.
    pub stretches: Vec<Stretch>,
    pub started_at: Timestamp,
    pub ending: Option<Ending>,
}

impl Session {
    /// What a meter has to know of it.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate {
            price_per_minute: self.terms.price_per_minute,
            held: self.held,
            free_below: self.terms.free_below,
        }
    }

    /// A session as it is before funds are held for it.
    #[must_use]
    pub fn open(
        student_id: UserId,
        (course_id, teacher_id): (CourseId, UserId),
        terms: Terms,
        now: Timestamp,
    ) -> Self {
        Self {
            id: SessionId::new(now),
            student_id,
            course_id,
            teacher_id,
            terms,
            held: Money::ZERO,
            status: SessionStatus::Active,
            fence: 1,
            node_id: None,
            entries: 0,
            login_id: None,
            watched: Duration::ZERO,
            cost: Money::ZERO,
            stretches: Vec::new(),
            started_at: now,
            ending: None,
        }
    }

    /// Whose wallet the hold is in, of which currency. A free course needs none.
    #[must_use]
    pub fn payer(&self) -> Option<(Owner, Currency)> {
        let is_paid = self.terms.price_per_minute.is_positive();
        is_paid.then_some((Owner::Wallet(self.student_id), self.terms.currency))
    }

    /// The id of that wallet.
    #[must_use]
    pub fn wallet(&self) -> Option<AccountId> {
        self.payer().map(|(owner, currency)| owner.account(currency))
    }

    /// Everybody who is paid from this session: the teacher first, then platform and partners.
    pub fn payees(&self) -> impl Iterator<Item = Owner> {
        let partners = self.terms.split.partners.iter();
        [Owner::Earnings(self.teacher_id), Owner::Platform]
            .into_iter()
            .chain(partners.map(|partner| Owner::Partner(partner.name.clone())))
    }

    /// What was watched, in milliseconds.
    #[must_use]
    pub fn watched_ms(&self) -> u64 {
        u64::try_from(self.watched.as_millis()).expect("a session lasts less than a lifetime")
    }

    /// What of the hold is the student's again. Nothing while the session is open.
    #[must_use]
    pub fn refund(&self) -> Money {
        if self.ending.is_some() { self.held - self.cost } else { Money::ZERO }
    }

    /// How the cost of the ended session is divided.
    #[must_use]
    pub fn shares(&self) -> settlement::Shares {
        settlement::divide(self.cost, &self.terms.split)
    }

    /// Ends the session with `watched` time, at a cost that the time alone decides.
    ///
    /// The end is never before the start plus what was watched: a wall clock that was set back
    /// must not make the books impossible. What was watched was measured on a clock that is not.
    ///
    /// A session of which nothing was watched is cancelled on any terms: otherwise it would count
    /// as one, and could be reviewed, for nothing.
    pub(super) fn end(&mut self, watched: Duration, reason: EndReason, now: Timestamp) {
        assert_eq!(self.status, SessionStatus::Active, "a session ends once");
        self.watched = watched.min(meter::WATCHED_MAX);
        let free = self.watched_ms() == 0
            || watched < self.terms.free_below
            || reason == EndReason::NeverStarted;
        if free {
            self.status = SessionStatus::Cancelled;
        } else {
            self.status = SessionStatus::Completed;
            self.cost = meter::cost(self.terms.price_per_minute, self.watched, self.held);
        }
        self.ending = Some(Ending { at: now.max(self.started_at + self.watched), reason });
    }
}
