//! A process full of players: it holds sockets, counts ticks, and sends proofs when told to.
//!
//! It is told what to do by lines of JSON on its standard input, and answers with such lines.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, sync::mpsc, task::LocalSet, time::sleep_until};

use crate::{
    TICK,
    histogram::Histogram,
    lateness::Lateness,
    socket::{first_frame, masked, post, upgrade},
};

/// Parts of a second in which the players prove.
const SLICES: usize = 64;

/// Players that come at the same time.
const COMING: usize = 32;

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    pub(crate) whom: Whom,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Whom {
    Bare {
        sockets: usize,
    },
    /// With an access token for each player.
    Murph {
        tokens: Vec<String>,
        course_id: String,
        video_id: String,
    },
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Prove once a tick from now on, or be silent.
    Prove(bool),
    Count,
    Report,
    /// End all sessions.
    End,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Answer {
    Done,
    Counted(Counted),
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Counted {
    pub(crate) ticks: u64,
    pub(crate) lateness: Histogram,
    /// Sockets that are gone.
    pub(crate) lost: usize,
    /// A tick as it came.
    pub(crate) frame: String,
}

struct Fleet {
    sockets: Vec<Rc<Player>>,
    shared: Rc<Shared>,
    video_id: String,
}

#[derive(Default)]
struct Shared {
    is_counting: Cell<bool>,
    ticks: Cell<u64>,
    lost: Cell<usize>,
    frame: RefCell<String>,
    is_proving: Cell<bool>,
}

struct Player {
    stream: TcpStream,
    began: Instant,
    is_open: Cell<bool>,
    lateness: RefCell<Lateness>,
    /// The beginning of a frame whose end has not come yet.
    rest: RefCell<Vec<u8>>,
}

pub(crate) fn main() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("a line comes");
    let setup: Setup = serde_json::from_str(&line).expect("a setup");
    let (order, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            drop(order.send(serde_json::from_str(&line).expect("an order")));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    LocalSet::new().block_on(&runtime, serve(setup, orders));
}

async fn serve(setup: Setup, mut orders: mpsc::UnboundedReceiver<Order>) {
    let fleet = Rc::new(come(setup).await);
    tokio::task::spawn_local(prove(Rc::clone(&fleet)));
    answer(&Answer::Done);
    while let Some(order) = orders.recv().await {
        let done = match order {
            Order::Prove(is_proving) => {
                fleet.shared.is_proving.set(is_proving);
                Answer::Done
            }
            Order::Count => {
                fleet.begin_counting();
                Answer::Done
            }
            Order::Report => Answer::Counted(fleet.counted()),
            Order::End => {
                fleet.end().await;
                Answer::Done
            }
        };
        answer(&done);
    }
}

fn answer(answer: &Answer) {
    let line = serde_json::to_string(answer).expect("plain data");
    println!("{line}");
    io::stdout().flush().expect("the bench listens");
}

/// Connects everybody, some at a time.
async fn come(setup: Setup) -> Fleet {
    let Setup { address, whom } = setup;
    let shared = Rc::new(Shared::default());
    let mut coming = tokio::task::JoinSet::new();
    let video_id = match whom {
        Whom::Bare { sockets } => {
            let shared = Rc::clone(&shared);
            coming.spawn_local(async move {
                let mut players = Vec::new();
                for _ in 0..sockets {
                    players.push(enter(address, "/", &shared).await.expect("the loop lets in"));
                }
                players
            });
            String::new()
        }
        Whom::Murph { tokens, course_id, video_id } => {
            for tokens in tokens.chunks(tokens.len().div_ceil(COMING)) {
                let (tokens, course_id) = (tokens.to_vec(), course_id.clone());
                let (shared, video_id) = (Rc::clone(&shared), video_id.clone());
                coming.spawn_local(async move {
                    let body = format!(r#"{{"course_id":"{course_id}"}}"#);
                    let mut api = TcpStream::connect(address).await.expect("Murph listens");
                    let mut players = Vec::new();
                    for token in tokens {
                        let path = start(&mut api, &token, &body).await.expect("a session starts");
                        let player = enter(address, &path, &shared).await;
                        let player = player.expect("Murph lets in");
                        player.say(&format!(
                            r#"{{"type":"play","video_id":"{video_id}","position_ms":0}}"#
                        ));
                        players.push(player);
                    }
                    players
                });
            }
            video_id
        }
    };
    let sockets = coming.join_all().await.concat();
    Fleet { sockets, shared, video_id }
}

/// Starts a session; where its player connects.
async fn start(api: &mut TcpStream, token: &str, body: &str) -> io::Result<String> {
    let answer = post(api, ("/api/v1/sessions/start", token), body).await?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (session, ticket) = (text(&answer["session"]["id"]), text(&answer["ticket"]));
    Ok(format!("/ws/session/{session}?ticket={ticket}"))
}

async fn enter(address: SocketAddr, path: &str, shared: &Rc<Shared>) -> io::Result<Rc<Player>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let rest = upgrade(&mut stream, path).await?;
    let player = Rc::new(Player {
        stream,
        began: Instant::now(),
        is_open: Cell::new(true),
        lateness: RefCell::new(Lateness::new(TICK)),
        rest: RefCell::new(rest),
    });
    tokio::task::spawn_local(listen(Rc::clone(&player), Rc::clone(shared)));
    Ok(player)
}

async fn listen(player: Rc<Player>, shared: Rc<Shared>) {
    while player.is_open.get() && player.stream.readable().await.is_ok() {
        player.read(&shared);
    }
    shared.lost.set(shared.lost.get() + 1);
}

/// Lets everybody prove in turn, at times that have nothing to do with when their ticks come.
async fn prove(fleet: Rc<Fleet>) {
    let step = TICK / u32::try_from(SLICES).expect("few slices");
    let mut due = Instant::now();
    loop {
        for slice in fleet.sockets.chunks(fleet.sockets.len().div_ceil(SLICES)) {
            sleep_until(due.into()).await;
            due += step;
            if fleet.shared.is_proving.get() {
                for player in slice {
                    player.prove(&fleet.video_id);
                }
            }
        }
    }
}

impl Player {
    fn say(&self, text: &str) {
        // A socket that takes nothing is counted when it closes.
        drop(self.stream.try_write(&masked(text)));
    }

    fn prove(&self, video_id: &str) {
        let position_ms = self.began.elapsed().as_millis();
        self.say(&format!(
            r#"{{"type":"progress","video_id":"{video_id}","position_ms":{position_ms},"rate":1.0,"visible":true,"muted":false}}"#
        ));
    }

    fn read(&self, shared: &Shared) {
        let mut bytes = [0; 4_096];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => self.is_open.set(false),
            Ok(length) => {
                let mut rest = self.rest.borrow_mut();
                if rest.is_empty() {
                    let used = self.take_frames(&bytes[..length], shared);
                    rest.extend(&bytes[used..length]);
                } else {
                    rest.extend(&bytes[..length]);
                    let used = self.take_frames(&rest, shared);
                    rest.drain(..used);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.is_open.set(false),
        }
    }

    /// How many bytes were whole frames.
    fn take_frames(&self, bytes: &[u8], shared: &Shared) -> usize {
        let mut used = 0;
        while let Some((opcode, payload, length)) = first_frame(&bytes[used..]) {
            used += length;
            match opcode {
                0x1 => self.hear(payload, shared),
                0x8 => self.is_open.set(false),
                0x9 => drop(self.stream.try_write(&[0x8a, 0x80, 0, 0, 0, 0])),
                _ => {}
            }
        }
        used
    }

    fn hear(&self, text: &[u8], shared: &Shared) {
        const TICK_BEGINS: &[u8] = br#"{"type":"tick","seq":"#;
        let Some(rest) = text.strip_prefix(TICK_BEGINS) else {
            assert!(!text.starts_with(br#"{"type":"error""#), "{}", String::from_utf8_lossy(text));
            return;
        };
        if !shared.is_counting.get() {
            return;
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let seq = digits.fold(0, |seq, digit| seq * 10 + u64::from(digit - b'0'));
        self.lateness.borrow_mut().arrived(seq, Instant::now());
        shared.ticks.set(shared.ticks.get() + 1);
        if shared.frame.borrow().is_empty() {
            *shared.frame.borrow_mut() = String::from_utf8_lossy(text).into_owned();
        }
    }
}

impl Fleet {
    fn begin_counting(&self) {
        let mut forgotten = Histogram::default();
        for player in &self.sockets {
            player.lateness.borrow_mut().begin_anew(&mut forgotten);
        }
        self.shared.frame.borrow_mut().clear();
        self.shared.ticks.set(0);
        self.shared.is_counting.set(true);
    }

    fn counted(&self) -> Counted {
        self.shared.is_counting.set(false);
        let mut lateness = Histogram::default();
        for player in &self.sockets {
            player.lateness.borrow_mut().judge(&mut lateness);
        }
        Counted {
            ticks: self.shared.ticks.get(),
            lateness,
            lost: self.shared.lost.get(),
            frame: self.shared.frame.borrow().clone(),
        }
    }

    /// Says `end` on all sockets at once, and waits until the last is closed.
    async fn end(&self) {
        for player in &self.sockets {
            player.say(r#"{"type":"end"}"#);
        }
        while self.shared.lost.get() < self.sockets.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
