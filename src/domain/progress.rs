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

/// Whether at least half of a video was watched.
#[must_use]
pub fn is_half_watched(coverage: u64) -> bool {
    u64::from(coverage.count_ones()) * 2 >= PARTS
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
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn seen(passages: &[(u64, u64)], length_ms: u64) -> Progress {
        let mut progress = Progress::new(0);
        for (from_ms, to_ms) in passages {
            progress.advance(*from_ms, *to_ms, Some(length_ms), 5_000);
        }
        progress
    }

    #[test]
    fn only_what_was_passed_through_is_seen() {
        for (claim, passages, percentage) in [
            ("nothing", vec![], 0),
            ("all", vec![(0, HOUR_MS)], 100),
            ("all and more", vec![(0, HOUR_MS + 9_000)], 100),
            ("half", vec![(0, HOUR_MS / 2)], 50),
            ("the same half", vec![(0, HOUR_MS / 2), (60_000, HOUR_MS / 2)], 50),
            ("the ends", vec![(0, HOUR_MS / 4), (HOUR_MS * 3 / 4, HOUR_MS)], 50),
            ("a minute", vec![(0, 60_000)], 1),
            ("a glance", vec![(0, 1_000)], 0),
            ("backwards", vec![(HOUR_MS, 0)], 0),
            ("standing still", vec![(HOUR_MS / 128, HOUR_MS / 128)], 0),
            ("beyond the end", vec![(HOUR_MS, u64::MAX)], 0),
        ] {
            assert_eq!(watch_percentage(seen(&passages, HOUR_MS).coverage), percentage, "{claim}");
        }
        assert_eq!(watch_percentage(seen(&[(0, 1)], 1).coverage), 100, "a very short video");
        let mut progress = Progress::new(3);
        progress.advance(5, u64::MAX, None, u64::MAX);
        progress.advance(5, 7, Some(0), 1);
        let told = Progress { video: 3, position_ms: 7, watched_ms: u64::MAX, coverage: 0 };
        assert_eq!(progress, told, "without a length nobody knows which part");
    }

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

    proptest! {
        /// Whoever watches from the start to the end has always seen all of it, at any rhythm.
        #[test]
        fn watching_it_all_is_seeing_it_all(
            length_ms in 1..20_000_000_u64, steps in prop::collection::vec(1..10_000_u64, 1..9),
        ) {
            let mut progress = Progress::new(0);
            let mut at_ms = 0;
            for step in steps.iter().cycle() {
                let to_ms = (at_ms + step.max(&(length_ms / 1_000))).min(length_ms);
                progress.advance(at_ms, to_ms, Some(length_ms), to_ms - at_ms);
                let shown = u64::from(watch_percentage(progress.coverage));
                prop_assert!(shown <= to_ms * 100 / length_ms + 1, "{} of {}", to_ms, length_ms);
                at_ms = to_ms;
                if at_ms == length_ms {
                    break;
                }
            }
            prop_assert_eq!(watch_percentage(progress.coverage), 100);
            prop_assert_eq!((progress.watched_ms, progress.position_ms), (length_ms, length_ms));
        }

        /// No numbers make it panic.
        #[test]
        fn any_passage_is_harmless(
            from_ms: u64, to_ms: u64, length_ms: Option<u64>, watched_ms: u64,
        ) {
            let mut progress = Progress::new(0);
            progress.advance(from_ms, to_ms, length_ms, watched_ms);
            progress.advance(to_ms, from_ms, length_ms, watched_ms);
            prop_assert!(watch_percentage(progress.coverage) <= 100);
        }
    }
}
