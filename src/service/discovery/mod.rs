//! Discovery: a student says what to learn, and is answered with courses that are on offer.
//!
//! ```text
//! message ─▶ a place ─▶ quota ─▶ candidates ─▶ a model, if any ─▶ checked ─▶ kept ─▶ answer
//!                      (a row)    (a search)    (no connection)     (by us)
//! ```
//!
//! * Courses are found by search, whoever answers: a model chooses among at most
//!   a dozen of them and cannot name another one. Without a model, or when none
//!   answers, or what it answers cannot be used, the built-in provider answers from the same
//!   candidates. So there always is an answer.
//! * Titles, prices and names are read from the database when the answer is shown. A course that
//!   was taken away meanwhile is not shown any more, not even in the history, and nor is an answer
//!   that may count or name it.
//! * A model is given the message; those of the last hour, three at most, with what was answered;
//!   title, category, description, price and currency of each candidate, and whether it was
//!   finished; titles of what was watched and is on offer; and what the student likes, as the
//!   profile says. Whatever a student or a teacher writes into these goes to it. Of itself Murph
//!   adds no key, no name, no address, no balance and no payment.
//! * What teachers and students write may try to give it orders. The worst that comes of it is an
//!   untrue sentence, or praise, without digits, links, signs of money and quoted titles of what is
//!   not there, beside a course that really is on offer: a model's words are shown beside a course
//!   it picked, or not at all.
//! * The quota is spent first, in the database, so no number of requests at once, on any node, can
//!   overrun it; and it stays spent when the history is deleted. The quota of all students together
//!   is spent when the first model is about to be asked: when there is none left, the built-in
//!   provider answers.
//! * Who hangs up does not stop it: what a model is asked is paid for, so it is kept. That is why
//!   there is a `line`: so many are answered at once, and the others have spent nothing yet.

mod candidates;
mod follows;
mod line;
mod prompt;

pub use self::{
    follows::{Follower, Follows},
    line::Line,
};

use std::time::Duration;

use tracing::{info, warn};
use uuid::Uuid;

use self::candidates::{Candidate, Ground};
use crate::{
    ai::{Answer, Asked},
    app::App,
    db::{self, Tx, catalogue::Listed},
    domain::{
        discovery::{
            Chat, PICKS_MAX, Pick, Provider, Tokens,
            believe::{Believed, believe},
            reason::{self, Reason},
        },
        user::User,
    },
    error::{Error, OrLog, Result},
    id::{ChatId, CourseId, UserId},
    money::Money,
    time::Timestamp,
};

/// For how long messages are counted together.
const DAY: Duration = Duration::from_hours(24);

/// Said beside picks whose model also spoke of a course that is not there.
const ONLY_THESE: &str = "Of the courses on offer, these fit.";

/// Said when a model finds that nothing fits: in our words, as there is nothing to go with its own.
const NOTHING_FITS: &str =
    "None of the courses that were found fits. Say in other words what you would like to learn.";

/// Said when there is nothing for what the student wants to pay.
const NOTHING_SO_CHEAP: &str = "Nothing on offer costs so little.";

/// Said in place of what may speak of a course that is gone.
const STILL_THERE: &str = "Of what was found, this is still on offer.";

/// Said when nothing is left to be named.
const NONE_LEFT: &str = "What would have fitted is not on offer any more.";

/// A chat with the courses it names, as they are now.
#[derive(Clone, Debug)]
pub struct Shown {
    pub chat: Chat,
    pub courses: Vec<(Listed, String)>,
}

/// What is going to be said.
struct Draft {
    provider: Provider,
    reply: String,
    picks: Vec<Pick>,
    tokens: Tokens,
    cost: Money,
}

/// Answers a message of `student`.
pub async fn chat(app: &App, student: &User, message: String) -> Result<Shown> {
    let place = app.line.enter(student.id).await?;
    let (here, student) = (app.clone(), student.clone());
    let answering = app.tasks.spawn(async move {
        let _place = place;
        answer(&here, &student, message).await
    });
    answering.await.map_err(|error| Error::Internal(format!("answering a message: {error}")))?
}

