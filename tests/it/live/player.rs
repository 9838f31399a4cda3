//! A player for tests: a standard client on a real socket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use murph::id::{CourseId, SessionId};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest, handshake::client::Request, protocol::CloseFrame,
    },
};

use crate::{
    contract::assert_valid_from_server,
    harness::{Person, TestApp},
};

/// Whatever a test waits for comes much sooner.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Player {
    socket: WebSocketStream<TcpStream>,
    pub(crate) session_id: SessionId,
    /// What it was told so far, but for ticks.
    told: Vec<Value>,
}

/// What came of a handshake that was refused.
pub(crate) type Refused = (u16, String);

impl Player {
    /// Starts a session and comes in by its ticket.
    pub(crate) async fn start(app: &TestApp, student: &Person, course: CourseId) -> Self {
        Self::start_with(app, student, json!({"course_id": course})).await
    }

    pub(crate) async fn start_with(app: &TestApp, student: &Person, request: Value) -> Self {
        let reply = student.post("/sessions/start", request).await.is(201);
        let session_id = serde_json::from_value(reply.body["session"]["id"].clone()).unwrap();
        let ticket = reply.body["ticket"].as_str().unwrap();
        Self::attach(app, session_id, ticket).await
    }

    pub(crate) async fn attach(app: &TestApp, session_id: SessionId, ticket: &str) -> Self {
        let request = handshake(app, session_id, &[&format!("murph.v1, ticket.{ticket}")]);
        let mut player = Self::open(app, session_id, request).await.unwrap();
        let hello = player.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        player
    }

    /// Comes back with a fresh ticket. Returns what `hello` said, too.
    pub(crate) async fn return_to(
        app: &TestApp,
        student: &Person,
        session_id: SessionId,
    ) -> (Self, Value) {
        let reply =
            student.post(&format!("/sessions/{session_id}/ticket"), json!({})).await.is(201);
        let ticket = reply.body["ticket"].as_str().unwrap();
        let request = handshake(app, session_id, &[&format!("murph.v1, ticket.{ticket}")]);
        let mut player = Self::open(app, session_id, request).await.unwrap();
        let hello = player.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        (player, hello)
    }

    pub(crate) async fn open(
        app: &TestApp,
        session_id: SessionId,
        request: Request,
    ) -> Result<Self, Refused> {
        let stream = TcpStream::connect(app.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket, session_id, told: Vec::new() }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => panic!("the handshake broke off: {error}"),
        }
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.say_raw(Message::text(message.to_string())).await;
    }

    pub(crate) async fn say_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Many at once; a server that hangs up meanwhile is no failure.
    pub(crate) async fn flood(&mut self, text: &str, count: usize) {
        for _ in 0..count {
            if self.socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }

    /// The next message, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        match self.receive().await {
            Ok(message) => {
                if message["type"] != "tick" {
                    self.told.push(message.clone());
                }
                message
            }
            Err(close) => panic!("the socket was closed: {close:?}"),
        }
    }

    async fn receive(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message = timeout(DEADLINE, self.socket.next()).await.expect("something comes");
            match message {
                Some(Ok(Message::Text(text))) => {
                    assert_valid_from_server(&text);
                    return Ok(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => return Err(close),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next message of this kind; others before it are left out.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        let looking = async {
            loop {
                let message = self.next().await;
                if message["type"] == kind {
                    return message;
                }
            }
        };
        timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("no {kind} came"))
    }

    /// The last message of this kind, if it has come already; otherwise the next.
    pub(crate) async fn told(&mut self, kind: &str) -> Value {
        match self.told.iter().rev().find(|message| message["type"] == kind) {
            Some(message) => message.clone(),
            None => self.until(kind).await,
        }
    }

    /// The first tick for which this holds.
    pub(crate) async fn tick_where(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let tick = self.until("tick").await;
            if holds(&tick) {
                return tick;
            }
            assert!(Instant::now() < deadline, "{tick} after {:#?}", self.told);
        }
    }

    /// Waits until the server closes; what came before, and the code.
    pub(crate) async fn closed(&mut self) -> (Vec<Value>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.receive().await {
                Ok(message) => messages.push(message),
                Err(Some(close)) => return (messages, close.code.into()),
                Err(None) => return (messages, 1006),
            }
        }
    }

    /// The last message of a kind before the server closed, and the code.
    pub(crate) async fn last(&mut self, kind: &str) -> (Value, u16) {
        let (messages, code) = self.closed().await;
        let last = messages.iter().rev().find(|message| message["type"] == kind);
        (last.unwrap_or_else(|| panic!("no {kind} in {messages:#?}")).clone(), code)
    }

    /// The connection breaks off without a word.
    pub(crate) fn drop_out(self) {
        drop(self);
    }

    /// Begins to play, and comes back when the server has seen it.
    pub(crate) async fn play(&mut self, position_ms: u64) {
        self.say(json!({"type": "play", "position_ms": position_ms})).await;
        while self.until("state").await["phase"] != "playing" {}
    }

    pub(crate) async fn progress(&mut self, position_ms: u64) {
        self.say(json!({"type": "progress", "position_ms": position_ms})).await;
    }

    /// Watches for so many seconds, proving it at each tick of `tick_s`, and comes back when the
    /// server has seen all of it.
    pub(crate) async fn watch(&mut self, app: &TestApp, from_ms: u64, seconds: u64, step_s: u64) {
        let before = self.until("tick").await["watched_ms"].as_u64().unwrap();
        for second in (step_s..=seconds).step_by(usize::try_from(step_s).unwrap()) {
            app.app.clock.advance(Duration::from_secs(step_s));
            self.progress(from_ms + second * 1_000).await;
            // In the order of a real player: the proof is seen before the clock moves on.
            let seen = before + second * 1_000;
            self.tick_where(|tick| tick["watched_ms"].as_u64().unwrap() >= seen).await;
        }
    }
}

/// The head of a request for a session's socket.
pub(crate) fn handshake(app: &TestApp, session_id: SessionId, protocols: &[&str]) -> Request {
    let url = format!("ws://{}/ws/session/{session_id}", app.address);
    let mut request = url.into_client_request().unwrap();
    for protocol in protocols {
        request.headers_mut().append("sec-websocket-protocol", protocol.parse().unwrap());
    }
    request
}
