//! Days and hours as people count them, in any time zone of the IANA database.
//!
//! The database is compiled in: what a day is does not depend on the machine.

use std::{fmt, str::FromStr};

use jiff::{
    ToSpan,
    civil::{self, Date},
    tz::TimeZone,
};
use serde::{Serialize, Serializer};

use crate::time::Timestamp;

/// Days before and after these are not asked for.
const FIRST_DAY: Date = civil::date(2000, 1, 1);
const LAST_DAY: Date = civil::date(2199, 12, 31);

const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// Where somebody looks at the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

/// A day of the calendar, whenever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

super::word_enum! {
    /// How long a period is.
    Step {
        Day = "day",
        Hour = "hour",
    }
}

/// A day or an hour somewhere. Its end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub begin: Timestamp,
    pub end: Timestamp,
}

impl Zone {
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The day it is here at `at`.
    #[must_use]
    pub fn day_of(&self, at: Timestamp) -> Day {
        let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX);
        Day(at.to_zoned(self.0.clone()).date())
    }

    /// When `day` begins here. Mostly at midnight, unless clocks are changed just then.
    #[must_use]
    pub fn begin_of(&self, day: Day) -> Timestamp {
        let begin = day.0.to_zoned(self.0.clone());
        let micros = begin.map(|begin| begin.timestamp().as_microsecond());
        micros.ok().and_then(Timestamp::from_micros).unwrap_or(Timestamp::EPOCH)
    }

    /// At most `limit` periods of the days from `first` to `last`, newest first: of those that have
    /// begun by `now`, and end no later than `before`, if that is given.
    #[must_use]
    pub fn periods(
        &self,
        step: Step,
        (first, last): (Day, Day),
        (now, before): (Timestamp, Option<Timestamp>),
        limit: usize,
    ) -> Vec<Period> {
        let before = before.unwrap_or(Timestamp::END);
        // A day that was left out, where the date line was moved, has no time in it.
        let is_shown = |period: &Period| {
            period.begin < period.end && period.begin <= now && period.end <= before
        };
        let mut day = last.min(self.day_of(now.min(before)));
        let mut periods = Vec::new();
        while day >= first && periods.len() < limit {
            let whole = Period { begin: self.begin_of(day), end: self.begin_of(day.next()) };
            match step {
                Step::Day => periods.push(whole),
                Step::Hour => periods.extend(whole.hours().into_iter().rev()),
            }
            periods.retain(is_shown);
            day = day.previous();
        }
        periods.truncate(limit);
        periods
    }
}

impl Period {
    /// Its hours. The last one is shorter where clocks are changed by half an hour.
    fn hours(self) -> Vec<Self> {
        let begins = std::iter::successors(Some(self.begin), |begin| Some(*begin + HOUR));
        let begins = begins.take_while(|begin| *begin < self.end);
        begins.map(|begin| Self { begin, end: self.end.min(begin + HOUR) }).collect()
    }
}

impl Day {
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    #[must_use]
    fn previous(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }

