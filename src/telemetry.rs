//! How Murph is watched from outside: its log and its metrics.
//!
//! The log goes to standard output, where a terminal or a container platform picks it up. Metrics
//! are kept in [`Metrics`], which is passed to whoever has something to count; there is no global
//! registry, so two servers in one test do not count for each other.
//!
//! Labels take few values, known beforehand: each new combination is kept for ever. That is why a
//! request is counted under its route and never under its path.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use tracing_subscriber::EnvFilter;

mod discovery;

pub use self::discovery::DiscoveryMetrics;
use crate::config::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("log.filter: {filter:?} is not a filter ({source}); write it as \"info,murph=debug\"")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
}

/// Sends what is logged from now on to standard output.
///
/// Only the first call decides how; later ones, as in tests that share a process, do nothing.
pub fn init_logging(log: &Log) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|source| LoggingError::Filter { filter: log.filter.clone(), source })?;
    let is_terminal = io::stdout().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A log that cannot be written is no reason to write about it to somewhere else.
        .log_internal_errors(false);

    let is_json = match log.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let outcome = if is_json {
        builder.json().flatten_event(true).with_span_list(false).try_init()
    } else if is_terminal {
        // Colours, unless the environment says NO_COLOR.
        builder.compact().try_init()
    } else {
        builder.compact().with_ansi(false).try_init()
    };
    // The only way to fail is that logging was set up before.
    drop(outcome);
    Ok(())
}

/// How long an HTTP request or a commit takes, in seconds: from in-memory to far too long.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Operations in one commit.
const BATCH_SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What is watched in one session, in seconds: from a look to a whole evening.
const WATCHED_SECONDS: [f64; 9] =
    [10.0, 60.0, 180.0, 600.0, 1_200.0, 2_400.0, 3_600.0, 7_200.0, 14_400.0];

/// The methods counted by name. A client may send any word as one.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What Murph counts. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    http_requests: Family<RequestLabels, Counter>,
    http_request_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    http_connections: Gauge,
    ledger_commit: Histogram,
    ledger_batch_size: Histogram,
    ledger_operations: Family<OperationLabels, Counter>,
    ledger_queue: Gauge,
    claims_queue: Gauge,
    sessions: Gauge,
    sockets: Gauge,
    ticks: Counter,
    tick_lag: Histogram,
    checkpoint: Histogram,
    settlements: Family<SettlementLabels, Counter>,
    session_watched: Histogram,
    database_connections: Family<PoolLabels, Gauge>,
    bus_messages: Family<MessageLabels, Counter>,
    bus_up: Gauge,
    discovery: DiscoveryMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettlementLabels {
    status: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    direction: &'static str,
    result: &'static str,
}

/// One HTTP request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredRequest<'a> {
    /// The route with its placeholders (`/sessions/{id}`), never the path that was asked for.
    pub route: &'a str,
    pub method: &'a str,
    pub status: u16,
    pub duration: Duration,
}

