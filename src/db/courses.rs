//! Courses.

use sqlx::{FromRow, types::Json};

use crate::{
    db::{Conn, Tx, search},
    domain::{
        catalogue::FoundBy,
        course::{Category, Course, CourseStatus, Level, Partner, Split},
    },
    error::Result,
    id::{CategoryId, CourseId, UserId},
    money::{BasisPoints, Currency, Money},
    time::Timestamp,
};

#[derive(FromRow)]
pub(super) struct Row {
    id: CourseId,
    teacher_id: UserId,
    title: String,
    description: String,
    category_id: Option<CategoryId>,
    status: CourseStatus,
    price_per_minute: Money,
    currency: Currency,
    platform_basis_points: BasisPoints,
    partners: Json<Vec<Partner>>,
    created_at: Timestamp,
    updated_at: Timestamp,
    level: Option<Level>,
}

impl From<Row> for Course {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            teacher_id: row.teacher_id,
            title: row.title,
            description: row.description,
            category_id: row.category_id,
            status: row.status,
            price_per_minute: row.price_per_minute,
            currency: row.currency,
            split: Split { platform: row.platform_basis_points, partners: row.partners.0 },
            created_at: row.created_at,
            updated_at: row.updated_at,
            level: row.level,
        }
    }
}

pub async fn insert(tx: &mut Tx, course: &Course) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO courses (id, teacher_id, title, price_per_minute, currency,
           platform_basis_points, partners, created_at, updated_at, description, category_id, status,
           level)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(course.id)
    .bind(course.teacher_id)
    .bind(&course.title)
    .bind(course.price_per_minute)
    .bind(course.currency)
    .bind(course.split.platform)
    .bind(Json(&course.split.partners))
    .bind(course.created_at)
    .bind(course.updated_at)
    .bind(&course.description)
    .bind(course.category_id)
    .bind(course.status)
    .bind(course.level)
    .execute(conn)
    .await
    .map(drop))?;
    search::index(tx, course).await
}

macro_rules! course_columns {
    () => {
        "c.id, c.teacher_id, c.title, c.description, c.category_id, c.status, c.price_per_minute,
         c.currency, c.platform_basis_points, c.partners, c.created_at, c.updated_at,
         c.level"
    };
}

pub async fn find(tx: &mut Tx, id: CourseId) -> Result<Option<Course>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        concat!("SELECT ", course_columns!(), " FROM courses c WHERE c.id = $1"),
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(Course::from))
}

/// The same, and nobody else changes it before the transaction ends.
pub async fn lock(tx: &mut Tx, id: CourseId) -> Result<Option<Course>> {
    // On SQLite the transaction is the lock.
    if let Conn::Postgres(conn) = tx.conn() {
        let lock = sqlx::query("SELECT id FROM courses WHERE id = $1 FOR NO KEY UPDATE");
        lock.bind(id).execute(conn).await?;
    }
    find(tx, id).await
}

/// Writes down what may change of a course, which was like `before`.
pub async fn update(tx: &mut Tx, before: &Course, course: &Course) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "UPDATE courses
            SET title = $2, description = $3, category_id = $4, status = $5, price_per_minute = $6,
                currency = $7, platform_basis_points = $8, partners = $9, updated_at = $10,
                level = $11
          WHERE id = $1",
    )
    .bind(course.id)
    .bind(&course.title)
    .bind(&course.description)
    .bind(course.category_id)
    .bind(course.status)
    .bind(course.price_per_minute)
    .bind(course.currency)
    .bind(course.split.platform)
    .bind(Json(&course.split.partners))
    .bind(course.updated_at)
    .bind(course.level)
    .execute(conn)
    .await
    .map(drop))?;
    if FoundBy::of(before) != FoundBy::of(course) {
        search::index(tx, course).await?;
    }
    Ok(())
}

/// How many courses a teacher has, of any status but deleted.
pub async fn count_of_teacher(tx: &mut Tx, teacher: UserId) -> Result<i64> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT COUNT(*) FROM courses WHERE teacher_id = $1 AND status <> 'deleted'",
    )
    .bind(teacher)
    .fetch_one(conn)
    .await)?)
}

/// At most `limit` courses of any status that came before one, the newest first.
pub async fn list_before(tx: &mut Tx, before: CourseId, limit: i64) -> Result<Vec<Course>> {
    let rows: Vec<Row> = on!(tx, conn => sqlx::query_as(concat!(
        "SELECT ", course_columns!(), " FROM courses c WHERE c.id < $1 ORDER BY c.id DESC LIMIT $2",
    ))
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().map(Course::from).collect())
}

/// All categories, in their order.
pub async fn categories(tx: &mut Tx) -> Result<Vec<Category>> {
    let rows: Vec<(CategoryId, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT id, name, description FROM categories ORDER BY position, id",
    )
    .fetch_all(conn)
    .await)?;
    let category = |(id, name, description)| Category { id, name, description };
    Ok(rows.into_iter().map(category).collect())
}
