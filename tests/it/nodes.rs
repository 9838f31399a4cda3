//! Several nodes on one database: whose a session is, and that nobody else can touch it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use murph::{
    app::App,
    db::{self, claims::Owned},
    domain::{
        checkpoint::{self, Entry, SLOTS, slot_of},
        claim::{Claim, Park},
        course::Course,
        session::{Session, SessionStatus},
        stretch::{Stretch, StretchKind},
        user::LoginEnd,
        video::{Video, VideoProgress, WatchedVideo},
    },
    error::Error,
    id::{LoginId, NodeId, SessionId, UserId, VideoId},
    service::nodes::{self, Adopted},
};

use crate::{
    harness::TestDatabase,
    world::{World, dawn, extend_by, session_of, settle_after, start_for},
};

const SECOND: Duration = Duration::from_secs(1);

/// Nodes that have all joined, with leases that no slow machine lets run out.
async fn joined(count: usize) -> World {
    let database = TestDatabase::migrated().await;
    let world = World::start_on(database, count, |config| config.node.lease_ms = 600_000).await;
    for node in &world.nodes {
        nodes::join(node).await.unwrap();
    }
    world
}

/// Lets the leases of all nodes run out, on the database's clock, except for those of `alive`.
async fn lose_all_but(world: &World, alive: &[&App]) {
    world.sql("UPDATE nodes SET lease_until = started_at").await;
    for node in alive {
        assert!(nodes::renew(node).await.unwrap(), "it was buried");
    }
}

/// A session of a student with enough money, of whom nobody has heard yet.
async fn started(world: &World, course: &Course) -> Session {
    let student = world.student_with("30.00").await;
    session_of(world.app().writer.submit(start_for(student.id, course)).await)
}

fn claim_of(session: &Session) -> Claim {
    Claim {
        session_id: session.id,
        fence: session.fence,
        login_id: None,
        watched: session.watched,
        stretches: session.stretches.clone(),
    }
}

fn park_of(session: &Session) -> Park {
    let Claim { session_id, fence, watched, stretches, .. } = claim_of(session);
    Park { session_id, fence, watched, stretches, heir: None }
}

/// `session` in the hands of `node`.
async fn claimed(node: &App, session: &Session) -> Session {
    node.claims.claim(claim_of(session)).await.unwrap().expect("nobody else wants it")
}

async fn adopt_all(node: &App) -> Vec<Adopted> {
    let mut all = Vec::new();
    loop {
        let adopted = nodes::bury_and_adopt(node).await.unwrap();
        if adopted.is_empty() {
            return all;
        }
        all.extend(adopted);
    }
}

fn entry(session: &Session, watched: Duration) -> Entry {
    let watched_ms = watched.as_millis().try_into().unwrap();
    Entry { session_id: session.id, fence: session.fence, watched_ms, was_attached: true }
}

/// Writes down `entries` as the sweep of `node` would.
async fn save(node: &App, entries: &[Entry]) -> bool {
    let mut slots: Vec<(usize, Vec<u8>)> = (0..SLOTS).map(|slot| (slot, Vec::new())).collect();
    for (_, payload) in &mut slots {
        checkpoint::begin(payload);
    }
    for entry in entries {
        checkpoint::push(&mut slots[slot_of(entry.session_id)].1, entry);
    }
    nodes::save(node, &slots).await.unwrap()
}

async fn alive(world: &World) -> Vec<NodeId> {
    let mut tx = world.app().db.read().await.unwrap();
    let nodes = db::nodes::list(&mut tx).await.unwrap();
    nodes.into_iter().filter(|node| node.is_alive).map(|node| node.id).collect()
}

async fn insert_video(world: &World, course: &Course, title: &str) -> Video {
    let mut tx = world.app().db.begin().await.unwrap();
    let position = db::videos::next_position(&mut tx, course.id).await.unwrap();
    let video = Video {
        id: VideoId::new(dawn()),
        course_id: course.id,
        title: title.into(),
        duration_ms: 600_000,
        position,
        created_at: dawn(),
    };
    db::videos::insert(&mut tx, &video).await.unwrap();
    tx.commit().await.unwrap();
    video
}

