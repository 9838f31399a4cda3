//! What is said on a socket: messages in, messages out.
//!
//! Text and values only: nothing here knows of a socket, a meter or a database. `asyncapi.yaml` says
//! the same to others, and `tests/it/contract.rs` holds the two together.
//!
//! A player may send anything. Reading it never panics, takes time in proportion to its length, and
//! goes through no float. What is refused is refused with a [`Complaint`] that says why.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Write},
};

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    domain::{stretch::StretchKind, word_enum},
    id::{SessionId, VideoId},
    money::{Amount, Currency, Money},
};

/// All of this for others to read, and to make clients from.
pub const ASYNCAPI: &str = include_str!("../../asyncapi.yaml");

/// The slowest and the fastest that a player may say it plays, in hundredths of the usual speed.
const RATE_PERCENT: std::ops::RangeInclusive<u16> = 10..=1_600;

/// The most that is repeated of what a player sent, in bytes.
const REPEATED_MAX: usize = 40;

word_enum! {
    /// The `type` of a message from a player.
    IncomingType {
        Play = "play",
        Progress = "progress",
        Pause = "pause",
        Extend = "extend",
        End = "end",
    }
}

/// A message from a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Starts charging, or goes on.
    Play { video_id: Option<VideoId>, position_ms: u64 },
    /// Where the playhead is, and how it moves: the proof that something plays.
    Progress(Progress),
    /// Stops charging.
    Pause,
    /// Lets the hold grow.
    Extend { amount: Amount },
    /// Settles now.
    End,
}

/// What a player says of its playing, about every tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub video_id: Option<VideoId>,
    pub position_ms: u64,
    /// How fast it plays: 100 is the usual speed.
    pub rate_percent: u16,
    pub visible: bool,
    pub muted: bool,
}

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// Not one JSON object, or one with a key twice: whoever sends that is no player of ours.
    #[error("the message cannot be read: {0}")]
    BadMessage(String),
    #[error("there is no message {0:?}")]
    UnknownType(String),
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: Cow<'static, str> },
}

impl Complaint {
    fn invalid(field: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// What clients branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadMessage(_) => "bad_message",
            Self::UnknownType(_) => "unknown_type",
            Self::Invalid { .. } => "invalid",
        }
    }

    /// Whether the socket is closed over it, with `Close::Protocol`.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::BadMessage(_))
    }
}

impl Incoming {
    /// Reads a message. Fields that a message of its type does not have are not looked at.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let fields: Fields = serde_json::from_str(text)
            .map_err(|error| Complaint::BadMessage(without_position(&error.to_string())))?;
        match fields.message_type()? {
            IncomingType::Play => {
                Ok(Self::Play { video_id: fields.video_id()?, position_ms: fields.position_ms()? })
            }
            IncomingType::Progress => Ok(Self::Progress(Progress {
                video_id: fields.video_id()?,
                position_ms: fields.position_ms()?,
                rate_percent: fields.rate_percent()?,
                visible: flag("visible", fields.visible, true)?,
                muted: flag("muted", fields.muted, false)?,
            })),
            IncomingType::Pause => Ok(Self::Pause),
            IncomingType::Extend => Ok(Self::Extend { amount: fields.amount()? }),
            IncomingType::End => Ok(Self::End),
        }
    }
}

