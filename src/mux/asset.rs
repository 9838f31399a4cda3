//! An asset: what Mux makes of a file. As Mux writes it, and what of that Murph reads.

use std::time::Duration;

use serde::Deserialize;

/// The longest reason that is passed on, in characters.
const REASON_MAX: usize = 300;

/// The longest id that is one, in characters.
const ID_MAX: usize = 255;

/// What stands in place of a link.
const LINK: &str = "(a link)";

/// By this policy nobody plays without a link that was signed.
const SIGNED: &str = "signed";

/// An asset, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    pub id: String,
    /// What it bears, be it a mark of ours or not.
    pub mark: Option<String>,
    pub state: State,
}

/// How far an asset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being made.
    Preparing,
    /// It can be played under this id, with a link that was signed.
    Ready { playback_id: String, duration_ms: Option<u64> },
    /// It came to nothing. Plain text.
    Errored(String),
    /// Mux does not have it any more.
    Deleted,
}

/// How answers look.
#[derive(Deserialize)]
pub(super) struct Wrapped {
    pub(super) data: Wire,
}

/// An asset as Mux writes it. What else it says is of no interest.
#[derive(Deserialize)]
pub(super) struct Wire {
    id: String,
    pub(super) status: Option<String>,
    passthrough: Option<String>,
    /// In seconds.
    duration: Option<f64>,
    playback_ids: Option<Vec<PlaybackId>>,
    errors: Option<Errors>,
}

#[derive(Deserialize)]
struct PlaybackId {
    id: String,
    policy: String,
}

/// Why something came to nothing.
#[derive(Deserialize)]
pub(super) struct Errors {
    messages: Option<Vec<String>>,
}

impl Errors {
    /// In one line of plain text, if anything is said.
    pub(super) fn words(&self) -> Option<String> {
        let words = self.messages.iter().flatten().map(|message| plain(message));
        let words = words.filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ");
        (!words.is_empty()).then(|| words.chars().take(REASON_MAX).collect())
    }
}

/// Without what breaks lines or texts, and without links: that to a file lets whoever reads it have it.
fn plain(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = plain.trim().split(' ');
    let words = words.map(|word| if word.contains("://") { LINK } else { word });
    words.collect::<Vec<_>>().join(" ")
}

impl Wire {
    /// What it says, with `status` for its own. `Err` names what cannot be.
    pub(super) fn read(self, status: Option<&str>) -> Result<Asset, &'static str> {
        let state = match status {
            Some("ready") => self.ready()?,
            Some("errored") => {
                let words = self.errors.as_ref().and_then(Errors::words);
                State::Errored(words.unwrap_or_else(|| "it does not say why".to_owned()))
            }
            Some("deleted") => State::Deleted,
            _ => State::Preparing,
        };
        if !is_id(&self.id) {
            return Err("has an id that is none");
        }
        Ok(Asset { id: self.id, mark: self.passthrough, state })
    }

    fn ready(&self) -> Result<State, &'static str> {
        let ids = self.playback_ids.iter().flatten();
        let signed = ids.filter(|id| id.policy == SIGNED).map(|id| &id.id).find(|id| is_id(id));
        let playback_id = signed.ok_or("is ready without an id to play by a signed link")?.clone();
        let duration = self.duration.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let duration_ms = duration.and_then(|duration| u64::try_from(duration.as_millis()).ok());
        Ok(State::Ready { playback_id, duration_ms })
    }
}

/// Whether it can stand in a path without leading elsewhere.
fn is_id(text: &str) -> bool {
    let is_fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(asset: Value) -> Result<Asset, &'static str> {
        let wire: Wire = serde_json::from_value(asset).unwrap();
        let status = wire.status.clone();
        wire.read(status.as_deref())
    }

    fn ready(duration: &Value) -> State {
        let ids = json!([{"id": "pb0", "policy": "public"}, {"id": "pb_1", "policy": "signed"}, {"id": "pb2", "policy": "signed"}]);
        let asset = json!({"id": "a1", "status": "ready", "duration": duration,
            "playback_ids": ids, "aspect_ratio": "16:9"});
        read(asset).unwrap().state
    }

    #[test]
    fn what_is_ready_is_played_by_signed_links() {
        for (duration, duration_ms) in [
            (json!(23.857), Some(23_857)),
            (json!(60), Some(60_000)),
            (json!(0.0004), Some(0)),
            (json!(-1.0), None),
            (json!(1e300), None),
            (Value::Null, None),
        ] {
            let expected = State::Ready { playback_id: "pb_1".into(), duration_ms };
            assert_eq!(ready(&duration), expected, "{duration}");
        }
        for ids in [json!(null), json!([]), json!([{"id": "pb0", "policy": "public"}])] {
            let asset = json!({"id": "a1", "status": "ready", "playback_ids": ids});
            assert!(read(asset).is_err(), "{ids}");
        }
    }

    #[test]
    fn what_came_to_nothing_says_why() {
        let errored = |errors: Value| {
            read(json!({"id": "a1", "status": "errored", "errors": errors})).unwrap().state
        };
        let messages =
            json!({"type": "invalid_input", "messages": ["No video.\n", "", "No sound."]});
        assert_eq!(errored(messages), State::Errored("No video.; No sound.".into()));
        for said in [
            "Cannot read https://murph.example.org/api/v1/files/f?expires=1&signature=s now",
            "Cannot read\n\"s3://school/videos/f?X-Amz-Signature=s\" now",
        ] {
            let expected = State::Errored("Cannot read (a link) now".into());
            assert_eq!(errored(json!({"messages": [said]})), expected);
        }
        let State::Errored(words) = errored(json!({"messages": ["x".repeat(1_000)]})) else {
            panic!("it came to nothing")
        };
        assert_eq!(words.len(), REASON_MAX);
        assert_eq!(errored(Value::Null), State::Errored("it does not say why".into()));
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for id in ["", "a/b", "..", "a?b", "a b", "ä", &"a".repeat(256)] {
            assert!(read(json!({"id": id, "status": "preparing"})).is_err(), "{id}");
            let ids = json!([{"id": id, "policy": "signed"}]);
            let asset = json!({"id": "a1", "status": "ready", "playback_ids": ids});
            assert!(read(asset).is_err(), "{id}");
        }
        let asset = read(json!({"id": "a-1_B", "passthrough": "x"})).unwrap();
        let expected =
            Asset { id: "a-1_B".into(), mark: Some("x".into()), state: State::Preparing };
        assert_eq!(asset, expected);
    }
}
