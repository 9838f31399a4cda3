//! This node among others: its lease, the sessions nobody keeps, and what the database says of
//! those it believes to be its own.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::warn;

use super::{
    Live,
    close::Close,
    ending, listen,
    session::{LiveSession, Stage},
    watching,
};
use crate::{
    db::{self, Db},
    domain::session::Session,
    error::{OrLog, Result},
    id::SessionId,
    service::nodes,
};

/// How often the lease is renewed while it lasts.
const RENEWALS_PER_LEASE: u32 = 5;

/// How often what is here is compared with what the database says.
const RECONCILE_PERIOD: Duration = Duration::from_secs(10);

/// How often video progress is written down.
const PROGRESS_PERIOD: Duration = Duration::from_mins(1);

/// How long to wait after the checkpoints were written, so that more of them go in one commit.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(200);

/// Sessions whose progress is written in one go.
const PROGRESS_BATCH: usize = 1_000;

/// Gets a lease, and takes over what nobody keeps.
pub(super) async fn join(live: &Live) -> Result<()> {
    nodes::join(&live.app).await?;
    if matches!(live.app.db, Db::Sqlite { .. }) {
        // One server at a time has the file: whoever else stands in it is dead.
        nodes::bury_others(&live.app).await?;
    }
    let _only_one = live.adopting.lock().await;
    adopt_all(live).await
}

