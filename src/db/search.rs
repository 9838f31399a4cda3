//! Finding courses by words. On SQLite by FTS5, to which the words of a title are given a second time,
//! with an arrow in front. On PostgreSQL by a table of words and courses, in the order in which these
//! are listed, and beside each course a tsvector of the words that it has.
//!
//! PostgreSQL's own index of tsvectors knows no order: a word of half of all courses would be found
//! in half of them, and these sorted, for a page of twenty. So `course_words` leads, and the tsvectors
//! say whether a course has words that begin somehow.
//!
//! What is written to either is cut by [`FoundBy`](crate::domain::catalogue::FoundBy), and only what is on
//! offer is found: see [`index()`].

mod index;
mod lead;

use sqlx::FromRow;
use uuid::Uuid;

pub use self::index::index;
pub(super) use self::index::{fill, is_missing};
use self::lead::Lead;
use crate::{
    db::{
        Conn, Tx,
        catalogue::{Listed, ListedRow},
    },
    domain::catalogue::{Filter, Place, Shelf, Sort, Tier, Words},
    error::Result,
    id::{CategoryId, CourseId, UserId},
    money::Money,
};

/// So many entries of words that begin alike are looked at.
const BEGINNINGS_MAX: i64 = 2_000;

/// Courses with the words of a search that can be put in order.
pub const PLACES_MAX: i64 = 500;

/// Newer than any course.
const BEYOND: CourseId = CourseId::from_uuid(Uuid::max());

/// In front of a word of a title. No word has it.
const ARROW: char = '→';

/// Asks on either database: `$after` and `$limit`, and what the filter lets through, are bound; the words
/// are not.
macro_rules! ask {
    ($row:ty, $sql:expr, $filter:expr, $after:expr, $limit:expr) => {
        sqlx::query_as::<_, $row>($sql)
            .bind(category($filter))
            .bind(teacher($filter))
            .bind($filter.currency)
            .bind($filter.min_price)
            .bind($filter.max_price)
            .bind($filter.min_rating)
            .bind($after)
            .bind($limit)
            .bind($filter.level)
    };
}

