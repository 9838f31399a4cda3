//! Language models of others: one question to the first that answers.
//!
//! An enum over providers ([`Provider`]), matched in `dialect` and nowhere else. Providers with a
//! key are asked in the configured order until one answers; one that fails again and again, or asks
//! for time, is left alone for a while (`breaker`). What one does not want to answer no other is
//! asked. There may be none at all, and there may be no answer: whoever asks here has an answer of
//! their own.
//!
//! It must never log or repeat a key, believe what it reads (that is `domain::discovery::believe`'s
//! work), read more than [`ANSWER_MAX`] bytes, or be called with a transaction open. `service`
//! calls it.

mod breaker;
mod dialect;
mod trouble;

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, header, redirect};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{error, info, warn};

use self::{breaker::Breaker, dialect::Said, trouble::Trouble};
use crate::{
    clock::Clock,
    config::{self, Config, Secret},
    domain::discovery::{Provider, TokenPrices, Tokens},
    error::{Error, Result},
    money::Money,
    telemetry::Metrics,
};

/// The longest answer that is read, in bytes. What is asked for is a hundredth of it.
pub const ANSWER_MAX: usize = 256 * 1_024;

/// The most of a refusal that is read, in bytes; the codes that it is read for come in short ones.
const REFUSAL_MAX: usize = 4_096;

/// Whoever refused so many questions in a row may refuse all of them, as Anthropic does when it is
/// not paid, and says so by the status of a bad question. Somebody has to look, and the next one is
/// asked.
const REFUSALS_MAX: u32 = 10;

/// Questions under way at once on this node; who comes beyond that is not kept waiting.
const ASKS_MAX: usize = 256;

/// For a connection to a provider.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// With less time left, nobody else is asked.
const TIME_MIN: Duration = Duration::from_millis(250);

/// How long a provider is left alone that does not know our key or model.
const SETUP_REST: Duration = Duration::from_mins(5);

/// The longest time a provider can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What a model is told to do, and what it is given to do it with.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub instructions: String,
    /// Data, and nothing that is to be followed.
    pub input: String,
}

/// What came of asking.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub answer: Option<Answer>,
    /// What it took, also of those whose answer could not be used.
    pub tokens: Tokens,
    pub cost: Money,
}

/// What a model said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub provider: Provider,
    pub text: String,
}

/// The providers that can be asked.
#[derive(Debug)]
pub struct Ai {
    models: Vec<Model>,
    limits: config::Ai,
    /// All providers together.
    budget: Duration,
    asks: Semaphore,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Debug)]
struct Model {
    provider: Provider,
    name: String,
    base_url: String,
    key: Secret,
    prices: TokenPrices,
    client: Client,
    breaker: Mutex<Breaker>,
}

