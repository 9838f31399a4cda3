//! The command line: each command's good way, on either database. How they fail, and what is
//! there for one database only, stands below `cli/`.

mod failures;
mod postgres;
pub(crate) mod program;
mod sqlite;

use murph::{config::DatabaseUrl, db::Db};
use serde_json::json;
use sqlx::AssertSqlSafe;

use self::program::Place;
use crate::harness::{PASSWORD, TestDatabase};

/// Runs SQL that no Murph would run.
async fn meddle(database: &TestDatabase, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    match database.connect().await {
        Db::Sqlite { writer, .. } => sqlx::query(sql).execute(&writer).await.map(drop).unwrap(),
        Db::Postgres { pool, .. } => sqlx::query(sql).execute(&pool).await.map(drop).unwrap(),
    }
}

/// SQL for an account that owns money nobody gave it.
fn forgery(database: &TestDatabase) -> String {
    let (id, now) = match database.url {
        DatabaseUrl::Sqlite(_) => ("randomblob(16)", "0"),
        DatabaseUrl::Postgres(_) => ("gen_random_uuid()", "now()"),
    };
    format!(
        "INSERT INTO accounts (id, kind, name, currency, posted, held, created_at)
         VALUES ({id}, 'gateway', 'forged', 'USD', 5, 0, {now})"
    )
}

#[tokio::test]
async fn a_server_starts_by_itself_and_stops_when_asked() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database);
    let serving = place.serve(&[]);
    let said = place.run(&["health", "--url", &serving.url()]).well();
    assert!(said.starts_with("healthy: Murph "), "{said}");
    serving.stop();
    database.remove().await;
}

#[tokio::test]
async fn a_user_made_while_a_server_runs_can_sign_in() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database);
    let serving = place.serve(&["serve"]);
    let url = serving.url();

    let email = "ada@example.org";
    let create = ["user", "create", "--email", email, "--name", "Ada", "--role", "admin"];
    let id = place.run_with(&create, &format!("{PASSWORD}\n")).well();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = client
        .post(format!("{url}/api/v1/auth/login"))
        .json(&json!({"email": email, "password": PASSWORD}));
    let answer: serde_json::Value = login.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["user"]["id"], id.trim(), "{answer}");
    assert_eq!(answer["user"]["role"], "admin", "{answer}");

    place.run_with(&create, PASSWORD).badly(1, &["there is an account with this e-mail address"]);
    serving.stop();
    database.remove().await;
}

#[tokio::test]
async fn a_user_may_be_made_before_the_first_start() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database);
    let file = place.write("password", &format!("{PASSWORD}\r\n"));
    let mut create = vec!["user", "create", "--email", "ada@example.org", "--name", "Ada"];
    create.extend(["--role", "teacher", "--password-file", &file]);
    place.run(&create).well();
    database.remove().await;
}

#[tokio::test]
async fn the_schema_goes_forward_and_back() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database);
    assert!(place.run(&["migrate"]).well().ends_with("the schema is current now\n"));
    assert_eq!(place.run(&["migrate"]).well(), "the schema is current\n");
    assert!(place.run(&["migrate", "--status"]).well().starts_with("0001  taken"));

    place.run(&["migrate", "--down"]).badly(1, &["there is nobody to ask", "--yes"]);
    let steps = place.run(&["migrate", "--status"]).well().lines().count();
    for _ in 0..steps {
        assert!(place.run(&["migrate", "--down", "--yes"]).well().starts_with("took step "));
    }
    let nothing = place.run(&["migrate", "--down", "--yes"]).well();
    assert_eq!(nothing, "there is no step to take back\n");
    assert!(place.run(&["migrate", "--status"]).well().starts_with("0001  missing"));
    place.run(&["check-ledger"]).badly(2, &["has not taken step 1", "run `murph migrate`"]);
    place.run(&["migrate"]).well();
    database.remove().await;
}

#[tokio::test]
async fn a_forged_balance_is_found() {
    let database = TestDatabase::migrated().await;
    let place = Place::on(&database);
    let said = place.run(&["check-ledger"]).well();
    assert!(said.contains("\nbalanced: 0 accounts, "), "{said}");
    assert_eq!(place.run(&["check-ledger", "--json"]).json()["balanced"], true);

    meddle(&database, &forgery(&database)).await;
    let ended = place.run(&["check-ledger"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.said.contains("I1   1 wrong   the balances of each currency"), "{ended:?}");
    assert!(ended.said.contains("\nNOT balanced: 1 accounts, "), "{ended:?}");
    let ended = place.run(&["check-ledger", "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.json()["balanced"], false);
    database.remove().await;
}

#[tokio::test]
async fn a_schema_from_the_future_is_left_alone() {
    let database = TestDatabase::migrated().await;
    let place = Place::on(&database);
    meddle(&database, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 2").await;
    let words = ["newer than this Murph", "9999", "Start the Murph that wrote it"];
    place.run(&["serve"]).badly(1, &words);
    place.run(&["migrate"]).badly(1, &words);
    place.run(&["check-ledger"]).badly(2, &words);
    let ended = place.run(&["doctor"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("WRONG    schema"), "{}", ended.said);
    database.remove().await;
}

#[tokio::test]
async fn the_doctor_finds_a_murph_well_and_touches_nothing() {
    let database = TestDatabase::empty().await;
    let place = Place::on(&database);
    let files = place.files();
    let ended = place.run(&["doctor"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(place.files(), files);
    let missing = place.run(&["migrate", "--status"]).well();
    assert!(missing.contains("missing") || missing.contains("no database"), "{missing}");

    let serving = place.serve(&[]);
    let url = serving.url();
    let listen = format!("server.listen={}", url.strip_prefix("http://").unwrap());
    let ended = place.run(&["doctor", "--json", "--set", &listen]);
    let diagnosis = ended.json();
    assert_eq!(diagnosis["healthy"], true, "{ended:?}");
    let detail = |name: &str| {
        let checks = diagnosis["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["state"], "ok", "{check}");
        check["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("schema").starts_with("current, "));
    assert!(detail("listen").contains("is healthy on"));
    match database.url {
        DatabaseUrl::Sqlite(_) => {
            assert_eq!(detail("integrity"), "whole");
            assert_eq!(detail("journal"), "WAL");
            assert!(detail("secret").ends_with("mode 0600"));
        }
        DatabaseUrl::Postgres(_) => assert!(detail("clock").ends_with("ms off ours")),
    }
    serving.stop();
    database.remove().await;
}

#[test]
fn the_settings_in_effect_are_shown_without_secrets() {
    let place = Place::sqlite().with("auth.secret", "hunter2hunter2");
    let file = place.write("murph.toml", "[metering]\ntick_ms = 1234\nlock_amount = \"7.00\"\n");
    let set = ["--set", "metering.lock_amount=8.00", "--set", "fees.platform_basis_points=5"];
    let said = place.run(&[&["--config", &file], &set[..], &["config"]].concat()).well();
    for line in ["tick_ms = 1234", "lock_amount = \"8.00\"", "platform_basis_points = 5"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("secret = \"***\"") && !said.contains("hunter2"), "{said}");
}

#[test]
fn what_is_said_on_sockets_is_printed_as_it_is_in_the_file() {
    let file = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.yaml"));
    assert_eq!(Place::sqlite().run(&["asyncapi"]).well(), file);
}

/// As in `murph config | head -0`.
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    assert_eq!(Place::sqlite().run_unheard(&["config"]), Some(0));
    assert_eq!(Place::sqlite().run_unheard(&["--help"]), Some(0));
}
