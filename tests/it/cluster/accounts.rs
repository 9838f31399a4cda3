//! Many viewers at once, and what their logs and the books have to say about each other.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use murph::{
    clock::Clock,
    db,
    domain::{
        ledger::{Owner, settle_id},
        meter,
        session::{Session, SessionStatus},
        user::{Role, User},
    },
    id::{LoginId, UserId},
    money::Money,
    service::identity,
};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::{
    PATIENCE,
    nodes::{Cluster, PRICE},
    viewer::{Log, Sitting, Viewer, Wish},
    wait_until,
};
use crate::{
    harness::money,
    world::{assert_balanced, insert_user, open_wallet, top_up, usd},
};

/// Accounts made, and sessions started, at once.
const AT_ONCE: usize = 8;

/// What whole milliseconds and two clocks may make of one connection.
const ROUNDING: Duration = Duration::from_millis(20);

/// Viewers at work.
pub(super) struct Class {
    pub(super) viewers: Vec<Arc<Viewer>>,
    tasks: JoinSet<()>,
}

/// Somebody with a wallet, signed in without a password. With an empty one if there is no `amount`.
pub(super) async fn student(cluster: &Cluster, amount: &str) -> (UserId, String) {
    let student = insert_user(cluster.db(), Role::Student).await;
    open_wallet(cluster.db(), &student).await;
    top_up(&cluster.app, student.id, money(amount)).await.unwrap();
    let token = sign_in(cluster, &student).await;
    (student.id, token)
}

pub(super) async fn sign_in(cluster: &Cluster, user: &User) -> String {
    let now = Clock::System.now();
    let id = LoginId::new(now);
    let refresh_token = format!("{id} {}", user.id);
    let login = db::logins::NewLogin {
        id,
        user_id: user.id,
        address: "127.0.0.1".into(),
        created_at: now,
        expires_at: now + Duration::from_hours(24),
    };
    let mut tx = cluster.db().begin().await.unwrap();
    db::logins::insert(&mut tx, &login).await.unwrap();
    let hash = Sha256::digest(&refresh_token);
    db::logins::insert_token(&mut tx, &hash, id, now).await.unwrap();
    tx.commit().await.unwrap();
    let (_, tokens) = identity::refresh(&cluster.app, &refresh_token, now).await.unwrap();
    tokens.access_token
}

/// A student with so much money, whose session has been started on `node`.
pub(super) async fn viewer(cluster: &Arc<Cluster>, node: usize, funds: &str) -> Arc<Viewer> {
    let student = student(cluster, funds).await;
    let start = (Method::POST, "/sessions/start");
    let body = json!({"course_id": cluster.course.id});
    let reply = cluster.ask(node, &student.1, start, Some(body)).await.unwrap().is(201);
    let session = serde_json::from_value(reply.body["session"]["id"].clone()).unwrap();
    Arc::new(Viewer::new(cluster, student, session, funds))
}

impl Class {
    /// So many, spread over the nodes; all watch already.
    pub(super) async fn watching(cluster: &Arc<Cluster>, count: usize) -> Self {
        Self::with_funds(cluster, count, "100.00").await
    }

    pub(super) async fn with_funds(cluster: &Arc<Cluster>, count: usize, funds: &str) -> Self {
        let mut class = Self { viewers: Vec::new(), tasks: JoinSet::new() };
        let mut started = stream::iter(0..count)
            .map(|nth| viewer(cluster, nth % cluster.count(), funds))
            .buffered(AT_ONCE);
        // Each as soon as there is one: a session does not wait for its player for ever.
        while let Some(viewer) = started.next().await {
            // Not always where it was started.
            let node = (class.viewers.len() / 2) % cluster.count();
            class.join(&viewer, node);
        }
        drop(started);
        class.until_watching(|_, watched| !watched.is_zero()).await;
        class
    }

    /// One more, who watches on `node`.
    pub(super) fn join(&mut self, viewer: &Arc<Viewer>, node: usize) {
        self.viewers.push(Arc::clone(viewer));
        self.tasks.spawn(Arc::clone(viewer).run(node));
    }

    pub(super) fn wish(&self, wish: Wish) {
        for viewer in &self.viewers {
            viewer.wish(wish);
        }
    }

    /// Waits until everybody has a seat, on a node and with so much watched that it holds.
    pub(super) async fn until_watching(&self, holds: impl Fn(usize, Duration) -> bool) {
        self.until_each("everybody watches", |viewer| {
            viewer.seat().is_some_and(|(node, watched)| holds(node, watched))
        })
        .await;
    }

