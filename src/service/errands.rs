//! Asking another node to do something, and waiting for its answer.
//!
//! Notices may get lost, and nodes may be gone: whoever asks has to know what to do without an
//! answer. An answer says that the other node is done with it, and nothing else; what came of it
//! is in the database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::{
    app::App,
    bus::{Answer, Glance, Notice, To},
    domain::session::Session,
    id::NodeId,
};

/// How long whoever wants to see a session waits for its meter. Without it they see what is written.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);

/// What this node has asked others and not been answered yet. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Errands(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    open: Mutex<HashMap<u64, oneshot::Sender<Option<Glance>>>>,
}

/// A question that is not asked any more when this is gone: answered, given up, or its asker gone.
struct Open {
    errands: Errands,
    request: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.errands.take(self.request);
    }
}

impl Errands {
    /// Asks `node`, which may be this one, and waits for at most `patience`. Whether it answered.
    pub async fn ask(
        &self,
        app: &App,
        node: NodeId,
        notice: impl FnOnce(Answer) -> Notice,
        patience: Duration,
    ) -> bool {
        self.send(app, node, notice, patience).await.is_some()
    }

    /// How a session is at this moment, if the node that meters it says so soon.
    pub async fn look(&self, app: &App, session: &Session) -> Option<Glance> {
        let (node, session_id) = (session.node_id?, session.id);
        let notice = |answer| Notice::Look { session_id, answer };
        self.send(app, node, notice, LOOK_PATIENCE).await?
    }

    /// `None`: no answer.
    async fn send(
        &self,
        app: &App,
        node: NodeId,
        notice: impl FnOnce(Answer) -> Notice,
        patience: Duration,
    ) -> Option<Option<Glance>> {
        let request = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (done, answered) = oneshot::channel();
        self.open().insert(request, done);
        let _open = Open { errands: self.clone(), request };
        app.bus.publish(To::Node(node), notice(Answer { to: app.node_id, request }));
        timeout(patience, answered).await.ok()?.ok()
    }

    /// Takes an answer in. One that nobody waits for any more is nobody's.
    pub fn done(&self, request: u64, glance: Option<Glance>) {
        if let Some(asker) = self.take(request) {
            // It may have given up in this very moment.
            let _ = asker.send(glance);
        }
    }

    fn take(&self, request: u64) -> Option<oneshot::Sender<Option<Glance>>> {
        self.open().remove(&request)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Option<Glance>>>> {
        self.0.open.lock().expect("nobody panics while holding it")
    }
}
