//! How nodes hear of things: in process, or through Redis when there are several.
//!
//! What goes over the bus are hints, at most once, and never a decision about money: whoever hears
//! one asks the database. Losing the bus costs liveliness and nothing else. After a gap,
//! [`Heard::Gap`] tells the listener to read the truth again.
//!
//! ```text
//! entrance.rs  the way into a node's inbox     redis.rs     the way from node to node
//!                                              envelope.rs  what goes there, and its proof
//! ```

mod entrance;
mod envelope;
mod redis;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::{entrance::Entrance, redis::Redis};
pub use self::{
    envelope::Key,
    redis::{Away, Link, look},
};
use crate::{
    config::BusSettings,
    domain::{
        audience::Part,
        meter::Phase,
        session::{EndReason, Session},
    },
    error::{Error, Result},
    id::{NodeId, SessionId, UserId},
    money::Money,
    telemetry::Metrics,
};

/// What a node may have heard and not yet looked at; what comes beyond is lost, as a gap.
const INBOX_MAX: usize = 65_536;

/// Whom a notice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Node(NodeId),
    /// Every node, this one too.
    All,
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Notice {
    /// To the node that meters a session: settle it now, and answer.
    End { session_id: SessionId, reason: EndReason, actor: Option<UserId>, answer: Answer },
    /// To the node that meters a session: write it down and let go of it, and answer.
    Release { session_id: SessionId, answer: Answer },
    /// To the node that meters a session: say how it is.
    Look { session_id: SessionId, answer: Answer },
    /// The answer to a look.
    Seen { request: u64, glance: Glance },
    /// The answer to the others, or that there is nothing to see.
    Done { request: u64 },
    /// A wallet was credited.
    Credited { user_id: UserId },
    /// Sign-ins of a user have ended.
    SignedOut { user_id: UserId },
    /// A node has left, and its sessions are to be taken over.
    Left { node_id: NodeId },
    /// Who watches on a node: once for each tick, however many they are.
    Audience { node_id: NodeId, part: Part },
}

/// A session as its meter has it. For showing only: nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    pub phase: Phase,
    pub watched_ms: u64,
    pub cost: Money,
    pub held: Money,
}

/// Where an answer is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub to: NodeId,
    pub request: u64,
}

/// What comes out of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Notice(Notice),
    /// This node has started a session. Never leaves the process.
    Started(Box<Session>),
    /// Something may have been missed.
    Gap,
}

/// Where notices are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    here: NodeId,
    entrance: Arc<Entrance>,
    backend: Backend,
}

/// The way to other nodes.
#[derive(Clone, Debug)]
enum Backend {
    /// There are none.
    InProcess,
    Redis(Redis),
}

/// Whether other nodes can be told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// There are none to tell.
    InProcess,
    Up,
    Away,
}

/// Where notices come out.
pub type Inbox = mpsc::Receiver<Heard>;

impl Bus {
    /// A bus, its way out, and what has to run if it is to reach other nodes.
    ///
    /// # Panics
    /// If there is no key.
    pub fn start(
        here: NodeId,
        settings: &BusSettings,
        keys: &[Key],
        metrics: &Metrics,
    ) -> Result<(Self, Inbox, Option<Link>)> {
        assert!(!keys.is_empty(), "there is a key to publish under");
        let (entrance, inbox) = Entrance::new(INBOX_MAX);
        let entrance = Arc::new(entrance);
        let (backend, link) = if settings.url.is_empty() {
            metrics.set_bus_up(true);
            (Backend::InProcess, None)
        } else {
            let (way_in, metrics) = (Arc::clone(&entrance), metrics.clone());
            let (redis, link) = Redis::new(here, &settings.url, keys.to_vec(), way_in, metrics)
                .map_err(|away| Error::Internal(format!("bus.url: {away}")))?;
            (Backend::Redis(redis), Some(link))
        };
        Ok((Self { here, entrance, backend }, inbox, link))
    }

    /// Tells others. Never waits and never fails: what cannot be delivered is lost.
    pub fn publish(&self, to: To, notice: Notice) {
        let is_for_here = to == To::All || to == To::Node(self.here);
        if is_for_here {
            self.tell_here(Heard::Notice(notice.clone()));
        }
        match &self.backend {
            Backend::InProcess => {}
            Backend::Redis(_) if to == To::Node(self.here) => {}
            Backend::Redis(redis) => redis.publish(to, notice),
        }
    }

    /// Tells this node only. What finds no room in its inbox becomes a gap there.
    pub fn tell_here(&self, heard: Heard) {
        self.entrance.tell(heard);
    }

    #[must_use]
    pub fn reach(&self) -> Reach {
        match &self.backend {
            Backend::InProcess => Reach::InProcess,
            Backend::Redis(redis) if redis.is_up() => Reach::Up,
            Backend::Redis(_) => Reach::Away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Sources},
        time::Timestamp,
    };

    fn in_process() -> (Bus, Inbox) {
        let settings = Config::load(Sources::default()).unwrap().bus;
        let here = NodeId::new(Timestamp::EPOCH);
        let keys = [Key::new("name".into(), vec![1])];
        let (bus, inbox, link) = Bus::start(here, &settings, &keys, &Metrics::new()).unwrap();
        assert!(link.is_none(), "there is nothing to reach");
        (bus, inbox)
    }

    #[test]
    fn in_process_a_node_hears_what_is_for_it() {
        let (bus, mut inbox) = in_process();
        bus.publish(To::All, Notice::Done { request: 1 });
        bus.publish(To::Node(bus.here), Notice::Done { request: 2 });
        bus.publish(To::Node(NodeId::new(Timestamp::EPOCH)), Notice::Done { request: 3 });
        bus.tell_here(Heard::Gap);
        let heard: Vec<Heard> = std::iter::from_fn(|| inbox.try_recv().ok()).collect();
        let done = |request| Heard::Notice(Notice::Done { request });
        assert_eq!(heard, [done(1), done(2), Heard::Gap]);
        assert_eq!(bus.reach(), Reach::InProcess);
    }

    #[test]
    fn publishing_is_harmless_when_nobody_listens() {
        let (bus, inbox) = in_process();
        drop(inbox);
        bus.publish(To::All, Notice::Done { request: 1 });
    }
}
