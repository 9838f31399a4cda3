//! The baseline: as many sockets as Murph has, and a loop that sends each of them a tick a second.
//! It meters nothing, reads nothing and spreads its sends over the second, as Murph does.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::{ROLE, TICK, socket::plain};

/// Parts of a second in which the sockets have their turns; Murph's wheel has as many slots.
const SLOTS: usize = 64;

/// The process of the baseline. Ends when dropped.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(sockets: usize, frame: &str) -> Self {
        let exe = std::env::current_exe().expect("this program is a file");
        let mut child = Command::new(exe)
            .env(ROLE, "bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let mut input = child.stdin.take().expect("it is a pipe");
        writeln!(input, "{sockets} {frame}").expect("it reads");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        Self { child, address: line.trim().parse().expect("an address") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn main() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("a line comes");
    let (sockets, frame) = line.trim_end().split_once(' ').expect("a number and a frame");
    let sockets: usize = sockets.parse().expect("a number");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    println!("{}", listener.local_addr().expect("it is bound"));
    let mut peers: Vec<_> = (0..sockets).map(|_| accept(&listener)).collect();
    shuffle(&mut peers);

    let step = TICK / u32::try_from(SLOTS).expect("few slots");
    let slots: Vec<_> = peers.chunks(sockets.div_ceil(SLOTS)).collect();
    let mut due = Instant::now();
    let mut numbered = Numbered::new(frame);
    loop {
        let bytes = numbered.next();
        for slot in &slots {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            for mut peer in *slot {
                if peer.write(&bytes).is_err() {
                    // The players have gone.
                    return;
                }
            }
            due += step;
        }
        // Fewer sockets than slots: the second is still a second.
        due += step * u32::try_from(SLOTS - slots.len()).expect("few slots");
    }
}

/// Nobody's players sit in the order in which they came: Murph's are in slots by their ids. Sending in
/// the order of arrival would find each next socket in the cache, and its reader awake.
fn shuffle<T>(items: &mut [T]) {
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for last in (1..items.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let other = usize::try_from(random % (last as u64 + 1)).expect("it is an index");
        items.swap(last, other);
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (mut peer, _) = listener.accept().expect("a player comes");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1_024];
        let length = peer.read(&mut bytes).expect("a player asks");
        request.extend(&bytes[..length]);
    }
    peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("a player listens");
    peer.set_nodelay(true).expect("it is TCP");
    peer.set_nonblocking(true).expect("it is a socket");
    peer
}

/// Murph's tick, counted up so that its number stays as long as it was.
struct Numbered {
    before: String,
    after: String,
    number: u64,
}

impl Numbered {
    fn new(frame: &str) -> Self {
        let at = frame.find(r#""seq":"#).expect("a tick has a number") + 6;
        let (before, rest) = frame.split_at(at);
        let end = rest.find(|c: char| !c.is_ascii_digit()).expect("the number ends");
        let (number, after) = rest.split_at(end);
        let number = number.parse().expect("a number");
        Self { before: before.into(), after: after.into(), number }
    }

    fn next(&mut self) -> Vec<u8> {
        self.number += 1;
        plain(&format!("{}{}{}", self.before, self.number, self.after))
    }
}
