//! `asyncapi.yaml` and the code say the same: types, values, refusals, close codes.

use std::collections::{BTreeMap, BTreeSet};

use murph::{
    domain::{
        session::{EndReason, SessionStatus},
        stretch::StretchKind,
    },
    id::{SessionId, VideoId},
    live::{
        close::Close,
        message::{Hello, Incoming, IncomingType, Outgoing, Tick},
    },
    money::{Currency, Money},
    time::Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::contract::{CONTRACT, Side, assert_valid_from_client, assert_valid_from_server};

const VIDEO: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The words of a phase, as the meter has them.
const PHASES: [&str; 6] = ["opening", "paused", "playing", "stalled", "suspended", "detached"];

fn written(message: &Outgoing) -> String {
    let mut text = String::new();
    message.write(&mut text);
    text
}

/// One strategy for each variant: a new one does not compile here until it has a line.
fn outgoing() -> Vec<BoxedStrategy<Outgoing>> {
    let listed = |message: &Outgoing| match message {
        Outgoing::Hello(_)
        | Outgoing::Tick(_)
        | Outgoing::State { .. }
        | Outgoing::LowBalance { .. }
        | Outgoing::Extended { .. }
        | Outgoing::Drain { .. }
        | Outgoing::Superseded
        | Outgoing::Receipt(_)
        | Outgoing::Error { .. } => (),
    };
    listed(&Outgoing::Superseded);
    let state = (phases(), prop::sample::select(StretchKind::ALL));
    let error = ("\\PC{0,80}", any::<bool>());
    vec![
        hellos().prop_map(Outgoing::Hello).boxed(),
        ticks().prop_map(Outgoing::Tick).boxed(),
        state.prop_map(|(phase, reason)| Outgoing::State { phase, reason }).boxed(),
        any::<u64>().prop_map(|remaining_ms| Outgoing::LowBalance { remaining_ms }).boxed(),
        amounts().prop_map(|held| Outgoing::Extended { held }).boxed(),
        any::<u64>().prop_map(|reconnect_after_ms| Outgoing::Drain { reconnect_after_ms }).boxed(),
        Just(Outgoing::Superseded).boxed(),
        receipts().prop_map(|receipt| Outgoing::receipt(&receipt).unwrap()).boxed(),
        error
            .prop_map(|(detail, terminal)| Outgoing::Error { code: "busy", detail, terminal })
            .boxed(),
    ]
}

fn any_outgoing() -> impl Strategy<Value = Outgoing> {
    prop::strategy::Union::new(outgoing())
}

fn amounts() -> impl Strategy<Value = Money> {
    (0..=i64::MAX).prop_map(Money::from_micros)
}

fn phases() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PHASES[..])
}

fn moments() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_000_i64).prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn hellos() -> impl Strategy<Value = Hello> {
    let money = (amounts(), amounts(), amounts(), amounts());
    let times = any::<(u64, u64, Option<u64>)>();
    (moments(), phases(), money, times, 1_u64.., any::<bool>()).prop_map(
        |(now, phase, money, times, tick_ms, short_session_free)| Hello {
            session_id: SessionId::new(now),
            phase,
            watched_ms: times.0,
            cost: money.0,
            held: money.1,
            available: money.2,
            price_per_minute: money.3,
            currency: "KES".parse::<Currency>().unwrap(),
            tick_ms,
            grace_ms: times.1,
            short_session_free,
            remaining_ms: times.2,
        },
    )
}

fn ticks() -> impl Strategy<Value = Tick> {
    (any::<(u64, u64, Option<u64>)>(), amounts(), amounts(), prop_oneof![Just(0), any::<u64>()])
        .prop_map(|((seq, watched_ms, remaining_ms), cost, held, free_remaining_ms)| Tick {
            seq,
            watched_ms,
            cost,
            held,
            remaining_ms,
            free_remaining_ms,
        })
}

