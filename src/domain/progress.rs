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

    /// How much of the video was seen, in whole percent: 100 is all of it, and only nothing is 0.
    #[must_use]
    pub fn watch_percentage(&self) -> u8 {
        let percentage = u64::from(self.coverage.count_ones()) * 100 / PARTS;
        u8::try_from(percentage).unwrap_or(100)
    }

    /// Joins what was noted of the same video elsewhere, or twice.
    pub fn merge(&mut self, other: &Self) {
        self.position_ms = self.position_ms.max(other.position_ms);
        self.watched_ms = self.watched_ms.max(other.watched_ms);
        self.coverage |= other.coverage;
    }
}

/// How much of a course of `videos` videos was seen: the mean over all of them, rounded down, but
/// not to 0 if anything was seen.
#[must_use]
pub fn watch_percentage(progress: &[Progress], videos: usize) -> u8 {
    let parts: u64 = progress.iter().map(|p| u64::from(p.coverage.count_ones())).sum();
    let whole = u64::try_from(videos).unwrap_or(u64::MAX).saturating_mul(PARTS).max(1);
    let percentage = (parts * 100 / whole).min(100).max(u64::from(parts > 0));
    u8::try_from(percentage).unwrap_or(100)
}
