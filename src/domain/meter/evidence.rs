//! What a player's words prove: whether its playhead moved, as far as one can tell from here.

use crate::time::Moment;

/// How far ahead of the clock a playhead may get: this many times real time, and some seconds for
/// what was under way.
const PACE_MAX: u64 = 4;
const AHEAD_MAX_MS: u64 = 10_000;

/// How far a playhead may fall back without a seek: decoders do, a little.
const BACK_MAX_MS: u64 = 1_000;

/// How far beyond a video's end a playhead may be: its length as we know it is rounded.
const BEYOND_END_MAX_MS: u64 = 10_000;

/// No video is longer.
const POSITION_MAX_MS: u64 = 48 * 60 * 60 * 1_000;

/// Where a playhead is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The video's index in the course, or [`Position::NO_VIDEO`].
    pub video: u16,
    pub at_ms: u64,
    /// How long the video is, if that is known.
    pub length_ms: Option<u64>,
}

impl Position {
    /// In place of an index: the player named no video.
    pub const NO_VIDEO: u16 = u16::MAX;

    /// Whether no playhead can be there.
    pub(super) fn is_absurd(&self) -> bool {
        let is_beyond = |length_ms: u64| self.at_ms > length_ms.saturating_add(BEYOND_END_MAX_MS);
        self.at_ms > POSITION_MAX_MS || self.length_ms.is_some_and(is_beyond)
    }
}

/// A word from a player that it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub position: Position,
    /// How fast it plays, 100 being as filmed. Not looked at: what is charged is time, and how far
    /// the playhead may get is bounded for the fastest.
    pub rate_percent: u16,
    pub visible: bool,
    pub muted: bool,
}

/// What a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The playhead moved, so far since the player's word before.
    Moved {
        distance_ms: u64,
    },
    Unmoved,
    /// Nobody can see or hear it.
    Hidden,
    /// The playhead cannot have got there by playing.
    Implausible,
}

/// Where the playhead was when the player last said so, to compare the next word with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) video: u16,
    pub(super) at_ms: u64,
    seen_at: Moment,
}

impl Default for Reference {
    fn default() -> Self {
        Self { video: Position::NO_VIDEO, at_ms: 0, seen_at: Moment::default() }
    }
}

impl Reference {
    pub(super) fn new(position: &Position, now: Moment) -> Self {
        Self { video: position.video, at_ms: position.at_ms, seen_at: now }
    }

    pub(super) fn is_at(&self, position: &Position) -> bool {
        self.is_same_video(position) && self.at_ms == position.at_ms
    }

    /// Who names no video does not say that it is another one.
    fn is_same_video(&self, position: &Position) -> bool {
        self.video == position.video
            || self.video == Position::NO_VIDEO
            || position.video == Position::NO_VIDEO
    }

    /// Judges a proof by the word before it, and makes it the one to judge the next by: a player
    /// that went elsewhere without saying so is believed again from its next proof on. A position
    /// where no playhead can be is forgotten.
    pub(super) fn look(&mut self, proof: &Proof, now: Moment) -> Evidence {
        let position = &proof.position;
        if position.is_absurd() {
            return Evidence::Implausible;
        }
        let gap_ms = now.ms().saturating_sub(self.seen_at.ms());
        let ahead_max_ms = gap_ms.saturating_mul(PACE_MAX).saturating_add(AHEAD_MAX_MS);
        let distance_ms = position.at_ms.saturating_sub(self.at_ms);
        let evidence = if !self.is_same_video(position)
            || distance_ms > ahead_max_ms
            || position.at_ms < self.at_ms.saturating_sub(BACK_MAX_MS)
        {
            Evidence::Implausible
        } else if !proof.visible && proof.muted {
            Evidence::Hidden
        } else if position.at_ms == self.at_ms {
            Evidence::Unmoved
        } else {
            Evidence::Moved { distance_ms }
        };
        if position.video != Position::NO_VIDEO {
            self.video = position.video;
        }
        self.at_ms = position.at_ms;
        self.seen_at = now;
        evidence
    }
}
