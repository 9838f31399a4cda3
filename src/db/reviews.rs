//! Reviews, and what they come to for their course.

use sqlx::{FromRow, types::Json};

use crate::{
    db::{Conn, Tx},
    domain::{
        ledger::bonus_id,
        review::{
            BURST_WITHIN, BonusStatus, Credibility, Flag, REPEATED_WITHIN, Rating, Review,
            ReviewStatus, Said, Share, Standing,
        },
    },
    error::Result,
    id::{CourseId, ReviewId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

/// Of so many of the last reviewers of a course it is looked where they sign in from.
const REVIEWERS_ASKED: i64 = 100;

#[derive(FromRow)]
struct Row {
    id: ReviewId,
    session_id: SessionId,
    course_id: CourseId,
    teacher_id: UserId,
    student_id: UserId,
    rating: Rating,
    text: String,
    depth: Share,
    consistency: Share,
    duration: Share,
    coverage: Share,
    credibility: Share,
    weight: Share,
    status: ReviewStatus,
    flags: Json<Vec<Flag>>,
    currency: Currency,
    bonus: Money,
    bonus_status: BonusStatus,
    contest_reason: Option<String>,
    contested_at: Option<Timestamp>,
    decided_by: Option<UserId>,
    decision: Option<String>,
    decided_at: Option<Timestamp>,
    created_at: Timestamp,
}

macro_rules! review_columns {
    () => {
        "r.id, r.session_id, r.course_id, r.teacher_id, r.student_id, r.rating, r.text, r.depth,
         r.consistency, r.duration, r.coverage, r.credibility, r.weight, r.status, r.flags,
         r.currency, r.bonus, r.bonus_status, r.contest_reason, r.contested_at, r.decided_by,
         r.decision, r.decided_at, r.created_at"
    };
}

impl From<Row> for Review {
    fn from(row: Row) -> Self {
        let said = |by: Option<UserId>, reason: Option<String>, at: Option<Timestamp>| {
            Some(Said { by: by?, reason: reason?, at: at? })
        };
        Self {
            id: row.id,
            session_id: row.session_id,
            course_id: row.course_id,
            teacher_id: row.teacher_id,
            student_id: row.student_id,
            rating: row.rating,
            text: row.text,
            credibility: Credibility {
                depth: row.depth,
                consistency: row.consistency,
                duration: row.duration,
                coverage: row.coverage,
                total: row.credibility,
                weight: row.weight,
            },
            status: row.status,
            flags: row.flags.0,
            bonus: row.bonus,
            currency: row.currency,
            bonus_status: row.bonus_status,
            contest: said(Some(row.teacher_id), row.contest_reason, row.contested_at),
            decision: said(row.decided_by, row.decision, row.decided_at),
            created_at: row.created_at,
        }
    }
}

/// Writes a new review. A second one of a session is a unique violation.
pub async fn insert(tx: &mut Tx, review: &Review) -> Result<()> {
    let Credibility { depth, consistency, duration, coverage, total, weight } = review.credibility;
    on!(tx, conn => sqlx::query(
        "INSERT INTO reviews (id, session_id, course_id, teacher_id, student_id, rating, text, depth,
           consistency, duration, coverage, credibility, weight, status, flags, currency, bonus,
           bonus_status, journal_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
           $19, $20)",
    )
    .bind(review.id)
    .bind(review.session_id)
    .bind(review.course_id)
    .bind(review.teacher_id)
    .bind(review.student_id)
    .bind(review.rating)
    .bind(&review.text)
    .bind(depth)
    .bind(consistency)
    .bind(duration)
    .bind(coverage)
    .bind(total)
    .bind(weight)
    .bind(review.status)
    .bind(Json(&review.flags))
    .bind(review.currency)
    .bind(review.bonus)
    .bind(review.bonus_status)
    .bind(journal_of(review))
    .bind(review.created_at)
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// Writes down what may change of a review.
pub async fn update(tx: &mut Tx, review: &Review) -> Result<()> {
    let (contest, decision) = (review.contest.as_ref(), review.decision.as_ref());
    on!(tx, conn => sqlx::query(
        "UPDATE reviews
            SET status = $2, bonus_status = $3, journal_id = $4, contest_reason = $5,
                contested_at = $6, decided_by = $7, decision = $8, decided_at = $9
          WHERE id = $1",
    )
    .bind(review.id)
    .bind(review.status)
    .bind(review.bonus_status)
    .bind(journal_of(review))
    .bind(contest.map(|said| &said.reason))
    .bind(contest.map(|said| said.at))
    .bind(decision.map(|said| said.by))
    .bind(decision.map(|said| &said.reason))
    .bind(decision.map(|said| said.at))
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

fn journal_of(review: &Review) -> Option<String> {
    (review.bonus_status == BonusStatus::Paid).then(|| bonus_id(review.session_id))
}

/// A review that nobody else changes before the transaction ends.
pub async fn lock(tx: &mut Tx, id: ReviewId) -> Result<Option<Review>> {
    let row: Option<Row> = match tx.conn() {
        Conn::Sqlite(conn) => {
            // The transaction is the lock.
            let find = concat!("SELECT ", review_columns!(), " FROM reviews r WHERE r.id = $1");
            sqlx::query_as(find).bind(id).fetch_optional(conn).await?
        }
        Conn::Postgres(conn) => {
            let lock = concat!(
                "SELECT ",
                review_columns!(),
                " FROM reviews r WHERE r.id = $1 FOR NO KEY UPDATE"
            );
            sqlx::query_as(lock).bind(id).fetch_optional(conn).await?
        }
    };
    Ok(row.map(Review::from))
}

/// Whether the session has a review.
pub async fn has_one(tx: &mut Tx, session: SessionId) -> Result<bool> {
    let found: Option<(ReviewId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM reviews WHERE session_id = $1",
    )
    .bind(session)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}

/// Adds to what the reviews of `course` come to; takes away if the review does not count any more.
pub async fn add_standing(
    tx: &mut Tx,
    course: CourseId,
    standing: Standing,
    counts: bool,
) -> Result<()> {
    let signed = |number: u64| {
        let number = i64::try_from(number).expect("one review weighs little");
        if counts { number } else { -number }
    };
    on!(tx, conn => sqlx::query(
        "UPDATE courses
            SET reviews = reviews + $2, rating_weight = rating_weight + $3,
                rating_points = rating_points + $4,
                rating = CASE WHEN rating_weight + $3 = 0 THEN 0
                              ELSE (rating_points + $4) * 100 / (rating_weight + $3) END
          WHERE id = $1",
    )
    .bind(course)
    .bind(signed(standing.reviews))
    .bind(signed(standing.weight))
    .bind(signed(standing.points))
    .execute(conn)
    .await
    .map(drop))?;
    Ok(())
}

/// How many reviews of `course` came in lately.
pub async fn count_recent(tx: &mut Tx, course: CourseId, now: Timestamp) -> Result<u64> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT COUNT(*) FROM reviews WHERE course_id = $1 AND created_at > $2",
    )
    .bind(course)
    .bind(now - BURST_WITHIN)
    .fetch_one(conn)
    .await)?;
    Ok(count.unsigned_abs())
}

/// How often `student` has reviewed courses of `teacher` lately.
pub async fn count_repeated(
    tx: &mut Tx,
    student: UserId,
    teacher: UserId,
    now: Timestamp,
) -> Result<u64> {
    let count: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT COUNT(*) FROM reviews
          WHERE student_id = $1 AND teacher_id = $2 AND created_at > $3",
    )
    .bind(student)
    .bind(teacher)
    .bind(now - REPEATED_WITHIN)
    .fetch_one(conn)
    .await)?;
    Ok(count.unsigned_abs())
}

