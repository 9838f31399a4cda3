//! Uploads that are not as they should be: refused, and nothing is left of them.

use std::time::Duration;

use futures_util::stream;
use reqwest::{
    Body, Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{MP4, Studio, add, assert_refused_for, film};
use crate::harness::{Person, Reply, TestApp};

#[tokio::test]
async fn only_what_fits_gets_a_link() {
    let app = TestApp::start_with(|config| {
        config.storage.max_bytes = 1_000_000;
        config.storage.content_types.truncate(1);
    })
    .await;
    let studio = Studio::open_in(app, "0.60").await;
    let (other, student) = (studio.app.teacher().await, studio.app.student().await);
    for (field, value) in [
        ("size_bytes", json!(0)),
        ("size_bytes", json!(-1)),
        ("size_bytes", json!(1_000_001)),
        ("size_bytes", json!(u64::MAX)),
        ("size_bytes", json!("100")),
        ("content_type", json!("text/html")),
        ("content_type", json!("video/webm")),
        ("content_type", json!("video/mp4; codecs=x")),
        ("content_type", json!("VIDEO/MP4")),
        ("content_type", Value::Null),
        ("file_name", json!("../../etc/passwd")),
    ] {
        let mut body = json!({"content_type": MP4, "size_bytes": 100});
        body[field] = value;
        assert_refused_for(&studio.post("upload-url", body).await, field);
    }
    let path = format!("{}/upload-url", studio.path);
    let fine = json!({"content_type": MP4, "size_bytes": 1_000_000});
    other.post(&path, fine.clone()).await.refused(403, "forbidden");
    student.post(&path, fine.clone()).await.refused(403, "forbidden");
    let nowhere = format!("/courses/{}/videos/{}/upload-url", studio.course, studio.course);
    studio.teacher.post(&nowhere, fine.clone()).await.refused(404, "not_found");
    let elsewhere = studio.app.course(&studio.teacher, "1").await;
    let (_, video) = studio.path.rsplit_once('/').unwrap();
    let elsewhere = format!("/courses/{elsewhere}/videos/{video}/upload-url");
    studio.teacher.post(&elsewhere, fine.clone()).await.refused(404, "not_found");
    studio.teacher.post(&path, fine).await.is(201);
    studio.app.close().await;
}

#[tokio::test]
async fn an_altered_or_expired_link_is_none() {
    let app = TestApp::start_with(|config| config.auth.access_token_seconds = 86_400).await;
    let studio = Studio::open_in(app, "0.60").await;
    let file = film(1_000, 1_000);
    let link = studio.link(MP4, 1_000).await;
    let url = link["url"].as_str().unwrap();
    let put = async |url: &str, content_type: &str| {
        let request = studio.app.client.put(url).header(CONTENT_TYPE, content_type);
        Reply::to(&Method::PUT, request.body(file.clone())).await
    };
    let (base, id) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let another = murph::id::FileId::new(studio.app.now()).to_string();
    let (rest, signature) = url.rsplit_once('=').unwrap();
    for altered in [
        url.replace(id, &another),
        url.replace("size=1000", "size=1001"),
        url.replace("type=video/mp4", "type=video/webm"),
        url.replace("expires=1", "expires=2"),
        format!("{rest}={}", signature.to_lowercase()),
        format!("{rest}="),
        format!("{url}A"),
    ] {
        put(&altered, MP4).await.refused(403, "forbidden");
        put(&altered, "video/webm").await.refused(403, "forbidden");
    }
    for altered in [
        url.replace("type=video/mp4", "type=text/html"),
        url.replace("size=1000", "size=x"),
        url.replace("&expires", "&until"),
        format!("{url}&size=1000"),
        url.split_once('?').unwrap().0.to_owned(),
    ] {
        put(&altered, MP4).await.refused(422, "invalid");
    }
    for name in ["..%2f..%2fauth_secret", "%2e%2e", "x", "incoming", "..", "%00"] {
        put(&url.replace(id, name), MP4).await.refused(404, "not_found");
    }
    assert!(base.ends_with("/media"));
    // For putting, not for getting; and the other way round.
    Reply::of(&Method::GET, studio.fetch(url, None).await).await.refused(403, "forbidden");
    studio.app.app.clock.advance(Duration::from_hours(1));
    put(url, MP4).await.refused(403, "forbidden");
    assert_eq!((studio.stored(), &studio.video().await["status"]), ((0, 0), &json!("empty")));
    studio.app.close().await;
}

#[tokio::test]
async fn only_the_file_a_link_is_for_is_taken() {
    let studio = Studio::open().await;
    let file = film(1_000, 1_000);
    let link = studio.link(MP4, 1_000).await;
    let url = link["url"].as_str().unwrap();
    let client = &studio.app.client;
    for content_type in ["video/webm", "text/html", "video/mp4;x=y", ""] {
        let request = client.put(url).header(CONTENT_TYPE, content_type).body(file.clone());
        Reply::to(&Method::PUT, request).await.refused(415, "unsupported_media_type");
    }
    let request = client.put(url).body(file.clone());
    Reply::to(&Method::PUT, request).await.refused(415, "unsupported_media_type");
    for wrong in [&file[..999], &[&file[..], b"!"].concat(), b""] {
        let request = client.put(url).header(CONTENT_TYPE, MP4).body(wrong.to_vec());
        let request = request.header(CONTENT_LENGTH, wrong.len());
        assert_refused_for(&Reply::to(&Method::PUT, request).await, "content-length");
        // Without saying beforehand how long it is.
        let pieces = stream::iter(wrong.chunks(300).map(|piece| Ok::<_, String>(piece.to_vec())));
        let pieces: Vec<_> = futures_util::StreamExt::collect(pieces).await;
        let request = client.put(url).header(CONTENT_TYPE, MP4);
        let request = request.body(Body::wrap_stream(stream::iter(pieces)));
        let reply = Reply::to(&Method::PUT, request).await;
        match wrong.len() {
            1_001 => reply.refused(413, "body_too_large"),
            _ => assert_refused_for(&reply, "content-length"),
        }
    }
    assert_eq!((studio.stored(), &studio.video().await["status"]), ((0, 0), &json!("empty")));

    studio.put(&link, file.clone()).await.is(200);
    studio.put(&link, file.clone()).await.refused(409, "upload_over");
    // A newer link takes the place of what was not confirmed.
    let newer = studio.link(MP4, 1_000).await;
    studio.put(&link, file.clone()).await.refused(409, "upload_over");
    assert_eq!((studio.stored(), &studio.video().await["status"]), ((0, 0), &json!("empty")));
    studio.put(&newer, file.clone()).await.is(200);
    studio.post("confirm", json!({})).await.is(200);
    studio.put(&newer, file).await.refused(409, "upload_over");
    assert_eq!(studio.video().await["status"], "ready");
    studio.app.close().await;
}

/// Sends the head of an upload and as much of its body, over a connection of its own.
async fn begin(studio: &Studio, link: &Value, body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(studio.app.address).await.unwrap();
    let target = link["url"].as_str().unwrap().strip_prefix(&studio.app.url).unwrap();
    let length = link["headers"]["content-length"].as_str().unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nhost: x\r\ncontent-type: {MP4}\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    socket
}

#[tokio::test]
async fn an_upload_that_stalls_or_breaks_off_leaves_nothing() {
    let app = TestApp::start_with(|config| {
        config.server.body_timeout_ms = 300;
        // Files are not held to it.
        config.server.request_timeout_ms = 400;
    })
    .await;
    let studio = Studio::open_in(app, "0.60").await;
    let file = film(1_000, 100_000);
    let link = studio.link(MP4, file.len()).await;
    let mut stalled = begin(&studio, &link, &file[..5_000]).await;
    let mut answer = String::new();
    stalled.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too slowly"), "{answer}");
    let broken = begin(&studio, &link, &file[..5_000]).await;
    while studio.stored() != (0, 1) {
        tokio::task::yield_now().await;
    }
    drop(broken);
    while studio.stored() != (0, 0) {
        tokio::task::yield_now().await;
    }
    // Slow, but going on: longer than any other request may take.
    let mut slow = begin(&studio, &link, &[]).await;
    for piece in file.chunks(25_000) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        slow.write_all(piece).await.unwrap();
    }
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(studio.stored(), (1, 0));
    studio.app.close().await;
}

