//! What a fleet asks of a server over HTTP: the public API and nothing else.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{net::lookup_host, sync::Semaphore};

use super::tally::Tally;
use crate::{
    cli::fail::{self, Failure},
    id::{SessionId, UserId},
    money::Money,
};

/// Requests at once, so that a fleet that reconnects does not also use up its open files.
const REQUESTS_MAX: usize = 512;

/// How long a request may take before it counts as lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a request is tried that the server was too busy for.
const TRIES_MAX: u32 = 6;

/// Whoever is told to wait longer gives up: that limit is not about being busy.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Which node and which of our addresses: a number for each player.
pub(super) type Place = usize;

/// The nodes, and the counts of how they did.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) nodes: Vec<Node>,
    /// One for each source address.
    clients: Vec<reqwest::Client>,
    sources: Vec<IpAddr>,
    permits: Semaphore,
    tally: Mutex<Tally>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// As in `http://127.0.0.1:8000`.
    pub(super) url: String,
    /// As in `127.0.0.1:8000`.
    pub(super) host: String,
    pub(super) address: SocketAddr,
}

/// Somebody with an account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Account {
    pub(super) id: UserId,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
}

/// A request, and under which name its failures are counted.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    name: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
}

/// What kept a request from succeeding.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The server said no.
    Problem { status: StatusCode, code: String, detail: String, retry_after: Option<Duration> },
    /// There was no answer, or none that a Murph gives.
    Lost(String),
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: UserId,
}

#[derive(Deserialize)]
pub(super) struct Started {
    pub(super) session: StartedSession,
    pub(super) ticket: String,
}

#[derive(Deserialize)]
pub(super) struct StartedSession {
    pub(super) id: SessionId,
}

#[derive(Deserialize)]
pub(super) struct Ticket {
    pub(super) ticket: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Balance {
    pub(super) posted: Money,
    pub(super) held: Money,
    pub(super) available: Money,
}

/// What is compared of a receipt, whichever way it came.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Receipt {
    pub(super) session_id: SessionId,
    pub(super) end_reason: String,
    pub(super) price_per_minute: Money,
    pub(super) watched_ms: u64,
    pub(super) cost: Money,
    pub(super) held: Money,
    pub(super) refund: Money,
    pub(super) was_free: bool,
}

impl Node {
    pub(super) async fn find(url: &str) -> Result<Self, Failure> {
        let wrong = || Failure::from(format!("{url} is no URL such as http://127.0.0.1:8000"));
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        if parsed.scheme() != "http" {
            let mend = "name the address behind the proxy, as http://…";
            return Err(format!("load speaks no TLS, and {url} wants it; {mend}").into());
        }
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
            return Err(wrong());
        };
        let host = format!("{host}:{port}");
        let found = lookup_host(&host).await.map_err(|error| {
            Failure::from(format!("cannot find {host}: {}; check --url", fail::said(&error)))
        })?;
        let address = found.into_iter().next().ok_or_else(wrong)?;
        Ok(Self { url: format!("http://{host}"), host, address })
    }
}

impl Ask {
    pub(super) fn get(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, method: Method::GET, path: path.into(), body: None }
    }

    pub(super) fn post(name: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { name, method: Method::POST, path: path.into(), body: Some(body) }
    }
}

impl Refusal {
    pub(super) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Problem { code, .. } if code == wanted)
    }

    /// Honest players meet these: a token has run out, or there is no receipt yet.
    pub(super) fn is_left_to_callers(&self) -> bool {
        [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::CONFLICT]
            .into_iter()
            .any(|status| self.is_status(status))
    }

    pub(super) fn is_status(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Problem { status, .. } if *status == wanted)
    }

    /// How long to wait before asking again; `None` if that is no use.
    fn retry_after(&self) -> Option<Duration> {
        let Self::Problem { status, retry_after, .. } = self else { return None };
        let is_busy =
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(status);
        let wait = retry_after.unwrap_or(Duration::from_secs(1));
        (is_busy && wait <= RETRY_AFTER_MAX).then_some(wait)
    }

    /// What the errors of a kind have in common.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Problem { status, code, .. } => format!("{} {code}", status.as_u16()),
            Self::Lost(why) => why.clone(),
        }
    }

    /// As the end of a sentence about what could not be done.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Problem { status, code, detail, .. } => {
                format!("{} {code}, {detail}", status.as_u16())
            }
            Self::Lost(why) => why.clone(),
        }
    }
}

