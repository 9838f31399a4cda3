//! A node that stops hands its sessions over: nobody is settled, and nobody pays for the change.

use std::sync::Arc;

use tracing::info;

use super::{Live, close::Close, message::Outgoing, session::Total, socket::Socket, watching};
use crate::{
    bus::{Notice, To},
    domain::claim::Park,
    error::OrLog,
    service::nodes,
};

/// How many players are asked to come back per second, so that they do not come all at once.
const RETURNS_PER_SECOND: u64 = 2_000;

/// Writes all sessions down, gives up the lease, and sends the players elsewhere.
///
/// In this order, so that whoever receives a player finds the session free, and exact.
pub(super) async fn run(live: &Live) {
    let mut sockets = Vec::new();
    let mut parked = Vec::new();
    let mut stopped = Vec::new();
    let mut progress = Vec::new();
    for session in live.registry.all() {
        // What is being settled goes on; it will be done, or taken over, like any other.
        if let Some((total, socket)) = session.stop(live) {
            progress.extend(session.take_progress(live.app.clock.now()));
            parked.push(total.into());
            sockets.extend(socket);
            stopped.push(session);
        }
    }
    let count = parked.len();
    watching::write(live, progress).await;
    nodes::let_go(&live.app, parked).await.or_log("handing sessions over");
    // Not before: whoever comes to this node meanwhile must find what was watched.
    for session in &stopped {
        live.registry.remove(session);
    }
    nodes::leave(&live.app).await.or_log("leaving the other nodes");
    live.app.bus.publish(To::All, Notice::Left { node_id: live.app.node_id });
    info!(count, "handed {count} sessions over");
    send_away(live, &sockets);
}

fn send_away(live: &Live, sockets: &[Arc<Socket>]) {
    for (nth, socket) in (0_u64..).zip(sockets) {
        let reconnect_after_ms = nth * 1_000 / RETURNS_PER_SECOND;
        live.send(socket, &Outgoing::Drain { reconnect_after_ms });
        socket.close(Close::Restart);
    }
}

impl From<Total> for Park {
    fn from(total: Total) -> Self {
        let Total { session, watched, stretches } = total;
        Self { session_id: session.id, fence: session.fence, watched, stretches, heir: None }
    }
}
