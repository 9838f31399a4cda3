//! Settings that can be read but not used: impossible anywhere, or unsafe in production.

use std::{fmt::Display, net::IpAddr, ops::RangeInclusive};

use reqwest::Url;

use super::{
    Auth, Config, Database, GatewayKind, Ledger, Live, Metering, MoneyLimits, Node, Secret, Server,
    StorageKind, ai, mux, names::variable_of, problem::Problems, storage,
};
use crate::money::{AMOUNT_MAX, Money};

pub(super) const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Any wait longer than an hour is a mistake in the unit.
pub(super) const TIMEOUT_MS: RangeInclusive<u64> = 1..=3_600_000;

/// A secret shorter than this can be guessed, given a token to try it on.
const SECRET_LENGTH_MIN: usize = 32;

/// Random text of that length hardly ever has fewer different characters, not even in hexadecimal;
/// what a person types to fill the space often does.
const SECRET_VARIETY_MIN: usize = 10;

/// Parts of secrets that come from manuals and `.env.example` files, in small letters.
const EXAMPLE_SECRETS: [&str; 9] = [
    "change-in",
    "change-me",
    "change_me",
    "changeme",
    "default",
    "example",
    "insecure",
    "password",
    "secret",
];

/// How to make a secret that nothing here complains about.
const MAKE_SECRET: &str = "the output of `openssl rand -hex 32`";

pub(super) fn check(config: &Config, problems: &mut Problems) {
    check_server(&config.server, problems);
    check_database(&config.database, problems);
    check_ledger(&config.ledger, problems);
    check_auth(&config.auth, problems);
    check_money(&config.money, problems);
    check_metering(&config.metering, problems);
    check_live(&config.live, &config.node, problems);
    ai::check_ai(config, problems);
    storage::check(&config.storage, problems);
    mux::check(config, problems);
    if let Some(problem) = config.bus.url.problem() {
        let mend = "write it as redis://user:password@host:6379, or leave it empty";
        problems.add("bus.url", problem, mend);
    }
    if config.server.is_production() {
        check_production(config, problems);
    }
}

fn check_server(server: &Server, problems: &mut Problems) {
    within("server.max_connections", server.max_connections, 1..=1_000_000, problems);
    within("server.header_timeout_ms", server.header_timeout_ms, TIMEOUT_MS, problems);
    within("server.body_timeout_ms", server.body_timeout_ms, TIMEOUT_MS, problems);
    within("server.request_timeout_ms", server.request_timeout_ms, TIMEOUT_MS, problems);
    within("server.idle_timeout_ms", server.idle_timeout_ms, TIMEOUT_MS, problems);
    within("server.body_max_bytes", server.body_max_bytes, 1_024..=104_857_600, problems);
    within("server.drain_ms", server.drain_ms, 0..=*TIMEOUT_MS.end(), problems);
    if server.data_dir.as_os_str().is_empty() {
        problems.add("server.data_dir", "is empty", "name a directory, such as murph-data");
    }
    if !server.public_url.is_empty() && !is_base_url(&server.public_url) {
        let mend = "write it as https://murph.example.org, or leave it empty";
        problems.add("server.public_url", "is not a web address to put paths behind", mend);
    }
    for origin in &server.cors_origins {
        if origin != "*" && !is_origin(origin) {
            let problem = format!("{origin:?} is not an origin as browsers send it");
            let mend = "write scheme, host and port only, such as https://school.example.org";
            problems.add("server.cors_origins", problem, mend);
        }
    }
}

/// Whether paths can be put behind `text`.
pub(super) fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Whether `text` is, to the letter, what a browser sends as `Origin`.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn check_database(database: &Database, problems: &mut Problems) {
    within("database.max_connections", database.max_connections, 1..=1_000, problems);
    within("database.acquire_timeout_ms", database.acquire_timeout_ms, TIMEOUT_MS, problems);
    within("database.statement_timeout_ms", database.statement_timeout_ms, TIMEOUT_MS, problems);
}