/// The values of all fields that some message has, as they were sent.
#[derive(Default)]
struct Fields<'a> {
    message_type: Option<&'a RawValue>,
    video_id: Option<&'a RawValue>,
    position_ms: Option<&'a RawValue>,
    rate: Option<&'a RawValue>,
    visible: Option<&'a RawValue>,
    muted: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "type" => &mut self.message_type,
            "video_id" => &mut self.video_id,
            "position_ms" => &mut self.position_ms,
            "rate" => &mut self.rate,
            "visible" => &mut self.visible,
            "muted" => &mut self.muted,
            "amount" => &mut self.amount,
            _ => return None,
        })
    }

    fn message_type(&self) -> Result<IncomingType, Complaint> {
        let value = present("type", self.message_type)?;
        let word: Cow<str> = serde_json::from_str(value.get())
            .map_err(|_| Complaint::invalid("type", "must be a string"))?;
        word.parse().map_err(|_| Complaint::UnknownType(shortened(&word)))
    }

    fn video_id(&self) -> Result<Option<VideoId>, Complaint> {
        let Some(value) = self.video_id else { return Ok(None) };
        serde_json::from_str(value.get())
            .map_err(|_| Complaint::invalid("video_id", "must be the id of a video, or null"))
    }

    /// Any whole number that fits an `i64`. Whether a video is that long, the meter judges.
    fn position_ms(&self) -> Result<u64, Complaint> {
        let value = present("position_ms", self.position_ms)?;
        number(value)
            .filter(|number| number.fract().is_zero())
            .and_then(|number| number.to_i64())
            .and_then(|position| u64::try_from(position).ok())
            .ok_or_else(|| Complaint::invalid("position_ms", "must be a whole number from 0"))
    }

    /// To the nearest hundredth. Players add up floats, and so may say 1.2000000000000002.
    fn rate_percent(&self) -> Result<u16, Complaint> {
        let Some(value) = self.rate else { return Ok(100) };
        let (slowest, fastest) = (*RATE_PERCENT.start(), *RATE_PERCENT.end());
        number(value)
            .and_then(|rate| rate.checked_mul(Decimal::ONE_HUNDRED))
            .filter(|rate| (slowest.into()..=fastest.into()).contains(rate))
            .and_then(|rate| {
                rate.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_u16()
            })
            .ok_or_else(|| Complaint::invalid("rate", "must be a number from 0.1 to 16"))
    }

    fn amount(&self) -> Result<Amount, Complaint> {
        let value = present("amount", self.amount)?;
        serde_json::from_str(value.get())
            .map_err(|error| Complaint::invalid("amount", without_position(&error.to_string())))
    }
}

fn present<'a>(
    field: &'static str,
    value: Option<&'a RawValue>,
) -> Result<&'a RawValue, Complaint> {
    value.ok_or_else(|| Complaint::invalid(field, "is missing"))
}

fn flag(field: &'static str, value: Option<&RawValue>, default: bool) -> Result<bool, Complaint> {
    match value.map(RawValue::get) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Complaint::invalid(field, "must be true or false")),
    }
}

/// The number that `value` is. `None` too if it is out of all proportion.
fn number(value: &RawValue) -> Option<Decimal> {
    let digits = value.get();
    if digits.contains(['e', 'E']) {
        Decimal::from_scientific(digits).ok()
    } else {
        digits.parse().ok()
    }
}

/// `serde_json` adds where in the text it was, which says little about one line.
fn without_position(message: &str) -> String {
    shortened_to(200, message.rfind(" at line ").map_or(message, |end| &message[..end]))
}

/// The beginning of a text that may be as long as the player liked.
fn shortened(text: &str) -> String {
    shortened_to(REPEATED_MAX, text)
}

fn shortened_to(most: usize, text: &str) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> de::Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        // One reader takes the first of two, another the last: so neither is taken.
        let mut others = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            let is_new = if let Some(slot) = fields.slot(&key) {
                slot.replace(entries.next_value()?).is_none()
            } else {
                entries.next_value::<de::IgnoredAny>()?;
                others.insert(key.clone())
            };
            if !is_new {
                let key = shortened(&key);
                return Err(de::Error::custom(format_args!("{key:?} is there twice")));
            }
        }
        Ok(fields)
    }
}

/// A key, borrowed from the text if nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A message to a player. Every total is of the whole session, every time a span.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outgoing {
    /// The first message: everything a player has to know, whether it is new or was here before.
    Hello(Hello),
    Tick(Tick),
    /// Something else goes on from now.
    State {
        /// The word of the session's phase.
        phase: &'static str,
        reason: StretchKind,
    },
    LowBalance {
        remaining_ms: u64,
    },
    Extended {
        held: Money,
    },
    /// This node stops: come back in a while, any node will do.
    Drain {
        reconnect_after_ms: u64,
    },
    /// Another socket meters this session now.
    Superseded,
    /// The last message of a session that has ended, as REST gives it.
    Receipt(Map<String, Value>),
    Error {
        code: &'static str,
        detail: String,
        /// Whether the socket is closed after it.
        terminal: bool,
    },
}

