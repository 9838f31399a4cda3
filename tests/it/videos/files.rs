//! From a file to what is played: in the data directory, by links of our own.

use futures_util::future::join_all;
use murph::{db::video_files, id::FileId, service::videos};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use super::{MP4, Studio, film};
use crate::harness::Reply;

#[tokio::test]
async fn a_file_is_uploaded_confirmed_and_played() {
    let studio = Studio::open().await;
    let file = film(150_500, 200_000);
    let before = studio.video().await;
    assert_eq!((&before["status"], &before["content_type"]), (&json!("empty"), &Value::Null));
    studio.watch_link(&studio.teacher).await.refused(409, "video_not_ready");

    let link = studio.link(MP4, file.len()).await;
    assert_eq!(link["method"], "PUT");
    assert_eq!(link["headers"], json!({"content-type": MP4, "content-length": "200000"}));
    assert_eq!(studio.video().await["status"], "empty");
    studio.put(&link, file.clone()).await.is(200);
    assert_eq!(studio.video().await["status"], "uploaded");
    studio.watch_link(&studio.teacher).await.refused(409, "video_not_ready");

    let confirmed = studio.post("confirm", json!({})).await.is(200).body;
    let mut expected = before;
    expected["status"] = json!("ready");
    expected["content_type"] = json!(MP4);
    expected["size_bytes"] = json!(200_000);
    // The file knows better than its teacher.
    expected["duration_ms"] = json!(150_500);
    assert_eq!(confirmed, expected);
    assert_eq!(studio.video().await, expected);
    assert_eq!(studio.post("confirm", json!({})).await.is(200).body, expected, "again");

    let response = studio.fetch(&studio.own_link().await, None).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], MP4);
    assert_eq!(response.headers()["accept-ranges"], "bytes");
    assert_is_nothing_but_a_video(&response);
    assert_eq!(response.bytes().await.unwrap(), file);
    assert_eq!(studio.stored(), (1, 0));
    studio.app.close().await;
}

/// Also for a browser that opens the link as a page.
#[track_caller]
fn assert_is_nothing_but_a_video(response: &reqwest::Response) {
    assert_eq!(response.headers()["content-type"], MP4);
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let policy = "default-src 'none'; media-src 'self'; sandbox";
    assert_eq!(response.headers()["content-security-policy"], policy);
}

#[tokio::test]
async fn parts_of_a_file_are_sent() {
    let studio = Studio::open().await;
    let file = film(1_000, 100_000);
    studio.upload(MP4, &file).await;
    let url = studio.own_link().await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 100_000),
        ("bytes=70000-79999", 70_000, 80_000),
        ("bytes=99999-", 99_999, 100_000),
        ("bytes=99000-200000", 99_000, 100_000),
        ("bytes=-500", 99_500, 100_000),
        ("bytes=-200000", 0, 100_000),
        ("bytes=-99999999999999999999999999", 0, 100_000),
    ] {
        let response = studio.fetch(&url, Some(range)).await;
        assert_eq!(response.status(), 206, "{range}");
        let sent = format!("bytes {from}-{}/100000", to - 1);
        assert_eq!(response.headers()["content-range"], sent.as_str());
        assert_is_nothing_but_a_video(&response);
        assert_eq!(response.bytes().await.unwrap(), &file[from..to], "{range}");
    }
    for range in ["bytes=100000-", "bytes=200000-300000", "bytes=5-4", "bytes=0-1,5-6"] {
        let response = studio.fetch(&url, Some(range)).await;
        let length = response.headers().get("content-range").cloned();
        Reply::of(&Method::GET, response).await.refused(416, "range_not_satisfiable");
        assert_eq!(length.unwrap(), "bytes */100000", "{range}");
    }
    for (name, value) in [("x-nothing", ""), ("range", "bytes=0-9"), ("range", "bytes=100000-")] {
        let head = studio.app.client.head(&url).header(name, value).send().await.unwrap();
        assert_is_nothing_but_a_video(&head);
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-length"]),
            (200, &"100000".parse().unwrap())
        );
    }
    studio.app.close().await;
}

