//! The table of a teacher's earnings, for a spreadsheet: written while it is read.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::json;

use super::Range;
use crate::{
    app::App,
    db::{
        self,
        income::{Order, Place},
    },
    domain::{
        calendar::Day,
        earnings::{Entry, EntryKind},
    },
    error::{Error, Result},
    http::openapi::{Operation, Output, Promise},
    id::{AccountId, CourseId, SessionId},
    money::{Currency, Money},
    time::Timestamp,
};

/// How many rows are read at a time.
const CHUNK: i64 = 1_000;

#[derive(Serialize)]
struct Row {
    at: Timestamp,
    day: Day,
    kind: EntryKind,
    session_id: SessionId,
    course_id: CourseId,
    course_title: String,
    started_at: Timestamp,
    watched_ms: u64,
    currency: Currency,
    paid: Money,
    fee: Money,
    earned: Money,
    bonus: Money,
    total: Money,
}

/// The names of its columns, in their order.
const HEAD: &str = "at,day,kind,session_id,course_id,course_title,started_at,watched_ms,currency,\
                    paid,fee,earned,bonus,total\n";

/// A table that browsers keep under a name.
#[derive(Debug)]
pub(super) struct Csv {
    /// Of letters that need no escape.
    pub(super) name: String,
    pub(super) rows: Body,
}

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        let place = format!("attachment; filename=\"{}\"", self.name);
        let place = HeaderValue::try_from(place).expect("days and currencies are ASCII");
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
            (header::CONTENT_DISPOSITION, place),
        ];
        (headers, self.rows).into_response()
    }
}

impl Output for Csv {
    fn describe(operation: &mut Operation<'_>) {
        let description = format!("The first line names the columns: `{}`.", HEAD.trim_end());
        let schema = json!({ "type": "string", "description": description });
        let table = Promise::of("text/csv", schema).with(&["Content-Disposition"]);
        operation.answers(StatusCode::OK, table);
    }
}

struct Table {
    app: App,
    account: AccountId,
    currency: Currency,
    range: Range,
    after: Option<Place>,
    is_done: bool,
}

/// All sessions and bonuses of the days, oldest first. What fails on the way cuts it short, so that
/// nobody takes a part for the whole.
pub(super) fn table(
    app: App,
    (account, currency): (AccountId, Currency),
    range: Range,
) -> impl Stream<Item = Result<Bytes>> {
    let table = Table { app, account, currency, range, after: None, is_done: false };
    let rows = stream::try_unfold(table, Table::chunk);
    futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from_static(HEAD.as_bytes()))]), rows)
}

impl Table {
    async fn chunk(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.is_done {
            return Ok(None);
        }
        let order = (Order::OldestFirst, self.after.take());
        let period = self.range.period();
        // A transaction for each chunk: whoever reads slowly keeps no connection.
        let mut tx = self.app.db.read().await?;
        let entries = db::income::list(&mut tx, self.account, period, order, CHUNK).await?;
        drop(tx);
        self.is_done = i64::try_from(entries.len()).is_ok_and(|count| count < CHUNK);
        let last = entries.last();
        self.after = last.map(|last| Place { at: last.at, journal_id: last.journal_id.clone() });
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for entry in entries {
            writer.serialize(self.row(entry)).map_err(|error| broken(&error))?;
        }
        let bytes = writer.into_inner().map_err(|error| broken(error.error()))?;
        Ok(Some((bytes.into(), self)))
    }

    fn row(&self, entry: Entry) -> Row {
        let figures = entry.figures;
        Row {
            at: entry.at,
            day: self.range.zone.day_of(entry.at),
            kind: entry.kind,
            session_id: entry.session_id,
            course_id: entry.course_id,
            course_title: as_text(entry.course_title),
            started_at: entry.started_at,
            watched_ms: figures.watched_ms,
            currency: self.currency,
            paid: figures.paid,
            fee: figures.fee(),
            earned: figures.earned,
            bonus: figures.bonus,
            total: figures.total(),
        }
    }
}

fn broken(error: &dyn std::error::Error) -> Error {
    Error::Internal(format!("a row cannot be written: {error}"))
}

/// What a spreadsheet would take for a formula begins with one of these; full-width ones as well.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// Such a text gets a mark in front, so that it stays text.
fn as_text(title: String) -> String {
    if title.starts_with(FORMULA) { format!("'{title}") } else { title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_never_a_formula() {
        for title in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1＋1", "＋1", "－1", "＠SUM(A1)"] {
            assert_eq!(as_text(title.to_owned()), format!("'{title}"));
        }
        assert_eq!(as_text("C++ = fun".to_owned()), "C++ = fun");
    }
}
