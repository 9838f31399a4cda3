//! How players come: one after the other at a steady rate, each for as long as it is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    api::{Account, Api, Balance, Place},
    dice::Dice,
    player::{self, Played},
};
use crate::id::{CourseId, VideoId};

/// What all players of a process share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) api: Api,
    pub(super) script: Script,
    pub(super) stop: CancellationToken,
    pub(super) began: Instant,
}

/// What is played, and how.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) course_id: CourseId,
    pub(super) video_id: VideoId,
    /// Of the video.
    pub(super) length: Duration,
    /// How long each player watches.
    pub(super) watch: Duration,
    /// From one start to the next.
    pub(super) pace: Duration,
    pub(super) pause_percent: u8,
    pub(super) drop_percent: u8,
    pub(super) end: Ending,
    pub(super) seed: u64,
}

/// How a player ends its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Ending {
    /// Says so on the socket
    Socket,
    /// Asks for it over HTTP
    Rest,
    /// Cuts its connection and never comes back
    Drop,
    /// Three fifths on the socket, one fifth each of the others
    Mixed,
}

/// A student with money, and the number that says when and where they play.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Seat {
    pub(super) place: Place,
    pub(super) account: Account,
    /// What is in the wallet.
    pub(super) balance: Balance,
}

impl Ending {
    /// How one player ends.
    pub(super) fn of(self, dice: &mut Dice) -> Self {
        match (self, dice.below(5)) {
            (Self::Mixed, 0) => Self::Rest,
            (Self::Mixed, 1) => Self::Drop,
            (Self::Mixed, _) => Self::Socket,
            (ending, _) => ending,
        }
    }
}

/// Lets everybody play. Ends when the last of them has, or soon after the fleet is stopped.
pub(super) async fn play(run: &Arc<Run>, seats: Vec<Seat>) -> Vec<Played> {
    let mut players = JoinSet::new();
    for Seat { place, account, balance } in seats {
        // By the number and not by the one before: a late start delays no other.
        let nth = u32::try_from(place).unwrap_or(u32::MAX);
        let due = run.began + run.script.pace.saturating_mul(nth);
        tokio::select! {
            () = sleep_until(due.into()) => {}
            () = run.stop.cancelled() => break,
        }
        run.api.tally().players += 1;
        players.spawn(player::play(Arc::clone(run), place, (account, balance)));
    }
    let mut played = Vec::new();
    while let Some(ended) = players.join_next().await {
        match ended {
            Ok(ended) => played.push(ended),
            Err(error) => run.api.tally().count_error(&format!("load itself: {error}")),
        }
    }
    played
}
