//! In whose hands a session is: taking it, and letting go of it.

use std::time::Duration;

use crate::{
    domain::{session::Session, stretch::Stretch},
    id::{LoginId, NodeId, SessionId},
};

/// A node takes a session into its hands, with what is known to have been watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub session_id: SessionId,
    /// The fence it was seen under. If another has claimed it since, this claim is refused.
    pub fence: i64,
    /// The sign-in its player came with; `None` leaves it as it is.
    pub login_id: Option<LoginId>,
    pub watched: Duration,
    pub stretches: Vec<Stretch>,
}

/// A node lets go of a session that it has under `fence`: for `heir`, or for any other to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    pub session_id: SessionId,
    pub fence: i64,
    pub watched: Duration,
    pub stretches: Vec<Stretch>,
    /// Whose it is then. An heir is about to claim it, under the fence that it has.
    pub heir: Option<NodeId>,
}

impl Claim {
    /// `session` as it is once `node` has claimed it.
    #[must_use]
    pub fn apply(&self, session: Session, node: NodeId) -> Session {
        Session {
            fence: self.fence + 1,
            node_id: Some(node),
            entries: session.entries + i64::from(self.login_id.is_some()),
            login_id: self.login_id.or(session.login_id),
            watched: self.watched,
            stretches: self.stretches.clone(),
            ..session
        }
    }
}
