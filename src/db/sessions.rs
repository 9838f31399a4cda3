//! Sessions with their holds.

use std::time::Duration;

use serde::Serialize;
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use crate::{
    db::{
        Conn, Tx,
        portable::{Hex, Rows, hex_array},
    },
    domain::{
        books::Touched,
        course::{Partner, Split},
        ledger::settle_id,
        session::{EndReason, Ending, Session, SessionStatus, Terms},
        stretch::Stretch,
    },
    error::Result,
    id::{CourseId, LoginId, NodeId, SessionId, UserId},
    money::{BasisPoints, Currency, Money},
    time::Timestamp,
};

#[derive(FromRow)]
pub(super) struct Row {
    pub(super) id: SessionId,
    student_id: UserId,
    course_id: CourseId,
    teacher_id: UserId,
    currency: Currency,
    price_per_minute: Money,
    platform_basis_points: BasisPoints,
    partners: Json<Vec<Partner>>,
    free_below_ms: i64,
    spending_cap: Option<Money>,
    auto_extend: bool,
    held: Money,
    status: SessionStatus,
    fence: i64,
    node_id: Option<NodeId>,
    entries: i64,
    login_id: Option<LoginId>,
    watched_ms: i64,
    cost: Money,
    stretches: Json<Vec<Stretch>>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    end_reason: Option<EndReason>,
}

/// The columns of [`Row`].
macro_rules! session_columns {
    () => {
        "id, student_id, course_id, teacher_id, currency, price_per_minute, platform_basis_points,
         partners, free_below_ms, spending_cap, auto_extend, held, status, fence, node_id, entries, login_id,
         watched_ms, cost, stretches, started_at, ended_at, end_reason"
    };
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            student_id: row.student_id,
            course_id: row.course_id,
            teacher_id: row.teacher_id,
            terms: Terms {
                price_per_minute: row.price_per_minute,
                currency: row.currency,
                split: Split { platform: row.platform_basis_points, partners: row.partners.0 },
                free_below: from_ms(row.free_below_ms),
                spending_cap: row.spending_cap,
                auto_extend: row.auto_extend,
            },
            held: row.held,
            status: row.status,
            fence: row.fence,
            node_id: row.node_id,
            entries: row.entries,
            login_id: row.login_id,
            watched: from_ms(row.watched_ms),
            cost: row.cost,
            stretches: row.stretches.0,
            started_at: row.started_at,
            ending: row.ended_at.zip(row.end_reason).map(|(at, reason)| Ending { at, reason }),
        }
    }
}

/// Milliseconds as a row has them; a CHECK keeps them from being negative.
fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

pub(super) fn to_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).expect("a session lasts less than a lifetime")
}

pub async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<Session>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(concat!(
        "SELECT ", session_columns!(), " FROM sessions WHERE id = $1",
    ))
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(Session::from))
}

/// Whether a session goes on, and its student has neither been suspended nor signed out of it.
pub async fn is_active(tx: &mut Tx, id: SessionId) -> Result<bool> {
    let found: Option<(SessionId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT s.id FROM sessions s JOIN users u ON u.id = s.student_id
          WHERE s.id = $1 AND s.status = 'active' AND u.status = 'active'
            AND NOT EXISTS
              (SELECT l.id FROM logins l WHERE l.id = s.login_id AND l.ended_at IS NOT NULL)",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}

/// The session `student` has open, if any.
pub async fn find_active(tx: &mut Tx, student: UserId) -> Result<Option<Session>> {
    let row: Option<Row> = on!(tx, conn => sqlx::query_as(concat!(
        "SELECT ", session_columns!(), " FROM sessions WHERE student_id = $1 AND status = 'active'",
    ))
    .bind(student)
    .fetch_optional(conn)
    .await)?;
    Ok(row.map(Session::from))
}

/// Which of `students` have a session open, and which one.
pub async fn list_active(tx: &mut Tx, students: &[UserId]) -> Result<Vec<(UserId, SessionId)>> {
    let uuids = students.iter().map(|student| student.uuid());
    Ok(match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as(
                "SELECT student_id, id FROM sessions
                  WHERE status = 'active'
                    AND student_id IN (SELECT unhex(value) FROM json_each($1))",
            )
            .bind(hex_array(uuids))
            .fetch_all(conn)
            .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(
                "SELECT student_id, id FROM sessions
                  WHERE status = 'active' AND student_id = ANY($1)",
            )
            .bind(uuids.collect::<Vec<Uuid>>())
            .fetch_all(conn)
            .await?
        }
    })
}

/// Whether `student` has watched some of `course` for nothing since `since`.
pub async fn was_free_since(
    tx: &mut Tx,
    student: UserId,
    course: CourseId,
    since: Timestamp,
) -> Result<bool> {
    let found: Option<(SessionId,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM sessions
          WHERE student_id = $1 AND course_id = $2 AND started_at >= $3
            AND status = 'cancelled' AND watched_ms > 0
          LIMIT 1",
    )
    .bind(student)
    .bind(course)
    .bind(since)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}

/// How much `student` has watched of `course`, in sessions that count.
pub async fn sum_watched(tx: &mut Tx, student: UserId, course: CourseId) -> Result<Duration> {
    let ms: i64 = on!(tx, conn => sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(watched_ms), 0) AS BIGINT) FROM sessions
          WHERE student_id = $1 AND course_id = $2 AND status = 'completed'",
    )
    .bind(student)
    .bind(course)
    .fetch_one(conn)
    .await)?;
    Ok(from_ms(ms))
}