fn progress(session: &Session, video: &Video, watched_ms: u64) -> VideoProgress {
    VideoProgress {
        session_id: session.id,
        fence: session.fence,
        video_id: video.id,
        position_ms: watched_ms,
        watched_ms,
        coverage: 0,
        at: dawn(),
    }
}

async fn watched_videos(world: &World, session: &Session) -> Vec<WatchedVideo> {
    let mut tx = world.app().db.read().await.unwrap();
    db::progress::list(&mut tx, session.id).await.unwrap()
}

#[tokio::test]
async fn a_lease_is_judged_by_the_databases_clock_alone() {
    let world = joined(2).await;
    let [first, second] = [world.node(0), world.node(1)];
    world.clock.advance(Duration::from_hours(1_000_000));
    assert!(nodes::bury_and_adopt(second).await.unwrap().is_empty());
    assert_eq!(alive(&world).await, [first.node_id, second.node_id]);

    lose_all_but(&world, &[second]).await;
    assert_eq!(alive(&world).await, [second.node_id]);
    world.close().await;
}

#[tokio::test]
async fn a_node_that_is_late_and_not_buried_finds_all_in_its_place() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let session = claimed(world.node(0), &started(&world, &course).await).await;

    lose_all_but(&world, &[world.node(1)]).await;
    assert!(nodes::renew(world.node(0)).await.unwrap());
    assert!(nodes::bury_and_adopt(world.node(1)).await.unwrap().is_empty());
    assert_eq!(world.find(session.id).await, session);
    world.close().await;
}

#[tokio::test]
async fn a_buried_node_can_neither_renew_nor_save_before_it_joins_again() {
    let world = joined(2).await;
    let node = world.node(0);
    lose_all_but(&world, &[world.node(1)]).await;
    nodes::bury_and_adopt(world.node(1)).await.unwrap();

    assert!(!nodes::renew(node).await.unwrap());
    assert!(!save(node, &[]).await);
    assert_eq!(world.count("SELECT COUNT(*) FROM checkpoints").await, 0);

    nodes::join(node).await.unwrap();
    assert!(nodes::renew(node).await.unwrap());
    assert!(save(node, &[]).await);
    world.close().await;
}

#[tokio::test]
async fn a_node_that_is_not_alive_buries_nobody_and_takes_nothing() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let session = started(&world, &course).await;
    assert_eq!(session.node_id, None);

    lose_all_but(&world, &[]).await;
    assert!(nodes::bury_and_adopt(world.node(1)).await.unwrap().is_empty());
    nodes::leave(world.node(1)).await.unwrap();
    assert!(nodes::bury_and_adopt(world.node(1)).await.unwrap().is_empty());
    assert_eq!(world.find(session.id).await, session);
    assert!(nodes::renew(world.node(0)).await.unwrap(), "it was buried");
    world.close().await;
}

#[tokio::test]
async fn whoever_lost_a_session_can_do_nothing_to_it() {
    let world = joined(2).await;
    let [old, new] = [world.node(0), world.node(1)];
    let course = world.course("0.60").await;
    let video = insert_video(&world, &course, "One").await;
    let session = claimed(old, &started(&world, &course).await).await;
    lose_all_but(&world, &[new]).await;
    let adopted = adopt_all(new).await.pop().unwrap().session;
    assert_eq!(adopted.fence, session.fence + 1);
    assert_eq!(adopted.node_id, Some(new.node_id));
    assert_eq!(world.find(session.id).await, adopted);

    let settled = old.writer.submit(settle_after(&session, SECOND)).await;
    assert!(matches!(settled, Err(Error::Fenced)), "{settled:?}");
    let extended = old.writer.submit(extend_by(&session, "0.01")).await;
    assert!(matches!(extended, Err(Error::Fenced)), "{extended:?}");
    assert_eq!(old.claims.claim(claim_of(&session)).await.unwrap(), None);
    assert!(!old.claims.park(park_of(&session)).await.unwrap());
    // Not even if it knew the fence: it is in other hands.
    assert!(!old.claims.park(park_of(&adopted)).await.unwrap());
    assert_eq!(nodes::let_go(old, vec![park_of(&session), park_of(&adopted)]).await.unwrap(), []);
    old.claims.record(vec![progress(&session, &video, 1_000)]).await.unwrap();
    assert_eq!(watched_videos(&world, &session).await, []);
    assert_eq!(world.find(session.id).await, adopted);

    new.claims.record(vec![progress(&adopted, &video, 1_000)]).await.unwrap();
    assert_eq!(watched_videos(&world, &session).await.len(), 1);
    let settled = session_of(new.writer.submit(settle_after(&adopted, SECOND)).await);
    assert_eq!(settled.status, SessionStatus::Completed);
    world.close().await;
}

