//! Mux: makes of a file what any player plays on any line, and sends it.
//!
//! Murph tells Mux where a file is, and Mux fetches it from there; later it says, by a webhook or when it
//! is asked, what became of it. An asset bears Murph's mark for its file, so that it is known also when the
//! answer that named it was lost.
//!
//! It must never log or repeat a key, believe what it reads to be of a certain form, or be called with a
//! transaction open. What follows from an answer is decided by `service::videos`.

mod asset;
mod event;
mod link;
mod trouble;

use std::{fmt, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use self::{asset::Wrapped, link::Signer};
pub use self::{
    asset::{Asset, State},
    event::{About, Event, Heard, SIGNATURE},
    trouble::Trouble,
};
use crate::{
    config::{self, Secret},
    error::{Error, Result},
    time::Timestamp,
};

/// For Mux to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For Mux to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 * 1_024;

/// Files that are handed over at once while their requests are answered; what comes beyond that waits for
/// the job.
const PLACES: usize = 8;

/// Mux, and who Murph is there.
pub struct Mux {
    token_id: Secret,
    token_secret: Secret,
    webhook_secret: Secret,
    signer: Signer,
    base_url: String,
    stream_url: String,
    image_url: String,
    client: Client,
    places: Semaphore,
}

impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Mux {
    /// `None` if none is configured: files are played as they were uploaded.
    pub fn from_config(settings: &config::Mux) -> Result<Option<Self>> {
        if !settings.is_used() {
            if settings.has_idle_token() {
                warn!("Mux is not used: there is a token, and no other key of [mux] is set");
            }
            return Ok(None);
        }
        let unusable = || Error::Internal("mux.signing_key is not a private RSA key".into());
        let key = settings.signing_key().ok_or_else(unusable)?;
        let url = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Some(Self {
            token_id: settings.token_id.clone(),
            token_secret: settings.token_secret.clone(),
            webhook_secret: settings.webhook_secret.clone(),
            signer: Signer::new(settings.signing_key_id.clone(), key),
            base_url: url(&settings.base_url),
            stream_url: url(&settings.stream_url),
            image_url: url(&settings.image_url),
            client: client(&settings.base_url)?,
            places: Semaphore::new(PLACES),
        }))
    }

    /// A place to hand a file over in. `None`: all are taken.
    #[must_use]
    pub fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Has Mux make an asset of what it finds at `input`, which bears `mark`. Asked twice, it makes two.
    pub async fn create(&self, input: &str, mark: &str) -> Result<Asset, Trouble> {
        let body = json!({
            "inputs": [{ "url": input }],
            "playback_policies": ["signed"],
            "passthrough": mark,
        });
        let answer = send(self.request(Method::POST, "").json(&body)).await?;
        asset(answer).await
    }

    /// What became of an asset. `None`: Mux does not have it.
    pub async fn find(&self, id: &str) -> Result<Option<Asset>, Trouble> {
        match send(self.request(Method::GET, id)).await {
            Err(Trouble::Unknown) => Ok(None),
            answer => asset(answer?).await.map(Some),
        }
    }

    /// Deletes an asset. One that is not there is deleted.
    pub async fn delete(&self, id: &str) -> Result<(), Trouble> {
        match send(self.request(Method::DELETE, id)).await {
            Ok(_) | Err(Trouble::Unknown) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Where what Mux made is played, until then.
    pub fn playback_url(&self, playback_id: &str, until: Timestamp) -> Result<String> {
        let token = self.signer.sign(playback_id, link::VIDEO, until)?;
        Ok(format!("{}/{playback_id}.m3u8?token={token}", self.stream_url))
    }

    /// Where a picture of it is, until then.
    pub fn thumbnail_url(&self, playback_id: &str, until: Timestamp) -> Result<String> {
        let token = self.signer.sign(playback_id, link::THUMBNAIL, until)?;
        Ok(format!("{}/{playback_id}/thumbnail.jpg?token={token}", self.image_url))
    }

    /// Whether Mux has signed `body`, lately. Takes the same time wherever the first wrong byte is.
    pub fn check(&self, signature: &str, body: &[u8], now: Timestamp) -> Result<()> {
        event::check(self.webhook_secret.expose().as_bytes(), signature, body, now)
    }

    fn request(&self, method: Method, id: &str) -> RequestBuilder {
        let path = format!("{}/video/v1/assets/{id}", self.base_url);
        let request = self.client.request(method, path.trim_end_matches('/'));
        request.basic_auth(self.token_id.expose(), Some(self.token_secret.expose()))
    }
}

fn client(base_url: &str) -> Result<Client> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        // A key goes to the host it was given for, and to no other.
        .redirect(redirect::Policy::none());
    // Proxies are for reaching others, and not this machine.
    let builder = if config::is_here(base_url) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Error::Internal(format!("cannot make a client: {error}")))
}

/// An answer that is a success.
async fn send(request: RequestBuilder) -> Result<Response, Trouble> {
    let answer = request.send().await.map_err(|error| trouble::of_sending(&error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let refuses = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    // Without a body that can be read, it is as its status says.
    let words = if refuses { body(answer).await.unwrap_or_default() } else { Vec::new() };
    Err(trouble::of_status(status, &words))
}

async fn asset(answer: Response) -> Result<Asset, Trouble> {
    let wrapped: Wrapped =
        serde_json::from_slice(&body(answer).await?).map_err(|_| Trouble::Unreadable)?;
    let status = wrapped.data.status.clone();
    wrapped.data.read(status.as_deref()).map_err(|_| Trouble::Unreadable)
}

/// The body, unless it is far too long.
async fn body(mut answer: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| Trouble::Silent)? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Trouble::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
