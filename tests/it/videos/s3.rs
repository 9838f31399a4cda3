//! Files in S3, on a server that checks every signature (`s3s-fs`): a real one, on a socket of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use murph::{
    clock::Clock,
    config::{Config, Secret, StorageKind},
    time::Timestamp,
};
use reqwest::{
    header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH},
    multipart::{Form, Part},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{MP4, Studio, add, film, mux::stand_in::StandIn};
use crate::harness::{Reply, TestApp};

const BUCKET: &str = "school";

/// A server of S3 with one bucket, until it is dropped.
struct S3 {
    address: SocketAddr,
    directory: tempfile::TempDir,
    server: JoinHandle<()>,
    log: Arc<Mutex<Log>>,
}

/// What the server was asked.
#[derive(Default)]
struct Log {
    /// When it was signed, of each request.
    signed: Vec<String>,
    /// The clock of whoever asks, which every request takes a second of.
    clock: Option<Clock>,
}

impl Log {
    fn note(&mut self, request: &Request<Incoming>) {
        let mut query = request.uri().query().unwrap_or_default().split('&');
        let signed = query.find_map(|pair| pair.strip_prefix("X-Amz-Date="));
        self.signed.extend(signed.map(str::to_owned));
        if let Some(clock) = &self.clock {
            clock.advance(Duration::from_secs(1));
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl S3 {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(directory.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("murph", "a secret of S3"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::<Mutex<Log>>::default();
        let noted = Arc::clone(&log);
        let service = service_fn(move |request| {
            noted.lock().unwrap().note(&request);
            Service::call(&service, request)
        });
        #[expect(clippy::disallowed_methods, reason = "aborted when dropped")]
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
                connections.spawn(async { connection.await.unwrap_or_default() });
            }
        });
        Self { address, directory, server, log }
    }

    fn configure(&self, config: &mut Config) {
        config.storage.kind = StorageKind::S3;
        config.storage.endpoint = format!("http://{}", self.address);
        config.storage.path_style = true;
        config.storage.bucket = BUCKET.into();
        config.storage.access_key_id = Secret::new("murph");
        config.storage.secret_access_key = Secret::new("a secret of S3");
    }

    async fn studio(&self, change: impl FnOnce(&mut Config)) -> Studio {
        let app = TestApp::start_with(|config| {
            self.configure(config);
            change(config);
        })
        .await;
        // S3 has the time of day, and no other.
        app.app.clock.advance(Clock::System.now().since(app.now()));
        Studio::open_in(app, "0.60").await
    }

    /// Puts an object there, as somebody with the keys of the bucket could.
    fn put(&self, id: &str, file: &[u8]) {
        let videos = self.directory.path().join(BUCKET).join("videos");
        std::fs::create_dir_all(&videos).unwrap();
        std::fs::write(videos.join(id), file).unwrap();
    }

    /// From now on every request takes a second of this clock. Forgets what was asked before.
    fn take_time_of(&self, clock: &Clock) {
        *self.log.lock().unwrap() = Log { signed: vec![], clock: Some(clock.clone()) };
    }

    /// How many requests there were since; each must have been signed when it was sent.
    #[track_caller]
    fn assert_signed_in_time(&self) -> usize {
        let signed = &self.log.lock().unwrap().signed;
        assert!(signed.is_sorted_by(|earlier, later| earlier < later), "{signed:?}");
        signed.len()
    }

    /// How many objects there are.
    fn objects(&self) -> usize {
        let videos = self.directory.path().join(BUCKET).join("videos");
        std::fs::read_dir(videos).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn a_file_goes_straight_to_s3_and_comes_from_there() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    let file = film(150_500, 100_000);
    let link = studio.link(MP4, file.len()).await;
    assert!(
        link["url"].as_str().unwrap().starts_with(&format!("http://{}/school/videos/", s3.address))
    );
    studio.post("confirm", json!({})).await.refused(409, "upload_missing");
    studio.put(&link, file.clone()).await.is(200);
    let ready = studio.post("confirm", json!({})).await.is(200).body;
    assert_eq!((&ready["status"], &ready["duration_ms"]), (&json!("ready"), &json!(150_500)));
    assert_eq!((&ready["content_type"], &ready["size_bytes"]), (&json!(MP4), &json!(100_000)));

    let url = studio.own_link().await;
    let whole = studio.fetch(&url, None).await;
    assert_eq!(
        (whole.status().as_u16(), &whole.headers()["content-type"]),
        (200, &MP4.parse().unwrap())
    );
    assert_eq!(whole.bytes().await.unwrap(), file);
    let part = studio.fetch(&url, Some("bytes=70000-79999")).await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), &file[70_000..80_000]);
    assert_eq!(studio.fetch(&url, Some("bytes=100000-")).await.status(), 416);

