//! How Murph is: for people, for load balancers and supervisors, for Prometheus.
//!
//! Outside of the prefix and open to everybody who can reach the port. None of it names a user or
//! an amount, and the database is asked once a second at most, however often somebody else asks:
//! the probe takes the lock that every payment on `SQLite` needs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::{
    app::App,
    bus::Reach,
    config::Mode,
    db::migrate,
    error::{Error, OrLog, Result},
    http::{
        extract::Json,
        openapi::{Operation, Output, Promise, Routes, routes},
    },
    telemetry::Metrics,
    time::whole_ms,
};

/// How long one check of the database may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long what was found is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Routes {
    let routes = routes! { "health"
        /// How Murph is, as the seeds' clients ask for it.
        GET "/health" => health;
        /// How everything is that Murph leans on.
        ///
        /// Without the bus it does its work, only less lively: it is `degraded`.
        GET "/health/services" => services;
        /// Whether a load balancer should send requests here.
        GET "/readyz" => ready;
        /// Whether the process runs and answers.
        ///
        /// Nothing else: a supervisor that restarts Murph because the database is away would only
        /// make it worse.
        GET "/livez" => live;
        /// Everything counted so far, for Prometheus.
        GET "/metrics" => metrics;
    };
    routes.layer(Extension(Arc::new(Probe::default())))
}

/// 200 if all is well, 503 if not; both say how it is.
struct Verdict<T> {
    is_fine: bool,
    report: T,
}

impl<T: Serialize> IntoResponse for Verdict<T> {
    fn into_response(self) -> Response {
        let report = Json(self.report);
        if self.is_fine {
            return report.into_response();
        }
        // Earlier one would be told the same.
        let retry_after = [(header::RETRY_AFTER, BELIEVED_FOR.as_secs())];
        (StatusCode::SERVICE_UNAVAILABLE, retry_after, report).into_response()
    }
}

impl<T: JsonSchema> Output for Verdict<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::OK);
        let schema = operation.written::<T>();
        let report = Promise::of("application/json", schema).described("Not all is well.");
        operation.answers(StatusCode::SERVICE_UNAVAILABLE, report.with(&["Retry-After"]));
    }
}

/// The process runs.
#[derive(Serialize, JsonSchema)]
struct Liveness {
    #[schemars(extend("const" = ALIVE))]
    status: &'static str,
}

const ALIVE: &str = "ok";

/// Whether requests should be sent here, and why.
#[derive(Serialize, JsonSchema)]
struct Readiness {
    status: Ready,
    checks: Vec<Check>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Ready {
    Ready,
    NotReady,
}

/// How Murph is.
#[derive(Serialize, JsonSchema)]
struct Health {
    /// Never `degraded`.
    status: Wellness,
    database: Connection,
    environment: Mode,
    version: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Wellness {
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Connection {
    Connected,
    Disconnected,
}

/// How everything is that Murph leans on.
#[derive(Serialize, JsonSchema)]
struct ServicesHealth {
    status: Wellness,
    services: Services,
}

#[derive(Serialize, JsonSchema)]
struct Services {
    database: DatabaseHealth,
    bus: BusHealth,
}

#[derive(Serialize, JsonSchema)]
struct DatabaseHealth {
    status: UpOrDown,
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum UpOrDown {
    Up,
    Down,
}

#[derive(Serialize, JsonSchema)]
struct BusHealth {
    status: Reach,
}

/// Numbers in Prometheus' text format.
struct MetricsText(String);

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], self.0).into_response()
    }
}

impl Output for MetricsText {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.written::<String>();
        let numbers = Promise::of(Metrics::CONTENT_TYPE, schema).described("What was counted.");
        operation.answers(StatusCode::OK, numbers);
    }
}

/// One thing that has to be in order, and how long it took to see.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "HealthCheck")]
struct Check {
    name: &'static str,
    ok: bool,
    ms: u64,
}

/// What was found out about the database last, and when.
#[derive(Debug, Default)]
struct Probe(Mutex<Option<(Instant, DatabaseChecks)>>);

