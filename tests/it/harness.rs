//! A whole Murph for one test, on a database of its own, and people who use it.
//!
//! Two clocks, on purpose: what costs money takes its time from `app.clock`, which the test moves;
//! timeouts are real, and short where a test waits for one. Nothing sleeps.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use murph::{
    app::App,
    clock::Clock,
    config::{Config, DatabaseUrl, Secret, Sources},
    db::{self, Db},
    domain::{
        course::{Course, Split},
        session::{EndReason, Session},
        user::{Role, User},
    },
    id::{CourseId, UserId},
    money::Money,
    server,
    service::{
        check, identity,
        sessions::{self, End, StartRequest},
    },
    time::Timestamp,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{net::TcpListener, sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::document;

/// When every test begins.
const START_MICROS: i64 = 1_795_176_000_000_000;

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct TestApp {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) client: reqwest::Client,
    stop: CancellationToken,
    server: JoinHandle<murph::error::Result<()>>,
    database: TestDatabase,
}

/// A database that nobody else uses.
pub(crate) struct TestDatabase {
    pub(crate) url: DatabaseUrl,
    pub(crate) directory: tempfile::TempDir,
}

/// Somebody who is signed in.
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    url: String,
    client: reqwest::Client,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

/// The server PostgreSQL tests run on, if they do.
pub(crate) fn postgres_url() -> Option<String> {
    std::env::var("MURPH_TEST_DATABASE").ok().filter(|url| !url.is_empty())
}

impl TestDatabase {
    /// An empty one, on the kind of database this run is on.
    pub(crate) async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match postgres_url() {
            Some(server) => fresh_postgres(&server, "").await,
            None => DatabaseUrl::Sqlite(directory.path().join("murph.db")),
        };
        Self { url, directory }
    }

    /// One with the schema in it.
    pub(crate) async fn migrated() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let directory = tempfile::tempdir().unwrap();
        let Some(server) = postgres_url() else {
            let url = DatabaseUrl::Sqlite(directory.path().join("murph.db"));
            migrate(&url).await;
            return Self { url, directory };
        };
        let template = TEMPLATE
            .get_or_init(|| async {
                let url = fresh_postgres(&server, "").await;
                migrate(&url).await;
                let DatabaseUrl::Postgres(url) = url else { unreachable!("it is PostgreSQL") };
                url.rsplit_once('/').unwrap().1.to_owned()
            })
            .await;
        Self { url: fresh_postgres(&server, &format!("TEMPLATE {template}")).await, directory }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::load(Sources::default()).unwrap();
        config.server.data_dir = self.directory.path().into();
        config.database.url = Some(self.url.clone());
        config.auth.secret = Secret::new("a secret for tests only, 0123456789 abcdefgh");
        // Tests sign in often, and all from one address.
        let many = std::num::NonZeroU32::new(1_000_000).unwrap();
        config.auth.login_per_minute = many;
        config.auth.login_per_minute_per_address = many;
        config.auth.register_per_hour_per_address = many;
        config
    }

    pub(crate) async fn connect(&self) -> Db {
        Db::connect(&self.url, &self.config().database).await.unwrap()
    }

    pub(crate) async fn remove(self) {
        if let (Some(server), DatabaseUrl::Postgres(url)) = (postgres_url(), &self.url) {
            let name = url.rsplit_once('/').unwrap().1;
            let mut connection = PgConnection::connect(&server).await.unwrap();
            let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
            sqlx::query(drop).execute(&mut connection).await.unwrap();
        }
    }
}

async fn migrate(url: &DatabaseUrl) {
    let config = Config::load(Sources::default()).unwrap();
    let db = Db::connect(url, &config.database).await.unwrap();
    db::migrate::up(&db).await.unwrap();
    db.close().await;
}

