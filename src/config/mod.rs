//! Everything that can be set, checked before anything starts.
//!
//! The documented defaults are `config.toml` itself, compiled in. Over them go, each stronger than
//! the one before: the file given with `--config` (or `MURPH_CONFIG`), the environment
//! (`MURPH__SECTION__KEY`), flags. [`Config::load`] is given all of them and asks the process for
//! nothing, so a test can give any environment.
//!
//! A configuration that cannot be used is refused as a whole: every problem is found at once, and
//! each says which setting it is, what is wrong and how to mend it. No message and no output of
//! this module ever contains a secret or the password in a URL.
//!
//! ```text
//! sections.rs, ai.rs, storage.rs, mux.rs   the settings, by section
//! layers.rs    defaults ← file ← environment ← flags
//! check.rs     what is impossible or unsafe     problem.rs   what is said about it
//! names.rs     what settings are called
//! secret.rs, database_url.rs, bus_url.rs        values that must not be shown whole
//! ```

mod ai;
mod bus_url;
mod check;
mod database_url;
mod layers;
mod mux;
mod names;
mod problem;
mod secret;
mod sections;
mod storage;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::layers::Layers;
pub use self::{
    ai::{Ai, Model},
    bus_url::BusUrl,
    check::is_here,
    database_url::{DatabaseUrl, ParseDatabaseUrlError},
    mux::Mux,
    problem::{ConfigError, Problem},
    secret::Secret,
    sections::{
        Auth, BusSettings, Database, Fees, GatewayKind, Ledger, Live, Log, LogFormat, Metering,
        Mode, MoneyLimits, Node, Payments, Server,
    },
    storage::{Storage, StorageKind},
};

/// The defaults and their documentation.
pub const DEFAULTS: &str = include_str!("../../config.toml");

/// The `SQLite` file inside `server.data_dir` when `database.url` is empty.
const DATABASE_FILE: &str = "murph.db";

/// The settings in effect.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub ledger: Ledger,
    pub auth: Auth,
    pub money: MoneyLimits,
    pub fees: Fees,
    pub metering: Metering,
    pub live: Live,
    pub bus: BusSettings,
    pub node: Node,
    pub payments: Payments,
    pub ai: Ai,
    pub openai: Model,
    pub anthropic: Model,
    pub gemini: Model,
    pub groq: Model,
    pub storage: Storage,
    pub mux: Mux,
    pub log: Log,
}

/// Where settings come from besides the defaults, the weakest first.
///
/// No `Debug`: an environment is full of secrets.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "an environment is full of secrets")]
pub struct Sources {
    /// The file of `--config`; without it, the one `MURPH_CONFIG` names.
    pub file: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
    /// `("section.key", "value")`, the value written as in the environment.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The sources of a real start: `file` and `flags` as given on the command line, and the
    /// environment of this process. For `main` only.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        // Not `vars()`, which panics if anything in the environment is not UTF-8.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self { file, environment, flags }
    }
}

impl Config {
    /// Lays the sources over each other and checks what comes of it.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let Sources { file, environment, flags } = sources;
        let mut layers = Layers::defaults();
        if let Some(file) = layers::file_to_read(file, &environment) {
            layers.add_file(&file);
        }
        layers.add_environment(&environment);
        layers.add_flags(&flags);