/// What REST gives, made of the types that it is made of.
fn receipts() -> impl Strategy<Value = Value> {
    let words = (
        prop::sample::select(vec![SessionStatus::Completed, SessionStatus::Cancelled]),
        prop::sample::select(EndReason::ALL),
        prop::sample::select(vec![None, Some("short_session"), Some("free_course")]),
        prop::collection::vec(prop::sample::select(StretchKind::ALL), 0..9),
    );
    (moments(), amounts(), any::<u64>(), words, 0..=100_u8).prop_map(
        |(now, money, ms, (status, end_reason, free_reason, kinds), percentage)| {
            let stretches = kinds.into_iter().map(|kind| {
                json!({ "kind": kind, "charged": kind == StretchKind::Watched, "from_ms": ms,
                        "duration_ms": ms, "cost": money })
            });
            json!({
                "session_id": SessionId::new(now), "course_id": SessionId::new(now),
                "course_title": "Knots", "status": status, "end_reason": end_reason,
                "started_at": now, "ended_at": now, "currency": "KES", "price_per_minute": money,
                "watched_ms": ms, "cost": money, "held": money, "refund": money,
                "was_free": free_reason.is_some(), "free_reason": free_reason,
                "split": { "teacher": money, "platform": money,
                           "partners": [{ "name": "Library", "amount": money }] },
                "stretches": stretches.collect::<Vec<_>>(),
                "videos": [{ "video_id": VideoId::new(now), "title": "Bowline", "watched_ms": ms,
                             "position_ms": ms, "watch_percentage": percentage }],
            })
        },
    )
}

/// One message of every kind, by its type.
fn one_of_each() -> BTreeMap<String, Outgoing> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut sample = |strategy: BoxedStrategy<_>| strategy.new_tree(&mut runner).unwrap().current();
    let messages = outgoing().into_iter().map(&mut sample);
    let named = |message: Outgoing| {
        let value: Value = serde_json::from_str(&written(&message)).unwrap();
        (value["type"].as_str().unwrap().to_owned(), message)
    };
    messages.map(named).collect()
}

#[test]
fn the_file_and_the_code_have_the_same_messages() {
    let in_file = |from| CONTRACT.messages(from).keys().cloned().collect::<BTreeSet<_>>();
    let read = IncomingType::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(in_file(Side::Client), read);
    assert_eq!(in_file(Side::Server), one_of_each().into_keys().collect());
    let listed = CONTRACT.document["channels"]["session"]["messages"].as_object().unwrap();
    let sides = in_file(Side::Client).into_iter().chain(in_file(Side::Server)).collect();
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), sides);
}