/// The sessions of `ids` that exist, locked in the order of their ids.
pub async fn lock(tx: &mut Tx, ids: &[SessionId]) -> Result<Vec<Session>> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows: Vec<Row> = match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query_as(concat!(
                "SELECT ",
                session_columns!(),
                " FROM sessions WHERE id IN (SELECT unhex(value) FROM json_each($1))",
            ))
            .bind(hex_array(uuids))
            .fetch_all(conn)
            .await?
        }
        Conn::Postgres(conn) => {
            sqlx::query_as(concat!(
                "SELECT ",
                session_columns!(),
                " FROM sessions WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
            ))
            .bind(uuids)
            .fetch_all(conn)
            .await?
        }
    };
    Ok(rows.into_iter().map(Session::from).collect())
}

#[derive(Serialize)]
struct NewRow<'a> {
    id: Hex,
    student_id: Hex,
    course_id: Hex,
    teacher_id: Hex,
    currency: Currency,
    price_per_minute: i64,
    platform_basis_points: u16,
    partners: &'a [Partner],
    free_below_ms: i64,
    spending_cap: Option<i64>,
    auto_extend: bool,
    wallet_id: Option<Hex>,
    held: i64,
    fence: i64,
    node_id: Option<Hex>,
    login_id: Option<Hex>,
    started_at: i64,
}

#[derive(Serialize)]
struct LifeRow<'a> {
    id: Hex,
    fence: i64,
    held_before: i64,
    held: i64,
    status: &'static str,
    watched_ms: i64,
    cost: i64,
    stretches: &'a [Stretch],
    ended_at: Option<i64>,
    end_reason: Option<&'static str>,
    journal_id: Option<String>,
}

impl<'a> From<Touched<'a>> for LifeRow<'a> {
    fn from(Touched { session, held_before }: Touched<'a>) -> Self {
        Self {
            id: Hex(session.id.uuid()),
            fence: session.fence,
            held_before: held_before.micros(),
            held: session.held.micros(),
            status: session.status.as_str(),
            watched_ms: to_ms(session.watched),
            cost: session.cost.micros(),
            stretches: &session.stretches,
            ended_at: session.ending.map(|ending| ending.at.micros()),
            end_reason: session.ending.map(|ending| ending.reason.as_str()),
            journal_id: session.ending.map(|_| settle_id(session.id)),
        }
    }
}

impl<'a> From<&'a Session> for NewRow<'a> {
    fn from(session: &'a Session) -> Self {
        let terms = &session.terms;
        Self {
            id: Hex(session.id.uuid()),
            student_id: Hex(session.student_id.uuid()),
            course_id: Hex(session.course_id.uuid()),
            teacher_id: Hex(session.teacher_id.uuid()),
            currency: terms.currency,
            price_per_minute: terms.price_per_minute.micros(),
            platform_basis_points: terms.split.platform.points(),
            partners: &terms.split.partners,
            free_below_ms: to_ms(terms.free_below),
            spending_cap: terms.spending_cap.map(Money::micros),
            auto_extend: terms.auto_extend,
            wallet_id: session.wallet().map(|wallet| Hex(wallet.uuid())),
            held: session.held.micros(),
            fence: session.fence,
            node_id: session.node_id.map(|node| Hex(node.uuid())),
            login_id: session.login_id.map(|login| Hex(login.uuid())),
            started_at: session.started_at.micros(),
        }
    }
}

/// Writes sessions that have just been opened. A second open one of a student is a unique
/// violation.
macro_rules! insert_sessions {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [id uuid, student_id uuid, course_id uuid, teacher_id uuid, currency text,
             price_per_minute bigint, platform_basis_points bigint, partners json,
             free_below_ms bigint, spending_cap bigint, auto_extend boolean, wallet_id uuid,
             held bigint, fence bigint, node_id uuid, login_id uuid, started_at time],
            "INSERT INTO sessions (id, student_id, course_id, teacher_id, currency,
               price_per_minute, platform_basis_points, partners, free_below_ms, spending_cap,
               auto_extend, wallet_id, held, status, fence, node_id, login_id, watched_ms, cost,
               started_at)
             SELECT r.id, r.student_id, r.course_id, r.teacher_id, r.currency, r.price_per_minute,
               r.platform_basis_points, r.partners, r.free_below_ms, r.spending_cap,
               r.auto_extend, r.wallet_id, r.held, 'active', r.fence, r.node_id, r.login_id, 0, 0,
               r.started_at
               FROM",
            "ORDER BY r.student_id"
        )
    };
}

/// Writes what was done to open sessions, if they still are as they were thought to be: open, in
/// the same hands, with the same hold.
macro_rules! update_sessions {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [id uuid, fence bigint, held_before bigint, held bigint, status text,
             watched_ms bigint, cost bigint, stretches json, ended_at time,
             end_reason text, journal_id text],
            "UPDATE sessions
                SET held = r.held, status = r.status, watched_ms = r.watched_ms, cost = r.cost,
                    stretches = r.stretches, ended_at = r.ended_at, end_reason = r.end_reason,
                    journal_id = r.journal_id
               FROM",
            "WHERE sessions.id = r.id AND sessions.status = 'active' AND sessions.fence = r.fence
               AND sessions.held = r.held_before"
        )
    };
}

/// The rows of `insert_sessions!`.
pub(super) fn opened<'a>(sessions: impl Iterator<Item = &'a Session>) -> Rows {
    Rows::of(sessions.map(NewRow::from))
}

/// The rows of `update_sessions!`.
pub(super) fn touched<'a>(sessions: impl Iterator<Item = Touched<'a>>) -> Rows {
    Rows::of(sessions.map(LifeRow::from))
}
