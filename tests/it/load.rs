//! `murph load` against a real server: short fleets that pause, lose their connections and end in
//! every way.

use serde_json::Value;

use crate::{
    cli::program::{Place, Serving},
    harness::TestDatabase,
};

/// A server that ticks fast, so that seconds are enough.
async fn school() -> (TestDatabase, Place, Serving) {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database)
        .with("metering.tick_ms", "200")
        .with("metering.min_session_seconds", "1")
        .with("metering.reconnect_grace_ms", "3000")
        .with("auth.register_per_hour_per_address", "1000");
    let serving = place.serve(&[]);
    (database, place, serving)
}

fn load(place: &Place, url: &str, arguments: &str) -> Value {
    let mut all = vec!["load", "--url", url, "--json"];
    all.extend(arguments.split_whitespace());
    let ended = place.run(&all);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["told_equals_ledger"], true, "{report}");
    assert_eq!(report["errors"], serde_json::json!({}), "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_players_are_told_is_what_the_ledger_says() {
    let (database, place, serving) = school().await;
    let fleet = "--players 20 --rate 20 --duration 4s --pause-percent 50 --drop-percent 50 \
                 --end mixed --price 0.61";
    let report = load(&place, &serving.url(), fleet);
    assert_eq!((&report["players"], &report["sessions"]), (&20.into(), &20.into()), "{report}");
    assert_eq!(report["free_sessions"], 0, "{report}");
    for happened in ["ticks", "reconnects"] {
        assert!(report[happened].as_u64().unwrap() > 0, "{happened}: {report}");
    }
    for reason in ["ended_by_student", "disconnected"] {
        assert!(report["end_reasons"][reason].as_u64().unwrap() > 0, "{reason}: {report}");
    }
    assert_ne!(report["receipts_sum"], "0.00", "{report}");
    assert_eq!(report["receipts_sum"], report["wallets_sum"], "{report}");
    place.run(&["check-ledger"]).well();
    serving.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_play_with_the_accounts_of_an_earlier_run() {
    let (database, place, serving) = school().await;
    let url = serving.url();
    let fleet = "--players 6 --rate 20 --duration 1500ms --processes 2 --accounts-file accounts";
    let first = load(&place, &url, fleet);
    assert_eq!((&first["players"], &first["sessions"]), (&6.into(), &6.into()), "{first}");
    let students = || {
        let school = std::fs::read_to_string(place.path("accounts")).unwrap();
        let school: Value = serde_json::from_str(&school).unwrap();
        let students = school["students"].as_array().unwrap().iter();
        students.map(|student| student["email"].clone()).collect::<Vec<_>>()
    };
    let before = students();
    assert_eq!(before.len(), 6);
    assert_eq!(load(&place, &url, fleet)["sessions"], 6);
    assert_eq!(students(), before, "nobody had to be made");
    serving.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_interrupted_ends_its_sessions() {
    let (database, place, serving) = school().await;
    let url = serving.url();
    let fleet = place.serve(&[
        "load",
        "--url",
        &url,
        "--players",
        "3",
        "--duration",
        "1h",
        "--end",
        "drop",
    ]);
    serving.line_with("opened session");
    fleet.signal("INT");
    // Well, and so all that was started has been settled and compared.
    assert_eq!(fleet.ended(), Some(0));
    serving.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_limits_registrations_is_named() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database).with("auth.register_per_hour_per_address", "2");
    place.run(&["load", "--url", "http://127.0.0.1:1"]).badly(1, &["cannot register", "connect"]);
    place.run(&["load", "--url", "https://127.0.0.1"]).badly(1, &["speaks no TLS"]);
    let serving = place.serve(&[]);
    let url = serving.url();
    place
        .run(&["load", "--url", &url, "--players", "5"])
        .badly(1, &["rate_limited", "--set auth.register_per_hour_per_address="]);
    serving.stop();
    database.remove().await;
}