async fn send(studio: &Studio, person: &Person, form: Form) -> Reply {
    let url = format!("{}/api/v1{}/file", studio.app.url, studio.path);
    let request = studio.app.client.post(url).bearer_auth(&person.access_token).multipart(form);
    Reply::to(&Method::POST, request).await
}

fn part(file: &[u8], content_type: &str) -> Part {
    Part::bytes(file.to_vec()).mime_str(content_type).unwrap()
}

#[tokio::test]
async fn a_form_brings_a_file_whatever_it_is_called() {
    let studio = Studio::open().await;
    // Larger than any other body may be.
    let file = film(7_000, 3_000_000);
    for name in ["a.mp4", "../../../etc/passwd", "/etc/passwd", "<script>", "a\u{202e}b", ""] {
        studio.app.app.clock.advance(Duration::from_millis(1));
        let part = part(&file, MP4).file_name(name.to_owned());
        let sent = send(&studio, &studio.teacher, Form::new().part("file", part)).await.is(200);
        assert_eq!(sent.body["status"], "ready", "{name:?}");
        assert_eq!(
            (&sent.body["size_bytes"], &sent.body["duration_ms"]),
            (&json!(3_000_000), &json!(7_000))
        );
    }
    assert_eq!(studio.stored(), (6, 0), "five were replaced");
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), file);
    studio.app.close().await;
}

