//! Reviews: what a student says about a session, weighed by what they did, and what it brings.

mod bonuses;
mod surroundings;

pub use self::bonuses::pay_waiting;

use std::collections::HashSet;

use serde::Serialize;
use tracing::info;

use self::surroundings::Addresses;
use crate::{
    app::App,
    db::{self, Tx, reviews::Listed},
    domain::{
        progress::is_half_watched,
        review::{Behaviour, BonusStatus, Rating, Review, ReviewStatus, Said, flags, judge},
        session::{Session, SessionStatus},
        user::User,
    },
    error::{Error, Result},
    id::{CourseId, ReviewId, SessionId, UserId},
    service::idempotency::{self, Answer, Begun, Request},
    time::{Timestamp, whole_ms},
};

/// What a student says.
#[derive(Clone, Debug)]
pub struct NewReview {
    pub session_id: SessionId,
    pub rating: Rating,
    pub text: String,
}

/// What an admin decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    Approve,
    Reject,
}

/// Takes in the review of a session that `student` has completed, once. Answers with what `view`
/// shows of it.
pub async fn create<V: Serialize>(
    app: &App,
    student: &User,
    (course_id, new): (CourseId, NewReview),
    (request, view): (Request, impl FnOnce(Listed) -> V),
    now: Timestamp,
) -> Result<Answer> {
    // Before the transaction: it may be much, and needs no lock.
    let mut addresses = Addresses::around(app, student.id, course_id).await?;
    let (mut tx, claim) = match idempotency::begin(app, request, now).await? {
        Begun::Done(answer) => return Ok(answer),
        Begun::Work(tx, claim) => (tx, claim),
    };
    // Reviews of one student, and of one course, come one after the other: they are counted.
    db::users::lock(&mut tx, student.id).await?;
    let course = db::courses::lock(&mut tx, course_id).await?.ok_or(Error::NotFound("course"))?;
    let session = reviewable(&mut tx, student, course_id, new.session_id).await?;
    let behaviour = behaviour(&mut tx, student, &session).await?;
    let (credibility, bonus) = judge(new.rating, behaviour, session.cost);
    let around = surroundings::of(&mut tx, &session, &mut addresses, now).await?;
    let flags = flags(new.rating, &credibility, &around);
    let status = if flags.is_empty() { ReviewStatus::Published } else { ReviewStatus::Held };
    let mut review = Review {
        id: ReviewId::new(now),
        session_id: session.id,
        course_id,
        teacher_id: course.teacher_id,
        student_id: student.id,
        rating: new.rating,
        text: new.text,
        credibility,
        status,
        flags,
        bonus,
        currency: session.terms.currency,
        bonus_status: BonusStatus::None,
        contest: None,
        decision: None,
        created_at: now,
    };
    // First the review, then what follows from it: in the order of whoever decides on one later.
    db::reviews::insert(&mut tx, &review).await?;
    if status == ReviewStatus::Published {
        publish(&mut tx, &mut review, None, now).await?;
        db::reviews::update(&mut tx, &review).await?;
    }
    let shown = view(listed(&mut tx, review.id).await?);
    let answer = claim.finish(tx, 201, &shown).await?;
    info!(
        review.id = %review.id, session.id = %session.id, %status, bonus = %review.bonus,
        bonus_status = %review.bonus_status, "took in a review of course {course_id}"
    );
    Ok(answer)
}

async fn listed(tx: &mut Tx, id: ReviewId) -> Result<Listed> {
    db::reviews::find(tx, id).await?.ok_or(Error::NotFound("review"))
}

/// The session, if `student` may review it.
async fn reviewable(
    tx: &mut Tx,
    student: &User,
    course: CourseId,
    id: SessionId,
) -> Result<Session> {
    let session = db::sessions::find(tx, id).await?;
    let session =
        session.filter(|session| session.student_id == student.id && session.course_id == course);
    let session = session.ok_or(Error::NotFound("session"))?;
    match session.status {
        SessionStatus::Active => Err(Error::SessionNotEnded),
        SessionStatus::Cancelled => Err(Error::SessionCancelled),
        SessionStatus::Completed if db::reviews::has_one(tx, id).await? => {
            Err(Error::AlreadyReviewed)
        }
        SessionStatus::Completed => Ok(session),
    }
}

