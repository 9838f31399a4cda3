//! What of each video a session has seen.

/// Into how many parts a video is divided to say what of it was seen: one bit each.
const PARTS: u64 = 64;

/// What a session has seen of one video. Made of proofs that its meter found plausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The video's index in the course.
    pub video: u16,
    /// Where the playhead was last.
    pub position_ms: u64,
    pub watched_ms: u64,
    /// Which parts of the video were seen: the lowest bit is the first.
    pub coverage: u64,
}

impl Progress {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(video: u16) -> Self {
        Self { video, position_ms: 0, watched_ms: 0, coverage: 0 }
    }

    /// The playhead went from `from_ms` to `to_ms`, and `watched_ms` more were charged.
    ///
    /// A part counts as seen when the playhead passed its middle: whoever watches it all passes
    /// each, whatever the proofs' rhythm; whoever only looks into it now and then does not.
    pub fn advance(&mut self, from_ms: u64, to_ms: u64, length_ms: Option<u64>, watched_ms: u64) {
        self.position_ms = to_ms;
        self.watched_ms = self.watched_ms.saturating_add(watched_ms);
        let length = u128::from(length_ms.unwrap_or_default());
        if length == 0 {
            return;
        }
        for part in 0..PARTS {
            let middle = u128::from(2 * part + 1) * length;
            let scale = u128::from(2 * PARTS);
            if u128::from(from_ms) * scale <= middle && middle < u128::from(to_ms) * scale {
                self.coverage |= 1 << part;
            }
        }
    }

    /// Joins what was noted of the same video elsewhere, or twice.
    pub fn merge(&mut self, other: &Self) {
        self.position_ms = self.position_ms.max(other.position_ms);
        self.watched_ms = self.watched_ms.max(other.watched_ms);
        self.coverage |= other.coverage;
    }
}

/// How much of a video was watched, in percent: of its 64ths, those whose bit is set. All only if
/// all, nothing only if nothing.
#[must_use]
pub fn watch_percentage(coverage: u64) -> u8 {
    let percent = coverage.count_ones() * 100 / 64;
    match coverage {
        0 => 0,
        _ => u8::try_from(percent.max(1)).expect("a part is at most the whole"),
    }
}

/// How much of a course of `videos` was watched, in percent: the mean over its videos.
#[must_use]
pub fn course_percentage(coverage: impl Iterator<Item = u64>, videos: u64) -> u8 {
    let sum: u64 = coverage.map(|bits| u64::from(watch_percentage(bits))).sum();
    let mean = sum.checked_div(videos).unwrap_or_default();
    u8::try_from(mean.min(100)).expect("a mean of parts is at most the whole")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_all_and_a_little_is_not_nothing() {
        for (coverage, percent) in
            [(0, 0), (1, 1), (1 << 63, 1), (0xffff_ffff, 50), (u64::MAX >> 1, 98), (u64::MAX, 100)]
        {
            assert_eq!(watch_percentage(coverage), percent, "{coverage:x}");
        }
    }

    #[test]
    fn a_course_is_the_mean_of_its_videos() {
        let all = u64::MAX;
        for (coverage, videos, percent) in
            [(vec![], 0, 0), (vec![], 3, 0), (vec![all], 3, 33), (vec![all, all], 2, 100)]
        {
            assert_eq!(course_percentage(coverage.into_iter(), videos), percent);
        }
    }
}
