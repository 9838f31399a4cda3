//! Where video files are kept: below the data directory, or in a bucket of S3.
//!
//! An enum over backends, matched here and nowhere else. An object is named by its id and by nothing
//! that anybody chose, so there is no name to play tricks with, and it is never changed: another file is
//! another object. Whoever may read or write one gets a link that says so, signed, for a while; by a link
//! for writing, what is there already stays.
//!
//! What is removed and what becomes of it in the database is decided by `service::videos`.

mod link;
mod local;
mod places;
mod s3;
mod shares;
mod spool;

use std::time::Duration;

pub use self::{
    link::{Action, Link, LinkKey},
    local::Local,
    places::{StreamPlace, Watcher},
    s3::S3,
    spool::Spool,
};
use crate::{
    config::{Config, StorageKind},
    domain::media::{ContentType, VideoFile},
    error::Result,
    id::{FileId, NodeId, SessionId, UserId},
    time::Timestamp,
};

/// The directory below `server.data_dir`.
const DIRECTORY: &str = "media";

/// What is stored, or may be: its id, type and size are all there is to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub id: FileId,
    pub content_type: ContentType,
    pub size_bytes: u64,
}

impl From<&VideoFile> for Object {
    fn from(file: &VideoFile) -> Self {
        Self { id: file.id, content_type: file.content_type, size_bytes: file.size_bytes }
    }
}

/// What was found where an object should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub size_bytes: u64,
    /// `None`: the storage does not keep types.
    pub content_type: Option<String>,
}

/// The storage this Murph works with.
#[derive(Debug)]
pub enum Storage {
    Local(Local),
    S3 { bucket: Box<S3>, spools: Local },
}

impl Storage {
    /// Opens the configured one. `keys` sign links to what is in the data directory.
    pub fn open(config: &Config, node: NodeId, keys: &[LinkKey]) -> Result<Self> {
        let directory = config.server.data_dir.join(DIRECTORY);
        let local = Local::new(directory, node, keys.to_vec(), &config.storage);
        Ok(match config.storage.kind {
            StorageKind::Local => Self::Local(local),
            StorageKind::S3 => {
                Self::S3 { bucket: Box::new(S3::new(&config.storage)?), spools: local }
            }
        })
    }

    /// The data directory, if files are kept there: only then Murph serves them itself.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        match self {
            Self::Local(local) => Some(local),
            Self::S3 { .. } => None,
        }
    }

    /// Where `object` may be put with its type and its size, for `lifetime`. `base` is where this Murph
    /// is to be found.
    #[must_use]
    pub fn upload_url(
        &self,
        base: &str,
        object: Object,
        lifetime: Duration,
        now: Timestamp,
    ) -> String {
        match self {
            Self::Local(local) => {
                let expires = end(lifetime, now).seconds();
                local.url(base, &Link { action: Action::Upload, object, session: None, expires })
            }
            Self::S3 { bucket, .. } => bucket.upload_url(object, lifetime, now),
        }
    }

    /// What else an upload has to say, as its `If-None-Match`.
    #[must_use]
    pub fn upload_condition(&self) -> Option<&'static str> {
        match self {
            Self::Local(_) => None,
            Self::S3 { .. } => Some(s3::NOT_THERE),
        }
    }

    /// For how long something may be put by a link that has expired, if that takes up to `limit` here.
    #[must_use]
    pub fn upload_lasts(&self, limit: Duration) -> Duration {
        match self {
            Self::Local(_) => limit,
            Self::S3 { .. } => limit.max(s3::PUT_LASTS),
        }
    }

    /// Where `object` may be read, for `lifetime`. From the data directory, while `session` goes on, if
    /// one is named; S3 does not know of sessions.
    #[must_use]
    pub fn playback_url(
        &self,
        base: &str,
        (object, session): (Object, Option<SessionId>),
        lifetime: Duration,
        now: Timestamp,
    ) -> String {
        match self {
            Self::Local(local) => {
                let expires = end(lifetime, now).seconds();
                local.url(base, &Link { action: Action::Play, object, session, expires })
            }
            Self::S3 { bucket, .. } => bucket.playback_url(object, lifetime, now),
        }
    }

    /// Begins to take in a file of `teacher` that comes through Murph: `file`, if it is known already
    /// which one. No more than so many at once, and none on a disk that is nearly full.
    pub async fn spool(&self, teacher: UserId, file: Option<FileId>) -> Result<Spool> {
        match self {
            Self::Local(local) | Self::S3 { spools: local, .. } => local.spool(teacher, file).await,
        }
    }

    /// Makes what was taken in `object`, durably. `false`: there is one already, and it stays.
    pub async fn keep(
        &self,
        spool: &mut Spool,
        object: Object,
        limit: Duration,
        now: Timestamp,
    ) -> Result<bool> {
        match self {
            Self::Local(local) => local.keep(spool, object.id).await,
            Self::S3 { bucket, .. } => bucket.put(spool, object, limit, now).await,
        }
    }

    pub async fn find(&self, id: FileId, now: Timestamp) -> Result<Option<Found>> {
        match self {
            Self::Local(local) => local.find(id).await,
            Self::S3 { bucket, .. } => bucket.find(id, now).await,
        }
    }

    /// `length` bytes from `at` on, which are within the object.
    pub async fn read(
        &self,
        id: FileId,
        (at, length): (u64, u64),
        now: Timestamp,
    ) -> Result<Vec<u8>> {
        match self {
            Self::Local(local) => local.read(id, at, length).await,
            Self::S3 { bucket, .. } => bucket.read(id, (at, length), now).await,
        }
    }

    /// Removes an object. One that is not there is removed.
    pub async fn remove(&self, id: FileId, now: Timestamp) -> Result<()> {
        match self {
            Self::Local(local) => local.remove(id).await,
            Self::S3 { bucket, .. } => bucket.remove(id, now).await,
        }
    }

    /// Removes what was taken in by a Murph that did not live to keep it.
    pub async fn sweep(&self) -> Result<()> {
        match self {
            Self::Local(local) | Self::S3 { spools: local, .. } => local.sweep().await,
        }
    }
}

/// When a link that is made `now` ends, in whole seconds: never later than its lifetime says.
#[must_use]
pub fn end(lifetime: Duration, now: Timestamp) -> Timestamp {
    let seconds = now.seconds().saturating_add_unsigned(lifetime.as_secs());
    Timestamp::from_micros(seconds.saturating_mul(1_000_000)).unwrap_or(Timestamp::END)
}