    let second = film(2_000, 2_000);
    assert_eq!(studio.upload(MP4, &second).await.body["size_bytes"], 2_000);
    assert_eq!(s3.objects(), 2, "what was played is kept for who plays it");
    let url = studio.own_link().await;
    assert_eq!(studio.fetch(&url, None).await.bytes().await.unwrap(), second);
    studio.teacher.send(reqwest::Method::DELETE, &studio.path, None, &[]).await.is(204);
    assert_eq!((s3.objects(), studio.fetch(&url, None).await.status().as_u16()), (2, 200));
    studio.app.close().await;
}

#[tokio::test]
async fn mux_fetches_a_file_from_s3() {
    let (s3, mux) = (S3::start().await, StandIn::start().await);
    let studio = s3.studio(|config| mux.configure(config)).await;
    let file = film(60_000, 100_000);
    assert_eq!(studio.upload(MP4, &file).await.body["status"], "processing");
    mux.has_posts(1).await;
    let input = mux.asset(&mux.assets()[0])["input"].as_str().unwrap().to_owned();
    assert!(input.starts_with(&format!("http://{}/school/videos/", s3.address)), "{input}");
    assert!(input.contains("X-Amz-Expires=86400&"), "{input}");
    assert_eq!(studio.fetch(&input, None).await.bytes().await.unwrap(), file);
    mux.assert_asked_well();
    studio.app.close().await;
}

#[tokio::test]
async fn s3_takes_only_the_file_that_was_signed_for() {
    let s3 = S3::start().await;
    let studio = s3.studio(|config| config.storage.upload_url_seconds = 60).await;
    let file = film(1_000, 1_000);
    let link = studio.link(MP4, file.len()).await;
    let url = link["url"].as_str().unwrap();
    let put = async |url: &str, content_type: &str, file: &[u8]| {
        let request = studio.app.client.put(url).header(CONTENT_TYPE, content_type);
        let request = request.header(CONTENT_LENGTH, file.len()).header(IF_NONE_MATCH, "*");
        let request = request.body(file.to_vec());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (rest, signature) = url.rsplit_once('=').unwrap();
    let flipped = if signature.starts_with('0') { '1' } else { '0' };
    let altered = format!("{rest}={flipped}{}", &signature[1..]);
    let (_, id) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let another = murph::id::FileId::new(studio.app.now()).to_string();
    for (what, url, content_type, file) in [
        ("the signature", altered.as_str(), MP4, &file[..]),
        ("the type", url, "text/html", &file[..]),
        ("the size", url, MP4, &film(1_000, 1_001)[..]),
        ("less", url, MP4, &file[..999]),
        ("the object", &url.replace(id, &another), MP4, &file[..]),
        ("the time", &url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), MP4, &file[..]),
    ] {
        let (status, text) = put(url, content_type, file).await;
        assert_eq!(status, 403, "{what}: {text}");
        assert!(text.contains("SignatureDoesNotMatch"), "{what}: {text}");
    }
    assert_eq!(studio.fetch(url, None).await.status(), 403, "to get it");
    studio.post("confirm", json!({})).await.refused(409, "upload_missing");
    assert_eq!((s3.objects(), &studio.video().await["status"]), (0, &json!("empty")));
    assert_eq!(put(url, MP4, &file).await.0, 200);
    studio.post("confirm", json!({})).await.is(200);

    let url = studio.own_link().await;
    let (rest, signature) = url.rsplit_once('=').unwrap();
    let altered = format!("{rest}={}", signature.chars().rev().collect::<String>());
    assert_eq!(studio.fetch(&altered, None).await.status(), 403);
    assert_eq!(studio.app.client.delete(&url).send().await.unwrap().status(), 403);
    studio.app.close().await;

    // A link of two minutes ago, when it was good for one.
    let app = TestApp::start_with(|config| {
        s3.configure(config);
        config.storage.upload_url_seconds = 60;
    })
    .await;
    let past = Clock::System.now().since(app.now()).saturating_sub(Duration::from_mins(2));
    app.app.clock.advance(past);
    let studio = Studio::open_in(app, "0.60").await;
    let link = studio.link(MP4, file.len()).await;
    let late = studio.put(&link, file).await;
    assert!(late.status == 403 && late.text.contains("expired"), "{late:?}");
    studio.app.close().await;
}

