//! `[storage]`: where files are kept, and on which terms they are taken and given.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Secret,
    check::{DAY_SECONDS, is_base_url, within},
    problem::Problems,
};
use crate::domain::media::{ContentType, PLAYBACK_MIN};

/// The most that S3 takes in one PUT.
const PUT_MAX_BYTES: u64 = 5 * 1_024 * 1_024 * 1_024;

/// More on one disk is a mistake in the unit.
const DISK_MAX_BYTES: u64 = 1 << 60;

/// Where files are kept, and on which terms they are taken and given.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub kind: StorageKind,
    pub bucket: String,
    pub region: String,
    /// Empty: that of AWS in the region.
    pub endpoint: String,
    /// Whether the bucket's name is in the path, not in the host.
    pub path_style: bool,
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    /// Of one file.
    pub max_bytes: u64,
    /// Of all files of a teacher, with those that are expected and those that are still to be removed.
    pub teacher_max_bytes: u64,
    /// What stays free on the disk, for everything else that is kept there.
    pub reserve_bytes: u64,
    /// Files that come in through this node at once.
    pub uploads_at_once: usize,
    /// Files that this node sends at once.
    pub streams_max: usize,
    /// What files may be.
    pub content_types: Vec<ContentType>,
    /// How long a link for uploading is good, and how long an upload may take.
    pub upload_url_seconds: u64,
    /// How long a link for playing is good, at most.
    pub playback_url_seconds: u64,
}

impl Storage {
    #[must_use]
    pub fn upload_url(&self) -> Duration {
        Duration::from_secs(self.upload_url_seconds)
    }

    #[must_use]
    pub fn playback_url(&self) -> Duration {
        Duration::from_secs(self.playback_url_seconds)
    }

    /// Where the bucket is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match self.endpoint.as_str() {
            "" => format!("https://s3.{}.amazonaws.com", self.region),
            endpoint => endpoint.to_owned(),
        }
    }
}

/// What keeps files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// The data directory.
    Local,
    /// A bucket of S3, or of what speaks like it.
    S3,
}

/// What can be read but not used.
pub(super) fn check(storage: &Storage, problems: &mut Problems) {
    within("storage.max_bytes", storage.max_bytes, 1..=PUT_MAX_BYTES, problems);
    within("storage.teacher_max_bytes", storage.teacher_max_bytes, 1..=DISK_MAX_BYTES, problems);
    within("storage.reserve_bytes", storage.reserve_bytes, 0..=DISK_MAX_BYTES, problems);
    within("storage.uploads_at_once", storage.uploads_at_once, 1..=100_000, problems);
    within("storage.streams_max", storage.streams_max, 1..=1_000_000, problems);
    within("storage.upload_url_seconds", storage.upload_url_seconds, 60..=DAY_SECONDS, problems);
    let playback_min = PLAYBACK_MIN.as_secs();
    let playback = storage.playback_url_seconds;
    within("storage.playback_url_seconds", playback, playback_min..=DAY_SECONDS, problems);
    if storage.content_types.is_empty() {
        problems.add("storage.content_types", "is empty", "name at least one, such as video/mp4");
    }
    if storage.secret_access_key.is_mask() || storage.access_key_id.is_mask() {
        let masked = "is the *** that is shown in place of a secret";
        problems.add("storage.secret_access_key", masked, "write the keys themselves");
    }
    if storage.kind != StorageKind::S3 {
        return;
    }
    let keys = [&storage.access_key_id, &storage.secret_access_key];
    let keys = keys.map(Secret::is_empty);
    for (key, is_missing) in [
        ("storage.bucket", storage.bucket.is_empty()),
        ("storage.region", storage.region.is_empty()),
        ("storage.access_key_id", keys[0]),
        ("storage.secret_access_key", keys[1]),
    ] {
        if is_missing {
            problems.add(key, "is empty", "set it, or set storage.kind to \"local\"");
        }
    }
    if !is_base_url(&storage.endpoint()) {
        let mend = "write it as https://s3.example.org, or leave it empty for AWS";
        problems.add("storage.endpoint", "is not a web address", mend);
    }
}
