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
        openapi::{Body, Operation, Output, Promise, Routes, routes},
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
        let status = if self.is_fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self.report)).into_response()
    }
}

impl<T: JsonSchema> Output for Verdict<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::OK);
        operation.answers_json::<T>(StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[derive(Serialize, JsonSchema)]
struct Liveness {
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize, JsonSchema)]
struct Health {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// `connected` or `disconnected`.
    database: &'static str,
    /// `development` or `production`.
    environment: &'static str,
    version: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct ServicesHealth {
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    services: Services,
}

#[derive(Serialize, JsonSchema)]
struct Services {
    database: DatabaseHealth,
    bus: BusHealth,
}

#[derive(Serialize, JsonSchema)]
struct DatabaseHealth {
    /// `up` or `down`.
    status: &'static str,
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct BusHealth {
    /// `in_process`, `up` or `away`.
    status: &'static str,
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
        let body = Body { media_type: Metrics::CONTENT_TYPE, schema };
        operation.answers(StatusCode::OK, Promise::of(StatusCode::OK, body));
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
    Json(Liveness { status: "ok" })
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
    let status = if is_fine { "ready" } else { "not_ready" };
    Verdict { is_fine, report: Readiness { status, checks } }
}

async fn health(
    State(app): State<App>,
    Extension(probe): Extension<Arc<Probe>>,
) -> Verdict<Health> {
    let is_connected = probe.ask(&app).await.write.ok;
    let environment = match app.config.server.mode {
        Mode::Development => "development",
        Mode::Production => "production",
    };
    let report = Health {
        status: if is_connected { "healthy" } else { "unhealthy" },
        database: if is_connected { "connected" } else { "disconnected" },
        environment,
        version: env!("CARGO_PKG_VERSION"),
    };
    Verdict { is_fine: is_connected, report }
}

async fn services(
    State(app): State<App>,
    Extension(probe): Extension<Arc<Probe>>,
) -> Verdict<ServicesHealth> {
    let database = probe.ask(&app).await.write;
    let bus = match app.bus.reach() {
        Reach::InProcess => "in_process",
        Reach::Up => "up",
        Reach::Away => "away",
    };
    let status = match (database.ok, bus) {
        (false, _) => "unhealthy",
        (true, "away") => "degraded",
        (true, _) => "healthy",
    };
    let services = Services {
        database: DatabaseHealth {
            status: if database.ok { "up" } else { "down" },
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
