//! What is counted of discovery: who answers, whether it is followed, what models took, and how far they
//! could be believed.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::{domain::discovery::Tokens, money::Money};

/// The counters; part of [`super::Metrics`].
#[derive(Debug, Default)]
pub struct DiscoveryMetrics {
    answers: Family<ProviderLabels, Counter>,
    followed: Family<ProviderLabels, Counter>,
    asks: Family<AskLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost_micros: Family<ProviderLabels, Counter>,
    picks: Family<PickLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskLabels {
    provider: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    provider: &'static str,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PickLabels {
    provider: &'static str,
    result: &'static str,
}

impl super::Metrics {
    #[must_use]
    pub fn discovery(&self) -> &DiscoveryMetrics {
        &self.0.discovery
    }
}

impl DiscoveryMetrics {
    /// A message was answered, in the end by `provider`.
    pub fn record_answer(&self, provider: &'static str) {
        self.answers.get_or_create(&ProviderLabels { provider }).inc();
    }

    /// A session has started on a course that `provider` had suggested to its student.
    pub fn record_followed(&self, provider: &'static str) {
        self.followed.get_or_create(&ProviderLabels { provider }).inc();
    }

    /// A model was asked, or was not because it rests; by how that ended.
    pub fn record_ask(&self, provider: &'static str, result: &'static str) {
        self.asks.get_or_create(&AskLabels { provider, result }).inc();
    }

    pub fn record_usage(&self, provider: &'static str, tokens: Tokens, cost: Money) {
        for (direction, count) in [("input", tokens.input), ("output", tokens.output)] {
            self.tokens.get_or_create(&TokenLabels { provider, direction }).inc_by(count);
        }
        let micros = cost.micros().unsigned_abs();
        self.cost_micros.get_or_create(&ProviderLabels { provider }).inc_by(micros);
    }

    /// Courses that a model named: `kept`, or `invented`; or its answer was `unusable` as a whole.
    pub fn record_picks(&self, provider: &'static str, result: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.picks.get_or_create(&PickLabels { provider, result }).inc_by(count);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "discovery_answers",
            "Messages answered, by whose answer it is",
            self.answers.clone(),
        );
        registry.register(
            "discovery_followed",
            "Sessions started on a course that was suggested lately, by who suggested it last",
            self.followed.clone(),
        );
        registry.register(
            "ai_requests",
            "Questions to language models, by how they ended",
            self.asks.clone(),
        );
        registry.register("ai_tokens", "Tokens read and written by models", self.tokens.clone());
        registry.register(
            "ai_cost_micros",
            "What models cost, in millionths of what the providers bill in",
            self.cost_micros.clone(),
        );
        registry.register(
            "ai_picks",
            "Courses named by models, by how far they could be believed",
            self.picks.clone(),
        );
    }
}