/// An open connection, counted for as long as this is kept.
#[derive(Debug)]
#[must_use = "the connection is counted until this is dropped"]
pub struct CountedConnection(Metrics);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.0.http_connections.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The `Content-Type` of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    #[must_use]
    pub fn new() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut inner = Inner {
            registry: Registry::with_prefix("murph"),
            http_requests: Family::default(),
            http_request_duration: Family::new_with_constructor(seconds),
            http_connections: Gauge::default(),
            ledger_commit: seconds(),
            ledger_batch_size: Histogram::new(BATCH_SIZES),
            ledger_operations: Family::default(),
            ledger_queue: Gauge::default(),
            claims_queue: Gauge::default(),
            sessions: Gauge::default(),
            sockets: Gauge::default(),
            ticks: Counter::default(),
            tick_lag: seconds(),
            checkpoint: seconds(),
            settlements: Family::default(),
            session_watched: Histogram::new(WATCHED_SECONDS),
            database_connections: Family::default(),
            bus_messages: Family::default(),
            bus_up: Gauge::default(),
            discovery: DiscoveryMetrics::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// Everything counted so far, as Prometheus reads it.
    ///
    /// # Panics
    /// Never: writing to a string cannot fail.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry).expect("writing to a string cannot fail");
        page
    }

    pub fn record_request(&self, request: AnsweredRequest<'_>) {
        let AnsweredRequest { route, method, status, duration } = request;
        let known = METHODS.into_iter().find(|known| *known == method);
        let (route, method) = (route.to_owned(), known.unwrap_or("other"));
        let labels = RouteLabels { route, method };
        self.0.http_request_duration.get_or_create(&labels).observe(duration.as_secs_f64());
        let RouteLabels { route, method } = labels;
        self.0.http_requests.get_or_create(&RequestLabels { route, method, status }).inc();
    }

    /// Counts a connection until what is returned is dropped.
    pub fn count_connection(&self) -> CountedConnection {
        self.0.http_connections.inc();
        CountedConnection(self.clone())
    }

    /// One commit of the ledger's writer, of `batch_size` operations.
    pub fn record_commit(&self, batch_size: usize, duration: Duration) {
        let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX);
        self.0.ledger_batch_size.observe(f64::from(batch_size));
        self.0.ledger_commit.observe(duration.as_secs_f64());
    }

    /// One operation on the ledger, by the name of its kind and that of how it ended.
    pub fn record_operation(&self, operation: &'static str, result: &'static str) {
        self.0.ledger_operations.get_or_create(&OperationLabels { operation, result }).inc();
    }

    /// How many operations wait for the ledger's writer, and how many claims for theirs.
    pub fn set_queues(&self, ledger: usize, claims: usize) {
        self.0.ledger_queue.set(whole(ledger));
        self.0.claims_queue.set(whole(claims));
    }

    /// How many sessions are metered here, and how many sockets are open.
    pub fn set_live(&self, sessions: usize, sockets: u32) {
        self.0.sessions.set(whole(sessions));
        self.0.sockets.set(i64::from(sockets));
    }

    /// One turn of the wheel, which came so much after it was due.
    pub fn record_tick_lag(&self, lag: Duration) {
        self.0.tick_lag.observe(lag.as_secs_f64());
    }

    /// Ticks that players were sent.
    pub fn record_ticks(&self, count: u64) {
        self.0.ticks.inc_by(count);
    }

    /// One commit of packed readings.
    pub fn record_checkpoint(&self, duration: Duration) {
        self.0.checkpoint.observe(duration.as_secs_f64());
    }

    /// A session was settled.
    pub fn record_settlement(&self, status: &'static str, reason: &'static str, watched: Duration) {
        self.0.settlements.get_or_create(&SettlementLabels { status, reason }).inc();
        self.0.session_watched.observe(watched.as_secs_f64());
    }

    /// How many connections a pool has, and how many of them nobody uses.
    pub fn set_database_connections(&self, pool: &'static str, open: u32, idle: usize) {
        for (state, count) in [("open", i64::from(open)), ("idle", whole(idle))] {
            self.0.database_connections.get_or_create(&PoolLabels { pool, state }).set(count);
        }
    }

    /// Notices to other nodes (`out`) or from them (`in`), by what became of them.
    pub fn record_bus_messages(&self, direction: &'static str, result: &'static str, count: usize) {
        let labels = MessageLabels { direction, result };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.bus_messages.get_or_create(&labels).inc_by(count);
    }

    /// Whether other nodes can be told anything, or there are none.
    pub fn set_bus_up(&self, is_up: bool) {
        self.0.bus_up.set(i64::from(is_up));
    }
}

