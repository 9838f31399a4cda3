//! An honest player, which comes back wherever it can and keeps a log of all it said and was told.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use murph::{
    id::{SessionId, UserId},
    money::Money,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{PATIENCE, nodes::Cluster, span};
use crate::harness::money;

/// A node that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// And for so many ticks.
const SILENT_TICKS_MAX: u32 = 3;

/// For anything a node should do at once.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Between two attempts to come back.
const PAUSE: Duration = Duration::from_millis(50);

type Connection = WebSocketStream<TcpStream>;

/// What a viewer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Watch, and come back on another node when the connection is lost.
    Watch,
    /// The same on this node, by a new connection.
    MoveTo(usize),
    /// Watch, and never give up a connection that is only silent.
    Stay,
    /// Say `end`, and wait for the receipt.
    End,
    /// The connection breaks off by a reset, and nobody comes back.
    DropOut,
}

/// Something said that counts, and when the node had surely heard it: it answers pings in order.
pub(super) struct Word {
    pub(super) said: Instant,
    pub(super) heard: Option<Instant>,
}

/// One connection, from the first word to the last.
#[derive(Default)]
pub(super) struct Sitting {
    pub(super) node: usize,
    /// `play`, and then the proofs.
    pub(super) words: Vec<Word>,
    pub(super) over: Option<Instant>,
    pub(super) close: Option<u16>,
    /// What was told, but for ticks.
    pub(super) told: Vec<Value>,
    pub(super) told_watched: Duration,
    pub(super) told_cost: Money,
    pub(super) phase: String,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) sittings: Vec<Sitting>,
    /// However they came.
    pub(super) receipts: Vec<Value>,
}

pub(super) struct Viewer {
    pub(super) cluster: Arc<Cluster>,
    pub(super) student: UserId,
    pub(super) token: String,
    pub(super) session: SessionId,
    funds: Mutex<Money>,
    wish: watch::Sender<Wish>,
    log: Mutex<Log>,
}

/// How a connection ended, for the viewer.
enum After {
    /// There is nothing to come back to.
    Ended,
    Lost,
    Moved(usize),
}

impl Log {
    fn sitting(&mut self) -> &mut Sitting {
        self.sittings.last_mut().expect("there is a connection")
    }

    /// Keeps a receipt, as REST would give it.
    pub(super) fn take_receipt(&mut self, mut receipt: Value) {
        receipt.as_object_mut().expect("a receipt").remove("type");
        self.receipts.push(receipt);
    }
}

