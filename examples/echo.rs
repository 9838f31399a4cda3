//! Says back what it hears, on the WebSocket stack that Murph's sockets stand on.
//!
//! For `scripts/autobahn`, which tries that stack against RFC 6455. It has the buffers of Murph's
//! sockets, but not their limits: the suite sends messages of 16 MiB.
//!
//! ```text
//! cargo run --example echo -- 127.0.0.1:9001
//! ```

use std::io::{self, Write};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{self, protocol::WebSocketConfig},
};

/// The largest message of the suite.
const MESSAGE_MAX: usize = 16 << 20;

/// Room for one such message to be sent, with its head. Murph's sockets have 16 KiB.
const WRITE_BUFFER_MAX: usize = MESSAGE_MAX + 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address).await?;
    // Whoever started this may wait for it, and with port 0 has to be told.
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(converse(accepted?.0));
            }
            // Those that are over are forgotten. That they broke off is what the suite is about.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream) -> tungstenite::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
