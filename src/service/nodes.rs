//! This node among others: its lease, what it writes down for others to find, and taking over the
//! sessions of those that are gone.
//!
//! A node that stays away is buried: its row is deleted, and only that makes its sessions
//! orphans. Whoever takes one over raises its fence, so that the old node, should it come back,
//! can do nothing to it any more.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tracing::{info, warn};

use crate::{
    app::App,
    db::{self, Tx},
    domain::{
        checkpoint::{self, Entry, slot_of},
        claim::Park,
        session::Session,
        stretch::StretchKind,
    },
    error::Result,
    id::{NodeId, SessionId},
};

/// Sessions taken over in one transaction.
const ADOPT_MAX: usize = 10_000;

/// Sessions let go of in one transaction.
const LET_GO_MAX: usize = 10_000;

/// How often letting go is tried when the database ends it in favour of something else.
const ATTEMPTS_MAX: usize = 5;

/// A session that was taken over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// As it is now: this node's, under a new fence, with all that is known to have been watched.
    pub session: Session,
    /// Whether a player had ever come.
    pub was_attached: bool,
    /// Whether its node is gone without having let go of it.
    pub lost: bool,
}

/// Writes down that this node is alive, also again after it was buried.
pub async fn join(app: &App) -> Result<()> {
    let node = &app.config.node;
    let id_as_name = app.node_id.to_string();
    let name = if node.name.is_empty() { &id_as_name } else { &node.name };
    let mut tx = app.db.begin_reserved().await?;
    db::nodes::join(&mut tx, app.node_id, name, node.lease()).await?;
    tx.commit().await?;
    info!(node.id = %app.node_id, "joined as node {name}");
    Ok(())
}

/// Says that this node is alive. `false`: the others think it is not, and have taken its sessions.
pub async fn renew(app: &App) -> Result<bool> {
    let mut tx = app.db.begin_reserved().await?;
    let is_renewed = db::nodes::renew(&mut tx, app.node_id, app.config.node.lease()).await?;
    tx.commit().await?;
    Ok(is_renewed)
}

/// The last word of this node. What it did not let go of is taken over by others.
pub async fn leave(app: &App) -> Result<()> {
    let mut tx = app.db.begin_reserved().await?;
    db::nodes::leave(&mut tx, app.node_id).await?;
    // Read no more if no session is left; otherwise whoever takes the last one deletes them.
    db::checkpoints::delete_abandoned(&mut tx).await?;
    tx.commit().await
}

/// Buries all other nodes, whatever their leases: for one that knows to be alone.
pub async fn bury_others(app: &App) -> Result<()> {
    let mut tx = app.db.begin_reserved().await?;
    for node in db::nodes::list(&mut tx).await? {
        if node.id != app.node_id {
            db::nodes::leave(&mut tx, node.id).await?;
        }
    }
    tx.commit().await
}

