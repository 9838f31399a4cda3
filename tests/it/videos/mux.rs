//! Files that Mux makes into streams, with a stand-in that looks at what it is asked.

pub(super) mod stand_in;

use std::time::Duration;

use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use murph::{db, domain::meter, id::FileId, service::videos, time::Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use self::stand_in::{
    IMAGES, Mood, STREAMS, StandIn, WEBHOOK_SECRET, claims, configure, event_of, nowhere,
    playback_of, ready_of, soon,
};
use super::{MP4, Studio, add, film};
use crate::harness::{PASSWORD, Reply, TestApp};

/// A school that works with Mux.
struct School {
    studio: Studio,
    mux: StandIn,
}

impl School {
    async fn open() -> Self {
        let mux = StandIn::start().await;
        let app = TestApp::start_with(|config| mux.configure(config)).await;
        Self { studio: Studio::open_in(app, "0.60").await, mux }
    }

    async fn close(self) {
        self.mux.assert_asked_well();
        self.studio.app.close().await;
    }

    /// Uploads a film that is handed over; gives its asset.
    async fn hand_over(&self, film: &[u8]) -> String {
        let posts = self.mux.posts();
        assert_eq!(self.studio.upload(MP4, film).await.body["status"], self.processing().await);
        self.mux.has_posts(posts + 1).await;
        let asset = self.mux.assets().pop().unwrap();
        soon(async || !self.mux.says_something() || self.knows(&asset).await).await;
        asset
    }

    /// Whether Murph has heard of an asset.
    async fn knows(&self, asset: &str) -> bool {
        let mut tx = self.studio.app.app.db.read().await.unwrap();
        db::mux::find_file(&mut tx, asset).await.unwrap().is_some()
    }

    /// What the status of a video is whose new file is at Mux: a video that can be played stays ready.
    async fn processing(&self) -> Value {
        let status = self.studio.video().await["status"].clone();
        if status == "ready" { status } else { json!("processing") }
    }

    /// Uploads a film that Mux makes a stream of.
    async fn ready(&self, film: &[u8]) -> String {
        let asset = self.hand_over(film).await;
        self.tell(&self.mux.is_ready(&asset)).await.is(204);
        assert_eq!(self.studio.video().await["status"], "ready");
        asset
    }

    /// Tells Murph something, as Mux does.
    async fn tell(&self, event: &Value) -> Reply {
        let body = event.to_string();
        let signature = signature(WEBHOOK_SECRET, self.studio.app.now().seconds(), &body);
        send(&self.studio.app, &signature, body).await
    }

    /// Has done what the job does; it may have been first.
    async fn process(&self) {
        videos::process(&self.studio.app.app, 2).await.unwrap();
    }

    fn advance(&self, by: Duration) {
        self.studio.app.app.clock.advance(by);
    }

    /// The video is played from Mux, and is this.
    async fn assert_played(&self, asset: &str) {
        let link = self.studio.watch_link(&self.studio.teacher).await.is(200).body;
        let start = format!("{STREAMS}/{}.m3u8?token=", playback_of(asset));
        assert!(link["url"].as_str().unwrap().starts_with(&start), "{link}");
    }

    /// The video is played as it was uploaded, and the file is there.
    async fn assert_played_as_it_is(&self) {
        let video = self.studio.video().await;
        assert_eq!((&video["status"], &video["failure"]), (&json!("ready"), &Value::Null));
        let link = self.studio.watch_link(&self.studio.teacher).await.is(200).body;
        assert_eq!((&link["content_type"], &link["size_bytes"]), (&json!(MP4), &json!(1_000)));
        let file = self.studio.fetch(link["url"].as_str().unwrap(), None).await;
        assert_eq!(file.bytes().await.unwrap().len(), 1_000);
    }

    /// The video came to nothing for this reason, as its teacher sees it and nobody else.
    async fn assert_failed(&self, why: &str) {
        let video = self.studio.video().await;
        assert_eq!((&video["status"], &video["failure"]), (&json!("failed"), &json!(why)));
        let seen = self.studio.app.get(&format!("/api/v1{}", self.studio.path)).await.is(200).body;
        assert_eq!((&seen["status"], &seen["failure"]), (&json!("empty"), &Value::Null));
        assert_eq!(self.studio.stored(), (0, 0));
    }
}

fn signature(secret: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold(format!("t={at},v1="), |hex, byte| hex + &format!("{byte:02x}"))
}

async fn send(app: &TestApp, signature: &str, body: String) -> Reply {
    let request = app.client.post(format!("{}/api/v1/webhooks/mux", app.url));
    let request = request.header("content-type", "application/json").body(body);
    Reply::to(&Method::POST, request.header("mux-signature", signature)).await
}

#[tokio::test]
async fn a_file_is_handed_over_and_played_from_mux() {
    let school = School::open().await;
    let (studio, mux) = (&school.studio, &school.mux);
    let film = film(60_000, 100_000);
    let asset = school.hand_over(&film).await;
    let processing = studio.video().await;
    assert_eq!(processing["status"], "processing");
    assert_eq!(processing["duration_ms"], 600_000, "it is what the teacher said until it is ready");
    studio.watch_link(&studio.teacher).await.refused(409, "video_not_ready");
    // Nobody is told of it twice.
    assert_eq!(studio.post("confirm", json!({})).await.is(200).body["status"], "processing");
    school.process().await;
    assert_eq!(mux.asked(), ["POST /video/v1/assets"]);
    let input = mux.asset(&asset)["input"].as_str().unwrap().to_owned();
    school.advance(Duration::from_hours(23));
    assert_eq!(studio.fetch(&input, None).await.bytes().await.unwrap(), film);

    school.tell(&mux.is_ready(&asset)).await.is(204);
    let ready = studio.video().await;
    assert_eq!((&ready["status"], &ready["duration_ms"]), (&json!("ready"), &json!(61_500)));
    let change = studio.teacher.put(&studio.path, json!({"duration_ms": 1})).await;
    change.refused(422, "invalid");
    let student = studio.app.student_with("1.00").await;
    student.post("/sessions/start", json!({"course_id": studio.course})).await.is(201);
    let link = studio.watch_link(&student).await.is(200).body;
    assert_eq!(link["content_type"], "application/vnd.apple.mpegurl");
    assert_eq!(link["size_bytes"], Value::Null);
    let expires_at: Timestamp = serde_json::from_value(link["expires_at"].clone()).unwrap();
    // 1.00 at 0.60 a minute.
    let lasts = expires_at.since(studio.app.now());
    assert!(lasts > Duration::from_secs(98) && lasts <= Duration::from_secs(100), "{lasts:?}");
    let playback = playback_of(&asset);
    for (name, start, aud) in [
        ("url", format!("{STREAMS}/{playback}.m3u8?token="), "v"),
        ("thumbnail_url", format!("{IMAGES}/{playback}/thumbnail.jpg?token="), "t"),
    ] {
        let token = link[name].as_str().unwrap().strip_prefix(&start).unwrap();
        let expected =
            json!({"kid": "mux_key_1", "sub": playback, "aud": aud, "exp": expires_at.seconds()});
        assert_eq!(claims(token), expected, "{link}");
    }
    school.close().await;
}

#[tokio::test]
async fn without_mux_a_file_is_played_as_it_is() {
    let studio = Studio::open().await;
    assert_eq!(studio.upload(MP4, &film(60_000, 1_000)).await.body["status"], "ready");
    let link = studio.watch_link(&studio.teacher).await.is(200).body;
    assert_eq!((&link["content_type"], &link["thumbnail_url"]), (&json!(MP4), &Value::Null));
    assert_eq!(link["size_bytes"], 1_000);
    let body = json!({"type": "video.asset.ready"}).to_string();
    let signed = signature(WEBHOOK_SECRET, studio.app.now().seconds(), &body);
    send(&studio.app, &signed, body.clone()).await.refused(404, "not_found");
    let unsigned = studio.app.client.post(format!("{}/api/v1/webhooks/mux", studio.app.url));
    let unsigned = unsigned.header("content-type", "application/json").body(body);
    Reply::to(&Method::POST, unsigned).await.refused(403, "forbidden");
    studio.app.close().await;
}

#[tokio::test]
async fn what_was_played_is_played_until_the_next_is_ready_and_its_links_have_ended() {
    let school = School::open().await;
    let first = school.ready(&film(60_000, 1_000)).await;
    let second = school.hand_over(&film(30_000, 2_000)).await;
    school.assert_played(&first).await;
    assert_eq!(school.studio.video().await["duration_ms"], 61_500);
    let event = school.mux.becomes(&second, "ready", &json!({"duration": 30}));
    school.tell(&event).await.is(204);
    school.assert_played(&second).await;
    assert_eq!(school.studio.video().await["duration_ms"], 30_000);

    // A link to the first may still be in use.
    school.studio.sweep().await;
    school.process().await;
    assert_eq!(school.mux.assets(), [first.as_str(), &second]);
    school.advance(Duration::from_hours(2));
    school.studio.sweep().await;
    school.process().await;
    assert_eq!(school.mux.assets(), [second.as_str()]);
    school.assert_played(&second).await;
    school.close().await;
}

#[tokio::test]
async fn a_file_that_comes_to_nothing_says_why() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let errors = json!({"type": "invalid_input", "messages": ["There is no <b>picture</b>.\n"]});
    let event = school.mux.becomes(&asset, "errored", &json!({"errors": errors}));
    school.tell(&event).await.is(204);
    school.assert_failed("Mux cannot make a video of it: There is no <b>picture</b>.").await;
    school.process().await;
    assert!(school.mux.assets().is_empty());

    // Whoever uploads another has it handed over.
    let asset = school.ready(&film(60_000, 1_000)).await;
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn what_mux_does_not_take_is_played_as_it_is() {
    let school = School::open().await;
    let why = json!({"error": {"type": "invalid_parameters", "messages": ["Too many assets"]}});
    school.mux.set_mood(Mood::Off(400, why));
    school.studio.upload(MP4, &film(60_000, 1_000)).await;
    soon(async || school.studio.video().await["status"] != "processing").await;
    school.assert_played_as_it_is().await;
    school.process().await;
    assert_eq!(school.mux.posts(), 1);
    school.close().await;
}

#[tokio::test]
async fn a_length_that_cannot_be_keeps_nothing_from_being_played() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let event = school.mux.becomes(&asset, "ready", &json!({"duration": 1e9}));
    school.tell(&event).await.is(204);
    school.assert_played(&asset).await;
    assert_eq!(school.studio.video().await["duration_ms"], 60_000, "it is what the file says");
    school.close().await;
}

