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
    sync::OwnedSemaphorePermit,
};

use super::{Found, Link, LinkKey, Spool, places::Places, spool::Room};
use crate::{
    config,
    error::{Error, Result},
    id::{FileId, NodeId},
    time::Timestamp,
};

/// What came in and was not touched for so long is nobody's any more.
const INCOMING_KEPT: Duration = Duration::from_hours(48);

/// A directory of files.
#[derive(Debug)]
pub struct Local {
    directory: PathBuf,
    /// Several nodes may share the directory.
    node: NodeId,
    spools: AtomicU64,
    places: Places,
    reserve_bytes: u64,
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
            directory,
            node,
            spools: AtomicU64::new(0),
            places: Places::new(settings),
            reserve_bytes: settings.reserve_bytes,
            keys,
        }
    }

    /// A place to send a file from, for as long as it is held.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit> {
        self.places.stream()
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

    fn incoming(&self) -> PathBuf {
        self.directory.join("incoming")
    }

    pub(super) async fn spool(&self, file: Option<FileId>) -> Result<Spool> {
        let place = self.places.upload(file)?;
        let nth = self.spools.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming().join(format!("{}.{nth}", self.node));
        let spool = async {
            fs::create_dir_all(self.incoming()).await?;
            let room = Room { directory: self.incoming(), reserve_bytes: self.reserve_bytes };
            Spool::create(path, room, place).await
        };
        spool.await.map_err(|error| Error::storage("beginning to take a file in", error))
    }

    /// Gives what came in its name, once it is on the disk. A name is given once.
    pub(super) async fn keep(&self, mut spool: Spool, id: FileId) -> Result<bool> {
        let keep = async {
            spool.sync().await?;
            match fs::hard_link(spool.path(), self.path_of(id)).await {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                linked => linked?,
            }
            // Or the name could be lost with the power.
            fs::File::open(&self.directory).await?.sync_all().await?;
            Ok(true)
        };
        keep.await.map_err(|error: io::Error| Error::storage("keeping a file", error))
    }

    pub(super) async fn find(&self, id: FileId) -> Result<Option<Found>> {
        match fs::metadata(self.path_of(id)).await {
            Ok(found) => Ok(Some(Found { size_bytes: found.len(), content_type: None })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage("looking for a file", error)),
        }
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
        sweep(&self.incoming())
            .await
            .map_err(|error| Error::storage("removing what never came in", error))
    }
}

async fn sweep(incoming: &Path) -> io::Result<()> {
    let mut entries = match fs::read_dir(incoming).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    while let Some(entry) = entries.next_entry().await? {
        // Somebody may just have finished it.
        let Ok(found) = entry.metadata().await else { continue };
        let age = found.modified()?.elapsed().unwrap_or_default();
        if age > INCOMING_KEPT {
            gone(fs::remove_file(entry.path()).await)?;
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