/// Buries nodes whose lease has run out, and takes over sessions that are in nobody's hands: some
/// thousands at most, so it is to be called until it has nothing more.
///
/// Any number of nodes may do so at once; each session is taken over by one. A node that is not
/// alive itself takes nothing.
pub async fn bury_and_adopt(app: &App) -> Result<Vec<Adopted>> {
    let mut tx = app.db.begin_reserved().await?;
    if !db::nodes::is_alive(&mut tx, app.node_id).await? {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let buried = db::nodes::bury_expired(&mut tx, app.node_id).await?;
    let adopted = adopt(&mut tx, app.node_id).await?;
    if adopted.is_empty() {
        db::checkpoints::delete_abandoned(&mut tx).await?;
    }
    tx.commit().await?;

    for node in buried {
        warn!(node.id = %node, "node {node} was not heard of for too long");
    }
    if !adopted.is_empty() {
        info!(count = adopted.len(), "took over {} sessions", adopted.len());
    }
    Ok(adopted)
}

async fn adopt(tx: &mut Tx, me: NodeId) -> Result<Vec<Adopted>> {
    let orphans = db::claims::list_orphans(tx, ADOPT_MAX).await?;
    if orphans.is_empty() {
        return Ok(Vec::new());
    }
    let entries = last_entries(tx, &orphans).await?;
    let with_watched = |orphan: Session| {
        let known = entries.get(&orphan.id).map_or(orphan.watched, Entry::watched);
        let watched = known.max(orphan.watched);
        (orphan, watched)
    };
    let orphans: Vec<(Session, Duration)> = orphans.into_iter().map(with_watched).collect();
    let claimed = db::claims::adopt(tx, me, &orphans).await?;
    // They were locked, so all were claimed; whatever was not is somebody else's.
    let claimed: HashSet<SessionId> = claimed.into_iter().collect();
    let adopted = orphans.into_iter().filter(|(orphan, _)| claimed.contains(&orphan.id));
    Ok(adopted
        .map(|(orphan, watched)| Adopted {
            was_attached: match entries.get(&orphan.id) {
                Some(entry) => entry.was_attached,
                None => shows_a_player(&orphan),
            },
            lost: orphan.node_id.is_some(),
            session: Session { fence: orphan.fence + 1, node_id: Some(me), watched, ..orphan },
        })
        .collect())
}

/// Whether somebody had come to watch, as far as the row tells.
fn shows_a_player(session: &Session) -> bool {
    let mut kinds = session.stretches.iter().map(|stretch| stretch.kind());
    !session.watched.is_zero() || kinds.any(|kind| kind != StretchKind::Opening)
}

/// What the nodes that had `orphans` wrote down last about each, under the fence it still has.
async fn last_entries(tx: &mut Tx, orphans: &[Session]) -> Result<HashMap<SessionId, Entry>> {
    let owned = orphans.iter().filter_map(|orphan| Some((orphan.id, (orphan.node_id?, orphan))));
    let owned: HashMap<SessionId, (NodeId, &Session)> = owned.collect();
    let nodes: BTreeSet<NodeId> = owned.values().map(|(node, _)| *node).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    let mut last = HashMap::new();
    for (node, payload) in db::checkpoints::list(tx, &nodes).await? {
        for entry in entries_of(node, &payload) {
            let is_last = |(owner, orphan): &(NodeId, &Session)| {
                *owner == node && orphan.fence == entry.fence
            };
            if owned.get(&entry.session_id).is_some_and(is_last) {
                last.insert(entry.session_id, entry);
            }
        }
    }
    Ok(last)
}

/// The entries of a checkpoint. A broken one has none: then what the rows of sessions say holds,
/// which is less, in the student's favour.
fn entries_of(node: NodeId, payload: &[u8]) -> Vec<Entry> {
    checkpoint::unpack(payload).unwrap_or_else(|broken| {
        warn!(node.id = %node, %broken, "node {node} left a checkpoint that is none: {broken}");
        Vec::new()
    })
}

/// `session`, as somebody just read it, with what its node wrote down last of what was watched.
pub async fn last_known(app: &App, session: &Session) -> Result<Session> {
    let mut session = session.clone();
    let Some(node) = session.node_id else { return Ok(session) };
    let mut tx = app.db.read().await?;
    let payload = db::checkpoints::find(&mut tx, node, slot_of(session.id)).await?;
    let entries = payload.map_or_else(Vec::new, |payload| entries_of(node, &payload));
    let is_its = |entry: &&Entry| entry.session_id == session.id && entry.fence == session.fence;
    if let Some(entry) = entries.iter().find(is_its) {
        session.watched = session.watched.max(entry.watched());
    }
    Ok(session)
}

/// Writes down what was watched in the sessions of some slots. `false`: this node was buried.
pub async fn save(app: &App, slots: &[(usize, Vec<u8>)]) -> Result<bool> {
    let mut tx = app.db.begin_reserved().await?;
    let is_saved = db::checkpoints::write(&mut tx, app.node_id, slots).await?;
    tx.commit().await?;
    Ok(is_saved)
}

/// Lets go of many sessions, so that others take them at once; says of which. The rest were not
/// this node's any more.
pub async fn let_go(app: &App, mut parks: Vec<Park>) -> Result<Vec<SessionId>> {
    // In one order everywhere, so that nobody waits in a circle.
    parks.sort_by_key(|park| park.session_id);
    let mut parked = Vec::with_capacity(parks.len());
    for parks in parks.chunks(LET_GO_MAX) {
        let mut attempts = 1;
        parked.extend(loop {
            match try_let_go(app, parks).await {
                Err(error) if error.is_conflict() && attempts < ATTEMPTS_MAX => attempts += 1,
                outcome => break outcome?,
            }
        });
    }
    Ok(parked)
}

async fn try_let_go(app: &App, parks: &[Park]) -> Result<Vec<SessionId>> {
    let mut tx = app.db.begin_reserved().await?;
    let parked = db::claims::park(&mut tx, app.node_id, parks.iter()).await?;
    tx.commit().await?;
    Ok(parked)
}
