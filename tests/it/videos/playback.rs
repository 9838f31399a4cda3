//! Who may watch a video, and for how long a link is good.

use murph::{
    db,
    domain::{media::FileStatus, video::Video},
    id::{LoginId, VideoId},
    service::{
        identity::Caller,
        sessions,
        videos::{self, Which},
    },
    time::Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use super::{MP4, Studio, file, film};
use crate::{
    harness::{Person, Reply, TestApp, start_of},
    live::player::Player,
    world::{World, dawn},
};

/// A video that can be played, on a course at this price.
async fn ready(price: &str) -> Studio {
    let studio = Studio::open_in(TestApp::start().await, price).await;
    studio.upload(MP4, &film(60_000, 1_000)).await;
    studio
}

async fn start(studio: &Studio, student: &Person) -> Value {
    student.post("/sessions/start", json!({"course_id": studio.course})).await.is(201).body
}

/// For how many seconds a link is good.
#[track_caller]
fn seconds(studio: &Studio, reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{reply:?}");
    let expires_at: Timestamp = serde_json::from_value(reply.body["expires_at"].clone()).unwrap();
    expires_at.since(studio.app.now()).as_secs() + 1
}

async fn set_preview(studio: &Studio, is_preview: bool) {
    studio.teacher.put(&studio.path, json!({"is_preview": is_preview})).await.is(200);
}

async fn set_status(studio: &Studio, status: &str) {
    let path = format!("/courses/{}", studio.course);
    studio.teacher.put(&path, json!({"status": status})).await.is(200);
}

#[tokio::test]
async fn only_who_may_watch_gets_a_link() {
    let studio = ready("0.60").await;
    let (other, admin) = (studio.app.teacher().await, studio.app.admin().await);
    let student = studio.app.student_with("30.00").await;
    let elsewhere = studio.app.student_with("30.00").await;
    let another = studio.app.course(&other, "0.60").await;
    elsewhere.post("/sessions/start", json!({"course_id": another})).await.is(201);
    let public = format!("/api/v1{}/url", studio.path);

    for person in [&other, &admin, &student, &elsewhere] {
        studio.watch_link(person).await.refused(403, "forbidden");
    }
    studio.app.get(&public).await.refused(401, "unauthenticated");
    assert_eq!(seconds(&studio, &studio.watch_link(&studio.teacher).await), 300);

    set_preview(&studio, true).await;
    let link = studio.app.get(&public).await.is(200);
    assert_eq!(link.headers["cache-control"], "no-store");
    for person in [&other, &admin, &student, &elsewhere] {
        assert_eq!(seconds(&studio, &studio.watch_link(person).await), 300);
    }
    let url = link.body["url"].as_str().unwrap();
    assert_eq!(studio.fetch(url, None).await.bytes().await.unwrap(), film(60_000, 1_000));
    set_status(&studio, "draft").await;
    for person in [&other, &student, &elsewhere] {
        studio.watch_link(person).await.refused(404, "not_found");
    }
    studio.app.get(&public).await.refused(404, "not_found");
    assert_eq!(seconds(&studio, &studio.watch_link(&studio.teacher).await), 300);
    studio.app.close().await;
}

#[tokio::test]
async fn an_open_session_opens_its_course_whatever_becomes_of_it() {
    let studio = ready("0.60").await;
    let student = studio.app.student_with("30.00").await;
    let session = start(&studio, &student).await["session"]["id"].clone();
    let path = format!("/courses/{}", studio.course);
    for status in ["draft", "archived"] {
        set_status(&studio, status).await;
        assert_eq!(seconds(&studio, &studio.watch_link(&student).await), 300);
    }
    studio.teacher.send(Method::DELETE, &path, None, &[]).await.is(204);
    let link = studio.watch_link(&student).await;
    assert_eq!(seconds(&studio, &link), 300);
    let url = link.body["url"].as_str().unwrap();
    assert_eq!(studio.fetch(url, Some("bytes=0-9")).await.status(), 206);
    // A player that is loaded anew finds its way.
    student.get(&path).await.is(200);
    let videos = student.get(&format!("{path}/videos")).await.is(200);
    assert_eq!(videos.body["data"].as_array().unwrap().len(), 1);
    studio.watch_link(&studio.teacher).await.refused(404, "not_found");
    let end = format!("/sessions/{}/end", session.as_str().unwrap());
    student.post(&end, json!({})).await.is(200);
    student.get(&path).await.refused(404, "not_found");
    studio.watch_link(&student).await.refused(404, "not_found");
    studio.app.close().await;
}

#[tokio::test]
async fn a_deleted_video_is_played_by_who_was_there_before() {
    let studio = ready("0.60").await;
    let app = &studio.app;
    let (before, after) = (app.student_with("30.00").await, app.student_with("30.00").await);
    start(&studio, &before).await;
    app.app.clock.advance(Duration::from_millis(1));
    studio.teacher.send(Method::DELETE, &studio.path, None, &[]).await.is(204);
    app.app.clock.advance(Duration::from_millis(1));
    start(&studio, &after).await;
    let link = studio.watch_link(&before).await.is(200);
    let url = link.body["url"].as_str().unwrap();
    assert_eq!(studio.fetch(url, None).await.bytes().await.unwrap(), film(60_000, 1_000));
    for person in [&after, &studio.teacher] {
        studio.watch_link(person).await.refused(404, "not_found");
    }
    studio.app.close().await;
}

async fn assert_plays_nothing(studio: &Studio, url: &str) {
    Reply::of(&Method::GET, studio.fetch(url, None).await).await.refused(403, "forbidden");
    Reply::of(&Method::GET, studio.fetch(url, Some("bytes=0-9")).await)
        .await
        .refused(403, "forbidden");
    assert_eq!(studio.app.client.head(url).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_link_of_a_session_ends_with_it() {
    let studio = ready("0.60").await;
    let student = studio.app.student_with("100.00").await;
    // It has not begun to play: players load before they do.
    let session = start(&studio, &student).await["session"]["id"].clone();
    let session = session.as_str().unwrap();
    let link = studio.watch_link(&student).await.is(200);
    let url = link.body["url"].as_str().unwrap();
    assert_eq!(studio.fetch(url, None).await.bytes().await.unwrap(), film(60_000, 1_000));
    let named = format!("&session={session}");
    assert!(url.contains(&named), "{url}");
    let another = format!("&session={}", murph::id::SessionId::new(studio.app.now()));
    for altered in [url.replace(&named, ""), url.replace(&named, &another)] {
        assert_plays_nothing(&studio, &altered).await;
    }
    let end = format!("/sessions/{session}/end");
    student.post(&end, json!({})).await.is(200);
    assert_plays_nothing(&studio, url).await;

    // Another one does not bring it back; signing out ends that at once.
    studio.app.app.clock.advance(Duration::from_millis(1));
    let player = Player::start(&studio.app, &student, studio.course).await;
    assert_plays_nothing(&studio, url).await;
    let link = studio.watch_link(&student).await.is(200);
    let url = link.body["url"].as_str().unwrap();
    assert_eq!(studio.fetch(url, None).await.status(), 200);
    student.post("/auth/logout", json!({})).await.is(204);
    assert_plays_nothing(&studio, url).await;
    drop(player);
    studio.app.close().await;
}

#[tokio::test]
async fn a_link_of_somebody_who_is_suspended_plays_nothing() {
    let studio = ready("0.60").await;
    let (student, admin) = (studio.app.student_with("100.00").await, studio.app.admin().await);
    start(&studio, &student).await;
    let link = studio.watch_link(&student).await.is(200);
    let url = link.body["url"].as_str().unwrap();
    let path = format!("/users/{}", student.id);
    admin.put(&path, json!({"status": "suspended"})).await.is(200);
    assert_plays_nothing(&studio, url).await;
    studio.app.close().await;
}

#[tokio::test]
async fn a_link_lasts_no_longer_than_the_money() {
    // 30.00 are held, which last 100 seconds.
    let studio = ready("18.00").await;
    let student = studio.app.student_with("30.00").await;
    let mut player = Player::start(&studio.app, &student, studio.course).await;
    assert_eq!(seconds(&studio, &studio.watch_link(&student).await), 100);
    player.play(0).await;
    player.watch(&studio.app, 0, 40, 5).await;
    let link = studio.watch_link(&student).await;
    assert_eq!(seconds(&studio, &link), 60);
    let url = link.body["url"].as_str().unwrap();
    studio.app.app.clock.advance(Duration::from_secs(5));
    player.progress(45_000).await;
    player.watch(&studio.app, 45_000, 50, 5).await;
    assert_eq!(seconds(&studio, &studio.watch_link(&student).await), 5);
    assert_eq!(studio.fetch(url, None).await.status(), 200);
    studio.app.app.clock.advance(Duration::from_secs(1));
    player.progress(96_000).await;
    player.tick_where(|tick| tick["watched_ms"].as_u64() >= Some(96_000)).await;
    let refused = studio.watch_link(&student).await;
    refused.refused(402, "insufficient_funds");
    assert_eq!(
        (&refused.body["required"], &refused.body["available"]),
        (&json!("1.50"), &json!("1.20"))
    );
    studio.app.app.clock.advance(Duration::from_secs(4));
    Reply::of(&Method::GET, studio.fetch(url, None).await).await.refused(403, "forbidden");

    student.top_up_more("100.00").await;
    // The hold grows by itself, by as much again.
    assert_eq!(player.until("extended").await["held"], "60.00");
    assert_eq!(seconds(&studio, &studio.watch_link(&student).await), 100);
    studio.app.close().await;
}

#[tokio::test]
async fn who_paused_for_long_gets_a_link_also_when_the_meter_does_not_say() {
    // Nobody listens on its bus. 30.00 are held, which last 100 seconds.
    let world = World::start().await;
    let (app, course) = (world.app(), world.course("18.00").await);
    let student = world.student_with("30.00").await;
    sessions::start(app, &student, &start_of(course.id), dawn()).await.unwrap();
    let video = Video {
        id: VideoId::new(dawn()),
        course_id: course.id,
        title: "A part".into(),
        duration_ms: 600_000,
        position: 0,
        created_at: dawn(),
    };
    let which = Which { course_id: course.id, video_id: video.id };
    let mut tx = app.db.begin().await.unwrap();
    db::videos::insert(&mut tx, &video).await.unwrap();
    let ready = file(video.id, FileStatus::Ready, dawn());
    db::video_files::insert(&mut tx, &ready).await.unwrap();
    tx.commit().await.unwrap();

    let caller = Caller { user: student, login_id: LoginId::new(dawn()) };
    let later = dawn() + Duration::from_hours(2);
    let playback = videos::playback(app, Some(&caller), which, later).await.unwrap();
    // As if it had been watched for a minute.
    assert_eq!(playback.expires_at.since(later), Duration::from_secs(40));
    world.close().await;
}

#[tokio::test]
async fn a_free_course_is_watched_without_money() {
    let studio = ready("0").await;
    let student = studio.app.student().await;
    studio.watch_link(&student).await.refused(403, "forbidden");
    start(&studio, &student).await;
    assert_eq!(seconds(&studio, &studio.watch_link(&student).await), 300);
    studio.app.close().await;
}

#[tokio::test]
async fn an_altered_or_expired_link_plays_nothing() {
    let studio = ready("0.60").await;
    let url = studio.own_link().await;
    let (rest, signature) = url.rsplit_once('=').unwrap();
    let (_, id) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let another = murph::id::FileId::new(studio.app.now()).to_string();
    for altered in [
        url.replace(id, &another),
        url.replace("size=1000", "size=1"),
        url.replace("video/mp4", "video/webm"),
        url.replace("expires=1", "expires=2"),
        format!("{rest}={}", signature.to_uppercase()),
        format!("{rest}="),
    ] {
        Reply::of(&Method::GET, studio.fetch(&altered, None).await).await.refused(403, "forbidden");
        assert_eq!(studio.app.client.head(&altered).send().await.unwrap().status(), 403);
    }
    let request = studio.app.client.put(&url).header("content-type", MP4).body(vec![0; 1_000]);
    Reply::to(&Method::PUT, request).await.refused(403, "forbidden");
    for method in [Method::POST, Method::DELETE, Method::PATCH] {
        let request = studio.app.client.request(method.clone(), &url);
        Reply::to(&method, request).await.refused(405, "method_not_allowed");
    }
    studio.app.app.clock.advance(Duration::from_secs(299));
    assert_eq!(studio.fetch(&url, None).await.status(), 200);
    studio.app.app.clock.advance(Duration::from_secs(1));
    Reply::of(&Method::GET, studio.fetch(&url, None).await).await.refused(403, "forbidden");
    studio.app.close().await;
}

#[tokio::test]
async fn only_so_many_are_sent_at_once() {
    let app = TestApp::start_with(|config| config.storage.streams_max = 1).await;
    let studio = Studio::open_in(app, "0.60").await;
    // More than the system keeps of what nobody reads.
    let file = film(60_000, 32_000_000);
    studio.upload(MP4, &file).await;
    let url = studio.own_link().await;
    let slow = studio.fetch(&url, None).await;
    assert_eq!(slow.status(), 200);
    let busy = Reply::of(&Method::GET, studio.fetch(&url, Some("bytes=0-9")).await).await;
    busy.refused(503, "busy");
    assert_eq!(busy.headers["retry-after"], "1");
    assert_eq!(slow.bytes().await.unwrap(), file);
    while studio.fetch(&url, Some("bytes=0-9")).await.status() != 206 {}
    studio.app.close().await;
}

/// Reads on, until it breaks off.
async fn assert_breaks_off(mut sent: reqwest::Response) {
    while let Ok(piece) = sent.chunk().await {
        assert!(piece.is_some(), "all of it was sent");
    }
}

#[tokio::test]
async fn what_is_being_sent_breaks_off_with_its_session_and_its_link() {
    let app = TestApp::start_with(|config| config.storage.streams_max = 1).await;
    let studio = Studio::open_in(app, "0.60").await;
    // More than the system keeps of what nobody reads.
    studio.upload(MP4, &film(60_000, 32_000_000)).await;
    let student = studio.app.student_with("30.00").await;
    let session = start(&studio, &student).await["session"]["id"].clone();
    let link = studio.watch_link(&student).await.is(200);
    let mut sent = studio.fetch(link.body["url"].as_str().unwrap(), None).await;
    for _ in 0..3 {
        // Asked meanwhile, it goes on.
        studio.app.app.clock.advance(Duration::from_secs(5));
        assert!(!sent.chunk().await.unwrap().unwrap().is_empty());
    }
    student.post(&format!("/sessions/{}/end", session.as_str().unwrap()), json!({})).await.is(200);
    studio.app.app.clock.advance(Duration::from_secs(5));
    assert_breaks_off(sent).await;

    let url = studio.own_link().await;
    let mut sent = loop {
        // A moment later the place of the first is free.
        let sent = studio.fetch(&url, None).await;
        if sent.status() == 200 {
            break sent;
        }
    };
    assert!(!sent.chunk().await.unwrap().unwrap().is_empty());
    // A part that was asked for in time may still be on its way for a minute.
    studio.app.app.clock.advance(Duration::from_secs(359));
    assert!(!sent.chunk().await.unwrap().unwrap().is_empty());
    Reply::of(&Method::GET, studio.fetch(&url, None).await).await.refused(403, "forbidden");
    let url = studio.own_link().await;
    Reply::of(&Method::GET, studio.fetch(&url, None).await).await.refused(503, "busy");
    studio.app.app.clock.advance(Duration::from_secs(1));
    assert_breaks_off(sent).await;
    while studio.fetch(&url, Some("bytes=0-9")).await.status() != 206 {}
    studio.app.close().await;
}

#[tokio::test]
async fn nobody_has_all_the_places() {
    let app = TestApp::start_with(|config| config.storage.streams_max = 10).await;
    let studio = Studio::open_in(app, "0.60").await;
    studio.upload(MP4, &film(60_000, 32_000_000)).await;
    let student = studio.app.student_with("30.00").await;
    start(&studio, &student).await;
    let paid = studio.watch_link(&student).await.is(200).body["url"].as_str().unwrap().to_owned();
    let open = studio.own_link().await;
    let busy = async |url: &str| {
        Reply::of(&Method::GET, studio.fetch(url, Some("bytes=0-9")).await)
            .await
            .refused(503, "busy");
    };
    // One session.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(studio.fetch(&paid, None).await);
    }
    assert!(held.iter().all(|sent| sent.status() == 200));
    busy(&paid).await;
    assert_eq!(studio.fetch(&open, Some("bytes=0-9")).await.status(), 206);
    drop(held);
    // Links that anybody may have.
    let mut held = Vec::new();
    while held.len() < 5 {
        let sent = studio.fetch(&open, None).await;
        held.extend((sent.status() == 200).then_some(sent));
    }
    busy(&open).await;
    while studio.fetch(&paid, Some("bytes=0-9")).await.status() != 206 {}
    studio.app.close().await;
}