async fn answer(app: &App, student: &User, message: String) -> Result<Shown> {
    let now = app.clock.now();
    spend(app, student.id, now).await?;
    let ground = {
        let _turn = app.line.seek().await;
        let currencies = &app.config.money.currencies;
        Ground::of(&mut app.db.read().await?, student, &message, currencies, now).await?
    };
    let draft = draft(app, &ground, &message, now).await;
    keep(app, student.id, message, draft).await
}

/// Counts the message, before it costs anything.
async fn spend(app: &App, user: UserId, now: Timestamp) -> Result<()> {
    let (day_ago, most) = (now - DAY, app.config.ai.messages_per_day);
    let limited = |began: Timestamp| Error::RateLimited { retry_after: (began + DAY).since(now) };
    // Whoever has none left does not wait to write: on SQLite, whatever moves money would, too.
    let full = db::chats::find_full_day(&mut app.db.read().await?, user, day_ago, most).await?;
    if let Some(began) = full {
        return Err(limited(began));
    }
    let mut tx = app.db.begin().await?;
    if !db::chats::spend(&mut tx, user, (now, day_ago), most).await? {
        // The last one went to a message that came at the same time.
        let full = db::chats::find_full_day(&mut tx, user, day_ago, most).await?;
        return Err(limited(full.unwrap_or(now)));
    }
    tx.commit().await
}

/// Counts the message among those that models are asked about. Says whether they may be.
async fn spend_of_all(app: &App, now: Timestamp) -> Result<bool> {
    let most = app.config.ai.messages_per_day_all;
    if most == 0 {
        return Ok(true);
    }
    let mut tx = app.db.begin().await?;
    let may_ask = db::chats::spend_of_all(&mut tx, now.day(), most).await?;
    tx.commit().await?;
    if !may_ask {
        warn!("no model is asked any more today: ai.messages_per_day_all is used up");
    }
    Ok(may_ask)
}

/// What a model says, as far as that can be used, or else what we say.
async fn draft(app: &App, ground: &Ground, message: &str, now: Timestamp) -> Draft {
    let built_in = built_in(ground);
    if ground.candidates.is_empty() || app.ai.is_empty() {
        return built_in;
    }
    let prompt = prompt::of(ground, message);
    // Boxed, as a transaction is large. What is not counted is not asked.
    let counted = async { spend_of_all(app, now).await.or_log("counting a message") == Some(true) };
    let may_ask = Box::pin(counted);
    let asked = tokio::select! {
        asked = app.ai.ask(&prompt, may_ask) => asked,
        // Nobody is waited for while the server stops.
        () = app.stop.cancelled() => Asked::default(),
    };
    let Asked { answer, tokens, cost } = asked;
    let Some(Answer { provider, text }) = answer else {
        return Draft { tokens, cost, ..built_in };
    };
    let offered: Vec<(CourseId, &str)> =
        ground.candidates.iter().map(|it| (it.id(), it.listed.course.title.as_str())).collect();
    let believed = believe(&text, &offered, &prompt.instructions);
    let count =
        |result, count| app.metrics.discovery().record_picks(provider.as_str(), result, count);
    let Some(Believed { reply, picks, invented }) = believed else {
        count("unusable", 1);
        info!(%provider, "what {provider} answered cannot be used");
        return Draft { tokens, cost, ..built_in };
    };
    count("kept", picks.len());
    count("invented", invented);
    let picks = picks.into_iter().filter_map(|(id, why)| {
        let candidate = ground.candidates.iter().find(|candidate| candidate.id() == id)?;
        Some(Pick { course_id: id, why: why.unwrap_or_else(|| candidate.sentence()) })
    });
    let picks: Vec<Pick> = picks.collect();
    let ours = if picks.is_empty() { NOTHING_FITS } else { ONLY_THESE };
    Draft { provider, reply: reply.unwrap_or_else(|| ours.to_owned()), picks, tokens, cost }
}

