//! How long things took: counts in buckets that grow with what they count.
//!
//! Whole microseconds, each known to 1 %, from nothing to hours, in a few KiB. Two histograms are
//! one by adding their counts, so those of several processes can be merged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets for every doubling: within one, none is wider than 1/128 of what it counts.
const BUCKETS_BITS: u32 = 7;
const BUCKETS: u64 = 1 << BUCKETS_BITS;

/// Counts of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max_us: u64,
}

/// As it is sent from process to process: only the buckets that counted something.
#[derive(Deserialize, Serialize)]
struct Sparse {
    buckets: Vec<(usize, u64)>,
    max_us: u64,
}

impl Histogram {
    pub(super) fn record(&mut self, span: Duration) {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.add(bucket_of(us), 1);
        self.max_us = self.max_us.max(us);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.counted() {
            self.add(bucket, count);
        }
        self.max_us = self.max_us.max(other.max_us);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }

    /// So many percent took at most this long; the most that the bucket could mean.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counted() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(top_of(bucket).min(self.max_us));
            }
        }
        Duration::ZERO
    }

    fn add(&mut self, bucket: usize, count: u64) {
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += count;
        self.count += count;
    }

    fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }
}

/// Spans below `BUCKETS` have a bucket each; above, each doubling is divided into as many.
fn bucket_of(us: u64) -> usize {
    let doublings = us.max(BUCKETS).ilog2() - BUCKETS_BITS;
    let bucket = u64::from(doublings) * BUCKETS + (us >> doublings);
    usize::try_from(bucket).expect("there are a few thousand buckets")
}

/// The longest span that falls into `bucket`.
fn top_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).expect("there are a few thousand buckets");
    let doublings = (bucket / BUCKETS).saturating_sub(1);
    let within = bucket - doublings * BUCKETS;
    // In 128 bits: the last bucket ends with the last number there is.
    let end = (u128::from(within) + 1) << doublings;
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sparse { buckets: self.counted().collect(), max_us: self.max_us }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sparse = Sparse::deserialize(deserializer)?;
        let mut histogram = Self { max_us: sparse.max_us, ..Self::default() };
        for (bucket, count) in sparse.buckets {
            if bucket > bucket_of(u64::MAX) {
                return Err(serde::de::Error::custom("there is no such bucket"));
            }
            histogram.add(bucket, count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(spans_us: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for us in spans_us {
            histogram.record(Duration::from_micros(*us));
        }
        histogram
    }

    #[test]
    fn percentiles_are_read_from_the_sorted_spans() {
        let spans: Vec<u64> = (1..=100).collect();
        let histogram = of(&spans);
        for (percent, us) in [(1, 1), (50, 50), (99, 99), (100, 100)] {
            assert_eq!(histogram.percentile(percent), Duration::from_micros(us), "{percent}");
        }
        assert_eq!(Histogram::default().percentile(99), Duration::ZERO);
    }

    proptest! {
        /// A bucket never holds what is not within 1 % of its top, and buckets are in order.
        #[test]
        fn a_bucket_is_one_percent_wide(us: u64) {
            let top = top_of(bucket_of(us));
            prop_assert!(top >= us && top - us <= us / 100, "{us} is told as {top}");
            prop_assert!(top == u64::MAX || bucket_of(top + 1) == bucket_of(us) + 1);
        }

        /// However the spans are spread over processes, and sent home, the whole is the same.
        #[test]
        fn parts_make_the_whole(
            one in prop::collection::vec(0_u64..10_000_000_000, 0..50),
            other in prop::collection::vec(0_u64..10_000_000_000, 0..50),
        ) {
            let sent = serde_json::to_string(&of(&other)).unwrap();
            let mut merged = of(&one);
            merged.merge(&serde_json::from_str(&sent).unwrap());
            prop_assert_eq!(merged, of(&[one, other].concat()));
        }
    }
}
