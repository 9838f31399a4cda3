//! A file that is coming in: written piece by piece, and gone again unless it is kept.

use std::{io, path::PathBuf};

use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
};

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
}

impl Spool {
    pub(super) async fn create(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self { file, path, written: 0, unsynced: 0, first: Vec::new() })
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
        // Kept, it has another name by now. What is left over is swept some day.
        let _ = std::fs::remove_file(&self.path);
    }
}
