//! The handshake of a player's socket, by hand.
//!
//! Tungstenite's own keeps 4 KiB for what may have come behind it, as long as the socket is there.
//! Here nothing is read beyond the handshake, so a player stays small.

use std::io;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The longest answer to a handshake, a refusal with its problem among them.
const ANSWER_MAX_BYTES: usize = 8 * 1_024;

/// What a server says to a handshake.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: String,
    /// The problem, if there is one.
    pub(super) body: String,
}

/// Makes `stream` a WebSocket: `Ok(Err(_))` if the server does not want to.
pub(super) async fn upgrade(
    stream: &TcpStream,
    (host, path): (&str, &str),
    protocols: &str,
) -> io::Result<Result<(), Refused>> {
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n\r\n"
    );
    write(stream, request.as_bytes()).await?;
    let head = read_head(stream).await?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "101" {
        let length = field(&head, "content-length").and_then(|text| text.parse().ok());
        let body = read(stream, length.unwrap_or_default()).await?;
        return Ok(Err(Refused { status: status.to_owned(), body }));
    }
    let is_accepted = field(&head, "sec-websocket-accept")
        .is_some_and(|accept| accept == derive_accept_key(key.as_bytes()));
    if is_accepted { Ok(Ok(())) } else { Err(io::ErrorKind::InvalidData.into()) }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to the empty line, and not a byte further.
async fn read_head(stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    loop {
        let mut ahead = [0; 512];
        let length = stream.peek(&mut ahead).await?;
        let before = head.len();
        head.extend_from_slice(&ahead[..length]);
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.truncate(end + 4);
        }
        if length == 0 || head.len() > ANSWER_MAX_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // What was seen is there, so this takes it at once.
        stream.try_read(&mut ahead[..head.len() - before])?;
        if head.ends_with(b"\r\n\r\n") {
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
    }
}

async fn read(stream: &TcpStream, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length.min(ANSWER_MAX_BYTES)];
    let mut filled = 0;
    while filled < bytes.len() {
        stream.readable().await?;
        match stream.try_read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn field<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What becomes of a handshake that is answered with `answer`, and what can be read after it.
    async fn answered(
        answer: impl FnOnce(&str) -> Vec<String> + Send + 'static,
    ) -> (io::Result<Result<(), Refused>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                peer.read_buf(&mut request).await.unwrap();
            }
            let request = String::from_utf8(request).unwrap();
            for part in answer(field(&request, "sec-websocket-key").unwrap()) {
                peer.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let ask = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let outcome = upgrade(&stream, ("h", "/ws"), "murph.v1, ticket.x").await;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            (outcome, rest)
        };
        let ((), answered) = tokio::join!(serve, ask);
        answered
    }

    fn switching(accept: &str) -> String {
        format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n\r\n")
    }

    #[tokio::test]
    async fn nothing_is_read_beyond_the_handshake() {
        let (outcome, rest) = answered(|key| {
            vec![switching(&derive_accept_key(key.as_bytes())) + "hello", " and more".into()]
        })
        .await;
        assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
        assert_eq!(rest, "hello and more");
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces() {
        let (outcome, rest) = answered(|key| {
            let answer = switching(&derive_accept_key(key.as_bytes()));
            answer.chars().map(String::from).chain(["hello".into()]).collect()
        })
        .await;
        assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
        assert_eq!(rest, "hello");
    }

    #[tokio::test]
    async fn a_refusal_is_read_with_its_problem() {
        let refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}";
        let (outcome, _) = answered(move |_| vec![refusal.into()]).await;
        let refused = outcome.unwrap().unwrap_err();
        assert_eq!((refused.status.as_str(), refused.body.as_str()), ("429", "{}"));
    }

    #[tokio::test]
    async fn who_is_no_websocket_server_is_not_believed() {
        assert!(answered(|_| vec![switching("x")]).await.0.is_err());
        assert!(answered(|_| vec!["HTTP/1.1 101 Switch".into()]).await.0.is_err());
    }
}