/// A count as a gauge holds it.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Inner {
    /// Names every metric. `murph_`, units and `_total` are added around the names.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The Murph that is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("http_requests", "Requests answered", self.http_requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to its answer",
            Unit::Seconds,
            self.http_request_duration.clone(),
        );
        registry.register(
            "http_connections",
            "Connections open now",
            self.http_connections.clone(),
        );
        registry.register_with_unit(
            "ledger_commit",
            "Writing one batch of the ledger",
            Unit::Seconds,
            self.ledger_commit.clone(),
        );
        registry.register(
            "ledger_batch_size",
            "Operations written in one commit",
            self.ledger_batch_size.clone(),
        );
        registry.register(
            "ledger_operations",
            "Operations on the ledger, by how they ended",
            self.ledger_operations.clone(),
        );
        registry.register(
            "ledger_queue",
            "Operations waiting for the writer now",
            self.ledger_queue.clone(),
        );
        registry.register(
            "claims_queue",
            "Changes of hands waiting to be written now",
            self.claims_queue.clone(),
        );
        registry.register(
            "database_connections",
            "Connections to the database now",
            self.database_connections.clone(),
        );
        registry.register(
            "bus_messages",
            "Notices to other nodes and from them, by what became of them",
            self.bus_messages.clone(),
        );
        registry.register(
            "bus_up",
            "Whether other nodes can be told anything",
            self.bus_up.clone(),
        );
        self.discovery.register(registry);
        self.register_live();
    }

    fn register_live(&mut self) {
        let registry = &mut self.registry;
        registry.register("sessions_active", "Sessions metered here now", self.sessions.clone());
        registry.register("sockets", "Sockets open now", self.sockets.clone());
        registry.register("ticks", "Ticks that players were sent", self.ticks.clone());
        registry.register_with_unit(
            "tick_lag",
            "How much later than due a turn of the wheel came",
            Unit::Seconds,
            self.tick_lag.clone(),
        );
        registry.register_with_unit(
            "checkpoint",
            "Writing what live sessions have watched",
            Unit::Seconds,
            self.checkpoint.clone(),
        );
        registry.register(
            "settlements",
            "Sessions settled, by how they ended",
            self.settlements.clone(),
        );
        registry.register_with_unit(
            "session_watched",
            "What was watched in a session",
            Unit::Seconds,
            self.session_watched.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(filter: &str) -> Log {
        Log { format: LogFormat::Auto, filter: filter.to_owned() }
    }

    #[test]
    fn logging_may_be_set_up_twice() {
        assert!(init_logging(&log("warn")).is_ok());
        assert!(init_logging(&log("warn,murph=debug")).is_ok());
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_a_sentence() {
        let error = init_logging(&log("murph=loud")).unwrap_err().to_string();
        assert!(error.starts_with("log.filter: \"murph=loud\" is not a filter ("), "{error}");
    }

    #[test]
    fn everything_counted_is_rendered() {
        let metrics = Metrics::new();
        let request = AnsweredRequest {
            route: "/sessions/{id}",
            method: "GET",
            status: 200,
            duration: Duration::from_millis(3),
        };
        metrics.record_request(request);
        metrics.clone().record_request(AnsweredRequest { method: "BREW", ..request });
        metrics.record_commit(3, Duration::from_millis(2));
        metrics.record_operation("hold", "refused");
        metrics.set_queues(7, 5);
        metrics.set_database_connections("writer", 2, 1);
        metrics.record_bus_messages("out", "lost", 3);
        metrics.set_bus_up(true);
        let _open = metrics.count_connection();
        drop(metrics.count_connection());

        let page = metrics.render();
        for line in [
            concat!("murph_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            r#"murph_http_requests_total{route="/sessions/{id}",method="GET",status="200"} 1"#,
            r#"murph_http_requests_total{route="/sessions/{id}",method="other",status="200"} 1"#,
            r#"murph_http_request_duration_seconds_count{route="/sessions/{id}",method="GET"} 1"#,
            "murph_http_connections 1",
            "murph_ledger_commit_seconds_count 1",
            "murph_ledger_batch_size_sum 3.0",
            r#"murph_ledger_operations_total{operation="hold",result="refused"} 1"#,
            "murph_ledger_queue 7",
            "murph_claims_queue 5",
            r#"murph_database_connections{pool="writer",state="open"} 2"#,
            r#"murph_database_connections{pool="writer",state="idle"} 1"#,
            r#"murph_bus_messages_total{direction="out",result="lost"} 3"#,
            "murph_bus_up 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }
}
