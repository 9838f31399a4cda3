//! Murph meters attention and turns it into money, exactly.
//!
//! A student's video player holds a socket; the student pays for the time really watched, and the
//! teacher sees the earnings move. The way of one request:
//!
//! ```text
//! server ─▶ http ─▶ service ─▶ domain      decides, pure
//!            │         └─────▶ db          writes, in one transaction
//!            └────▶ live                   meters, while a player is connected
//! ```
//!
//! * Ways in: [`http`], [`live`], [`jobs`]. Ways out: [`db`], [`gateway`], [`storage`], [`mux`],
//!   [`bus`], [`ai`].
//! * [`service`] joins them: one use case, one transaction. Whatever moves money goes through
//!   [`service::ledger`]; the hot operations do so many at a time, through [`service::writer`].
//! * [`domain`] knows none of them: rules that can be tested without a server.
//! * [`app`] is what they share while running; [`config`] what can be set; [`cli`] the commands.
//!
//! `tests/tidy.rs` holds these layers.

pub mod ai;
pub mod app;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod domain;
pub mod error;
pub mod gateway;
pub mod http;
pub mod id;
pub mod jobs;
pub mod limits;
pub mod live;
pub mod money;
pub mod mux;
pub mod server;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod time;

/// Requests and rows are many small things, made and thrown away.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