/// A session as it is when its player connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hello {
    pub session_id: SessionId,
    /// The word of the session's phase.
    pub phase: &'static str,
    pub watched_ms: u64,
    pub cost: Money,
    pub held: Money,
    /// What of the wallet is not held, by this session or any other.
    pub available: Money,
    pub price_per_minute: Money,
    pub currency: Currency,
    pub tick_ms: u64,
    pub grace_ms: u64,
    /// Whether this session is free if it ends soon.
    pub short_session_free: bool,
    /// How long the hold lasts. `None`: the course is free.
    pub remaining_ms: Option<u64>,
}

/// What a session costs by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tick {
    /// Goes up by one with every tick of a socket; a gap shows that some were left out.
    pub seq: u64,
    pub watched_ms: u64,
    pub cost: Money,
    pub held: Money,
    /// How long the hold lasts. `None`: the course is free.
    pub remaining_ms: Option<u64>,
    /// How much longer ending would cost nothing. Left out when it is zero.
    #[serde(skip_serializing_if = "is_zero")]
    pub free_remaining_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

impl Outgoing {
    /// The receipt of a session, which has to be a JSON object.
    pub fn receipt(receipt: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::from_value(serde_json::to_value(receipt)?).map(Self::Receipt)
    }

    /// Appends the message as JSON, its `type` first.
    pub fn write(&self, out: &mut impl Write) {
        if let Self::Tick(tick) = self {
            return tick.write(out);
        }
        let text = serde_json::to_string(self).expect("a message is plain data");
        out.write_str(&text).expect("a buffer in memory takes everything");
    }
}

impl From<Complaint> for Outgoing {
    fn from(complaint: Complaint) -> Self {
        Self::Error {
            code: complaint.code(),
            detail: complaint.to_string(),
            terminal: complaint.is_terminal(),
        }
    }
}

impl Tick {
    /// Appends the tick as JSON, allocating nothing if `out` has room: every playing session gets
    /// one every few seconds.
    pub fn write(&self, out: &mut impl Write) {
        self.try_write(out).expect("a buffer in memory takes everything");
    }