/// Who wrote the last reviews of `course`, without those of `student`.
pub async fn list_reviewers(tx: &mut Tx, course: CourseId, student: UserId) -> Result<Vec<UserId>> {
    Ok(on!(tx, conn => sqlx::query_scalar(
        "SELECT DISTINCT student_id
           FROM (SELECT student_id FROM reviews WHERE course_id = $1 AND student_id <> $2
                  ORDER BY created_at DESC LIMIT $3) last",
    )
    .bind(course)
    .bind(student)
    .bind(REVIEWERS_ASKED)
    .fetch_all(conn)
    .await)?)
}

/// A review with the names of those it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub review: Review,
    /// None if the account was deleted.
    pub student_name: Option<String>,
    pub course_title: String,
}

#[derive(FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    review: Row,
    student_name: Option<String>,
    course_title: String,
}

/// Which reviews, and from where on.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub of: Of,
    pub status: Option<ReviewStatus>,
    /// The last one of the page before: the newest come first.
    pub after: Option<(Timestamp, ReviewId)>,
}

/// Whose reviews.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    Course(CourseId),
    Teacher(UserId, Option<CourseId>),
    /// Those that a teacher contests and no admin has looked at.
    Contested,
    Everybody,
}

/// The columns of [`ListedRow`], and where they are from. Whoever is gone is not named any more.
macro_rules! listed {
    () => {
        concat!(
            "SELECT ",
            review_columns!(),
            ", CASE WHEN u.status <> 'deleted' THEN u.name END AS student_name,
               c.title AS course_title
               FROM reviews r JOIN users u ON u.id = r.student_id
               JOIN courses c ON c.id = r.course_id"
        )
    };
}