impl Ai {
    /// Those that have a key, in the configured order.
    pub fn new(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Self> {
        let with_key = |provider: &Provider| {
            let settings = config.model(*provider).filter(|settings| !settings.key.is_empty())?;
            Some(Model::new(*provider, settings))
        };
        let models: Vec<Model> =
            config.ai.order.iter().filter_map(with_key).collect::<Result<_>>()?;
        for Model { provider, name, base_url, .. } in &models {
            info!(%provider, name, base_url, "discovery asks {name} of {provider}");
        }
        Ok(Self {
            models,
            limits: config.ai.clone(),
            // A quarter is for everything else that an answer takes.
            budget: config.server.request_timeout() * 3 / 4,
            asks: Semaphore::new(ASKS_MAX),
            clock: clock.clone(),
            metrics: metrics.clone(),
        })
    }

    /// Whether there is anybody to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Asks one after the other until one answers or refuses, or time is up. `may_ask` is waited
    /// for when the first is about to be asked; if it says no, nobody is.
    pub async fn ask(&self, prompt: &Prompt, may_ask: impl Future<Output = bool>) -> Asked {
        let mut asked = Asked::default();
        let mut may_ask = Some(may_ask);
        let until = Instant::now() + self.budget;
        let left = || until.saturating_duration_since(Instant::now());
        let Ok(_permit) = self.asks.try_acquire() else {
            self.models.iter().for_each(|model| self.count(model, "busy"));
            return asked;
        };
        for model in &self.models {
            if left() < TIME_MIN {
                break;
            }
            if !model.breaker().admit(self.clock.moment(), self.limits.rest()) {
                self.count(model, "resting");
                continue;
            }
            if let Some(may_ask) = may_ask.take()
                && !may_ask.await
            {
                model.breaker().told_nothing(self.clock.moment());
                break;
            }
            match self.ask_one(model, prompt, left()).await {
                Ok(Said { text, tokens, .. }) => {
                    model.breaker().succeeded();
                    self.count(model, "answered");
                    self.took(model, tokens, &mut asked);
                    asked.answer = Some(Answer { provider: model.provider, text });
                    break;
                }
                Err(trouble) => {
                    self.took(model, trouble.tokens(), &mut asked);
                    if !self.failed(model, &trouble) {
                        break;
                    }
                }
            }
        }
        asked
    }

    /// A model has the time that is left, and no more than one may take.
    async fn ask_one(
        &self,
        model: &Model,
        prompt: &Prompt,
        left: Duration,
    ) -> Result<Said, Trouble> {
        let whole = self.limits.timeout();
        let too_late = if left < whole { Trouble::CutShort } else { Trouble::TimedOut };
        let asking = model.ask(prompt, self.limits.answer_tokens_max);
        timeout(whole.min(left), asking).await.unwrap_or(Err(too_late))
    }

    /// Writes down what a model took.
    fn took(&self, model: &Model, tokens: Tokens, asked: &mut Asked) {
        let cost = tokens.cost(model.prices);
        self.metrics.discovery().record_usage(model.provider.as_str(), tokens, cost);
        asked.tokens = asked.tokens.and(tokens);
        asked.cost += cost;
    }

    /// Writes down what went wrong, and says whether the next one may be asked.
    fn failed(&self, model: &Model, trouble: &Trouble) -> bool {
        let (provider, now) = (model.provider, self.clock.moment());
        self.count(model, trouble.name());
        if trouble.is_setup() {
            error!(%provider, "{provider} {trouble}: look at its key, model and base_url");
        } else {
            warn!(%provider, "{provider} {trouble}");
        }
        let mut breaker = model.breaker();
        match trouble {
            Trouble::Refused(_) => {
                let in_a_row = breaker.refused(now);
                if in_a_row == REFUSALS_MAX {
                    error!(%provider, "{provider} refused {in_a_row} questions in a row: \
                        look at its account, key and model");
                }
                return in_a_row >= REFUSALS_MAX;
            }
            Trouble::Declined(_) => {
                breaker.told_nothing(now);
                return false;
            }
            Trouble::CutShort | Trouble::Silent(_) => breaker.told_nothing(now),
            Trouble::Setup(_) => breaker.rest(now + SETUP_REST),
            Trouble::Busy { retry_after: Some(wait), .. } => {
                breaker.rest(now + (*wait).min(RETRY_AFTER_MAX));
            }
            Trouble::TimedOut
            | Trouble::Unreachable
            | Trouble::Unreadable
            | Trouble::Busy { retry_after: None, .. } => {
                breaker.failed(now, self.limits.failures_max, self.limits.rest());
            }
        }
        true
    }

    fn count(&self, model: &Model, result: &'static str) {
        self.metrics.discovery().record_ask(model.provider.as_str(), result);
    }
}

impl Model {
    fn new(provider: Provider, settings: &config::Model) -> Result<Self> {
        Ok(Self {
            provider,
            name: settings.model.clone(),
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            key: settings.key.clone(),
            prices: TokenPrices { input: settings.input_price, output: settings.output_price },
            client: client(&settings.base_url)?,
            breaker: Mutex::default(),
        })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().expect("nobody panics while holding it")
    }

    async fn ask(&self, prompt: &Prompt, answer_tokens_max: u32) -> Result<Said, Trouble> {
        let call = dialect::call(self.provider, &self.name, prompt, answer_tokens_max);
        let mut request = self.client.post(format!("{}{}", self.base_url, call.path));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let (name, before) = call.key_header;
        let mut key = header::HeaderValue::try_from(format!("{before}{}", self.key.expose()))
            .map_err(|_| Trouble::Setup(StatusCode::UNAUTHORIZED))?;
        key.set_sensitive(true);
        let response = request.header(name, key).json(&call.body).send().await;
        let response = response.map_err(|_| Trouble::Unreachable)?;
        match trouble::of_head(response.status(), response.headers()) {
            None => dialect::read(self.provider, &body(response, ANSWER_MAX).await?),
            Some(Trouble::Refused(status)) => {
                // Without a body that can be read, it is as its status says.
                let body = body(response, REFUSAL_MAX).await.unwrap_or_default();
                Err(trouble::of_refusal(status, &body))
            }
            Some(trouble) => Err(trouble),
        }
    }
}

/// The body, unless it has more than `most` bytes.
async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Trouble::Unreachable)? {
        if body.len() + chunk.len() > most {
            return Err(Trouble::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// One for each provider: connections are kept by host anyway.
fn client(base_url: &str) -> Result<Client> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A key goes to the host it was given for, and to no other.
        .redirect(redirect::Policy::none());
    // Proxies are for reaching others, and not this machine.
    let builder = if config::is_here(base_url) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Error::Internal(format!("cannot make a client: {error}")))
}