/// Keeps the lease until the node stops.
pub(super) async fn run(live: Live) {
    // Without its lease this node would lose everything to the others.
    let _stop_all_if_i_die = live.app.stop.clone().drop_guard();
    let mut timer = tokio::time::interval(live.app.config.node.lease() / RENEWALS_PER_LEASE);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed_at: Option<Instant> = None;
    let mut reconciled_at = Instant::now();
    let mut saved_at = Instant::now();
    loop {
        tokio::select! {
            () = live.app.stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        live.app.metrics.set_live(live.registry.count(), live.registry.count_sockets());
        let renewal = timely(live.app.config.node.lease() / 2, nodes::renew(&live.app)).await;
        let renewed = renewal.or_log("renewing the lease of this node");
        // A node that stops has left, and must not come back by this.
        if live.app.stop.is_cancelled() {
            return;
        }
        if renewed == Some(false) {
            lose_everything(&live);
            let joined = in_time(&live, nodes::join(&live.app)).await;
            joined.or_log("joining the other nodes again");
        }
        if renewed != Some(true) {
            failed_at = Some(Instant::now());
            continue;
        }
        // Whoever could not be heard for a while, as the database was away, is not dead yet.
        if failed_at.is_none_or(|at| at.elapsed() >= patience_after_an_outage(&live)) {
            // Beside the lease, which must not wait for it.
            live.spawn(adopt(live.clone()));
        }
        if reconciled_at.elapsed() >= RECONCILE_PERIOD {
            reconciled_at = Instant::now();
            live.spawn(reconcile(live.clone()));
        }
        if saved_at.elapsed() >= PROGRESS_PERIOD {
            saved_at = Instant::now();
            live.spawn(save_progress(live.clone()));
        }
    }
}

/// How long the others may take to be heard again after the database was away.
fn patience_after_an_outage(live: &Live) -> Duration {
    live.app.config.node.lease() * 2 + live.app.config.database.acquire_timeout()
}

/// Gives up on a database that neither answers nor hangs up.
async fn in_time<T>(live: &Live, work: impl Future<Output = Result<T>>) -> Result<T> {
    timely(live.app.config.database.statement_timeout() * 2, work).await
}

async fn timely<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = tokio::time::timeout(patience, work).await;
    outcome.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

/// Takes over what nobody keeps, and what the dead kept.
pub(super) async fn adopt(live: Live) {
    let Ok(_only_one) = live.adopting.try_lock() else { return };
    adopt_all(&live).await.or_log("taking sessions over");
}

async fn adopt_all(live: &Live) -> Result<()> {
    loop {
        let adopted = nodes::bury_and_adopt(&live.app).await?;
        if adopted.is_empty() {
            return Ok(());
        }
        for nodes::Adopted { session, was_attached, lost } in adopted {
            let (now, moment) = (live.app.clock.now(), live.moment());
            let session = if was_attached {
                LiveSession::taken_over(session, lost, now, moment)
            } else {
                LiveSession::opening(session, now, moment)
            };
            live.take_in(session);
        }
    }
}

/// Other nodes took this one for dead, and its sessions with it. Nothing of it may be written.
fn lose_everything(live: &Live) {
    let sessions = live.registry.all();
    warn!(count = sessions.len(), "this node was taken for dead: its sessions are elsewhere now");
    for session in sessions {
        session.drop_out(live, Close::Restart);
        live.registry.remove(&session);
    }
}

/// Compares what is here with what the database says: notices may be lost.
pub(super) async fn reconcile(live: Live) {
    reconcile_all(&live).await.or_log("comparing sessions with the database");
}

async fn reconcile_all(live: &Live) -> Result<()> {
    // In this order: what begins in between is in neither list, or in the second.
    let here = live.registry.all();
    let mut tx = live.app.db.read().await?;
    let now = live.app.clock.now();
    let owned = db::claims::list_of_node(&mut tx, live.app.node_id, now).await?;
    drop(tx);
    let mut rows: HashMap<_, _> = owned.into_iter().map(|owned| (owned.id, owned)).collect();
    for session in here {
        match rows.remove(&session.id) {
            Some(owned) if !session.is_owned_as(live, &owned) => {
                // It was elsewhere meanwhile; what is here is of an earlier time.
                session.drop_out(live, Close::Restart);
                live.registry.remove(&session);
                take_in(live, session.id).await?;
            }
            Some(owned) if owned.is_signed_out => listen::end_signed_out(live, &session),
            Some(_) => {}
            None => let_go_if_lost(live, &session).await?,
        }
    }
    for id in rows.into_keys() {
        if live.registry.find(id).is_none() {
            take_in(live, id).await?;
        }
    }
    Ok(())
}

/// A session that is not in the list of this node's has ended, or is another's.
async fn let_go_if_lost(live: &Live, session: &Arc<LiveSession>) -> Result<()> {
    if session.state().stage != Stage::Open {
        return Ok(());
    }
    let row = db::sessions::find(&mut live.app.db.read().await?, session.id).await?;
    match row {
        Some(row) if row.ending.is_some() => {
            if let Some((_, socket)) = session.stop(live) {
                live.registry.remove(session);
                if let Some(socket) = socket {
                    ending::send_receipt(live, &socket, &row).await;
                    socket.close(Close::Ended);
                }
            }
        }
        Some(row) if row.node_id == Some(live.app.node_id) => {}
        // It may have come back to this node since it was read.
        Some(row) if row.fence < session.fence() => {}
        _ => {
            session.drop_out(live, Close::Superseded);
            live.registry.remove(session);
        }
    }
    Ok(())
}

/// A session is this node's and it does not know: somebody started it here, and nobody heard.
async fn take_in(live: &Live, id: SessionId) -> Result<()> {
    let row: Option<Session> = db::sessions::find(&mut live.app.db.read().await?, id).await?;
    let is_own = |row: &Session| row.ending.is_none() && row.node_id == Some(live.app.node_id);
    if let Some(row) = row.filter(is_own) {
        let row = nodes::last_known(&live.app, &row).await?;
        let (now, moment) = (live.app.clock.now(), live.moment());
        let was_watched = !row.watched.is_zero() || !row.stretches.is_empty();
        live.take_in(if was_watched {
            LiveSession::taken_over(row, true, now, moment)
        } else {
            LiveSession::opening(row, now, moment)
        });
    }
    Ok(())
}

/// Writes down what was watched of videos.
async fn save_progress(live: Live) {
    let mut rows = Vec::new();
    for session in live.registry.all() {
        rows.extend(session.take_progress(live.app.clock.now()));
        if rows.len() >= PROGRESS_BATCH {
            watching::write(&live, std::mem::take(&mut rows)).await;
        }
    }
    watching::write(&live, rows).await;
}

/// Writes the checkpoints of the wheel's slots, as many in one commit as there are by then.
pub(super) async fn write_checkpoints(
    live: Live,
    mut written: mpsc::UnboundedReceiver<(usize, Vec<u8>)>,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = live.app.stop.cancelled() => return,
            // All there are: while the database is away, they must not pile up.
            count = written.recv_many(&mut batch, usize::MAX) => if count == 0 { return },
        }
        // Of a slot that came twice, as the database was slow, the newer one counts.
        let newest: HashMap<usize, Vec<u8>> = batch.drain(..).collect();
        let began = Instant::now();
        let slots: Vec<_> = newest.into_iter().collect();
        let saved = in_time(&live, nodes::save(&live.app, &slots)).await;
        if saved.or_log("writing checkpoints").is_some() {
            live.app.metrics.record_checkpoint(began.elapsed());
        }
        tokio::time::sleep(CHECKPOINT_PAUSE).await;
    }
}