/// The best candidates, all for reasons of one kind, so that what is said is true of each.
fn built_in(ground: &Ground) -> Draft {
    let best: Option<&Reason> = ground.candidates.first().map(|candidate| &candidate.reason);
    let same = |candidate: &&Candidate| best.is_some_and(|b| b.rank() == candidate.reason.rank());
    let picks: Vec<Pick> = ground
        .candidates
        .iter()
        .filter(same)
        .take(PICKS_MAX)
        .map(|candidate| Pick { course_id: candidate.id(), why: candidate.sentence() })
        .collect();
    let reply = match (best, ground.budget) {
        (None, Some(_)) => NOTHING_SO_CHEAP.to_owned(),
        _ => reason::reply(best, picks.len(), !ground.wish.is_empty()),
    };
    Draft {
        provider: Provider::BuiltIn,
        reply,
        picks,
        tokens: Tokens::default(),
        cost: Money::ZERO,
    }
}

/// Keeps the answer, with those of its courses that are still on offer.
async fn keep(app: &App, user_id: UserId, message: String, draft: Draft) -> Result<Shown> {
    let Draft { provider, reply, mut picks, tokens, cost } = draft;
    let named = picks.len();
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let on_offer = on_offer(&mut tx, std::slice::from_ref(&picks)).await?;
    picks.retain(|pick| on_offer.iter().any(|listed| listed.course.id == pick.course_id));
    let reply = reply_now(reply, named, picks.len());
    let id = ChatId::new(now);
    let chat = Chat { id, user_id, message, reply, picks, provider, tokens, cost, created_at: now };
    db::chats::insert(&mut tx, &chat).await?;
    db::chats::add_cost(&mut tx, user_id, cost).await?;
    tx.commit().await?;
    app.metrics.discovery().record_answer(provider.as_str());
    info!(chat.id = %id, user.id = %user_id, %provider, "answered message {id}");
    Ok(shown(chat, &on_offer))
}

/// At most `limit` of what `user` asked, the newest first, from `before` on.
pub async fn history(
    app: &App,
    user: UserId,
    before: Option<ChatId>,
    limit: i64,
) -> Result<Vec<Shown>> {
    let before = before.unwrap_or(ChatId::from_uuid(Uuid::max()));
    let mut tx = app.db.read().await?;
    list(&mut tx, user, before, limit).await
}

/// The chats from `before` on, as they can be shown now.
async fn list(tx: &mut Tx, user: UserId, before: ChatId, limit: i64) -> Result<Vec<Shown>> {
    let chats = db::chats::list(tx, user, before, limit).await?;
    let picks: Vec<Vec<Pick>> = chats.iter().map(|chat| chat.picks.clone()).collect();
    let on_offer = on_offer(tx, &picks).await?;
    Ok(chats.into_iter().map(|chat| shown(chat, &on_offer)).collect())
}

/// Forgets all that `user` asked and was answered, or one of it.
pub async fn forget(app: &App, user: UserId, id: Option<ChatId>) -> Result<()> {
    let mut tx = app.db.begin().await?;
    match id {
        None => db::chats::delete_all(&mut tx, user).await?,
        Some(id) if db::chats::delete(&mut tx, user, id).await? => {}
        Some(_) => return Err(Error::NotFound("chat")),
    }
    tx.commit().await
}

async fn on_offer(tx: &mut Tx, picks: &[Vec<Pick>]) -> Result<Vec<Listed>> {
    let mut ids: Vec<CourseId> = picks.iter().flatten().map(|pick| pick.course_id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    db::catalogue::list_on_offer(tx, &ids).await
}

fn shown(mut chat: Chat, on_offer: &[Listed]) -> Shown {
    let course = |pick: &Pick| {
        let listed = on_offer.iter().find(|listed| listed.course.id == pick.course_id)?;
        Some((listed.clone(), pick.why.clone()))
    };
    let courses: Vec<_> = chat.picks.iter().filter_map(course).collect();
    chat.reply = reply_now(chat.reply, chat.picks.len(), courses.len());
    Shown { chat, courses }
}

/// What is said beside the courses that are left of those that were `named`: the same, unless it
/// may speak of one that is gone.
fn reply_now(reply: String, named: usize, left: usize) -> String {
    match left {
        _ if left == named => reply,
        0 => NONE_LEFT.to_owned(),
        _ => STILL_THERE.to_owned(),
    }
}