async fn behaviour(tx: &mut Tx, student: &User, session: &Session) -> Result<Behaviour> {
    let course = session.course_id;
    let videos = db::videos::list(tx, course).await?;
    let completed = Some(SessionStatus::Completed);
    let watched = db::progress::list_of_student(tx, student.id, course, completed).await?;
    let is_there: HashSet<_> = videos.iter().map(|video| video.id).collect();
    let halves = watched
        .iter()
        .filter(|video| is_there.contains(&video.video_id) && is_half_watched(video.coverage));
    let count = |number: usize| u64::try_from(number).expect("a course has few videos");
    Ok(Behaviour {
        watched_ms: whole_ms(db::sessions::sum_watched(tx, student.id, course).await?),
        session_ms: session.watched_ms(),
        course_ms: videos.iter().map(|video| video.duration_ms).sum(),
        videos_watched: count(halves.count()),
        videos: count(videos.len()),
    })
}

/// Lets a review count: for the rating of its course, and for its teacher's bonus.
async fn publish(
    tx: &mut Tx,
    review: &mut Review,
    admin: Option<UserId>,
    now: Timestamp,
) -> Result<()> {
    review.status = ReviewStatus::Published;
    weigh_in(tx, review, true).await?;
    bonuses::pay_or_wait(tx, review, admin, now).await
}

/// Adds a published review to what is kept of its course's, or takes it out again.
async fn weigh_in(tx: &mut Tx, review: &Review, is_published: bool) -> Result<()> {
    db::reviews::add_standing(tx, review.course_id, review.standing(), is_published).await?;
    db::ratings::add(tx, review, is_published).await
}

/// Has an admin look at a review that its teacher does not agree with: that it stands, or that it is
/// held back. Until then it is as it was.
pub async fn contest(
    app: &App,
    teacher: &User,
    id: ReviewId,
    reason: String,
    now: Timestamp,
) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let review = db::reviews::lock(&mut tx, id).await?;
    let review = review.filter(|review| review.teacher_id == teacher.id);
    let mut review = review.ok_or(Error::NotFound("review"))?;
    if review.contest.is_some() {
        return Err(Error::ReviewClosed("you have contested this review already"));
    }
    if review.decision.is_some() {
        return Err(Error::ReviewClosed("an admin has decided on this review"));
    }
    review.contest = Some(Said { by: teacher.id, reason, at: now });
    db::reviews::update(&mut tx, &review).await?;
    tx.commit().await?;
    info!(review.id = %id, teacher.id = %teacher.id, "review {id} is contested");
    Ok(())
}

/// Decides whether a review stands. Said again, it changes nothing but the reason.
///
/// A bonus that was paid stays paid: the teacher may have been paid out since. Answers with what
/// `view` shows of the review.
pub async fn decide<V: Serialize>(
    app: &App,
    admin: &User,
    (id, verdict, reason): (ReviewId, Verdict, String),
    (request, view): (Request, impl FnOnce(Listed) -> V),
    now: Timestamp,
) -> Result<Answer> {
    let (mut tx, claim) = match idempotency::begin(app, request, now).await? {
        Begun::Done(answer) => return Ok(answer),
        Begun::Work(tx, claim) => (tx, claim),
    };
    let found = listed(&mut tx, id).await?;
    // The course first, as whoever reviews it has it.
    db::courses::lock(&mut tx, found.review.course_id).await?;
    let mut review = db::reviews::lock(&mut tx, id).await?.ok_or(Error::NotFound("review"))?;
    let is_published = review.status == ReviewStatus::Published;
    match verdict {
        Verdict::Approve if !is_published => {
            publish(&mut tx, &mut review, Some(admin.id), now).await?;
        }
        Verdict::Reject => {
            if is_published {
                weigh_in(&mut tx, &review, false).await?;
            }
            review.status = ReviewStatus::Rejected;
            if review.bonus_status == BonusStatus::Waiting {
                review.bonus_status = BonusStatus::None;
            }
        }
        Verdict::Approve => {}
    }
    review.decision = Some(Said { by: admin.id, reason, at: now });
    db::reviews::update(&mut tx, &review).await?;
    let shown = view(listed(&mut tx, id).await?);
    let answer = claim.finish(tx, 200, &shown).await?;
    info!(review.id = %id, admin.id = %admin.id, status = %review.status, "decided on review {id}");
    Ok(answer)
}