#[test]
fn the_file_and_the_code_have_the_same_words() {
    let schemas = &CONTRACT.document["components"]["schemas"];
    assert_eq!(schemas["Phase"]["enum"], json!(PHASES));
    assert_eq!(schemas["StretchKind"]["enum"], json!(StretchKind::ALL));
    assert_eq!(schemas["Receipt"]["properties"]["end_reason"]["enum"], json!(EndReason::ALL));
    assert_eq!(CONTRACT.document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_file_and_the_code_have_the_same_close_codes() {
    let rows = CONTRACT.document["x-close-codes"].as_array().unwrap();
    let ours = rows.iter().filter(|row| row["by"] == "murph");
    let ours: BTreeMap<_, _> = ours
        .map(|row| (row["code"].as_u64().unwrap(), row["reconnect"].as_bool().unwrap()))
        .collect();
    let expected = Close::ALL.iter().map(|close| (close.code().into(), close.invites_back()));
    assert_eq!(ours, expected.collect());

    let inviting = rows.iter().filter(|row| row["reconnect"] == true);
    let inviting: Vec<_> = inviting.map(|row| row["code"].as_u64().unwrap()).collect();
    assert_eq!(inviting, [1001, 1006, 1011, 1012, 4008]);
    let prose = CONTRACT.document["info"]["description"].as_str().unwrap();
    assert!(prose.contains("after these close codes: 1001, 1006, 1011, 1012, 4008."));
}

#[test]
fn every_example_is_what_it_is_an_example_of() {
    for side in [Side::Client, Side::Server] {
        for (message_type, message) in CONTRACT.messages(side) {
            assert!(!message.examples.is_empty(), "{message_type} has no example");
            for example in &message.examples {
                assert_eq!(example["type"], **message_type);
            }
        }
    }
    examples(Side::Server).for_each(|text| assert_valid_from_server(&text));
}

#[test]
fn every_example_from_a_player_is_read() {
    for text in examples(Side::Client) {
        assert_valid_from_client(&text);
        assert!(Incoming::parse(&text).is_ok(), "{text}");
    }
}

fn examples(from: Side) -> impl Iterator<Item = String> {
    CONTRACT.messages(from).values().flat_map(|message| &message.examples).map(Value::to_string)
}

/// Otherwise a schema that forgets a field would let it pass.
#[test]
fn messages_of_the_server_have_all_their_fields_and_no_others() {
    for (message_type, message) in one_of_each() {
        let whole: Value = serde_json::from_str(&written(&message)).unwrap();
        assert_valid_from_server(&whole.to_string());
        for field in whole.as_object().unwrap().keys() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(field);
            let is_optional = field == "free_remaining_ms";
            let judged = CONTRACT.judge(Side::Server, &less.to_string());
            assert_eq!(judged.is_ok(), is_optional, "{message_type} without {field}");
        }
        let mut more = whole;
        more["colour"] = json!("red");
        assert!(CONTRACT.judge(Side::Server, &more.to_string()).is_err(), "{message_type}");
    }
}

/// What code and file both take from a player.
#[rustfmt::skip]
const TAKEN: &[&str] = &[
    r#"{"type":"play","position_ms":0}"#,
    r#"{"type":"play","position_ms":0,"video_id":null}"#,
    r#"{"type":"play","position_ms":0,"video_id":"VIDEO"}"#,
    r#"{"type":"play","position_ms":5000.0,"colour":"red"}"#,
    r#"{"type":"play","position_ms":5e3}"#,
    r#"{"type":"play","position_ms":1000000000000000000}"#,
    r#"{"type":"play","position_ms":9223372036854775807}"#,
    r#"{"type":"progress","position_ms":0}"#,
    r#"{"type":"progress","position_ms":0,"rate":0.1}"#,
    r#"{"type":"progress","position_ms":0,"rate":16}"#,
    r#"{"type":"progress","position_ms":0,"rate":1.2000000000000002}"#,
    r#"{"type":"progress","position_ms":0,"visible":false,"muted":true}"#,
    r#"{"type":"pause"}"#,
    r#"{"type":"pause","position_ms":"left out"}"#,
    r#"{"type":"extend","amount":"10.00"}"#,
    r#"{"type":"extend","amount":"007"}"#,
    r#"{"type":"extend","amount":"0.000001"}"#,
    r#"{"type":"extend","amount":"1.10000000"}"#,
    r#"{"type":"extend","amount":"1000000000"}"#,
    r#"{"type":"extend","amount":0.1}"#,
    r#"{"type":"extend","amount":2.345678}"#,
    r#"{"type":"extend","amount":1000000000}"#,
    r#"{"type":"end"}"#,
];

/// What code and file both refuse.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    r#"{"type":"play","position_ms":0,"video_id":"{VIDEO}"}"#,
    r#"{"type":"play","position_ms":0,"video_id":"urn:uuid:VIDEO"}"#,
    r#"{"type":"play","position_ms":0,"video_id":"7"}"#,
    r#"{"type":"play","position_ms":0,"video_id":""}"#,
    r#"{"type":"play","position_ms":0,"video_id":7}"#,
    r#"{"type":"play"}"#,
    r#"{"type":"play","position_ms":9223372036854775808}"#,
    r#"{"type":"play","position_ms":1000000000000000000000000000000}"#,
    r#"{"type":"play","position_ms":-1}"#,
    r#"{"type":"play","position_ms":1.5}"#,
    r#"{"type":"play","position_ms":"0"}"#,
    r#"{"type":"play","position_ms":null}"#,
    r#"{"type":"progress","position_ms":0,"rate":0.09}"#,
    r#"{"type":"progress","position_ms":0,"rate":16.01}"#,
    r#"{"type":"progress","position_ms":0,"rate":0}"#,
    r#"{"type":"progress","position_ms":0,"rate":-1}"#,
    r#"{"type":"progress","position_ms":0,"rate":"1"}"#,
    r#"{"type":"progress","position_ms":0,"rate":null}"#,
    r#"{"type":"progress","position_ms":0,"visible":0}"#,
    r#"{"type":"progress","position_ms":0,"muted":null}"#,
    r#"{"type":"extend","amount":"1000000000.000001"}"#,
    r#"{"type":"extend","amount":"0.0000001"}"#,
    r#"{"type":"extend","amount":"0.00"}"#,
    r#"{"type":"extend","amount":"-1"}"#,
    r#"{"type":"extend","amount":"1,5"}"#,
    r#"{"type":"extend","amount":" 1"}"#,
    r#"{"type":"extend","amount":"NaN"}"#,
    r#"{"type":"extend","amount":""}"#,
    r#"{"type":"extend","amount":1000000001}"#,
    r#"{"type":"extend","amount":1e309}"#,
    r#"{"type":"extend","amount":0.0000001}"#,
    r#"{"type":"extend","amount":1.0000001}"#,
    r#"{"type":"extend","amount":0}"#,
    r#"{"type":"extend","amount":-5}"#,
    r#"{"type":"extend","amount":null}"#,
    r#"{"type":"extend"}"#,
    r#"{"type":"End"}"#,
    r#"{"type":"tick"}"#,
    r#"{"type":null}"#,
    r#"{"type":["end"]}"#,
    "{}",
    "[]",
    "null",
    "",
    r#"{"type":"end""#,
    r#"{"type":"end"}{"type":"end"}"#,
];