#[tokio::test]
async fn a_condition_is_kept_or_does_not_matter() {
    let studio = Studio::open().await;
    let file = film(1_000, 100_000);
    studio.upload(MP4, &file).await;
    let url = studio.own_link().await;
    let whole = studio.fetch(&url, None).await;
    let known = |name| whole.headers()[name].to_str().unwrap().to_owned();
    let (tag, date) = (known("etag"), known("last-modified"));
    let weak = format!("W/{tag}");
    let (tag, date, weak) = (tag.as_str(), date.as_str(), weak.as_str());
    let (part, long_ago) = ("bytes=0-9", "Thu, 01 Jan 1970 00:00:00 GMT");
    for (headers, status) in [
        ([("range", part), ("if-range", tag)], 206),
        ([("range", part), ("if-range", date)], 206),
        ([("range", part), ("if-range", "\"another\"")], 200),
        ([("range", part), ("if-range", weak)], 200),
        ([("range", part), ("if-range", long_ago)], 200),
        ([("range", part), ("if-match", "\"another\"")], 206),
        ([("range", part), ("if-unmodified-since", long_ago)], 206),
        ([("range", part), ("if-none-match", tag)], 304),
        ([("range", part), ("if-modified-since", date)], 304),
        // A unit that nobody knows is as good as none.
        ([("range", "items=0-9"), ("accept", "*/*")], 200),
        ([("range", "0-9"), ("accept", "*/*")], 200),
    ] {
        let request = headers.iter().fold(studio.app.client.get(&url), |request, (name, value)| {
            request.header(*name, *value)
        });
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        let sent = match status {
            200 => &file[..],
            206 => &file[..10],
            _ => &[],
        };
        assert_eq!(response.bytes().await.unwrap(), sent, "{headers:?}");
    }
    studio.app.close().await;
}

#[tokio::test]
async fn a_file_whose_keeper_died_is_not_lost() {
    let studio = Studio::open().await;
    let file = film(1_000, 1_000);
    let link = studio.link(MP4, file.len()).await;
    // It got its name, and nobody wrote that down.
    let (place, _) = link["url"].as_str().unwrap().split_once('?').unwrap();
    let media = studio.app.app.config.server.data_dir.join("media");
    std::fs::create_dir_all(&media).unwrap();
    std::fs::write(media.join(place.rsplit_once('/').unwrap().1), &file).unwrap();
    studio.put(&link, film(2_000, 1_000)).await.refused(409, "upload_over");
    assert_eq!(studio.video().await["status"], "uploaded");
    assert_eq!(studio.post("confirm", json!({})).await.is(200).body["status"], "ready");
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), file);
    studio.app.close().await;
}

#[tokio::test]
async fn what_never_came_in_is_swept_away() {
    let studio = Studio::open().await;
    let incoming = studio.app.app.config.server.data_dir.join("media").join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    let age = |name: &str, age: Duration| {
        let entry = std::fs::File::open(incoming.join(name)).unwrap();
        entry.set_modified(entry.metadata().unwrap().modified().unwrap() - age).unwrap();
    };
    for nth in 0..5 {
        let (old, stuck) = (format!("old{nth}"), format!("stuck{nth}"));
        std::fs::write(incoming.join(&old), "film").unwrap();
        age(&old, Duration::from_hours(3));
        // No file, so removing it fails, also for root.
        std::fs::create_dir(incoming.join(&stuck)).unwrap();
        age(&stuck, Duration::from_hours(3));
    }
    std::fs::write(incoming.join("young"), "film").unwrap();
    age("young", Duration::from_mins(110));
    studio.app.app.storage.sweep().await.unwrap();
    assert_eq!(studio.stored(), (0, 1), "what is coming in may take so long");
    assert!(incoming.join("young").exists());
    studio.app.close().await;
}

#[tokio::test]
async fn a_file_that_a_client_has_is_not_sent_again() {
    let studio = Studio::open().await;
    studio.upload(MP4, &film(1_000, 1_000)).await;
    let url = studio.own_link().await;
    let whole = studio.fetch(&url, None).await;
    let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    let (tag, modified) = (header("etag"), header("last-modified"));
    for (condition, status) in [
        (("if-none-match", tag.as_str()), 304),
        (("if-none-match", "\"another\""), 200),
        (("if-modified-since", modified.as_str()), 304),
        (("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"), 200),
        // It never becomes another one.
        (("if-match", "\"another\""), 200),
        (("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"), 200),
    ] {
        let response = studio.fetch_with(&url, &[condition]).await;
        assert_eq!(response.status(), status, "{condition:?}");
    }
    studio.app.close().await;
}

#[tokio::test]
async fn what_is_not_a_video_fails_and_says_why() {
    let studio = Studio::open().await;
    studio.post("confirm", json!({})).await.refused(409, "upload_missing");
    studio.link(MP4, 100).await;
    studio.post("confirm", json!({})).await.refused(409, "upload_missing");
    assert_eq!(studio.video().await["status"], "empty");

    let page = b"<!doctype html><script>alert(1)</script>";
    for content_type in ["video/mp4", "video/quicktime", "video/webm", "video/ogg"] {
        let failed = studio.upload(content_type, page).await.body;
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["failure"], format!("does not begin like {content_type}"));
        assert_eq!(studio.stored(), (0, 0));
        assert_eq!(studio.post("confirm", json!({})).await.is(200).body, failed, "again");
        studio.watch_link(&studio.teacher).await.refused(409, "video_not_ready");
    }
    let endless = film(u32::MAX - 1, 500);
    let failed = studio.upload(MP4, &endless).await.body;
    assert_eq!(failed["failure"], "its length must be between 1 and 172800000");
    let good = studio.upload(MP4, &film(5_000, 500)).await.body;
    assert_eq!((&good["status"], &good["failure"]), (&json!("ready"), &Value::Null));
    studio.app.close().await;
}

