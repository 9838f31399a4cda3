//! The catalogue: courses that are looked for, one page at a time.
//!
//! Every list walks an index in the order it is asked for and stops when the page is full, so a
//! page costs the same among a hundred courses and among a hundred thousand; unless it is narrowed
//! down to what few of them are, for which it walks on.

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    db::{Conn, Tx, courses::Row, portable::hex_array, videos::count},
    domain::{
        catalogue::{Filter, Place, Shelf, Sort},
        course::{Course, PRICE_MAX},
    },
    error::Result,
    id::{CategoryId, CourseId, UserId},
    money::Money,
};

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

impl Listed {
    /// Where it stands in a list.
    #[must_use]
    pub fn place(&self, sort: Sort) -> Place {
        let value = match sort {
            Sort::BestRated => self.rating.unwrap_or_default().cast_signed(),
            Sort::Newest | Sort::Cheapest | Sort::Dearest => self.course.price_per_minute.micros(),
        };
        Place { id: self.course.id, value }
    }
}

#[derive(FromRow)]
pub(super) struct ListedRow {
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

/// Courses that are found somehow, with the names of what they refer to: looked up one by one, for
/// the page alone. A join would make PostgreSQL, which plans for pages of any size, read all users.
macro_rules! listed {
    ($($found:expr),* ; $order:literal) => {
        concat!(
            "SELECT ",
            course_columns!(),
            ", c.reviews, c.rating,
               (SELECT name FROM users u WHERE u.id = c.teacher_id) AS teacher_name,
               (SELECT name FROM categories g WHERE g.id = c.category_id) AS category_name
             FROM (SELECT ",
            course_columns!(),
            ", c.reviews, c.rating",
            $($found),*,
            ") c ORDER BY ",
            $order
        )
    };
}

/// A page of a shelf: what finds it, what is behind the last page, and the order. The rest is
/// looked at for what is found: in a `CASE`, so that no planner takes it for a way to find courses, or
/// believes that it leaves so few that they may as well be sorted.
macro_rules! page {
    ($find:literal, $behind:literal, $order:literal) => {
        listed!(
            " FROM courses c WHERE ", $find,
            " AND $1 IS NOT NULL AND $8 IS NOT NULL
              AND CASE WHEN ($2 IS NULL OR c.category_id = $2) AND ($3 IS NULL OR c.status = $3)
                        AND ($4 IS NULL OR c.currency = $4)
                        AND c.price_per_minute BETWEEN $5 AND $6 AND c.rating >= $10
                        AND ($11 IS NULL OR c.level = $11)
                       THEN TRUE ELSE FALSE END AND ",
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

/// Those of `ids` that are on offer, in the order of their ids.
pub async fn list_on_offer(tx: &mut Tx, ids: &[CourseId]) -> Result<Vec<Listed>> {
    let uuids = ids.iter().map(|id| id.uuid());
    let rows: Vec<ListedRow> = match tx.conn() {
        Conn::Sqlite(conn) => {
            let find = sqlx::query_as(listed!(
                " FROM courses c WHERE c.status = 'published'
                   AND c.id IN (SELECT unhex(value) FROM json_each($1))"; "c.id"
            ));
            find.bind(hex_array(uuids)).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => {
            let find = sqlx::query_as(listed!(
                " FROM courses c WHERE c.status = 'published' AND c.id = ANY($1)"; "c.id"
            ));
            find.bind(uuids.collect::<Vec<Uuid>>()).fetch_all(conn).await?
        }
    };
    Ok(rows.into_iter().map(Listed::from).collect())
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
        Sort::Newest => pages!(shelf, "c.id < $7", "c.id DESC"),
        Sort::Cheapest => {
            pages!(
                shelf,
                "c.currency = $4 AND (c.price_per_minute, c.id) > ($8, $7)
             AND c.price_per_minute <= $6",
                "c.price_per_minute, c.id"
            )
        }
        Sort::Dearest => pages!(
            shelf,
            "c.currency = $4 AND (c.price_per_minute, c.id) < ($8, $7)
             AND c.price_per_minute >= $5",
            "c.price_per_minute DESC, c.id DESC"
        ),
        Sort::BestRated => pages!(
            shelf,
            "(c.rating, c.id) < ($8, $7) AND c.rating >= $10",
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
        .bind(filter.level)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// What a shelf is found by; nothing is found by nobody's id.
fn key(shelf: Shelf) -> Uuid {
    match shelf {
        Shelf::All => Uuid::nil(),
        Shelf::Category(id) => CategoryId::uuid(id),
        Shelf::Teacher(id) | Shelf::Own(id) => UserId::uuid(id),
    }
}
