//! The order of videos, changing them, and taking them away.

use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

use super::{MP4, Studio, add, assert_refused_for, film};
use crate::{
    harness::{Person, Reply, TestApp},
    live::player::Player,
};

fn ids(page: &Reply) -> Vec<String> {
    let videos = page.body["data"].as_array().unwrap();
    for (nth, video) in videos.iter().enumerate() {
        assert_eq!(video["position"], nth, "{page:?}");
    }
    videos.iter().map(|video| video["id"].as_str().unwrap().to_owned()).collect()
}

async fn list(studio: &Studio) -> Vec<String> {
    let path = format!("/courses/{}/videos", studio.course);
    ids(&studio.teacher.get(&path).await.is(200))
}

async fn arrange(studio: &Studio, person: &Person, order: &[String]) -> Reply {
    let path = format!("/courses/{}/videos/order", studio.course);
    person.put(&path, json!({"video_ids": order})).await
}

/// A course of four videos, and their ids in its order.
async fn four() -> (Studio, Vec<String>) {
    let studio = Studio::open().await;
    for title in ["B", "C", "D"] {
        add(&studio.app, &studio.teacher, studio.course, title).await;
    }
    let videos = list(&studio).await;
    assert_eq!(videos.len(), 4);
    (studio, videos)
}

#[tokio::test]
async fn videos_are_put_into_another_order() {
    let (studio, mut videos) = four().await;
    for _ in 0..4 {
        videos.rotate_left(1);
        videos.swap(0, 1);
        assert_eq!(ids(&arrange(&studio, &studio.teacher, &videos).await.is(200)), videos);
        assert_eq!(list(&studio).await, videos);
    }
    let (elsewhere, _) = four().await;
    let foreign = list(&elsewhere).await.remove(0);
    elsewhere.app.close().await;
    let mut wrong = vec![vec![], videos[1..].to_vec()];
    wrong.push([&videos[..3], &videos[..1]].concat());
    wrong.push([&videos[..], &videos[..1]].concat());
    wrong.push([&videos[..3], &[foreign]].concat());
    for order in wrong {
        assert_refused_for(&arrange(&studio, &studio.teacher, &order).await, "video_ids");
    }
    let order = ["../x".to_owned()];
    assert_refused_for(&arrange(&studio, &studio.teacher, &order).await, "video_ids[0]");
    let other = studio.app.teacher().await;
    arrange(&studio, &other, &videos).await.refused(403, "forbidden");
    assert_eq!(list(&studio).await, videos);
    studio.app.close().await;
}

#[tokio::test]
async fn a_video_is_changed_by_its_teacher() {
    let studio = Studio::open().await;
    let before = studio.video().await;
    let put = |person, body| Person::put(person, &studio.path, body);
    for (field, value) in [
        ("title", json!("")),
        ("title", json!("a\nb")),
        ("duration_ms", json!(0)),
        ("duration_ms", json!(172_800_001)),
        ("is_preview", json!(1)),
        ("position", json!(0)),
        ("status", json!("ready")),
    ] {
        assert_refused_for(&put(&studio.teacher, json!({field: value})).await, field);
    }
    let other = studio.app.teacher().await;
    put(&other, json!({"title": "x"})).await.refused(403, "forbidden");
    assert_eq!(put(&studio.teacher, json!({})).await.is(200).body, before);
    let change = json!({"title": " A new title ", "duration_ms": 5, "is_preview": true});
    let changed = put(&studio.teacher, change).await.is(200).body;
    assert_eq!((&changed["title"], &changed["duration_ms"]), (&json!("A new title"), &json!(5)));
    assert_eq!(changed["is_preview"], true);
    assert_eq!(studio.video().await, changed);

    studio.upload(MP4, &film(9_000, 500)).await;
    let wrong = put(&studio.teacher, json!({"duration_ms": 5})).await;
    assert_refused_for(&wrong, "duration_ms");
    put(&studio.teacher, json!({"duration_ms": 9_000, "is_preview": false})).await.is(200);
    studio.app.close().await;
}

