//! How many files may come in and go out at once on this node.
//!
//! Whoever is beyond gets `busy` and comes back; nobody waits in a queue, with a connection each.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config,
    error::{Error, Result},
    id::FileId,
};

/// What is still free.
#[derive(Debug)]
pub(super) struct Places {
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    coming: Coming,
}

/// The files that come in by a link: a second upload of one could only be thrown away.
#[derive(Clone, Debug, Default)]
struct Coming(Arc<Mutex<HashSet<FileId>>>);

impl Coming {
    fn lock(&self) -> MutexGuard<'_, HashSet<FileId>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

impl Places {
    pub(super) fn new(settings: &config::Storage) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            uploads: places(settings.uploads_at_once),
            streams: places(settings.streams_max),
            coming: Coming::default(),
        }
    }

    /// A place to take a file in: `file`, if it is known already which one.
    pub(super) fn upload(&self, file: Option<FileId>) -> Result<UploadPlace> {
        let permit = Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| Error::Busy)?;
        if file.is_some_and(|file| !self.coming.lock().insert(file)) {
            return Err(Error::UploadOver);
        }
        Ok(UploadPlace { file: file.map(|file| (file, self.coming.clone())), _permit: permit })
    }

    /// A place to send a file from.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| Error::Busy)
    }
}

/// Held while a file comes in.
#[derive(Debug)]
pub(super) struct UploadPlace {
    file: Option<(FileId, Coming)>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        if let Some((file, coming)) = &self.file {
            coming.lock().remove(file);
        }
    }
}