fn check_ledger(ledger: &Ledger, problems: &mut Problems) {
    within("ledger.queue_max", ledger.queue_max, 1..=1_000_000, problems);
    within("ledger.batch_max", ledger.batch_max, 1..=10_000, problems);
}

fn check_auth(auth: &Auth, problems: &mut Problems) {
    // Copied from the output of `murph config`, it would be a secret that everybody knows.
    let masked = "is the *** that is shown in place of a secret";
    if auth.secret.is_mask() {
        problems.add("auth.secret", masked, "write the secret itself, or leave it empty");
    }
    if auth.previous_secrets.iter().any(Secret::is_mask) {
        problems.add("auth.previous_secrets", masked, "write the secrets themselves");
    }
    if auth.previous_secrets.iter().any(Secret::is_empty) {
        // Anybody can sign with an empty secret.
        problems.add("auth.previous_secrets", "has an empty secret", "take it out of the list");
    }
    for (key, text) in [("auth.issuer", &auth.issuer), ("auth.audience", &auth.audience)] {
        if text.is_empty() {
            problems.add(key, "is empty", "name this installation, such as murph");
        }
    }
    within("auth.access_token_seconds", auth.access_token_seconds, 30..=DAY_SECONDS, problems);
    within("auth.refresh_token_days", auth.refresh_token_days, 1..=3_650, problems);
    within("auth.refresh_repeat_seconds", auth.refresh_repeat_seconds, 0..=300, problems);
    within("auth.password_min_length", auth.password_min_length, 1..=128, problems);
    within("auth.password_hashers", auth.password_hashers, 1..=1_024, problems);
}

fn check_money(money: &MoneyLimits, problems: &mut Problems) {
    let currencies = &money.currencies;
    if currencies.is_empty() {
        problems.add("money.currencies", "is empty", "name at least one, such as [\"USD\"]");
    }
    let seen_before = |(i, currency)| currencies[..i].contains(currency);
    if currencies.iter().enumerate().any(seen_before) {
        problems.add("money.currencies", "names a currency twice", "take one of the two out");
    }
    is_amount("money.top_up_min", money.top_up_min, problems);
    is_amount("money.top_up_max", money.top_up_max, problems);
    is_amount("money.wallet_max", money.wallet_max, problems);
    is_amount("money.payout_min", money.payout_min, problems);
    if money.top_up_min > money.top_up_max {
        let problem = format!("{} is above money.top_up_max", money.top_up_min);
        let mend = format!("choose at most {}", money.top_up_max);
        problems.add("money.top_up_min", problem, mend);
    }
    if money.top_up_max > money.wallet_max {
        let problem = format!("{} is above money.wallet_max", money.top_up_max);
        let mend = format!("choose at most {}", money.wallet_max);
        problems.add("money.top_up_max", problem, mend);
    }
}

fn check_metering(metering: &Metering, problems: &mut Problems) {
    is_amount("metering.lock_amount", metering.lock_amount, problems);
    within("metering.min_session_seconds", metering.min_session_seconds, 0..=DAY_SECONDS, problems);
    within("metering.tick_ms", metering.tick_ms, 50..=*TIMEOUT_MS.end(), problems);
    let grace_max_ms = DAY_SECONDS * 1_000;
    within("metering.reconnect_grace_ms", metering.reconnect_grace_ms, 0..=grace_max_ms, problems);
}

fn check_live(live: &Live, node: &Node, problems: &mut Problems) {
    within("live.sockets_per_user_max", live.sockets_per_user_max, 1..=1_000, problems);
    within("live.sockets_per_address_max", live.sockets_per_address_max, 1..=1_000_000, problems);
    within("live.sockets_max", live.sockets_max, 1..=1_000_000, problems);
    within("live.messages_per_second_max", live.messages_per_second_max, 1..=1_000, problems);
    within("live.ping_ms", live.ping_ms, TIMEOUT_MS, problems);
    within("live.pong_ms", live.pong_ms, TIMEOUT_MS, problems);
    within("live.slow_reader_ms", live.slow_reader_ms, TIMEOUT_MS, problems);
    within("node.lease_ms", node.lease_ms, 500..=600_000, problems);
    within("node.answer_ms", node.answer_ms, 1..=10_000, problems);
}

