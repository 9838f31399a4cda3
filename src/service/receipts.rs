//! The receipt of an ended session: the same on the socket, over HTTP, and whoever asks.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::App,
    db,
    domain::{
        course::Partner,
        progress::watch_percentage,
        receipt::{self, FreeReason, Line},
        session::{EndReason, Session, SessionStatus},
        video::WatchedVideo,
    },
    error::{Error, Result},
    id::{CourseId, SessionId, VideoId},
    money::{Currency, Money},
    time::Timestamp,
};

/// What a session cost, and why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Receipt {
    pub session_id: SessionId,
    pub course_id: CourseId,
    pub course_title: String,
    pub status: SessionStatus,
    pub end_reason: EndReason,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub currency: Currency,
    pub price_per_minute: Money,
    pub watched_ms: u64,
    pub cost: Money,
    pub held: Money,
    /// What was held and not used.
    pub refund: Money,
    pub was_free: bool,
    pub free_reason: Option<FreeReason>,
    /// Who got what of the cost.
    pub split: Parts,
    /// What went on, from the start to the end.
    pub stretches: Vec<Line>,
    /// What was watched of each video.
    pub videos: Vec<VideoLine>,
}

/// Who got what of the cost.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptParts")]
pub struct Parts {
    pub teacher: Money,
    pub platform: Money,
    pub partners: Vec<PartnerPart>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptPartner")]
pub struct PartnerPart {
    pub name: String,
    pub amount: Money,
}

/// What was watched of a video.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptVideo")]
pub struct VideoLine {
    pub video_id: VideoId,
    pub title: String,
    pub watched_ms: u64,
    pub position_ms: u64,
    #[schemars(range(max = 100))]
    pub watch_percentage: u8,
}

/// The receipt of `session`, once it has ended.
pub async fn of(app: &App, session: &Session) -> Result<Receipt> {
    let ending = session.ending.ok_or(Error::SessionNotEnded)?;
    let mut tx = app.db.read().await?;
    let course = db::courses::find(&mut tx, session.course_id).await?;
    let course = course.ok_or(Error::NotFound("course"))?;
    let watched = db::progress::list(&mut tx, session.id).await?;
    drop(tx);
    let free_reason = receipt::free_reason(session);
    Ok(Receipt {
        session_id: session.id,
        course_id: session.course_id,
        course_title: course.title,
        status: session.status,
        end_reason: ending.reason,
        started_at: session.started_at,
        ended_at: ending.at,
        currency: session.terms.currency,
        price_per_minute: session.terms.price_per_minute,
        watched_ms: session.watched_ms(),
        cost: session.cost,
        held: session.held,
        refund: session.refund(),
        was_free: free_reason.is_some(),
        free_reason,
        split: parts(session),
        stretches: receipt::lines(session),
        videos: watched.into_iter().map(VideoLine::from).collect(),
    })
}

fn parts(session: &Session) -> Parts {
    let shares = session.shares();
    let named = session.terms.split.partners.iter().zip(shares.partners);
    let part =
        |(partner, amount): (&Partner, Money)| PartnerPart { name: partner.name.clone(), amount };
    Parts {
        teacher: shares.teacher,
        platform: shares.platform,
        partners: named.map(part).collect(),
    }
}

impl From<WatchedVideo> for VideoLine {
    fn from(watched: WatchedVideo) -> Self {
        Self {
            video_id: watched.video_id,
            title: watched.title,
            watched_ms: watched.watched_ms,
            position_ms: watched.position_ms,
            watch_percentage: watch_percentage(watched.coverage),
        }
    }
}
