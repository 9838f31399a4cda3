//! Defaults ← file ← environment ← flags, before anything is known about what the values mean.
//!
//! The defaults hold every setting there is, so they also say which names exist and of which kind
//! a value must be. What is wrong is reported and left out: the default stays in its place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Config, DEFAULTS,
    names::{self, FILE_SUFFIX},
    problem::Problems,
};

/// Names the file to read if `--config` does not.
const FILE_VARIABLE: &str = "MURPH_CONFIG";

/// Secrets and URLs with passwords get mounted as files by container platforms.
const READ_FROM_FILE: [&str; 15] = [
    "bus.url",
    "auth.previous_secrets",
    "auth.secret",
    "database.url",
    "server.public_url",
    "openai.key",
    "anthropic.key",
    "gemini.key",
    "groq.key",
    "storage.access_key_id",
    "storage.secret_access_key",
    "mux.token_id",
    "mux.token_secret",
    "mux.webhook_secret",
    "mux.signing_key",
];

/// The variables of the documents that Murph was made from. Weaker than our own.
const SEED_VARIABLES: [(&str, &str, Unit); 14] = [
    ("DEFAULT_LOCK_AMOUNT", "metering.lock_amount", Unit::Same),
    ("MIN_SESSION_DURATION_SECONDS", "metering.min_session_seconds", Unit::Same),
    ("METERING_UPDATE_INTERVAL_SECONDS", "metering.tick_ms", Unit::Seconds),
    ("DATABASE_URL", "database.url", Unit::Same),
    ("SECRET_KEY", "auth.secret", Unit::Same),
    ("OPENAI_API_KEY", "openai.key", Unit::Same),
    ("ANTHROPIC_API_KEY", "anthropic.key", Unit::Same),
    ("GOOGLE_AI_API_KEY", "gemini.key", Unit::Same),
    ("GROQ_API_KEY", "groq.key", Unit::Same),
    ("AWS_S3_BUCKET", "storage.bucket", Unit::Same),
    ("AWS_ACCESS_KEY_ID", "storage.access_key_id", Unit::Same),
    ("AWS_SECRET_ACCESS_KEY", "storage.secret_access_key", Unit::Same),
    ("MUX_TOKEN_ID", "mux.token_id", Unit::Same),
    ("MUX_TOKEN_SECRET", "mux.token_secret", Unit::Same),
];

/// What a seed's variable is measured in.
#[derive(Clone, Copy)]
enum Unit {
    /// As our setting is.
    Same,
    /// In seconds, where our setting is in milliseconds.
    Seconds,
}

/// The file to read, if any. `given` on the command line is stronger than the environment.
pub(super) fn file_to_read(
    given: Option<PathBuf>,
    environment: &[(String, String)],
) -> Option<PathBuf> {
    let named = value_of(FILE_VARIABLE, environment).filter(|path| !path.is_empty());
    given.or_else(|| named.map(PathBuf::from))
}

/// The settings laid over each other so far.
pub(super) struct Layers {
    defaults: Table,
    merged: Table,
    problems: Problems,
}

impl Layers {
    pub(super) fn defaults() -> Self {
        let defaults: Table = DEFAULTS.parse().expect("config.toml is compiled in and tested");
        Self { merged: defaults.clone(), defaults, problems: Problems::default() }
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let table = match read_toml(path) {
            Ok(table) => table,
            Err(problem) => {
                let mend = "name a file that can be read, written as `murph config` prints it";
                return self.problems.add(&origin, problem, mend);
            }
        };
        for (section, content) in table {
            match content {
                Value::Table(settings) if self.defaults.contains_key(&section) => {
                    for (name, value) in settings {
                        self.set(&format!("{section}.{name}"), value, &origin);
                    }
                }
                Value::Table(settings) if !settings.is_empty() => {
                    for name in settings.keys() {
                        self.refuse_unknown(&format!("{section}.{name}"), &origin);
                    }
                }
                _ => self.refuse_unknown(&section, &origin),
            }
        }
    }