#[tokio::test]
async fn another_file_takes_its_place_when_it_is_good() {
    let studio = Studio::open().await;
    let (first, second) = (film(1_000, 1_000), film(2_000, 2_000));
    studio.upload(MP4, &first).await;
    let old_link = studio.own_link().await;

    let link = studio.link(MP4, second.len()).await;
    studio.put(&link, second.clone()).await.is(200);
    let waiting = studio.video().await;
    assert_eq!((&waiting["status"], &waiting["size_bytes"]), (&json!("ready"), &json!(1_000)));
    assert_eq!(studio.fetch(&old_link, None).await.bytes().await.unwrap(), first);
    assert_eq!(studio.stored(), (2, 0));

    let swapped = studio.post("confirm", json!({})).await.is(200).body;
    assert_eq!((&swapped["size_bytes"], &swapped["duration_ms"]), (&json!(2_000), &json!(2_000)));
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), second);
    // Who is watching the first one goes on until the link ends, and only then it is removed.
    studio.app.app.clock.advance(Duration::from_secs(299));
    assert_eq!(studio.sweep().await, 0);
    assert_eq!(studio.fetch(&old_link, None).await.bytes().await.unwrap(), first);
    studio.app.app.clock.advance(Duration::from_secs(1));
    Reply::of(&Method::GET, studio.fetch(&old_link, None).await).await.refused(403, "forbidden");
    studio.app.app.clock.advance(Duration::from_hours(1) - Duration::from_secs(301));
    assert_eq!((studio.sweep().await, studio.stored()), (0, (2, 0)));
    // As long again: see an upload that is still running when its link ends.
    studio.app.app.clock.advance(Duration::from_hours(1) + Duration::from_secs(1));
    studio.sweep().await;
    assert_eq!(studio.stored(), (1, 0));
    let studio = studio.signed_in().await;

    let failed = studio.upload(MP4, b"no film").await.body;
    assert_eq!((&failed["status"], &failed["size_bytes"]), (&json!("ready"), &json!(2_000)));
    assert_eq!(failed["failure"], "does not begin like video/mp4");
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), second);
    studio.app.close().await;
}

#[tokio::test]
async fn how_an_upload_goes_is_for_its_teacher() {
    let studio = Studio::open().await;
    let (student, admin) = (studio.app.student().await, studio.app.admin().await);
    let (path, all) =
        (format!("/api/v1{}", studio.path), format!("/courses/{}/videos", studio.course));
    // As a student and as a stranger see it, by itself and among all.
    let seen = async || {
        let one = student.get(&studio.path).await.is(200).body;
        assert_eq!(student.get(&all).await.is(200).body["data"], json!([one]));
        assert_eq!(studio.app.get(&path).await.is(200).body, one);
        (one["status"].as_str().unwrap().to_owned(), one["failure"].clone())
    };
    let nothing = |status: &str| (status.to_owned(), Value::Null);
    let link = studio.link(MP4, 1_000).await;
    studio.put(&link, vec![0; 1_000]).await.is(200);
    assert_eq!(seen().await, nothing("empty"));
    let failed = studio.post("confirm", json!({})).await.is(200).body;
    assert_eq!((&failed["status"], &studio.video().await), (&json!("failed"), &failed));
    assert_eq!(admin.get(&studio.path).await.is(200).body, failed);
    assert_eq!(studio.teacher.get(&all).await.is(200).body["data"], json!([failed]));
    assert_eq!(seen().await, nothing("empty"));
    studio.upload(MP4, &film(1_000, 1_000)).await;
    assert_eq!(seen().await, nothing("ready"));
    assert_ne!(studio.upload(MP4, b"no film").await.body["failure"], Value::Null);
    assert_eq!(seen().await, nothing("ready"));
    studio.app.close().await;
}