#[tokio::test]
async fn whoever_dies_before_mux_is_told_leaves_it_to_the_next() {
    let nowhere = nowhere().await;
    let app = TestApp::start_with(|config| configure(config, &nowhere)).await;
    let studio = Studio::open_in(app, "0.60").await;
    assert_eq!(studio.upload(MP4, &film(60_000, 1_000)).await.body["status"], "processing");
    let Studio { app, teacher, course, path } = studio;
    let database = app.close_and_keep().await;

    let mux = StandIn::start().await;
    let app = TestApp::start_on(database, |config| mux.configure(config)).await;
    let teacher = app.log_in(&teacher.email, PASSWORD).await;
    let school = School { studio: Studio { app, teacher, course, path }, mux };
    // The job may be at it, or wait because the one before seems to be.
    let is_handed_over = async || {
        school.process().await;
        let Some(asset) = school.mux.assets().pop() else {
            school.advance(Duration::from_mins(11));
            return false;
        };
        school.knows(&asset).await
    };
    soon(is_handed_over).await;
    let asset = school.mux.assets().pop().unwrap();
    school.tell(&school.mux.is_ready(&asset)).await.is(204);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn a_mux_that_is_away_is_asked_again_later() {
    let school = School::open().await;
    for (posts, status) in [(1, 503), (2, 500)] {
        school.mux.set_mood(Mood::Off(status, Value::Null));
        if posts == 1 {
            school.studio.upload(MP4, &film(60_000, 1_000)).await;
        } else {
            school.process().await;
        }
        school.mux.has_posts(posts).await;
        // It is left alone for a while.
        school.process().await;
        assert_eq!(school.mux.posts(), posts, "{status}");
        assert_eq!(school.studio.video().await["status"], "processing");
        school.advance(Duration::from_mins(11));
    }
    school.mux.set_mood(Mood::Well);
    school.process().await;
    assert_eq!(school.mux.assets(), ["asset-1"]);
    school.tell(&school.mux.is_ready("asset-1")).await.is(204);
    school.assert_played("asset-1").await;
    school.close().await;
}

#[tokio::test]
async fn one_answer_that_is_none_keeps_nobody_else_waiting() {
    let mut school = School::open().await;
    let odd = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.becomes(&odd, "ready", &json!({"playback_ids": []}));
    let studio = &school.studio;
    let path = add(&studio.app, &studio.teacher, studio.course, "Another part").await;
    school.studio.path = path;
    let fine = school.hand_over(&film(60_000, 2_000)).await;
    school.mux.is_ready(&fine);
    school.advance(Duration::from_mins(11));
    school.process().await;
    school.assert_played(&fine).await;
    school.close().await;
}

/// Whose key Mux does not know, or who asked too often, has made nothing.
#[tokio::test]
async fn what_mux_did_not_even_look_at_is_asked_the_next_time() {
    for status in [401, 404, 429] {
        let school = School::open().await;
        school.mux.set_mood(Mood::Off(status, Value::Null));
        school.studio.upload(MP4, &film(60_000, 1_000)).await;
        school.mux.has_posts(1).await;
        school.mux.set_mood(Mood::Well);
        // The one that was turned away may be about to write that down.
        let has_asked_again = async || {
            school.process().await;
            school.mux.posts() >= 2
        };
        soon(has_asked_again).await;
        assert_eq!(school.studio.video().await["status"], "processing");
        assert_eq!(school.mux.assets(), ["asset-1"]);
        school.close().await;
    }
}

#[tokio::test]
async fn an_asset_whose_name_was_lost_is_known_by_its_mark() {
    let school = School::open().await;
    school.mux.set_mood(Mood::Mute);
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.set_mood(Mood::Well);
    school.tell(&event_of("created", &school.mux.asset(&asset))).await.is(204);
    school.advance(Duration::from_mins(11));
    school.process().await;
    assert_eq!(school.mux.asked()[1..], ["GET /video/v1/assets/asset-1"], "it is not made twice");
    school.tell(&school.mux.is_ready(&asset)).await.is(204);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn of_two_assets_for_one_file_one_is_deleted() {
    let school = School::open().await;
    school.mux.set_mood(Mood::Mute);
    let lost = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.set_mood(Mood::Well);
    school.advance(Duration::from_mins(11));
    school.process().await;
    assert_eq!(school.mux.assets(), [lost.as_str(), "asset-2"]);
    // Its first one is told of at last.
    school.tell(&school.mux.is_ready(&lost)).await.is(204);
    assert_eq!(school.studio.video().await["status"], "processing");
    school.process().await;
    assert_eq!(school.mux.assets(), ["asset-2"]);
    school.tell(&school.mux.is_ready("asset-2")).await.is(204);
    school.assert_played("asset-2").await;
    school.close().await;
}

#[tokio::test]
async fn what_was_not_told_is_asked() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.is_ready(&asset);
    school.process().await;
    assert_eq!(school.studio.video().await["status"], "processing");
    school.advance(Duration::from_mins(11));
    school.process().await;
    school.assert_played(&asset).await;

    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.forget(&asset);
    school.advance(Duration::from_mins(11));
    school.process().await;
    // Mux may be set up for another environment, so this says nothing about the file.
    school.assert_played_as_it_is().await;
    school.tell(&ready_of(&asset)).await.is(204);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn what_is_deleted_while_mux_is_at_work_is_played_as_it_is() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let deleted = school.mux.forget(&asset);
    for _ in 0..2 {
        school.tell(&deleted).await.is(204);
        school.assert_played_as_it_is().await;
    }
    school.close().await;
}

/// As after a weekend on which Murph was down, or Mux away.
#[tokio::test]
async fn what_was_ready_while_nobody_could_ask_is_played() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.is_ready(&asset);
    school.mux.set_mood(Mood::Off(503, Value::Null));
    school.advance(Duration::from_hours(60));
    let School { studio, mux } = school;
    let school = School { studio: studio.signed_in().await, mux };
    school.process().await;
    assert_eq!(school.studio.video().await["status"], "processing", "there is no answer yet");
    school.mux.set_mood(Mood::Well);
    school.advance(Duration::from_mins(11));
    school.process().await;
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn what_cannot_be_handed_over_for_a_day_is_played_as_it_is() {
    let school = School::open().await;
    school.mux.set_mood(Mood::Off(503, Value::Null));
    school.studio.upload(MP4, &film(60_000, 1_000)).await;
    school.mux.has_posts(1).await;
    school.advance(Duration::from_hours(23));
    school.process().await;
    assert_eq!(school.studio.video().await["status"], "processing");
    school.advance(Duration::from_hours(2));
    let School { studio, mux } = school;
    let school = School { studio: studio.signed_in().await, mux };
    school.process().await;
    school.assert_played_as_it_is().await;
    school.close().await;
}

#[tokio::test]
async fn what_takes_too_long_is_played_as_it_is_until_it_is_ready() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.advance(Duration::from_hours(23));
    school.studio.sweep().await;
    school.process().await;
    assert_eq!(school.studio.video().await["status"], "processing");
    school.advance(Duration::from_hours(2));
    let studio = school.studio.signed_in().await;
    let school = School { studio, mux: school.mux };
    // Nobody could upload it for more than a day, but Mux is at work on it.
    school.studio.sweep().await;
    school.process().await;
    school.studio.sweep().await;
    school.assert_played_as_it_is().await;
    assert_eq!(school.mux.assets(), [asset.as_str()]);
    school.tell(&school.mux.is_ready(&asset)).await.is(204);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn a_video_that_is_deleted_is_so_at_mux_when_nobody_can_be_watching() {
    let school = School::open().await;
    let asset = school.ready(&film(60_000, 1_000)).await;
    let student = school.studio.app.student_with("30.00").await;
    let course = school.studio.course;
    student.post("/sessions/start", json!({"course_id": course})).await.is(201);
    school.advance(Duration::from_millis(1));
    school.studio.teacher.send(Method::DELETE, &school.studio.path, None, &[]).await.is(204);
    for hours in [0, 11] {
        school.advance(Duration::from_hours(hours));
        school.studio.sweep().await;
        school.process().await;
        let link = school.studio.watch_link(&student).await;
        assert!(link.status == 200 || hours > 0, "{link:?}");
        assert_eq!(school.mux.assets(), [asset.as_str()]);
    }
    let ready = event_of("ready", &school.mux.asset(&asset));
    school.advance(meter::AGE_MAX);
    school.studio.sweep().await;
    school.process().await;
    assert!(school.mux.assets().is_empty());

    // Of a file that nobody knows any more.
    school.tell(&ready).await.is(204);
    let asked = school.mux.asked().len();
    for _ in 0..2 {
        school.process().await;
    }
    assert_eq!(school.mux.asked()[asked..], [format!("DELETE /video/v1/assets/{asset}")]);
    school.close().await;
}

#[tokio::test]
async fn what_is_replaced_while_mux_is_at_work_is_deleted_there() {
    let school = School::open().await;
    let first = school.hand_over(&film(60_000, 1_000)).await;
    school.advance(Duration::from_millis(1));
    let second = school.hand_over(&film(60_000, 2_000)).await;
    // It is told of too late.
    school.tell(&school.mux.is_ready(&first)).await.is(204);
    assert_eq!(school.studio.video().await["status"], "processing");
    school.advance(Duration::from_hours(3));
    school.studio.sweep().await;
    school.process().await;
    assert_eq!(school.mux.assets(), [second.as_str()]);
    school.tell(&school.mux.is_ready(&second)).await.is(204);
    school.assert_played(&second).await;
    school.close().await;
}

#[tokio::test]
async fn what_is_told_twice_or_in_another_order_does_no_harm() {
    let school = School::open().await;
    let asset = school.ready(&film(60_000, 1_000)).await;
    let ready = event_of("ready", &school.mux.asset(&asset));
    let created = event_of("created", &json!({"id": asset, "status": "preparing"}));
    let errored = event_of("errored", &json!({"id": asset, "status": "errored"}));
    for event in [&ready, &created, &errored, &ready] {
        school.tell(event).await.is(204);
        school.assert_played(&asset).await;
    }
    let other = event_of(
        "ready",
        &json!({"id": asset, "status": "ready", "duration": 5,
        "playback_ids": [{"id": "another", "policy": "signed"}]}),
    );
    school.tell(&other).await.is(204);
    school.assert_played(&asset).await;
    for what in ["updated", "track.ready", "master.deleted", "static_rendition.ready"] {
        school.tell(&event_of(what, &school.mux.asset(&asset))).await.is(204);
        school.assert_played(&asset).await;
    }
    school.tell(&json!({"type": "video.live_stream.idle", "data": [1]})).await.is(204);

    // Somebody deletes it at Mux: then there is still the file.
    let deleted = school.mux.forget(&asset);
    for event in [&deleted, &ready, &deleted, &errored] {
        school.tell(event).await.is(204);
        let link = school.studio.watch_link(&school.studio.teacher).await.is(200).body;
        assert_eq!(link["content_type"], MP4);
    }
    school.process().await;
    school.close().await;
}

/// As Mux tries again while the first try is under way, and two nodes ask.
#[tokio::test]
async fn what_is_told_many_times_at_once_is_done_once() {
    let school = School::open().await;
    let first = school.ready(&film(60_000, 1_000)).await;
    school.mux.set_mood(Mood::Mute);
    let asset = school.hand_over(&film(30_000, 2_000)).await;
    school.mux.set_mood(Mood::Well);
    school.advance(Duration::from_mins(11));
    let (ready, other) =
        (school.mux.is_ready(&asset), event_of("ready", &school.mux.asset(&first)));
    let events = [&ready, &other].into_iter().cycle().take(16).map(|event| school.tell(event));
    let (replies, (), ()) = tokio::join!(join_all(events), school.process(), school.process());
    for reply in replies {
        reply.is(204);
    }
    school.advance(Duration::from_mins(11));
    school.process().await;
    // Which one, if it was handed over twice, is a matter of chance; and that one may not be ready yet.
    let kept: Vec<_> = school.mux.assets().into_iter().filter(|kept| *kept != first).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    school.tell(&school.mux.is_ready(&kept[0])).await.is(204);
    school.assert_played(&kept[0]).await;
    assert_eq!(school.mux.assets().len(), 2, "the first may still be watched");
    school.close().await;
}

#[tokio::test]
async fn what_failed_stays_so() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let errored = school.mux.becomes(&asset, "errored", &json!({}));
    school.tell(&errored).await.is(204);
    school.tell(&school.mux.is_ready(&asset)).await.is(204);
    school.tell(&errored).await.is(204);
    school.assert_failed("Mux cannot make a video of it: it does not say why").await;
    school.process().await;
    assert!(school.mux.assets().is_empty());
    school.close().await;
}

