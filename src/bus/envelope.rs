//! What goes through Redis: a notice, who sent it, and a proof that it was one of us.
//!
//! Whoever reaches the Redis can publish anything there. So each message carries an HMAC under a
//! key that only this installation has, over the channel too: a message that was meant for one
//! node says nothing to another. A genuine message that is published again is not noticed, and
//! does no more harm than a notice that comes twice.
//!
//! ```text
//! <HMAC-SHA256 of "channel\njson", 43 characters of base64url>.{"from": …, "notice": …}
//! ```

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Notice, To};
use crate::id::NodeId;

/// Notices are a few hundred bytes, and parts of a count of viewers 13 KiB; what is longer is none.
pub(super) const MESSAGE_MAX_BYTES: usize = 16 * 1024;

/// What the nodes of one installation find and trust each other by. Prints nothing of the secret.
#[derive(Clone)]
pub struct Key {
    /// Stands in the names of channels, so that two installations may share one Redis.
    name: String,
    secret: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    pub(super) from: NodeId,
    pub(super) notice: Notice,
}

/// Why a message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsound {
    TooLarge,
    /// Not from one of us, or not as it was sent, or not to here.
    Forged,
    /// From one of us, perhaps a newer one, and not understood.
    Broken,
}

impl Unsound {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Forged => "forged",
            Self::Broken => "broken",
        }
    }
}

impl Key {
    #[must_use]
    pub fn new(name: String, secret: Vec<u8>) -> Self {
        Self { name, secret }
    }

    pub(super) fn channel(&self, to: To) -> String {
        match to {
            To::Node(node) => format!("murph:{}:node:{node}", self.name),
            To::All => format!("murph:{}:all", self.name),
        }
    }

    pub(super) fn seal(&self, channel: &str, envelope: &Envelope) -> Vec<u8> {
        let json = serde_json::to_vec(envelope).expect("it has no map with odd keys");
        let proof = self.mac(channel, &json).finalize().into_bytes();
        let mut message = URL_SAFE_NO_PAD.encode(proof).into_bytes();
        message.push(b'.');
        message.extend(json);
        message
    }

    pub(super) fn open(&self, channel: &str, message: &[u8]) -> Result<Envelope, Unsound> {
        if message.len() > MESSAGE_MAX_BYTES {
            return Err(Unsound::TooLarge);
        }
        let end = message.iter().position(|byte| *byte == b'.').ok_or(Unsound::Forged)?;
        let (proof, json) = (&message[..end], &message[end + 1..]);
        let proof = URL_SAFE_NO_PAD.decode(proof).map_err(|_| Unsound::Forged)?;
        // Takes the same time wherever the first difference is.
        self.mac(channel, json).verify_slice(&proof).map_err(|_| Unsound::Forged)?;
        serde_json::from_slice(json).map_err(|_| Unsound::Broken)
    }

    fn mac(&self, channel: &str, json: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes any key");
        mac.update(channel.as_bytes());
        mac.update(b"\n");
        mac.update(json);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    const CHANNEL: &str = "murph:0badcafe:all";

    fn key(secret: &str) -> Key {
        Key::new("0badcafe".into(), secret.into())
    }

    fn envelope() -> Envelope {
        let from = NodeId::new(Timestamp::EPOCH);
        Envelope { from, notice: Notice::Done { request: 7 } }
    }

    #[test]
    fn who_has_the_key_reads_what_was_written() {
        let message = key("ours").seal(CHANNEL, &envelope());
        assert_eq!(key("ours").open(CHANNEL, &message), Ok(envelope_like(&message)));
        assert_eq!(key("theirs").open(CHANNEL, &message), Err(Unsound::Forged));
    }

    fn envelope_like(message: &[u8]) -> Envelope {
        let text = std::str::from_utf8(message).unwrap();
        serde_json::from_str(text.split_once('.').unwrap().1).unwrap()
    }

    #[test]
    fn a_message_means_nothing_on_another_channel() {
        let message = key("ours").seal(CHANNEL, &envelope());
        let other = key("ours").channel(To::Node(NodeId::new(Timestamp::EPOCH)));
        assert_eq!(key("ours").open(&other, &message), Err(Unsound::Forged));
    }

    #[test]
    fn a_message_has_a_length_it_may_not_exceed() {
        let padded = |spaces: usize| {
            let json = serde_json::to_vec(&envelope()).unwrap();
            let json = [json, vec![b' '; spaces]].concat();
            let proof = key("ours").mac(CHANNEL, &json).finalize().into_bytes();
            [URL_SAFE_NO_PAD.encode(proof).as_bytes(), b".", &json].concat()
        };
        let room = MESSAGE_MAX_BYTES - padded(0).len();
        assert!(key("ours").open(CHANNEL, &padded(room)).is_ok());
        assert_eq!(key("ours").open(CHANNEL, &padded(room + 1)), Err(Unsound::TooLarge));
    }

    #[test]
    fn what_one_of_us_says_in_words_unknown_is_broken_and_not_forged() {
        let json = br#"{"from":"01900000-0000-7000-8000-000000000000","notice":{"type":"new"}}"#;
        let proof = key("ours").mac(CHANNEL, json).finalize().into_bytes();
        let message = [URL_SAFE_NO_PAD.encode(proof).as_bytes(), b".", json].concat();
        assert_eq!(key("ours").open(CHANNEL, &message), Err(Unsound::Broken));
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", key("ours")), "Key { name: \"0badcafe\", .. }");
    }

    proptest! {
        /// Whichever bit is another, it is never taken for what was sent.
        #[test]
        fn an_altered_message_is_never_taken(at: prop::sample::Index, bit in 0..8_u8) {
            let mut message = key("ours").seal(CHANNEL, &envelope());
            let at = at.index(message.len());
            message[at] ^= 1 << bit;
            prop_assert_eq!(key("ours").open(CHANNEL, &message), Err(Unsound::Forged));
        }

        #[test]
        fn noise_is_refused(noise: Vec<u8>) {
            prop_assert_eq!(key("ours").open(CHANNEL, &noise), Err(Unsound::Forged));
        }
    }
}
