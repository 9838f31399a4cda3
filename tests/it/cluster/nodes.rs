//! The nodes of one Murph, as processes that a test starts, stops, freezes and kills.

use std::{
    env,
    path::Path,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use murph::{
    app::App,
    clock::Clock,
    config::{DatabaseUrl, Secret},
    db::{self, Db},
    domain::course::{Course, Split},
    money::BasisPoints,
};
use reqwest::Method;
use serde_json::Value;

use super::wait_until;
use crate::{
    bus::{server as redis, shared_redis},
    cli::program::{Place, Serving},
    crash::{number, postgres},
    harness::{Reply, TestDatabase, money},
    world::{insert_course, insert_user, start_node},
};

/// Per minute. Ten milliseconds cost a thousandth, so any error shows.
pub(super) const PRICE: &str = "6.00";

/// What a test wants to be otherwise.
pub(super) struct Settings {
    pub(super) redis: String,
    /// `None`: a database of its own on the server of this run.
    pub(super) database: Option<DatabaseUrl>,
    pub(super) tick: Duration,
    pub(super) grace: Duration,
}

pub(super) struct Cluster {
    /// Looks at the database, and is none of the nodes.
    pub(super) app: App,
    pub(super) course: Course,
    pub(super) tick: Duration,
    place: Place,
    nodes: Vec<Mutex<Option<Serving>>>,
    urls: Vec<Mutex<String>>,
    client: reqwest::Client,
    database: TestDatabase,
    is_own_server: bool,
}

/// A PostgreSQL to kill, if this run has the program.
pub(super) async fn own_postgres() -> Option<postgres::Server> {
    let (Ok(_), Ok(bin)) = (env::var("MURPH_TEST_PGDATA"), env::var("MURPH_TEST_PGBIN")) else {
        eprintln!("skipped: run it by scripts/with-postgres");
        return None;
    };
    Some(postgres::Server::new(Path::new(&bin)).await)
}

impl Settings {
    /// With the servers of this run, if it has them.
    pub(super) fn of_this_run() -> Option<Self> {
        let redis = shared_redis()?;
        if crate::harness::postgres_url().is_none() {
            eprintln!("skipped: run it by scripts/with-postgres");
            return None;
        }
        Some(Self::with_redis(redis))
    }

    pub(super) fn with_redis(redis: String) -> Self {
        let (tick, grace) = (Duration::from_millis(200), Duration::from_secs(2));
        Self { redis, database: None, tick, grace }
    }

    /// Starts so many nodes.
    pub(super) async fn start(self, count: usize) -> Cluster {
        let is_own_server = self.database.is_some();
        let database = match self.database {
            Some(url) => TestDatabase { url, directory: tempfile::tempdir().unwrap() },
            None => TestDatabase::migrated().await,
        };
        if is_own_server {
            let db = database.connect().await;
            db::migrate::up(&db).await.unwrap();
            db.close().await;
        }
        // A secret of its own keeps a test apart from the others on one Redis.
        let secret = format!("a secret for one test only: {}", redis::dice());
        let ms = |span: Duration| span.as_millis().to_string();
        let place = Place::on(&database)
            .with("auth.secret", &secret)
            .with("bus.url", &self.redis)
            .with("metering.tick_ms", &ms(self.tick))
            .with("metering.reconnect_grace_ms", &ms(self.grace))
            .with("metering.min_session_seconds", "0")
            .with("node.lease_ms", "1000")
            .with("node.answer_ms", "1000")
            .with("database.acquire_timeout_ms", "1000")
            .with("live.messages_per_second_max", "1000")
            .with("live.sockets_per_address_max", "20000")
            .with("server.drain_ms", "3000");
        let mut config = database.config();
        config.auth.secret = Secret::new(secret);
        let app = start_node(&database.url, config, &Clock::System).await;
        let teacher = insert_user(&app.db, murph::domain::user::Role::Teacher).await;
        let split = Split { platform: BasisPoints::new(1_000).unwrap(), partners: vec![] };
        let course = insert_course(&app.db, teacher.id, money(PRICE), split).await;
        let cluster = Cluster {
            app,
            course,
            tick: self.tick,
            place,
            nodes: (0..count).map(|_| Mutex::default()).collect(),
            urls: (0..count).map(|_| Mutex::default()).collect(),
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .no_proxy()
                .build()
                .unwrap(),
            database,
            is_own_server,
        };
        // Together, as they take some time.
        let serving: Vec<_> = (0..count).map(|_| cluster.place.serve(&["serve"])).collect();
        for (nth, serving) in serving.into_iter().enumerate() {
            cluster.take_in(nth, serving);
        }
        cluster
    }
}

impl Cluster {
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn db(&self) -> &Db {
        &self.app.db
    }

    pub(super) fn url(&self, nth: usize) -> String {
        self.urls[nth].lock().unwrap().clone()
    }

    /// Starts a node that is not running, and returns when it listens.
    pub(super) fn serve(&self, nth: usize) {
        let serving = self.place.serve(&["serve"]);
        self.take_in(nth, serving);
    }

    fn take_in(&self, nth: usize, serving: Serving) {
        *self.urls[nth].lock().unwrap() = serving.url();
        *self.node(nth) = Some(serving);
    }

    /// `kill -9`.
    pub(super) fn kill(&self, nth: usize) {
        drop(self.node(nth).take().expect("it runs"));
    }

    pub(super) fn freeze(&self, nth: usize) {
        self.node(nth).as_ref().expect("it runs").signal("STOP");
    }

    pub(super) fn thaw(&self, nth: usize) {
        self.node(nth).as_ref().expect("it runs").signal("CONT");
    }

    /// SIGTERM; returns when it has ended, and well.
    pub(super) fn stop(&self, nth: usize) {
        let serving = self.node(nth).take().expect("it runs");
        serving.stop();
    }

    fn node(&self, nth: usize) -> MutexGuard<'_, Option<Serving>> {
        self.nodes[nth].lock().unwrap()
    }

    /// Asks a node, as somebody. An error: it did not answer.
    pub(super) async fn ask(
        &self,
        nth: usize,
        token: &str,
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> reqwest::Result<Reply> {
        let url = format!("{}/api/v1{path}", self.url(nth));
        let mut request = self.client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        Ok(Reply { status, headers, body, text })
    }

    /// What the services of a node are like.
    pub(super) async fn is_bus(&self, nth: usize, status: &str) -> bool {
        let url = format!("{}/health/services", self.url(nth));
        let Ok(response) = self.client.get(url).send().await else { return false };
        let Ok(health) = response.json::<Value>().await else { return false };
        health["services"]["bus"]["status"] == status
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        number(self.db(), sql).await
    }

    /// No open session is in the hands of somebody who is gone.
    pub(super) async fn until_all_are_kept(&self) {
        const ORPHANS: &str = "SELECT COUNT(*) FROM sessions WHERE status = 'active'
              AND (node_id IS NULL OR node_id NOT IN (SELECT id FROM nodes))";
        wait_until("each session has a node", async || self.number(ORPHANS).await == 0).await;
    }

    /// Stops everything. The nodes that run must end well.
    pub(super) async fn close(self) {
        for nth in 0..self.count() {
            let serving = self.node(nth).take();
            if let Some(serving) = serving {
                serving.stop();
            }
        }
        self.app.finish().await;
        if !self.is_own_server {
            self.database.remove().await;
        }
    }
}