    /// `MURPH__SECTION__KEY`, and the seeds' variables below them.
    pub(super) fn add_environment(&mut self, environment: &[(String, String)]) {
        for (name, key, unit) in SEED_VARIABLES {
            if let Some(text) = value_of(name, environment) {
                self.set_as_seed(key, text, unit, name);
            }
        }
        for (variable, text) in environment {
            let Some(key) = names::key_of(variable) else { continue };
            match key_read_from_file(&key) {
                Some(key) if value_of(&names::variable_of(key), environment).is_some() => {
                    let problem = format!("is set by {} too", names::variable_of(key));
                    self.refuse(key, problem, "keep one of the two", variable);
                }
                Some(key) => self.set_from_file(key, text, variable),
                None => self.set_text(&key, text, variable),
            }
        }
    }

    pub(super) fn add_flags(&mut self, flags: &[(String, String)]) {
        for (key, text) in flags {
            self.set_text(key, text, "the command line");
        }
    }

    /// What came of it. Values that mean nothing are reported, and their defaults taken.
    pub(super) fn read(mut self) -> (Config, Problems) {
        loop {
            let merged = Value::Table(self.merged.clone());
            let error = match serde_path_to_error::deserialize(merged) {
                Ok(config) => return (config, self.problems),
                Err(error) => error,
            };
            // `section.key`, without the place inside a list.
            let path = error.path().to_string();
            let key = path.split('[').next().unwrap_or_default();
            let default = lookup(&self.defaults, key).expect("all that is set has a default");
            assert!(
                lookup(&self.merged, key) != Some(default),
                "config.toml has an impossible default: {error}"
            );
            self.problems.add(key, error.inner().message(), example(key, default));
            put(&mut self.merged, key, default.clone());
        }
    }

    /// Sets what one of the seeds' variables says.
    fn set_as_seed(&mut self, key: &str, text: &str, unit: Unit, variable: &str) {
        let converted = match unit {
            Unit::Same => Some(text.to_owned()),
            Unit::Seconds => seconds_as_ms(text),
        };
        if let Some(text) = converted {
            self.set_text(key, &text, variable);
        } else {
            let problem = format!("{text:?} is not a whole number of seconds");
            self.refuse(key, problem, "choose one such as 5", variable);
        }
    }

    /// Sets what the file at `path` says, without the end of its last line.
    fn set_from_file(&mut self, key: &str, path: &str, variable: &str) {
        match fs::read_to_string(path) {
            Ok(text) => self.set_text(key, text.trim_end_matches(['\r', '\n']), variable),
            Err(error) => {
                let problem = format!("cannot read {path:?}: {error}");
                self.refuse(key, problem, "name a file that Murph may read", variable);
            }
        }
    }

    /// Sets a value that is written as text, whatever its kind.
    fn set_text(&mut self, key: &str, text: &str, origin: &str) {
        let Some(default) = lookup(&self.defaults, key) else {
            return self.refuse_unknown(key, origin);
        };
        match convert(text, default) {
            Ok(value) => self.set(key, value, origin),
            Err(problem) => self.refuse(key, problem, example(key, default), origin),
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: &str) {
        let Some(default) = lookup(&self.defaults, key) else {
            return self.refuse_unknown(key, origin);
        };
        if is_kind_of(&value, default) {
            self.problems.note_origin(key, origin);
            put(&mut self.merged, key, value);
        } else {
            // The value itself is not named: it may be a secret of digits, without its quotes.
            let problem = format!("is {}, not {}", kind(&value), kind(default));
            self.refuse(key, problem, example(key, default), origin);
        }
    }

    fn refuse_unknown(&mut self, key: &str, origin: &str) {
        let known: Vec<String> = keys(&self.defaults).collect();
        let mend = match names::nearest(key, known.iter().map(String::as_str)) {
            Some(meant) if names::key_of(origin).is_some() => {
                format!("did you mean {}?", names::variable_of(meant))
            }
            Some(meant) => format!("did you mean {meant}?"),
            None => "take it out, `murph config` lists all settings".to_owned(),
        };
        self.refuse(key, "there is no such setting", mend, origin);
    }

    fn refuse(
        &mut self,
        key: &str,
        problem: impl Into<String>,
        mend: impl Into<String>,
        origin: &str,
    ) {
        self.problems.note_origin(key, origin);
        self.problems.add(key, problem, mend);
    }
}

/// The key meant by a variable that ends in `_FILE`, if it is one that may be read from a file.
fn key_read_from_file(key: &str) -> Option<&'static str> {
    let key = key.strip_suffix(FILE_SUFFIX)?;
    READ_FROM_FILE.into_iter().find(|known| *known == key)
}

