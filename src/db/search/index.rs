//! What courses are found by: written whenever a course is.

use super::{ARROW, BEYOND};
use crate::{
    db::{Conn, Tx, courses},
    domain::{catalogue::FoundBy, course::Course},
    error::Result,
};

/// How many courses are in memory while all are cut into words.
const FILLED_AT_ONCE: i64 = 100;

/// Has all courses be found that are on offer, if none is. Any number of nodes may try at once.
pub(in crate::db) async fn fill(tx: &mut Tx) -> Result<()> {
    if let Conn::Postgres(conn) = tx.conn() {
        // Others wait for as long as it takes, and find it done.
        for setting in ["SET LOCAL lock_timeout = 0", "SET LOCAL statement_timeout = 0"] {
            sqlx::query(setting).execute(&mut *conn).await?;
        }
        let lock = "LOCK TABLE course_words IN SHARE ROW EXCLUSIVE MODE";
        sqlx::query(lock).execute(conn).await?;
    }
    if !is_missing(tx).await? {
        return Ok(());
    }
    let mut before = BEYOND;
    loop {
        let courses = courses::list_before(tx, before, FILLED_AT_ONCE).await?;
        let Some(oldest) = courses.last() else { return Ok(()) };
        before = oldest.id;
        for course in &courses {
            index(tx, course).await?;
        }
    }
}

/// Whether there is something on offer, and nothing to be found: words are cut here, and no migration
/// can do so.
pub(in crate::db) async fn is_missing(tx: &mut Tx) -> Result<bool> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM courses WHERE status = 'published')
            AND NOT EXISTS (SELECT 1 FROM course_words)",
    )
    .fetch_one(conn)
    .await)?)
}

/// Has a course be found by its words, as it is now.
pub async fn index(tx: &mut Tx, course: &Course) -> Result<()> {
    let FoundBy { title, description } = FoundBy::of(course);
    match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query(SQLITE_FORGET).bind(course.id).execute(&mut *conn).await?;
            if !(title.is_empty() && description.is_empty()) {
                let in_title = title.iter().map(|word| format!("{ARROW}{word}"));
                let words: Vec<_> =
                    title.iter().chain(&description).cloned().chain(in_title).collect();
                let find = sqlx::query(SQLITE_FIND).bind(course.id).bind(words.join(" "));
                find.execute(conn).await?;
            }
        }
        Conn::Postgres(conn) => {
            sqlx::query(POSTGRES_FORGET).bind(course.id).execute(&mut *conn).await?;
            for statement in [POSTGRES_FIND, POSTGRES_HAS] {
                let find = sqlx::query(statement).bind(course.id);
                find.bind(&title).bind(&description).execute(&mut *conn).await?;
            }
        }
    }
    Ok(())
}

const SQLITE_FORGET: &str = "
    DELETE FROM course_words
     WHERE rowid = (SELECT -number FROM course_numbers WHERE course_id = $1)";

const SQLITE_FIND: &str = "
    INSERT INTO course_words (rowid, words)
    SELECT -number, $2 FROM course_numbers WHERE course_id = $1";

/// The words that it had are known by its tsvector.
const POSTGRES_FORGET: &str = "
    DELETE FROM course_words k USING courses c, unnest(tsvector_to_array(c.words)) AS had(word)
     WHERE c.id = $1 AND k.word = had.word AND k.in_title IN (FALSE, TRUE) AND k.course_id = $1";

const POSTGRES_FIND: &str = "
    INSERT INTO course_words (word, in_title, course_id)
    SELECT word, TRUE, $1 FROM unnest($2::text[]) AS title(word)
     UNION
    SELECT word, FALSE, $1 FROM unnest($2::text[] || $3::text[]) AS anywhere(word)";

const POSTGRES_HAS: &str =
    "UPDATE courses SET words = array_to_tsvector($2::text[] || $3::text[]) WHERE id = $1";