impl Api {
    pub(super) fn new(nodes: Vec<Node>, sources: Vec<IpAddr>) -> Result<Self, Failure> {
        let from: Vec<_> = match sources.as_slice() {
            [] => vec![None],
            sources => sources.iter().copied().map(Some).collect(),
        };
        let clients = from.into_iter().map(client).collect::<Result<_, _>>()?;
        let permits = Semaphore::new(REQUESTS_MAX);
        Ok(Self { nodes, clients, sources, permits, tally: Mutex::default() })
    }

    pub(super) fn node(&self, place: Place) -> &Node {
        &self.nodes[place % self.nodes.len()]
    }

    /// Which of our addresses to use. Not in step with the nodes, so that each sees them all.
    pub(super) fn source(&self, place: Place) -> Option<IpAddr> {
        let nth = (place / self.nodes.len()).checked_rem(self.sources.len())?;
        Some(self.sources[nth])
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks without signing in.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        place: Place,
        ask: &Ask,
    ) -> Result<T, Refusal> {
        self.ask_with(place, ask, None).await
    }

    /// Asks as somebody; signs them in again if that has run out.
    pub(super) async fn ask_as<T: DeserializeOwned>(
        &self,
        account: &mut Account,
        place: Place,
        ask: &Ask,
    ) -> Result<T, Refusal> {
        match self.ask_with(place, ask, Some(&account.access_token)).await {
            Err(refusal) if refusal.is_status(StatusCode::UNAUTHORIZED) => {
                self.sign_in_again(account, place).await?;
                self.ask_with(place, ask, Some(&account.access_token)).await
            }
            answer => answer,
        }
    }

    pub(super) async fn register(
        &self,
        place: Place,
        role: &str,
        (email, password): (String, String),
    ) -> Result<Account, Refusal> {
        let body = json!({"email": email, "password": password, "name": "Load", "role": role});
        let tokens: Tokens =
            self.ask(place, &Ask::post("register", "/auth/register", body)).await?;
        let Tokens { access_token, refresh_token, user } = tokens;
        Ok(Account { id: user.id, email, password, access_token, refresh_token })
    }

    /// Cheaply by the refresh token; if that is worth nothing any more, by the password.
    async fn sign_in_again(&self, account: &mut Account, place: Place) -> Result<(), Refusal> {
        let body = json!({"refresh_token": account.refresh_token});
        let refreshed = self.ask(place, &Ask::post("refresh", "/auth/refresh", body)).await;
        let tokens: Tokens = match refreshed {
            Err(refusal) if refusal.is_status(StatusCode::UNAUTHORIZED) => {
                let body = json!({"email": account.email, "password": account.password});
                self.ask(place, &Ask::post("login", "/auth/login", body)).await?
            }
            refreshed => refreshed?,
        };
        account.access_token = tokens.access_token;
        account.refresh_token = tokens.refresh_token;
        Ok(())
    }

    /// Tries as often as the server asks for it, and counts every failure on the way.
    async fn ask_with<T: DeserializeOwned>(
        &self,
        place: Place,
        ask: &Ask,
        token: Option<&str>,
    ) -> Result<T, Refusal> {
        let mut tries = 1;
        loop {
            let permit = self.permits.acquire().await.expect("nobody closes the semaphore");
            let answer = self.send(place, ask, token).await;
            drop(permit);
            let refusal = match answer {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            if !refusal.is_left_to_callers() {
                self.tally().count_error(&format!("{}: {}", ask.name, refusal.kind()));
            }
            match refusal.retry_after() {
                Some(wait) if tries < TRIES_MAX => tokio::time::sleep(wait).await,
                _ => return Err(refusal),
            }
            tries += 1;
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        place: Place,
        ask: &Ask,
        token: Option<&str>,
    ) -> Result<T, Refusal> {
        let client = &self.clients[(place / self.nodes.len()) % self.clients.len()];
        let url = format!("{}/api/v1{}", self.node(place).url, ask.path);
        let mut request = client.request(ask.method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| lost(&error))?;
        if response.status().is_success() {
            response.json().await.map_err(|error| lost(&error))
        } else {
            Err(problem(response).await)
        }
    }
}

fn client(source: Option<IpAddr>) -> Result<reqwest::Client, Failure> {
    let client = reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .no_proxy()
        .tcp_nodelay(true)
        .local_address(source)
        .build();
    client.map_err(|error| Failure::from(format!("cannot make requests: {error}")))
}

async fn problem(response: Response) -> Refusal {
    let status = response.status();
    let seconds = response.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    match response.json::<Problem>().await {
        Ok(Problem { code, detail }) => Refusal::Problem { status, code, detail, retry_after },
        Err(_) => Refusal::Lost(format!("{} without a problem", status.as_u16())),
    }
}

fn lost(error: &reqwest::Error) -> Refusal {
    let why = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_decode() {
        "not understood"
    } else {
        "broken off"
    };
    Refusal::Lost(why.into())
}
