//! Reading and writing a TCP stream without waiting: what tungstenite speaks through.

use std::io::{self, Read, Write};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

/// The most that is read for one message, the heads of its frames included: one of endless empty
/// frames would keep us reading, and whoever has something to send waiting, for ever.
const READ_MAX_BYTES: usize = 32 * 1_024;

/// The most that waits for a peer that does not read: a receipt and some small messages.
const UNSENT_MAX_BYTES: usize = 256 * 1_024;

/// A TCP stream as tungstenite wants it: reading and writing never wait, and writing takes all.
#[derive(Debug)]
pub(super) struct Pipe<'a> {
    tcp: &'a TcpStream,
    unsent: &'a mut Vec<u8>,
    /// How much more is read through this one; then it is as if nothing had come.
    may_read: usize,
}

impl<'a> Pipe<'a> {
    pub(super) fn new(tcp: &'a TcpStream, unsent: &'a mut Vec<u8>) -> Self {
        Self { tcp, unsent, may_read: READ_MAX_BYTES }
    }

    /// Whether as much was read as one message may take.
    pub(super) fn is_exhausted(&self) -> bool {
        self.may_read == 0
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.may_read);
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut read = 0;
        let outcome = self.tcp.try_io(Interest::READABLE, || {
            read = (&*SockRef::from(self.tcp)).read(&mut buffer[..most])?;
            // Less than there was room for: that was all. Said like this, nobody asks the system
            // again before it says that more has come.
            let is_all = (1..most).contains(&read);
            if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match outcome {
            Err(error) if read == 0 => Err(error),
            _ => {
                self.may_read -= read;
                Ok(read)
            }
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        if self.unsent.is_empty() {
            match self.tcp.try_write(bytes) {
                Ok(taken) => sent = taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let rest = &bytes[sent..];
        if self.unsent.len() + rest.len() > UNSENT_MAX_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.unsent.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
