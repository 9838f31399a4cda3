//! Videos: their order, their files, and who may watch them for how long.

mod files;
mod mux;
mod order;
mod playback;
mod s3;
mod uploads;

use std::path::PathBuf;

use murph::{
    db::video_files,
    domain::media::{ContentType, FileStatus, VideoFile},
    id::{CourseId, FileId, VideoId},
    time::Timestamp,
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    document::assert_documented_head,
    harness::{Person, Reply, TestApp},
};

const MP4: &str = "video/mp4";

/// A small file that says it plays so long: boxes as any MP4 has them, and no picture.
fn film(duration_ms: u32, size: usize) -> Vec<u8> {
    let a_box = |name: &str, content: &[u8]| {
        let size = u32::try_from(8 + content.len()).unwrap();
        [&size.to_be_bytes()[..], name.as_bytes(), content].concat()
    };
    let numbers = [0, 0, 0, 1_000, duration_ms].map(u32::to_be_bytes).concat();
    let mvhd = a_box("mvhd", &[&numbers[..], &[0; 80]].concat());
    let moov = a_box("moov", &mvhd);
    let head = [a_box("ftyp", b"isom\0\0\x02\0isomiso2"), moov].concat();
    let rest: Vec<u8> = (0..=250).cycle().take(size - head.len() - 8).collect();
    [head, a_box("mdat", &rest)].concat()
}

/// A file of a video, as it is written down.
fn file(video_id: VideoId, status: FileStatus, expires_at: Timestamp) -> VideoFile {
    VideoFile {
        id: FileId::new(expires_at),
        video_id,
        content_type: ContentType::Mp4,
        size_bytes: 1_000,
        duration_ms: None,
        status,
        failure: None,
        created_at: expires_at,
        expires_at,
        mux: None,
    }
}

/// A course of a teacher with one video.
struct Studio {
    app: TestApp,
    teacher: Person,
    course: CourseId,
    /// Of the video, below the API's prefix.
    path: String,
}

impl Studio {
    async fn open() -> Self {
        Self::open_in(TestApp::start().await, "0.60").await
    }

    async fn open_in(app: TestApp, price: &str) -> Self {
        let teacher = app.teacher().await;
        let course = app.course(&teacher, price).await;
        let path = add(&app, &teacher, course, "A part").await;
        Self { app, teacher, course, path }
    }

    /// The video, as its teacher sees it.
    async fn video(&self) -> Value {
        self.teacher.get(&self.path).await.is(200).body
    }

    async fn post(&self, what: &str, body: Value) -> Reply {
        self.teacher.post(&format!("{}/{what}", self.path), body).await
    }

    /// Where to put a file of so many bytes.
    async fn link(&self, content_type: &str, size: usize) -> Value {
        self.app.app.clock.advance(std::time::Duration::from_millis(1));
        let body = json!({"content_type": content_type, "size_bytes": size});
        self.post("upload-url", body).await.is(201).body
    }

    /// Puts a file where a link says, and with what it says.
    async fn put(&self, link: &Value, file: Vec<u8>) -> Reply {
        let url = link["url"].as_str().unwrap();
        let mut request = self.app.client.put(url).body(file);
        for (name, value) in link["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        if self.is_murphs(url) {
            Reply::to(&Method::PUT, request).await
        } else {
            Reply::of_another_server(request.send().await.unwrap()).await
        }
    }

    /// Whether a link is not to S3.
    fn is_murphs(&self, url: &str) -> bool {
        url.starts_with(&self.app.url)
    }

    /// Uploads a file and confirms it.
    async fn upload(&self, content_type: &str, file: &[u8]) -> Reply {
        let link = self.link(content_type, file.len()).await;
        self.put(&link, file.to_vec()).await.is(200);
        self.post("confirm", json!({})).await.is(200)
    }

    async fn watch_link(&self, person: &Person) -> Reply {
        person.get(&format!("{}/url", self.path)).await
    }

    /// A link by which the teacher plays the video.
    async fn own_link(&self) -> String {
        self.watch_link(&self.teacher).await.is(200).body["url"].as_str().unwrap().to_owned()
    }

    async fn fetch(&self, url: &str, range: Option<&str>) -> Response {
        let headers = range.map(|range| ("range", range));
        self.fetch_with(url, headers.as_slice()).await
    }

    /// Fails if what comes is not what openapi.json has.
    async fn fetch_with(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.app.client.get(url);
        let with =
            |request: RequestBuilder, (name, value): &(&str, &str)| request.header(*name, *value);
        let response = headers.iter().fold(request, with).send().await.unwrap();
        if self.is_murphs(url) {
            assert_documented_head(&Method::GET, &response);
        }
        response
    }

    /// Says how many files were removed; the job that does the same may have been first.
    async fn sweep(&self) -> usize {
        murph::service::videos::sweep(&self.app.app, 10, self.app.now()).await.unwrap()
    }

    /// Signed in again: the clock went on, and access tokens are short-lived.
    async fn signed_in(mut self) -> Self {
        self.teacher = self.app.log_in(&self.teacher.email, crate::harness::PASSWORD).await;
        self
    }

    /// Writes a file down that was discarded, whose links expired then.
    async fn discarded(&self, expires_at: Timestamp) -> FileId {
        let video = self.path.rsplit_once('/').unwrap().1.parse().unwrap();
        let file = file(video, FileStatus::Discarded, expires_at);
        let mut tx = self.app.app.db.begin().await.unwrap();
        video_files::insert(&mut tx, &file).await.unwrap();
        tx.commit().await.unwrap();
        file.id
    }

    /// Whether a file is still known.
    async fn knows(&self, id: FileId) -> bool {
        let mut tx = self.app.app.db.read().await.unwrap();
        video_files::find(&mut tx, id).await.unwrap().is_some()
    }

    /// What lies in the storage of the data directory: objects, and what is coming in.
    fn stored(&self) -> (usize, usize) {
        let directory = self.app.app.config.server.data_dir.join("media");
        let count = |path: PathBuf| {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
        };
        (count(directory.clone()), count(directory.join("incoming")))
    }
}

/// Adds a video, a moment later than the last one, and says where it is.
async fn add(app: &TestApp, teacher: &Person, course: CourseId, title: &str) -> String {
    app.app.clock.advance(std::time::Duration::from_millis(1));
    let path = format!("/courses/{course}/videos");
    let made = teacher.post(&path, json!({"title": title, "duration_ms": 600_000})).await.is(201);
    format!("{path}/{}", made.body["id"].as_str().unwrap())
}

#[track_caller]
fn assert_refused_for(reply: &Reply, param: &str) {
    reply.refused(422, "invalid");
    assert_eq!(reply.body["param"], param, "{reply:?}");
}
