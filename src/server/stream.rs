//! A TCP stream that is neither kept for nothing nor closed too early.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};

use super::{
    idle::{Direction, Idle},
    received::{LengthHeaders, Received},
};
use crate::{live::Wire, telemetry::CountedConnection};

/// How long to listen on after the refusal of a request, for what of it is still on its way.
///
/// Closing with something unread makes the system send a reset, which can make the peer throw away
/// the answer it did not read yet.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What a connection takes up, given back when its stream is dropped: also if a WebSocket took it
/// over in the meantime.
type Place = (OwnedSemaphorePermit, CountedConnection);

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    idle: Idle,
    received: Received,
    length_headers: LengthHeaders,
    lingering: Option<Pin<Box<Sleep>>>,
    place: Place,
}

impl Stream {
    pub(super) fn new(
        socket: TcpStream,
        idle_timeout: Duration,
        received: Received,
        place: Place,
    ) -> Self {
        Self {
            socket,
            idle: Idle::new(idle_timeout),
            received,
            length_headers: LengthHeaders::default(),
            lingering: None,
            place,
        }
    }

    /// The connection as a socket takes it over: plain, with its own ways to find out who is gone.
    pub(super) fn into_wire(self, received: Bytes) -> Wire {
        Wire { tcp: self.socket, received, place: Box::new(self.place) }
    }

    fn note_received(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.idle.moved();
        self.received.add(bytes.len());
        if self.length_headers.find_both(bytes) {
            self.received.set_ambiguous();
        }
    }

    fn note_written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.idle.poll(Direction::Writing, cx).map(Err),
            Poll::Ready(Ok(length)) if length > 0 => {
                self.idle.moved();
                written
            }
            Poll::Ready(_) => written,
        }
    }

    /// Reads what nobody wants any more, until the peer is done or the time is up.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { socket, lingering, .. } = self;
        let alarm = lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut unwanted = [0; 4096];
        // Asking the clock and not the alarm: against a peer that never stops sending, tokio
        // would let the alarm wait for its turn for ever.
        while Instant::now() < alarm.deadline() {
            let mut buffer = ReadBuf::new(&mut unwanted);
            match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return alarm.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut stream.socket).poll_read(cx, buffer) {
            Poll::Pending => stream.idle.poll(Direction::Reading, cx).map(Err),
            read @ Poll::Ready(_) => {
                stream.note_received(&buffer.filled()[before..]);
                read
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = Pin::new(&mut stream.socket).poll_write(cx, bytes);
        stream.note_written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = Pin::new(&mut stream.socket).poll_write_vectored(cx, slices);
        stream.note_written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.lingering.is_none() {
            ready!(Pin::new(&mut stream.socket).poll_shutdown(cx))?;
        }
        if !stream.received.is_mid_request() {
            return Poll::Ready(Ok(()));
        }
        stream.poll_linger(cx).map(Ok)
    }
}