    pub(super) async fn until_each(&self, what: &str, holds: impl Fn(&Viewer) -> bool) {
        let are_done = async || self.viewers.iter().all(|viewer| holds(viewer));
        let waiting = wait_until(what, are_done);
        // A little earlier than that gives up, to say who is in the way.
        if tokio::time::timeout(PATIENCE * 9 / 10, waiting).await.is_err() {
            let late = self.viewers.iter().filter(|viewer| !holds(viewer));
            let late: Vec<String> = late.map(|viewer| viewer.describe()).collect();
            panic!("still not: {what}: {late:#?}");
        }
    }

    /// Waits until everybody has been told of more than before.
    pub(super) async fn until_more_is_watched(&self) {
        let seats: Vec<_> = self.viewers.iter().map(|viewer| viewer.seat()).collect();
        let of = |seat: Option<(usize, Duration)>| seat.map_or(Duration::ZERO, |seat| seat.1);
        wait_until("everybody watches on", async || {
            let mut pairs = self.viewers.iter().zip(&seats);
            pairs.all(|(viewer, before)| of(viewer.seat()) > of(*before))
        })
        .await;
    }

    /// Everybody goes to another place, evenly.
    pub(super) async fn spread(&self, cluster: &Cluster) {
        self.move_to(|nth| nth % cluster.count()).await;
    }

    /// Everybody goes where they are told, and tries again when sent elsewhere.
    pub(super) async fn move_to(&self, place: impl Fn(usize) -> usize) {
        for (nth, viewer) in self.viewers.iter().enumerate() {
            viewer.wish(Wish::MoveTo(place(nth)));
        }
        wait_until("everybody has moved", async || {
            let mut are_there = true;
            for (nth, viewer) in self.viewers.iter().enumerate() {
                let seat = viewer.seat().map(|(node, _)| node);
                are_there &= seat == Some(place(nth));
                if seat.is_some_and(|node| node != place(nth)) {
                    viewer.wish(Wish::MoveTo(place(nth)));
                }
            }
            are_there
        })
        .await;
    }

    /// Everybody ends, and gets a receipt.
    pub(super) async fn end(&mut self) {
        self.wish(Wish::End);
        self.finished().await;
        assert!(self.viewers.iter().all(|viewer| viewer.has_receipt()));
    }

    /// Nobody among these was disturbed.
    pub(super) fn assert_still_watching(viewers: &[Arc<Viewer>]) {
        for viewer in viewers {
            assert!(viewer.seat().is_some() && !viewer.has_receipt(), "{}", viewer.session);
        }
    }

