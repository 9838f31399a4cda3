//! The catalogue: what teachers offer.

use tracing::info;

use crate::{
    app::App,
    db,
    domain::{
        course::{Course, Partner, Price, Split, VIDEOS_MAX},
        user::User,
        video::Video,
    },
    error::{Error, Result},
    id::{CourseId, VideoId},
    money::Currency,
    time::Timestamp,
};

/// A course as a teacher wants it. The fields are checked already.
#[derive(Clone, Debug)]
pub struct NewCourse {
    pub title: String,
    pub price_per_minute: Price,
    pub currency: Currency,
    pub partners: Vec<Partner>,
}

/// Makes a course of `teacher`, of which the platform gets the configured part.
pub async fn create(app: &App, teacher: &User, new: NewCourse, now: Timestamp) -> Result<Course> {
    let platform = app.config.fees.platform_basis_points;
    let course = Course {
        id: CourseId::new(now),
        teacher_id: teacher.id,
        title: new.title,
        price_per_minute: new.price_per_minute.money(),
        currency: new.currency,
        split: Split { platform, partners: new.partners },
        created_at: now,
        updated_at: now,
    };
    let mut tx = app.db.begin().await?;
    db::courses::insert(&mut tx, &course).await?;
    tx.commit().await?;
    info!(course.id = %course.id, teacher.id = %teacher.id, "made course {}", course.id);
    Ok(course)
}

/// Adds a video to the end of a course of `teacher`.
pub async fn add_video(
    app: &App,
    teacher: &User,
    course_id: CourseId,
    (title, duration_ms): (String, u64),
    now: Timestamp,
) -> Result<Video> {
    let mut tx = app.db.begin().await?;
    let course = db::courses::find(&mut tx, course_id).await?.ok_or(Error::NotFound("course"))?;
    if course.teacher_id != teacher.id {
        return Err(Error::Forbidden("this is another teacher's course"));
    }
    let position = db::videos::next_position(&mut tx, course_id).await?;
    if position >= VIDEOS_MAX {
        return Err(Error::OutOfRange("the course has as many videos as it may"));
    }
    let id = VideoId::new(now);
    let video = Video { id, course_id, title, duration_ms, position, created_at: now };
    db::videos::insert(&mut tx, &video).await?;
    tx.commit().await?;
    info!(course.id = %course_id, video.id = %id, "added a video to course {course_id}");
    Ok(video)
}
