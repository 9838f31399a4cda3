//! `/api/v1/teacher`: what teachers look at. Students' reviews of them are in [`super::reviews`].

mod export;
mod live;

use axum::{body::Body, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::export::Csv;
use crate::{
    app::App,
    db::{
        self,
        catalogue::Listed,
        income::{Order, Place},
    },
    domain::{
        calendar::{Day, Period, Step, Zone},
        catalogue::{Filter, Place as CoursePlace, Shelf, Sort},
        course::CourseStatus,
        earnings::{Entry, EntryKind, Figures},
        ledger::Owner,
    },
    error::{Error, Result},
    http::{
        courses::CourseView,
        extract::{Json, Query, Teacher},
        openapi::{Routes, routes},
        page::{self, Cursor, Limit, Page},
    },
    id::{CourseId, SessionId, UserId},
    money::{Currency, Money},
    service::{
        earnings::{self, CourseSums, Dashboard},
        identity::Caller,
        payments::currency_or_default,
    },
    time::Timestamp,
};

/// The days that are shown if nothing else is asked for, before the last one.
const DAYS_BEFORE: u16 = 29;

pub(super) fn routes() -> Routes {
    routes! { "teacher"
        /// How it goes: viewers, earnings, courses, reviews.
        GET "/teacher/dashboard" => dashboard;
        /// What one has earned, newest first: by the day, by the hour, or each session and bonus.
        GET "/teacher/earnings" => list_earnings;
        /// All sessions and bonuses of some days as a table for a spreadsheet, oldest first.
        ///
        /// What fails on the way cuts the answer short, so that nobody takes a part for the whole.
        GET "/teacher/earnings.csv" => export_earnings;
        /// One's own courses, whether on offer or not; newest first.
        GET "/teacher/courses" => courses;
        /// Viewers and earnings while students watch, as server-sent events.
        ///
        /// An event comes when something is not what it was, at most one each tick. Each is the whole
        /// view, so whoever comes back has missed nothing. It ends when the server stops, or when the
        /// teacher signs out.
        GET "/teacher/live" => live::watch [RATE_LIMITED];
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DashboardQuery {
    /// That of one's profile if nothing is said, or else UTC.
    #[schemars(with = "Option<Zone>")]
    time_zone: Option<String>,
}

/// The one that is asked for, or else the teacher's own.
fn zone(teacher: &Caller, name: Option<&str>) -> Result<Zone> {
    match name {
        None => Ok(teacher.user.time_zone()),
        Some(name) => name.parse().map_err(|problem: String| Error::invalid("time_zone", problem)),
    }
}

async fn dashboard(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<DashboardQuery>,
) -> Result<Json<Dashboard>> {
    let zone = zone(&teacher, query.time_zone.as_deref())?;
    Ok(Json(earnings::dashboard(&app, teacher.user.id, &zone, app.clock.now()).await?))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "EarningsBy", rename_all = "lowercase")]
enum By {
    #[default]
    Day,
    Hour,
    Session,
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        match &*word {
            "day" => Ok(Self::Day),
            "hour" => Ok(Self::Hour),
            "session" => Ok(Self::Session),
            _ => Err(serde::de::Error::custom("is none of day, hour, session")),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EarningsQuery {
    /// Days if nothing is said.
    #[serde(default)]
    by: By,
    /// The default one if nothing is said.
    currency: Option<Currency>,
    /// Not for each session.
    course_id: Option<CourseId>,
    /// The first day, in the time zone; 29 days before the last if nothing is said.
    #[schemars(with = "Option<Day>")]
    from: Option<String>,
    /// The last day, in the time zone; today if nothing is said.
    #[schemars(with = "Option<Day>")]
    to: Option<String>,
    /// That of one's profile if nothing is said, or else UTC.
    #[schemars(with = "Option<Zone>")]
    time_zone: Option<String>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

/// The days somebody asks for.
struct Range {
    zone: Zone,
    days: (Day, Day),
}

impl Range {
    fn read(
        teacher: &Caller,
        (from, to): (Option<&str>, Option<&str>),
        time_zone: Option<&str>,
        now: Timestamp,
    ) -> Result<Self> {
        let zone = zone(teacher, time_zone)?;
        let day = |param, text: Option<&str>| {
            let day = text.map(str::parse::<Day>).transpose();
            day.map_err(|problem| Error::invalid(param, problem))
        };
        let last = day("to", to)?.unwrap_or_else(|| zone.day_of(now));
        let first = day("from", from)?.unwrap_or_else(|| last.days_before(DAYS_BEFORE));
        if first > last {
            return Err(Error::invalid("from", "is later than to"));
        }
        Ok(Self { zone, days: (first, last) })
    }

    fn period(&self) -> Period {
        let (first, last) = self.days;
        Period { begin: self.zone.begin_of(first), end: self.zone.begin_of(last.next()) }
    }
}

/// What was earned on a day or in an hour. Those in which nothing was are there, too.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EarningsPeriod")]
struct PeriodView {
    day: Day,
    begin: Timestamp,
    end: Timestamp,
    currency: Currency,
    #[serde(flatten)]
    figures: FiguresView,
}

#[derive(Serialize, JsonSchema)]
struct FiguresView {
    sessions: u64,
    watched_ms: u64,
    /// By the students.
    paid: Money,
    /// Of that, what the platform and partners got.
    fee: Money,
    earned: Money,
    bonus: Money,
    /// Earned and bonus.
    total: Money,
}

impl From<Figures> for FiguresView {
    fn from(figures: Figures) -> Self {
        Self {
            sessions: figures.sessions,
            watched_ms: figures.watched_ms,
            paid: figures.paid,
            fee: figures.fee(),
            earned: figures.earned,
            bonus: figures.bonus,
            total: figures.total(),
        }
    }
}

/// One session or one bonus.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EarningsEntry")]
struct EntryView {
    at: Timestamp,
    kind: EntryKind,
    session_id: SessionId,
    course_id: CourseId,
    course_title: String,
    started_at: Timestamp,
    currency: Currency,
    #[serde(flatten)]
    figures: FiguresView,
}

impl From<(Entry, Currency)> for EntryView {
    fn from((entry, currency): (Entry, Currency)) -> Self {
        Self {
            at: entry.at,
            kind: entry.kind,
            session_id: entry.session_id,
            course_id: entry.course_id,
            course_title: entry.course_title,
            started_at: entry.started_at,
            currency,
            figures: entry.figures.into(),
        }
    }
}

/// A page of days or hours, or of sessions and bonuses.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum EarningsPage {
    Periods(Page<PeriodView>),
    Entries(Page<EntryView>),
}

async fn list_earnings(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<EarningsQuery>,
) -> Result<Json<EarningsPage>> {
    let currency = currency_or_default(&app, query.currency)?;
    let days = (query.from.as_deref(), query.to.as_deref());
    let now = app.clock.now();
    let range = Range::read(&teacher, days, query.time_zone.as_deref(), now)?;
    let EarningsQuery { limit, cursor, .. } = query;
    let of = (teacher.user.id, currency);
    let step = match query.by {
        By::Day => Step::Day,
        By::Hour => Step::Hour,
        By::Session if query.course_id.is_some() => {
            return Err(Error::invalid("course_id", "is for earnings by day or by hour"));
        }
        By::Session => {
            let page = entries(&app, of, &range, (cursor.as_ref(), limit)).await?;
            return Ok(Json(EarningsPage::Entries(page)));
        }
    };
    let before = cursor.as_ref().map(Cursor::moment).transpose()?;
    let periods = range.zone.periods(step, range.days, (now, before), limit.entries() + 1);
    let mut tx = app.db.read().await?;
    let found = earnings::by_period(&mut tx, of, query.course_id, &periods).await?;
    let view = |(period, figures): (Period, Figures)| PeriodView {
        day: range.zone.day_of(period.begin),
        begin: period.begin,
        end: period.end,
        currency,
        figures: figures.into(),
    };
    let found: Vec<PeriodView> = found.into_iter().map(view).collect();
    let cursor = |last: &PeriodView| last.begin.micros().to_string();
    Ok(Json(EarningsPage::Periods(Page::new(found, limit.entries(), cursor))))
}

async fn entries(
    app: &App,
    (teacher, currency): (UserId, Currency),
    range: &Range,
    (cursor, limit): (Option<&Cursor>, Limit),
) -> Result<Page<EntryView>> {
    let after = cursor.map(Cursor::place).transpose()?;
    let after = after.map(|(at, journal_id)| Place { at, journal_id });
    let account = Owner::Earnings(teacher).account(currency);
    let order = (Order::NewestFirst, after);
    let mut tx = app.db.read().await?;
    let found = db::income::list(&mut tx, account, range.period(), order, limit.and_one()).await?;
    let found = found.into_iter().map(|entry| (entry, currency)).collect();
    let place = |(entry, _): &(Entry, Currency)| page::place(entry.at, &entry.journal_id);
    Ok(Page::new(found, limit.entries(), place))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// The default one if nothing is said.
    currency: Option<Currency>,
    #[schemars(with = "Option<Day>")]
    from: Option<String>,
    #[schemars(with = "Option<Day>")]
    to: Option<String>,
    /// That of one's profile if nothing is said, or else UTC.
    #[schemars(with = "Option<Zone>")]
    time_zone: Option<String>,
}

async fn export_earnings(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<ExportQuery>,
) -> Result<Csv> {
    let currency = currency_or_default(&app, query.currency)?;
    let days = (query.from.as_deref(), query.to.as_deref());
    let range = Range::read(&teacher, days, query.time_zone.as_deref(), app.clock.now())?;
    let (first, last) = range.days;
    let name = format!("earnings-{currency}-{first}-{last}.csv");
    let account = Owner::Earnings(teacher.user.id).account(currency);
    let rows = Body::from_stream(export::table(app, (account, currency), range));
    Ok(Csv { name, rows })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CoursesQuery {
    status: Option<CourseStatus>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

/// One's own course, with what it has brought.
#[derive(Serialize, JsonSchema)]
struct OwnCourse {
    #[serde(flatten)]
    course: CourseView,
    #[serde(flatten)]
    sums: CourseSums,
}

impl From<(Listed, CourseSums)> for OwnCourse {
    fn from((listed, sums): (Listed, CourseSums)) -> Self {
        Self { course: listed.into(), sums }
    }
}

async fn courses(
    State(app): State<App>,
    Teacher(teacher): Teacher,
    Query(query): Query<CoursesQuery>,
) -> Result<Json<Page<OwnCourse>>> {
    let CoursesQuery { status, limit, cursor } = query;
    let after = cursor.as_ref().map(Cursor::read).transpose()?;
    let filter = Filter::all_of(Shelf::Own(teacher.user.id), status);
    let after = (Sort::Newest, after.map(|id| CoursePlace { id, value: 0 }));
    let mut tx = app.db.read().await?;
    let found = db::catalogue::list(&mut tx, &filter, after, limit.and_one()).await?;
    let found = earnings::of_courses(&app, &mut tx, teacher.user.id, found).await?;
    Ok(Json(Page::new(found, limit.entries(), |(listed, _)| listed.course.id.to_string())))
}
