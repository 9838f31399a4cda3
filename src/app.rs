//! What every part of a running Murph shares.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex, OnceLock},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ai::Ai,
    bus::{Bus, Inbox},
    clock::Clock,
    config::Config,
    db::Db,
    error::Result,
    gateway::Gateway,
    id::NodeId,
    limits::Limits,
    mux::Mux,
    service::{
        audience,
        claims::Claims,
        discovery, earnings,
        errands::Errands,
        idempotency::Running,
        identity::{Keys, Passwords},
        together::Together,
        writer::Writer,
    },
    storage::Storage,
    telemetry::Metrics,
};

/// Handle to the shared state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<State>);

#[derive(Debug)]
pub struct State {
    /// Who this is among the nodes on one database.
    pub node_id: NodeId,
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub metrics: Metrics,
    pub limits: Limits,
    pub keys: Keys,
    pub passwords: Passwords,
    pub gateway: Option<Gateway>,
    /// Whom discovery may ask.
    pub ai: Ai,
    /// Whose messages are answered in discovery.
    pub line: discovery::Line,
    /// Whether suggestions are followed.
    pub follows: discovery::Follows,
    pub storage: Storage,
    /// Who makes of files what is played, if anybody does.
    pub mux: Option<Mux>,
    /// Requests with an `Idempotency-Key` that are under way on this node.
    pub running: Running,
    /// What is read for many at once.
    pub together: Together,
    pub writer: Writer,
    pub claims: Claims,
    pub bus: Bus,
    /// What other nodes were asked.
    pub errands: Errands,
    /// Who watches, on all nodes.
    pub audience: audience::Viewers,
    /// Which teachers look at it here.
    pub views: earnings::Views,
    /// Where this Murph listens, as soon as it does.
    address: OnceLock<SocketAddr>,
    /// What the bus has for this node, until somebody takes it to listen.
    inbox: Mutex<Option<Inbox>>,
    /// Everything that runs beside the requests; a graceful stop waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when this Murph is to stop, or when a part of it died that it cannot do without.
    pub stop: CancellationToken,
    /// Cancelled when no request is left that could hand something to the writer.
    finish: CancellationToken,
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl App {
    /// Puts a Murph together on a database that is migrated, and sets its writer to work.
    pub async fn start(config: Config, clock: Clock, db: Db) -> Result<Self> {
        let metrics = Metrics::new();
        let keys = Keys::load(&config, &db, clock.now()).await?;
        let (writer, workers) = Writer::new(&db, &clock, &metrics, &config);
        let node_id = NodeId::new(clock.now());
        let (bus, inbox, link) = Bus::start(node_id, &config.bus, keys.bus(), &metrics)?;
        let ai = Ai::new(&config, &clock, &metrics)?;
        let storage = Storage::open(&config, node_id, keys.links())?;
        let (follows, follower) = discovery::Follows::new(&db, &metrics);
        let mux = Mux::from_config(&config.mux)?;
        let (claims, clerk) = Claims::new(&db, node_id, &config);
        let app = Self(Arc::new(State {
            node_id,
            bus,
            errands: Errands::default(),
            audience: audience::Viewers::default(),
            views: earnings::Views::default(),
            address: OnceLock::new(),
            inbox: Mutex::new(Some(inbox)),
            limits: Limits::new(&config.auth),
            passwords: Passwords::new(config.auth.password_hashers),
            gateway: Gateway::from_config(&config.payments),
            ai,
            line: discovery::Line::default(),
            follows,
            storage,
            mux,
            running: Running::default(),
            together: Together::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            finish: CancellationToken::new(),
            config,
            clock,
            db,
            metrics,
            keys,
            writer,
            claims,
        }));
        app.tasks.spawn(follower.run(app.stop.clone()));
        app.tasks.spawn(clerk.run(app.finish.clone(), app.stop.clone()));
        for worker in workers {
            app.tasks.spawn(worker.run(app.finish.clone(), app.stop.clone()));
        }
        if let Some(link) = link {
            // Until the very end: whoever drains has something to tell others.
            app.tasks.spawn(link.run(app.finish.clone()));
        }
        Ok(app)
    }

    /// What the bus has for this node. There is one listener.
    ///
    /// # Panics
    /// If somebody listens already.
    #[must_use]
    pub fn listen(&self) -> Inbox {
        let inbox = self.inbox.lock().expect("nobody panics while holding it").take();
        inbox.expect("the bus has one listener")
    }

    /// Cancelled when nothing is left to be done.
    #[must_use]
    pub fn finishing(&self) -> CancellationToken {
        self.finish.clone()
    }

    /// Says where this Murph listens. The first word counts.
    pub fn set_address(&self, address: SocketAddr) {
        let _ = self.address.set(address);
    }

    /// What links to this Murph begin with, without a slash at the end.
    #[must_use]
    pub fn public_url(&self) -> String {
        let server = &self.config.server;
        server.public_url(self.address.get().copied().unwrap_or(server.listen))
    }

    /// Ends what runs beside the requests, the writer last, and closes the database.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.finish.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.db.close().await;
    }
}
