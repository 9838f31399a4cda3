//! What a teacher has earned, one session and one bonus after the other: straight off the ledger, so
//! that the sum of it is the ledger's.

use std::{collections::HashMap, time::Duration};

use sqlx::FromRow;

use crate::{
    db::{Tx, videos::count},
    domain::{
        calendar::Period,
        earnings::{Entry, EntryKind, Figures},
        ledger::{rewarded_session, settled_session},
    },
    error::Result,
    id::{AccountId, CourseId, SessionId},
    money::Money,
    time::Timestamp,
};

/// The shortest time there is between two rows.
const MOMENT: Duration = Duration::from_micros(1);

/// A place in a list: entries of one moment are told apart by their journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: Timestamp,
    pub journal_id: String,
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

#[derive(FromRow)]
struct Share {
    at: Timestamp,
    journal_id: String,
    amount: Money,
}

#[derive(FromRow)]
struct Source {
    id: SessionId,
    course_id: CourseId,
    course_title: String,
    started_at: Timestamp,
    watched_ms: i64,
    cost: Money,
}

/// Those that are asked for, if there were no limit; `$cursor`: on which side of the last page they are.
macro_rules! all_shares {
    ($what:literal, $cursor:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM transfers
              WHERE credit_account_id = $1 AND at >= $2 AND at < $3
                AND (substr(journal_id, 1, 7) = 'settle:'
                     OR substr(journal_id, 1, 14) = 'quality_bonus:')
                AND (at, journal_id) ",
            $cursor,
            " ($4, $5) "
        )
    };
}

/// First the moment of the last one, for which the index has the order. PostgreSQL, which takes all
/// accounts for equally busy, would otherwise read a whole year of the busiest, and sort it. (SQLite, whose
/// index goes on by the journal, would not.)
macro_rules! shares {
    ($cursor:literal, $order:literal, $within:literal, $bound:literal) => {
        concat!(
            all_shares!("at, journal_id, amount", $cursor),
            " AND at ",
            $within,
            " COALESCE((",
            all_shares!("at", $cursor),
            " ORDER BY at ",
            $order,
            " LIMIT 1 OFFSET $6 - 1), ",
            $bound,
            ") ORDER BY at ",
            $order,
            ", journal_id ",
            $order,
            " LIMIT $6"
        )
    };
}

/// At most `limit` entries of the account of a teacher's earnings in `period`, behind `after`.
pub async fn list(
    tx: &mut Tx,
    account: AccountId,
    period: Period,
    (order, after): (Order, Option<Place>),
    limit: i64,
) -> Result<Vec<Entry>> {
    let (sql, first) = match order {
        Order::NewestFirst => (shares!("<", "DESC", ">=", "$2"), period.end),
        Order::OldestFirst => (shares!(">", "ASC", "<=", "$3"), period.begin),
    };
    // The end is not in the period, and the beginning has no journal without a name.
    let after = after.unwrap_or(Place { at: first, journal_id: String::new() });
    // So that the index is entered where the last page ended, and not where the period does.
    let (begin, end) = match order {
        Order::NewestFirst => (period.begin, period.end.min(after.at + MOMENT)),
        Order::OldestFirst => (period.begin.max(after.at), period.end),
    };
    let shares: Vec<Share> = on!(tx, conn => sqlx::query_as(sql)
        .bind(account)
        .bind(begin)
        .bind(end)
        .bind(after.at)
        .bind(&after.journal_id)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    let sources = sources(tx, shares.iter().filter_map(Share::session)).await?;
    Ok(shares.into_iter().filter_map(|share| share.into_entry(&sources)).collect())
}

/// The sessions that brought it.
async fn sources(
    tx: &mut Tx,
    ids: impl Iterator<Item = SessionId>,
) -> Result<HashMap<SessionId, Source>> {
    let rows: Vec<Source> = among!(
        tx,
        ids.map(SessionId::uuid),
        "SELECT s.id, s.course_id, c.title AS course_title, s.started_at, s.watched_ms, s.cost
           FROM sessions s JOIN courses c ON c.id = s.course_id
          WHERE s.id",
        ""
    )?;
    Ok(rows.into_iter().map(|source| (source.id, source)).collect())
}

impl Share {
    fn session(&self) -> Option<SessionId> {
        settled_session(&self.journal_id).or_else(|| rewarded_session(&self.journal_id))
    }

    fn into_entry(self, sources: &HashMap<SessionId, Source>) -> Option<Entry> {
        let source = sources.get(&self.session()?)?;
        let (kind, figures) = match settled_session(&self.journal_id) {
            Some(_) => {
                let figures = Figures {
                    sessions: 1,
                    watched_ms: count(source.watched_ms),
                    paid: source.cost,
                    earned: self.amount,
                    bonus: Money::ZERO,
                };
                (EntryKind::Session, figures)
            }
            None => (EntryKind::Bonus, Figures { bonus: self.amount, ..Figures::default() }),
        };
        Some(Entry {
            at: self.at,
            journal_id: self.journal_id,
            kind,
            session_id: source.id,
            course_id: source.course_id,
            course_title: source.course_title.clone(),
            started_at: source.started_at,
            figures,
        })
    }
}
