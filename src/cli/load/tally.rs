//! What a fleet has seen so far: counted while it plays, merged over processes, then reported.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::money::Money;

/// Differences between what was told and what is written that are kept to be shown.
const DIFFERENCES_MAX: usize = 20;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Tally {
    pub(super) players: u64,
    /// From the wish to start to the session.
    pub(super) start: Histogram,
    /// From the wish to end to the receipt.
    pub(super) end: Histogram,
    /// See [`super::lateness`].
    pub(super) lateness: Histogram,
    /// Ticks in each second since the fleet began.
    ticks: Vec<u64>,
    /// When the first and the last start were answered, since the fleet began.
    started_ms: Option<(u64, u64)>,
    pub(super) reconnects: u64,
    /// How often something went wrong, by kind.
    pub(super) errors: BTreeMap<String, u64>,
    /// Why sessions ended, by the word in their receipts.
    pub(super) end_reasons: BTreeMap<String, u64>,
    pub(super) truth: Truth,
}

/// What the players were told, beside what is written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Truth {
    pub(super) sessions: u64,
    pub(super) free: u64,
    /// What the receipts come to, and what the wallets lost.
    pub(super) receipts: Money,
    pub(super) wallets: Money,
    pub(super) differences: u64,
    /// The first of them, in words.
    pub(super) examples: Vec<String>,
}

impl Tally {
    pub(super) fn count_start(&mut self, took: Duration, since_begin: Duration) {
        self.start.record(took);
        let at = millis(since_begin);
        let (first, last) = self.started_ms.unwrap_or((at, at));
        self.started_ms = Some((first.min(at), last.max(at)));
    }

    pub(super) fn count_tick(&mut self, since_begin: Duration) {
        let second = usize::try_from(since_begin.as_secs()).expect("a run is not that long");
        if self.ticks.len() <= second {
            self.ticks.resize(second + 1, 0);
        }
        self.ticks[second] += 1;
    }

    pub(super) fn count_error(&mut self, kind: &str) {
        count(&mut self.errors, kind, 1);
    }

    pub(super) fn count_end(&mut self, reason: &str) {
        count(&mut self.end_reasons, reason, 1);
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.iter().sum()
    }

    /// In a second like most: half of all seconds with ticks had more, half had fewer.
    pub(super) fn ticks_per_second(&self) -> u64 {
        let mut busy: Vec<_> = self.ticks.iter().copied().filter(|ticks| *ticks > 0).collect();
        busy.sort_unstable();
        busy.get(busy.len() / 2).copied().unwrap_or_default()
    }

    /// How often a start was answered, in thousandths per second.
    pub(super) fn starts_per_1000_seconds(&self) -> u64 {
        let span = self.started_ms.map_or(0, |(first, last)| last - first);
        // Between n starts there are n − 1 spans.
        (self.start.count().saturating_sub(1) * 1_000_000).checked_div(span).unwrap_or_default()
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.players += other.players;
        self.start.merge(&other.start);
        self.end.merge(&other.end);
        self.lateness.merge(&other.lateness);
        if self.ticks.len() < other.ticks.len() {
            self.ticks.resize(other.ticks.len(), 0);
        }
        for (sum, ticks) in self.ticks.iter_mut().zip(&other.ticks) {
            *sum += ticks;
        }
        self.started_ms = match (self.started_ms, other.started_ms) {
            (Some((first, last)), Some((a, b))) => Some((first.min(a), last.max(b))),
            (one, other) => one.or(other),
        };
        self.reconnects += other.reconnects;
        for (kind, times) in &other.errors {
            count(&mut self.errors, kind, *times);
        }
        for (reason, times) in &other.end_reasons {
            count(&mut self.end_reasons, reason, *times);
        }
        self.truth.merge(&other.truth);
    }
}

impl Truth {
    pub(super) fn differs(&mut self, what: String) {
        self.differences += 1;
        if self.examples.len() < DIFFERENCES_MAX {
            self.examples.push(what);
        }
    }

    /// Whether everybody was told what the ledger says.
    pub(super) fn holds(&self) -> bool {
        self.differences == 0 && self.receipts == self.wallets
    }

    fn merge(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.free += other.free;
        self.receipts += other.receipts;
        self.wallets += other.wallets;
        self.differences += other.differences;
        let room = DIFFERENCES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(room).cloned());
    }
}

fn count(counts: &mut BTreeMap<String, u64>, kind: &str, times: u64) {
    match counts.get_mut(kind) {
        Some(count) => *count += times,
        None => drop(counts.insert(kind.to_owned(), times)),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn parts_from_several_processes_make_one_report() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        for at in [0, 1_000, 2_000] {
            one.count_start(ms(5), ms(at));
            other.count_start(ms(7), ms(at + 500));
        }
        one.count_tick(ms(100));
        other.count_tick(ms(2_100));
        other.count_tick(ms(2_200));
        other.count_error("close 4008");
        one.count_error("close 4008");
        one.merge(&other);
        // Six starts within 2.5 s.
        assert_eq!((one.start.count(), one.starts_per_1000_seconds()), (6, 2_000));
        assert_eq!((one.ticks(), one.ticks_per_second()), (3, 2));
        assert_eq!(one.errors["close 4008"], 2);
    }

    #[test]
    fn one_difference_is_enough() {
        let mut truth = Truth::default();
        assert!(truth.holds());
        truth.receipts = Money::from_micros(1);
        assert!(!truth.holds(), "the wallets lost something else");
        truth.wallets = Money::from_micros(1);
        assert!(truth.holds());
        truth.differs("told 1.00, wrote 2.00".into());
        assert!(!truth.holds());
    }
}
