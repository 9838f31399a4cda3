//! Courses.

use sqlx::{FromRow, types::Json};

use crate::{
    db::Tx,
    domain::course::{Course, Partner, Split},
    error::Result,
    id::{CourseId, UserId},
    money::{BasisPoints, Currency, Money},
    time::Timestamp,
};

#[derive(FromRow)]
struct Row {
    id: CourseId,
    teacher_id: UserId,
    title: String,
    price_per_minute: Money,
    currency: Currency,
    platform_basis_points: BasisPoints,
    partners: Json<Vec<Partner>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Course {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            teacher_id: row.teacher_id,
            title: row.title,
            price_per_minute: row.price_per_minute,
            currency: row.currency,
            split: Split { platform: row.platform_basis_points, partners: row.partners.0 },
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

pub async fn insert(tx: &mut Tx, course: &Course) -> Result<()> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO courses (id, teacher_id, title, price_per_minute, currency,
           platform_basis_points, partners, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: CourseId) -> Result<Option<Course>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(
        "SELECT id, teacher_id, title, price_per_minute, currency, platform_basis_points,
                partners, created_at, updated_at
           FROM courses WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(Course::from))
}
