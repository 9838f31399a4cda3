//! A client that says exactly what it is told to, byte by byte, as no HTTP library would.

use std::{collections::HashMap, future::Future, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a test waits for something that must happen, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a test looks on while something must not happen.
const WHILE: Duration = Duration::from_millis(400);

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The answer has to be this problem.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
    }

    #[track_caller]
    pub(crate) fn assert_problem_about(&self, status: u16, code: &str, param: &str) {
        self.assert_problem(status, code);
        assert_eq!(self.json()["param"], param, "{self:?}");
    }
}

/// What must happen, in time.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.try_send(text).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, text: &str) -> std::io::Result<()> {
        soon("taking what was sent", self.stream.write_all(text.as_bytes())).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, "").await
    }

    /// `headers` are whole lines, each with its `\r\n`.
    pub(crate) async fn get_with(&mut self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn post(&mut self, path: &str, json: &str) -> Answer {
        self.post_with(path, "Content-Type: application/json\r\n", json).await
    }

    pub(crate) async fn post_with(&mut self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        self.answer().await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        soon("an answer", self.read_answer()).await
    }

    /// The server says nothing, and does not hang up, for a while.
    pub(crate) async fn assert_silence(&mut self) {
        let mut byte = [0];
        let said = timeout(WHILE, self.stream.peek(&mut byte)).await;
        assert!(said.is_err(), "there was something: {said:?}");
    }

    /// The server hangs up; what it says before does not matter.
    pub(crate) async fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        // Closed with a reset or without: both are.
        let _ = soon("the end of the connection", self.stream.read_to_end(&mut rest)).await;
    }

    async fn read_answer(&mut self) -> Answer {
        let head_end = loop {
            match self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read_more().await,
            }
        };
        let head = String::from_utf8(self.unread.drain(..head_end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read_more().await;
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Answer { status, headers, body }
    }

    async fn read_more(&mut self) {
        let length = self.stream.read_buf(&mut self.unread).await.unwrap();
        assert!(length > 0, "the server hung up after {:?}", String::from_utf8_lossy(&self.unread));
    }
}
