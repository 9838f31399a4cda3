//! The way into a node's inbox. It never waits, and what finds no room is never lost in silence.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, OwnedPermit, error::TrySendError};

use super::{Heard, Inbox};

/// At most one warning of a kind in this time, however often there is reason for it.
const WARNED_FOR: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Entrance {
    inbox: mpsc::Sender<Heard>,
    /// Room that is kept for a [`Heard::Gap`]. `None` while one is in there, not yet heard: as
    /// whoever hears it reads the truth after that, it stands for all that is lost until then.
    room: Mutex<Option<OwnedPermit<Heard>>>,
    warning: Seldom,
}

impl Entrance {
    /// An entrance, and an inbox for `max` things besides the gap.
    pub(super) fn new(max: usize) -> (Self, Inbox) {
        let (inbox, heard) = mpsc::channel(max + 1);
        let room = inbox.clone().try_reserve_owned().ok();
        (Self { inbox, room: Mutex::new(room), warning: Seldom::default() }, heard)
    }

    /// Whether it will be heard. If not for want of room, a gap will be.
    pub(super) fn tell(&self, heard: Heard) -> bool {
        let mut room = self.room.lock().expect("nobody panics while holding it");
        if room.is_none() {
            // Before anything else gets in: so if this fails, the gap is in there still.
            *room = self.inbox.clone().try_reserve_owned().ok();
        }
        match self.inbox.try_send(heard) {
            Ok(()) => true,
            // Nobody listens any more.
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                if let Some(room) = room.take() {
                    drop(room.send(Heard::Gap));
                }
                if self.warning.is_due() {
                    tracing::warn!("this node does not listen to the bus fast enough");
                }
                false
            }
        }
    }
}

/// Says yes once a minute at most.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    pub(super) fn is_due(&self) -> bool {
        let mut last = self.0.lock().expect("nobody panics while holding it");
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNED_FOR);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::bus::Notice;

    fn notice(request: u64) -> Heard {
        Heard::Notice(Notice::Done { request })
    }

    #[test]
    fn what_finds_no_room_is_a_gap() {
        let (entrance, mut inbox) = Entrance::new(2);
        for request in 0..5 {
            assert_eq!(entrance.tell(notice(request)), request < 2);
        }
        let heard: Vec<Heard> = std::iter::from_fn(|| inbox.try_recv().ok()).collect();
        assert_eq!(heard, [notice(0), notice(1), Heard::Gap]);
        assert!(entrance.tell(notice(5)));
        assert_eq!(inbox.try_recv(), Ok(notice(5)));
    }

    #[test]
    fn a_warning_comes_once() {
        let warning = Seldom::default();
        assert_eq!([warning.is_due(), warning.is_due()], [true, false]);
    }

    proptest! {
        /// Whatever was told and not heard, a gap is heard after it was told.
        #[test]
        fn nothing_is_ever_lost_in_silence(
            turns in vec((0..4_usize, 0..4_usize), 1..60),
        ) {
            let (entrance, mut inbox) = Entrance::new(3);
            let mut lost = false;
            let mut request = 0;
            let mut hear = |lost: &mut bool| {
                let heard = inbox.try_recv().ok();
                *lost &= heard != Some(Heard::Gap);
                heard.is_some()
            };
            for (told, heard) in turns {
                for _ in 0..told {
                    request += 1;
                    lost |= !entrance.tell(notice(request));
                }
                for _ in 0..heard {
                    hear(&mut lost);
                }
            }
            while hear(&mut lost) {}
            prop_assert!(!lost);
        }
    }
}
