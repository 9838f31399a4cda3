//! Which database, from a URL that may hold a password.

use std::{fmt, path::PathBuf, str::FromStr};

use reqwest::Url;

use super::secret::MASK;

/// A database. Printing it, also with `{:?}`, masks the password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file. Its path is taken literally, relative to the working directory.
    Sqlite(PathBuf),
    /// The URL as it was given, password and all.
    Postgres(String),
}

/// Why a text is not a database. Never quotes the text: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDatabaseUrlError {
    #[error("is neither an SQLite nor a PostgreSQL URL")]
    UnknownScheme,
    #[error("names no file for SQLite")]
    NoFile,
    #[error("has options behind the SQLite file, which Murph chooses itself")]
    SqliteOptions,
    #[error("asks for SQLite in memory, where no money is safe")]
    InMemory,
    #[error("is not a valid URL (characters such as @ / : # in a password are written %40 %2F …)")]
    Invalid,
}

impl DatabaseUrl {
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

impl FromStr for DatabaseUrl {
    type Err = ParseDatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseDatabaseUrlError> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            sqlite_file(rest.strip_prefix("//").unwrap_or(rest)).map(Self::Sqlite)
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            parse(text).ok_or(ParseDatabaseUrlError::Invalid)?;
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Err(ParseDatabaseUrlError::UnknownScheme)
        }
    }
}

fn sqlite_file(path: &str) -> Result<PathBuf, ParseDatabaseUrlError> {
    if path.contains(":memory:") {
        Err(ParseDatabaseUrlError::InMemory)
    } else if path.contains('?') {
        Err(ParseDatabaseUrlError::SqliteOptions)
    } else if path.is_empty() || path.ends_with('/') {
        Err(ParseDatabaseUrlError::NoFile)
    } else {
        Ok(path.into())
    }
}

/// Takes a URL apart with the parser that sqlx and redis use, so that all agree what the password
/// is.
pub(super) fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    // In `user:1/2@host` the password, not being encoded, is taken for a port and a path.
    let behind_host = [Some(url.path()), url.query(), url.fragment()];
    let is_misread = behind_host.into_iter().flatten().any(|part| part.contains('@'));
    (!is_misread).then_some(url)
}

/// `url` without its password, which may stand before the host or among the options.
pub(super) fn masked(url: &str) -> Option<String> {
    let mut url = parse(url)?;
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    }
    if url.query().is_some() {
        let mut options: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, value) in &mut options {
            if name.to_lowercase().contains("pass") {
                MASK.clone_into(value);
            }
        }
        url.query_pairs_mut().clear().extend_pairs(options);
    }
    Some(url.into())
}

/// For people: with `***` for the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => match masked(url) {
                Some(masked) => f.write_str(&masked),
                None => write!(f, "postgres://{MASK}"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Option<String> {
        match text.parse() {
            Ok(DatabaseUrl::Sqlite(path)) => path.to_str().map(str::to_owned),
            _ => None,
        }
    }

    #[test]
    fn sqlite_is_a_file() {
        for (text, path) in [
            ("sqlite://murph-data/murph.db", "murph-data/murph.db"),
            ("sqlite:murph.db", "murph.db"),
            ("sqlite:///var/lib/murph.db", "/var/lib/murph.db"),
            ("sqlite:/var/lib/murph.db", "/var/lib/murph.db"),
        ] {
            assert_eq!(file(text).as_deref(), Some(path), "{text}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        use ParseDatabaseUrlError::{InMemory, Invalid, NoFile, SqliteOptions, UnknownScheme};
        for (text, error) in [
            ("murph.db", UnknownScheme),
            ("mysql://u:p@h/d", UnknownScheme),
            ("postgresql+asyncpg://u:p@h/d", UnknownScheme),
            ("sqlite:", NoFile),
            ("sqlite://", NoFile),
            ("sqlite::memory:", InMemory),
            ("sqlite://murph.db?mode=rwc", SqliteOptions),
            ("postgres://u:p/w@host/db", Invalid),
            ("postgres://u:1/2@host/db", Invalid),
            ("postgres://u:1#2@host/db", Invalid),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(error), "{text}");
        }
    }

    /// Wherever a password stands, it is not shown, however odd it is.
    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("postgres://u:hunter2@host:5432/db", "postgres://u:***@host:5432/db"),
            ("postgres://u:hunter2@x@host/db", "postgres://u:***@host/db"),
            ("postgresql://u@host/db?password=hunter2", "postgresql://u@host/db?password=***"),
            ("postgres://h/d?sslmode=require", "postgres://h/d?sslmode=require"),
            ("postgres://u:hunter2/@host", "postgres://***"),
            ("postgres://u:2?hunter2@host", "postgres://***"),
        ] {
            let url = DatabaseUrl::Postgres(url.to_owned());
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