    /// Waits until nobody watches any more.
    pub(super) async fn finished(&mut self) {
        let all = async {
            while let Some(done) = self.tasks.join_next().await {
                done.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("everybody goes home");
    }

    /// All sessions have ended: nothing is open, and the books say what the logs say. What was told
    /// may have been ahead by so much: of what a dead node had not written down.
    pub(super) async fn assert_settled(&self, cluster: &Cluster, ahead_max: Duration) {
        assert_balanced(cluster.db()).await;
        let active = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
        assert_eq!(cluster.number(active).await, 0);
        let held = "SELECT COUNT(*) FROM accounts WHERE held <> 0";
        assert_eq!(cluster.number(held).await, 0);
        for viewer in &self.viewers {
            viewer.assert_settled(ahead_max).await;
        }
        self.print();
    }

    /// Whoever came with a fresh ticket was let in; but on a machine that is busy elsewhere a player
    /// may give up and come again while it is being let in, and then its first visit uses up what
    /// its second came with.
    pub(super) fn assert_nearly_all_let_in(&self) {
        let logs: Vec<_> = self.viewers.iter().map(|viewer| viewer.log()).collect();
        let sittings = || logs.iter().flat_map(|log| &log.sittings);
        let refused = sittings().filter(|sitting| sitting.close == Some(4001)).count();
        let all = sittings().count();
        assert!(refused * 10 <= all, "{refused} of {all} were turned away");
    }

    fn print(&self) {
        let logs: Vec<_> = self.viewers.iter().map(|viewer| viewer.log()).collect();
        let sittings = logs.iter().flat_map(|log| &log.sittings);
        let mut closes = std::collections::BTreeMap::<(Option<u16>, String), usize>::new();
        for sitting in sittings {
            let error = sitting.told.iter().find(|message| message["type"] == "error");
            let error = error.map(ToString::to_string).unwrap_or_default();
            *closes.entry((sitting.close, error)).or_default() += 1;
        }
        eprintln!("{} viewers; connections by close code: {closes:?}", logs.len());
    }
}

impl Viewer {
    pub(super) async fn row(&self) -> Session {
        let mut tx = self.cluster.db().read().await.unwrap();
        db::sessions::find(&mut tx, self.session).await.unwrap().unwrap()
    }

    async fn assert_settled(&self, ahead_max: Duration) {
        let row = self.row().await;
        assert_ne!(row.status, SessionStatus::Active, "{row:?}");
        assert_eq!(row.cost, meter::cost(money(PRICE), row.watched, row.held), "{row:?}");
        let journals = format!("SELECT COUNT(*) FROM journals WHERE id = '{}'", settle_id(row.id));
        assert_eq!(self.cluster.number(&journals).await, 1, "{row:?}");
        assert_eq!(self.posted().await, self.funds() - row.cost, "{row:?}");

        let log = self.log();
        let proven = log.proven_at_most(self.cluster.tick);
        assert!(row.watched <= proven, "{:?} is charged, {proven:?} proven", row.watched);
        for sitting in &log.sittings {
            let told = (sitting.told_watched, sitting.told_cost);
            let most = row.watched + ahead_max;
            assert!(told.0 <= most, "told {told:?} by node {}, and then {row:?}", sitting.node);
            let most = meter::cost(money(PRICE), most, row.held);
            assert!(told.1 <= most, "told {told:?} by node {}, and then {row:?}", sitting.node);
        }
        for receipt in &log.receipts {
            assert_eq!(receipt, &log.receipts[0], "each receipt says the same");
            assert_eq!(receipt["watched_ms"], u64::try_from(row.watched.as_millis()).unwrap());
            assert_eq!(receipt["cost"], row.cost.to_string());
        }
    }

    /// How its last connections went.
    fn describe(&self) -> String {
        let log = self.log();
        let sittings = log.sittings.iter().rev().take(3).map(|sitting| {
            let Sitting { node, phase, close, told, told_watched, .. } = sitting;
            let (words, is_over) = (sitting.words.len(), sitting.over.is_some());
            format!(
                "node {node}: {words} words, {phase}, {told_watched:?}, over: {is_over}, \
                 {close:?}, {told:?}"
            )
        });
        format!("{}: {:#?}", self.session, sittings.collect::<Vec<_>>())
    }

    /// What is in the wallet.
    pub(super) async fn posted(&self) -> Money {
        let mut tx = self.cluster.db().read().await.unwrap();
        let wallet = Owner::Wallet(self.student).account(usd());
        db::accounts::find(&mut tx, wallet).await.unwrap().unwrap().posted
    }

    /// How often a connection of its ended, the last one too.
    pub(super) fn interruptions(&self) -> u32 {
        u32::try_from(self.log().sittings.len()).unwrap()
    }

    /// No time is lost that was surely proven, but for what a dead node had not written down.
    pub(super) async fn assert_all_is_charged(&self, lost_max: Duration) {
        let (row, proven) = (self.row().await, self.log().proven_at_least(self.cluster.tick));
        // A machine that stands still for two ticks makes a silence of what was said in time.
        let slack = lost_max + self.cluster.tick * 4 + proven / 10;
        assert!(row.watched + slack >= proven, "{:?} of {proven:?} charged", row.watched);
    }
}

impl Log {
    fn proven_at_most(&self, tick: Duration) -> Duration {
        self.sittings.iter().map(|sitting| sitting.proven_at_most(tick)).sum()
    }

    fn proven_at_least(&self, tick: Duration) -> Duration {
        self.sittings.iter().map(|sitting| sitting.proven_at_least(tick)).sum()
    }
}

impl Sitting {
    /// The most that a correct meter can make of it, whenever exactly each word was heard: the time
    /// between the words, of a long silence one tick, and one tick after the last.
    fn proven_at_most(&self, tick: Duration) -> Duration {
        let (Some(first), Some(last)) = (self.words.first(), self.words.last()) else {
            return Duration::ZERO;
        };
        let over = self.over.expect("nobody watches any more");
        let silent = self.words.windows(2).map(|pair| {
            let gap = pair[1].said.saturating_duration_since(pair[0].heard.unwrap_or(over));
            if gap > tick * 2 { gap.saturating_sub(tick) } else { Duration::ZERO }
        });
        let whole = last.heard.unwrap_or(over) - first.said;
        whole.saturating_sub(silent.sum()) + tick + ROUNDING
    }

    /// The least: of the words that were surely heard, the time between those that were surely
    /// close to each other.
    fn proven_at_least(&self, tick: Duration) -> Duration {
        let heard: Vec<_> =
            self.words.iter().filter_map(|word| Some((word.said, word.heard?))).collect();
        let is_close = |a: &(_, _), b: &(std::time::Instant, std::time::Instant)| {
            let (said, heard): (std::time::Instant, std::time::Instant) = (a.0, b.1);
            heard - said <= tick * 2
        };
        let runs = heard.chunk_by(is_close);
        let least = runs.map(|run| {
            let (begin, end) = (run[0].1, run[run.len() - 1].0);
            end.saturating_duration_since(begin)
        });
        least.sum::<Duration>().saturating_sub(ROUNDING)
    }
}
