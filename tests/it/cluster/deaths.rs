//! Nodes that die, freeze, and are replaced one after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use murph::domain::session::EndReason;

use super::{
    accounts::Class,
    nodes::{Cluster, Settings},
    viewer::{Viewer, Wish},
    wait_until,
};
use crate::crash::{Dice, rounds};

/// Of what a node had told when it died, so much may not be on disk: a tick, the pause between two
/// checkpoints, and a commit on a busy machine.
const NOT_WRITTEN_MAX: Duration = Duration::from_millis(1_500);

async fn finish(cluster: Arc<Cluster>, class: Class, ahead_max: Duration) {
    class.assert_settled(&cluster, ahead_max).await;
    drop(class);
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}

fn count(class: &Class, holds: impl Fn(&Viewer) -> bool) -> usize {
    class.viewers.iter().filter(|viewer| holds(viewer)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_of_a_killed_node_go_on_with_the_other() {
    let Some(settings) = Settings::of_this_run() else { return };
    let mut dice = Dice::new();
    let cluster = Arc::new(settings.start(2).await);
    let mut class = Class::watching(&cluster, 30).await;
    for _ in 0..rounds().div_ceil(3) {
        let victim = usize::from(dice.roll(2) == 1);
        let hit = count(&class, |viewer| viewer.seat().is_some_and(|seat| seat.0 == victim));
        let began = Instant::now();
        cluster.kill(victim);
        class.until_watching(|node, _| node != victim).await;
        class.until_more_is_watched().await;
        eprintln!("{hit} players watch again {:?} after the kill", began.elapsed());
        cluster.until_all_are_kept().await;
        cluster.serve(victim);
        class.spread(&cluster).await;
        class.until_more_is_watched().await;
    }
    // With these, nobody is left to bring them back: whoever takes them over settles them.
    for viewer in class.viewers.iter().take(4) {
        viewer.wish(Wish::DropOut);
    }
    cluster.kill(0);
    class.viewers[4..].iter().for_each(|viewer| viewer.wish(Wish::End));
    class.finished().await;
    let active = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
    wait_until("all are settled", async || cluster.number(active).await == 0).await;
    for viewer in &class.viewers {
        viewer.assert_all_is_charged(NOT_WRITTEN_MAX * viewer.interruptions()).await;
    }
    finish(cluster, class, NOT_WRITTEN_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_wakes_up_after_its_lease_changes_nothing() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let mut class = Class::watching(&cluster, 12).await;
    class.spread(&cluster).await;
    class.until_more_is_watched().await;
    // These do not notice that their node is frozen; the others on it do.
    let staying: Vec<_> = class.viewers.iter().step_by(4).collect();
    for viewer in &staying {
        assert_eq!(viewer.seat().map(|seat| seat.0), Some(0));
        viewer.wish(Wish::Stay);
    }
    cluster.freeze(0);
    let ended = "SELECT COUNT(*) FROM sessions WHERE status <> 'active'";
    let all = i64::try_from(staying.len()).unwrap();
    wait_until("abandoned ones end", async || cluster.number(ended).await == all).await;
    let is_staying = |viewer: &Viewer| staying.iter().any(|other| other.session == viewer.session);
    class
        .until_each("the others are elsewhere", |viewer| {
            is_staying(viewer) || viewer.seat().is_some_and(|(node, _)| node == 1)
        })
        .await;
    let mut rows = Vec::new();
    for viewer in &staying {
        let row = viewer.row().await;
        assert_eq!(row.ending.map(|ending| ending.reason), Some(EndReason::NodeLost), "{row:?}");
        rows.push((row.watched, row.cost, row.fence, viewer.posted().await));
    }

    cluster.thaw(0);
    // Sent away, they look elsewhere, and find a receipt.
    wait_until("those are told", async || staying.iter().all(|viewer| viewer.has_receipt())).await;
    for (viewer, (watched, cost, fence, posted)) in staying.iter().zip(rows) {
        let row = viewer.row().await;
        assert_eq!((row.watched, row.cost, row.fence), (watched, cost, fence), "{row:?}");
        assert_eq!(viewer.posted().await, posted);
        let closes: Vec<_> = viewer.log().sittings.iter().map(|sitting| sitting.close).collect();
        assert!(closes.contains(&Some(1012)), "{closes:?}");
    }
    let others: Vec<_> = class.viewers.iter().filter(|viewer| !is_staying(viewer)).collect();
    for viewer in &others {
        viewer.wish(Wish::MoveTo(0));
    }
    wait_until("the woken node serves", async || {
        others.iter().all(|viewer| viewer.seat().is_some_and(|(node, _)| node == 0))
    })
    .await;
    class.end().await;
    finish(cluster, class, NOT_WRITTEN_MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_when_nodes_are_replaced() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let mut class = Class::watching(&cluster, 20).await;
    for _ in 0..rounds().div_ceil(3) {
        for nth in 0..2 {
            class.until_more_is_watched().await;
            let here = |viewer: &Viewer| viewer.seat().is_some_and(|(node, _)| node == nth);
            let seated: Vec<_> =
                class.viewers.iter().filter(|viewer| here(viewer)).map(Arc::clone).collect();
            cluster.stop(nth);
            class.until_watching(|node, _| node != nth).await;
            cluster.serve(nth);
            for viewer in seated {
                let log = viewer.log();
                let left = log.sittings.iter().rfind(|sitting| sitting.node == nth).unwrap();
                assert_eq!(left.close, Some(1012));
                let last = left.told.last().expect("it was told something");
                assert_eq!(last["type"], "drain", "{last}");
            }
        }
    }
    let ended = "SELECT COUNT(*) FROM sessions WHERE status <> 'active'";
    assert_eq!(cluster.number(ended).await, 0, "nobody is settled by it");
    class.end().await;
    for viewer in &class.viewers {
        viewer.assert_all_is_charged(Duration::ZERO).await;
    }
    finish(cluster, class, Duration::ZERO).await;
}
