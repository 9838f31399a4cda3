//! What teachers earn, as they look at it. All of it is read from sums that are kept in the
//! transaction that moves the money; nothing here scans the ledger.

mod views;
mod watching;

pub use self::{
    views::{View, Views},
    watching::{LiveView, live},
};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::Serialize;
use tracing::info;

use crate::{
    app::App,
    db::{self, Db, Tx, catalogue::Listed, dashboard::VideoSum, reviews},
    domain::{
        audience::Audience,
        calendar::{Period, Zone},
        course::CourseStatus,
        earnings::Figures,
        ledger::Owner,
        review::{Rating, ReviewStatus},
    },
    error::Result,
    id::{CourseId, ReviewId, UserId, VideoId},
    money::{Currency, Money},
    time::Timestamp,
};

/// How many courses a dashboard shows: those most watched.
const COURSES_MAX: usize = 20;

/// How many reviews it shows: the last ones.
const REVIEWS_MAX: i64 = 5;

/// What was earned in each of `periods`, which are newest first and without gaps.
pub async fn by_period(
    tx: &mut Tx,
    of: (UserId, Currency),
    course: Option<CourseId>,
    periods: &[Period],
) -> Result<Vec<(Period, Figures)>> {
    let (Some(newest), Some(oldest)) = (periods.first(), periods.last()) else {
        return Ok(Vec::new());
    };
    let whole = Period { begin: oldest.begin, end: newest.end };
    let mut sums: Vec<_> = periods.iter().map(|period| (*period, Figures::default())).collect();
    for (quarter, figures) in db::earnings::list_quarters(tx, of, course, whole).await? {
        let nth = periods.partition_point(|period| period.begin > quarter);
        sums[nth].1 += figures;
    }
    Ok(sums)
}

/// A teacher's whole business at one glance.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dashboard {
    at: Timestamp,
    time_zone: String,
    /// Players that are connected, on all nodes.
    viewers: u64,
    earnings: Vec<Earnings>,
    /// Those most watched, first those that are being watched now.
    courses: Vec<CourseEarnings>,
    reviews: ReviewsView,
}

/// What somebody has earned in one currency.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Earnings {
    currency: Currency,
    today: Money,
    this_month: Money,
    total: Money,
    /// Of the total, what good reviews brought.
    bonus: Money,
    /// What the open sessions come to so far.
    pending: Money,
    /// It may still change, and for a moment what was settled is in both.
    pending_is_provisional: bool,
    /// For payout.
    available: Money,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct CourseEarnings {
    course_id: CourseId,
    title: String,
    status: CourseStatus,
    viewers: u64,
    sessions: u64,
    watched_ms: u64,
    earnings: Vec<Share>,
    videos: Vec<VideoEarnings>,
}

