//! A file that is coming in: written piece by piece, and gone again unless it is kept.

use std::{io, path::PathBuf};

use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
};

use super::places::UploadPlace;
use crate::{
    domain::media::FIRST_BYTES,
    error::{Error, Result},
};

/// How much may be in memory and not on the disk: so that keeping it is quick, whatever its size.
const UNSYNCED_MAX: u64 = 64 * 1_024 * 1_024;

/// What has come in so far. Dropped, it is removed.
#[derive(Debug)]
pub struct Spool {
    file: File,
    path: PathBuf,
    written: u64,
    unsynced: u64,
    /// How it begins.
    first: Vec<u8>,
    room: Room,
    place: Option<UploadPlace>,
}

/// The disk, and what of it stays free.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) directory: PathBuf,
    pub(super) reserve_bytes: u64,
}

impl Room {
    /// Fails when there is less left. What several write at once is noticed by each with its next look.
    async fn ensure(&self) -> io::Result<()> {
        let Self { directory, reserve_bytes } = self.clone();
        let look = move || rustix::fs::statvfs(&directory);
        let disk = tokio::task::spawn_blocking(look).await??;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < reserve_bytes {
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
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self {
            file,
            path,
            written: 0,
            unsynced: 0,
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
        let write = async {
            self.file.write_all(piece).await?;
            if self.unsynced >= UNSYNCED_MAX {
                self.unsynced = 0;
                self.file.sync_data().await?;
                self.room.ensure().await?;
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

    /// Waits until all of it is on the disk.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // First, so that whoever sees that the file is gone may come again.
        drop(self.place.take());
        // Kept, it has another name by now. What is left over is swept some day.
        let _ = std::fs::remove_file(&self.path);
    }
}
