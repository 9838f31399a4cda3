//! Finding courses by words: FTS5 on SQLite; on PostgreSQL tsvectors, and beside them for each word
//! the courses that have it, in the order in which they are listed.
//!
//! PostgreSQL's own index of a tsvector knows no order: a word of half of all courses would be
//! found in half of them, and these sorted, for a page of twenty. So `course_words` leads, by the
//! rarest of the words, and the tsvectors say whether a course has the others; unless that one is
//! so rare that few courses can have them all. Triggers keep all of it beside the courses.

use crate::{
    db::{
        Conn, Tx,
        catalogue::{Listed, ListedRow},
    },
    domain::catalogue::{Filter, Shelf, Tier, Words},
    error::Result,
    id::{CategoryId, CourseId, UserId},
};

/// A word of more courses than these is not counted further: it is not rare.
const COUNTED_MAX: i64 = 2_000;

/// So many entries of words that begin alike are looked at.
const BEGINNINGS_MAX: i64 = 2_000;

/// At most `limit` courses on offer that have all `words`, in one tier, the newest first.
pub async fn search(
    tx: &mut Tx,
    words: &Words,
    filter: &Filter,
    (tier, after): (Tier, Option<CourseId>),
    limit: i64,
) -> Result<Vec<Listed>> {
    let (sql, lead, all_words) = match tx.conn() {
        Conn::Sqlite(_) => (SQLITE, sqlite_words(words, tier), None),
        Conn::Postgres(_) => {
            let (lead, is_rare) = leading_word(tx, words, tier).await?;
            let sql = match tier {
                Tier::Title if is_rare => POSTGRES_RARE_TITLE,
                Tier::Title => POSTGRES_TITLE,
                Tier::Text if is_rare => POSTGRES_RARE_TEXT,
                Tier::Text => POSTGRES_TEXT,
                Tier::Begins => POSTGRES_BEGINS,
            };
            (sql, lead, Some(postgres_words(words, tier)))
        }
    };
    let rows: Vec<ListedRow> = on!(tx, conn => sqlx::query_as(sql)
        .bind(lead)
        .bind(all_words)
        .bind(category(filter))
        .bind(teacher(filter))
        .bind(filter.currency)
        .bind(filter.min_price)
        .bind(filter.max_price)
        .bind(filter.min_rating)
        .bind(after)
        .bind(limit)
        .bind(BEGINNINGS_MAX)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// What must hold of a course besides its words.
macro_rules! on_offer {
    () => {
        "c.status = 'published'
         AND ($3 IS NULL OR c.category_id = $3) AND ($4 IS NULL OR c.teacher_id = $4)
         AND ($5 IS NULL OR c.currency = $5)
         AND ($6 IS NULL OR c.price_per_minute >= $6)
         AND ($7 IS NULL OR c.price_per_minute <= $7) AND c.rating >= $8"
    };
}

/// `CROSS`: the words lead, and their order is the list's.
const SQLITE: &str = listed!(
    ", n.number FROM course_words w CROSS JOIN course_numbers n ON n.number = w.rowid
       CROSS JOIN courses c ON c.id = n.course_id
     WHERE course_words MATCH $1 AND w.rowid < coalesce(
         (SELECT number FROM course_numbers WHERE course_id = $9), 9223372036854775807)",
    " AND $2 IS NULL AND $11 IS NOT NULL AND ",
    on_offer!(),
    " ORDER BY w.rowid DESC LIMIT $10";
    "number DESC"
);

/// A page of the courses that a lead finds and that have the words: in a `CASE`, so that PostgreSQL
/// does not take that for a better way to find them, and sorts all it has found.
macro_rules! postgres {
    ($lead:literal, $has:literal) => {
        listed!(
            " FROM (",
            $lead,
            ") w JOIN courses c ON c.id = w.course_id
              WHERE $11::bigint IS NOT NULL AND CASE WHEN ",
            $has,
            " AND ",
            on_offer!(),
            " THEN TRUE ELSE FALSE END ORDER BY w.course_id DESC LIMIT $10";
            "c.id DESC"
        )
    };
}

const POSTGRES_TITLE: &str = postgres!(
    "SELECT course_id FROM course_words
      WHERE word = $1 AND in_title AND ($9::uuid IS NULL OR course_id < $9)",
    "c.title_words @@ (SELECT to_tsquery('simple', $2))"
);

const POSTGRES_TEXT: &str = postgres!(
    "SELECT course_id FROM course_words
      WHERE word = $1 AND NOT in_title AND ($9::uuid IS NULL OR course_id < $9)",
    "c.words @@ (SELECT to_tsquery('simple', $2))
     AND NOT c.title_words @@ (SELECT to_tsquery('simple', $2))"
);

const POSTGRES_RARE_TITLE: &str = postgres!(
    "SELECT id AS course_id FROM courses
      WHERE title_words @@ (SELECT to_tsquery('simple', $2))
        AND ($9::uuid IS NULL OR id < $9) OFFSET 0",
    "$1::text IS NOT NULL"
);

const POSTGRES_RARE_TEXT: &str = postgres!(
    "SELECT id AS course_id FROM courses
      WHERE words @@ (SELECT to_tsquery('simple', $2))
        AND ($9::uuid IS NULL OR id < $9) OFFSET 0",
    "$1::text IS NOT NULL AND NOT c.title_words @@ (SELECT to_tsquery('simple', $2))"
);

const POSTGRES_BEGINS: &str = postgres!(
    "SELECT DISTINCT course_id
       FROM (SELECT course_id FROM course_words
              WHERE word >= $1 AND word < $1 || chr(1114111) ORDER BY word LIMIT $11) longer
      WHERE $9::uuid IS NULL OR course_id < $9",
    "c.words @@ (SELECT to_tsquery('simple', $2))"
);

/// The word that fewest courses have, and whether these are few; of beginnings, the longest.
async fn leading_word(tx: &mut Tx, words: &Words, tier: Tier) -> Result<(String, bool)> {
    let words = words.as_slice();
    let longest = words.iter().max_by_key(|word| word.len()).cloned().unwrap_or_default();
    if words.len() <= 1 || tier == Tier::Begins {
        return Ok((longest, false));
    }
    let Conn::Postgres(conn) = tx.conn() else { return Ok((longest, false)) };
    let rarest: Option<(String, i64)> = sqlx::query_as(
        "SELECT word, courses FROM unnest($1::text[]) AS asked(word),
                LATERAL (SELECT COUNT(*) AS courses
                           FROM (SELECT 1 FROM course_words w
                                  WHERE w.word = asked.word AND in_title = $2
                                  LIMIT $3) found) counted
          ORDER BY courses LIMIT 1",
    )
    .bind(words)
    .bind(tier == Tier::Title)
    .bind(COUNTED_MAX)
    .fetch_optional(conn)
    .await?;
    let (word, courses) = rarest.unwrap_or((longest, 0));
    Ok((word, courses < COUNTED_MAX))
}

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
    let all = |or_longer| joined(words, " AND ", |word| format!("\"{word}\"{or_longer}"));
    match tier {
        Tier::Title => format!("title : ({})", all("")),
        Tier::Text => format!("({all}) NOT (title : ({all}))", all = all("")),
        Tier::Begins => all(" *"),
    }
}

/// A search as PostgreSQL reads it.
fn postgres_words(words: &Words, tier: Tier) -> String {
    let or_longer = if tier == Tier::Begins { ":*" } else { "" };
    joined(words, " & ", |word| format!("'{word}'{or_longer}"))
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
        assert_eq!(sqlite_words(&words, Tier::Title), r#"title : ("rust" AND "or")"#);
        assert_eq!(sqlite_words(&words, Tier::Begins), r#""rust" * AND "or" *"#);
        assert_eq!(postgres_words(&words, Tier::Begins), "'rust':* & 'or':*");
        let one = Words::of("ab");
        assert_eq!(sqlite_words(&one, Tier::Text), r#"("ab") NOT (title : ("ab"))"#);
        assert_eq!(postgres_words(&one, Tier::Text), "'ab'");
    }
}
