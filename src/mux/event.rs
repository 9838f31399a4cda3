//! What Mux tells by itself: signed, perhaps twice, and in no order.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use super::asset::{Asset, Wire};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// The header that has the signature.
pub const SIGNATURE: &str = "mux-signature";

/// How far the time of a signature may be from ours, either way.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The bytes of a signature.
const LENGTH: usize = 32;

/// Something that happened at Mux, as it is told. What else is told is of no interest.
#[derive(Debug, Deserialize)]
pub struct Event {
    r#type: String,
    #[serde(default)]
    data: Value,
}

/// Which asset it is about, as far as that is said. Nothing of it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub id: Option<String>,
    pub mark: Option<String>,
}

/// What of it is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Asset(Asset),
    /// It is of a kind that says nothing about an asset as a whole.
    Nothing,
}

impl Event {
    /// What can be told of any event, be its `data` sound or not.
    #[must_use]
    pub fn about(&self) -> About {
        let text = |name| self.data.get(name).and_then(Value::as_str).map(str::to_owned);
        About { id: text("id"), mark: text("passthrough") }
    }

    /// `Err` says what is wrong with its `data`.
    pub fn read(self) -> Result<Heard, String> {
        // Tracks, uploads and streams have events of their own; those of masters and renditions do, too.
        let status = match self.r#type.as_str() {
            "video.asset.created" => "preparing",
            "video.asset.ready" => "ready",
            "video.asset.errored" => "errored",
            "video.asset.deleted" => "deleted",
            _ => return Ok(Heard::Nothing),
        };
        let asset: Wire = serde_json::from_value(self.data).map_err(|error| error.to_string())?;
        Ok(Heard::Asset(asset.read(Some(status))?))
    }
}

/// Whether one of the signatures in a header is one of `body` by this key, and its time is near ours.
pub(super) fn check(key: &[u8], header: &str, body: &[u8], now: Timestamp) -> Result<()> {
    let values = |name: &str| {
        let of_name = move |part: &str| {
            let (key, value) = part.trim().split_once('=')?;
            (key == name).then(|| value.to_owned())
        };
        header.split(',').filter_map(of_name).collect::<Vec<_>>()
    };
    let refused = Error::Forbidden("Mux has not signed this");
    let [time] = &values("t")[..] else { return Err(refused) };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let is_signed = |hex: &String| {
        bytes(hex).is_some_and(|signature| mac.clone().verify_slice(&signature).is_ok())
    };
    if !values("v1").iter().any(is_signed) {
        return Err(refused);
    }
    let Ok(seconds) = time.parse::<i64>() else { return Err(refused) };
    if seconds.abs_diff(now.seconds()) > TOLERANCE.as_secs() {
        return Err(Error::Forbidden(
            "this was signed too long ago, or one of two clocks is wrong",
        ));
    }
    Ok(())
}

/// The bytes of a signature in hexadecimal, in small letters or capitals.
fn bytes(hex: &str) -> Option<[u8; LENGTH]> {
    if hex.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &[u8] = b"mux_wh_secret";
    const BODY: &str = r#"{"type":"video.asset.ready","id":"evt-1","data":{"id":"asset1","status":"ready","playback_ids":[{"id":"pb1","policy":"signed"}]}}"#;
    const V1: &str = "34f2850ca6b906a01130bc81ffa5ca98a36199e7c09489bc37421751ff23c20c";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000 + 999_999).unwrap()
    }

    fn is_taken(header: &str, body: &str) -> bool {
        check(KEY, header, body.as_bytes(), at(1_700_000_000)).is_ok()
    }

    #[test]
    fn what_mux_signed_is_taken() {
        assert!(is_taken(&format!("t=1700000000,v1={V1}"), BODY));
        let other = "0".repeat(64);
        for header in [
            format!("t=1700000000,v1={other},v1={V1}"),
            format!("v1={V1},v0=x, t=1700000000"),
            format!("t=1700000000,v1={}", V1.to_uppercase()),
        ] {
            assert!(is_taken(&header, BODY), "{header}");
        }
    }

    #[test]
    fn what_mux_did_not_sign_is_not_taken() {
        let fine = format!("t=1700000000,v1={V1}");
        for header in [
            String::new(),
            "t=1700000000".to_owned(),
            "t=1700000000,v1=".to_owned(),
            format!("v1={V1}"),
            V1.to_owned(),
            format!("t=1700000000,v1={}", &V1[1..]),
            format!("t=1700000000,v1={V1}0"),
            format!("t=1700000000,v1=+{}", &V1[1..]),
            format!("t=1700000000,v1={}", V1.replace('3', "g")),
            format!("t=1700000000,v1={}", "ä".repeat(32)),
            format!("t=1700000001,v1={V1}"),
            format!("t=1700000000,t=1700000000,v1={V1}"),
            format!("t=1700000000,v0={V1}"),
            format!("t=01700000000,v1={V1}"),
        ] {
            assert!(!is_taken(&header, BODY), "{header}");
        }
        for body in [
            BODY.replace("evt-1", "evt-2"),
            BODY.replace(':', ": "),
            format!("\u{feff}{BODY}"),
            format!("{BODY}\n"),
            String::new(),
        ] {
            assert!(!is_taken(&fine, &body), "{body}");
        }
        assert!(check(b"another", &fine, BODY.as_bytes(), at(1_700_000_000)).is_err());
    }

    #[test]
    fn what_is_old_or_not_yet_is_not_taken() {
        let header = format!("t=1700000000,v1={V1}");
        for (now, is_taken) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let now = at(1_700_000_000 + now);
            assert_eq!(check(KEY, &header, BODY.as_bytes(), now).is_ok(), is_taken, "{now}");
        }
    }

    #[test]
    fn only_what_is_about_an_asset_is_heard() {
        use super::super::State;

        let event = serde_json::from_str::<Event>(BODY).unwrap();
        let state = State::Ready { playback_id: "pb1".into(), duration_ms: None };
        let asset = Asset { id: "asset1".into(), mark: None, state };
        assert_eq!(event.read(), Ok(Heard::Asset(asset)));
        let read = |event: Value| serde_json::from_value::<Event>(event).unwrap().read();
        for other in ["video.upload.created", "video.asset.track.ready", "x", ""] {
            assert_eq!(read(json!({"type": other, "data": [1]})), Ok(Heard::Nothing), "{other}");
        }
        assert_eq!(read(json!({"type": "video.asset.updated"})), Ok(Heard::Nothing));
        for data in [json!(null), json!({}), json!({"id": 1}), json!({"id": "../x"})] {
            let event = json!({"type": "video.asset.deleted", "data": data});
            let about = serde_json::from_value::<Event>(event).unwrap().about();
            assert_eq!(about.id.as_deref(), data["id"].as_str());
            assert!(read(json!({"type": "video.asset.deleted", "data": data})).is_err());
        }
    }
}
