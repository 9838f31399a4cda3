//! Which Redis, from a URL that may hold a password.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    database_url::{masked, parse},
    secret::MASK,
};

/// A Redis, or none. Printing or serializing it masks the password; only [`BusUrl::expose`] gives
/// it away.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct BusUrl(String);

impl BusUrl {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why this is neither empty nor a Redis. Never quotes it.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.is_empty() {
            return None;
        }
        let Some(url) = parse(&self.0) else {
            return Some(
                "is not a valid URL \
                 (characters such as @ / : # in a password are written %40 %2F …)",
            );
        };
        if !matches!(url.scheme(), "redis" | "rediss") {
            Some("is not a Redis URL")
        } else if url.host_str().is_none_or(str::is_empty) {
            Some("names no host")
        } else if url.fragment().is_some() {
            // `#insecure` would trust any certificate.
            Some("has a part behind #")
        } else if url.query().is_some() || !is_database_number(&url) {
            Some("has more than user, password, host, port and the number of a database")
        } else if redis::Client::open(url).is_err() {
            Some("is not a Redis URL that can be used")
        } else {
            None
        }
    }
}

/// Pub/sub is the same in all databases, so the number, which many URLs have, means nothing.
fn is_database_number(url: &Url) -> bool {
    url.path().trim_start_matches('/').bytes().all(|byte| byte.is_ascii_digit())
}

/// For people: with `***` for the password.
impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        f.write_str(masked(&self.0).as_deref().unwrap_or(MASK))
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BusUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_has_a_host() {
        for url in [
            "",
            "redis://redis",
            "redis://127.0.0.1:6379/",
            "redis://[::1]:6379/2",
            "rediss://murph:hunter2@redis.example.org",
            "redis://:hunter%402@redis",
        ] {
            assert_eq!(BusUrl::new(url).problem(), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_redis_is_refused() {
        for (url, problem) in [
            ("localhost:6379", "is not a Redis URL"),
            ("http://redis", "is not a Redis URL"),
            ("redis+unix:///run/redis.sock", "is not a Redis URL"),
            ("redis", "is not a valid URL"),
            ("redis://", "names no host"),
            ("redis:///0", "names no host"),
            ("redis://0.0.0.0", "is not a Redis URL that can be used"),
            ("redis://u:hunter/2@redis", "is not a valid URL"),
            ("rediss://redis/#insecure", "has a part behind #"),
            ("redis://redis/murph", "has more than"),
            ("redis://redis/?protocol=resp3", "has more than"),
        ] {
            let found = BusUrl::new(url).problem();
            assert!(found.is_some_and(|found| found.starts_with(problem)), "{url}: {found:?}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        for (url, shown) in [
            ("", ""),
            ("redis://redis:6379", "redis://redis:6379"),
            ("redis://:hunter2@redis", "redis://:***@redis"),
            ("rediss://murph:hunter2@redis/1", "rediss://murph:***@redis/1"),
            ("redis://u:hunter/2@redis", "***"),
            ("hunter2", "***"),
        ] {
            let url = BusUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{shown:?}"));
        }
    }
}