#[tokio::test]
async fn only_what_bears_our_mark_is_ours() {
    let school = School::open().await;
    let asset = school.ready(&film(60_000, 1_000)).await;
    let mark = school.mux.asset(&asset)["passthrough"].as_str().unwrap().to_owned();
    let (id, signature) = mark.strip_prefix("murph:").unwrap().split_once(':').unwrap();
    let another = FileId::new(school.studio.app.now());
    let asked = school.mux.asked().len();
    for passthrough in [
        Value::Null,
        json!("a lesson of somebody else"),
        json!(format!("murph:{id}")),
        json!(format!("murph:{id}:")),
        json!(format!("murph:{another}:{signature}")),
        json!(id),
        json!(json!({"fileId": id}).to_string()),
    ] {
        for what in ["created", "ready", "errored", "deleted"] {
            let asset = json!({"id": "theirs", "passthrough": passthrough,
                "playback_ids": [{"id": "p", "policy": "signed"}]});
            school.tell(&event_of(what, &asset)).await.is(204);
        }
    }
    school.process().await;
    assert_eq!(school.mux.asked().len(), asked, "what is not ours is left alone");

    // One of ours that its file does not need.
    let event = event_of("created", &json!({"id": "ours", "passthrough": mark}));
    school.tell(&event).await.is(204);
    school.process().await;
    assert_eq!(school.mux.asked()[asked..], ["DELETE /video/v1/assets/ours"]);
    school.process().await;
    assert_eq!(school.mux.asked().len(), asked + 1);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn what_cannot_be_deleted_is_tried_again() {
    let school = School::open().await;
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    school.tell(&school.mux.becomes(&asset, "errored", &json!({}))).await.is(204);
    for status in [503, 401, 400, 429] {
        school.mux.set_mood(Mood::Off(status, Value::Null));
        school.process().await;
        assert_eq!(school.mux.assets(), [asset.as_str()]);
    }
    school.mux.set_mood(Mood::Mute);
    school.process().await;
    assert!(school.mux.assets().is_empty(), "it was, but did not say so");
    school.mux.set_mood(Mood::Well);
    let asked = school.mux.asked().len();
    for _ in 0..2 {
        school.process().await;
    }
    assert_eq!(school.mux.asked().len(), asked + 1);
    school.close().await;
}

#[tokio::test]
async fn one_that_breaks_mux_keeps_nobody_else_waiting() {
    let school = School::open().await;
    for _ in 0..4 {
        let asset = school.hand_over(&film(60_000, 1_000)).await;
        school.tell(&school.mux.becomes(&asset, "errored", &json!({}))).await.is(204);
    }
    // If all break it, it is left alone soon.
    school.mux.set_mood(Mood::Off(503, Value::Null));
    let asked = school.mux.asked().len();
    school.process().await;
    assert_eq!(school.mux.asked().len(), asked + 3);

    school.mux.set_mood(Mood::Well);
    let waiting = school.hand_over(&film(60_000, 1_000)).await;
    school.mux.set_mood(Mood::BreaksAt(vec!["asset-2".into(), waiting.clone()]));
    school.advance(Duration::from_mins(11));
    school.process().await;
    assert_eq!(school.mux.assets(), ["asset-2", waiting.as_str()]);
    school.close().await;
}

#[tokio::test]
async fn what_was_asked_last_is_asked_last() {
    let mut school = School::open().await;
    let first = school.hand_over(&film(60_000, 1_000)).await;
    let studio = &school.studio;
    school.studio.path = add(&studio.app, &studio.teacher, studio.course, "Another part").await;
    school.advance(Duration::from_secs(1));
    let second = school.hand_over(&film(60_000, 2_000)).await;
    school.mux.set_mood(Mood::BreaksAt(vec![first.clone(), second.clone()]));
    school.advance(Duration::from_mins(11));
    let asked = school.mux.asked().len();
    for _ in 0..2 {
        // It ends at the first that breaks.
        school.process().await;
        school.advance(Duration::from_mins(11));
    }
    school.process().await;
    let expected = [&first, &second, &first].map(|id| format!("GET /video/v1/assets/{id}"));
    assert_eq!(school.mux.asked()[asked..], expected);
    school.close().await;
}

#[tokio::test]
async fn many_files_at_once_do_not_all_ask_at_once() {
    let mut school = School::open().await;
    school.mux.set_mood(Mood::Slow);
    for part in 0..10 {
        let studio = &school.studio;
        let path = add(&studio.app, &studio.teacher, studio.course, &format!("Part {part}")).await;
        school.studio.path = path;
        school.studio.upload(MP4, &film(60_000, 1_000)).await;
    }
    school.mux.has_posts(8).await;
    assert_eq!(school.mux.posts(), 8);
    school.mux.set_mood(Mood::Well);
    school.process().await;
    assert_eq!(school.mux.posts(), 10);
    school.close().await;
}

#[tokio::test]
async fn nobody_speaks_for_mux() {
    let school = School::open().await;
    let (app, now) = (&school.studio.app, school.studio.app.now().seconds());
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let body = school.mux.is_ready(&asset).to_string();
    let fine = signature(WEBHOOK_SECRET, now, &body);
    let (_, v1) = fine.split_once(",v1=").unwrap();
    for wrong in [
        String::new(),
        format!("t={now}"),
        format!("t={now},v1="),
        format!("t={now},v1={}", &v1[1..]),
        format!("t={},v1={v1}", now + 1),
        format!("t={now},v0={v1}"),
        v1.to_owned(),
        signature("another secret", now, &body),
        signature("", now, &body),
        signature(WEBHOOK_SECRET, now - 301, &body),
        signature(WEBHOOK_SECRET, now + 301, &body),
        signature(WEBHOOK_SECRET, now, &body.replace("61.5", "61.6")),
    ] {
        send(app, &wrong, body.clone()).await.refused(403, "forbidden");
    }
    for altered in [
        body.replace("61.5", "61.6"),
        body.replace("\":", "\": "),
        format!("\u{feff}{body}"),
        format!("{body} "),
        String::new(),
    ] {
        send(app, &fine, altered).await.refused(403, "forbidden");
    }
    let url = format!("{}/api/v1/webhooks/mux", app.url);
    let unsigned = app.client.post(&url).header("content-type", "application/json");
    let unsigned = Reply::to(&Method::POST, unsigned.body(body.clone())).await;
    unsigned.refused(403, "forbidden");
    assert_eq!(school.studio.video().await["status"], "processing");

    let both = format!("t={now},v1={},v1={v1}", "0".repeat(64));
    send(app, &both, body).await.is(204);
    school.assert_played(&asset).await;
    school.close().await;
}

#[tokio::test]
async fn what_mux_signs_must_make_sense_all_the_same() {
    let school = School::open().await;
    let (app, now) = (&school.studio.app, school.studio.app.now().seconds());
    let asset = school.hand_over(&film(60_000, 1_000)).await;
    let mark = school.mux.asset(&asset)["passthrough"].clone();
    let ready = |data: Value| json!({"type": "video.asset.ready", "data": data}).to_string();
    let playable = json!([{"id": "p", "policy": "signed"}]);
    let ids = |id: &str, policy: &str| json!([{"id": id, "policy": policy}]);
    for (body, status, code) in [
        ("{".to_owned(), 400, "malformed_json"),
        ("[]".to_owned(), 422, "invalid"),
        ("{}".to_owned(), 422, "invalid"),
        (ready(json!({"passthrough": mark})), 422, "invalid"),
        (
            ready(json!({"id": "../../x", "passthrough": mark, "playback_ids": playable})),
            422,
            "invalid",
        ),
        (ready(json!({"id": "a", "passthrough": mark, "playback_ids": []})), 422, "invalid"),
        (ready(json!({"id": asset, "playback_ids": []})), 422, "invalid"),
        (ready(json!({"id": asset, "playback_ids": ids("p", "public")})), 422, "invalid"),
        (ready(json!({"id": asset, "playback_ids": ids("p?x", "signed")})), 422, "invalid"),
        (ready(json!("x".repeat(65_536))), 413, "body_too_large"),
    ] {
        let signed = signature(WEBHOOK_SECRET, now, &body);
        send(app, &signed, body).await.refused(status, code);
    }
    // Whoever shares Mux with us may play to everybody.
    for data in [
        Value::Null,
        json!({"id": "../../x", "playback_ids": playable}),
        json!({"id": "theirs", "playback_ids": []}),
        json!({"id": "theirs", "playback_ids": ids("p", "public")}),
        json!({"id": "theirs", "passthrough": "a lesson", "playback_ids": ids("p", "public")}),
        json!({"id": "theirs", "passthrough": 1}),
    ] {
        school.tell(&json!({"type": "video.asset.ready", "data": data})).await.is(204);
    }
    assert_eq!(school.studio.video().await["status"], "processing");
    let body = ready(json!({}));
    let signed = signature(WEBHOOK_SECRET, now, &body);
    let request = app.client.post(format!("{}/api/v1/webhooks/mux", app.url));
    let request = request.header("mux-signature", signed).body(body);
    Reply::to(&Method::POST, request).await.refused(415, "unsupported_media_type");
    school.close().await;
}

#[tokio::test]
async fn without_mux_again_files_are_played_as_they_are() {
    let mut school = School::open().await;
    school.ready(&film(60_000, 1_000)).await;
    let first = school.studio.path.clone();
    let studio = &school.studio;
    let second = add(&studio.app, &studio.teacher, studio.course, "Another part").await;
    school.studio.path = second;
    let asset = school.hand_over(&film(30_000, 2_000)).await;
    let School { studio: Studio { app, teacher, course, path }, mux } = school;
    let database = app.close_and_keep().await;

    let app = TestApp::start_on(database, |_| {}).await;
    let teacher = app.log_in(&teacher.email, PASSWORD).await;
    let studio = Studio { app, teacher, course, path };
    // Another node may still have Mux.
    videos::process(&studio.app.app, 2).await.unwrap();
    assert_eq!(studio.video().await["status"], "processing");
    studio.app.app.clock.advance(Duration::from_mins(11));
    let studio = studio.signed_in().await;
    videos::process(&studio.app.app, 2).await.unwrap();
    for (path, duration_ms, size) in [(first, 61_500, 1_000), (studio.path.clone(), 30_000, 2_000)]
    {
        let video = studio.teacher.get(&path).await.is(200).body;
        assert_eq!(
            (&video["status"], &video["duration_ms"]),
            (&json!("ready"), &json!(duration_ms))
        );
        let link = studio.teacher.get(&format!("{path}/url")).await.is(200).body;
        assert_eq!((&link["content_type"], &link["size_bytes"]), (&json!(MP4), &json!(size)));
    }
    mux.assert_asked_well();
    assert_eq!(mux.assets().last(), Some(&asset), "nobody has a key to delete it with");
    studio.app.close().await;
}
