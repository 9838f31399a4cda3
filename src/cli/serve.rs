//! `murph serve`: from a configuration to a server that listens, and back to nothing.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::App,
    cli::{
        database,
        fail::{self, Failure},
        lock::Lock,
        signals::Signals,
        sqlite_file,
    },
    clock::Clock,
    config::{Config, DatabaseUrl},
    db::migrate,
    server, telemetry,
};

/// What is running once everything has started.
struct Started {
    app: App,
    listener: TcpListener,
    /// Held as long as the server runs, if the database is `SQLite`.
    _lock: Option<Lock>,
}

pub(super) async fn run(config: Config) -> Result<ExitCode, Failure> {
    telemetry::init_logging(&config.log)?;
    let stop = CancellationToken::new();
    // From the first moment on: a signal may come while we wait for the database.
    let signals = Signals::listen()?;
    tokio::select! {
        served = serve(config, stop.clone()) => served.map(|()| ExitCode::SUCCESS),
        () = signals.stop_then_end(&stop) => {
            warn!("ended at once by a second signal");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn serve(config: Config, stop: CancellationToken) -> Result<(), Failure> {
    let started = tokio::select! {
        started = start(config) => started?,
        // Nothing was promised to anybody yet.
        () = stop.cancelled() => return Ok(()),
    };
    let Started { app, listener, _lock } = started;
    Ok(server::run(listener, app, stop).await?)
}

async fn start(config: Config) -> Result<Started, Failure> {
    let lock = lock(&config)?;
    let db = database::open(&config).await?;
    migrate::up(&db).await?;
    let app = App::start(config, Clock::System, db).await?;
    match listen(&app.config).await {
        Ok(listener) => Ok(Started { app, listener, _lock: lock }),
        Err(failure) => {
            app.finish().await;
            Err(failure)
        }
    }
}

/// Makes the directories that `SQLite` needs, and keeps a second server off its file.
fn lock(config: &Config) -> Result<Option<Lock>, Failure> {
    let DatabaseUrl::Sqlite(path) = config.database_url() else { return Ok(None) };
    database::make_directory(&config.server.data_dir)?;
    database::make_directory(sqlite_file::directory(&path))?;
    Lock::take(&path).map(Some)
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let address = config.server.listen;
    let explain = |error: std::io::Error| {
        let mend = "set server.listen to an address of this machine and a free port";
        Failure::from(format!("cannot listen on {address}: {}; {mend}", fail::said(&error)))
    };
    let listener = TcpListener::bind(address).await.map_err(explain)?;
    // With port 0 this is where one learns which it is.
    let bound = listener.local_addr().map_err(explain)?;
    let url = format!("http://{bound}");
    info!(url, "listening on {url}");
    Ok(listener)
}
