//! The catalogue: what teachers offer.

mod search;

use tracing::info;

pub use self::search::{Found, Seen, Sorted, search, search_in_order};

use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        course::{Change, Course, CourseStatus, Level, Partner, Price, Split, parse_partners},
        user::{Role, User},
    },
    error::{Error, Result},
    id::{CategoryId, CourseId},
    money::{BasisPoints, Currency},
    time::Timestamp,
};

/// A course as a teacher wants it. The fields are checked already, but for partners: what is left for
/// them depends on the course.
#[derive(Clone, Debug)]
pub struct NewCourse {
    pub title: String,
    pub description: String,
    pub category_id: Option<CategoryId>,
    pub level: Option<Level>,
    pub status: CourseStatus,
    pub price_per_minute: Price,
    pub currency: Currency,
    pub partners: Vec<Partner>,
}

/// How many courses of a teacher there are that are not deleted.
const COURSES_OF_TEACHER_MAX: i64 = 1_000;

/// What is to be different about a course; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct CourseChange {
    pub title: Option<String>,
    pub description: Option<String>,
    pub category: Change<CategoryId>,
    pub level: Change<Level>,
    pub status: Option<CourseStatus>,
    pub price_per_minute: Option<Price>,
    pub currency: Option<Currency>,
    pub partners: Option<Vec<Partner>>,
}

/// Makes a course of `teacher`, of which the platform gets the configured part.
pub async fn create(app: &App, teacher: &User, new: NewCourse, now: Timestamp) -> Result<Course> {
    let split = split(app.config.fees.platform_basis_points, new.partners)?;
    let price = (new.price_per_minute.money(), new.currency);
    let course = Course {
        description: new.description,
        category_id: new.category_id,
        level: new.level,
        status: new.status,
        ..Course::offered(teacher.id, new.title, price, split, now)
    };
    let mut tx = app.db.begin().await?;
    // Whoever makes two at once makes one after the other.
    db::users::lock(&mut tx, teacher.id).await?;
    if db::courses::count_of_teacher(&mut tx, teacher.id).await? >= COURSES_OF_TEACHER_MAX {
        return Err(Error::OutOfRange("a teacher has at most 1000 courses: delete some first"));
    }
    ensure_category(&mut tx, course.category_id).await?;
    db::courses::insert(&mut tx, &course).await?;
    tx.commit().await?;
    info!(course.id = %course.id, teacher.id = %teacher.id, "made course {}", course.id);
    Ok(course)
}

/// Changes a course of `teacher`. Sessions go on, and end, on the terms they were started on.
pub async fn update(
    app: &App,
    teacher: &User,
    id: CourseId,
    change: CourseChange,
    now: Timestamp,
) -> Result<Course> {
    let mut tx = app.db.begin().await?;
    let course = own(&mut tx, teacher, id).await?;
    let before = course.clone();
    let course = Course {
        title: change.title.unwrap_or(course.title),
        description: change.description.unwrap_or(course.description),
        category_id: change.category.apply(course.category_id),
        level: change.level.apply(course.level),
        status: change.status.unwrap_or(course.status),
        price_per_minute: change.price_per_minute.map_or(course.price_per_minute, Price::money),
        currency: change.currency.unwrap_or(course.currency),
        split: match change.partners {
            Some(partners) => split(course.split.platform, partners)?,
            None => course.split,
        },
        updated_at: now,
        ..course
    };
    ensure_category(&mut tx, course.category_id).await?;
    db::courses::update(&mut tx, &before, &course).await?;
    tx.commit().await?;
    info!(course.id = %id, status = %course.status, "changed course {id}");
    Ok(course)
}

fn split(platform: BasisPoints, partners: Vec<Partner>) -> Result<Split> {
    let partners = parse_partners(partners, platform);
    let partners = partners.map_err(|problem| Error::invalid("partners", problem))?;
    Ok(Split { platform, partners })
}

/// Gives the platform another part of what students will pay for a course.
pub async fn set_share(
    app: &App,
    id: CourseId,
    platform: BasisPoints,
    now: Timestamp,
) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let before = db::courses::lock(&mut tx, id).await?;
    let before = before.filter(|course| course.status != CourseStatus::Deleted);
    let before = before.ok_or(Error::NotFound("course"))?;
    let split = Split { platform, ..before.split.clone() };
    if !split.is_possible() {
        let problem = "leaves too little for the partners of the course";
        return Err(Error::invalid("platform_basis_points", problem));
    }
    let course = Course { split, updated_at: now, ..before.clone() };
    db::courses::update(&mut tx, &before, &course).await?;
    tx.commit().await?;
    info!(course.id = %id, points = platform.points(), "changed the platform's share of course {id}");
    Ok(())
}

/// Takes a course away for good: of its teacher, or as an admin. What was watched of it stays.
pub async fn delete(app: &App, user: &User, id: CourseId, now: Timestamp) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let before = own(&mut tx, user, id).await?;
    let course = Course { status: CourseStatus::Deleted, updated_at: now, ..before.clone() };
    db::courses::update(&mut tx, &before, &course).await?;
    tx.commit().await?;
    info!(course.id = %id, user.id = %user.id, "deleted course {id}");
    Ok(())
}

/// A course that `user` may change, locked.
pub(super) async fn own(tx: &mut Tx, user: &User, id: CourseId) -> Result<Course> {
    let course = db::courses::lock(tx, id).await?.ok_or(Error::NotFound("course"))?;
    if !course.is_shown_to(Some((user.id, user.role))) {
        return Err(Error::NotFound("course"));
    }
    if course.teacher_id != user.id && user.role != Role::Admin {
        return Err(Error::Forbidden("this is another teacher's course"));
    }
    Ok(course)
}

async fn ensure_category(tx: &mut Tx, id: Option<CategoryId>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    let is_known = db::courses::categories(tx).await?.iter().any(|category| category.id == id);
    if is_known { Ok(()) } else { Err(Error::invalid("category_id", "there is no such category")) }
}