#[derive(Clone, Copy, Debug)]
struct DatabaseChecks {
    write: Check,
    migrations: Check,
}

async fn live() -> Json<Liveness> {
    Json(Liveness { status: ALIVE })
}

async fn ready(
    State(app): State<App>,
    Extension(probe): Extension<Arc<Probe>>,
) -> Verdict<Readiness> {
    let DatabaseChecks { write, migrations } = probe.ask(&app).await;
    let has_room = |(waiting, max)| waiting < max;
    let at_once = |name, ok| Check { name, ok, ms: 0 };
    let checks = vec![
        write,
        migrations,
        at_once("writer_queue", has_room(app.writer.waiting())),
        at_once("claims_queue", has_room(app.claims.waiting())),
        at_once("not_stopping", !app.stop.is_cancelled()),
    ];
    let is_fine = checks.iter().all(|check| check.ok);
    let status = if is_fine { Ready::Ready } else { Ready::NotReady };
    Verdict { is_fine, report: Readiness { status, checks } }
}

async fn health(
    State(app): State<App>,
    Extension(probe): Extension<Arc<Probe>>,
) -> Verdict<Health> {
    let is_connected = probe.ask(&app).await.write.ok;
    let (status, database) = if is_connected {
        (Wellness::Healthy, Connection::Connected)
    } else {
        (Wellness::Unhealthy, Connection::Disconnected)
    };
    let environment = app.config.server.mode;
    let report = Health { status, database, environment, version: env!("CARGO_PKG_VERSION") };
    Verdict { is_fine: is_connected, report }
}

async fn services(
    State(app): State<App>,
    Extension(probe): Extension<Arc<Probe>>,
) -> Verdict<ServicesHealth> {
    let database = probe.ask(&app).await.write;
    let bus = app.bus.reach();
    let status = match (database.ok, bus) {
        (false, _) => Wellness::Unhealthy,
        (true, Reach::Away) => Wellness::Degraded,
        (true, Reach::Up | Reach::InProcess) => Wellness::Healthy,
    };
    let services = Services {
        database: DatabaseHealth {
            status: if database.ok { UpOrDown::Up } else { UpOrDown::Down },
            ms: database.ms,
        },
        bus: BusHealth { status: bus },
    };
    Verdict { is_fine: database.ok, report: ServicesHealth { status, services } }
}

/// Some of it is only looked at when somebody asks.
async fn metrics(State(app): State<App>) -> MetricsText {
    for (pool, open, idle) in app.db.connections() {
        app.metrics.set_database_connections(pool, open, idle);
    }
    app.metrics.set_queues(app.writer.waiting().0, app.claims.waiting().0);
    MetricsText(app.metrics.render())
}

impl Probe {
    /// What is known about the database. Whoever asks while somebody else looks, waits for that.
    async fn ask(&self, app: &App) -> DatabaseChecks {
        let mut last = self.0.lock().await;
        if let Some((at, checks)) = *last
            && at.elapsed() < BELIEVED_FOR
        {
            return checks;
        }
        let checks = DatabaseChecks {
            write: check("database", can_write(app)).await,
            migrations: check("migrations", is_current(app)).await,
        };
        *last = Some((Instant::now(), checks));
        checks
    }
}

async fn check(name: &'static str, look: impl Future<Output = Result<()>>) -> Check {
    let began = Instant::now();
    let ok = match tokio::time::timeout(CHECK_TIMEOUT, look).await {
        Ok(result) => result.or_log(name).is_some(),
        Err(elapsed) => Err::<(), _>(elapsed).or_log(name).is_some(),
    };
    Check { name, ok, ms: whole_ms(began.elapsed()) }
}

/// On `SQLite` this takes the write lock, on `PostgreSQL` a connection.
async fn can_write(app: &App) -> Result<()> {
    app.db.begin().await?.rollback().await
}

/// Whether the schema is the one this Murph was made for.
async fn is_current(app: &App) -> Result<()> {
    let steps = migrate::status(&app.db).await?;
    match steps.iter().find(|step| !step.applied) {
        None => Ok(()),
        Some(step) => Err(Error::Schema(format!("step {} is missing", step.version))),
    }
}