#[tokio::test]
async fn what_was_looked_at_is_what_is_played() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    let (file, other) = (film(1_000, 1_000), film(9_000, 1_000));
    let link = studio.link(MP4, file.len()).await;
    let headers = json!({"content-type": MP4, "content-length": "1000", "if-none-match": "*"});
    assert_eq!(link["headers"], headers);
    studio.put(&link, file.clone()).await.is(200);
    assert_eq!(studio.put(&link, other.clone()).await.status, 412);
    studio.post("confirm", json!({})).await.is(200);
    // By the same link, which is good for an hour, with what it says and without.
    assert_eq!(studio.put(&link, other.clone()).await.status, 412);
    let request = studio.app.client.put(link["url"].as_str().unwrap());
    let request = request.header(CONTENT_TYPE, MP4).body(other);
    assert_eq!(request.send().await.unwrap().status(), 403);
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), file);
    studio.app.close().await;
}

#[tokio::test]
async fn what_may_still_come_by_a_link_counts_and_goes() {
    let s3 = S3::start().await;
    let mut studio = s3.studio(|config| config.storage.teacher_max_bytes = 10_000).await;
    // It failed and was removed, and is there again.
    let junk = vec![b'x'; 6_000];
    let link = studio.link(MP4, junk.len()).await;
    studio.put(&link, junk.clone()).await.is(200);
    assert_eq!(studio.post("confirm", json!({})).await.is(200).body["status"], "failed");
    studio.put(&link, junk).await.is(200);
    assert_eq!(s3.objects(), 1);
    studio.path = add(&studio.app, &studio.teacher, studio.course, "B").await;
    let wanted = json!({"content_type": MP4, "size_bytes": 6_000});
    studio.post("upload-url", wanted).await.refused(422, "out_of_range");
    studio.link(MP4, 1_000).await;

    // An upload that began in time ended hours later.
    let ago = |hours| studio.app.now() - Duration::from_hours(hours);
    let (late, last) = (studio.discarded(ago(23)).await, studio.discarded(ago(24)).await);
    s3.put(&last.to_string(), &film(1_000, 1_000));
    assert_eq!(s3.objects(), 2);
    // Either this finds it, or the job that does the same did.
    studio.sweep().await;
    assert_eq!(s3.objects(), 1);
    assert_eq!((studio.knows(late).await, studio.knows(last).await), (true, false));
    studio.app.close().await;
}

#[tokio::test]
async fn what_s3_is_asked_is_signed_when_it_is_asked() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    s3.take_time_of(&studio.app.app.clock);
    send(&studio, film(7_000, 1_000)).await.is(200);
    assert!(s3.assert_signed_in_time() >= 4, "put, found, and read more than once");

    for _ in 0..3 {
        studio.discarded(Timestamp::EPOCH).await;
    }
    s3.take_time_of(&studio.app.app.clock);
    studio.sweep().await;
    assert_eq!(s3.assert_signed_in_time(), 3);
    studio.app.close().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_what_s3_removes() {
    const DEADLINE: Duration = Duration::from_secs(20);
    let studio = Studio::open_in(TestApp::start().await, "0.60").await;
    // Each may take as long as S3 may take to answer.
    for _ in 0..20 {
        studio.discarded(Timestamp::EPOCH).await;
    }
    let database = studio.app.close_and_keep().await;
    let s3 = S3::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = TestApp::start_on(database, |config| {
        s3.configure(config);
        config.storage.endpoint = format!("http://{}", silent.local_addr().unwrap());
    })
    .await;
    let asked = tokio::time::timeout(DEADLINE, silent.accept()).await;
    let _connection = asked.expect("the sweep begins").unwrap();
    tokio::time::timeout(DEADLINE, app.close()).await.expect("it stops in the middle of it");
}

