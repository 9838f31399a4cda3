//! A file that is coming in: written piece by piece, and gone again unless it is kept.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    runtime::Handle,
    task::spawn_blocking,
};

use super::places::UploadPlace;
use crate::{
    config,
    domain::media::FIRST_BYTES,
    error::{Error, Result},
};

/// How much may be in memory and not on the disk: so that keeping it is quick, whatever its size.
const UNSYNCED_MAX: u64 = 64 * 1_024 * 1_024;

/// How much is written before the next look at what is left of the disk.
const UNSEEN_MAX: u64 = 4 * 1_024 * 1_024;

/// What has come in so far. Whoever is done with it, removes it; dropped, it is removed, too.
#[derive(Debug)]
pub struct Spool {
    /// `None`: it is removed.
    incoming: Option<Incoming>,
    written: u64,
    unsynced: u64,
    unseen: u64,
    /// How it begins.
    first: Vec<u8>,
    room: Room,
    place: Option<UploadPlace>,
}

/// The file on the disk.
#[derive(Debug)]
struct Incoming {
    file: File,
    path: PathBuf,
}

impl Incoming {
    /// Blocks: with the file closed, the disk gives gigabytes free.
    fn remove(self) {
        // Kept, it has another name by now. What is left over is swept some day.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The disk, and what of it stays free.
#[derive(Clone, Debug)]
pub(super) struct Room {
    directory: PathBuf,
    free_min: u64,
}

impl Room {
    pub(super) fn new(directory: PathBuf, settings: &config::Storage) -> Self {
        // What the others write before they look again must not be missing then.
        let others = u64::try_from(settings.uploads_at_once).unwrap_or(u64::MAX);
        let unseen = others.saturating_mul(UNSEEN_MAX);
        Self { directory, free_min: settings.reserve_bytes.saturating_add(unseen) }
    }

    async fn ensure(&self) -> io::Result<()> {
        let Self { directory, free_min } = self.clone();
        let disk = spawn_blocking(move || rustix::fs::statvfs(&directory)).await??;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < free_min {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "storage.reserve_bytes is reached",
            ));
        }
        Ok(())
    }
}

impl Spool {
    pub(super) async fn create(path: PathBuf, room: Room, place: UploadPlace) -> io::Result<Self> {
        room.ensure().await?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self {
            incoming: Some(Incoming { file, path }),
            written: 0,
            unsynced: 0,
            unseen: 0,
            first: Vec::new(),
            room,
            place: Some(place),
        })
    }

    pub async fn write(&mut self, piece: &[u8]) -> Result<()> {
        let missing = FIRST_BYTES.saturating_sub(self.first.len());
        self.first.extend_from_slice(&piece[..piece.len().min(missing)]);
        let length = u64::try_from(piece.len()).expect("a piece fits into memory");
        self.written += length;
        self.unsynced += length;
        self.unseen += length;
        let write = async {
            self.file().write_all(piece).await?;
            if self.unseen >= UNSEEN_MAX {
                self.unseen = 0;
                self.file().flush().await?;
                self.room.ensure().await?;
            }
            if self.unsynced >= UNSYNCED_MAX {
                self.unsynced = 0;
                self.file().sync_data().await?;
            }
            Ok(())
        };
        write.await.map_err(|error: io::Error| Error::storage("taking a file in", error))
    }

    /// How much has come in.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.written
    }

    /// Its first bytes, which show what it is.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Removes what came in, unless it was kept, and waits until it is gone.
    pub async fn remove(mut self) {
        if let Some(incoming) = self.take() {
            // It only fails when the runtime goes down.
            let _ = spawn_blocking(|| incoming.remove()).await;
        }
    }

    /// Waits until all of it is on the disk.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        self.file().flush().await?;
        self.file().sync_all().await
    }

    pub(super) fn path(&self) -> &Path {
        &self.incoming().path
    }

    fn incoming(&self) -> &Incoming {
        self.incoming.as_ref().expect("nobody has it once it is removed")
    }

    fn file(&mut self) -> &mut File {
        &mut self.incoming.as_mut().expect("nobody has it once it is removed").file
    }

    fn take(&mut self) -> Option<Incoming> {
        // First, so that whoever sees that the file is gone may come again.
        drop(self.place.take());
        self.incoming.take()
    }
}

/// For those that break off.
impl Drop for Spool {
    fn drop(&mut self) {
        let Some(incoming) = self.take() else { return };
        match Handle::try_current() {
            // Whoever drops it has others to serve.
            Ok(runtime) => drop(runtime.spawn_blocking(|| incoming.remove())),
            Err(_) => incoming.remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        config::{Config, Sources},
        id::UserId,
        storage::places::Places,
        time::Timestamp,
    };

    async fn spool(directory: &Path) -> Spool {
        let mut settings = Config::load(Sources::default()).unwrap().storage;
        (settings.reserve_bytes, settings.uploads_at_once) = (0, 1);
        let place = Places::new(&settings).upload(UserId::new(Timestamp::EPOCH), None).unwrap();
        let room = Room::new(directory.into(), &settings);
        Spool::create(directory.join("incoming"), room, place).await.unwrap()
    }

    #[tokio::test]
    async fn the_disk_is_looked_at_every_few_megabytes() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = spool(directory.path()).await;
        // As if others had filled it.
        spool.room.free_min = u64::MAX;
        let piece = vec![0; 1_024 * 1_024];
        for _ in 0..3 {
            spool.write(&piece).await.unwrap();
        }
        let full = spool.write(&piece).await.unwrap_err();
        assert!(matches!(full, Error::Storage { .. }), "{full:?}");
    }

    /// With one thread for what blocks, and that one taken: whoever removes a file by itself is seen.
    #[test]
    fn whoever_breaks_off_does_not_wait_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("incoming");
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(1).build().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        runtime.block_on(async {
            let spool = spool(directory.path()).await;
            let busy = spawn_blocking(move || ended.recv());
            drop(spool);
            assert!(path.exists());
            end.send(()).unwrap();
            busy.await.unwrap().unwrap();
            // Behind it in the queue.
            spawn_blocking(|| ()).await.unwrap();
        });
        assert!(!path.exists());
    }
}
