//! The catalogue: courses that are looked for, one page at a time.
//!
//! Every list walks an index in the order it is asked for and stops when the page is full, so a
//! page costs the same among a hundred courses and among a hundred thousand.

use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::{
    db::{Conn, Tx, courses::Row, videos::count},
    domain::{
        catalogue::{Filter, Place, Shelf, Sort, Tier, Words},
        course::{Course, PRICE_MAX},
    },
    error::Result,
    id::{CategoryId, CourseId, UserId},
    money::Money,
};

/// With fewer courses than these, a search is for rare words.
const RARE: i64 = 500;

/// In hundredths: no course is rated so well.
const RATING_BEYOND: i64 = 501;

/// A course, with the names of what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub course: Course,
    pub teacher_name: String,
    pub category_name: Option<String>,
    /// That are published.
    pub reviews: u64,
    /// In hundredths, if any review counts.
    pub rating: Option<u64>,
}

#[derive(FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    course: Row,
    teacher_name: String,
    category_name: Option<String>,
    reviews: i64,
    rating: i64,
}

impl From<ListedRow> for Listed {
    fn from(row: ListedRow) -> Self {
        let ListedRow { course, teacher_name, category_name, reviews, rating } = row;
        Self {
            course: course.into(),
            teacher_name,
            category_name,
            reviews: count(reviews),
            // The lowest one that counts is 1.
            rating: Some(count(rating)).filter(|rating| *rating > 0),
        }
    }
}

/// Courses that are found somehow, with the names of what they refer to: looked up for the page
/// alone, once that is cut.
macro_rules! listed {
    ($($found:literal),* ; $order:literal) => {
        concat!(
            "SELECT ",
            course_columns!(),
            ", c.reviews, c.rating, u.name AS teacher_name, g.name AS category_name FROM (SELECT ",
            course_columns!(),
            ", c.reviews, c.rating",
            $($found),*,
            ") c JOIN users u ON u.id = c.teacher_id LEFT JOIN categories g ON g.id = c.category_id
             ORDER BY ",
            $order
        )
    };
}

/// A page of a shelf: what finds it, what is behind the last page, and the order. The rest is
/// looked at for what is found.
macro_rules! page {
    ($find:literal, $behind:literal, $order:literal) => {
        listed!(
            " FROM courses c WHERE ", $find,
            " AND ($2 IS NULL OR c.category_id = $2) AND ($3 IS NULL OR c.status = $3)
              AND $1 IS NOT NULL AND $8 IS NOT NULL AND c.rating + 0 >= $10 AND ",
            $behind, " ORDER BY ", $order, " LIMIT $9"; $order
        )
    };
}

macro_rules! pages {
    ($shelf:expr, $behind:literal, $order:literal) => {
        match $shelf {
            Shelf::All => page!("c.status = 'published'", $behind, $order),
            Shelf::Category(_) => {
                page!("c.status = 'published' AND c.category_id = $1", $behind, $order)
            }
            Shelf::Teacher(_) => {
                page!("c.teacher_id = $1 AND c.status = 'published'", $behind, $order)
            }
            Shelf::Own(_) => page!("c.teacher_id = $1 AND c.status <> 'deleted'", $behind, $order),
        }
    };
}

/// A course by itself, whatever its status.
pub async fn find(tx: &mut Tx, id: CourseId) -> Result<Option<Listed>> {
    let row: Option<ListedRow> = on!(tx, conn => sqlx::query_as(
        listed!(" FROM courses c WHERE c.id = $1"; "c.id"),
    )
        .bind(id)
        .fetch_optional(conn)
        .await)?;
    Ok(row.map(Listed::from))
}

