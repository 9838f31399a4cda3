//! What happens around a review: by it, those that look bought are told from the others.

use std::{
    collections::{HashMap, HashSet},
    iter,
    net::IpAddr,
};

use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        address,
        earnings::quarter_of,
        review::{BURST_WITHIN, Surroundings},
        session::Session,
    },
    error::Result,
    id::{CourseId, UserId},
    time::Timestamp,
};

/// From where those sign in who were looked up, as far as that tells something.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<UserId, HashSet<IpAddr>>);

impl Addresses {
    /// Of `student`, and of the teacher and the last reviewers of `course`.
    pub(super) async fn around(app: &App, student: UserId, course: CourseId) -> Result<Self> {
        let mut tx = app.db.read().await?;
        let mut addresses = Self::default();
        // Whoever locks a course finds out that it is not there.
        if let Some(course) = db::courses::find(&mut tx, course).await? {
            let reviewers = db::reviews::list_reviewers(&mut tx, course.id, student).await?;
            addresses.look_up(&mut tx, [student, course.teacher_id], &reviewers).await?;
        }
        Ok(addresses)
    }

    /// Looks up those who are not known yet.
    async fn look_up(
        &mut self,
        tx: &mut Tx,
        ends: [UserId; 2],
        reviewers: &[UserId],
    ) -> Result<()> {
        let asked = ends.iter().chain(reviewers).copied();
        let unknown: Vec<UserId> = asked.filter(|user| !self.0.contains_key(user)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let found = db::logins::list_addresses(tx, &unknown).await?;
        self.0.extend(iter::zip(unknown, iter::repeat(HashSet::new())));
        for (user, text) in found {
            self.0.entry(user).or_default().extend(address::telling(&text));
        }
        Ok(())
    }

    fn are_shared(&self, one: UserId, other: UserId) -> bool {
        let of = |user| self.0.get(&user);
        of(one).zip(of(other)).is_some_and(|(one, other)| !one.is_disjoint(other))
    }
}

/// What is around the review of `session` that comes in now, while nobody else reviews its course.
pub(super) async fn of(
    tx: &mut Tx,
    session: &Session,
    addresses: &mut Addresses,
    now: Timestamp,
) -> Result<Surroundings> {
    let Session { course_id: course, student_id: student, teacher_id: teacher, .. } = *session;
    let lately = quarter_of(now - BURST_WITHIN);
    let reviewers = db::reviews::list_reviewers(tx, course, student).await?;
    // Those who came since, if there are any: of reviews that come in at once each sees the others.
    addresses.look_up(tx, [student, teacher], &reviewers).await?;
    let neighbours = reviewers.iter().filter(|other| addresses.are_shared(student, **other));
    Ok(Surroundings {
        recent_reviews: db::reviews::count_recent(tx, course, now).await? + 1,
        recent_sessions: db::earnings::count_sessions(tx, (teacher, course), lately).await?,
        repeated: db::reviews::count_repeated(tx, student, teacher, now).await?,
        is_at_teachers: addresses.are_shared(student, teacher),
        neighbours: u64::try_from(neighbours.count()).expect("few are asked"),
    })
}
