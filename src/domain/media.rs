//! The files of videos: what they may be, how far an upload is, and how long one may be played.

use std::time::Duration;

use crate::{
    domain::{meter, video::Video},
    id::{FileId, VideoId},
    money::Money,
    time::Timestamp,
};

/// The shortest time for which a link to a file is worth giving.
pub const PLAYBACK_MIN: Duration = Duration::from_secs(5);

/// How much of a file shows what it is.
pub const FIRST_BYTES: usize = 64;

super::word_enum! {
    /// What a file may be: what browsers play, and what can be told from its first bytes.
    ContentType {
        Mp4 = "video/mp4",
        Quicktime = "video/quicktime",
        Webm = "video/webm",
        Ogg = "video/ogg",
    }
}

impl ContentType {
    /// Whether a file that begins so can be of this type. A player finds out more; this keeps out
    /// what is something else altogether.
    #[must_use]
    pub fn begins_with(self, first: &[u8]) -> bool {
        let has_box = |names: &[&[u8]]| first.get(4..8).is_some_and(|name| names.contains(&name));
        match self {
            Self::Mp4 => has_box(&[b"ftyp"]),
            // Older ones begin with whatever box was written first.
            Self::Quicktime => has_box(&[b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"]),
            Self::Webm => {
                let first = &first[..first.len().min(FIRST_BYTES)];
                first.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
                    && first.windows(4).any(|word| word == b"webm")
            }
            Self::Ogg => first.starts_with(b"OggS"),
        }
    }

    /// Whether the file is made of boxes, one of which says how long it plays.
    #[must_use]
    pub fn has_boxes(self) -> bool {
        matches!(self, Self::Mp4 | Self::Quicktime)
    }
}

super::word_enum! {
    /// How far a file is.
    FileStatus {
        /// Somebody has a link to upload it.
        Expected = "expected",
        /// It is there, and nobody has said yet that this is all.
        Uploaded = "uploaded",
        /// It is being looked at, or made into something that everybody can play.
        Processing = "processing",
        /// It can be played.
        Ready = "ready",
        /// It is not what it should be.
        Failed = "failed",
        /// It is to be removed.
        Discarded = "discarded",
    }
}

super::word_enum! {
    /// What the files of a video come to.
    VideoStatus {
        /// There is no file yet.
        Empty = "empty",
        Uploaded = "uploaded",
        Processing = "processing",
        Ready = "ready",
        Failed = "failed",
    }
}

/// A file of a video, stored under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFile {
    pub id: FileId,
    pub video_id: VideoId,
    pub content_type: ContentType,
    pub size_bytes: u64,
    /// As the file itself says.
    pub duration_ms: Option<u64>,
    pub status: FileStatus,
    /// Why it failed.
    pub failure: Option<String>,
    pub created_at: Timestamp,
    /// From when on nobody can upload it any more.
    pub expires_at: Timestamp,
    /// `None`: it is played as it was uploaded.
    pub mux: Option<AtMux>,
}

/// What Mux has of a file that was handed over to it, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtMux {
    /// From when on Mux is to have it.
    pub since: Timestamp,
    /// `None`: not yet, as far as is known here.
    pub asset_id: Option<String>,
    /// By which it is played, once it is ready.
    pub playback_id: Option<String>,
}

impl VideoFile {
    /// Whether it is being looked at, and not found to be good yet.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        self.status == FileStatus::Processing && self.mux.is_none()
    }

    /// Whether it is good, and Mux is at work on it, or is to be.
    #[must_use]
    pub fn is_at_mux(&self) -> bool {
        self.status == FileStatus::Processing && self.mux.is_some()
    }

    /// What Mux calls it, if that is known.
    #[must_use]
    pub fn asset_id(&self) -> Option<&str> {
        self.mux.as_ref()?.asset_id.as_deref()
    }

    /// The id by which it is played at Mux, if it is.
    #[must_use]
    pub fn playback_id(&self) -> Option<&str> {
        self.mux.as_ref()?.playback_id.as_deref()
    }
}

/// A video with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedVideo {
    pub video: Video,
    /// Whether it is shown to everybody, for nothing.
    pub is_preview: bool,
    /// The one that is played.
    pub file: Option<VideoFile>,
    /// The one that is to take its place.
    pub upload: Option<VideoFile>,
}

impl ListedVideo {
    #[must_use]
    pub fn status(&self) -> VideoStatus {
        if self.file.is_some() {
            return VideoStatus::Ready;
        }
        match self.upload.as_ref().map(|upload| upload.status) {
            Some(FileStatus::Uploaded) => VideoStatus::Uploaded,
            Some(FileStatus::Processing) => VideoStatus::Processing,
            Some(FileStatus::Failed) => VideoStatus::Failed,
            _ => VideoStatus::Empty,
        }
    }

    /// Why the last upload came to nothing.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.upload.as_ref()?.failure.as_deref()
    }
}

/// How long a link may be good for somebody who has `left` at `price_per_minute`, in whole seconds
/// and at most `most`. `None`: too short to be worth it.
#[must_use]
pub fn playback_lasts(price_per_minute: Money, left: Money, most: Duration) -> Option<Duration> {
    let lasts = meter::affordable(price_per_minute, left).min(most);
    (lasts >= PLAYBACK_MIN).then(|| Duration::from_secs(lasts.as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_shows_what_it_is() {
        let webm = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm";
        for (first, types) in [
            (&b"\0\0\0\x20ftypisom"[..], &[ContentType::Mp4, ContentType::Quicktime][..]),
            (b"\0\0\0\x08wide", &[ContentType::Quicktime]),
            (webm, &[ContentType::Webm]),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", &[]),
            (b"OggS\0", &[ContentType::Ogg]),
            (b"<!doctype html>", &[]),
            (b"ftyp", &[]),
            (b"", &[]),
        ] {
            for content_type in ContentType::ALL {
                let expected = types.contains(content_type);
                assert_eq!(content_type.begins_with(first), expected, "{content_type} {first:?}");
            }
        }
    }

    proptest! {
        /// A link is never good for longer than the money lasts.
        #[test]
        fn no_link_outlasts_the_money(price in 1..=100_000_000_000_i64, left in 0..=i64::MAX / 2) {
            let (price, left) = (Money::from_micros(price), Money::from_micros(left));
            let most = Duration::from_mins(5);
            match playback_lasts(price, left, most) {
                Some(lasts) => {
                    prop_assert!((PLAYBACK_MIN..=most).contains(&lasts));
                    let unlimited = Money::from_micros(i64::MAX);
                    prop_assert!(meter::cost(price, lasts, unlimited) <= left);
                }
                None => prop_assert!(meter::affordable(price, left) < PLAYBACK_MIN),
            }
        }
    }

    #[test]
    fn what_is_free_lasts_as_long_as_any() {
        let most = Duration::from_mins(5);
        assert_eq!(playback_lasts(Money::ZERO, Money::ZERO, most), Some(most));
    }
}
