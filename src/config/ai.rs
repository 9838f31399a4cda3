//! Which language models answer in discovery, and what they may take.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Config, Secret, check, problem::Problems};
use crate::{domain::discovery::Provider, money::Money};

/// Characters of a model's name beside letters and digits.
const NAME_MARKS: &str = "-._:/@";

/// The most that a million tokens may cost.
const PRICE_MAX: Money = Money::from_micros(1_000_000_000_000);

/// Who is asked, and how patiently.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ai {
    /// Those without a key are left out.
    pub order: Vec<Provider>,
    /// For one user in 24 hours.
    pub messages_per_day: u32,
    /// For all users together, from midnight to midnight UTC; 0: as many as there are.
    pub messages_per_day_all: u32,
    /// For one model to answer.
    pub timeout_ms: u64,
    pub answer_tokens_max: u32,
    /// In a row, before a model is left alone.
    pub failures_max: u32,
    /// How long it is left alone then.
    pub rest_ms: u64,
}

impl Ai {
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    #[must_use]
    pub fn rest(&self) -> Duration {
        Duration::from_millis(self.rest_ms)
    }
}

/// One provider's model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Empty: it is not asked.
    pub key: Secret,
    pub model: String,
    pub base_url: String,
    /// Of a million tokens that it reads.
    pub input_price: Money,
    /// Of a million tokens that it writes.
    pub output_price: Money,
}

impl Config {
    /// How to reach a provider; the built-in one is here.
    #[must_use]
    pub fn model(&self, provider: Provider) -> Option<&Model> {
        match provider {
            Provider::BuiltIn => None,
            Provider::OpenAi => Some(&self.openai),
            Provider::Anthropic => Some(&self.anthropic),
            Provider::Gemini => Some(&self.gemini),
            Provider::Groq => Some(&self.groq),
        }
    }
}

pub(super) fn check_ai(config: &Config, problems: &mut Problems) {
    let ai = &config.ai;
    check::within("ai.messages_per_day", ai.messages_per_day, 1..=100_000, problems);
    let of_all = ai.messages_per_day_all;
    check::within("ai.messages_per_day_all", of_all, 0..=100_000_000, problems);
    check::within("ai.timeout_ms", ai.timeout_ms, check::TIMEOUT_MS, problems);
    check::within("ai.answer_tokens_max", ai.answer_tokens_max, 100..=16_000, problems);
    check::within("ai.failures_max", ai.failures_max, 1..=1_000, problems);
    check::within("ai.rest_ms", ai.rest_ms, check::TIMEOUT_MS, problems);
    if ai.order.contains(&Provider::BuiltIn) {
        let mend = "take it out: it answers whenever nobody else does";
        problems.add("ai.order", "names built_in", mend);
    }
    if ai.order.iter().collect::<BTreeSet<_>>().len() < ai.order.len() {
        problems.add("ai.order", "names a provider twice", "take one of the two out");
    }
    for provider in Provider::ALL {
        if let Some(model) = config.model(*provider) {
            check_model(provider.as_str(), model, problems);
        }
    }
}

/// Keys are not for everybody on the way to read.
pub(super) fn check_production(config: &Config, problems: &mut Problems) {
    for provider in Provider::ALL {
        if let Some(model) = config.model(*provider)
            && !model.key.is_empty()
        {
            check::is_private(&format!("{provider}.base_url"), &model.base_url, problems);
        }
    }
}

fn check_model(section: &str, model: &Model, problems: &mut Problems) {
    let key = |name: &str| format!("{section}.{name}");
    if model.key.is_mask() {
        let mend = "write the key itself, or leave it empty";
        problems.add(&key("key"), "is the *** that is shown in place of a secret", mend);
    }
    if !model.key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let mend = "copy it again, without spaces around it";
        problems.add(&key("key"), "has characters that no key has", mend);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || NAME_MARKS.contains(c);
    let has_dots = model.model.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if has_dots || !model.model.chars().all(is_name) {
        problems.add(&key("model"), "is not the name of a model", "write it as the provider does");
    }
    if !check::is_base_url(&model.base_url) {
        let mend = "write it as https://api.example.org/v1";
        problems.add(&key("base_url"), "is not a web address to put paths behind", mend);
    }
    for (name, price) in [("input_price", model.input_price), ("output_price", model.output_price)]
    {
        if price.is_negative() || price > PRICE_MAX {
            let mend = format!("choose an amount from 0.00 to {PRICE_MAX}");
            problems.add(&key(name), format!("{price} is no price"), mend);
        }
    }
}
