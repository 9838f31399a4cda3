//! What is there for `PostgreSQL` only. Tests that need a server pass where there is none.

use sqlx::{Connection, PgConnection};

use super::program::Place;
use crate::harness::{TestDatabase, postgres_url};

/// Somewhere nobody listens, with a password that must not be seen.
const NOWHERE: &str = "postgres://murph:hunter2@127.0.0.1:1/murph";

#[tokio::test]
async fn ten_servers_start_at_once_on_a_new_database() {
    let Some(_) = postgres_url() else { return };
    let database = TestDatabase::empty().await;
    let place = Place::on(&database).with("database.max_connections", "2");
    let all: Vec<_> = (0..10).map(|_| place.serve(&[])).collect();
    for serving in &all {
        place.run(&["health", "--url", &serving.url()]).well();
    }
    place.run(&["rebuild"]).well();
    // Asked all at once, so that they stop all at once.
    for serving in &all {
        serving.signal("TERM");
    }
    for serving in all {
        assert_eq!(serving.ended(), Some(0));
    }
    place.run(&["check-ledger"]).well();
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let Some(server) = postgres_url() else { return };
    let url = format!("{}/no_such_one", server.rsplit_once('/').unwrap().0);
    let place = Place::sqlite().with("database.url", &url);
    place.run(&["serve"]).badly(1, &["has no database \"no_such_one\"", "createdb"]);
    place.run(&["check-ledger"]).badly(2, &["has no database"]);
}

#[tokio::test]
async fn a_wrong_user_is_named() {
    let Some(server) = postgres_url() else { return };
    // Also where every password is accepted, nobody comes in without a role.
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query("DROP ROLE IF EXISTS nobody_at_all").execute(&mut connection).await.unwrap();
    let (_, host) = server.rsplit_once('@').unwrap();
    let url = format!("postgres://nobody_at_all:hunter2@{host}");
    let complaint = Place::sqlite()
        .with("database.url", &url)
        .run(&["serve"])
        .badly(1, &["does not let the user \"nobody_at_all\" in", "database.url"]);
    assert!(!complaint.contains("hunter2"), "{complaint}");
}

#[test]
fn a_server_out_of_reach_is_named_and_its_password_is_not() {
    let place =
        Place::sqlite().with("database.url", NOWHERE).with("database.acquire_timeout_ms", "100");
    let words = ["cannot reach PostgreSQL at 127.0.0.1:1: connection refused", "database.url"];
    for (command, code) in [("serve", 1), ("migrate", 1), ("check-ledger", 2)] {
        let complaint = place.run(&[command]).badly(code, &words);
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
    let ended = place.run(&["doctor"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("WRONG    database"), "{}", ended.said);
    assert!(!ended.said.contains("hunter2"), "{}", ended.said);
}

#[test]
fn its_own_tools_copy_it() {
    let place = Place::sqlite().with("database.url", NOWHERE);
    let file = place.write("copy", "");
    for (command, tool) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let complaint = place.run(&[command, &file]).badly(2, &[tool, "murph:***@127.0.0.1"]);
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}
