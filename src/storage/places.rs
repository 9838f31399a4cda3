//! How many files may come in and go out at once on this node, and how many of them for one.
//!
//! Whoever is beyond gets `busy` and comes back; nobody waits in a queue, with a connection each.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shares::{Share, Shares};
use crate::{
    config,
    error::{Error, Result},
    id::{FileId, SessionId, UserId},
};

/// What one teacher may send at once: each file may take up as much of the disk as there is for one.
const UPLOADS_PER_TEACHER: usize = 4;

/// What is sent in one session at once. A player needs one or two.
const STREAMS_PER_SESSION: usize = 8;

/// The same to one address, by links that name no session. There may be a school behind it.
const STREAMS_PER_ADDRESS: usize = 64;

/// What is still free.
#[derive(Debug)]
pub(super) struct Places {
    uploads: Arc<Semaphore>,
    teachers: Shares<UserId>,
    /// The files that come in by a link: a second upload of one could only be thrown away.
    coming: Shares<FileId>,
    streams: Arc<Semaphore>,
    /// Half of them, for links that name no session. Anybody may have those, and who pays comes first.
    open_streams: Arc<Semaphore>,
    watchers: Shares<Watcher>,
}

/// For whom a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watcher {
    Session(SessionId),
    Address(IpAddr),
}

impl Places {
    pub(super) fn new(settings: &config::Storage) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            uploads: places(settings.uploads_at_once),
            teachers: Shares::new(),
            coming: Shares::new(),
            streams: places(settings.streams_max),
            open_streams: places(settings.streams_max.div_ceil(2)),
            watchers: Shares::new(),
        }
    }

    /// A place to take a file of `teacher` in: `file`, if it is known already which one.
    pub(super) fn upload(&self, teacher: UserId, file: Option<FileId>) -> Result<UploadPlace> {
        let coming = |file| self.coming.take(file, 1).ok_or(Error::UploadOver);
        Ok(UploadPlace {
            // First: it is over also when there is no place.
            _file: file.map(coming).transpose()?,
            _teacher: self.teachers.take(teacher, UPLOADS_PER_TEACHER).ok_or(Error::Busy)?,
            _permit: one_of(&self.uploads)?,
        })
    }

    /// A place to send a file from.
    pub(super) fn stream(&self, watcher: Watcher) -> Result<StreamPlace> {
        let (most, open_permit) = match watcher {
            Watcher::Session(_) => (STREAMS_PER_SESSION, None),
            Watcher::Address(_) => (STREAMS_PER_ADDRESS, Some(one_of(&self.open_streams)?)),
        };
        Ok(StreamPlace {
            _watcher: self.watchers.take(watcher, most).ok_or(Error::Busy)?,
            _open_permit: open_permit,
            _permit: one_of(&self.streams)?,
        })
    }
}

fn one_of(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Error::Busy)
}

/// Held while a file comes in.
#[derive(Debug)]
pub(super) struct UploadPlace {
    _file: Option<Share<FileId>>,
    _teacher: Share<UserId>,
    _permit: OwnedSemaphorePermit,
}

/// Held while a file is sent.
#[derive(Debug)]
pub struct StreamPlace {
    _watcher: Share<Watcher>,
    _open_permit: Option<OwnedSemaphorePermit>,
    _permit: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Sources},
        time::Timestamp,
    };

    fn places(streams: usize, uploads: usize) -> Places {
        let mut settings = Config::load(Sources::default()).unwrap().storage;
        (settings.streams_max, settings.uploads_at_once) = (streams, uploads);
        Places::new(&settings)
    }

    fn address(last: u8) -> Watcher {
        Watcher::Address([192, 0, 2, last].into())
    }

    /// How many of so many tries get a place, while all are held.
    fn given<P>(tries: usize, place: impl FnMut(usize) -> Result<P>) -> usize {
        let held: Vec<P> = (0..tries).flat_map(place).collect();
        held.len()
    }

    #[test]
    fn one_session_and_one_address_have_their_share() {
        let places = places(1_000, 1);
        let session = Watcher::Session(SessionId::new(Timestamp::EPOCH));
        assert_eq!(given(100, |_| places.stream(session)), STREAMS_PER_SESSION);
        assert_eq!(given(100, |_| places.stream(address(1))), STREAMS_PER_ADDRESS);
        assert_eq!(given(3, |_| places.stream(session)), 3, "they were given back");
    }

    #[test]
    fn links_that_anybody_may_have_take_half_of_the_places() {
        let places = places(4, 1);
        let open: Vec<_> = (0..9).map(|nth| places.stream(address(nth))).collect();
        assert_eq!(open.iter().filter(|place| place.is_ok()).count(), 2);
        let session = Watcher::Session(SessionId::new(Timestamp::EPOCH));
        assert_eq!(given(9, |_| places.stream(session)), 2);
        drop(open);
        assert_eq!(given(9, |_| places.stream(session)), 4);
    }

    #[test]
    fn one_teacher_leaves_places_to_others() {
        let places = places(1, 6);
        let (one, other) = (UserId::new(Timestamp::EPOCH), UserId::new(Timestamp::END));
        let held: Vec<_> = (0..9).map(|_| places.upload(one, None)).collect();
        assert_eq!(held.iter().filter(|place| place.is_ok()).count(), UPLOADS_PER_TEACHER);
        assert_eq!(given(9, |_| places.upload(other, None)), 2);
    }
}
