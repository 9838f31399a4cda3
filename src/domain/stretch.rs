//! Stretches of a session, one after the other: charged, or not and why.

use serde::{Deserialize, Serialize};

super::word_enum! {
    /// What went on in a stretch. Only `watched` is charged.
    StretchKind {
        Watched = "watched",
        /// The player had not come yet.
        Opening = "opening",
        Paused = "paused",
        /// The playhead did not move.
        Stalled = "stalled",
        /// The page was hidden, and muted.
        Hidden = "hidden",
        /// The player said nothing.
        Silent = "silent",
        /// The hold was used up.
        Suspended = "suspended",
        /// The connection was lost.
        Detached = "detached",
        /// The node was lost that metered it.
        NodeLost = "node_lost",
    }
}

/// So long, one thing went on. In JSON `["watched", 5000]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch(pub StretchKind, pub u64);

impl Stretch {
    #[must_use]
    pub fn kind(self) -> StretchKind {
        self.0
    }

    #[must_use]
    pub fn ms(self) -> u64 {
        self.1
    }
}