fn value_of<'a>(variable: &str, environment: &'a [(String, String)]) -> Option<&'a str> {
    environment.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
}

fn read_toml(path: &Path) -> Result<Table, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    text.parse().map_err(|error: toml::de::Error| {
        // Not the error's own text: it quotes the line, which may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })
}

/// The full names of all settings.
fn keys(table: &Table) -> impl Iterator<Item = String> {
    let names = |(section, settings): (&String, &Value)| -> Vec<String> {
        let names = settings.as_table().into_iter().flat_map(Table::keys);
        names.map(|name| format!("{section}.{name}")).collect()
    };
    table.iter().flat_map(names)
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (section, name) = key.split_once('.')?;
    table.get(section)?.get(name)
}

fn put(table: &mut Table, key: &str, value: Value) {
    let slot =
        key.split_once('.').and_then(|(section, name)| table.get_mut(section)?.get_mut(name));
    *slot.expect("only settings that exist are set") = value;
}

/// Reads `text` as the kind of value that `default` is.
fn convert(text: &str, default: &Value) -> Result<Value, String> {
    match default {
        // As in a file, so that 5_000 is a number here too.
        Value::Integer(_) => match text.trim().parse() {
            Ok(number @ Value::Integer(_)) => Ok(number),
            _ => Err(format!("{text:?} is not a whole number")),
        },
        Value::Boolean(_) => match text.trim() {
            "true" | "1" => Ok(Value::Boolean(true)),
            "false" | "0" => Ok(Value::Boolean(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(Value::from).collect::<Vec<_>>().into())
        }
        _ => Ok(Value::from(text)),
    }
}

/// `None` if `text` is not a whole number of seconds.
fn seconds_as_ms(text: &str) -> Option<String> {
    let seconds: u64 = text.trim().parse().ok()?;
    seconds.checked_mul(1_000).map(|ms| ms.to_string())
}

fn is_kind_of(value: &Value, default: &Value) -> bool {
    match value {
        Value::Array(items) => default.is_array() && items.iter().all(Value::is_str),
        _ => value.same_type(default),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(items) if items.iter().all(Value::is_str) => "a list of texts",
        Value::Array(_) => "a list of something else than texts",
        Value::Table(_) => "a section",
    }
}

/// How a setting is written: an example where the default tells little, else the default.
fn example(key: &str, default: &Value) -> String {
    match key {
        "ai.order" => "choose among openai, anthropic, gemini and groq".to_owned(),
        "auth.previous_secrets" => "write it as [\"old secret\"]".to_owned(),
        "database.url" => {
            "write sqlite://path/murph.db or postgres://user:password@host/name".to_owned()
        }
        "payments.gateway" => "choose \"sandbox\" or \"none\"".to_owned(),
        "server.trusted_proxies" => "write it as [\"10.0.0.0/8\", \"192.0.2.1\"]".to_owned(),
        _ => format!("write it like the default, {default}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_the_default_is() {
        let list = Value::Array(vec!["a".into(), "b".into()]);
        for (text, default, value) in [
            ("5", Value::Integer(0), Some(Value::Integer(5))),
            (" 5_000 ", Value::Integer(0), Some(Value::Integer(5_000))),
            ("5.0", Value::Integer(0), None),
            ("", Value::Integer(0), None),
            ("5\nx = 1", Value::Integer(0), None),
            ("true", Value::Boolean(false), Some(Value::Boolean(true))),
            ("0", Value::Boolean(true), Some(Value::Boolean(false))),
            ("maybe", Value::Boolean(true), None),
            ("a, b,", list.clone(), Some(list.clone())),
            ("", list.clone(), Some(Value::Array(Vec::new()))),
            ("5", "".into(), Some("5".into())),
        ] {
            assert_eq!(convert(text, &default).ok(), value, "{text:?} for {default}");
        }
    }
}
