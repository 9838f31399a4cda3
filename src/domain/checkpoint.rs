//! Checkpoints: what the sessions of a node had watched, packed into few rows.
//!
//! A node keeps its sessions in [`SLOTS`] slots, by a part of their id that every node computes
//! alike, and writes one row for each slot. Whoever takes a session over looks into the row of its
//! slot. An entry counts only for the fence it names, so one that was left behind misleads nobody.
//!
//! ```text
//! payload: version (1 byte), entries
//! entry:   session id (16), fence (8), was attached (1 bit), watched in milliseconds (31 bits)
//! ```
//! Numbers are big-endian.

use std::time::Duration;

use crate::{domain::meter::WATCHED_MAX, id::SessionId};

/// Rows of one node. A power of two.
pub const SLOTS: usize = 64;

/// How entries are laid out. Nodes of two versions may run at once during a deploy.
const VERSION: u8 = 1;

/// What one session takes of a payload.
pub const ENTRY_BYTES: usize = 28;

const ATTACHED_BIT: u32 = 1 << 31;

/// What was watched in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub session_id: SessionId,
    pub fence: i64,
    pub watched_ms: u64,
    /// Whether a player had ever come.
    pub was_attached: bool,
}

/// Why a payload is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a checkpoint is empty")]
    Empty,
    #[error("a checkpoint is of version {0}, which this Murph does not know")]
    Version(u8),
    #[error("a checkpoint of {0} bytes ends within an entry")]
    Length(usize),
    #[error("a checkpoint says what cannot be of session {0}")]
    Impossible(SessionId),
}

/// The slot a session is kept in, on every node and for ever.
///
/// From the random end of the id: its beginning is the time, which sessions that start together
/// share.
#[must_use]
pub fn slot_of(session: SessionId) -> usize {
    let [.., last] = session.uuid().into_bytes();
    usize::from(last) % SLOTS
}

/// Makes `payload` one without entries, and keeps its memory.
pub fn begin(payload: &mut Vec<u8>) {
    payload.clear();
    payload.push(VERSION);
}

/// Appends an entry to what [`begin`] began. Time beyond what a session can last is cut off.
pub fn push(payload: &mut Vec<u8>, entry: &Entry) {
    let watched_ms = u32::try_from(entry.watched_ms).unwrap_or(u32::MAX).min(watched_ms_max());
    let attached = if entry.was_attached { ATTACHED_BIT } else { 0 };
    payload.extend_from_slice(entry.session_id.uuid().as_bytes());
    payload.extend_from_slice(&entry.fence.to_be_bytes());
    payload.extend_from_slice(&(watched_ms | attached).to_be_bytes());
}

/// All entries of a payload. Of a broken one none is believed.
pub fn unpack(payload: &[u8]) -> Result<Vec<Entry>, Broken> {
    let (version, packed) = payload.split_first().ok_or(Broken::Empty)?;
    if *version != VERSION {
        return Err(Broken::Version(*version));
    }
    let (entries, []) = packed.as_chunks::<ENTRY_BYTES>() else {
        return Err(Broken::Length(payload.len()));
    };
    entries.iter().map(read).collect()
}

fn read(packed: &[u8; ENTRY_BYTES]) -> Result<Entry, Broken> {
    let (id, packed) = packed.split_first_chunk().expect("an entry begins with 16 bytes");
    let (fence, packed) = packed.split_first_chunk().expect("then there are 8");
    let watched = packed.first_chunk().expect("and 4");
    let watched = u32::from_be_bytes(*watched);
    let entry = Entry {
        session_id: SessionId::from_uuid(uuid::Uuid::from_bytes(*id)),
        fence: i64::from_be_bytes(*fence),
        watched_ms: u64::from(watched & !ATTACHED_BIT),
        was_attached: watched & ATTACHED_BIT != 0,
    };
    let is_possible = entry.fence > 0 && entry.watched_ms <= u64::from(watched_ms_max());
    is_possible.then_some(entry).ok_or(Broken::Impossible(entry.session_id))
}

fn watched_ms_max() -> u32 {
    u32::try_from(WATCHED_MAX.as_millis()).expect("a day is less than 2^31 milliseconds")
}