#[tokio::test]
async fn what_s3_was_given_is_looked_at() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    let failed = studio.upload("video/webm", &film(1_000, 1_000)).await.body;
    assert_eq!(failed["failure"], "does not begin like video/webm");
    assert_eq!((&failed["status"], s3.objects()), (&json!("failed"), 0));
    let failed = studio.upload(MP4, b"<html>").await.body;
    assert_eq!((&failed["status"], s3.objects()), (&json!("failed"), 0));

    // Somebody with the keys of the bucket put something else there.
    studio.link(MP4, 1_000).await;
    let mut tx = studio.app.app.db.read().await.unwrap();
    let videos = murph::db::videos::list_with_files(&mut tx, studio.course).await.unwrap();
    drop(tx);
    let upload = videos[0].upload.as_ref().unwrap().id.to_string();
    s3.put(&upload, &film(1_000, 2_000));
    let failed = studio.post("confirm", json!({})).await.is(200).body;
    assert_eq!(failed["failure"], "has 2000 bytes and should have 1000");
    assert_eq!(s3.objects(), 0);
    studio.app.close().await;
}

async fn send(studio: &Studio, file: Vec<u8>) -> Reply {
    let url = format!("{}/api/v1{}/file", studio.app.url, studio.path);
    let form = Form::new().part("file", Part::bytes(file).mime_str(MP4).unwrap());
    let request = studio.app.client.post(url).bearer_auth(&studio.teacher.access_token);
    Reply::to(&reqwest::Method::POST, request.multipart(form)).await
}

#[tokio::test]
async fn a_form_goes_through_murph_to_s3() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    let file = film(7_000, 3_000_000);
    let sent = send(&studio, file.clone()).await.is(200).body;
    assert_eq!((&sent["status"], &sent["size_bytes"]), (&json!("ready"), &json!(3_000_000)));
    assert_eq!((s3.objects(), studio.stored()), (1, (0, 0)));
    assert_eq!(studio.fetch(&studio.own_link().await, None).await.bytes().await.unwrap(), file);
    // Nothing of it is served here.
    let id = murph::id::FileId::new(studio.app.now());
    let here = format!("/media/{id}?type=video/mp4&size=1&expires=9999999999&signature=x");
    studio.app.get(&here).await.refused(404, "not_found");
    studio.app.close().await;
}

#[tokio::test]
async fn without_s3_nothing_is_lost() {
    let s3 = S3::start().await;
    let studio = s3.studio(|_| {}).await;
    let file = film(7_000, 1_000);
    let link = studio.link(MP4, file.len()).await;
    studio.put(&link, file.clone()).await.is(200);
    let directory = s3.directory.path().join(BUCKET).join("videos");
    let away = s3.directory.path().join("away");
    // A file where the directory was: S3 fails, and says so.
    std::fs::rename(&directory, &away).unwrap();
    std::fs::write(&directory, "").unwrap();
    let failed = studio.post("confirm", json!({})).await;
    assert!(matches!(failed.status.as_u16(), 409 | 503), "{failed:?}");
    std::fs::remove_file(&directory).unwrap();
    std::fs::rename(&away, &directory).unwrap();
    assert_eq!(studio.post("confirm", json!({})).await.is(200).body["status"], "ready");
    studio.app.close().await;

    // Keys that S3 does not know.
    let studio =
        s3.studio(|config| config.storage.secret_access_key = Secret::new("another")).await;
    refuses_and_stays(&studio, &file).await;
    studio.app.close().await;
    // Nobody there at all.
    let address = s3.address;
    let studio = s3.studio(|config| {
        drop(std::net::TcpListener::bind("127.0.0.1:0").map(|free| {
            config.storage.endpoint = format!("http://{}", free.local_addr().unwrap());
        }));
        assert_ne!(config.storage.endpoint, format!("http://{address}"));
    });
    let studio = studio.await;
    refuses_and_stays(&studio, &file).await;
    studio.app.close().await;
}

async fn refuses_and_stays(studio: &Studio, file: &[u8]) {
    let refused = send(studio, file.to_vec()).await;
    refused.refused(503, "storage_unavailable");
    assert!(!refused.text.contains("127.0.0.1"), "{refused:?}");
    studio.post("confirm", json!({})).await.refused(503, "storage_unavailable");
    let video: Value = studio.video().await;
    assert_eq!((&video["status"], &video["content_type"]), (&json!("empty"), &Value::Null));
    assert_eq!(studio.stored(), (0, 0));
}