macro_rules! page {
    ($of:literal) => {
        concat!(
            listed!(),
            " WHERE ",
            $of,
            " AND ($2 IS NULL OR r.status = $2) AND $3 IS NOT NULL
                AND (r.created_at, r.id) < ($4, $5)
              ORDER BY r.created_at DESC, r.id DESC LIMIT $6"
        )
    };
}

/// At most `limit` reviews, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Listed>> {
    let nobody = uuid::Uuid::nil();
    let (sql, key, course) = match filter.of {
        Of::Course(course) => (page!("r.course_id = $1"), course.uuid(), nobody),
        Of::Teacher(teacher, None) => (page!("r.teacher_id = $1"), teacher.uuid(), nobody),
        Of::Teacher(teacher, Some(course)) => {
            (page!("r.teacher_id = $1 AND r.course_id = $3"), teacher.uuid(), course.uuid())
        }
        Of::Contested => (
            page!("r.contested_at IS NOT NULL AND r.decided_at IS NULL AND $1 IS NOT NULL"),
            nobody,
            nobody,
        ),
        // By the index of those that are held, as these are what is asked for.
        Of::Everybody if filter.status == Some(ReviewStatus::Held) => {
            (page!("r.status = 'held' AND $1 IS NOT NULL"), nobody, nobody)
        }
        Of::Everybody => (page!("$1 IS NOT NULL"), nobody, nobody),
    };
    let newest = (Timestamp::END, ReviewId::from_uuid(uuid::Uuid::max()));
    let (at, id) = filter.after.unwrap_or(newest);
    let rows: Vec<ListedRow> = on!(tx, conn => sqlx::query_as(sql)
        .bind(key)
        .bind(filter.status)
        .bind(course)
        .bind(at)
        .bind(id)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// One review with the names of those it is about.
pub async fn find(tx: &mut Tx, id: ReviewId) -> Result<Option<Listed>> {
    let find = concat!(listed!(), " WHERE r.id = $1");
    let row: Option<ListedRow> =
        on!(tx, conn => sqlx::query_as(find).bind(id).fetch_optional(conn).await)?;
    Ok(row.map(Listed::from))
}

impl From<ListedRow> for Listed {
    fn from(row: ListedRow) -> Self {
        let ListedRow { review, student_name, course_title } = row;
        Self { review: review.into(), student_name, course_title }
    }
}

/// How many reviews of a teacher's courses are published, and how many are held back.
pub async fn count_of_teacher(tx: &mut Tx, teacher: UserId) -> Result<(u64, u64)> {
    let (published, held): (i64, i64) = on!(tx, conn => sqlx::query_as(
        "SELECT (SELECT CAST(COALESCE(SUM(reviews), 0) AS BIGINT) FROM courses
                  WHERE teacher_id = $1),
                (SELECT COUNT(*) FROM reviews WHERE status = 'held' AND teacher_id = $1)",
    )
    .bind(teacher)
    .fetch_one(conn)
    .await)?;
    Ok((published.unsigned_abs(), held.unsigned_abs()))
}