/// Whether `url` leads to this machine.
#[must_use]
pub fn is_here(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Complains of a `url` on the way to which others can read what is sent.
pub(super) fn is_private(key: &str, url: &str, problems: &mut Problems) {
    if Url::parse(url).is_ok_and(|parsed| parsed.scheme() == "http") && !is_here(url) {
        let problem = "is http: whoever is on the way can read what is sent there, and change it";
        problems.add(key, problem, "write it with https://, or use an address of this machine");
    }
}

/// What is handy on a developer's machine and gives money or accounts away elsewhere.
fn check_production(config: &Config, problems: &mut Problems) {
    check_secrets(config, problems);
    ai::check_production(config, problems);
    mux::check_production(config, problems);
    if config.storage.kind == StorageKind::S3 {
        is_private("storage.endpoint", &config.storage.endpoint(), problems);
    }
    if config.payments.gateway == GatewayKind::Sandbox {
        let problem = "is the sandbox, where everybody pays with play money";
        let mend = "set it to \"none\": top-ups and payouts are then refused";
        problems.add("payments.gateway", problem, mend);
    }
    if config.server.cors_origins.iter().any(|origin| origin == "*") {
        let mend = "list the origins of your own pages";
        problems.add("server.cors_origins", "lets any page use the API", mend);
    }
    if !config.server.public_url.starts_with("https://") {
        let mend = "set it to the https:// address under which others reach this server";
        problems.add("server.public_url", "is not https", mend);
    }
}

fn check_secrets(config: &Config, problems: &mut Problems) {
    let secret = &config.auth.secret;
    // An empty one is fine: Murph makes a strong one, which all nodes on one database share.
    if !secret.is_empty()
        && let Some(weakness) = weakness(secret)
    {
        let mend = format!("set {} to {MAKE_SECRET}", variable_of("auth.secret"));
        problems.add("auth.secret", weakness, mend);
    }
    if let Some(weakness) = config.auth.previous_secrets.iter().find_map(weakness) {
        // Tokens signed with it are accepted: it must be as strong as the current one.
        let problem = format!("has one that {weakness}");
        let mend = "take it out; who signed in with it signs in again";
        problems.add("auth.previous_secrets", problem, mend);
    }
}

/// Why a secret could be guessed.
fn weakness(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    let mut different: Vec<char> = text.chars().collect();
    different.sort_unstable();
    different.dedup();

    let small = text.to_lowercase();
    if text.chars().count() < SECRET_LENGTH_MIN {
        Some("is shorter than 32 characters")
    } else if EXAMPLE_SECRETS.iter().any(|part| small.contains(part)) || small.starts_with("dev-") {
        Some("looks like an example, which everybody knows")
    } else if different.len() < SECRET_VARIETY_MIN {
        Some("has fewer than 10 different characters")
    } else if repeats_itself(text.as_bytes()) {
        Some("repeats itself")
    } else {
        None
    }
}

/// Whether `text` is a shorter one, written over and over.
fn repeats_itself(text: &[u8]) -> bool {
    (1..=text.len() / 2).any(|period| text[period..] == text[..text.len() - period])
}

pub(super) fn within<T>(key: &str, value: T, range: RangeInclusive<T>, problems: &mut Problems)
where
    T: Copy + PartialOrd + Display,
{
    if !range.contains(&value) {
        let (least, most) = range.into_inner();
        let size = if value < least { "small" } else { "large" };
        problems.add(
            key,
            format!("{value} is too {size}"),
            format!("choose one from {least} to {most}"),
        );
    }
}

fn is_amount(key: &str, amount: Money, problems: &mut Problems) {
    if !amount.is_positive() {
        problems.add(key, format!("{amount} is not above zero"), "choose a larger amount");
    } else if amount > AMOUNT_MAX {
        problems.add(key, format!("{amount} is too large"), format!("choose at most {AMOUNT_MAX}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Sources, *};

    /// As from `openssl rand -hex 32`.
    const STRONG: &str = "7c1d5a0e93f24b8866b1e0c5d2a7f39410ce8b5f6d3a29e7714fb0c8d5e62a93";

    /// Loads a configuration that is fine for production but for `flags`.
    fn production(flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let fine = [
            ("server.mode", "production"),
            ("server.public_url", "https://murph.example.org"),
            ("payments.gateway", "none"),
        ];
        load(fine.iter().chain(flags).copied())
    }

    fn load<'a>(flags: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Config, Vec<String>> {
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Config::load(Sources { flags, ..Sources::default() })
            .map_err(|error| error.problems.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn assert_refused(result: Result<Config, Vec<String>>, expected: &str) {
        let problems = result.expect_err("this configuration is refused");
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:#?}");
    }

    #[test]
    fn production_accepts_what_is_safe() {
        assert!(production(&[]).is_ok());
        let url = ("database.url", "postgres://murph@db/murph");
        assert!(production(&[("auth.secret", STRONG), url]).is_ok());
    }

    #[test]
    fn production_refuses_what_is_not_safe() {
        for (key, value, problem) in [
            ("auth.secret", "short", "is shorter than 32 characters; set MURPH__AUTH__SECRET to "),
            ("auth.secret", "your-secret-key-change-in-production", "looks like an example"),
            ("auth.secret", "Dev-0123456789abcdefghijklmnopqrstuv", "looks like an example"),
            ("auth.secret", &"x".repeat(40), "has fewer than 10 different characters"),
            ("auth.secret", &"0123456789abcdef".repeat(4), "repeats itself"),
            ("auth.previous_secrets", &format!("{STRONG},old"), "has one that is shorter"),
            ("payments.gateway", "sandbox", "is the sandbox"),
            ("server.cors_origins", "https://a.example.org,*", "lets any page use the API"),
            ("server.public_url", "http://murph.example.org", "is not https"),
            ("server.public_url", "", "is not https"),
        ] {
            assert_refused(production(&[(key, value)]), &format!("{key}: {problem}"));
        }
    }

    #[test]
    fn production_tells_its_keys_to_nobody_on_the_way() {
        let s3 = [
            ("storage.kind", "s3"),
            ("storage.bucket", "school"),
            ("storage.access_key_id", "a"),
            ("storage.secret_access_key", "b"),
        ];
        for (provider, url) in
            [("openai", "http://api.example.org/v1"), ("groq", "HTTP://10.0.0.1")]
        {
            let (key, base_url) = (format!("{provider}.key"), format!("{provider}.base_url"));
            let refused = production(&[(&key, "k"), (&base_url, url)]);
            assert_refused(refused, &format!("{base_url}: is http"));
            assert!(production(&[(&base_url, url)]).is_ok(), "nothing is sent there");
            assert!(load([(key.as_str(), "k"), (&base_url, url)].into_iter()).is_ok());
        }
        for url in ["http://s3.example.org", "http://127.0.0.1.example.org", "http://localhost.org"]
        {
            let refused = production(&[&s3[..], &[("storage.endpoint", url)]].concat());
            assert_refused(refused, "storage.endpoint: is http");
        }
        for url in [
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://localhost",
            "https://s3.example.org",
        ] {
            assert!(production(&[&s3[..], &[("storage.endpoint", url)]].concat()).is_ok(), "{url}");
            assert!(production(&[("openai.key", "k"), ("openai.base_url", url)]).is_ok(), "{url}");
        }
    }

    #[test]
    fn development_is_not_so_strict() {
        let handy = [("auth.secret", "x"), ("server.cors_origins", "*")];
        assert!(load(handy.into_iter()).is_ok());
    }

    #[test]
    fn a_bucket_needs_its_keys() {
        let fine = [
            ("storage.kind", "s3"),
            ("storage.bucket", "school"),
            ("storage.access_key_id", "a"),
            ("storage.secret_access_key", "b"),
        ];
        assert!(load(fine.into_iter()).is_ok());
        for (key, value) in [
            ("storage.bucket", ""),
            ("storage.region", ""),
            ("storage.access_key_id", ""),
            ("storage.secret_access_key", ""),
            ("storage.endpoint", "s3.example.org"),
        ] {
            let flags = fine.into_iter().chain([(key, value)]);
            assert_refused(load(flags), &format!("{key}: "));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_everywhere() {
        for (key, value) in [
            ("server.listen", "localhost"),
            ("server.mode", "prod"),
            ("server.data_dir", ""),
            ("server.public_url", "murph.example.org"),
            ("server.public_url", "https://user:pass@murph.example.org"),
            ("server.max_connections", "0"),
            ("server.header_timeout_ms", "0"),
            ("server.body_timeout_ms", "0"),
            ("server.request_timeout_ms", "0"),
            ("server.idle_timeout_ms", "-1"),
            ("server.drain_ms", "99999999999"),
            ("server.trusted_proxies", "10.0.0.0/8,proxy.local"),
            ("server.cors_origins", "https://a.example.org/"),
            ("database.url", "mysql://localhost/murph"),
            ("database.max_connections", "0"),
            ("database.acquire_timeout_ms", "0"),
            ("database.statement_timeout_ms", "0"),
            ("ledger.queue_max", "0"),
            ("ledger.batch_max", "0"),
            ("auth.secret", "***"),
            ("auth.previous_secrets", "***"),
            ("auth.issuer", ""),
            ("auth.access_token_seconds", "29"),
            ("auth.access_token_seconds", "86401"),
            ("auth.refresh_token_days", "0"),
            ("auth.password_hashers", "0"),
            ("auth.login_per_minute", "0"),
            ("money.currencies", ""),
            ("money.currencies", "USD,EUR,USD"),
            ("money.currencies", "dollars"),
            ("money.top_up_min", "0"),
            ("money.top_up_min", "10000.01"),
            ("money.top_up_max", "1000000.01"),
            ("money.wallet_max", "1000000000.01"),
            ("money.payout_min", "-1"),
            ("fees.platform_basis_points", "10001"),
            ("metering.lock_amount", "thirty"),
            ("metering.tick_ms", "49"),
            ("bus.url", "http://redis.example.org"),
            ("payments.gateway", "stripe"),
            ("ai.order", "openai,skynet"),
            ("ai.order", "openai,openai"),
            ("ai.order", "built_in"),
            ("ai.messages_per_day", "0"),
            ("ai.messages_per_day_all", "-1"),
            ("ai.timeout_ms", "0"),
            ("ai.failures_max", "0"),
            ("ai.answer_tokens_max", "99"),
            ("openai.key", "***"),
            ("groq.key", "two words"),
            ("gemini.model", "../../other"),
            ("gemini.model", "a?b"),
            ("gemini.model", ""),
            ("anthropic.base_url", "https://key@api.example.org"),
            ("openai.input_price", "-0.01"),
            ("log.format", "xml"),
        ] {
            assert_refused(load([(key, value)].into_iter()), &format!("{key}: "));
        }
    }

    #[test]
    fn what_no_storage_can_be_is_refused() {
        for (key, value) in [
            ("storage.kind", "ftp"),
            ("storage.max_bytes", "0"),
            ("storage.max_bytes", "5368709121"),
            ("storage.teacher_max_bytes", "0"),
            ("storage.uploads_at_once", "0"),
            ("storage.streams_max", "0"),
            ("storage.content_types", ""),
            ("storage.content_types", "text/html"),
            ("storage.upload_url_seconds", "59"),
            ("storage.playback_url_seconds", "4"),
            ("storage.secret_access_key", "***"),
        ] {
            assert_refused(load([(key, value)].into_iter()), &format!("{key}: "));
        }
    }
}