#[tokio::test]
async fn what_was_watched_is_adopted_from_the_checkpoint_of_its_node_and_fence() {
    let world = joined(2).await;
    let [lost, new] = [world.node(0), world.node(1)];
    let course = world.course("0.60").await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let mut started = started(&world, &course).await;
        started.watched = 10 * SECOND;
        sessions.push(claimed(lost, &started).await);
    }
    let [known, less, stale, foreign, none, opening] = &sessions[..] else { unreachable!() };
    let stale_entry = Entry { fence: stale.fence - 1, ..entry(stale, 40 * SECOND) };
    let not_attached = Entry { was_attached: false, ..entry(opening, 10 * SECOND) };
    let entries = [entry(known, 40 * SECOND), entry(less, 5 * SECOND), stale_entry, not_attached];
    assert!(save(lost, &entries).await);
    assert!(save(new, &[entry(foreign, 40 * SECOND)]).await);

    let seconds_known =
        async |session| nodes::last_known(new, session).await.unwrap().watched.as_secs();
    for (session, seconds) in sessions.iter().zip([40, 10, 10, 10, 10, 10]) {
        assert_eq!(seconds_known(session).await, seconds, "of {session:?}");
    }

    lose_all_but(&world, &[new]).await;
    let adopted = adopt_all(new).await;
    let find = |id: SessionId| adopted.iter().find(|adopted| adopted.session.id == id).unwrap();
    for (session, seconds) in sessions.iter().zip([40, 10, 10, 10, 10, 10]) {
        let Adopted { session, was_attached, lost } = find(session.id);
        assert_eq!(session.watched, seconds * SECOND);
        assert_eq!((*was_attached, *lost), (session.id != opening.id, true));
        assert_eq!(world.find(session.id).await, *session);
    }
    assert_eq!(find(none.id).session.node_id, Some(new.node_id));
    // Under the new fence, what the dead node wrote says nothing any more, and is gone.
    assert_eq!(seconds_known(known).await, 10);
    assert_eq!(seconds_known(&find(known.id).session).await, 40);
    world.close().await;
}

#[tokio::test]
async fn a_session_that_was_let_go_of_is_not_a_lost_one() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let untouched = started(&world, &course).await;
    let mut parked = Vec::new();
    for _ in 0..2 {
        let mut session = claimed(world.node(0), &started(&world, &course).await).await;
        session.watched = 7 * SECOND;
        session.stretches =
            vec![Stretch(StretchKind::Opening, 500), Stretch(StretchKind::Watched, 7_000)];
        parked.push(session);
    }
    let [one, other] = &parked[..] else { unreachable!() };
    assert!(world.node(0).claims.park(park_of(one)).await.unwrap());
    assert_eq!(nodes::let_go(world.node(0), vec![park_of(other)]).await.unwrap(), [other.id]);
    for session in &parked {
        assert_eq!(world.find(session.id).await, Session { node_id: None, ..session.clone() });
    }

    let adopted = adopt_all(world.node(1)).await;
    assert_eq!(adopted.len(), 3);
    for Adopted { session, was_attached, lost } in adopted {
        assert!(!lost);
        assert_eq!(session, world.find(session.id).await);
        assert_eq!(was_attached, session.id != untouched.id);
        if was_attached {
            let before = parked.iter().find(|parked| parked.id == session.id).unwrap();
            let node_id = Some(world.node(1).node_id);
            assert_eq!(session, Session { fence: before.fence + 1, node_id, ..before.clone() });
        }
    }
    world.close().await;
}

