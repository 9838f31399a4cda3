//! A text frame as RFC 6455 has it from a server: a head, and the text as it is.
//!
//! Made in place, in a buffer that is used again, because every tick to every player is one.

use std::fmt::{self, Write};

/// "The last frame of a text".
const FINAL_TEXT: u8 = 0x81;

/// The longest head: the opcode, a byte that says that 8 more tell the length, and those.
const HEAD_MAX_BYTES: usize = 10;

/// A frame that is written to as to a text.
#[derive(Debug)]
pub(super) struct TextFrame {
    /// Room for the head, and the text.
    bytes: Vec<u8>,
}

impl TextFrame {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD_MAX_BYTES] }
    }

    /// Makes it an empty one; the memory stays.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEAD_MAX_BYTES);
    }

    /// What is to be sent.
    pub(super) fn finish(&mut self) -> &[u8] {
        let length = self.bytes.len() - HEAD_MAX_BYTES;
        let length_in_8 = u64::try_from(length).expect("a length fits").to_be_bytes();
        // The shortest way to say it, and so that it ends where the text begins.
        let (short, bytes) = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short), _) if short <= 125 => (short, 0),
            (_, Ok(_)) => (126, 2),
            _ => (127, 8),
        };
        let start = HEAD_MAX_BYTES - 2 - bytes;
        self.bytes[start] = FINAL_TEXT;
        self.bytes[start + 1] = short;
        self.bytes[start + 2..HEAD_MAX_BYTES].copy_from_slice(&length_in_8[8 - bytes..]);
        &self.bytes[start..]
    }
}

impl Write for TextFrame {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    #[test]
    fn what_is_written_is_what_a_client_reads() {
        let mut frame = TextFrame::new();
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let text = "x".repeat(length);
            frame.clear();
            frame.write_str(&text).unwrap();
            let stream = Cursor::new(frame.finish().to_vec());
            let mut client = WebSocket::from_raw_socket(stream, Role::Client, None);
            assert_eq!(client.read().unwrap().into_text().unwrap().as_str(), text);
        }
    }
}
