//! What a meter is given, and what it answers.

use std::time::Duration;

use super::{Position, Proof};
use crate::{domain::stretch::StretchKind, money::Money};

/// How a server meters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often a player proves that it plays.
    pub tick: Duration,
    /// How long a session waits for its player to come back.
    pub grace: Duration,
}

/// What a session costs, and for how long there is money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub price_per_minute: Money,
    pub held: Money,
    /// Ended with less watched time than this, the session is free.
    pub free_below: Duration,
}

crate::domain::word_enum! {
    /// What a session is doing.
    Phase {
        /// Its player has not come yet.
        Opening = "opening",
        Paused = "paused",
        Playing = "playing",
        /// It was playing, and its player says nothing, or that the playhead stands still.
        Stalled = "stalled",
        /// The hold is used up.
        Suspended = "suspended",
        /// Its player is gone, for now.
        Detached = "detached",
    }
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A player connected. What an older one was doing is over.
    Attach,
    Play(Position),
    Progress(Proof),
    Pause,
    /// The connection is lost, or given up.
    Detach,
    /// So much is held now. Less than before changes nothing.
    Hold(Money),
    /// Nothing: only time has passed.
    Tick,
}

/// Whether a player's word can be true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    #[default]
    Fine,
    /// No player that plays gets there, so the word proves nothing.
    Implausible,
}

/// What an event settled about one video, for `domain::progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its index in the course; [`Position::NO_VIDEO`] if the player named none.
    pub video: u16,
    /// Where the playhead was at the word before this one.
    pub from_ms: u64,
    /// Where it is now. The same as `from_ms` unless a proof showed that it moved.
    pub to_ms: u64,
    /// What was booked as watched by this event.
    pub watched_ms: u64,
}

/// What a meter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub phase: Phase,
    /// What the stretch that is running now will be called: why a session is stalled, say.
    pub reason: StretchKind,
    pub watched: Duration,
    pub cost: Money,
    pub held: Money,
    /// How long the hold lasts from here. `None`: the course is free.
    pub remaining: Option<Duration>,
    /// How much longer ending would cost nothing because little was watched.
    pub free_remaining: Duration,
    /// About the event just applied.
    pub verdict: Verdict,
    /// What the event just applied settled. The `watched_ms` of a session's passages add up to what
    /// is booked: all of `watched` but what runs up since the last proof.
    pub passage: Option<Passage>,
}

/// What is known of a session that another node metered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How long ago it started, by the wall clock.
    pub age: Duration,
    /// Whether its node was lost, rather than letting go of it.
    pub lost: bool,
}