#[tokio::test]
async fn of_nodes_that_take_over_at_once_each_session_gets_one() {
    let world = joined(4).await;
    let course = world.course("0.00").await;
    let mut sessions = Vec::new();
    for _ in 0..60 {
        let student = world.student().await;
        let started = session_of(world.app().writer.submit(start_for(student.id, &course)).await);
        sessions.push(claimed(world.node(0), &started).await);
    }
    // Again and again, each time without the one that took the last of them.
    for lost in 0..3 {
        let rest: Vec<&App> = world.nodes[lost + 1..].iter().collect();
        lose_all_but(&world, &rest).await;
        let adopted = join_all(rest.iter().map(|node| adopt_all(node))).await.concat();
        let ids: BTreeSet<SessionId> = adopted.iter().map(|adopted| adopted.session.id).collect();
        let of_lost = sessions
            .iter()
            .filter(|session| session.node_id.is_none_or(|node| node == world.nodes[lost].node_id));
        assert_eq!(adopted.len(), of_lost.count(), "some were taken twice, or by nobody");
        assert_eq!(adopted.len(), ids.len());
        for session in &mut sessions {
            let now = world.find(session.id).await;
            let was_adopted = ids.contains(&session.id);
            assert_eq!(now.fence, session.fence + i64::from(was_adopted));
            *session = now;
        }
    }
    assert!(sessions.iter().all(|session| session.node_id == Some(world.nodes[3].node_id)));
    world.close().await;
}

#[tokio::test]
async fn of_claims_at_once_one_wins() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let session = started(&world, &course).await;
    let mut fence = session.fence;
    for _ in 0..5 {
        let claim = Claim { fence, ..claim_of(&session) };
        let claims = (0..30).map(|nth| world.node(nth).claims.claim(claim.clone()));
        let won: Vec<Session> =
            join_all(claims).await.into_iter().filter_map(|claim| claim.unwrap()).collect();
        assert_eq!(won.len(), 1);
        fence += 1;
        assert_eq!(won[0], world.find(session.id).await);
        assert_eq!(won[0].fence, fence);
    }
    world.close().await;
}

#[tokio::test]
async fn many_who_come_back_at_once_all_get_their_session() {
    let world = joined(1).await;
    let app = world.app();
    let course = world.course("0.00").await;
    let video = insert_video(&world, &course, "One").await;
    let mut sessions = Vec::new();
    for _ in 0..100 {
        let student = world.student().await;
        sessions.push(session_of(app.writer.submit(start_for(student.id, &course)).await));
    }
    let come_and_go = async |session: &Session| {
        let claimed = claimed(app, session).await;
        app.claims.record_soon(vec![progress(&claimed, &video, 9)]).unwrap();
        assert!(app.claims.park(park_of(&claimed)).await.unwrap());
        let again = app.claims.claim(claim_of(&claimed));
        // Handed in behind it, while it waits.
        let late = app.claims.claim(claim_of(&claimed));
        let (again, late) = tokio::join!(again, late);
        assert_eq!(late.unwrap(), None);
        assert_eq!(again.unwrap().unwrap().fence, session.fence + 2);
    };
    join_all(sessions.iter().map(come_and_go)).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM session_video_progress").await, 100);
    assert_eq!(world.count("SELECT COUNT(*) FROM sessions WHERE fence = 3").await, 100);
    world.close().await;
}

#[tokio::test]
async fn a_claim_that_the_database_refuses_does_not_sink_its_batch() {
    let world = joined(1).await;
    let course = world.course("0.60").await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(started(&world, &course).await);
    }
    let mut claims: Vec<Claim> = sessions.iter().map(claim_of).collect();
    claims[2].watched = Duration::from_hours(25);
    let outcomes = join_all(claims.into_iter().map(|claim| world.app().claims.claim(claim))).await;
    for (nth, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(nth == 2, outcome.is_err(), "{nth}: {outcome:?}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM sessions WHERE fence = 2").await, 4);
    world.close().await;
}

