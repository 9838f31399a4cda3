//! What a connection received, as far as hyper does not tell.
//!
//! Stream, timer and service sit around hyper and cannot see each other; this is what they share.
//!
//! It also finds what hyper hides: a request with both `Content-Length` and `Transfer-Encoding` reaches the
//! handler with the latter only. A proxy in front that believes the former would see other
//! requests in the same bytes ("request smuggling"). Hyper closes such a connection after the
//! answer, which RFC 9112 asks for; Murph refuses the request as well, which it allows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

/// As much of a line as decides which header it is.
const LINE_START: usize = TRANSFER_ENCODING.len();

/// What was seen so far. Clones show the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Received(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    bytes: AtomicU64,
    is_ambiguous: AtomicBool,
    /// How many bytes had come in when the last request was answered.
    answered_bytes: AtomicU64,
}

impl Received {
    pub(super) fn add(&self, length: usize) {
        // All of this happens in one task; the atomics only say so to the compiler.
        self.0.bytes.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many bytes came in.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn set_ambiguous(&self) {
        self.0.is_ambiguous.store(true, Ordering::Relaxed);
    }

    /// Whether a head gave two lengths, or a body looked like one. Never taken back: the connection is
    /// closed after the answer.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.is_ambiguous.load(Ordering::Relaxed)
    }

    /// A request was answered, perhaps before all of its body was there.
    pub(super) fn set_answered(&self, is_all_read: bool) {
        let bytes = if is_all_read { self.bytes() } else { u64::MAX };
        self.0.answered_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending something of a request that is over for us.
    pub(super) fn is_mid_request(&self) -> bool {
        self.0.answered_bytes.load(Ordering::Relaxed) != self.bytes()
    }
}

/// Looks for both headers in one block of lines.
///
/// It does not know where bodies begin and end, and need not: every head is a block between empty
/// lines, so no conflict can hide from it, and there is no length it could be made to believe. A
/// body that is such a block itself is found too: whoever asks tells them apart. Header names are
/// looked at as hyper does, which takes no space before the name or the colon.
#[derive(Debug, Default)]
pub(super) struct LengthHeaders {
    line: Vec<u8>,
    has_length: bool,
    has_encoding: bool,
}

impl LengthHeaders {
    /// Reads on, and says whether the conflict was in there.
    pub(super) fn find_both(&mut self, bytes: &[u8]) -> bool {
        let mut found = false;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, is_whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_START - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.end_line();
                found |= self.has_length && self.has_encoding;
            }
        }
        found
    }

    fn end_line(&mut self) {
        let starts_with = |name: &[u8]| {
            self.line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if matches!(self.line.as_slice(), b"" | b"\r") {
            (self.has_length, self.has_encoding) = (false, false);
        } else if starts_with(CONTENT_LENGTH) {
            self.has_length = true;
        } else if starts_with(TRANSFER_ENCODING) {
            self.has_encoding = true;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFLICT: &str =
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\ntransfer-ENCODING: chunked\r\n\r\n";

    fn is_found(text: &str) -> bool {
        LengthHeaders::default().find_both(text.as_bytes())
    }

    #[test]
    fn both_in_one_head_are_found() {
        assert!(is_found(CONFLICT));
        assert!(is_found(&CONFLICT.replace("\r\n", "\n")));
        assert!(is_found(&format!("GET / HTTP/1.1\r\n\r\n{CONFLICT}")));
        assert!(is_found(&format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{CONFLICT}")));
    }

    #[test]
    fn one_in_each_is_none_of_our_business() {
        let length = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert!(!is_found(&format!("{length}{chunked}{length}")));
        assert!(!is_found("X: Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!is_found("Content-Length-Not: 1\r\nTransfer-Encoding: chunked\r\n"));
    }

    proptest! {
        /// However the bytes are cut into pieces, what is found is the same.
        #[test]
        fn pieces_hide_nothing(cuts in prop::collection::vec(1..9_usize, 1..60)) {
            let mut headers = LengthHeaders::default();
            let mut rest = CONFLICT.as_bytes();
            let mut found = false;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                found |= headers.find_both(piece);
                rest = after;
            }
            prop_assert!(found);
        }
    }
}
