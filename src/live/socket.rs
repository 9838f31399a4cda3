//! One player's socket: RFC 6455 over a TCP stream, without waiting.
//!
//! The protocol is tungstenite's; what is ours is that everybody may write at once, from any task:
//! a message is handed to the system then and there, inside a short lock, and what the peer does
//! not take goes the slow way, on a task of its own. So ten thousand ticks are ten thousand system
//! calls in one loop, and no task is woken for any of them.
//!
//! A peer that does not read gets no more ticks until it has taken the last one, and is cut off
//! after `live.slow_reader_ms`. Nothing waits for it.

use std::{
    future::poll_fn,
    io::{self, Write},
    net::IpAddr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{io::Interest, net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{
    Bytes, Error as ProtocolError, Message, Utf8Bytes,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use super::{close::Close, pipe::Pipe};

/// The longest message a player may send.
const MESSAGE_MAX_BYTES: usize = 4 * 1024;

/// What is read at once; messages are far smaller.
const READ_BUFFER_BYTES: usize = 256;

/// How long a peer may take to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A connection that became a socket, as the server hands it over.
pub struct Wire {
    pub tcp: TcpStream,
    /// What the peer had sent already, behind its request.
    pub received: Bytes,
    /// The connection's place among those there may be, given back when this is dropped.
    pub place: Box<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// A player's socket. Closed when nobody holds it any more.
pub(super) struct Socket {
    tcp: TcpStream,
    talk: Mutex<Talk>,
    /// The peer has not taken all it was sent, and somebody is in charge of that.
    is_slow: AtomicBool,
    /// No more messages: we have said good-bye, or the connection broke.
    is_closed: AtomicBool,
    /// Whoever reads has to know.
    closed: AtomicWaker,
    /// When something last came from the peer, in the node's milliseconds.
    heard_ms: AtomicU64,
    /// When it was last asked for a sign of life; 0: never since it last gave one.
    asked_ms: AtomicU64,
    pub(super) address: IpAddr,
    _place: Box<dyn std::any::Any + Send + Sync>,
}

/// Both directions of a conversation.
struct Talk {
    protocol: WebSocketContext,
    /// What the peer has not taken yet.
    unsent: Vec<u8>,
    /// The peer does not speak the protocol: whatever else comes is thrown away.
    has_failed: bool,
}

/// What came of handing something to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The peer's, or the system's to deliver.
    Taken,
    /// The rest waits in our buffer: somebody must call [`Socket::catch_up`].
    Slow,
    /// There is nobody to take it.
    Lost,
}

/// What came out of a socket.
#[derive(Debug)]
pub(super) enum Received {
    Text(Utf8Bytes),
    /// Something only the protocol cares about.
    Control,
    /// Nothing more for now.
    Nothing,
    /// A message the protocol does not allow here.
    Refused(Close),
    /// The connection is over.
    Over,
}

impl Socket {
    pub(super) fn new(wire: Wire, address: IpAddr, now_ms: u64) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            // Everything is handed on at once, and the pipe takes everything.
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_MAX_BYTES))
            .max_frame_size(Some(MESSAGE_MAX_BYTES));
        let Wire { tcp, received, place } = wire;
        let (role, received) = (Role::Server, received.to_vec());
        let protocol = WebSocketContext::from_partially_read(received, role, Some(config));
        Self {
            tcp,
            talk: Mutex::new(Talk { protocol, unsent: Vec::new(), has_failed: false }),
            is_slow: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            closed: AtomicWaker::new(),
            heard_ms: AtomicU64::new(now_ms),
            asked_ms: AtomicU64::new(0),
            address,
            _place: place,
        }
    }

    /// Sends a frame that must arrive, if anything does.
    pub(super) fn send(&self, frame: &[u8]) -> Sent {
        if self.is_closed() {
            return Sent::Lost;
        }
        let mut talk = self.talk();
        // Again, now that nobody can say good-bye meanwhile.
        if self.is_closed() {
            return Sent::Lost;
        }
        let taken = self.pipe(&mut talk.unsent).write(frame);
        self.outcome(&talk, taken.is_ok())
    }

    /// Sends a frame that the next one makes worthless: a peer that is behind does not get it.
    pub(super) fn offer(&self, frame: &[u8]) -> Sent {
        if self.is_slow.load(Ordering::Relaxed) {
            return Sent::Taken;
        }
        self.send(frame)
    }

    /// Of several that find the peer slow at once, one is told. To be called under the lock, as
    /// `is_slow` says whether somebody is in charge of what is unsent.
    fn outcome(&self, talk: &Talk, is_fine: bool) -> Sent {
        if !is_fine {
            self.cut();
            return Sent::Lost;
        }
        if talk.unsent.is_empty() || self.is_slow.swap(true, Ordering::AcqRel) {
            return Sent::Taken;
        }
        Sent::Slow
    }

    /// Brings what is unsent to a slow peer. Cuts it off if it does not take it within `patience`.
    pub(super) async fn catch_up(&self, patience: Duration) {
        let flush = async {
            loop {
                if self.tcp.writable().await.is_err() {
                    return false;
                }
                let mut talk = self.talk();
                if self.send_rest(&mut talk.unsent).is_err() {
                    return false;
                }
                if talk.unsent.is_empty() {
                    // Still under the lock: whoever finds the peer slow next is told again.
                    self.is_slow.store(false, Ordering::Release);
                    return true;
                }
            }
        };
        if timeout(patience, flush).await != Ok(true) {
            tracing::debug!("a player does not read what it is sent");
            // It may not arrive either, but if it does it says why.
            self.close(Close::SlowReader);
            self.cut();
        }
    }

    /// As much of what is unsent as the peer takes just now.
    fn send_rest(&self, unsent: &mut Vec<u8>) -> io::Result<()> {
        while !unsent.is_empty() {
            match self.tcp.try_write(unsent) {
                Ok(sent) => drop(unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        *unsent = Vec::new();
        Ok(())
    }

    /// Says good-bye. What was sent before arrives before it; nothing comes after it.
    pub(super) fn close(&self, close: Close) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let frame = CloseFrame { code: close.code().into(), reason: close.reason().into() };
        let talk = &mut *self.talk();
        let said = talk.protocol.close(&mut self.pipe(&mut talk.unsent), Some(frame));
        if said.is_err() {
            tracing::trace!("a socket was gone before it was closed");
        }
        self.closed.wake();
    }

    /// Breaks the connection off.
    pub(super) fn cut(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.closed.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Waits until there is something to read. `false` if the socket was closed by us meanwhile.
    pub(super) async fn readable(&self) -> bool {
        poll_fn(|context| {
            self.closed.register(context.waker());
            if self.is_closed() {
                return Poll::Ready(false);
            }
            // Whatever is wrong with the connection, reading will tell.
            self.tcp.poll_read_ready(context).map(|_| true)
        })
        .await
    }

    pub(super) fn read(&self) -> Received {
        let talk = &mut *self.talk();
        if talk.has_failed {
            return self.throw_away();
        }
        let mut pipe = self.pipe(&mut talk.unsent);
        let received = match talk.protocol.read(&mut pipe) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(_)) => Received::Refused(Close::Protocol),
            Ok(Message::Close(_)) => {
                // The answer to it is ready, and leaves with this; if it cannot, so be it.
                let _ = talk.protocol.flush(&mut pipe);
                // Nothing may come after it.
                self.is_closed.store(true, Ordering::Release);
                Received::Over
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Received::Control,
            Err(error) if would_block(&error) && pipe.is_exhausted() => {
                Received::Refused(Close::TooBig)
            }
            Err(error) if would_block(&error) => Received::Nothing,
            Err(ProtocolError::Capacity(_)) => Received::Refused(Close::TooBig),
            Err(ProtocolError::Protocol(_) | ProtocolError::Utf8(_)) => {
                Received::Refused(Close::Protocol)
            }
            Err(_) => Received::Over,
        };
        talk.has_failed = matches!(received, Received::Refused(_));
        received
    }

    /// Reads what nobody wants to know.
    fn throw_away(&self) -> Received {
        match self.tcp.try_read(&mut [0; 1_024]) {
            Ok(1..) => Received::Control,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Ok(0) | Err(_) => Received::Over,
        }
    }

    /// After a close: brings the peer what it has not taken yet, and waits for its close, so that
    /// what was sent last is not thrown away by a reset.
    pub(super) async fn linger(&self) {
        let parting = async {
            loop {
                let Some(waits_for) = self.part() else { return };
                if self.tcp.ready(waits_for).await.is_err() {
                    return;
                }
                // A peer that sends and sends must not keep the time from running out.
                tokio::task::yield_now().await;
            }
        };
        let _ = timeout(CLOSE_WAIT, parting).await;
    }

    /// Goes on with the parting; says what it waits for. `None`: it is over.
    fn part(&self) -> Option<Interest> {
        let received = self.read();
        let mut talk = self.talk();
        if matches!(received, Received::Over) || self.send_rest(&mut talk.unsent).is_err() {
            return None;
        }
        let is_all_sent = talk.unsent.is_empty();
        Some(if is_all_sent { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE })
    }

    /// Something came: the peer lives.
    pub(super) fn note_heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
        self.asked_ms.store(0, Ordering::Relaxed);
    }

    /// Asks a peer that has been `quiet_for` so long for a sign of life. `false` if it was asked
    /// before and has given none for all our `patience`.
    pub(super) fn is_alive(&self, now_ms: u64, quiet_for: Duration, patience: Duration) -> bool {
        let since = |then: &AtomicU64| {
            Duration::from_millis(now_ms.saturating_sub(then.load(Ordering::Relaxed)))
        };
        if self.asked_ms.load(Ordering::Relaxed) != 0 {
            return since(&self.asked_ms) < patience;
        }
        if since(&self.heard_ms) >= quiet_for {
            self.asked_ms.store(now_ms.max(1), Ordering::Relaxed);
            self.ask();
        }
        true
    }

    fn ask(&self) {
        let talk = &mut *self.talk();
        let ping = Message::Ping(Bytes::new());
        if talk.protocol.write(&mut self.pipe(&mut talk.unsent), ping).is_err() {
            self.cut();
        }
    }

    fn pipe<'a>(&'a self, unsent: &'a mut Vec<u8>) -> Pipe<'a> {
        Pipe::new(&self.tcp, unsent)
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().expect("nobody panics while holding it")
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("address", &self.address).finish_non_exhaustive()
    }
}

fn would_block(error: &ProtocolError) -> bool {
    matches!(error, ProtocolError::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};
    use tokio_tungstenite::tungstenite::WebSocket;

    use super::*;
    use crate::live::frame::TextFrame;

    async fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire { tcp: accepted.unwrap().0, received: Bytes::new(), place: Box::new(()) };
        (peer.unwrap(), Socket::new(wire, address.ip(), 0))
    }

    #[tokio::test]
    async fn a_message_of_endless_empty_frames_is_refused() {
        const FIRST: [u8; 6] = [0x01, 0x80, 0, 0, 0, 0];
        const MORE: [u8; 6] = [0x00, 0x80, 0, 0, 0, 0];
        let (mut peer, socket) = pair().await;
        peer.write_all(&[&FIRST[..], &MORE.repeat(10_000)].concat()).await.unwrap();
        assert!(socket.readable().await);
        assert!(matches!(socket.read(), Received::Refused(Close::TooBig)));
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_holds_up_nobody_and_is_cut_off() {
        let (_peer, socket) = pair().await;
        let frame = vec![b'x'; 64 * 1_024];
        while socket.send(&frame) != Sent::Slow {}
        assert_eq!(socket.offer(&frame), Sent::Taken, "left out");
        socket.catch_up(Duration::from_millis(20)).await;
        assert!(socket.is_closed());
    }

    #[tokio::test]
    async fn a_peer_that_gives_no_sign_of_life_is_dead_after_being_asked() {
        const PING: Duration = Duration::from_millis(25);
        const PONG: Duration = Duration::from_millis(8);
        let (_peer, socket) = pair().await;
        for (now_ms, is_alive) in [(24, true), (25, true), (32, true), (33, false)] {
            assert_eq!(socket.is_alive(now_ms, PING, PONG), is_alive, "at {now_ms}");
        }
        socket.note_heard(34);
        assert!(socket.is_alive(50, PING, PONG));
    }

    fn texts(count: usize, bytes: usize) -> Vec<u8> {
        let mut frame = TextFrame::new();
        std::fmt::Write::write_str(&mut frame, &"x".repeat(bytes)).unwrap();
        frame.finish().repeat(count)
    }

    #[tokio::test]
    async fn what_comes_after_a_message_that_is_too_long_keeps_nobody_busy() {
        let (mut peer, socket) = pair().await;
        let head = [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4];
        peer.write_all(&[&head[..], &vec![0; 100_000]].concat()).await.unwrap();
        assert!(socket.readable().await);
        assert!(matches!(socket.read(), Received::Refused(Close::TooBig)));
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            while matches!(socket.read(), Received::Control) {}
        }
        let is_quiet = timeout(Duration::from_millis(50), socket.readable()).await.is_err();
        assert!(is_quiet, "it reads the same again and again");
        drop(peer);
        socket.linger().await;
        assert!(matches!(socket.read(), Received::Over));
    }

    #[tokio::test]
    async fn whoever_reads_again_learns_why_it_was_cut_off() {
        let (peer, socket) = pair().await;
        let frames = texts(1, 64 * 1_024);
        while socket.send(&frames) != Sent::Slow {}
        socket.catch_up(Duration::from_millis(20)).await;
        assert_eq!(socket.send(&frames), Sent::Lost, "nothing comes after a good-bye");
        let peer = std::thread::spawn(move || {
            let peer = peer.into_std().unwrap();
            peer.set_nonblocking(false).unwrap();
            let mut client = WebSocket::from_raw_socket(peer, Role::Client, None);
            loop {
                if let Message::Close(close) = client.read().unwrap() {
                    return close.unwrap().code;
                }
            }
        });
        socket.linger().await;
        drop(socket);
        assert_eq!(u16::from(peer.join().unwrap()), Close::SlowReader.code());
    }
}
