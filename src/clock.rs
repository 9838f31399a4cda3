//! The only place that asks the machine for the time of day.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::time::{Moment, Timestamp};

/// Where `now` comes from: the machine, or a test that moves it by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still until [`Clock::advance`] is called.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.micros())))
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            Self::System => Timestamp::from_datetime(chrono::Utc::now()),
            Self::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst))
                .expect("a manual clock is set from a timestamp"),
        }
    }

    /// The monotonic clock, which no administrator sets. By hand, both clocks are one.
    #[must_use]
    pub fn moment(&self) -> Moment {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::System => {
                let elapsed = BEGINNING.get_or_init(Instant::now).elapsed();
                Moment::default() + elapsed
            }
            Self::Manual(_) => Moment::default() + self.now().since(Timestamp::EPOCH),
        }
    }

    /// How often to do what is due every `period`. A manual clock may be moved at any moment, and
    /// whoever moved it waits for what comes of it.
    #[must_use]
    pub fn cadence(&self, period: Duration) -> Duration {
        const BY_HAND: Duration = Duration::from_millis(50);
        match self {
            Self::System => period,
            Self::Manual(_) => period.min(BY_HAND),
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// If this is the machine's clock.
    pub fn advance(&self, span: Duration) {
        match self {
            Self::System => panic!("nobody moves the machine's clock"),
            Self::Manual(micros) => {
                let span = i64::try_from(span.as_micros()).expect("a test's span is short");
                micros.fetch_add(span, Ordering::SeqCst);
            }
        }
    }
}
