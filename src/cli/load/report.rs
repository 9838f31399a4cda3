//! What a run came to, for people and for machines.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde::Serialize;

use super::{histogram::Histogram, tally::Tally};
use crate::money::Money;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    players: u64,
    sessions: u64,
    starts_per_second: f64,
    start_latency: Spread,
    ticks: u64,
    ticks_per_second: u64,
    tick_lateness: Spread,
    receipt_latency: Spread,
    reconnects: u64,
    errors_sum: u64,
    errors: BTreeMap<String, u64>,
    end_reasons: BTreeMap<String, u64>,
    free_sessions: u64,
    receipts_sum: Money,
    wallets_sum: Money,
    differences: u64,
    examples: Vec<String>,
    told_equals_ledger: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    count: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Spread {
    fn of(histogram: &Histogram) -> Self {
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self {
            count: histogram.count(),
            p50_us: us(histogram.percentile(50)),
            p99_us: us(histogram.percentile(99)),
            max_us: us(histogram.max()),
        }
    }

    fn row(self) -> String {
        if self.count == 0 {
            return "none".into();
        }
        let [p50, p99, max] = [self.p50_us, self.p99_us, self.max_us].map(ms);
        format!("p50 {p50:>9}   p99 {p99:>9}   max {max:>9}")
    }
}

/// As in `12.3 ms`.
fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

impl Report {
    pub(super) fn of(tally: Tally) -> Self {
        let told_equals_ledger = tally.truth.holds();
        Self {
            players: tally.players,
            sessions: tally.truth.sessions,
            starts_per_second: per_second(tally.starts_per_1000_seconds()),
            start_latency: Spread::of(&tally.start),
            ticks: tally.ticks(),
            ticks_per_second: tally.ticks_per_second(),
            tick_lateness: Spread::of(&tally.lateness),
            receipt_latency: Spread::of(&tally.end),
            reconnects: tally.reconnects,
            free_sessions: tally.truth.free,
            receipts_sum: tally.truth.receipts,
            wallets_sum: tally.truth.wallets,
            differences: tally.truth.differences,
            errors_sum: tally.errors(),
            errors: tally.errors,
            end_reasons: tally.end_reasons,
            examples: tally.truth.examples,
            told_equals_ledger,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        self.told_equals_ledger
    }

    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            writeln!(table, "{name:<18} {value}").expect("a string takes any text");
        };
        row("players", self.players.to_string());
        row("starts/s", format!("{:.1}", self.starts_per_second));
        row("start latency", self.start_latency.row());
        row("ticks", format!("{}, {} in a second like most", self.ticks, self.ticks_per_second));
        row("tick lateness", self.tick_lateness.row());
        row("end to receipt", self.receipt_latency.row());
        row("reconnects", self.reconnects.to_string());
        row("errors", self.errors_sum.to_string());
        for (kind, count) in &self.errors {
            row("", format!("{count:>7}  {kind}"));
        }
        row("sessions ended", format!("{}, {} of them free", self.sessions, self.free_sessions));
        for (reason, count) in &self.end_reasons {
            row("", format!("{count:>7}  {reason}"));
        }
        let (receipts, wallets) = (self.receipts_sum, self.wallets_sum);
        row("money", format!("receipts come to {receipts}, wallets lost {wallets}"));
        for example in &self.examples {
            row("DIFFERENT", example.clone());
        }
        let verdict = if self.told_equals_ledger { "yes" } else { "no" };
        writeln!(table, "what players were told equals what the ledger says: {verdict}")
            .expect("a string takes any text");
        table
    }
}

#[expect(clippy::float_arithmetic, reason = "a rate to be read, and no money")]
fn per_second(per_1000_seconds: u64) -> f64 {
    f64::from(u32::try_from(per_1000_seconds).unwrap_or(u32::MAX)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_last_word() {
        let mut tally = Tally::default();
        tally.count_start(Duration::from_micros(12_345), Duration::ZERO);
        tally.count_error("close 4008");
        let report = Report::of(tally.clone());
        assert!(report.is_true());
        let table = report.table();
        assert!(table.contains("start latency      p50   12.3 ms   p99   12.3 ms"), "{table}");
        assert!(table.contains("\n                         1  close 4008\n"), "{table}");
        assert!(table.ends_with(" says: yes\n"), "{table}");

        tally.truth.differs("session x: costs 1.00, and the wallet paid 2.00".into());
        let report = Report::of(tally);
        assert!(!report.is_true());
        let table = report.table();
        assert!(table.contains("\nDIFFERENT          session x: costs 1.00, and"), "{table}");
        assert!(table.ends_with(" says: no\n"), "{table}");
    }
}
