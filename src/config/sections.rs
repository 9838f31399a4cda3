//! The settings, one struct for each section of `config.toml`, which explains their use.
//!
//! Fields hold what the file holds, unit last; methods give it the type the rest of Murph wants.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{BusUrl, DatabaseUrl, Secret};
use crate::money::{BasisPoints, Currency, Money};

/// Whether settings that are handy but unsafe are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Development,
    Production,
}

/// What listens, and what it grants to whoever connects.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Production refuses what is not safe.
    pub mode: Mode,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where others reach this server; empty: see [`Server::public_url`].
    pub public_url: String,
    /// Everything Murph keeps on disk.
    pub data_dir: PathBuf,
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// For the head of a request to arrive.
    pub header_timeout_ms: u64,
    /// For the body of a request to arrive.
    pub body_timeout_ms: u64,
    /// For answering a request.
    pub request_timeout_ms: u64,
    /// Between two requests on one connection.
    pub idle_timeout_ms: u64,
    /// The largest body of a request.
    pub body_max_bytes: usize,
    /// How long a graceful stop may take; 0 cuts everything off at once.
    pub drain_ms: u64,
    /// Whose word about a client's address is believed. See [`Server::trusts`].
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins of pages that may call the API, as browsers send them, or `*`.
    pub cors_origins: Vec<String>,
}

impl Server {
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.mode == Mode::Production
    }

    /// What links begin with, without a slash at the end. `listening` is the address bound, which
    /// differs from `listen` if that asked for any port.
    #[must_use]
    pub fn public_url(&self, listening: SocketAddr) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.trim_end_matches('/').to_owned();
        }
        match listening.ip() {
            // "Every address" is not one that can be visited.
            ip if ip.is_unspecified() => format!("http://localhost:{}", listening.port()),
            _ => format!("http://{listening}"),
        }
    }

    /// Whether `peer` is a proxy of ours, to be believed about who its client is.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // A socket for both protocols shows IPv4 peers as `::ffff:a.b.c.d`.
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// Reads networks; a bare address is a network of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>()
            .or_else(|_| address())
            .map_err(|_| de::Error::custom(format!("{text:?} is neither an address nor a network")))
    };
    texts.iter().map(network).collect()
}

/// Where the ledger and everything else is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `None` (an empty text) is the default file: ask [`super::Config::database_url`].
    #[serde(deserialize_with = "read_database_url", serialize_with = "write_database_url")]
    pub url: Option<DatabaseUrl>,
    /// Connections kept.
    pub max_connections: u32,
    /// For a connection to become free.
    pub acquire_timeout_ms: u64,
    /// For one statement to run.
    pub statement_timeout_ms: u64,
}

impl Database {
    #[must_use]
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    #[must_use]
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }
}

fn read_database_url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DatabaseUrl>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        url => url.parse().map(Some).map_err(de::Error::custom),
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn write_database_url<S: Serializer>(
    url: &Option<DatabaseUrl>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match url {
        None => serializer.serialize_str(""),
        Some(url) => serializer.collect_str(url),
    }
}

/// The one writer of everything that moves money.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Operations that may wait for the writer; one more is refused.
    pub queue_max: usize,
    /// Operations in one commit.
    pub batch_max: usize,
}

/// Who somebody is, and how often they may try to prove it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Signs access tokens; empty: one is made and kept, with SQLite in the data
    /// directory, with PostgreSQL in the database.
    pub secret: Secret,
    /// Still accepted, never signed with.
    pub previous_secrets: Vec<Secret>,
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token.
    pub audience: String,
    /// How long an access token is valid.
    pub access_token_seconds: u64,
    /// How long a sign-in lasts without being used.
    pub refresh_token_days: u64,
    /// How long a refresh may be repeated whose answer got lost.
    pub refresh_repeat_seconds: u64,
    /// In characters, for new passwords.
    pub password_min_length: usize,
    /// Argon2 computations at once.
    pub password_hashers: usize,
    /// For one account.
    pub login_per_minute: NonZeroU32,
    /// From one address, over all accounts.
    pub login_per_minute_per_address: NonZeroU32,
    /// From one address.
    pub register_per_hour_per_address: NonZeroU32,
}

impl Auth {
    #[must_use]
    pub fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds)
    }

    #[must_use]
    pub fn refresh_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.refresh_token_days * 24 * 60 * 60)
    }

    #[must_use]
    pub fn refresh_repeat(&self) -> Duration {
        Duration::from_secs(self.refresh_repeat_seconds)
    }
}

/// What amounts of money are dealt in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MoneyLimits {
    /// At least one; the first is the default.
    pub currencies: Vec<Currency>,
    pub top_up_min: Money,
    pub top_up_max: Money,
    /// The most a wallet may hold.
    pub wallet_max: Money,
    pub payout_min: Money,
}

impl MoneyLimits {
    /// The currency meant by whoever names none.
    ///
    /// # Panics
    /// Never for a configuration that was loaded: an empty list is refused.
    #[must_use]
    pub fn default_currency(&self) -> Currency {
        *self.currencies.first().expect("a configuration without currencies is refused")
    }

    #[must_use]
    pub fn deals_in(&self, currency: Currency) -> bool {
        self.currencies.contains(&currency)
    }
}

/// Who gets which share of a payment.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// The platform's share.
    pub platform_basis_points: BasisPoints,
}

/// How watching is charged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metering {
    /// Held when a session starts.
    pub lock_amount: Money,
    /// A session watched for less may be free.
    pub min_session_seconds: u64,
    /// How often a playing session is charged and its player told.
    pub tick_ms: u64,
    /// How long a session outlives its connection.
    pub reconnect_grace_ms: u64,
}

impl Metering {
    #[must_use]
    pub fn min_session(&self) -> Duration {
        Duration::from_secs(self.min_session_seconds)
    }

    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }

    #[must_use]
    pub fn reconnect_grace(&self) -> Duration {
        Duration::from_millis(self.reconnect_grace_ms)
    }
}

/// What sockets are granted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub sockets_per_user_max: u32,
    pub sockets_per_address_max: u32,
    /// On this node.
    pub sockets_max: u32,
    /// From one player, on average.
    pub messages_per_second_max: u32,
    pub ping_ms: u64,
    /// For the answer to a ping.
    pub pong_ms: u64,
    /// For a player to take what it is sent.
    pub slow_reader_ms: u64,
}

impl Live {
    #[must_use]
    pub fn ping(&self) -> Duration {
        Duration::from_millis(self.ping_ms)
    }

    #[must_use]
    pub fn pong(&self) -> Duration {
        Duration::from_millis(self.pong_ms)
    }

    #[must_use]
    pub fn slow_reader(&self) -> Duration {
        Duration::from_millis(self.slow_reader_ms)
    }
}

/// How nodes hear of each other.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BusSettings {
    /// Of a Redis; empty: in process.
    pub url: BusUrl,
}

/// This node among others.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    /// How long it counts as alive without a word from it.
    pub lease_ms: u64,
    /// How long another node is waited for.
    pub answer_ms: u64,
}

impl Node {
    #[must_use]
    pub fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }

    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

/// How money comes in and goes out.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    pub gateway: GatewayKind,
}

/// Who moves real money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayKind {
    /// Nobody: top-ups and payouts are refused.
    #[serde(alias = "")]
    None,
    /// Nobody either, but every payment succeeds. For development.
    Sandbox,
}

/// What is logged, and how it looks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// In the language of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    Pretty,
    Json,
}
