//! How nodes hear of things: in process, or through Redis when there are several.
//!
//! What goes over the bus are hints, at most once, and never a decision about money: whoever hears
//! one asks the database. Losing the bus costs liveliness and nothing else. After a gap,
//! [`Heard::Gap`] tells the listener to read the truth again.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    domain::session::{EndReason, Session},
    id::{NodeId, SessionId, UserId},
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
    /// The answer to one of those: done.
    Done { request: u64 },
    /// A wallet was credited.
    Credited { user_id: UserId },
    /// Sign-ins of a user have ended.
    SignedOut { user_id: UserId },
    /// A node has left, and its sessions are to be taken over.
    Left { node_id: NodeId },
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
    inbox: mpsc::Sender<Heard>,
}

/// Where notices come out.
pub type Inbox = mpsc::Receiver<Heard>;

impl Bus {
    #[must_use]
    pub fn start(here: NodeId) -> (Self, Inbox) {
        let (inbox, heard) = mpsc::channel(INBOX_MAX);
        (Self { here, inbox }, heard)
    }

    /// Tells others. Never waits and never fails: what cannot be delivered is lost.
    pub fn publish(&self, to: To, notice: Notice) {
        match to {
            To::Node(node) if node != self.here => {}
            To::Node(_) | To::All => self.tell_here(Heard::Notice(notice)),
        }
    }

    /// Tells this node only.
    pub fn tell_here(&self, heard: Heard) {
        if self.inbox.try_send(heard).is_err() {
            tracing::warn!("the bus is full, or nobody listens: something was not heard");
        }
    }
}
