//! Writes down what was done to the books: all tables, whatever the number of operations.

use sqlx::{PgConnection, SqliteConnection};

use crate::{
    db::{Conn, Tx, accounts, earnings, idempotency, journals, portable::Rows, sessions},
    domain::{books::Books, earnings::Sums},
    error::Result,
    time::Timestamp,
};

/// All statements in their order, as one script: that saves handing each to SQLite's thread.
///
/// Sessions that end come before new ones, because a student has one open at a time; those that
/// were opened and touched in one go come after them. Balances come after all that names an
/// account: on PostgreSQL each such row locks it, and that writes nothing while the account is still
/// the one that was locked when it was read. What follows from all that is added up last.
const SQLITE_SCRIPT: &str = concat!(
    insert_journals!(sqlite "1"),
    ";",
    insert_transfers!(sqlite "2"),
    ";",
    update_sessions!(sqlite "3"),
    ";",
    insert_sessions!(sqlite "4"),
    ";",
    update_sessions!(sqlite "5"),
    ";",
    update_accounts!(sqlite "6"),
    ";",
    add_quarters!(sqlite "7"),
    ";",
    add_course_earnings!(sqlite "8"),
);

/// The same, one by one.
const POSTGRES_STATEMENTS: [&str; 8] = [
    insert_journals!(postgres "1"),
    insert_transfers!(postgres "1"),
    update_sessions!(postgres "1"),
    insert_sessions!(postgres "1"),
    update_sessions!(postgres "1"),
    update_accounts!(postgres "1"),
    add_quarters!(postgres "1"),
    add_course_earnings!(postgres "1"),
];

/// Few starts come with a key, so it is a statement of its own on both.
const SQLITE_START_KEYS: &str = insert_start_keys!(sqlite "1");
const POSTGRES_START_KEYS: &str = insert_start_keys!(postgres "1");

/// Writes accounts that are new, journals, sessions, balances and sums. `false` if a row was not as it
/// was thought to be: then the transaction must not be committed, or the work done again in it if
/// it is not about sessions.
pub async fn write(tx: &mut Tx, books: &Books, now: Timestamp) -> Result<bool> {
    for change in books.changes().filter(|change| change.is_new) {
        // Somebody else has just opened it: it must be locked in its turn, like all others.
        if !accounts::insert(tx, change.account, now).await? {
            return Ok(false);
        }
    }
    let (journals, transfers) = journals::rows(books.journals());
    let (quarters, courses) = earnings::rows(&Sums::of(books.earnings()));
    let rows = [
        journals,
        transfers,
        sessions::touched(books.touched(false)),
        sessions::opened(books.opened()),
        sessions::touched(books.touched(true)),
        accounts::updates(books.changes()),
        quarters,
        courses,
    ];
    let is_as_thought = match tx.conn() {
        Conn::Sqlite(conn) => write_sqlite(conn, rows).await?,
        Conn::Postgres(conn) => write_postgres(conn, rows).await?,
    };
    if is_as_thought {
        write_start_keys(tx, books, now).await?;
    }
    Ok(is_as_thought)
}

async fn write_start_keys(tx: &mut Tx, books: &Books, now: Timestamp) -> Result<()> {
    let Rows { json, count } = idempotency::start_keys(books.requests(), now);
    if count > 0 {
        match tx.conn() {
            Conn::Sqlite(conn) => {
                sqlx::query(SQLITE_START_KEYS).bind(json).execute(conn).await?;
            }
            Conn::Postgres(conn) => {
                sqlx::query(POSTGRES_START_KEYS).bind(json).execute(conn).await?;
            }
        }
    }
    Ok(())
}

async fn write_sqlite(conn: &mut SqliteConnection, rows: [Rows; 8]) -> Result<bool> {
    let expected: u64 = rows.iter().map(|rows| rows.count).sum();
    if expected == 0 {
        return Ok(true);
    }
    let script =
        rows.into_iter().fold(sqlx::query(SQLITE_SCRIPT), |query, rows| query.bind(rows.json));
    // The sum will do: none of the statements can write more rows than it was given.
    Ok(script.execute(conn).await?.rows_affected() == expected)
}

async fn write_postgres(conn: &mut PgConnection, rows: [Rows; 8]) -> Result<bool> {
    for (statement, rows) in POSTGRES_STATEMENTS.into_iter().zip(rows) {
        if rows.count > 0 {
            let written = sqlx::query(statement).bind(rows.json).execute(&mut *conn).await?;
            if written.rows_affected() != rows.count {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
