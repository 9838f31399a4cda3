//! A provider on a real socket, which does what a test wants, also what no server should.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a provider does with a request.
#[derive(Clone)]
pub(super) enum Act {
    /// Answers with a status, a header line and a body.
    Answer(u16, &'static str, String),
    /// Says nothing, and keeps the connection.
    Hang,
    /// Breaks off in the middle of its answer.
    HangUp,
    /// Sends so many bytes of an answer that has no end.
    Flood(usize),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) head: String,
    pub(super) body: Value,
}

pub(super) struct Provider {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// How many bytes of a flood somebody took.
    taken: Arc<Mutex<usize>>,
    listening: JoinHandle<()>,
}

impl Act {
    /// An answer as OpenAI and Groq send it.
    pub(super) fn say(content: &str) -> Self {
        let body = json!({
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": 1_200, "completion_tokens": 300}});
        Self::Answer(200, "x-a: b", body.to_string())
    }

    /// An answer that picks courses, with the words of `why` for each.
    pub(super) fn pick<'a>(
        reply: &str,
        picks: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let picks = picks.into_iter().map(|(id, why)| json!({"course_id": id, "why": why}));
        Self::say(&json!({"reply": reply, "picks": picks.collect::<Vec<_>>()}).to_string())
    }

    pub(super) fn status(status: u16) -> Self {
        Self::Answer(status, "x-a: b", json!({"error": {"message": "sk-leaked"}}).to_string())
    }
}

impl Heard {
    /// What the model was given beside its instructions.
    pub(super) fn input(&self) -> Value {
        let content = self.body["messages"][1]["content"].as_str().unwrap();
        serde_json::from_str(content).unwrap()
    }

    /// The courses it may choose among, by title.
    pub(super) fn course(&self, title: &str) -> String {
        let input = self.input();
        let courses = input["courses"].as_array().unwrap();
        let course = courses.iter().find(|course| course["title"] == title);
        course.unwrap()["course_id"].as_str().unwrap().to_owned()
    }
}

impl Provider {
    pub(super) async fn start(act: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, taken) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<_>>::default());
        let (act, known, given) = (Arc::new(act), Arc::clone(&heard), Arc::clone(&taken));
        #[expect(clippy::disallowed_methods, reason = "dropping the provider ends it")]
        let listening = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (act, known, given) =
                    (Arc::clone(&act), Arc::clone(&known), Arc::clone(&given));
                tokio::spawn(async move { serve(stream, &*act, &known, &given).await });
            }
        });
        Self { url, heard, taken, listening }
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn taken(&self) -> usize {
        *self.taken.lock().unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One request on one connection. Whoever hangs up is not missed.
async fn serve(
    mut stream: TcpStream,
    act: &(impl Fn(&Heard) -> Act + Send + Sync),
    known: &Mutex<Vec<Heard>>,
    taken: &Mutex<usize>,
) -> Option<()> {
    let request = receive(&mut stream).await?;
    known.lock().unwrap().push(request.clone());
    match act(&request) {
        Act::Answer(status, header, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{header}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(body.as_bytes()).await.ok()?;
        }
        Act::Hang => std::future::pending().await,
        Act::HangUp => {
            let head = "HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n{\"choices\"";
            stream.write_all(head.as_bytes()).await.ok()?;
        }
        Act::Flood(bytes) => {
            let head = "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n{\"a\":\"";
            stream.write_all(head.as_bytes()).await.ok()?;
            let chunk = vec![b'x'; 65_536];
            for _ in 0..bytes / chunk.len() {
                stream.write_all(&chunk).await.ok()?;
                *taken.lock().unwrap() += chunk.len();
            }
        }
    }
    stream.shutdown().await.ok()
}

async fn receive(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            })?;
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..]).ok()?;
                return Some(Heard { head, body });
            }
        }
        let mut chunk = [0; 8_192];
        match stream.read(&mut chunk).await.ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
