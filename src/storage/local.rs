//! Files in the data directory, and links of our own to them.
//!
//! ```text
//! media/<id>             an object, whole and on the disk: it got its name when it was
//! media/incoming/<…>     what is still coming in
//! ```

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    fs,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tracing::warn;

use super::{Found, Link, LinkKey, Spool, StreamPlace, Watcher, places::Places, spool::Room};
use crate::{
    config,
    error::{Error, Result},
    id::{FileId, NodeId, UserId},
    time::Timestamp,
};

/// A directory of files.
#[derive(Debug)]
pub struct Local {
    directory: PathBuf,
    /// Several nodes may share the directory.
    node: NodeId,
    spools: AtomicU64,
    places: Places,
    room: Room,
    /// What came in and was not touched for so long is nobody's any more.
    incoming_kept: Duration,
    keys: Vec<LinkKey>,
}

impl Local {
    pub(super) fn new(
        directory: PathBuf,
        node: NodeId,
        keys: Vec<LinkKey>,
        settings: &config::Storage,
    ) -> Self {
        Self {
            room: Room::new(incoming(&directory), settings),
            directory,
            node,
            spools: AtomicU64::new(0),
            places: Places::new(settings),
            // Coming in, and being passed on to S3, take that long at most; each.
            incoming_kept: 2 * settings.upload_url(),
            keys,
        }
    }

    /// A place to send a file from, for as long as it is held.
    pub fn stream(&self, watcher: Watcher) -> Result<StreamPlace> {
        self.places.stream(watcher)
    }

    pub(super) fn url(&self, base: &str, link: &Link) -> String {
        link.url(base, &self.keys)
    }

    /// Whether `signature` belongs to `link`, and the link is still good.
    pub fn check(&self, link: &Link, signature: &str, now: Timestamp) -> Result<()> {
        link.check(signature, &self.keys, now)
    }

    /// Where an object is, if it is there.
    #[must_use]
    pub fn path_of(&self, id: FileId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    pub(super) async fn spool(&self, teacher: UserId, file: Option<FileId>) -> Result<Spool> {
        let place = self.places.upload(teacher, file)?;
        let nth = self.spools.fetch_add(1, Ordering::Relaxed);
        let incoming = incoming(&self.directory);
        let path = incoming.join(format!("{}.{nth}", self.node));
        let spool = async {
            fs::create_dir_all(incoming).await?;
            Spool::create(path, self.room.clone(), place).await
        };
        spool.await.map_err(|error| Error::storage("beginning to take a file in", error))
    }

    /// Gives what came in its name, once it is on the disk. A name is given once.
    pub(super) async fn keep(&self, spool: &mut Spool, id: FileId) -> Result<bool> {
        let keep = async {
            spool.sync().await?;
            match fs::hard_link(spool.path(), self.path_of(id)).await {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                linked => linked?,
            }
            self.sync_names().await?;
            Ok(true)
        };
        keep.await.map_err(|error: io::Error| Error::storage("keeping a file", error))
    }

    pub(super) async fn find(&self, id: FileId) -> Result<Option<Found>> {
        let find = async {
            let found = match fs::metadata(self.path_of(id)).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                found => found?,
            };
            // Whoever gave it its name may be about to do this, or have died before.
            self.sync_names().await?;
            Ok(Some(Found { size_bytes: found.len(), content_type: None }))
        };
        find.await.map_err(|error: io::Error| Error::storage("looking for a file", error))
    }

    /// Or a name could be lost with the power.
    async fn sync_names(&self) -> io::Result<()> {
        fs::File::open(&self.directory).await?.sync_all().await
    }

    pub(super) async fn read(&self, id: FileId, at: u64, length: u64) -> Result<Vec<u8>> {
        let read = async {
            let mut file = fs::File::open(self.path_of(id)).await?;
            file.seek(SeekFrom::Start(at)).await?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes).await?;
            Ok(bytes)
        };
        read.await.map_err(|error: io::Error| Error::storage("reading a file", error))
    }

    pub(super) async fn remove(&self, id: FileId) -> Result<()> {
        gone(fs::remove_file(self.path_of(id)).await)
            .map_err(|error| Error::storage("removing a file", error))
    }

    pub(super) async fn sweep(&self) -> Result<()> {
        sweep(&incoming(&self.directory), self.incoming_kept)
            .await
            .map_err(|error| Error::storage("removing what never came in", error))
    }
}

fn incoming(directory: &Path) -> PathBuf {
    directory.join("incoming")
}

async fn sweep(incoming: &Path, kept: Duration) -> io::Result<()> {
    let mut entries = match fs::read_dir(incoming).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    while let Some(entry) = entries.next_entry().await? {
        // Somebody may just have finished it.
        let Ok(found) = entry.metadata().await else { continue };
        let age = found.modified()?.elapsed().unwrap_or_default();
        if age <= kept {
            continue;
        }
        if let Err(error) = gone(fs::remove_file(entry.path()).await) {
            // The others can go all the same.
            warn!(%error, "could not remove {}: {error}", entry.path().display());
        }
    }
    Ok(())
}

/// Removing what is not there is no failure.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
