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
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    app::App,
    bus::Reach,
    config::Mode,
    db::migrate,
    error::{Error, OrLog, Result},
    telemetry::Metrics,
    time::whole_ms,
};

/// How long one check of the database may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long what was found is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/health", get(health))
        .route("/health/services", get(services))
        .route("/readyz", get(ready))
        .layer(Extension(Arc::new(Probe::default())))
        .route("/livez", get(live))
        .route("/metrics", get(metrics))
}

/// One thing that has to be in order, and how long it took to see.
#[derive(Clone, Copy, Debug, Serialize)]
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

/// The process runs and answers. Nothing else: a supervisor that restarts Murph because the
/// database is away would only make it worse.
async fn live() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// Whether a load balancer should send requests here.
async fn ready(State(app): State<App>, Extension(probe): Extension<Arc<Probe>>) -> Response {
    let DatabaseChecks { write, migrations } = probe.ask(&app).await;
    let has_room = |(waiting, max)| waiting < max;
    let at_once = |name, ok| Check { name, ok, ms: 0 };
    let checks = [
        write,
        migrations,
        at_once("writer_queue", has_room(app.writer.waiting())),
        at_once("claims_queue", has_room(app.claims.waiting())),
        at_once("not_stopping", !app.stop.is_cancelled()),
    ];
    let is_ready = checks.iter().all(|check| check.ok);
    let status = if is_ready { "ready" } else { "not_ready" };
    (status_of(is_ready), Json(json!({ "status": status, "checks": checks }))).into_response()
}

/// How Murph is, as the seeds' clients ask for it.
async fn health(State(app): State<App>, Extension(probe): Extension<Arc<Probe>>) -> Response {
    let is_connected = probe.ask(&app).await.write.ok;
    let environment = match app.config.server.mode {
        Mode::Development => "development",
        Mode::Production => "production",
    };
    let body = json!({
        "status": if is_connected { "healthy" } else { "unhealthy" },
        "database": if is_connected { "connected" } else { "disconnected" },
        "environment": environment,
        "version": env!("CARGO_PKG_VERSION"),
    });
    (status_of(is_connected), Json(body)).into_response()
}

/// How everything is that Murph leans on. Without the bus it does its work, only less lively.
async fn services(State(app): State<App>, Extension(probe): Extension<Arc<Probe>>) -> Response {
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
    let body = json!({
        "status": status,
        "services": {
            "database": { "status": if database.ok { "up" } else { "down" }, "ms": database.ms },
            "bus": { "status": bus },
        },
    });
    (status_of(database.ok), Json(body)).into_response()
}

fn status_of(is_fine: bool) -> StatusCode {
    if is_fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Everything counted so far, with what is only looked at when somebody asks.
async fn metrics(State(app): State<App>) -> Response {
    for (pool, open, idle) in app.db.connections() {
        app.metrics.set_database_connections(pool, open, idle);
    }
    app.metrics.set_queues(app.writer.waiting().0, app.claims.waiting().0);
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], app.metrics.render()).into_response()
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