impl Viewer {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        (student, token): (UserId, String),
        session: SessionId,
        funds: &str,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            student,
            token,
            session,
            funds: Mutex::new(money(funds)),
            wish: watch::Sender::new(Wish::Watch),
            log: Mutex::default(),
        }
    }

    /// All it ever had.
    pub(super) fn funds(&self) -> Money {
        *self.funds.lock().unwrap()
    }

    pub(super) fn add_funds(&self, amount: &str) {
        let mut funds = self.funds.lock().unwrap();
        *funds += money(amount);
    }

    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_replace(wish);
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// Where it watches now, if it does, and what it was told there.
    pub(super) fn seat(&self) -> Option<(usize, Duration)> {
        let log = self.log();
        let sitting = log.sittings.last().filter(|sitting| sitting.over.is_none())?;
        sitting.words.first()?.heard?;
        Some((sitting.node, sitting.told_watched))
    }

    pub(super) fn phase(&self) -> String {
        let log = self.log();
        let sitting = log.sittings.last().filter(|sitting| sitting.over.is_none());
        sitting.map(|sitting| sitting.phase.clone()).unwrap_or_default()
    }

    pub(super) fn has_receipt(&self) -> bool {
        !self.log().receipts.is_empty()
    }

    pub(super) fn path(&self, what: &str) -> String {
        format!("/sessions/{}{what}", self.session)
    }

    /// Watches until its session has ended, first on `node`.
    pub(super) async fn run(self: Arc<Self>, node: usize) {
        let (mut node, mut failing_since) = (node, None);
        let mut wish = self.wish.subscribe();
        loop {
            let sittings = self.log().sittings.len();
            match self.sit(node, &mut wish).await {
                After::Ended => return,
                After::Moved(to) => node = to,
                After::Lost => node = (node + 1) % self.cluster.count(),
            }
            if self.log().sittings.len() > sittings {
                failing_since = None;
            }
            let since = *failing_since.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < PATIENCE, "{} cannot come back", self.session);
            sleep(PAUSE).await;
        }
    }

    async fn sit(&self, node: usize, wish: &mut watch::Receiver<Wish>) -> After {
        let path = self.path("/ticket");
        let asked = (Method::POST, path.as_str());
        let asking = self.cluster.ask(node, &self.token, asked, Some(json!({})));
        let Ok(Ok(reply)) = timeout(ANSWER_MAX, asking).await else { return After::Lost };
        match reply.status.as_u16() {
            201 => {}
            // It has ended meanwhile, and here is how.
            409 => return self.read_receipt(node).await,
            503 => return After::Lost,
            _ => panic!("no ticket: {reply:?}"),
        }
        let ticket = reply.body["ticket"].as_str().unwrap().to_owned();
        let Ok(Some(mut socket)) = timeout(ANSWER_MAX, self.connect(node, &ticket)).await else {
            return After::Lost;
        };
        self.log().sittings.push(Sitting { node, ..Sitting::default() });
        let after = self.watch(&mut socket, wish).await;
        let is_reset = *wish.borrow() == Wish::DropOut;
        if is_reset {
            // Closing sends a reset then.
            let _ = socket.get_ref().set_zero_linger();
        }
        drop(socket);
        self.log().sitting().over = Some(Instant::now());
        after
    }

    /// Opens a socket by a ticket. `None`: there is nobody.
    pub(super) async fn connect(&self, node: usize, ticket: &str) -> Option<Connection> {
        let url = self.cluster.url(node);
        let address = url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://{address}/ws/session/{}", self.session);
        let mut request = url.into_client_request().unwrap();
        let protocols = format!("murph.v1, ticket.{ticket}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        Some(client_async(request, stream).await.ok()?.0)
    }

    async fn read_receipt(&self, node: usize) -> After {
        let path = self.path("/receipt");
        let asked = (Method::GET, path.as_str());
        match self.cluster.ask(node, &self.token, asked, None).await {
            Ok(reply) if reply.status == 200 => {
                self.log().take_receipt(reply.body);
                After::Ended
            }
            _ => After::Lost,
        }
    }

    async fn watch(&self, socket: &mut Connection, wish: &mut watch::Receiver<Wish>) -> After {
        let mut beat = interval(self.cluster.tick / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence_max = SILENCE_MAX.max(self.cluster.tick * SILENT_TICKS_MAX);
        let began = Instant::now();
        let mut last_heard = began;
        let mut has_said_end = false;
        wish.mark_changed();
        loop {
            tokio::select! {
                message = socket.next() => {
                    last_heard = Instant::now();
                    if let Some(after) = self.hear(message) {
                        return after;
                    }
                }
                _ = wish.changed() => {
                    let wished = *wish.borrow_and_update();
                    match wished {
                        Wish::Watch | Wish::Stay => {}
                        Wish::End => {
                            has_said_end = true;
                            say(socket, Message::text(json!({"type": "end"}).to_string())).await;
                        }
                        Wish::DropOut => return After::Ended,
                        Wish::MoveTo(node) => {
                            // Once.
                            self.wish.send_if_modified(|wish| {
                                *wish = Wish::Watch;
                                false
                            });
                            return After::Moved(node);
                        }
                    }
                }
                _ = beat.tick() => {
                    let is_staying = *wish.borrow() == Wish::Stay;
                    if last_heard.elapsed() > silence_max && !is_staying && !has_said_end {
                        return After::Lost;
                    }
                    if !has_said_end {
                        self.prove(socket, began).await;
                    }
                }
            }
        }
    }

    /// Says that it plays: first `play`, then proofs, each with a ping behind it.
    async fn prove(&self, socket: &mut Connection, began: Instant) {
        let nth = {
            let mut log = self.log();
            let words = &mut log.sitting().words;
            words.push(Word { said: Instant::now(), heard: None });
            words.len() - 1
        };
        let kind = if nth == 0 { "play" } else { "progress" };
        let position_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
        let word = json!({"type": kind, "position_ms": position_ms});
        say(socket, Message::text(word.to_string())).await;
        say(socket, Message::Ping(nth.to_string().into_bytes().into())).await;
    }

    /// Takes a message down. Something: the connection is over.
    fn hear(
        &self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Option<After> {
        let mut log = self.log();
        match message {
            Some(Ok(Message::Text(text))) => log.hear(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Pong(nth))) => {
                let nth: usize = std::str::from_utf8(&nth).unwrap().parse().unwrap();
                log.sitting().words[nth].heard = Some(Instant::now());
            }
            Some(Ok(Message::Close(frame))) => {
                log.sitting().close = frame.map(|frame| frame.code.into());
                return Some(log.after());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Some(log.after()),
        }
        None
    }
}

impl Log {
    fn after(&self) -> After {
        if self.receipts.is_empty() { After::Lost } else { After::Ended }
    }

    fn hear(&mut self, message: Value) {
        let sitting = self.sitting();
        let kind = message["type"].as_str().expect("each message has a type");
        if matches!(kind, "hello" | "tick") {
            sitting.told_watched = span(&message["watched_ms"]);
            sitting.told_cost = money(message["cost"].as_str().unwrap());
        }
        if let Some(phase) = message["phase"].as_str() {
            phase.clone_into(&mut sitting.phase);
        }
        match kind {
            "tick" => {}
            "receipt" => self.take_receipt(message),
            _ => sitting.told.push(message),
        }
    }
}

/// Whether it arrives, the log tells: a connection that is gone is found when reading.
async fn say(socket: &mut Connection, message: Message) {
    let _ = timeout(ANSWER_MAX, socket.send(message)).await;
}