    #[must_use]
    pub fn days_before(self, days: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(days).days()))
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let problem = || "is no time zone of the IANA database, such as Africa/Nairobi".to_owned();
        let zone = TimeZone::get(name).map_err(|_| problem())?;
        // jiff takes "Etc/Unknown" for a name of its own.
        if zone.is_unknown() { Err(problem()) } else { Ok(Self(zone)) }
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = text.len() == "2026-11-30".len();
        let day = text.parse::<Date>().ok().filter(|_| is_plain);
        let day = day.filter(|day| (FIRST_DAY..=LAST_DAY).contains(day));
        day.map(Self).ok_or_else(|| "is no day, such as 2026-11-30".to_owned())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::earnings::{QUARTER, quarter_of};

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn hours_of(zone: &Zone, text: &str) -> Vec<Period> {
        zone.periods(Step::Hour, (day(text), day(text)), (Timestamp::END, None), 100)
    }

    #[test]
    fn a_day_is_where_one_is() {
        let at: Timestamp = serde_json::from_str("\"2026-11-21T21:30:00Z\"").unwrap();
        assert_eq!(zone("Africa/Nairobi").day_of(at), day("2026-11-22"));
        assert_eq!(zone("America/New_York").day_of(at), day("2026-11-21"));
        assert_eq!(zone("africa/nairobi").name(), "Africa/Nairobi");
        assert_eq!(Zone::utc().name(), "UTC");
    }

    #[test]
    fn days_have_23_to_25_hours() {
        let york = zone("America/New_York");
        assert_eq!(hours_of(&york, "2026-03-08").len(), 23);
        assert_eq!(hours_of(&york, "2026-11-01").len(), 25);
        assert_eq!(hours_of(&york, "2026-11-02").len(), 24);
        // Half an hour less and more.
        assert_eq!(hours_of(&zone("Australia/Lord_Howe"), "2026-10-04").len(), 24);
        // Where a day begins at one o'clock.
        assert_eq!(hours_of(&zone("Africa/Cairo"), "2026-04-24").len(), 23);
    }

    #[test]
    fn periods_are_newest_first_and_go_on_where_a_page_ended() {
        let kolkata = zone("Asia/Kolkata");
        let range = (day("2026-11-01"), day("2026-11-03"));
        for step in Step::ALL {
            let all = kolkata.periods(*step, range, (Timestamp::END, None), 1_000);
            assert_eq!(all.len(), if *step == Step::Day { 3 } else { 72 });
            assert!(all.windows(2).all(|pair| pair[0].begin == pair[1].end), "without gaps");
            let mut paged: Vec<Period> = Vec::new();
            loop {
                let before = paged.last().map(|last| last.begin);
                let page = kolkata.periods(*step, range, (Timestamp::END, before), 2);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged, all);
        }
    }

    #[test]
    fn what_is_yet_to_come_is_left_out() {
        let at: Timestamp = serde_json::from_str("\"2026-11-21T21:30:00Z\"").unwrap();
        let nairobi = zone("Africa/Nairobi");
        let range = (day("2026-11-20"), day("2026-12-24"));
        let days = nairobi.periods(Step::Day, range, (at, None), 100);
        assert_eq!(days.len(), 3, "it is the 22nd there");
        let hours = nairobi.periods(Step::Hour, range, (at, None), 100);
        assert_eq!(hours.len(), 49, "half an hour after midnight");
        assert_eq!(hours[0].begin, days[0].begin);
    }

    /// Samoa went from Thursday to Saturday.
    #[test]
    fn a_day_that_never_was_has_no_period() {
        let apia = zone("Pacific/Apia");
        let range = (day("2011-12-29"), day("2011-12-31"));
        let mut before = None;
        let mut found = Vec::new();
        // One more than there may be.
        for _ in 0..3 {
            let page = apia.periods(Step::Day, range, (Timestamp::END, before), 1);
            before = page.last().map(|period| period.begin).or(before);
            found.extend(page);
        }
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].begin, found[1].end);
        assert_eq!(hours_of(&apia, "2011-12-30"), []);
    }

    /// What the sums are kept by: no day of any zone begins within a quarter, and so no hour.
    #[test]
    fn every_day_begins_with_a_quarter() {
        let range = (day("2026-01-01"), day("2026-12-31"));
        let mut zones = 0;
        for name in jiff::tz::db().available() {
            let Ok(zone) = name.as_str().parse::<Zone>() else { continue };
            for period in zone.periods(Step::Day, range, (Timestamp::END, None), 400) {
                assert_eq!(quarter_of(period.begin), period.begin, "{name}");
                assert!(period.end.since(period.begin) >= QUARTER, "{name}");
            }
            zones += 1;
        }
        assert!(zones > 400, "{zones}");
    }

    #[test]
    fn what_is_no_zone_and_no_day_is_refused() {
        for name in ["", "Nowhere/Else", "Etc/Unknown", "../../etc/passwd", "UTC+3", "\0"] {
            assert!(name.parse::<Zone>().is_err(), "{name:?}");
        }
        for text in ["", "2026-13-01", "2026-02-30", "1999-12-31", "2200-01-01", "20261130", "now"]
        {
            assert!(text.parse::<Day>().is_err(), "{text:?}");
        }
    }
}