/// At most `limit` courses on offer that have all `words`, in one tier, the newest first.
pub async fn search(
    tx: &mut Tx,
    words: &Words,
    filter: &Filter,
    (tier, after): (Tier, Option<CourseId>),
    limit: i64,
) -> Result<Vec<Listed>> {
    macro_rules! ask_for {
        ($sql:expr) => {
            ask!(ListedRow, $sql, filter, after.unwrap_or(BEYOND), limit)
        };
    }
    let rows = match tx.conn() {
        Conn::Sqlite(conn) => {
            ask_for!(SQLITE).bind(sqlite_words(words, tier)).fetch_all(conn).await?
        }
        Conn::Postgres(conn) if tier == Tier::Begins => {
            let ask = ask_for!(POSTGRES_BEGINS).bind(words.longest());
            ask.bind(postgres_beginnings(words)).bind(BEGINNINGS_MAX).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => {
            let Lead { first, second, others } = Lead::of(conn, words, tier).await?;
            match (second, tier) {
                (None, Tier::Title) => ask_for!(POSTGRES_TITLE).bind(first).bind(others),
                (None, _) => ask_for!(POSTGRES_TEXT).bind(first).bind(others),
                (second, Tier::Title) => {
                    ask_for!(POSTGRES_TITLE_OF_TWO).bind(first).bind(others).bind(second)
                }
                (second, _) => ask_for!(POSTGRES_TEXT_OF_TWO).bind(first).bind(others).bind(second),
            }
            .fetch_all(conn)
            .await?
        }
    };
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// Where the courses on offer stand that have all `words`, anywhere in them or as the beginnings of longer
/// ones, and that the filter lets through. `None`: more than [`PLACES_MAX`] have the words.
pub async fn places(
    tx: &mut Tx,
    words: &Words,
    filter: &Filter,
    (sort, tier): (Sort, Tier),
) -> Result<Option<Vec<Place>>> {
    macro_rules! ask_for {
        ($sql:expr) => {
            ask!(FoundRow, $sql, filter, BEYOND, PLACES_MAX + 1)
        };
    }
    let rows = match tx.conn() {
        Conn::Sqlite(conn) => {
            let words = match tier {
                Tier::Begins => sqlite_words(words, tier),
                Tier::Title | Tier::Text => sqlite_anywhere(words),
            };
            ask_for!(SQLITE_PLACES).bind(words).fetch_all(conn).await?
        }
        Conn::Postgres(conn) if tier == Tier::Begins => {
            let (longest, most) = (words.longest(), 10 * PLACES_MAX);
            let entries: i64 = sqlx::query_scalar(COUNT_BEGINNINGS)
                .bind(longest)
                .bind(most)
                .fetch_one(&mut *conn)
                .await?;
            if entries == most {
                return Ok(None);
            }
            let ask = ask_for!(POSTGRES_PLACES_OF_BEGINNINGS).bind(longest);
            ask.bind(postgres_beginnings(words)).bind(most).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => match Lead::of(conn, words, Tier::Text).await? {
            Lead { first, second: None, others } => {
                ask_for!(POSTGRES_PLACES).bind(first).bind(others).fetch_all(conn).await?
            }
            Lead { first, second, others } => {
                let ask = ask_for!(POSTGRES_PLACES_OF_TWO).bind(first).bind(others);
                ask.bind(second).fetch_all(conn).await?
            }
        },
    };
    if rows.first().is_some_and(|row| row.found > PLACES_MAX) {
        return Ok(None);
    }
    Ok(Some(rows.into_iter().filter_map(|row| row.place(sort)).collect()))
}

/// How many courses have the words, and one that fits, if any does.
#[derive(FromRow)]
struct FoundRow {
    found: i64,
    id: Option<CourseId>,
    price_per_minute: Option<Money>,
    rating: Option<i64>,
}

impl FoundRow {
    fn place(self, sort: Sort) -> Option<Place> {
        let value = sort.value(self.price_per_minute?, self.rating?);
        Some(Place { id: self.id?, value })
    }
}

/// What must hold of a course besides its words.
macro_rules! on_offer {
    () => {
        "c.status = 'published'
         AND ($1 IS NULL OR c.category_id = $1) AND ($2 IS NULL OR c.teacher_id = $2)
         AND ($3 IS NULL OR c.currency = $3)
         AND ($4 IS NULL OR c.price_per_minute >= $4)
         AND ($5 IS NULL OR c.price_per_minute <= $5) AND c.rating >= $6
         AND ($9 IS NULL OR c.level = $9)"
    };
}

/// `CROSS`: the words lead, and their order is the list's. Rows have the negative of a course's number,
/// as FTS5 walks up several times faster than down.
const SQLITE: &str = listed!(
    ", n.number FROM course_words w CROSS JOIN course_numbers n ON n.number = -w.rowid
       CROSS JOIN courses c ON c.id = n.course_id
     WHERE course_words MATCH $10 AND w.rowid > coalesce(
         (SELECT -number FROM course_numbers WHERE course_id = $7), -9223372036854775807) AND ",
    on_offer!(),
    " ORDER BY w.rowid LIMIT $8";
    "number DESC"
);

/// A page of the courses that a lead finds, of which `$and` holds: in a `CASE`, so that PostgreSQL does not
/// take the rest for a better way to find them, and sorts all it has found; and what costs more comes last.
macro_rules! postgres {
    ($lead:expr, $and:expr) => {
        listed!(
            " FROM (",
            $lead,
            ") w JOIN courses c ON c.id = w.course_id WHERE CASE WHEN ",
            on_offer!(),
            " THEN ",
            $and,
            " ELSE FALSE END ORDER BY w.course_id DESC LIMIT $8";
            "c.id DESC"
        )
    };
}

/// How many a lead finds, but not more than `$8`; and if they are fewer, where those stand that fit.
macro_rules! places {
    ($lead:expr, $join:literal) => {
        concat!(
            "WITH found AS MATERIALIZED (",
            $lead,
            " LIMIT $8)
             SELECT (SELECT COUNT(*) FROM found) AS found, c.id, c.price_per_minute, c.rating
               FROM (SELECT 1 AS one) always LEFT JOIN (
                    SELECT c.id, c.price_per_minute, c.rating FROM found w ",
            $join,
            " WHERE (SELECT COUNT(*) FROM found) < $8 AND ",
            on_offer!(),
            ") c ON TRUE"
        )
    };
}

/// Whether one of some words is not among those of the course that `$of` leads to.
macro_rules! lacks {
    ($of:literal, $in_title:literal, $words:literal) => {
        concat!(
            "EXISTS (SELECT FROM unnest(",
            $words,
            ") AS asked(word) WHERE NOT EXISTS (SELECT FROM course_words k WHERE k.word = asked.word
                AND k.in_title = ",
            $in_title,
            " AND k.course_id = ",
            $of,
            ".course_id))"
        )
    };
}

/// Whether the words are not all in its title. Mostly that is said by the first one; not by an `EXISTS`, for
/// which PostgreSQL would read all courses that have it.
macro_rules! lacks_in_title {
    ($others:literal) => {
        concat!(
            "((SELECT k.word FROM course_words k WHERE k.word = $10 AND k.in_title = TRUE
                 AND k.course_id = w.course_id) IS NULL OR ",
            lacks!("w", "TRUE", $others),
            ")"
        )
    };
}

/// Courses that have a word, in one tier, and all others.
macro_rules! led {
    ($in_title:literal, $joined:expr) => {
        concat!(
            "SELECT a.course_id FROM course_words a ",
            $joined,
            " WHERE a.word = $10 AND a.in_title = ",
            $in_title,
            " AND a.course_id < $7 AND CASE WHEN ",
            lacks!("a", $in_title, "$11::text[]"),
            " THEN FALSE ELSE TRUE END"
        )
    };
}

/// Both words have their courses in the same order, so that these are merged.
macro_rules! led_by_two {
    ($in_title:literal) => {
        led!(
            $in_title,
            concat!(
                "JOIN course_words b ON b.word = $12 AND b.in_title = ",
                $in_title,
                // Known already, but not to PostgreSQL, which would begin with the newest each time.
                " AND b.course_id < $7 AND b.course_id = a.course_id"
            )
        )
    };
}

/// Courses that have words which begin like these.
macro_rules! led_by_beginnings {
    () => {
        "SELECT DISTINCT longer.course_id
           FROM (SELECT course_id FROM course_words
                  WHERE word >= $10 AND word < $10 || chr(1114111) ORDER BY word LIMIT $12) longer
           JOIN courses has ON has.id = longer.course_id
          WHERE longer.course_id < $7 AND has.words @@ (SELECT CAST($11 AS tsquery))"
    };
}

const POSTGRES_TITLE: &str = postgres!(led!("TRUE", ""), "TRUE");

const POSTGRES_TEXT: &str = postgres!(led!("FALSE", ""), lacks_in_title!("$11::text[]"));

const POSTGRES_TITLE_OF_TWO: &str = postgres!(led_by_two!("TRUE"), "TRUE");

const POSTGRES_TEXT_OF_TWO: &str =
    postgres!(led_by_two!("FALSE"), lacks_in_title!("$11::text[] || $12::text"));

const POSTGRES_BEGINS: &str = postgres!(led_by_beginnings!(), "TRUE");

const SQLITE_PLACES: &str = places!(
    "SELECT n.course_id FROM course_words w CROSS JOIN course_numbers n ON n.number = -w.rowid
      WHERE course_words MATCH $10 AND n.course_id < $7",
    "CROSS JOIN courses c ON c.id = w.course_id"
);

/// One by one: PostgreSQL would read all courses, as it does not know how few are found. In their order,
/// so that two lists are walked beside each other and no further than they have to be.
macro_rules! postgres_places {
    ($lead:expr) => {
        places!(
            concat!($lead, " ORDER BY course_id DESC"),
            "CROSS JOIN LATERAL (SELECT * FROM courses c WHERE c.id = w.course_id LIMIT 1) c"
        )
    };
}

const POSTGRES_PLACES: &str = postgres_places!(led!("FALSE", ""));

const POSTGRES_PLACES_OF_TWO: &str = postgres_places!(led_by_two!("FALSE"));

const POSTGRES_PLACES_OF_BEGINNINGS: &str = postgres_places!(led_by_beginnings!());

/// Entries of words that begin like this one.
const COUNT_BEGINNINGS: &str = "
    SELECT COUNT(*) FROM (SELECT FROM course_words
                           WHERE word >= $1 AND word < $1 || chr(1114111) LIMIT $2) found";

fn category(filter: &Filter) -> Option<CategoryId> {
    match filter.shelf {
        Shelf::Category(id) => Some(id),
        Shelf::All | Shelf::Teacher(_) | Shelf::Own(_) => filter.category_id,
    }
}

fn teacher(filter: &Filter) -> Option<UserId> {
    match filter.shelf {
        Shelf::Teacher(id) | Shelf::Own(id) => Some(id),
        Shelf::All | Shelf::Category(_) => None,
    }
}

/// A search as FTS5 reads it. Words are letters and digits, so quotes are enough.
fn sqlite_words(words: &Words, tier: Tier) -> String {
    let in_title = || joined(words, " AND ", |word| format!("\"{ARROW}{word}\""));
    match tier {
        Tier::Title => in_title(),
        Tier::Text => format!("({}) NOT ({})", sqlite_anywhere(words), in_title()),
        Tier::Begins => joined(words, " AND ", |word| format!("\"{word}\" *")),
    }
}

fn sqlite_anywhere(words: &Words) -> String {
    joined(words, " AND ", |word| format!("\"{word}\""))
}

/// Words that only begin like these, as PostgreSQL reads it.
fn postgres_beginnings(words: &Words) -> String {
    joined(words, " & ", |word| format!("'{word}':*"))
}

fn joined(words: &Words, by: &str, each: impl Fn(&str) -> String) -> String {
    let words: Vec<String> = words.as_slice().iter().map(|word| each(word)).collect();
    words.join(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_words_and_nothing_else() {
        let words = Words::of("Rust \"OR");
        assert_eq!(sqlite_words(&words, Tier::Title), r#""→rust" AND "→or""#);
        assert_eq!(sqlite_words(&words, Tier::Begins), r#""rust" * AND "or" *"#);
        assert_eq!(postgres_beginnings(&words), "'rust':* & 'or':*");
        let one = Words::of("ab");
        assert_eq!(sqlite_words(&one, Tier::Text), r#"("ab") NOT ("→ab")"#);
    }
}