impl Entry {
    #[must_use]
    pub fn watched(&self) -> Duration {
        Duration::from_millis(self.watched_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use uuid::Uuid;

    use super::*;
    use crate::time::Timestamp;

    fn entries() -> impl Strategy<Value = Entry> {
        (any::<u128>(), 1..=i64::MAX, 0..=86_400_000_u64, any::<bool>()).prop_map(
            |(id, fence, watched_ms, was_attached)| Entry {
                session_id: SessionId::from_uuid(Uuid::from_u128(id)),
                fence,
                watched_ms,
                was_attached,
            },
        )
    }

    fn packed(entries: &[Entry]) -> Vec<u8> {
        let mut payload = Vec::new();
        begin(&mut payload);
        for entry in entries {
            push(&mut payload, entry);
        }
        payload
    }

    /// Rows outlive the program that wrote them: neither may change without a new version.
    #[test]
    fn layout_and_slots_are_what_other_nodes_wrote() {
        let session_id: SessionId = "01890000-0000-7000-8000-0000000000ff".parse().unwrap();
        let entry = Entry { session_id, fence: 258, watched_ms: 65_537, was_attached: true };
        assert_eq!(slot_of(session_id), 63);
        assert_eq!(
            packed(&[entry]),
            [
                1, 1, 0x89, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 1,
                2, 0x80, 1, 0, 1
            ]
        );
    }

    #[test]
    fn sessions_that_start_together_are_spread_over_all_slots() {
        let mut sessions = [0_u32; SLOTS];
        for _ in 0..SLOTS * 200 {
            sessions[slot_of(SessionId::new(Timestamp::EPOCH))] += 1;
        }
        // 200 are expected in each; 9 standard deviations are not.
        assert!(sessions.iter().all(|count| (75..=325).contains(count)), "{sessions:?}");
    }

    #[test]
    fn a_reused_payload_has_only_the_new_entries() {
        let session_id = SessionId::new(Timestamp::EPOCH);
        let old = Entry { session_id, fence: 1, watched_ms: 5, was_attached: false };
        let new = Entry { fence: 2, ..old };
        let mut payload = packed(&[old, old]);
        let memory = payload.capacity();
        begin(&mut payload);
        push(&mut payload, &new);
        assert_eq!((unpack(&payload).unwrap(), payload.capacity()), (vec![new], memory));
    }

    #[test]
    fn what_no_session_can_have_watched_is_cut_or_refused() {
        let session_id = SessionId::new(Timestamp::EPOCH);
        let entry = Entry { session_id, fence: 1, watched_ms: u64::MAX, was_attached: false };
        let mut payload = packed(&[entry]);
        let cut = Entry { watched_ms: 86_400_000, ..entry };
        assert_eq!(unpack(&payload).unwrap(), [cut]);
        assert_eq!(cut.watched(), WATCHED_MAX);

        payload[28] += 1;
        assert_eq!(unpack(&payload), Err(Broken::Impossible(session_id)));
        let fenceless = packed(&[Entry { fence: 0, ..cut }]);
        assert_eq!(unpack(&fenceless), Err(Broken::Impossible(session_id)));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_always_unpacked_again(entries in vec(entries(), 0..50)) {
            let payload = packed(&entries);
            prop_assert_eq!(payload.len(), 1 + 28 * entries.len());
            prop_assert_eq!(unpack(&payload), Ok(entries));
        }

        /// Whatever a row holds, it is an error or entries that were packed as they stand there.
        #[test]
        fn a_payload_is_never_half_believed(payload in vec(any::<u8>(), 0..90), versioned: bool) {
            let mut payload = payload;
            if let (true, Some(version)) = (versioned, payload.first_mut()) {
                *version = VERSION;
            }
            if let Ok(entries) = unpack(&payload) {
                prop_assert_eq!(packed(&entries), payload);
            }
        }

        #[test]
        fn a_payload_that_was_cut_off_is_always_refused(
            entries in vec(entries(), 1..20), cut in 1..28_usize,
        ) {
            let payload = packed(&entries);
            let rest = &payload[..payload.len() - cut];
            prop_assert_eq!(unpack(rest), Err(Broken::Length(rest.len())));
        }

        #[test]
        fn every_session_has_a_slot(id: u128) {
            prop_assert!(slot_of(SessionId::from_uuid(Uuid::from_u128(id))) < SLOTS);
        }
    }
}