/// What a course has brought in one currency.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EarningsShare")]
pub struct Share {
    currency: Currency,
    /// By the students.
    paid: Money,
    earned: Money,
    bonus: Money,
    total: Money,
    pending: Money,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VideoEarnings {
    video_id: VideoId,
    title: String,
    sessions: u64,
    watched_ms: u64,
    /// The part of what the course earned that the time watched of this video is of all videos.
    earned: Vec<VideoShare>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VideoShare {
    currency: Currency,
    amount: Money,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DashboardReviews")]
struct ReviewsView {
    /// Published ones of all courses.
    count: u64,
    /// Held back, until an admin has looked at them.
    held: u64,
    latest: Vec<ReviewLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DashboardReview")]
struct ReviewLine {
    id: ReviewId,
    course_id: CourseId,
    rating: Rating,
    text: String,
    status: ReviewStatus,
    created_at: Timestamp,
}

/// Everything a teacher's dashboard shows, with days as `zone` has them.
pub async fn dashboard(
    app: &App,
    teacher: UserId,
    zone: &Zone,
    now: Timestamp,
) -> Result<Dashboard> {
    let audience = app.audience.of(app, teacher);
    // All of it as it was at one moment.
    let mut tx = app.db.snapshot().await?;
    let sums = db::earnings::list_courses(&mut tx, teacher).await?;
    Ok(Dashboard {
        at: now,
        time_zone: zone.name().to_owned(),
        viewers: audience.iter().map(|(_, _, audience)| audience.viewers).sum(),
        earnings: earnings(app, &mut tx, teacher, (&sums, &audience), (zone, now)).await?,
        courses: most_watched(&mut tx, &sums, &audience).await?,
        reviews: reviews_of(&mut tx, teacher).await?,
    })
}

type Sums = [(CourseId, Currency, Figures)];
type Watched = [(CourseId, Currency, Audience)];

async fn earnings(
    app: &App,
    tx: &mut Tx,
    teacher: UserId,
    (sums, audience): (&Sums, &Watched),
    (zone, now): (&Zone, Timestamp),
) -> Result<Vec<Earnings>> {
    let today = zone.day_of(now);
    let of_today = since(tx, teacher, zone.begin_of(today)).await?;
    let of_month = since(tx, teacher, zone.begin_of(today.first_of_month())).await?;
    let mut currencies: BTreeSet<Currency> =
        sums.iter().map(|(_, currency, _)| *currency).collect();
    currencies.extend(audience.iter().map(|(_, currency, _)| *currency));
    currencies.insert(app.config.money.default_currency());
    let mut earnings = Vec::with_capacity(currencies.len());
    for currency in currencies {
        let of_currency = sums.iter().filter(|(_, of, _)| *of == currency);
        let all: Figures = of_currency.map(|(_, _, figures)| *figures).sum();
        let open = audience.iter().filter(|(_, of, _)| *of == currency);
        let account = Owner::Earnings(teacher).account(currency);
        let account = db::accounts::find(tx, account).await?;
        earnings.push(Earnings {
            currency,
            today: of_today.get(&currency).copied().unwrap_or_default(),
            this_month: of_month.get(&currency).copied().unwrap_or_default(),
            total: all.total(),
            bonus: all.bonus,
            pending: open.map(|(_, _, audience)| audience.pending).sum(),
            pending_is_provisional: true,
            available: account.map(|account| account.available()).unwrap_or_default(),
        });
    }
    Ok(earnings)
}

/// What `teacher` has got from `begin` on.
async fn since(
    tx: &mut Tx,
    teacher: UserId,
    begin: Timestamp,
) -> Result<BTreeMap<Currency, Money>> {
    Ok(db::earnings::list_since(tx, teacher, begin).await?.into_iter().collect())
}

/// What a course has brought, by currency, with what it may bring yet.
#[derive(Debug, Default)]
struct Brought {
    viewers: u64,
    by_currency: BTreeMap<Currency, (Figures, Money)>,
}

impl Brought {
    fn all(&self) -> Figures {
        self.by_currency.values().map(|(figures, _)| *figures).sum()
    }

    fn shares(&self) -> Vec<Share> {
        let share = |(currency, (figures, pending)): (&Currency, &(Figures, Money))| Share {
            currency: *currency,
            paid: figures.paid,
            earned: figures.earned,
            bonus: figures.bonus,
            total: figures.total(),
            pending: *pending,
        };
        self.by_currency.iter().map(share).collect()
    }
}

fn by_course(sums: &Sums, audience: &Watched) -> HashMap<CourseId, Brought> {
    let mut courses: HashMap<CourseId, Brought> = HashMap::new();
    for (course, currency, figures) in sums {
        let brought = courses.entry(*course).or_default();
        brought.by_currency.entry(*currency).or_default().0 += *figures;
    }
    for (course, currency, audience) in audience {
        let brought = courses.entry(*course).or_default();
        brought.viewers += audience.viewers;
        brought.by_currency.entry(*currency).or_default().1 += audience.pending;
    }
    courses
}

async fn most_watched(tx: &mut Tx, sums: &Sums, audience: &Watched) -> Result<Vec<CourseEarnings>> {
    let mut courses: Vec<(CourseId, Brought)> = by_course(sums, audience).into_iter().collect();
    courses.sort_by_key(|(id, brought)| {
        std::cmp::Reverse((brought.viewers, brought.all().watched_ms, *id))
    });
    courses.truncate(COURSES_MAX);
    let ids: Vec<CourseId> = courses.iter().map(|(id, _)| *id).collect();
    let titles = db::dashboard::list_titles(tx, &ids).await?;
    let mut titles: HashMap<CourseId, (String, CourseStatus)> =
        titles.into_iter().map(|(id, title, status)| (id, (title, status))).collect();
    let mut watched: HashMap<CourseId, Vec<VideoSum>> = HashMap::new();
    for video in db::dashboard::list_videos(tx, &ids).await? {
        watched.entry(video.course_id).or_default().push(video);
    }
    let show = |(id, brought): (CourseId, Brought)| {
        let (title, status) = titles.remove(&id)?;
        let all = brought.all();
        Some(CourseEarnings {
            course_id: id,
            title,
            status,
            viewers: brought.viewers,
            sessions: all.sessions,
            watched_ms: all.watched_ms,
            earnings: brought.shares(),
            videos: videos(watched.remove(&id).unwrap_or_default(), &brought),
        })
    };
    Ok(courses.into_iter().filter_map(show).collect())
}

fn videos(sums: Vec<VideoSum>, brought: &Brought) -> Vec<VideoEarnings> {
    let watched: u64 = sums.iter().map(|video| video.watched_ms).sum();
    let part = |amount: Money, of: u64| {
        let part = i128::from(amount.micros()) * i128::from(of) / i128::from(watched.max(1));
        Money::from_micros(i64::try_from(part).expect("a part is no more than the whole"))
    };
    let of_video = |video: VideoSum| VideoEarnings {
        earned: brought
            .by_currency
            .iter()
            .map(|(currency, (figures, _))| VideoShare {
                currency: *currency,
                amount: part(figures.earned, video.watched_ms),
            })
            .collect(),
        video_id: video.video_id,
        title: video.title,
        sessions: video.sessions,
        watched_ms: video.watched_ms,
    };
    sums.into_iter().map(of_video).collect()
}

async fn reviews_of(tx: &mut Tx, teacher: UserId) -> Result<ReviewsView> {
    let of = reviews::Of::Teacher(teacher, None);
    let filter = reviews::Filter { of, status: None, after: None };
    let latest = reviews::list(tx, &filter, REVIEWS_MAX).await?;
    let (count, held) = reviews::count_of_teacher(tx, teacher).await?;
    let line = |listed: reviews::Listed| ReviewLine {
        id: listed.review.id,
        course_id: listed.review.course_id,
        rating: listed.review.rating,
        text: listed.review.text,
        status: listed.review.status,
        created_at: listed.review.created_at,
    };
    Ok(ReviewsView { count, held, latest: latest.into_iter().map(line).collect() })
}

/// The courses of a page of a teacher's own, with what each has brought.
pub async fn of_courses(
    app: &App,
    tx: &mut Tx,
    teacher: UserId,
    page: Vec<Listed>,
) -> Result<Vec<(Listed, CourseSums)>> {
    let sums = db::earnings::list_courses(tx, teacher).await?;
    let mut courses = by_course(&sums, &app.audience.of(app, teacher));
    let with_sums = |listed: Listed| {
        let brought = courses.remove(&listed.course.id).unwrap_or_default();
        let all = brought.all();
        let sums = CourseSums {
            viewers: brought.viewers,
            sessions: all.sessions,
            watched_ms: all.watched_ms,
            earnings: brought.shares(),
        };
        (listed, sums)
    };
    Ok(page.into_iter().map(with_sums).collect())
}

/// What one course has brought so far.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CourseSums {
    viewers: u64,
    sessions: u64,
    watched_ms: u64,
    earnings: Vec<Share>,
}

/// Makes all sums anew from the ledger and the reviews, while servers run: each in a transaction of
/// its own, so that nobody waits for what is not theirs.
pub async fn rebuild(db: &Db) -> Result<()> {
    let mut tx = db.begin().await?;
    db::rebuild::earnings(&mut tx).await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    db::rebuild::views(&mut tx).await?;
    tx.commit().await?;
    let misrated = db::rebuild::list_misrated(&mut db.read().await?).await?;
    for course in misrated {
        let mut tx = db.begin().await?;
        // Every review of the course waits for it.
        db::courses::lock(&mut tx, course).await?;
        db::rebuild::rate(&mut tx, course).await?;
        tx.commit().await?;
    }
    info!("made the sums of earnings and ratings anew");
    Ok(())
}
