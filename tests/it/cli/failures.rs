//! Whatever is wrong, one sentence on standard error says what, and what to do about it.

use std::{fs, net::TcpListener};

use super::program::Place;
use crate::harness::PASSWORD;

#[test]
fn a_setting_that_does_not_exist_is_named() {
    let place = Place::sqlite();
    let set = ["serve", "--set", "server.listenn=127.0.0.1:1"];
    place.run(&set).badly(1, &["server.listenn: there is no such setting", "server.listen?"]);
    place.run(&["check-ledger", "--set", "a.b=1"]).badly(2, &["a.b: there is no such setting"]);
    let missing = ["--config", "missing.toml", "serve"];
    place.run(&missing).badly(1, &["missing.toml"]);
    let ended = place.run(&["doctor", "--set", "metering.tick_ms=1"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("WRONG    configuration"), "{}", ended.said);
    place.run(&["serve", "--set", "log.filter=a=b=c"]).badly(1, &["log.filter", "write it as"]);
}

#[test]
fn a_wrong_database_url_is_refused() {
    for url in ["mysql://u:hunter2@h/d", "sqlite::memory:", "murph.db", "postgres://u:hun/ter2@h"] {
        let place = Place::sqlite().with("database.url", url);
        let complaint = place.run(&["serve"]).badly(1, &["database.url: ", "; "]);
        assert!(!complaint.contains("hunter2") && !complaint.contains("ter2@"), "{complaint}");
    }
}

#[test]
fn what_is_no_command_is_explained() {
    let place = Place::sqlite();
    for arguments in [&["srve"][..], &["--set", "x", "serve"], &["user"], &["restore"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(!ended.complaint.is_empty());
    }
    assert!(place.run(&["--help"]).well().contains("check-ledger"));
    assert!(place.run(&["--version"]).well().starts_with("murph "));
}

#[test]
fn a_database_that_is_none_is_refused_by_every_command() {
    let place = Place::sqlite();
    fs::create_dir(place.path("murph.db")).unwrap();
    let words = ["murph.db is a directory", "name a file in it"];
    for (command, code) in [("serve", 1), ("migrate", 1), ("check-ledger", 2)] {
        place.run(&[command]).badly(code, &words);
    }
    fs::remove_dir(place.path("murph.db")).unwrap();
    place.write("murph.db", "This is a text and long enough to be anything else.");
    for (command, code) in [("serve", 1), ("migrate", 1), ("check-ledger", 2)] {
        place.run(&[command]).badly(code, &["murph.db is not a SQLite database", "check"]);
    }
}

#[test]
fn looking_makes_no_database() {
    let place = Place::sqlite();
    for (command, code) in [("check-ledger", 2), ("backup", 1)] {
        let arguments = [command, "copy.db"];
        let arguments = if command == "backup" { &arguments[..] } else { &arguments[..1] };
        place.run(arguments).badly(code, &["there is no database at", "murph serve"]);
    }
    let nothing: [&str; 0] = [];
    assert_eq!(place.files(), nothing);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let place = Place::sqlite();
    let file = place.write("file", "");
    // Below a file there is no directory, not even for root.
    let place = place.with("server.data_dir", &format!("{file}/data"));
    place.run(&["serve"]).badly(1, &["cannot make the directory", "/file/data"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::sqlite();
    let listen = format!("server.listen={}", taken.local_addr().unwrap());
    let words = ["cannot listen on 127.0.0.1:", "in use", "server.listen"];
    place.run(&["serve", "--set", &listen]).badly(1, &words);
    let elsewhere = ["serve", "--set", "server.listen=192.0.2.1:80"];
    place.run(&elsewhere).badly(1, &["cannot listen on 192.0.2.1:80", "server.listen"]);
}

#[test]
fn a_server_that_is_not_there_is_not_healthy() {
    let place = Place::sqlite();
    // Nobody who is not root listens there, and nobody else does.
    let nowhere = ["health", "--set", "server.listen=127.0.0.1:1"];
    place.run(&nowhere).badly(1, &["not healthy: http://127.0.0.1:1", "is Murph running there?"]);
    place.run(&["health", "--url", "nonsense"]).badly(1, &["is no URL; write it as http://"]);
    place.run(&["health"]).badly(1, &["leaves the port open; name the server with --url"]);
}

#[test]
fn a_user_is_checked_before_anything_is_made() {
    let place = Place::sqlite();
    let create = |email: &str, name: &str, password: &str| {
        let create = ["user", "create", "--email", email, "--name", name, "--role", "admin"];
        place.run_with(&create, password)
    };
    create("nobody", "Ada", PASSWORD).badly(1, &["--email is not an e-mail address"]);
    create("a@b.c", "", PASSWORD).badly(1, &["--name must have 1 to 100 characters"]);
    create("a@b.c", "Ada", "short").badly(1, &["the password must have at least"]);
    create("a@b.c", "Ada", "").badly(1, &["the password must have at least"]);
    create("a@b.c", "Ada", "two long\nlines here\n").badly(1, &["more than one line"]);
    let nothing: [&str; 0] = [];
    assert_eq!(place.files(), nothing);
    let mut file = vec!["user", "create", "--email", "a@b.c", "--name", "Ada"];
    file.extend(["--role", "admin", "--password-file", "missing"]);
    place.run(&file).badly(1, &["cannot read the password in missing"]);
}

#[test]
fn production_does_not_step_back_unasked() {
    let place = Place::sqlite()
        .with("server.mode", "production")
        .with("server.public_url", "https://murph.example.org")
        .with("payments.gateway", "none");
    place.run(&["migrate"]).well();
    place.run(&["migrate", "--down"]).badly(1, &["this is production", "--yes"]);
    assert!(place.run(&["migrate", "--status"]).well().contains("taken"));
}
