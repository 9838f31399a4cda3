//! Sessions on this node, while they last: from the socket's handshake to the receipt.
//!
//! ```text
//! http::socket ─▶ door ─▶ player ─▶ session ◀─ wheel        (every tick)
//!    handshake    whose?  messages   meter   ◀─ listen       (the bus)
//!                                     │  │   ◀─ keep         (leases, what the database says)
//!                                  funds ending ─▶ service::sessions::settle
//! ```
//!
//! * [`session`](self): one session: meter, socket, what the player was told; one short lock.
//! * `registry`: who is here. `wheel`: ticks and alarms.
//! * `socket`, `pipe`, `frame`: RFC 6455 without waiting.
//! * `door`, `player`: a connection becomes a player, a player speaks.
//! * [`message`], `telling`, `refusal`, [`close`]: the words, in and out.
//! * `funds`, `ending`, `watching`: what takes a database: growing the hold, settling, progress.
//! * `keep`, `listen`, `drain`: this node among others.
//!
//! Nothing here decides about money: it says when, and `service` does it, guarded by the fence of
//! the session. Should this node be wrong about what is its own, its writes miss.

pub mod close;
mod door;
mod drain;
mod ending;
mod frame;
mod funds;
mod keep;
mod listen;
pub mod message;
mod pipe;
mod player;
mod refusal;
mod registry;
mod session;
mod socket;
mod telling;
mod watching;
mod wheel;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    future::Future,
    net::IpAddr,
    ops::Deref,
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

use tokio::sync::{Semaphore, mpsc};

use self::{close::Close, registry::Registry, session::LiveSession};
pub use self::{
    door::{Credentials, TakeOver, Visitor},
    registry::CountedSocket,
    socket::Wire,
};
use crate::{
    app::App,
    config,
    domain::{meter::Rules, video::Video},
    error::Result,
    id::{CourseId, SessionId},
    time::{Moment, whole_ms},
};

/// The live part of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Node>);

#[derive(Debug)]
pub struct Node {
    app: App,
    rules: Rules,
    registry: Registry,
    /// Moments between two ticks at which something happens to a session.
    alarms: Mutex<BinaryHeap<Reverse<(Moment, SessionId)>>>,
    checkpoints: mpsc::UnboundedSender<(usize, Vec<u8>)>,
    /// The videos of courses that are being watched.
    videos: Mutex<HashMap<CourseId, Weak<[Video]>>>,
    /// Held while sessions are taken over: once is enough.
    adopting: tokio::sync::Mutex<()>,
    /// For ends that are under way: each takes some memory, and all may come at once.
    ends: Semaphore,
    /// Since when real milliseconds are counted.
    began: Instant,
}

impl Deref for Live {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Live {
    /// Joins the other nodes, and begins to meter whatever is, or becomes, this node's.
    pub async fn start(app: &App) -> Result<Self> {
        let metering = &app.config.metering;
        let (checkpoints, written) = mpsc::unbounded_channel();
        let live = Self(Arc::new(Node {
            app: app.clone(),
            rules: Rules { tick: metering.tick(), grace: metering.reconnect_grace() },
            registry: Registry::new(),
            alarms: Mutex::default(),
            checkpoints,
            videos: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
            ends: Semaphore::new(ending::AT_ONCE),
            began: Instant::now(),
        }));
        keep::join(&live).await?;
        live.spawn(listen::run(live.clone(), app.listen()));
        app.tasks.spawn_blocking({
            let live = live.clone();
            move || wheel::run(&live)
        });
        live.spawn(keep::write_checkpoints(live.clone(), written));
        live.spawn(keep::run(live.clone()));
        Ok(live)
    }

    /// Lets go of everything, so that other nodes can take it over, and tells the players to come
    /// back. Nothing is settled by it.
    pub async fn drain(&self) {
        drain::run(self).await;
    }

    /// What the server was set to grant.
    #[must_use]
    pub fn settings(&self) -> &config::Server {
        &self.app.config.server
    }

    /// Counts one more socket from `address`, if there may be one.
    pub fn count_socket(&self, address: IpAddr) -> Result<CountedSocket> {
        self.registry.count_socket(address, &self.app.config.live)
    }

    fn moment(&self) -> Moment {
        self.app.clock.moment()
    }

    fn real_ms(&self) -> u64 {
        whole_ms(self.began.elapsed())
    }

    /// Takes a session in, in place of what may still be here of an earlier time.
    fn take_in(&self, session: LiveSession) -> Arc<LiveSession> {
        let (session, stale) = self.registry.insert(session);
        if let Some(stale) = stale {
            stale.drop_out(self, Close::Superseded);
        }
        session
    }

    /// A graceful stop waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.app.tasks.spawn(task);
    }

    fn set_alarm(&self, at: Moment, session: SessionId) {
        let now = self.moment();
        // The wheel comes by at each tick; what is later than that it will set anew.
        if at > now && at < now + self.rules.tick {
            self.alarms().push(Reverse((at, session)));
        }
    }

    fn alarms(&self) -> std::sync::MutexGuard<'_, BinaryHeap<Reverse<(Moment, SessionId)>>> {
        self.alarms.lock().expect("nobody panics while holding it")
    }
}
