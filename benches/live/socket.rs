//! The least of HTTP and WebSocket that a player needs.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A text frame of a client. The mask is zero, which is one, and leaves the text as it is.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 0x7e => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 0x7e);
            let length = u16::try_from(text.len()).expect("players say little");
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A text frame of a server.
pub(crate) fn plain(text: &str) -> Vec<u8> {
    let mut frame = masked(text);
    let mask_at = frame.len() - text.len() - 4;
    frame.drain(mask_at..mask_at + 4);
    frame[1] &= 0x7f;
    frame
}

/// The first frame in `bytes`, if it is whole: its opcode, its payload, and how long it is.
pub(crate) fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match second & 0x7f {
        0x7e => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        0x7f => panic!("no message is that long"),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(start..start + length)?;
    Some((first & 0x0f, payload, start + length))
}

/// Opens a WebSocket. Gives what came behind the answer's head.
pub(crate) async fn upgrade(stream: &mut TcpStream, path: &str) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (head, rest) = read_head(stream).await?;
    if head.starts_with("HTTP/1.1 101") {
        Ok(rest)
    } else {
        Err(io::Error::other(format!("no upgrade: {head}")))
    }
}

/// Asks over a connection that stays open; gives the body of the answer.
pub(crate) async fn post(
    stream: &mut TcpStream,
    (path, token): (&str, &str),
    body: &str,
) -> io::Result<String> {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let (head, mut answer) = read_head(stream).await?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let length: usize = length.ok_or_else(|| io::Error::other("an answer of unknown length"))?;
    while answer.len() < length {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    if head.starts_with("HTTP/1.1 20") { Ok(answer) } else { Err(io::Error::other(answer)) }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
    }
}