#[tokio::test]
async fn an_ended_session_is_in_nobodys_hands() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let session = claimed(world.node(0), &started(&world, &course).await).await;
    world.app().writer.submit(settle_after(&session, SECOND)).await.unwrap();
    let ended = world.find(session.id).await;

    assert_eq!(world.node(0).claims.claim(claim_of(&session)).await.unwrap(), None);
    assert!(!world.node(0).claims.park(park_of(&session)).await.unwrap());
    lose_all_but(&world, &[world.node(1)]).await;
    assert!(nodes::bury_and_adopt(world.node(1)).await.unwrap().is_empty());
    assert_eq!(world.find(session.id).await, ended);
    world.close().await;
}

#[tokio::test]
async fn a_broken_checkpoint_does_not_stop_taking_over() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let mut seen = started(&world, &course).await;
    seen.watched = 3 * SECOND;
    let session = claimed(world.node(0), &seen).await;
    let broken: Vec<(usize, Vec<u8>)> = (0..SLOTS).map(|slot| (slot, vec![1; slot])).collect();
    assert!(nodes::save(world.node(0), &broken).await.unwrap());

    assert_eq!(nodes::last_known(world.node(1), &session).await.unwrap(), session);
    lose_all_but(&world, &[world.node(1)]).await;
    let adopted = adopt_all(world.node(1)).await;
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].session.watched, 3 * SECOND);
    world.close().await;
}

