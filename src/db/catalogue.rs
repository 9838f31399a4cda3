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
        course::{Course, CourseStatus, PRICE_MAX},
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
        let rating = self.rating.unwrap_or_default().cast_signed();
        Place { id: self.course.id, value: sort.value(self.course.price_per_minute, rating) }
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

/// A part of a shelf: what finds it, what is behind the last page, and the order. The rest is looked at
/// for what is found: in a `CASE`, so that no planner takes it for a way to find courses, or believes that
/// it leaves so few that they may as well be sorted.
macro_rules! part {
    ($find:literal, $behind:literal, $order:literal) => {
        concat!(
            " FROM courses c WHERE ",
            $find,
            " AND $1 IS NOT NULL AND $8 IS NOT NULL
              AND CASE WHEN ($2 IS NULL OR c.category_id = $2) AND ($3 IS NULL OR c.status = $3)
                        AND ($4 IS NULL OR c.currency = $4)
                        AND c.price_per_minute BETWEEN $5 AND $6 AND c.rating >= $10
                        AND ($11 IS NULL OR c.level = $11)
                       THEN TRUE ELSE FALSE END AND ",
            $behind,
            " ORDER BY ",
            $order,
            " LIMIT $9"
        )
    };
}

/// It, to be shown.
macro_rules! page {
    ($find:literal, $behind:literal, $order:literal) => {
        listed!(part!($find, $behind, $order); $order)
    };
}

/// It, to be looked through.
macro_rules! texts {
    ($find:literal, $behind:literal, $order:literal) => {
        concat!(
            "SELECT c.id, c.price_per_minute, c.rating, c.title, c.description",
            part!($find, $behind, $order)
        )
    };
}

macro_rules! of_shelf {
    ($part:ident, $shelf:expr, $behind:literal, $order:literal) => {
        match $shelf {
            Shelf::All => $part!("c.status = 'published'", $behind, $order),
            Shelf::Category(_) => {
                $part!("c.status = 'published' AND c.category_id = $1", $behind, $order)
            }
            Shelf::Teacher(_) => {
                $part!("c.teacher_id = $1 AND c.status = 'published'", $behind, $order)
            }
            Shelf::Own(_) => $part!("c.teacher_id = $1 AND c.status <> 'deleted'", $behind, $order),
        }
    };
}

macro_rules! in_order {
    ($part:ident, $shelf:expr, $sort:expr) => {
        match $sort {
            Sort::Newest => of_shelf!($part, $shelf, "c.id < $7", "c.id DESC"),
            Sort::Cheapest => of_shelf!(
                $part,
                $shelf,
                "c.currency = $4 AND (c.price_per_minute, c.id) > ($8, $7)
                 AND c.price_per_minute <= $6",
                "c.price_per_minute, c.id"
            ),
            Sort::Dearest => of_shelf!(
                $part,
                $shelf,
                "c.currency = $4 AND (c.price_per_minute, c.id) < ($8, $7)
                 AND c.price_per_minute >= $5",
                "c.price_per_minute DESC, c.id DESC"
            ),
            Sort::BestRated => of_shelf!(
                $part,
                $shelf,
                "(c.rating, c.id) < ($8, $7) AND c.rating >= $10",
                "c.rating DESC, c.id DESC"
            ),
        }
    };
}

/// Asks for a part of a shelf.
macro_rules! ask {
    ($tx:expr, $row:ty, $sql:expr, $filter:expr, $order:expr, $limit:expr) => {{
        let (least, most) = prices($filter);
        let (id, value) = begin($filter, $order);
        let rows: Vec<$row> = on!($tx, conn => sqlx::query_as($sql)
            .bind(key($filter.shelf))
            .bind($filter.category_id)
            .bind($filter.status)
            .bind($filter.currency)
            .bind(least)
            .bind(most)
            .bind(id)
            .bind(value)
            .bind($limit)
            .bind($filter.min_rating)
            .bind($filter.level)
            .fetch_all(conn)
            .await)?;
        rows
    }};
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

/// Those of `ids` that are on offer.
pub async fn list_on_offer(tx: &mut Tx, ids: &[CourseId]) -> Result<Vec<Listed>> {
    let mut listed = list_by_ids(tx, ids).await?;
    listed.retain(|listed| listed.course.status == CourseStatus::Published);
    Ok(listed)
}

/// Courses in the order of their ids, whatever their status.
pub async fn list_by_ids(tx: &mut Tx, ids: &[CourseId]) -> Result<Vec<Listed>> {
    let uuids = ids.iter().map(|id| id.uuid());
    let rows: Vec<ListedRow> = match tx.conn() {
        Conn::Sqlite(conn) => {
            let find = sqlx::query_as(listed!(
                " FROM courses c WHERE c.id IN (SELECT unhex(value) FROM json_each($1))"; "c.id"
            ));
            find.bind(hex_array(uuids)).fetch_all(conn).await?
        }
        Conn::Postgres(conn) => {
            let find = sqlx::query_as(listed!(" FROM courses c WHERE c.id = ANY($1)"; "c.id"));
            find.bind(uuids.collect::<Vec<Uuid>>()).fetch_all(conn).await?
        }
    };
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// At most `limit` courses of a shelf behind a place. Sorted by price, the filter names a currency.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    order: (Sort, Option<Place>),
    limit: i64,
) -> Result<Vec<Listed>> {
    let sql = in_order!(page, filter.shelf, order.0);
    let rows = ask!(tx, ListedRow, sql, filter, order, limit);
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// What a course says, and where it stands.
#[derive(Debug)]
pub struct Text {
    pub place: Place,
    pub title: String,
    pub description: String,
}

/// The same courses, as far as it takes to look for words.
pub async fn list_texts(
    tx: &mut Tx,
    filter: &Filter,
    order: (Sort, Option<Place>),
    limit: i64,
) -> Result<Vec<Text>> {
    #[derive(FromRow)]
    struct Row {
        id: CourseId,
        price_per_minute: Money,
        rating: i64,
        title: String,
        description: String,
    }
    let sql = in_order!(texts, filter.shelf, order.0);
    let text = |Row { id, price_per_minute, rating, title, description }| {
        let value = order.0.value(price_per_minute, rating);
        Text { place: Place { id, value }, title, description }
    };
    Ok(ask!(tx, Row, sql, filter, order, limit).into_iter().map(text).collect())
}

/// Prices between which courses are found.
fn prices(filter: &Filter) -> (Money, Money) {
    (filter.min_price.unwrap_or(Money::ZERO), filter.max_price.unwrap_or(PRICE_MAX))
}

/// Behind what a list goes on. At first, that is beside the end of the prices from which the order begins.
fn begin(filter: &Filter, (sort, after): (Sort, Option<Place>)) -> (Uuid, i64) {
    let step = Money::from_micros(1);
    let (least, most) = prices(filter);
    match (after, sort) {
        (Some(Place { id, value }), _) => (id.uuid(), value),
        (None, Sort::Newest) => (Uuid::max(), 0),
        (None, Sort::Cheapest) => (Uuid::max(), (least - step).micros()),
        (None, Sort::Dearest) => (Uuid::nil(), (most + step).micros()),
        (None, Sort::BestRated) => (Uuid::nil(), RATING_BEYOND),
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