        let (config, mut problems) = layers.read();
        check::check(&config, &mut problems);
        problems.into_result().map(|()| config)
    }

    /// The database to use: the one configured, or the `SQLite` file in the data directory.
    #[must_use]
    pub fn database_url(&self) -> DatabaseUrl {
        self.database
            .url
            .clone()
            .unwrap_or_else(|| DatabaseUrl::Sqlite(self.server.data_dir.join(DATABASE_FILE)))
    }

    /// The settings in effect as TOML, with `***` for every secret and password.
    #[must_use]
    pub fn masked(&self) -> String {
        // Masking is not done here: secrets do not know how to serialize themselves otherwise.
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    const SECRET: &str = "correct-horse-battery-staple";

    fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(Sources { environment: pairs(variables), ..Sources::default() })
    }

    fn from_file(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("murph.toml");
        fs::write(&file, text).unwrap();
        Config::load(Sources { file: Some(file), ..Sources::default() })
    }

    /// The only problem, without what set it.
    #[track_caller]
    fn problem(result: Result<Config, ConfigError>) -> String {
        let error = result.expect_err("this configuration is refused");
        assert_eq!(error.problems.len(), 1, "{error}");
        Problem { origin: None, ..error.problems[0].clone() }.to_string()
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = Config::load(Sources::default()).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.metering.tick(), Duration::from_secs(5));
        assert_eq!(config.money.default_currency().as_str(), "USD");
        assert_eq!(config.database_url(), DatabaseUrl::Sqlite("murph-data/murph.db".into()));
    }

    #[test]
    fn every_setting_is_explained() {
        let mut above = "";
        for line in DEFAULTS.lines() {
            let is_setting = line.contains(" = ") && !line.starts_with('#');
            assert!(!is_setting || above.starts_with("# "), "no comment above {line:?}");
            above = line;
        }
    }

    #[test]
    fn later_sources_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("murph.toml");
        let text = "[metering]\ntick_ms = 1000\nmin_session_seconds = 1\nlock_amount = \"1.00\"\n";
        fs::write(&file, text).unwrap();
        let config = Config::load(Sources {
            file: None,
            environment: pairs(&[
                ("MURPH__METERING__TICK_MS", "2000"),
                ("METERING_UPDATE_INTERVAL_SECONDS", "9"),
                ("MURPH__METERING__MIN_SESSION_SECONDS", "2"),
                ("MURPH_CONFIG", file.to_str().unwrap()),
            ]),
            flags: pairs(&[("metering.tick_ms", "3000")]),
        })
        .unwrap();
        assert_eq!(config.metering.tick_ms, 3_000);
        assert_eq!(config.metering.min_session_seconds, 2);
        assert_eq!(config.metering.lock_amount.to_string(), "1.00");
    }

    #[test]
    fn the_seeds_variables_are_read() {
        let config = from_environment(&[
            ("DEFAULT_LOCK_AMOUNT", "12.50"),
            ("MIN_SESSION_DURATION_SECONDS", "30"),
            ("METERING_UPDATE_INTERVAL_SECONDS", "2"),
            ("DATABASE_URL", "postgres://u:p@db/murph"),
            ("SECRET_KEY", SECRET),
            ("OPENAI_API_KEY", "o"),
            ("ANTHROPIC_API_KEY", "a"),
            ("GOOGLE_AI_API_KEY", "g"),
            ("GROQ_API_KEY", "q"),
            ("DEBUG", "true"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(config.metering.lock_amount.to_string(), "12.50");
        assert_eq!(config.metering.min_session_seconds, 30);
        assert_eq!(config.metering.tick_ms, 2_000);
        assert_eq!(config.database_url(), DatabaseUrl::Postgres("postgres://u:p@db/murph".into()));
        assert_eq!(config.auth.secret.expose(), SECRET);
        let models = [&config.openai, &config.anthropic, &config.gemini, &config.groq];
        assert_eq!(models.map(|model| model.key.expose()), ["o", "a", "g", "q"]);
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let config = from_environment(&[
            ("MURPH__MONEY__CURRENCIES", "KES, USD"),
            ("MURPH__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1"),
        ])
        .unwrap();
        assert_eq!(config.money.default_currency().as_str(), "KES");
        assert!(config.server.trusts("10.1.2.3".parse().unwrap()));
        assert!(config.server.trusts("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!config.server.trusts("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let file = from_file("[server]\nlisten_on = \"[::]:80\"\n");
        assert_eq!(
            problem(file),
            "server.listen_on: there is no such setting; did you mean server.listen?"
        );
        assert_eq!(
            from_environment(&[("MURPH__METERING__TICKMS", "1")]).unwrap_err().to_string(),
            "metering.tickms: there is no such setting; did you mean MURPH__METERING__TICK_MS? \
             (it is set by MURPH__METERING__TICKMS)"
        );
        for text in ["colour = 1", "[colour]", "[server.colour]", "[colour]\nred = 1"] {
            assert!(problem(from_file(text)).contains(": there is no such setting;"), "{text}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let error = from_environment(&[
            ("MURPH__SERVER__LISTEN", "here"),
            ("MURPH__METERING__TICK_MS", "often"),
            ("MURPH__MONEY__PAYOUT_MIN", "0"),
            ("MURPH__FEES__SHARE", "1"),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string().lines().collect::<Vec<_>>(),
            [
                "metering.tick_ms: \"often\" is not a whole number; write it like the default, \
                 5000 (it is set by MURPH__METERING__TICK_MS)",
                "fees.share: there is no such setting; take it out, `murph config` lists all \
                 settings (it is set by MURPH__FEES__SHARE)",
                "server.listen: invalid socket address syntax; write it like the default, \
                 \"127.0.0.1:8000\" (it is set by MURPH__SERVER__LISTEN)",
                "money.payout_min: 0.00 is not above zero; choose a larger amount \
                 (it is set by MURPH__MONEY__PAYOUT_MIN)",
            ]
        );
    }

    #[test]
    fn a_file_with_values_of_the_wrong_kind_is_refused() {
        for (text, expected) in [
            (
                "[metering]\nlock_amount = 30.0",
                "metering.lock_amount: is a number with a point, not",
            ),
            ("[metering]\ntick_ms = \"5000\"", "metering.tick_ms: is text, not a whole number;"),
            ("[money]\ncurrencies = [1]", "money.currencies: is a list of something else"),
            ("server = 1", "server: there is no such setting"),
        ] {
            let problem = problem(from_file(text));
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn secrets_and_urls_may_be_in_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, format!("{SECRET}\n")).unwrap();
        let path = path.to_str().unwrap();

        let config = from_environment(&[("MURPH__AUTH__SECRET_FILE", path)]).unwrap();
        assert_eq!(config.auth.secret.expose(), SECRET);

        let both = [("MURPH__AUTH__SECRET_FILE", path), ("MURPH__AUTH__SECRET", "other")];
        assert!(problem(from_environment(&both)).starts_with("auth.secret: is set by "));
        let missing = [("MURPH__DATABASE__URL_FILE", "/nowhere/at/all")];
        assert!(problem(from_environment(&missing)).starts_with("database.url: cannot read "));
        let other = [("MURPH__METERING__TICK_MS_FILE", path)];
        assert!(problem(from_environment(&other)).contains("there is no such setting"));
    }

    /// Whatever is shown of a configuration, or said about a wrong one.
    #[test]
    fn secrets_are_never_shown() {
        let url = format!("postgres://murph:{SECRET}@db/murph");
        let config = from_environment(&[
            ("MURPH__AUTH__SECRET", SECRET),
            ("MURPH__AUTH__PREVIOUS_SECRETS", SECRET),
            ("MURPH__DATABASE__URL", &url),
            ("MURPH__BUS__URL", &format!("redis://:{SECRET}@redis")),
            ("MURPH__OPENAI__KEY", SECRET),
            ("GROQ_API_KEY", SECRET),
        ])
        .unwrap();
        let masked = config.masked();
        assert!(masked.contains("secret = \"***\""), "{masked}");
        assert!(masked.contains("url = \"postgres://murph:***@db/murph\""), "{masked}");
        assert!(masked.contains("url = \"redis://:***@redis\""), "{masked}");
        let wrong = [
            from_environment(&[("MURPH__DATABASE__URL", &url.replace('@', "/@"))]),
            from_environment(&[("MURPH__DATABASE__URL", &format!("mysql:{url}"))]),
            from_environment(&[("MURPH__BUS__URL", &url)]),
            from_file(&format!("[auth]\nsecret = {SECRET}")),
            from_file(&format!("[auth]\nsecret = [\"{SECRET}\"]")),
            from_file(&format!("[auth]\nprevious_secrets = \"{SECRET}\"")),
        ];
        let told = wrong.map(|result| format!("{0} {0:?}", result.unwrap_err()));
        for text in told.iter().chain([&masked, &format!("{config:?}")]) {
            assert!(!text.contains(SECRET), "{text}");
        }
    }

    /// `murph config > murph.toml` is a start for a configuration of one's own.
    #[test]
    fn what_is_shown_can_be_read() {
        let config = Config::load(Sources::default()).unwrap();
        assert_eq!(from_file(&config.masked()).unwrap().masked(), config.masked());
    }

    #[test]
    fn links_lead_to_where_the_server_is() {
        let mut server = Config::load(Sources::default()).unwrap().server;
        for (listening, url) in [
            ("127.0.0.1:8123", "http://127.0.0.1:8123"),
            ("0.0.0.0:80", "http://localhost:80"),
            ("[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(server.public_url(listening.parse().unwrap()), url);
        }
        server.public_url = "https://murph.example.org/".to_owned();
        assert_eq!(server.public_url(server.listen), "https://murph.example.org");
    }
}