    fn try_write(&self, out: &mut impl Write) -> fmt::Result {
        let Self { seq, watched_ms, cost, held, remaining_ms, free_remaining_ms } = self;
        write!(out, r#"{{"type":"tick","seq":{seq},"watched_ms":{watched_ms},"cost":"{cost}""#)?;
        match remaining_ms {
            Some(ms) => write!(out, r#","held":"{held}","remaining_ms":{ms}"#)?,
            None => write!(out, r#","held":"{held}","remaining_ms":null"#)?,
        }
        match free_remaining_ms {
            0 => out.write_char('}'),
            ms => write!(out, r#","free_remaining_ms":{ms}}}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VIDEO: &str = "01890000-0000-7000-8000-000000000000";

    /// The message `type` with `fields` behind it.
    fn message(message_type: &str, fields: &str) -> String {
        format!(r#"{{"type":"{message_type}"{fields}}}"#).replace("VIDEO", VIDEO)
    }

    /// The code of the complaint, and the field it is about.
    fn refusal(text: &str) -> (&'static str, Option<&'static str>) {
        let complaint = Incoming::parse(text).expect_err(text);
        match complaint {
            Complaint::Invalid { field, .. } => (complaint.code(), Some(field)),
            _ => (complaint.code(), None),
        }
    }

    fn progress(fields: &str) -> Progress {
        match Incoming::parse(&message("progress", fields)) {
            Ok(Incoming::Progress(progress)) => progress,
            other => panic!("{fields}: {other:?}"),
        }
    }

    #[test]
    fn every_message_is_read() {
        let video_id = Some(VIDEO.parse().unwrap());
        let play = message("play", r#","video_id":"VIDEO","position_ms":61000"#);
        let expected = Incoming::Play { video_id, position_ms: 61_000 };
        assert_eq!(Incoming::parse(&play), Ok(expected));

        let all = r#","video_id":"VIDEO","position_ms":1,"rate":1.5,"visible":false,"muted":true"#;
        let expected =
            Progress { video_id, position_ms: 1, rate_percent: 150, visible: false, muted: true };
        assert_eq!(progress(all), expected);

        let amount = Amount::try_from(Money::from_micros(10_000_000)).unwrap();
        for text in [r#","amount":"10.00""#, r#","amount":10"#, r#","amount":1e1"#] {
            assert_eq!(Incoming::parse(&message("extend", text)), Ok(Incoming::Extend { amount }));
        }
        assert_eq!(Incoming::parse(&message("pause", "")), Ok(Incoming::Pause));
        assert_eq!(Incoming::parse(&message("end", "")), Ok(Incoming::End));
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let expected = Progress {
            video_id: None,
            position_ms: 0,
            rate_percent: 100,
            visible: true,
            muted: false,
        };
        assert_eq!(progress(r#","position_ms":0"#), expected);
        assert_eq!(progress(r#","position_ms":0,"video_id":null"#), expected);
    }

    #[test]
    fn fields_of_other_messages_are_not_looked_at() {
        let deep = format!(r#","x":{}{}"#, "[".repeat(1_000), "]".repeat(1_000));
        for fields in [
            r#","position_ms":-1,"amount":[],"rate":"x","visible":0,"muted":{},"video_id":7"#,
            r#","colour":"red","":null,"n":1e999999999,"y":{"z":1,"z":2}"#,
            &deep,
        ] {
            assert_eq!(Incoming::parse(&message("pause", fields)), Ok(Incoming::Pause));
        }
    }

    #[test]
    fn positions_are_whole_numbers_that_fit() {
        for (text, position_ms) in [
            ("1000000000000000000", 1_000_000_000_000_000_000),
            ("9223372036854775807", 9_223_372_036_854_775_807),
            ("5000.0", 5_000),
            ("5e3", 5_000),
            ("-0", 0),
        ] {
            let progress = progress(&format!(r#","position_ms":{text}"#));
            assert_eq!(progress.position_ms, position_ms, "{text}");
        }
        for text in [
            "-1",
            "1.5",
            "9223372036854775808",
            "1000000000000000000000000000000",
            "1e30",
            "1e999999999999",
            "1e-1",
            "null",
            "\"1\"",
            "true",
            "[1]",
            "{}",
        ] {
            for message_type in ["play", "progress"] {
                let text = message(message_type, &format!(r#","position_ms":{text}"#));
                assert_eq!(refusal(&text), ("invalid", Some("position_ms")), "{text}");
            }
        }
        assert_eq!(refusal(&message("play", "")), ("invalid", Some("position_ms")));
    }

    #[test]
    fn rates_are_read_to_the_hundredth() {
        let rate = |text: &str| format!(r#","position_ms":0,"rate":{text}"#);
        for (text, percent) in [
            ("1", 100),
            ("1.0", 100),
            ("0.1", 10),
            ("16", 1_600),
            ("16.00", 1_600),
            ("1.25", 125),
            ("1.005", 101),
            ("1.2000000000000002", 120),
            ("1e1", 1_000),
            ("125e-2", 125),
            ("1.00000000000000000000000000000000000000000000000000", 100),
        ] {
            assert_eq!(progress(&rate(text)).rate_percent, percent, "{text}");
        }
        for text in [
            "0",
            "-1",
            "0.09",
            "0.0999",
            "16.001",
            "17",
            "1e9",
            "1e-9",
            "79228162514264337593543950335",
            "null",
            "\"1\"",
            "[]",
        ] {
            let text = message("progress", &rate(text));
            assert_eq!(refusal(&text), ("invalid", Some("rate")), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (message_type, fields, field) in [
            ("play", r#","position_ms":0,"video_id":"7""#, "video_id"),
            ("play", r#","position_ms":0,"video_id":7"#, "video_id"),
            ("progress", r#","position_ms":0,"visible":1"#, "visible"),
            ("progress", r#","position_ms":0,"visible":null"#, "visible"),
            ("progress", r#","position_ms":0,"muted":"true""#, "muted"),
            ("extend", "", "amount"),
            ("extend", r#","amount":"0""#, "amount"),
            ("extend", r#","amount":-1"#, "amount"),
            ("extend", r#","amount":"0.0000001""#, "amount"),
            ("extend", r#","amount":1e309"#, "amount"),
            ("extend", r#","amount":"NaN""#, "amount"),
            ("extend", r#","amount":null"#, "amount"),
        ] {
            let text = message(message_type, fields);
            assert_eq!(refusal(&text), ("invalid", Some(field)), "{text}");
        }
        assert_eq!(refusal("{}"), ("invalid", Some("type")));
        assert_eq!(refusal(r#"{"type":7}"#), ("invalid", Some("type")));
        assert_eq!(refusal(r#"{"type":null}"#), ("invalid", Some("type")));
    }

    #[test]
    fn unknown_types_are_told_apart_from_broken_messages() {
        for text in
            [message("rewind", ""), message("", ""), message("Play", ""), message("tick", "")]
        {
            assert_eq!(refusal(&text), ("unknown_type", None), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_ends_the_conversation() {
        for text in [
            "",
            " ",
            "null",
            "[]",
            r#"["pause"]"#,
            r#""pause""#,
            "7",
            "{",
            r#"{"type":"pause"}{}"#,
            r#"{"type":"pause",}"#,
            r#"{"type":"pause","type":"pause"}"#,
            r#"{"type":"pause","t\u0079pe":"end"}"#,
            r#"{"type":"play","position_ms":1,"position_ms":2}"#,
            r#"{"type":"pause","amount":1,"amount":2}"#,
            r#"{"type":"pause","x":1,"y":2,"x":1}"#,
            r#"{"type":"pause","x":[}"#,
            "{\"type\":\"pa\nuse\"}",
            "\u{feff}{\"type\":\"pause\"}",
            "{'type':'pause'}",
            "pause",
        ] {
            assert_eq!(refusal(text), ("bad_message", None), "{text}");
            assert!(Incoming::parse(text).unwrap_err().is_terminal());
        }
    }

    #[test]
    fn long_nonsense_is_not_repeated_at_length() {
        let long = "ü\\n".repeat(2_000);
        for text in [
            message(&long, ""),
            message("pause", &format!(r#","{long}":1,"{long}":2"#)),
            message("extend", &format!(r#","amount":"{long}""#)),
            message("play", &format!(r#","position_ms":1,"video_id":"{long}""#)),
            long,
        ] {
            let complaint = Incoming::parse(&text).unwrap_err();
            assert!(complaint.to_string().len() < 300, "{complaint}");
        }
    }

    #[test]
    fn a_complaint_becomes_an_error() {
        let mut out = String::new();
        Outgoing::from(Incoming::parse("{").unwrap_err()).write(&mut out);
        let detail = "the message cannot be read: EOF while parsing an object";
        let expected = format!(
            r#"{{"type":"error","code":"bad_message","detail":"{detail}","terminal":true}}"#
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn a_receipt_is_what_rest_gives_and_its_type() {
        let receipt = serde_json::json!({ "cost": "0.20", "was_free": false });
        let mut out = String::from("> ");
        Outgoing::receipt(&receipt).unwrap().write(&mut out);
        assert_eq!(out, r#"> {"type":"receipt","cost":"0.20","was_free":false}"#);
        assert!(Outgoing::receipt(&7).is_err());
    }

    proptest! {
        /// No text makes the reader panic.
        #[test]
        fn any_text_is_an_answer(text in any::<String>()) {
            let _ = Incoming::parse(&text);
        }

        /// Nor does any value of any field.
        #[test]
        fn any_value_is_an_answer(
            message_type in prop::sample::select(IncomingType::ALL),
            key in "type|video_id|position_ms|rate|visible|muted|amount|x",
            value in r#"[-+]?[0-9]{0,40}(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,25})?|"[ -~]{0,30}"|[ -~]{0,9}"#,
        ) {
            let text = message(message_type.as_str(), &format!(r#","{key}":{value}"#));
            let _ = Incoming::parse(&text);
        }

        /// A tick written by hand is what serde makes of it.
        #[test]
        fn a_tick_is_written_as_serde_would(
            (seq, watched_ms, free_remaining_ms) in any::<(u64, u64, u64)>(),
            (cost, held) in any::<(i64, i64)>(),
            remaining_ms in any::<Option<u64>>(),
            is_free in any::<bool>(),
        ) {
            let (cost, held) = (Money::from_micros(cost), Money::from_micros(held));
            let free_remaining_ms = if is_free { free_remaining_ms } else { 0 };
            let tick = Tick { seq, watched_ms, cost, held, remaining_ms, free_remaining_ms };
            let mut written = String::new();
            Outgoing::Tick(tick).write(&mut written);
            prop_assert_eq!(written, serde_json::to_string(&Outgoing::Tick(tick)).unwrap());
        }
    }
}
