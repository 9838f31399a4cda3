//! A player's socket: attach with a ticket, speak, and understand what the server says.

use std::{io, net::IpAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    api::{Node, Receipt},
    upgrade::{Refused, upgrade},
};
use crate::{id::SessionId, money::Money};

/// The subprotocol spoken.
const PROTOCOL: &str = "murph.v1";

/// Ten thousand sockets shall fit a small machine beside the server, and no message is long.
const READ_BUFFER_BYTES: usize = 1_024;
const MESSAGE_MAX_BYTES: usize = 64 * 1_024;

/// How long connecting and the handshake may take.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Link(WebSocketStream<TcpStream>);

/// What the server says.
#[derive(Debug)]
pub(super) enum Heard {
    Hello(Hello),
    Tick(Tick),
    Drain {
        reconnect_after: Duration,
    },
    Receipt(Box<Receipt>),
    /// Honest players never hear one.
    Error(String),
    /// What needs no answer.
    Other,
    /// The end of this connection.
    Lost(Lost),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The close code, or `None` if it broke off without a word.
    pub(super) code: Option<u16>,
    /// What to count it as.
    pub(super) kind: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) tick_ms: u64,
    pub(super) grace_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Tick {
    pub(super) seq: u64,
    pub(super) watched_ms: u64,
    pub(super) cost: Money,
}

impl Lost {
    fn without_a_word(why: &str) -> Self {
        Self { code: None, kind: why.to_owned() }
    }

    fn closed(code: u16) -> Self {
        Self { code: Some(code), kind: format!("close {code}") }
    }

    /// Whether coming back with a new ticket is what the protocol asks for.
    pub(super) fn may_come_back(&self) -> bool {
        self.code.is_none_or(|code| [1001, 1005, 1006, 1011, 1012, 4008].contains(&code))
    }
}

impl Link {
    /// Connects from `source` and attaches to the session with `ticket`.
    pub(super) async fn attach(
        node: &Node,
        source: Option<IpAddr>,
        session: SessionId,
        ticket: &str,
    ) -> Result<Self, Lost> {
        let attach = async {
            let stream = connect(node, source).await.map_err(|error| broken("connect", &error))?;
            let path = format!("/ws/session/{session}");
            let protocols = format!("{PROTOCOL}, ticket.{ticket}");
            upgrade(&stream, (&node.host, &path), &protocols)
                .await
                .map_err(|error| broken("attach", &error))?
                .map_err(|refused| not_let_in(&refused))?;
            let config = Some(small());
            Ok(Self(WebSocketStream::from_raw_socket(stream, Role::Client, config).await))
        };
        match timeout(ATTACH_TIMEOUT, attach).await {
            Ok(attached) => attached,
            Err(_) => Err(Lost::without_a_word("attach: no answer in time")),
        }
    }

    pub(super) async fn say(&mut self, text: String) -> Result<(), Lost> {
        self.0.send(Message::text(text)).await.map_err(|error| lost(&error))
    }

    /// The next thing said. May be dropped while it waits, and called again.
    pub(super) async fn hear(&mut self) -> Heard {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => understand(&text),
            // Tungstenite answers pings by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Other,
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(CloseCode::Status, |frame| frame.code);
                Heard::Lost(Lost::closed(code.into()))
            }
            Some(Ok(_)) => Heard::Error("not text".into()),
            Some(Err(error)) => Heard::Lost(lost(&error)),
            None => Heard::Lost(Lost::without_a_word("broken off")),
        }
    }
}

async fn connect(node: &Node, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match node.address {
        std::net::SocketAddr::V4(_) => TcpSocket::new_v4(),
        std::net::SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(node.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn small() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_MAX_BYTES)
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
}

fn broken(doing: &str, error: &io::Error) -> Lost {
    Lost::without_a_word(&format!("{doing}: {}", error.kind()))
}

fn not_let_in(refused: &Refused) -> Lost {
    let problem: Value = serde_json::from_str(&refused.body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default();
    Lost::without_a_word(format!("attach: {} {code}", refused.status).trim_end())
}

fn lost(error: &tungstenite::Error) -> Lost {
    use tungstenite::Error as E;
    match error {
        E::Io(error) => broken("socket", error),
        E::ConnectionClosed | E::AlreadyClosed => Lost::without_a_word("broken off"),
        other => Lost::without_a_word(&format!("websocket: {other}")),
    }
}

fn understand(text: &str) -> Heard {
    // Nearly all that is ever said, so without a detour over a tree.
    if text.starts_with(r#"{"type":"tick","#) {
        return serde_json::from_str(text).map_or_else(|_| not_understood("tick"), Heard::Tick);
    }
    let Ok(message) = serde_json::from_str::<Value>(text) else { return not_understood("") };
    let kind = message["type"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "hello" => read(message, &kind, Heard::Hello),
        "tick" => read(message, &kind, Heard::Tick),
        "receipt" => read(message, &kind, |receipt| Heard::Receipt(Box::new(receipt))),
        "drain" => {
            let ms = message["reconnect_after_ms"].as_u64().unwrap_or_default();
            Heard::Drain { reconnect_after: Duration::from_millis(ms) }
        }
        "error" => Heard::Error(message["code"].as_str().unwrap_or_default().to_owned()),
        _ => Heard::Other,
    }
}

fn read<T: for<'de> Deserialize<'de>>(
    message: Value,
    kind: &str,
    heard: impl FnOnce(T) -> Heard,
) -> Heard {
    serde_json::from_value(message).map_or_else(|_| not_understood(kind), heard)
}

fn not_understood(kind: &str) -> Heard {
    Heard::Error(format!("{kind} not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_in_any_order_of_their_fields() {
        for text in [
            r#"{"type":"tick","seq":3,"watched_ms":15000,"cost":"0.15","held":"30.00","x":1}"#,
            r#"{"cost":"0.15","watched_ms":15000,"seq":3,"type":"tick"}"#,
        ] {
            let Heard::Tick(tick) = understand(text) else { panic!("{text}") };
            assert_eq!((tick.seq, tick.watched_ms, tick.cost.micros()), (3, 15_000, 150_000));
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "[]x", r#"{"type":"hello"}"#, r#"{"type":"tick","seq":-1}"#] {
            assert!(matches!(understand(text), Heard::Error(_)), "{text}");
        }
        let Heard::Error(code) = understand(r#"{"type":"error","code":"bad_message"}"#) else {
            panic!("an error is an error")
        };
        assert_eq!(code, "bad_message");
        assert!(matches!(understand(r#"{"type":"low_balance","remaining_ms":1}"#), Heard::Other));
    }

    #[test]
    fn players_come_back_only_where_the_protocol_asks_for_it() {
        for code in [1001, 1012, 4008] {
            assert!(Lost::closed(code).may_come_back(), "{code}");
        }
        for code in [1000, 4001, 4003, 4004, 4009, 4010, 4029] {
            assert!(!Lost::closed(code).may_come_back(), "{code}");
        }
        assert!(Lost::without_a_word("reset").may_come_back());
    }
}