#[tokio::test]
async fn a_form_that_does_not_fit_changes_nothing() {
    let app = TestApp::start_with(|config| config.storage.max_bytes = 10_000).await;
    let studio = Studio::open_in(app, "0.60").await;
    let (other, student) = (studio.app.teacher().await, studio.app.student().await);
    let file = film(1_000, 10_000);
    let good_form = || Form::new().part("file", part(&file, MP4));
    for (form, problem) in [
        (Form::new().part("file", part(b"", MP4)), "file: is empty"),
        (Form::new().part("film", part(&file, MP4)), "file: is the only part that is taken"),
        (Form::new().part("file", part(&file, "text/html")), "file: its type is none of video/mp4"),
        (Form::new().text("file", "x"), "file: its type is none of"),
        (Form::new().part("file", part(b"<html>", MP4)), "file: does not begin like video/mp4"),
        (
            Form::new().part("file", part(&file, "video/webm")),
            "file: does not begin like video/webm",
        ),
        (good_form().part("file", part(&file, MP4)), "file: is there twice"),
        (good_form().text("title", "x"), "file: is not alone"),
    ] {
        let reply = send(&studio, &studio.teacher, form).await;
        assert_refused_for(&reply, "file");
        assert!(
            reply.body["detail"].as_str().unwrap().starts_with(problem),
            "{problem}: {reply:?}"
        );
    }
    let large = Form::new().part("file", part(&film(1_000, 10_001), MP4));
    send(&studio, &studio.teacher, large).await.refused(413, "body_too_large");
    send(&studio, &other, good_form()).await.refused(403, "forbidden");
    send(&studio, &student, good_form()).await.refused(403, "forbidden");
    studio.post("file", json!({"file": "x"})).await.refused(415, "unsupported_media_type");
    let url = format!("{}/api/v1{}/file", studio.app.url, studio.path);
    for body in [
        "",
        "--x",
        "--x\r\n\r\n",
        "--x\r\ncontent-disposition: form-data; name=\"file\"\r\ncontent-type: video/mp4\r\n\r\nabc",
    ] {
        let request = studio.app.client.post(&url).bearer_auth(&studio.teacher.access_token);
        let request = request.header(CONTENT_TYPE, "multipart/form-data; boundary=x").body(body);
        Reply::to(&Method::POST, request).await.refused(400, "bad_request");
    }
    // Nothing that is kept in memory may be long.
    for head in ["", "--x\r\n", "--x\r\ncontent-disposition: "] {
        let body = format!("{head}{}", "x".repeat(20_000_000));
        let request = studio.app.client.post(&url).bearer_auth(&studio.teacher.access_token);
        let request = request.header(CONTENT_TYPE, "multipart/form-data; boundary=x").body(body);
        let refused = Reply::to(&Method::POST, request).await;
        refused.refused(400, "bad_request");
        assert!(refused.text.contains("too much around the file"), "{refused:?}");
    }
    let request = studio.app.client.post(&url).bearer_auth(&studio.teacher.access_token);
    let request = request.header(CONTENT_TYPE, "multipart/form-data; boundary=x").body("--x--\r\n");
    assert_refused_for(&Reply::to(&Method::POST, request).await, "file");
    assert_eq!((studio.stored(), &studio.video().await["status"]), ((0, 0), &json!("empty")));
    send(&studio, &studio.teacher, good_form()).await.is(200);
    studio.app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_teacher_takes_up_no_more_than_is_allowed() {
    let app = TestApp::start_with(|config| config.storage.teacher_max_bytes = 10_000).await;
    let studio = Studio::open_in(app, "0.60").await;
    // In courses of their own, so that no lock of a course helps.
    let mut paths = Vec::new();
    for _ in 0..6 {
        let course = studio.app.course(&studio.teacher, "1").await;
        paths.push(add(&studio.app, &studio.teacher, course, "A part").await);
    }
    let link = async |path: &str, size: u64| {
        let body = json!({"content_type": MP4, "size_bytes": size});
        studio.teacher.post(&format!("{path}/upload-url"), body).await
    };
    link(&studio.path, 10_001).await.refused(422, "out_of_range");
    let replies = futures_util::future::join_all(paths.iter().map(|path| link(path, 3_000))).await;
    let given = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(given, 3, "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(422, "out_of_range");
    }
    let large = Form::new().part("file", part(&film(1_000, 1_001), MP4));
    send(&studio, &studio.teacher, large).await.refused(413, "body_too_large");
    let fits = Form::new().part("file", part(&film(1_000, 1_000), MP4));
    send(&studio, &studio.teacher, fits).await.is(200);
    let more = Form::new().part("file", part(&film(1_000, 500), MP4));
    send(&studio, &studio.teacher, more).await.refused(422, "out_of_range");
    // What is deleted counts until it is gone; and others have room of their own.
    studio.teacher.send(Method::DELETE, &studio.path, None, &[]).await.is(204);
    let path = add(&studio.app, &studio.teacher, studio.course, "B").await;
    link(&path, 1_000).await.refused(422, "out_of_range");
    let other = studio.app.teacher().await;
    let course = studio.app.course(&other, "1").await;
    let path = add(&studio.app, &other, course, "A part").await;
    let body = json!({"content_type": MP4, "size_bytes": 10_000});
    other.post(&format!("{path}/upload-url"), body).await.is(201);
    studio.app.close().await;
}

#[tokio::test]
async fn only_so_many_come_in_at_once_and_each_once() {
    let app = TestApp::start_with(|config| config.storage.uploads_at_once = 2).await;
    let mut studio = Studio::open_in(app, "0.60").await;
    let file = film(1_000, 100_000);
    let first = studio.link(MP4, file.len()).await;
    let stalled = begin(&studio, &first, &file[..5_000]).await;
    while studio.stored() != (0, 1) {
        tokio::task::yield_now().await;
    }
    studio.put(&first, file.clone()).await.refused(409, "upload_over");

    studio.path = add(&studio.app, &studio.teacher, studio.course, "B").await;
    let second = studio.link(MP4, file.len()).await;
    let stalled_too = begin(&studio, &second, &file[..5_000]).await;
    while studio.stored() != (0, 2) {
        tokio::task::yield_now().await;
    }
    studio.path = add(&studio.app, &studio.teacher, studio.course, "C").await;
    let third = studio.link(MP4, file.len()).await;
    let busy = studio.put(&third, file.clone()).await;
    busy.refused(503, "busy");
    assert_eq!(busy.headers["retry-after"], "1");
    let form = Form::new().part("file", part(&file, MP4));
    send(&studio, &studio.teacher, form).await.refused(503, "busy");
    drop((stalled, stalled_too));
    while studio.stored() != (0, 0) {
        tokio::task::yield_now().await;
    }
    // A moment later their places are free, too.
    while studio.put(&first, file.clone()).await.status != 200 {}
    while studio.put(&third, file.clone()).await.status != 200 {}
    studio.post("confirm", json!({})).await.is(200);
    studio.app.close().await;
}

#[tokio::test]
async fn nothing_comes_in_to_a_disk_that_is_nearly_full() {
    let app = TestApp::start_with(|config| config.storage.reserve_bytes = 1 << 60).await;
    let studio = Studio::open_in(app, "0.60").await;
    let link = studio.link(MP4, 1_000).await;
    studio.put(&link, film(1_000, 1_000)).await.refused(503, "storage_unavailable");
    let form = Form::new().part("file", part(&film(1_000, 1_000), MP4));
    send(&studio, &studio.teacher, form).await.refused(503, "storage_unavailable");
    assert_eq!(studio.stored(), (0, 0));
    studio.app.close().await;
}

#[tokio::test]
async fn what_others_may_write_before_they_look_stays_free_too() {
    let app = TestApp::start_with(|config| {
        let disk = rustix::fs::statvfs(&config.server.data_dir).unwrap();
        // 100 GB less than there are, and 400 GB more than there are with what others may write.
        let free = disk.f_bavail * disk.f_frsize;
        config.storage.reserve_bytes = free.saturating_sub(100_000_000_000);
        config.storage.uploads_at_once = 100_000;
    })
    .await;
    let studio = Studio::open_in(app, "0.60").await;
    let link = studio.link(MP4, 1_000).await;
    studio.put(&link, film(1_000, 1_000)).await.refused(503, "storage_unavailable");
    assert_eq!(studio.stored(), (0, 0));
    studio.app.close().await;
}

#[tokio::test]
async fn one_teacher_leaves_places_to_others() {
    let mut studio = Studio::open().await;
    let file = film(1_000, 100_000);
    let mut stalled = Vec::new();
    for nth in 1..=4 {
        studio.path = add(&studio.app, &studio.teacher, studio.course, "Another part").await;
        let link = studio.link(MP4, file.len()).await;
        stalled.push(begin(&studio, &link, &file[..5_000]).await);
        while studio.stored() != (0, nth) {
            tokio::task::yield_now().await;
        }
    }
    studio.path = add(&studio.app, &studio.teacher, studio.course, "One more").await;
    let link = studio.link(MP4, file.len()).await;
    let busy = studio.put(&link, file.clone()).await;
    busy.refused(503, "busy");
    assert_eq!(busy.headers["retry-after"], "1");
    let form = Form::new().part("file", part(&file, MP4));
    send(&studio, &studio.teacher, form).await.refused(503, "busy");

    let other = Studio {
        teacher: studio.app.teacher().await,
        course: studio.course,
        path: String::new(),
        app: studio.app,
    };
    let course = other.app.course(&other.teacher, "1").await;
    let path = add(&other.app, &other.teacher, course, "A part").await;
    let other = Studio { course, path, ..other };
    other.upload(MP4, &file).await;
    drop(stalled);
    while other.stored() != (1, 0) {
        tokio::task::yield_now().await;
    }
    other.app.close().await;
}

#[tokio::test]
async fn what_was_given_up_while_it_came_in_is_not_taken() {
    let studio = Studio::open().await;
    let file = film(1_000, 100_000);
    // As another node would, which had found something else.
    let fail = "UPDATE video_files SET status = 'failed', failure = 'is no film'";
    for is_deleted in [false, true] {
        let link = studio.link(MP4, file.len()).await;
        let mut late = begin(&studio, &link, &file[..5_000]).await;
        while studio.stored() != (0, 1) {
            tokio::task::yield_now().await;
        }
        if is_deleted {
            studio.teacher.send(reqwest::Method::DELETE, &studio.path, None, &[]).await.is(204);
        } else {
            let mut tx = studio.app.app.db.begin().await.unwrap();
            crate::world::execute(&mut tx, fail).await.unwrap();
            tx.commit().await.unwrap();
        }
        late.write_all(&file[5_000..]).await.unwrap();
        let mut answer = [0; 12];
        late.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 409");
        assert_eq!(studio.stored(), (0, 0));
    }
    studio.app.close().await;
}
