//! The schema: the same on both databases, forward and back, and strict by itself. Whatever bug
//! Murph may have, these statements are refused.

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures_util::future::join_all;
use murph::{
    config::DatabaseUrl,
    db::{self, Db, Tx},
    error::Error,
};
use sqlx::error::ErrorKind;

use crate::{
    harness::{TestDatabase, postgres_url},
    world::{World, execute, session_of, settle_after, start_for},
};

/// A table, a column of it, and whether that may be null.
type Column = (String, String, bool);

fn migrations(database: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn both_databases_have_the_same_migrations() {
    let steps = migrations("sqlite");
    assert_eq!(steps, migrations("postgres"));
    for up in steps.iter().filter(|name| !name.ends_with(".down.sql")) {
        let down = up.replace(".sql", ".down.sql");
        assert!(steps.contains(&down), "{up} cannot be taken back");
    }
}

async fn columns(db: &Db) -> Vec<Column> {
    match db {
        Db::Sqlite { reader, .. } => sqlx::query_as(
            "SELECT t.name, c.name, c.\"notnull\" = 0
               FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
              WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%'
                AND t.name <> '_sqlx_migrations'
                -- Each finds words in a way of its own.
                AND t.name <> 'course_numbers'
              ORDER BY 1, 2",
        )
        .fetch_all(reader)
        .await
        .unwrap(),
        Db::Postgres { pool, .. } => sqlx::query_as(
            "SELECT table_name::text, column_name::text, is_nullable = 'YES'
               FROM information_schema.columns
              WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'
                AND table_name <> 'course_words'
                AND NOT (table_name = 'courses' AND column_name = 'words')
              ORDER BY table_name::text COLLATE \"C\", column_name::text COLLATE \"C\"",
        )
        .fetch_all(pool)
        .await
        .unwrap(),
    }
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let Some(_) = postgres_url() else {
        return eprintln!("skipped: there is no PostgreSQL to compare with");
    };
    let postgres = TestDatabase::migrated().await;
    let file = DatabaseUrl::Sqlite(postgres.directory.path().join("compared.db"));
    let sqlite = Db::connect(&file, &postgres.config().database).await.unwrap();
    db::migrate::up(&sqlite).await.unwrap();

    let db = postgres.connect().await;
    let ours = columns(&sqlite).await;
    assert!(ours.len() > 50, "{ours:?}");
    assert_eq!(ours, columns(&db).await);
    db.close().await;
    sqlite.close().await;
    postgres.remove().await;
}

#[tokio::test]
async fn every_step_can_be_taken_back_and_again() {
    let database = TestDatabase::migrated().await;
    let db = database.connect().await;
    let before = columns(&db).await;
    let steps = db::migrate::status(&db).await.unwrap();
    assert!(!steps.is_empty() && steps.iter().all(|step| step.applied), "{steps:?}");

    for step in steps.iter().rev() {
        assert_eq!(db::migrate::down(&db).await.unwrap().as_ref(), Some(step));
    }
    assert_eq!(db::migrate::down(&db).await.unwrap(), None);
    assert_eq!(columns(&db).await, []);
    assert!(db::migrate::status(&db).await.unwrap().iter().all(|step| !step.applied));

    db::migrate::up(&db).await.unwrap();
    assert_eq!(columns(&db).await, before);
    assert_eq!(db::migrate::status(&db).await.unwrap(), steps);
    db.close().await;
    database.remove().await;
}

async fn change(db: &Db, sql: &str) -> sqlx::Result<()> {
    let mut tx = db.begin().await.unwrap();
    execute(&mut tx, sql).await?;
    tx.commit().await.unwrap();
    Ok(())
}

#[track_caller]
fn assert_schema_error<T: std::fmt::Debug>(result: &Result<T, Error>, part: &str) {
    let text = match &result {
        Err(Error::Schema(text)) => text.as_str(),
        _ => "",
    };
    assert!(text.contains(part), "{result:?}");
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_named_and_left_alone() {
    let cases = [
        (
            "INSERT INTO _sqlx_migrations
                    (version, description, installed_on, success, checksum, execution_time)
             SELECT 9999, 'of tomorrow', installed_on, success, checksum, execution_time
               FROM _sqlx_migrations WHERE version = 1",
            "9999",
        ),
        (
            "UPDATE _sqlx_migrations SET checksum = CAST('other' AS {bytes}) WHERE version = 1",
            "step 1",
        ),
    ];
    for (sql, part) in cases {
        let database = TestDatabase::migrated().await;
        let db = database.connect().await;
        let bytes = if db.name() == "SQLite" { "BLOB" } else { "BYTEA" };
        change(&db, &sql.replace("{bytes}", bytes)).await.unwrap();
        assert_schema_error(&db::migrate::up(&db).await, part);
        if part == "9999" {
            assert_schema_error(&db::migrate::status(&db).await, part);
            assert_schema_error(&db::migrate::down(&db).await, part);
        }
        db.close().await;
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_nodes_may_migrate_at_once() {
    let database = TestDatabase::empty().await;
    let mut nodes = Vec::new();
    for _ in 0..10 {
        nodes.push(database.connect().await);
    }
    let ups = nodes.iter().map(db::migrate::up);
    for outcome in join_all(ups).await {
        outcome.unwrap();
    }
    for db in &nodes {
        assert!(db::migrate::status(db).await.unwrap().iter().all(|step| step.applied));
        db.close().await;
    }
    database.remove().await;
}

/// One settled session of a student, and an open one.
async fn lived_in() -> World {
    let world = World::start().await;
    let course = world.course("0.60").await;
    let student = world.student_with("50.00").await;
    let writer = &world.app().writer;
    let session = session_of(writer.submit(start_for(student.id, &course)).await);
    session_of(writer.submit(settle_after(&session, Duration::from_mins(10))).await);
    session_of(writer.submit(start_for(student.id, &course)).await);
    world
}

/// Does `sql` and takes it back; tells how the database refused it.
async fn refusal(world: &World, sql: &str) -> Option<(ErrorKind, String)> {
    let mut tx = world.app().db.begin().await.unwrap();
    let outcome = execute(&mut tx, sql).await;
    tx.rollback().await.unwrap();
    let error = outcome.err()?;
    let cause = error.as_database_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    Some((cause.kind(), cause.message().to_owned()))
}

/// The database must refuse `sql` as a violation of this kind.
async fn assert_refused(world: &World, what: &str, sql: &str, expected: ErrorKind) {
    let refusal = refusal(world, sql).await;
    let (kind, text) = refusal.unwrap_or_else(|| panic!("{what} was accepted"));
    assert_eq!(format!("{kind:?}"), format!("{expected:?}"), "{what}: {text}");
}

#[tokio::test]
async fn the_database_itself_keeps_accounts_in_order() {
    let world = lived_in().await;
    for (what, change, kind) in [
        ("an overdraft", "posted = held - 1", "wallet"),
        ("earnings below zero", "posted = -1", "earnings"),
        ("a hold above the balance", "held = posted + 1", "wallet"),
        ("a hold below zero", "held = -1", "wallet"),
        ("a hold on what is no wallet", "held = 1", "earnings"),
    ] {
        let sql = format!("UPDATE accounts SET {change} WHERE kind = '{kind}'");
        assert_refused(&world, what, &sql, ErrorKind::CheckViolation).await;
    }
    let delete = "DELETE FROM accounts WHERE kind = 'platform'";
    assert_refused(&world, "a vanished account", delete, ErrorKind::ForeignKeyViolation).await;
    world.close().await;
}

#[tokio::test]
async fn the_database_itself_keeps_sessions_in_order() {
    let world = lived_in().await;
    let other = "journal_id = (SELECT id FROM journals WHERE kind = 'top_up')";
    for (what, change, status) in [
        ("a cost above the hold", "cost = held + 1", "completed"),
        ("a cost that is not the price", "cost = cost - 1", "completed"),
        ("a cost while it runs", "cost = 1", "active"),
        ("more watched than lasted", "ended_at = started_at", "completed"),
        ("an end without a journal", "journal_id = NULL", "completed"),
        ("an end without a reason", "end_reason = NULL", "completed"),
        ("the journal of another", other, "completed"),
        ("a hold above the cap", "spending_cap = held - 1", "active"),
    ] {
        let sql = format!("UPDATE sessions SET {change} WHERE status = '{status}'");
        assert_refused(&world, what, &sql, ErrorKind::CheckViolation).await;
    }
    let (from, twice) = ("FROM sessions WHERE status", ErrorKind::UniqueViolation);
    let again = format!("INSERT INTO sessions SELECT * {from} = 'completed'");
    assert_refused(&world, "a session twice", &again, ErrorKind::UniqueViolation).await;
    let another = match world.app().db {
        Db::Sqlite { .. } => "randomblob(16)",
        Db::Postgres { .. } => "gen_random_uuid()",
    };
    let columns = format!(
        "{another}, student_id, course_id, teacher_id, currency, price_per_minute,
         platform_basis_points, partners, free_below_ms, spending_cap, auto_extend, wallet_id,
         held, status, fence, watched_ms, cost, started_at, ended_at, end_reason, journal_id,
         node_id, login_id, entries, stretches"
    );
    let second = format!("INSERT INTO sessions SELECT {columns} {from} = 'active'");
    assert_refused(&world, "a second open session", &second, twice).await;
    world.close().await;
}

#[tokio::test]
async fn the_database_itself_keeps_journals_in_order() {
    let world = lived_in().await;
    let journal = "INSERT INTO journals SELECT * FROM journals WHERE kind = 'settle'";
    assert_refused(&world, "a journal twice", journal, ErrorKind::UniqueViolation).await;
    // A copy of a settlement's transfers, with one column changed.
    let copy = |change: Option<(&str, &str)>| {
        let columns =
            "journal_id, seq + 10, debit_account_id, credit_account_id, currency, amount, at";
        let columns = match change {
            Some((column, value)) => columns.replace(column, value),
            None => columns.to_owned(),
        };
        format!("INSERT INTO transfers SELECT {columns} FROM transfers WHERE seq = 1")
    };
    for (what, column, value, kind) in [
        ("of no journal", "journal_id", "'settle:nothing'", ErrorKind::ForeignKeyViolation),
        ("of nothing", "amount", "0", ErrorKind::CheckViolation),
        ("backwards", "amount", "-amount", ErrorKind::CheckViolation),
        ("to itself", "credit_account_id", "debit_account_id", ErrorKind::CheckViolation),
        ("across currencies", "currency", "'EUR'", ErrorKind::ForeignKeyViolation),
    ] {
        assert_refused(&world, what, &copy(Some((column, value))), kind).await;
    }
    // So they are refused for what was changed, not for being copies.
    assert!(refusal(&world, &copy(None)).await.is_none());
    world.close().await;
}

#[tokio::test]
async fn history_is_append_only() {
    let world = lived_in().await;
    let mut statements = vec![
        "UPDATE journals SET kind = 'payout'",
        "DELETE FROM journals",
        "UPDATE transfers SET amount = amount + 1",
        "DELETE FROM transfers",
    ];
    if let Tx::Postgres(_) = world.app().db.begin().await.unwrap() {
        statements.extend(["TRUNCATE transfers", "TRUNCATE journals CASCADE"]);
    }
    for sql in statements {
        let (_, text) = refusal(&world, sql).await.unwrap_or_else(|| panic!("{sql} was accepted"));
        assert!(text.contains("append-only"), "{sql}: {text}");
    }
    world.close().await;
}
