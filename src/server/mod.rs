//! The accept loop: from a listening socket to requests, and back to silence.
//!
//! Written out instead of `axum::serve`, which gives hyper no timer (its timeouts then never
//! fire), waits for its connections without end, and counts nothing. HTTP/1.1 only: behind a proxy
//! nobody speaks HTTP/2 without TLS, and guessing the protocol has no timeout.
//!
//! What a connection may take, however its peer behaves:
//!
//! | phase | limit | kept by |
//! |---|---|---|
//! | no request yet | `header_timeout_ms` for the whole head | `head_timer` |
//! | between two requests | `idle_timeout_ms` for the first byte, then as above | `idle`, `head_timer` |
//! | a body comes in | `body_timeout_ms` | `http::extract` |
//! | a handler works | `request_timeout_ms` | `http` |
//! | an answer goes out, or a WebSocket is open | `idle_timeout_ms` from byte to byte | `idle` |
//! | after the refusal of a request | `stream::LINGER` | `stream` |

mod head_timer;
mod idle;
mod received;
mod stream;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, error, info, warn};

use self::{head_timer::HeadTimer, received::Received, stream::Stream};
use crate::{
    app::App,
    error::{Error, Result},
    http::{self, AmbiguousLength},
    jobs,
    live::{Live, TakeOver, Wire},
};

/// The longest head of a request, its line and headers; longer ones are answered with 431.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// How long to wait after the system could not give us a connection, out of file descriptors for
/// example. Trying again at once would only burn a core until another connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until `stop`, or until a part of it dies that it cannot do without: that is the
/// error. Then lets running requests finish, for `server.drain_ms` at most, and ends `app`.
pub async fn run(listener: TcpListener, app: App, stop: CancellationToken) -> Result<()> {
    if let Ok(address) = listener.local_addr() {
        app.set_address(address);
    }
    jobs::spawn(&app);
    let live = Live::start(&app).await?;
    let server = Server::new(app.clone(), live.clone());
    tokio::select! {
        // The listener goes down with this branch: from then on connections are refused.
        () = server.accept(listener) => {}
        () = stop.cancelled() => info!("asked to stop"),
        () = app.stop.cancelled() => {}
    }
    let was_asked = stop.is_cancelled();
    app.stop.cancel();
    live.drain().await;
    server.drain().await;
    // Only now: as long as there was a request, it could hand something to the ledger's writer.
    app.finish().await;
    if was_asked {
        info!("stopped");
        Ok(())
    } else {
        Err(Error::Internal("a part of Murph died; the log says which".into()))
    }
}

/// What all connections share. Cheap to clone.
#[derive(Clone, Debug)]
struct Server {
    app: App,
    router: Router,
    /// One for each connection there may be.
    permits: Arc<Semaphore>,
    /// Connections, but not those that became something else, such as a WebSocket.
    connections: TaskTracker,
    /// Cancelled when whoever is not done is cut off.
    cut_off: CancellationToken,
}

impl Server {
    fn new(app: App, live: Live) -> Self {
        let max = app.config.server.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            router: http::router(app.clone(), live),
            app,
            permits: Arc::new(Semaphore::new(max)),
            connections: TaskTracker::new(),
            cut_off: CancellationToken::new(),
        }
    }

    /// Accepts for ever. When there are as many connections as there may be, further ones wait in
    /// the system's queue, and are turned away by the system when that is full.
    async fn accept(&self, listener: TcpListener) {
        let mut is_failing = false;
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.expect("nobody closes the semaphore");
            match listener.accept().await {
                Ok((socket, peer)) => {
                    is_failing = false;
                    self.open(socket, peer, permit);
                }
                Err(error) if is_about_one_connection(&error) => {
                    debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    if !is_failing {
                        error!(%error, "could not accept a connection: {error}");
                    }
                    is_failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn open(&self, socket: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Answers are written whole; waiting for more to send would only delay them.
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, %peer, "a connection was gone at once");
            return;
        }
        let received = Received::default();
        let idle_timeout = self.app.config.server.idle_timeout();
        let counted = self.app.metrics.count_connection();
        let stream = Stream::new(socket, idle_timeout, received.clone(), (permit, counted));
        self.connections.spawn(self.clone().serve(stream, peer, received));
    }

    /// Answers the requests of one connection. A panic in here ends this task and nothing else.
    async fn serve(self, stream: Stream, peer: SocketAddr, received: Received) {
        let mut builder = http1::Builder::new();
        builder
            .timer(HeadTimer::new(received.clone()))
            .header_read_timeout(self.app.config.server.header_timeout())
            .max_header_size(HEAD_MAX_BYTES)
            // Also the most that is kept of a head that is not complete.
            .max_buf_size(HEAD_MAX_BYTES);
        let router = self.router;
        let service =
            service_fn(move |request| answer(router.clone(), request, peer, received.clone()));
        // With upgrades: the handler of a WebSocket takes the stream over.
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.app.stop.cancelled() => {
                // Closes now if no request is running, else after its answer.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = self.cut_off.cancelled() => return,
                }
            }
        };
        if let Err(error) = result {
            debug!(%error, %peer, "a connection broke off");
        }
    }

    /// Waits until the running requests are answered, and cuts off those that take too long.
    async fn drain(&self) {
        self.connections.close();
        let limit = self.app.config.server.drain();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            warn!("cut {} connections off after {limit:?}", self.connections.len());
            self.cut_off.cancel();
            self.connections.wait().await;
        }
    }
}

/// Hands a request on, with what the routes cannot know about its connection.
async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    received: Received,
) -> Result<Response, Infallible> {
    let has_body = !request.body().is_end_stream();
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(TakeOver(take_over));
    // Of two lengths hyper leaves this one. Without it, what looked like them was part of a body.
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    if received.is_ambiguous() && is_chunked {
        request.extensions_mut().insert(AmbiguousLength);
    }
    let mut response = router.oneshot(request).await?;
    // A later request on this connection would be taken for that one.
    if received.is_ambiguous() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Whoever takes a request reads its body; whoever refuses it may not.
    received.set_answered(!has_body || response.status().is_success());
    Ok(response)
}

/// The plain connection below one that was upgraded.
fn take_over(upgraded: Upgraded) -> Option<Wire> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    Some(parts.io.into_inner().into_wire(parts.read_buf))
}

/// Whether the failure is over with this one connection, so that the next can be accepted at once.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_files_is_not_about_one_connection() {
        const ECONNABORTED: i32 = 103;
        const EMFILE: i32 = 24;
        assert!(is_about_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
        assert!(!is_about_one_connection(&io::Error::from_raw_os_error(EMFILE)));
    }
}
