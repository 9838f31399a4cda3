//! Points in time: [`Timestamp`], in whole microseconds UTC, so that a row read back equals the row
//! written; and [`Moment`], on a clock that nobody sets, for measuring how long something took.
//!
//! Pure: only [`crate::clock`] asks the machine what time it is.

use std::{fmt, ops, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de};

/// A moment, from the year 1970 on, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// Later than anything that happens; both databases can hold it.
    pub const END: Self = match DateTime::from_timestamp(253_402_300_799, 0) {
        Some(moment) => Self(moment),
        None => Self::EPOCH,
    };

    /// `None` if no calendar reaches that far.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self)
    }

    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// Cuts what is finer than a microsecond, as the databases would.
    #[must_use]
    pub fn from_datetime(moment: DateTime<Utc>) -> Self {
        Self::from_micros(moment.timestamp_micros()).unwrap_or(Self::EPOCH)
    }

    #[must_use]
    pub fn datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// When its day began, in UTC.
    #[must_use]
    pub fn day(self) -> Self {
        let midnight = self.0.date_naive().and_time(chrono::NaiveTime::MIN);
        Self::from_datetime(midnight.and_utc())
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self::from_datetime(self.0 + span)
    }
}

impl ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self::from_datetime(self.0 - span)
    }
}

/// A point on this process's monotonic clock, in whole milliseconds.
///
/// Spans between moments add up exactly, wherever they are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl ops::Add<Duration> for Moment {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(span)))
    }
}

/// A span in whole milliseconds; a longer one than fits is the longest that does.
#[must_use]
pub fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment = DateTime::parse_from_rfc3339(&text)
            .map_err(|_| de::Error::custom("is not a time such as 2026-11-20T12:00:00Z"))?;
        let moment = Self::from_datetime(moment.with_timezone(&Utc));
        if (Self::EPOCH..=Self::END).contains(&moment) {
            Ok(moment)
        } else {
            Err(de::Error::custom("is not between the years 1970 and 9999"))
        }
    }
}