#[tokio::test]
async fn a_deleted_video_is_gone_and_its_file_too() {
    let (studio, videos) = four().await;
    let admin = studio.app.admin().await;
    let (other, student) = (studio.app.teacher().await, studio.app.student().await);
    studio.upload(MP4, &film(1_000, 1_000)).await;
    let link = studio.own_link().await;
    let upload = studio.link(MP4, 1_000).await;
    studio.put(&upload, film(1_000, 1_000)).await.is(200);
    assert_eq!(studio.stored(), (2, 0));
    let delete = |person, path: String| async move {
        Person::send(person, reqwest::Method::DELETE, &path, None, &[]).await
    };
    for person in [&other, &student] {
        delete(person, studio.path.clone()).await.refused(403, "forbidden");
    }
    delete(&studio.teacher, studio.path.clone()).await.is(204);
    delete(&studio.teacher, studio.path.clone()).await.refused(404, "not_found");
    // A session may be on it.
    assert_eq!(studio.stored(), (1, 0));
    assert_eq!(studio.fetch(&link, None).await.status(), 200);
    studio.put(&upload, film(1_000, 1_000)).await.refused(409, "upload_over");
    for what in ["confirm", "upload-url"] {
        let body = json!({"content_type": MP4, "size_bytes": 1});
        studio.post(what, body).await.refused(404, "not_found");
    }
    studio.watch_link(&studio.teacher).await.refused(404, "not_found");
    studio.teacher.get(&studio.path).await.refused(404, "not_found");
    assert_eq!(list(&studio).await, videos[1..]);
    let second = format!("/courses/{}/videos/{}", studio.course, videos[2]);
    delete(&admin, second).await.is(204);
    assert_eq!(list(&studio).await, [videos[1].clone(), videos[3].clone()]);
    add(&studio.app, &studio.teacher, studio.course, "E").await;
    assert_eq!(list(&studio).await.len(), 3);
    studio.app.app.clock.advance(Duration::from_hours(12) - Duration::from_secs(1));
    studio.sweep().await;
    assert_eq!(studio.stored(), (1, 0));
    studio.app.app.clock.advance(Duration::from_secs(2));
    studio.sweep().await;
    assert_eq!(studio.stored(), (0, 0));
    studio.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_at_once_the_order_has_no_gaps() {
    let (studio, videos) = four().await;
    let path = |id: &str| format!("/courses/{}/videos/{id}", studio.course);
    let mut backwards = videos.clone();
    backwards.reverse();
    let (ordered, added, deleted) = tokio::join!(
        join_all([&videos, &backwards, &videos].map(|order| arrange(
            &studio,
            &studio.teacher,
            order
        ))),
        join_all((0..4).map(|_| add_one(&studio))),
        join_all(videos[..2].iter().map(|id| async {
            let path = path(id);
            studio.teacher.send(reqwest::Method::DELETE, &path, None, &[]).await
        })),
    );
    for reply in ordered {
        assert!(matches!(reply.status.as_u16(), 200 | 422), "{reply:?}");
    }
    for reply in added {
        reply.is(201);
    }
    for reply in deleted {
        reply.is(204);
    }
    assert_eq!(list(&studio).await.len(), 6);
    studio.app.close().await;
}

async fn add_one(studio: &Studio) -> Reply {
    let path = format!("/courses/{}/videos", studio.course);
    studio.teacher.post(&path, json!({"title": "x", "duration_ms": 1})).await
}

/// Plays on, as an honest player does.
async fn play_on(app: &TestApp, player: &mut Player, video: &str, from_s: u64, to_s: u64) {
    for second in (from_s..=to_s).step_by(5).skip(1) {
        app.app.clock.advance(Duration::from_secs(5));
        let position_ms = second * 1_000;
        let proof = json!({"type": "progress", "video_id": video, "position_ms": position_ms});
        player.say(proof).await;
        player.tick_where(|tick| tick["watched_ms"].as_u64() >= Some(position_ms)).await;
    }
}

#[tokio::test]
async fn who_is_watching_goes_on_whatever_becomes_of_the_videos() {
    let (studio, videos) = four().await;
    let student = studio.app.student_with("30.00").await;
    let mut player = Player::start(&studio.app, &student, studio.course).await;
    player.say(json!({"type": "play", "video_id": videos[0], "position_ms": 0})).await;
    while player.until("state").await["phase"] != "playing" {}
    play_on(&studio.app, &mut player, &videos[0], 0, 30).await;
    let mut order = videos.clone();
    order.reverse();
    arrange(&studio, &studio.teacher, &order).await.is(200);
    studio.teacher.send(reqwest::Method::DELETE, &studio.path, None, &[]).await.is(204);
    play_on(&studio.app, &mut player, &videos[0], 30, 60).await;

    // Also after it was away.
    let session = player.session_id;
    drop(player);
    let (mut player, _) = Player::return_to(&studio.app, &student, session).await;
    player.say(json!({"type": "play", "video_id": videos[0], "position_ms": 60_000})).await;
    while player.until("state").await["phase"] != "playing" {}
    play_on(&studio.app, &mut player, &videos[0], 60, 90).await;
    player.say(json!({"type": "end"})).await;
    let (receipt, _) = player.last("receipt").await;
    assert_eq!(receipt["watched_ms"], 90_000, "{receipt}");
    let receipt = student.get(&format!("/sessions/{session}/receipt")).await.is(200).body;
    assert_eq!(receipt["videos"][0]["video_id"], videos[0].as_str());
    assert_eq!(receipt["videos"][0]["watched_ms"], 90_000);
    let course = student.get(&format!("/courses/{}", studio.course)).await.is(200).body;
    assert_eq!((&course["video_count"], &course["progress"]["videos"]), (&json!(3), &json!([])));
    studio.app.close().await;
}