#[test]
fn what_is_read_is_what_the_file_allows() {
    let deep = format!(r#"{{"type":"pause","x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let taken = TAKEN.iter().copied().chain([&*deep]).map(|text| (text, true));
    for (text, is_taken) in taken.chain(REFUSED.iter().map(|text| (*text, false))) {
        let text = text.replace("VIDEO", VIDEO);
        assert_eq!(Incoming::parse(&text).is_ok(), is_taken, "the code on {text}");
        let judged = CONTRACT.judge(Side::Client, &text);
        assert_eq!(judged.is_ok(), is_taken, "the file on {text}: {judged:?}");
    }
}

/// The other way round there is only what no schema can say: a key that is there twice.
#[test]
fn the_code_takes_a_little_more_than_the_file_promises() {
    for amount in ["1e1", "+5", "5.", ".5"] {
        let text = format!(r#"{{"type":"extend","amount":"{amount}"}}"#);
        assert!(Incoming::parse(&text).is_ok(), "{text}");
        assert!(CONTRACT.judge(Side::Client, &text).is_err(), "{text}");
    }
    let twice = r#"{"type":"end","type":"end"}"#;
    assert!(Incoming::parse(twice).is_err() && CONTRACT.judge(Side::Client, twice).is_ok());
}

/// Any value a field may be given, and a few more. Numbers are written as players write them.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        r"-?(0|[1-9][0-9]{0,18})",
        r"-?(0|[1-9][0-9]{0,3})\.[0-9]{1,2}",
        r#""[0-9]{0,11}""#,
        r#""[0-9]{1,11}\.[0-9]{1,8}""#,
        r#""[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}""#,
        r#"true|false|null|\[\]|\{\}|"""#,
    ]
}

proptest! {
    /// Every message the server can send is one the file describes.
    #[test]
    fn every_message_of_the_server_is_in_the_file(message in any_outgoing()) {
        let text = written(&message);
        prop_assert_eq!(CONTRACT.judge(Side::Server, &text), Ok(()), "{}", text);
        prop_assert!(text.starts_with(r#"{"type":""#), "{}", text);
    }

    /// Whatever a player says, code and file agree on whether it is taken.
    #[test]
    fn code_and_file_agree_on_every_value(
        message_type in prop::sample::select(IncomingType::ALL),
        fields in prop::collection::btree_map(
            "video_id|position_ms|rate|visible|muted|amount|colour", values(), 0..4),
    ) {
        let fields = fields.iter().map(|(key, value)| format!(r#","{key}":{value}"#));
        let text = format!(r#"{{"type":"{message_type}"{}}}"#, fields.collect::<String>());
        let judged = CONTRACT.judge(Side::Client, &text);
        prop_assert_eq!(Incoming::parse(&text).is_ok(), judged.is_ok(), "{}: {:?}", text, judged);
    }
}