#[tokio::test]
async fn checkpoints_go_when_nobody_needs_them_any_more() {
    let world = joined(3).await;
    let course = world.course("0.60").await;
    let session = claimed(world.node(0), &started(&world, &course).await).await;
    let rows = async || world.count("SELECT COUNT(*) FROM checkpoints").await;
    let slots = i64::try_from(SLOTS).unwrap();
    for node in &world.nodes {
        assert!(save(node, &[entry(&session, SECOND)]).await);
    }
    assert_eq!(rows().await, 3 * slots);

    // It has nothing, so nobody will look.
    nodes::leave(world.node(2)).await.unwrap();
    assert_eq!(rows().await, 2 * slots);
    // It has something that it did not let go of.
    nodes::leave(world.node(0)).await.unwrap();
    assert_eq!(rows().await, 2 * slots);
    let adopted = adopt_all(world.node(1)).await;
    assert_eq!(adopted[0].session.watched, SECOND);
    assert_eq!(rows().await, slots);

    let mut tx = world.app().db.begin().await.unwrap();
    db::checkpoints::delete(&mut tx, world.node(1).node_id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(rows().await, 0);
    world.close().await;
}

async fn sign_in(world: &World, user_id: UserId) -> LoginId {
    let id = LoginId::new(dawn());
    let login = db::logins::NewLogin {
        id,
        user_id,
        address: "127.0.0.1".into(),
        created_at: dawn(),
        expires_at: dawn() + 10 * SECOND,
    };
    let mut tx = world.app().db.begin().await.unwrap();
    db::logins::insert(&mut tx, &login).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn owned(session: &Session, is_signed_out: bool) -> Owned {
    let watched_ms = i64::try_from(session.watched.as_millis()).unwrap();
    Owned { id: session.id, fence: session.fence, watched_ms, is_signed_out }
}

#[tokio::test]
async fn a_node_finds_out_what_is_its_own_and_who_has_signed_out() {
    let world = joined(2).await;
    let [app, other] = [world.node(0), world.node(1)];
    let course = world.course("0.60").await;
    let mut expected = Vec::new();
    let mut of_login = Vec::new();
    for _ in 0..3 {
        let session = started(&world, &course).await;
        let login_id = Some(sign_in(&world, session.student_id).await);
        let claimed = app.claims.claim(Claim { login_id, ..claim_of(&session) }).await.unwrap();
        let claimed = claimed.unwrap();
        assert_eq!(claimed.login_id, login_id);
        // Taking it without a player leaves the sign-in as it is.
        let again = app.claims.claim(claim_of(&claimed)).await.unwrap().unwrap();
        assert_eq!((again.login_id, again.fence), (login_id, claimed.fence + 1));
        of_login.push((again.login_id.unwrap(), again));
    }
    let anonymous = claimed(app, &started(&world, &course).await).await;
    expected.push(owned(&anonymous, false));
    claimed(other, &started(&world, &course).await).await;

    let mut tx = app.db.begin().await.unwrap();
    let [(open, _), (ended, _), (gone, _)] = &of_login[..] else { unreachable!() };
    db::logins::prolong(&mut tx, *open, dawn() + 20 * SECOND).await.unwrap();
    db::logins::end(&mut tx, *ended, LoginEnd::LoggedOut, dawn()).await.unwrap();
    db::logins::prolong(&mut tx, *gone, dawn() + SECOND).await.unwrap();
    assert_eq!(db::logins::delete_expired(&mut tx, dawn() + 2 * SECOND, 9).await.unwrap(), 1);
    tx.commit().await.unwrap();
    for ((_, session), is_signed_out) in of_login.iter().zip([false, true, false]) {
        expected.push(owned(session, is_signed_out));
    }
    expected.sort();

    let list = async |now| {
        let mut tx = app.db.read().await.unwrap();
        let mut found = db::claims::list_of_node(&mut tx, app.node_id, now).await.unwrap();
        found.sort();
        found
    };
    assert_eq!(list(dawn() + 19 * SECOND).await, expected);
    let later = list(dawn() + 20 * SECOND).await;
    assert_eq!(later.iter().filter(|owned| owned.is_signed_out).count(), 2);
    world.close().await;
}

#[tokio::test]
async fn progress_adds_up_and_outlives_the_session() {
    let world = joined(1).await;
    let claims = &world.app().claims;
    let course = world.course("0.60").await;
    let [one, two] =
        [insert_video(&world, &course, "One").await, insert_video(&world, &course, "Two").await];
    let mut tx = world.app().db.read().await.unwrap();
    assert_eq!(db::videos::list(&mut tx, course.id).await.unwrap(), [one.clone(), two.clone()]);
    drop(tx);
    let elsewhere = insert_video(&world, &world.course("0.60").await, "Elsewhere").await;
    let unknown = Video { id: VideoId::new(dawn()), ..one.clone() };
    let session = claimed(world.app(), &started(&world, &course).await).await;

    let top = 1 << 63;
    let first = VideoProgress { coverage: top | 0b0110, ..progress(&session, &two, 5_000) };
    claims
        .record(vec![progress(&session, &elsewhere, 1), first, progress(&session, &unknown, 1)])
        .await
        .unwrap();
    world.app().writer.submit(settle_after(&session, SECOND)).await.unwrap();
    let back = VideoProgress { coverage: 0b0011, ..progress(&session, &two, 2_000) };
    claims.record(vec![back]).await.unwrap();
    claims.record(vec![progress(&session, &one, 7_000)]).await.unwrap();

    let watched = |video: &Video, position_ms, watched_ms, coverage| WatchedVideo {
        video_id: video.id,
        title: video.title.clone(),
        duration_ms: video.duration_ms,
        position_ms,
        watched_ms,
        coverage,
    };
    assert_eq!(
        watched_videos(&world, &session).await,
        [watched(&one, 7_000, 7_000, 0), watched(&two, 2_000, 5_000, top | 0b0111)]
    );
    world.close().await;
}

#[tokio::test]
async fn what_was_handed_in_is_still_written_when_murph_stops() {
    let world = joined(2).await;
    let course = world.course("0.60").await;
    let video = insert_video(&world, &course, "One").await;
    let session = claimed(world.node(1), &started(&world, &course).await).await;
    world.node(1).claims.record_soon(vec![progress(&session, &video, 5_000)]).unwrap();
    let park = park_of(&session);
    let (parked, ()) = tokio::join!(world.node(1).claims.park(park), world.node(1).finish());
    assert!(parked.unwrap());
    assert_eq!(watched_videos(&world, &session).await.len(), 1);
    assert_eq!(world.find(session.id).await.node_id, None);

    let refused = world.node(1).claims.claim(claim_of(&session)).await;
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    world.close().await;
}