async fn fresh_postgres(server: &str, template: &str) -> DatabaseUrl {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nth = NEXT.fetch_add(1, Ordering::SeqCst);
    let name = format!("it_{}_{nth}", std::process::id());
    let mut connection = PgConnection::connect(server).await.unwrap();
    for sql in
        [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name} {template}")]
    {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let (server, _) = server.rsplit_once('/').unwrap();
    DatabaseUrl::Postgres(format!("{server}/{name}"))
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With another configuration than usual.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(TestDatabase::migrated().await, change).await
    }

    pub(crate) async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = database.config();
        change(&mut config);
        let db = Db::connect(&config.database_url(), &config.database).await.unwrap();
        let clock = Clock::manual(Timestamp::from_micros(START_MICROS).unwrap());
        let app = App::start(config, clock, db).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "close() waits for it")]
        let server = tokio::spawn(server::run(listener, app.clone(), stop.clone()));
        Self {
            url: format!("http://{address}"),
            address,
            app,
            client: client(),
            stop,
            server,
            database,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Waits until so many tasks run beside the requests: the wheel and others have short ones, too.
    pub(crate) async fn has_tasks(&self, count: usize) {
        while self.app.tasks.len() != count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Stops the server. Fails if the books do not balance.
    pub(crate) async fn close(self) {
        let database = self.close_and_keep().await;
        database.remove().await;
    }

    pub(crate) async fn close_and_keep(self) -> TestDatabase {
        let report = check::check(&self.app.db).await.unwrap();
        assert!(report.balanced, "the books do not balance: {:#?}", report.findings);
        drop(self.client);
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
        self.database
    }

    pub(crate) async fn student(&self) -> Person {
        self.register("student").await
    }

    pub(crate) async fn teacher(&self) -> Person {
        self.register("teacher").await
    }

    pub(crate) async fn admin(&self) -> Person {
        let registration = identity::Registration {
            email: unique_email(),
            name: "Admin".into(),
            password: PASSWORD.into(),
            role: Role::Admin,
        };
        let email = registration.email.clone();
        identity::create_user(&self.app, registration, self.now()).await.unwrap();
        self.log_in(&email, PASSWORD).await
    }

    /// A student with `amount` of the default currency in the wallet.
    pub(crate) async fn student_with(&self, amount: &str) -> Person {
        let student = self.student().await;
        student.top_up(amount).await;
        student
    }

    async fn register(&self, role: &str) -> Person {
        let email = unique_email();
        let reply = self
            .post(
                "/auth/register",
                json!({
                    "email": email, "password": PASSWORD, "name": "Somebody", "role": role,
                }),
            )
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        self.person(email, &reply.body)
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Person {
        let reply = self.post("/auth/login", json!({"email": email, "password": password})).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        self.person(email.to_owned(), &reply.body)
    }

    pub(crate) fn person(&self, email: String, tokens: &Value) -> Person {
        Person {
            id: serde_json::from_value(tokens["user"]["id"].clone()).unwrap(),
            email,
            access_token: tokens["access_token"].as_str().unwrap().to_owned(),
            refresh_token: tokens["refresh_token"].as_str().unwrap().to_owned(),
            url: self.url.clone(),
            client: self.client.clone(),
        }
    }

    /// Without signing in.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        let request = self.client.post(format!("{}/api/v1{path}", self.url)).json(&body);
        Reply::to(&Method::POST, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::to(&Method::GET, self.client.get(format!("{}{path}", self.url))).await
    }

    /// A course of `teacher` at `price` a minute, with the configured fee and no partners.
    pub(crate) async fn course(&self, teacher: &Person, price: &str) -> CourseId {
        let split =
            Split { platform: self.app.config.fees.platform_basis_points, partners: vec![] };
        self.course_with(teacher, price, split).await
    }

    pub(crate) async fn course_with(
        &self,
        teacher: &Person,
        price: &str,
        split: Split,
    ) -> CourseId {
        let price = (money(price), self.app.config.money.default_currency());
        let course = Course::offered(teacher.id, "A course", price, split, self.now());
        let mut tx = self.app.db.begin().await.unwrap();
        db::courses::insert(&mut tx, &course).await.unwrap();
        tx.commit().await.unwrap();
        course.id
    }

    /// `student` watches so much of `course`, and is done with it.
    pub(crate) async fn watched(
        &self,
        student: &Person,
        course: CourseId,
        watched: Duration,
    ) -> Session {
        let user = self.user(student).await;
        let session = sessions::start(&self.app, &user, &start_of(course), self.now()).await;
        self.app.clock.advance(watched);
        self.settled(session.unwrap(), watched).await
    }

    pub(crate) async fn settled(&self, session: Session, watched: Duration) -> Session {
        let reason = EndReason::EndedByStudent;
        let end = End { watched, stretches: vec![], reason, actor: None };
        sessions::settle(&self.app, session, end, self.now()).await.unwrap().session
    }

    /// The user behind a person, for calling services directly.
    pub(crate) async fn user(&self, person: &Person) -> User {
        let mut tx = self.app.db.read().await.unwrap();
        db::users::find(&mut tx, person.id).await.unwrap().unwrap()
    }
}

impl Person {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    /// A POST with an `Idempotency-Key`.
    pub(crate) async fn post_once(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[("idempotency-key", key)]).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.client.request(method.clone(), url).bearer_auth(&self.access_token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::to(&method, request).await
    }

    /// Connects the wallet and puts `amount` into it.
    pub(crate) async fn top_up(&self, amount: &str) {
        let connected = self.post("/payments/wallet/connect", json!({})).await;
        assert!(connected.status.is_success(), "{connected:?}");
        self.top_up_more(amount).await;
    }

    /// Puts `amount` into the wallet.
    pub(crate) async fn top_up_more(&self, amount: &str) {
        let reply = self.post("/payments/wallet/top-ups", json!({"amount": amount})).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    }

    /// What the wallet, or the earnings, are: posted, held, available.
    pub(crate) async fn balance(&self) -> (String, String, String) {
        let reply = self.get("/payments/wallet/balance").await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let text = |name: &str| reply.body[name].as_str().unwrap().to_owned();
        (text("posted"), text("held"), text("available"))
    }
}

impl Reply {
    /// Sends a request. Fails if the answer is not one that openapi.json has.
    pub(crate) async fn to(method: &Method, request: reqwest::RequestBuilder) -> Self {
        Self::of(method, request.send().await.unwrap()).await
    }

    /// What was answered to such a request. Fails if it is not what openapi.json has.
    pub(crate) async fn of(method: &Method, response: reqwest::Response) -> Self {
        let path = response.url().path().to_owned();
        let reply = Self::of_another_server(response).await;
        document::assert_documented(method, &path, &reply);
        reply
    }

    pub(crate) async fn of_another_server(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        Self { status, headers, body, text }
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// Whether it was kept from an earlier request with the same `Idempotency-Key`.
    pub(crate) fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Fails unless this is a problem of this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:?}");
    }
}

pub(crate) fn start_of(course: CourseId) -> StartRequest {
    StartRequest {
        course_id: course,
        lock_amount: None,
        spending_cap: None,
        auto_extend: true,
        login_id: None,
    }
}

fn client() -> reqwest::Client {
    if std::env::var_os("MURPH_TEST_LOG").is_some() {
        let log = Config::load(Sources::default()).unwrap().log;
        murph::telemetry::init_logging(&log).unwrap();
    }
    reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(30))
        .no_proxy()
        // What leads elsewhere is an answer, too.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

fn unique_email() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("somebody{}@example.org", NEXT.fetch_add(1, Ordering::SeqCst))
}