/// At most `limit` courses of a shelf behind `after`. Sorted by price, the filter names a currency.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    (sort, after): (Sort, Option<Place>),
    limit: i64,
) -> Result<Vec<Listed>> {
    let shelf = filter.shelf;
    let sql = match sort {
        Sort::Newest => pages!(
            shelf,
            "($4 IS NULL OR c.currency = $4) AND c.id < $7
             -- Not by the index of prices, which has another order.
             AND c.price_per_minute + 0 BETWEEN $5 AND $6",
            "c.id DESC"
        ),
        Sort::Cheapest => {
            pages!(
                shelf,
                "c.currency = $4 AND (c.price_per_minute, c.id) > ($8, $7)
             AND c.price_per_minute <= $6 AND $5 IS NOT NULL",
                "c.price_per_minute, c.id"
            )
        }
        Sort::Dearest => pages!(
            shelf,
            "c.currency = $4 AND (c.price_per_minute, c.id) < ($8, $7)
             AND c.price_per_minute >= $5 AND $6 IS NOT NULL",
            "c.price_per_minute DESC, c.id DESC"
        ),
        Sort::BestRated => pages!(
            shelf,
            "($4 IS NULL OR c.currency = $4) AND (c.rating, c.id) < ($8, $7)
             AND c.price_per_minute + 0 BETWEEN $5 AND $6",
            "c.rating DESC, c.id DESC"
        ),
    };
    let (least, most) = (filter.min_price, filter.max_price.unwrap_or(PRICE_MAX));
    let least = least.unwrap_or(Money::ZERO);
    // Before the first: beside the end of the prices from which the order begins.
    let step = Money::from_micros(1);
    let begin = match sort {
        Sort::Newest => (Uuid::max(), 0),
        Sort::Cheapest => (Uuid::max(), (least - step).micros()),
        Sort::Dearest => (Uuid::nil(), (most + step).micros()),
        Sort::BestRated => (Uuid::nil(), RATING_BEYOND),
    };
    let (id, value) = after.map_or(begin, |place| (place.id.uuid(), place.value));
    let rows: Vec<ListedRow> = on!(tx, conn => sqlx::query_as(sql)
        .bind(key(shelf))
        .bind(filter.category_id)
        .bind(filter.status)
        .bind(filter.currency)
        .bind(least)
        .bind(most)
        .bind(id)
        .bind(value)
        .bind(limit)
        .bind(filter.min_rating)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// At most `limit` courses on offer that have all `words`, in one tier, the newest first.
pub async fn search(
    tx: &mut Tx,
    words: &Words,
    filter: &Filter,
    (tier, after): (Tier, Option<CourseId>),
    limit: i64,
) -> Result<Vec<Listed>> {
    let rows: Vec<ListedRow> = match tx.conn() {
        Conn::Sqlite(conn) => {
            // `CROSS`: the words lead, and their order is the list's.
            let search = sqlx::query_as(listed!(
                ", n.number FROM course_words w CROSS JOIN course_numbers n ON n.number = w.rowid
                   CROSS JOIN courses c ON c.id = n.course_id
                 WHERE course_words MATCH $1 AND w.rowid < coalesce(
                     (SELECT number FROM course_numbers WHERE course_id = $7), 9223372036854775807)
                   AND c.status = 'published'
                   AND ($2 IS NULL OR c.category_id = $2) AND ($3 IS NULL OR c.teacher_id = $3)
                   AND ($4 IS NULL OR c.currency = $4)
                   AND ($5 IS NULL OR c.price_per_minute >= $5)
                   AND ($6 IS NULL OR c.price_per_minute <= $6) AND c.rating >= $9
                 ORDER BY w.rowid DESC LIMIT $8"; "number DESC"
            ));
            search
                .bind(sqlite_words(words, tier))
                .bind(category(filter))
                .bind(teacher(filter))
                .bind(filter.currency)
                .bind(filter.min_price)
                .bind(filter.max_price)
                .bind(after)
                .bind(limit)
                .bind(filter.min_rating)
                .fetch_all(conn)
                .await?
        }
        Conn::Postgres(conn) => {
            // One plan does not fit a word of all courses and one of few, so these are planned for
            // what is looked for: ids, numbers, and words, which are letters and digits.
            let has_words = has_postgres_words(words, tier);
            let found = format!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM courses c WHERE {has_words} LIMIT {RARE}) found"
            );
            let found = sqlx::query_scalar(AssertSqlSafe(found)).persistent(false);
            let found: i64 = found.fetch_one(&mut *conn).await?;
            let find = postgres_search(&has_words, found < RARE, (filter, after), limit);
            let search = sqlx::query_as(AssertSqlSafe(find)).persistent(false);
            search.fetch_all(conn).await?
        }
    };
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// The condition that a course has the words.
fn has_postgres_words(words: &Words, tier: Tier) -> String {
    let query = format!("to_tsquery('simple', '{}')", postgres_words(words, tier));
    match tier {
        Tier::Title => format!("c.title_words @@ {query}"),
        Tier::Text => format!("c.words @@ {query} AND NOT c.title_words @@ {query}"),
        Tier::Begins => format!("c.words @@ {query}"),
    }
}

/// Rare words are found by their index and then sorted: `OFFSET 0` has the planner do so, who would
/// rather walk all courses in their order until the page is full. For common ones that is right.
fn postgres_search(
    has_words: &str,
    is_rare: bool,
    (filter, after): (&Filter, Option<CourseId>),
    limit: i64,
) -> String {
    let conditions = [
        Some(has_words.to_owned()),
        after.map(|id| format!("c.id < '{id}'")),
        category(filter).map(|id| format!("c.category_id = '{id}'")),
        teacher(filter).map(|id| format!("c.teacher_id = '{id}'")),
        filter.currency.map(|currency| format!("c.currency = '{currency}'")),
        filter.min_price.map(|price| format!("c.price_per_minute >= {}", price.micros())),
        filter.max_price.map(|price| format!("c.price_per_minute <= {}", price.micros())),
        (filter.min_rating > 0).then(|| format!("c.rating >= {}", filter.min_rating)),
    ];
    let mut holds = String::from("c.status = 'published'");
    for condition in conditions.into_iter().flatten() {
        holds.push_str(" AND ");
        holds.push_str(&condition);
    }
    let page = if is_rare {
        listed!(
            " FROM (SELECT * FROM courses c WHERE FOUND OFFSET 0) c ORDER BY c.id DESC LIMIT MOST";
            "c.id DESC"
        )
    } else {
        listed!(" FROM courses c WHERE FOUND ORDER BY c.id DESC LIMIT MOST"; "c.id DESC")
    };
    page.replace("MOST", &limit.to_string()).replace("FOUND", &holds)
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

/// What a shelf is found by; nothing is found by nobody's id.
fn key(shelf: Shelf) -> Uuid {
    match shelf {
        Shelf::All => Uuid::nil(),
        Shelf::Category(id) => CategoryId::uuid(id),
        Shelf::Teacher(id) | Shelf::Own(id) => UserId::uuid(id),
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

/// A search as PostgreSQL reads it, within quotes.
fn postgres_words(words: &Words, tier: Tier) -> String {
    let or_longer = if tier == Tier::Begins { ":*" } else { "" };
    joined(words, " & ", |word| format!("''{word}''{or_longer}"))
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
        assert_eq!(postgres_words(&words, Tier::Begins), "''rust'':* & ''or'':*");
        let one = Words::of("ab");
        assert_eq!(sqlite_words(&one, Tier::Text), r#"("ab") NOT (title : ("ab"))"#);
        assert_eq!(postgres_words(&one, Tier::Text), "''ab''");
    }
}
