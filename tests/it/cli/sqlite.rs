//! What is there for `SQLite` only: one server a file, copies, and the file's permissions.

use std::{fs, io::Write, net::TcpStream};

use sqlx::{Connection, SqliteConnection};

use super::program::{Ended, Place, mode};
use crate::harness::PASSWORD;

fn create(place: &Place, email: &str) -> Ended {
    let create = ["user", "create", "--email", email, "--name", "Ada", "--role", "student"];
    place.run_with(&create, PASSWORD)
}

#[test]
fn a_second_server_on_one_file_is_refused() {
    let place = Place::sqlite();
    let serving = place.serve(&[]);
    serving.url();
    let words = ["another Murph is at work on", "murph.db", "stop it first"];
    place.run(&["serve"]).badly(1, &words);
    // Neither does another data directory help, nor another name for the file.
    let link = place.path("link.db");
    std::os::unix::fs::symlink(place.path("murph.db"), &link).unwrap();
    let url = format!("database.url=sqlite://{}", link.display());
    let set = ["serve", "--set", "server.data_dir=other", "--set", &url];
    place.run(&set).badly(1, &["another Murph is at work on"]);
    place.run(&["migrate", "--down", "--yes"]).badly(1, &words);
    place.run(&["rebuild"]).badly(1, &words);
    place.run(&["check-ledger"]).well();
    serving.stop();
    place.run(&["rebuild"]).well();
    place.serve(&[]).url();
}

#[test]
fn the_secret_is_private_and_kept() {
    let place = Place::sqlite();
    let first = place.serve(&[]);
    first.url();
    let secret = fs::read_to_string(place.path("auth_secret")).unwrap();
    first.stop();
    let second = place.serve(&[]);
    second.url();
    assert_eq!(fs::read_to_string(place.path("auth_secret")).unwrap(), secret);
    second.stop();
    for file in ["auth_secret", "murph.db"] {
        assert_eq!(mode(&place.path(file)), 0o600, "{file}");
    }

    fs::set_permissions(
        place.path("auth_secret"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let ended = place.run(&["doctor"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("mend: chmod 600 "), "{}", ended.said);
}

#[test]
fn a_copy_made_while_serving_brings_the_old_state_back() {
    let place = Place::sqlite();
    let copy = place.path("copy.db").to_str().unwrap().to_owned();
    let serving = place.serve(&[]);
    serving.url();
    create(&place, "before@example.org").well();
    assert!(place.run(&["backup", &copy]).well().contains("whole and balanced"));
    assert_eq!(mode(&place.path("copy.db")), 0o600);
    create(&place, "after@example.org").well();
    place.run(&["restore", &copy]).badly(1, &["another Murph is at work on", "stop it first"]);
    serving.stop();

    let said = place.run(&["restore", &copy]).well();
    assert!(said.contains("murph.db.before-restore-"), "{said}");
    create(&place, "before@example.org").badly(1, &["there is an account"]);
    create(&place, "after@example.org").well();
    let files = place.files();
    let aside = files.iter().filter(|name| name.contains(".before-restore-")).count();
    assert_eq!(aside, 1, "{files:?}");
    assert!(!files.iter().any(|name| name.contains("unfinished")), "{files:?}");
    place.run(&["check-ledger"]).well();
}

/// What was acknowledged is in the log, which a killed server leaves behind.
#[test]
fn a_killed_server_can_be_looked_at_copied_and_restored_over() {
    let place = Place::sqlite();
    let serving = place.serve(&[]);
    serving.url();
    create(&place, "ada@example.org").well();
    serving.signal("KILL");
    assert_eq!(serving.ended(), None);
    place.run(&["check-ledger"]).well();
    let copy = place.path("copy.db").to_str().unwrap().to_owned();
    place.run(&["backup", &copy]).well();
    place.run(&["restore", &copy]).well();
    create(&place, "ada@example.org").badly(1, &["there is an account"]);
}

#[test]
fn a_copy_goes_nowhere_else() {
    let place = Place::sqlite();
    place.run(&["migrate"]).well();
    let file = place.write("there", "mine");
    place.run(&["backup", &file]).badly(1, &["is there already", "choose another name"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    place
        .run(&["backup", "no/such/place"])
        .badly(1, &["cannot make no/such/place", "no such file"]);
}

#[tokio::test]
async fn what_is_no_good_copy_is_not_restored() {
    let place = Place::sqlite();
    create(&place, "ada@example.org").well();
    let text = place.write("text.db", "This is a text and long enough to be anything else.");
    place.run(&["restore", &text]).badly(1, &["text.db is not a SQLite database"]);
    place.run(&["restore", "nothing.db"]).badly(1, &["there is no nothing.db", "check the path"]);

    let other = format!("sqlite://{}?mode=rwc", place.path("other.db").display());
    let mut connection = SqliteConnection::connect(&other).await.unwrap();
    sqlx::query("CREATE TABLE notes (text TEXT)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    place.run(&["restore", "other.db"]).badly(1, &["other.db is not a database of Murph"]);

    place.run(&["backup", "wrong.db"]).well();
    let wrong = format!("sqlite://{}", place.path("wrong.db").display());
    let mut connection = SqliteConnection::connect(&wrong).await.unwrap();
    let forgery = "INSERT INTO accounts (id, kind, name, currency, posted, held, created_at)
                   VALUES (randomblob(16), 'gateway', 'forged', 'USD', 5, 0, 0)";
    sqlx::query(forgery).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    place.run(&["restore", "wrong.db"]).badly(1, &["wrong.db cannot be", "does not balance"]);

    let bytes = fs::read(place.path("wrong.db")).unwrap();
    fs::write(place.path("short.db"), &bytes[..bytes.len() / 2]).unwrap();
    place.run(&["restore", "short.db"]).badly(1, &["short.db", "damaged"]);

    // After all that, the database is still the one it was.
    create(&place, "ada@example.org").badly(1, &["there is an account"]);
    assert!(!place.files().iter().any(|name| name.contains("unfinished")), "{:?}", place.files());
}

#[test]
fn a_second_signal_ends_a_server_that_waits() {
    let place = Place::sqlite();
    let serving = place.serve(&[]);
    let url = serving.url();
    let mut client = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    // A request whose body does not come keeps a graceful stop waiting.
    let request = "POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\n\
                   Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    client.write_all(request.as_bytes()).unwrap();
    serving.signal("TERM");
    serving.line_with("asked to stop");
    serving.signal("INT");
    serving.line_with("ended at once by a second signal");
    assert_eq!(serving.ended(), Some(1));
}