#[tokio::test]
async fn what_was_swept_away_meanwhile_does_not_become_ready() {
    let studio = Studio::open().await;
    let link = studio.link(MP4, 1_000).await;
    let (_, id) =
        link["url"].as_str().unwrap().split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let id: FileId = id.parse().unwrap();
    let mut tx = studio.app.app.db.begin().await.unwrap();
    assert!(video_files::set_processing(&mut tx, id).await.unwrap());
    let sweep = "UPDATE video_files SET status = 'discarded'";
    crate::world::execute(&mut tx, sweep).await.unwrap();
    assert!(!video_files::set_ready(&mut tx, id, None).await.unwrap());
    crate::world::execute(&mut tx, "UPDATE video_files SET status = 'processing'").await.unwrap();
    assert!(video_files::set_ready(&mut tx, id, None).await.unwrap());
    tx.rollback().await.unwrap();
    studio.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_confirm_at_once() {
    let studio = Studio::open().await;
    for size in [1_000, 2_000] {
        let link = studio.link(MP4, size).await;
        studio.put(&link, film(3_000, size)).await.is(200);
        let confirmed = join_all((0..8).map(|_| studio.post("confirm", json!({})))).await;
        let last = studio.video().await;
        assert_eq!((&last["status"], &last["size_bytes"]), (&json!("ready"), &json!(size)));
        for reply in confirmed {
            // Whoever comes too late to look finds that it was good; in between it is being looked at.
            let reply = reply.is(200).body;
            assert!(reply == last || reply["status"] == "processing", "{reply}");
        }
    }
    assert_eq!(studio.stored(), (2, 0), "one of them was replaced");
    studio.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_upload_at_once_one_is_kept() {
    let studio = Studio::open().await;
    let link = studio.link(MP4, 50_000).await;
    let replies = join_all((1..=8).map(|nth| studio.put(&link, film(nth * 1_000, 50_000)))).await;
    let kept = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(kept, 1, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.refused(409, "upload_over");
    }
    studio.post("confirm", json!({})).await.is(200);
    assert_eq!(studio.stored(), (1, 0));
    studio.app.close().await;
}

#[tokio::test]
async fn what_nobody_confirms_or_needs_is_swept_away() {
    let studio = Studio::open().await;
    let app = &studio.app.app;
    let link = studio.link(MP4, 1_000).await;
    studio.put(&link, film(1_000, 1_000)).await.is(200);
    assert_eq!(studio.sweep().await, 0);
    app.clock.advance(Duration::from_hours(25) + Duration::from_secs(1));
    // Either this finds it, or the job that does the same did.
    studio.sweep().await;
    assert_eq!(studio.stored(), (0, 0));
    studio.app.close().await;

    // A file that could not be removed when it was discarded: as if that Murph had died.
    let studio = Studio::open().await;
    let app = &studio.app.app;
    studio.upload(MP4, &film(1_000, 1_000)).await;
    let mut tx = app.db.begin().await.unwrap();
    crate::world::execute(&mut tx, "UPDATE video_files SET status = 'discarded'").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(studio.sweep().await, 0, "its link is still good");
    app.clock.advance(Duration::from_hours(2) - Duration::from_secs(1));
    assert_eq!(studio.sweep().await, 0, "an upload may still be running");
    app.clock.advance(Duration::from_secs(1));
    // Either this finds it, or the job that does the same did.
    studio.sweep().await;
    assert_eq!(studio.stored(), (0, 0));
    assert_eq!(studio.sweep().await, 0);
    studio.app.close().await;
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else() {
    let studio = Studio::open().await;
    let app = &studio.app.app;
    for _ in 0..5 {
        studio.upload(MP4, &film(1_000, 1_000)).await;
    }
    assert_eq!(studio.stored(), (5, 0));
    let mut tx = app.db.read().await.unwrap();
    let after = video_files::BEGINNING;
    let late = studio.app.now() + Duration::from_hours(9);
    let files = video_files::list_discarded(&mut tx, late, after, 9).await.unwrap();
    drop(tx);
    assert_eq!(files.len(), 4);
    // Not a file any more: removing it fails, also for root.
    let media = app.config.server.data_dir.join("media");
    for (_, stuck) in &files[..2] {
        let path = media.join(stuck.to_string());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
    }
    app.clock.advance(Duration::from_hours(3));
    // Batches of one, of which the first two come to nothing.
    videos::sweep(app, 1, studio.app.now()).await.unwrap();
    assert_eq!(studio.stored(), (1, 0));
    for (_, stuck) in &files[..2] {
        std::fs::remove_dir(media.join(stuck.to_string())).unwrap();
    }
    studio.sweep().await;
    let mut tx = app.db.read().await.unwrap();
    let files = video_files::list_discarded(&mut tx, late, after, 9).await.unwrap();
    drop(tx);
    assert_eq!(files, []);
    studio.app.close().await;
}

#[tokio::test]
async fn the_files_of_a_deleted_course_go_when_no_session_can_need_them() {
    let studio = Studio::open().await;
    let app = &studio.app.app;
    studio.upload(MP4, &film(1_000, 1_000)).await;
    let path = format!("/courses/{}", studio.course);
    studio.teacher.send(Method::DELETE, &path, None, &[]).await.is(204);
    app.clock.advance(Duration::from_hours(12));
    studio.sweep().await;
    assert_eq!(studio.stored(), (1, 0));
    app.clock.advance(Duration::from_secs(1));
    studio.sweep().await;
    assert_eq!(studio.stored(), (0, 0));
    studio.app.close().await;
}
