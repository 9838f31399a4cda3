//! How late ticks are, measured on the connection they come through.
//!
//! Nobody tells a player when a tick was due. But a server that ticks every `tick_ms` sends tick
//! `n` exactly `(n − m) × tick_ms` after tick `m`, so the tick that came earliest for its number
//! shows when all the others were due at the latest:
//!
//! ```text
//! lateness(n) = arrival(n) − (arrival(best) + (n − best) × tick_ms)
//! ```
//!
//! The best tick has lateness 0 by this definition. Delays that all ticks of a connection share,
//! as half the way to the server, do not count. A new connection begins anew: it may be to another
//! node, which ticks in another phase.

use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// Ticks that are kept before they are judged by the best so far, so that a player stays small.
const KEPT_MAX: usize = 240;

#[derive(Debug)]
pub(super) struct Lateness {
    tick: Duration,
    /// Number and arrival of the first tick since the phase was lost.
    first: Option<(u64, Instant)>,
    /// How much later than the first tick, for its number, each tick was, in microseconds.
    behind_us: Vec<i32>,
    best_us: i32,
}

impl Lateness {
    pub(super) fn new(tick: Duration) -> Self {
        Self { tick, first: None, behind_us: Vec::new(), best_us: i32::MAX }
    }

    /// Tick `seq` has come. `true`: time to [`Lateness::judge`].
    pub(super) fn arrived(&mut self, seq: u64, at: Instant) -> bool {
        let (first_seq, first_at) = *self.first.get_or_insert((seq, at));
        let ticks = u32::try_from(seq.saturating_sub(first_seq)).unwrap_or(u32::MAX);
        let elapsed = i128::try_from(at.duration_since(first_at).as_micros());
        let due = i128::try_from(self.tick.saturating_mul(ticks).as_micros());
        let behind = elapsed.unwrap_or(i128::MAX) - due.unwrap_or(i128::MAX);
        let behind = i32::try_from(behind).unwrap_or(i32::MAX);
        self.best_us = self.best_us.min(behind);
        self.behind_us.push(behind);
        self.behind_us.len() >= KEPT_MAX
    }

    /// Adds what was kept to `histogram`, measured against the best tick so far.
    pub(super) fn judge(&mut self, histogram: &mut Histogram) {
        for behind in self.behind_us.drain(..) {
            let late = i64::from(behind) - i64::from(self.best_us);
            histogram.record(Duration::from_micros(late.unsigned_abs()));
        }
    }

    /// The next tick may come in another phase.
    pub(super) fn begin_anew(&mut self, histogram: &mut Histogram) {
        self.judge(histogram);
        self.first = None;
        self.best_us = i32::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    /// What the ticks `(seq, arrival in ms)` come to, as ms.
    fn judged(ticks: &[(u64, u64)]) -> (u64, u128, u128) {
        let (mut lateness, mut histogram) = (Lateness::new(TICK), Histogram::default());
        let began = Instant::now();
        for (seq, ms) in ticks {
            lateness.arrived(*seq, began + Duration::from_millis(*ms));
        }
        lateness.judge(&mut histogram);
        (histogram.count(), histogram.percentile(50).as_millis(), histogram.max().as_millis())
    }

    #[test]
    fn a_steady_server_is_never_late() {
        assert_eq!(judged(&[(5, 7), (6, 107), (7, 207), (9, 407)]), (4, 0, 0));
    }

    #[test]
    fn lateness_is_measured_against_the_earliest_phase() {
        // The first is 30 ms late itself, as the second shows.
        assert_eq!(judged(&[(1, 130), (2, 200), (3, 310), (4, 400), (5, 500)]), (5, 0, 30));
    }

    #[test]
    fn a_new_phase_is_not_held_against_the_old() {
        let (mut lateness, mut histogram) = (Lateness::new(TICK), Histogram::default());
        let began = Instant::now();
        lateness.arrived(1, began);
        lateness.begin_anew(&mut histogram);
        lateness.arrived(2, began + Duration::from_millis(977));
        lateness.judge(&mut histogram);
        assert_eq!((histogram.count(), histogram.max()), (2, Duration::ZERO));
    }

    #[test]
    fn a_player_keeps_few_ticks() {
        let mut lateness = Lateness::new(TICK);
        let began = Instant::now();
        let full = (0..10_000).find(|seq| lateness.arrived(*seq, began)).unwrap();
        assert_eq!(full + 1, u64::try_from(KEPT_MAX).unwrap());
    }
}
