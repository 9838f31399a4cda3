//! `[mux]`: who makes of files what any player plays on any line, if anybody does.

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::{Deserialize, Serialize};

use super::{
    Config, Secret, StorageKind,
    check::{is_base_url, is_here, is_private},
    problem::Problems,
};

/// Mux, and who Murph is there. All of it or nothing: without, files are played as they were uploaded. A
/// token alone, as it is set where Murph's seeds ran, is nothing yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mux {
    pub token_id: Secret,
    pub token_secret: Secret,
    /// Signs what Mux tells Murph.
    pub webhook_secret: Secret,
    pub signing_key_id: String,
    /// The base64 of a PEM, which signs links.
    pub signing_key: Secret,
    pub base_url: String,
    pub stream_url: String,
    pub image_url: String,
}

impl Mux {
    /// Whether Mux is asked at all. By a token alone nothing could be heard or played.
    #[must_use]
    pub fn is_used(&self) -> bool {
        let is_unused = self.webhook_secret.is_empty()
            && self.signing_key_id.is_empty()
            && self.signing_key.is_empty();
        !is_unused
    }

    /// Whether there is a token that is of no use, as all else is missing.
    #[must_use]
    pub fn has_idle_token(&self) -> bool {
        let has_token = !self.token_id.is_empty() || !self.token_secret.is_empty();
        has_token && !self.is_used()
    }

    /// What belongs together, and whether it is missing.
    fn settings(&self) -> [(&'static str, bool); 5] {
        [
            ("mux.token_id", self.token_id.is_empty()),
            ("mux.token_secret", self.token_secret.is_empty()),
            ("mux.webhook_secret", self.webhook_secret.is_empty()),
            ("mux.signing_key_id", self.signing_key_id.is_empty()),
            ("mux.signing_key", self.signing_key.is_empty()),
        ]
    }

    /// The key that signs links. `None`: it is not one.
    #[must_use]
    pub fn signing_key(&self) -> Option<EncodingKey> {
        let pem = STANDARD.decode(self.signing_key.expose()).ok()?;
        let key = EncodingKey::from_rsa_pem(&pem).ok()?;
        // Only now it is looked into what the PEM has.
        crypto::sign(b"murph", &key, Algorithm::RS256).is_ok().then_some(key)
    }

    fn secrets(&self) -> [(&'static str, &Secret); 4] {
        [
            ("mux.token_id", &self.token_id),
            ("mux.token_secret", &self.token_secret),
            ("mux.webhook_secret", &self.webhook_secret),
            ("mux.signing_key", &self.signing_key),
        ]
    }

    fn urls(&self) -> [(&'static str, &str); 3] {
        [
            ("mux.base_url", &self.base_url),
            ("mux.stream_url", &self.stream_url),
            ("mux.image_url", &self.image_url),
        ]
    }
}

/// What can be read but not used.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let mux = &config.mux;
    for (key, url) in mux.urls() {
        if !is_base_url(url) {
            let mend = "write it as https://api.example.org";
            problems.add(key, "is not a web address to put paths behind", mend);
        }
    }
    if !mux.is_used() {
        return;
    }
    for (key, is_missing) in mux.settings() {
        if is_missing {
            problems.add(key, "is empty", "set it, or leave all keys of mux empty");
        }
    }
    for (key, secret) in mux.secrets() {
        if secret.is_mask() {
            let masked = "is the *** that is shown in place of a secret";
            problems.add(key, masked, "write it itself, or leave all keys of mux empty");
        } else if key == "mux.signing_key" && !secret.is_empty() && mux.signing_key().is_none() {
            let mend = "copy the private key of a signing key as Mux shows it, in one line";
            problems.add(key, "is not the base64 of a private RSA key in PEM", mend);
        }
    }
    let is_local = config.storage.kind == StorageKind::Local;
    if is_local && config.server.public_url.is_empty() && !is_here(&mux.base_url) {
        let problem = "is empty, and Mux is to fetch files from there";
        let mend = "set it to the address under which others reach this server, or use S3";
        problems.add("server.public_url", problem, mend);
    }
}

/// Keys are not for everybody on the way to read, nor are links.
pub(super) fn check_production(config: &Config, problems: &mut Problems) {
    if config.mux.is_used() {
        for (key, url) in config.mux.urls() {
            is_private(key, url, problems);
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
        rsa::{KeyPair, KeySize},
        signature::KeyPair as _,
    };

    use super::{super::Sources, *};

    /// What stands before the key itself in PKCS#8, with one of 2048 bits.
    const PKCS8_BEFORE: usize = 26;

    fn pem(label: &str, der: &[u8]) -> String {
        let der = STANDARD.encode(der);
        STANDARD.encode(format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n"))
    }

    /// A private key as Mux shows it, and other things that look alike.
    fn keys() -> (String, [String; 4]) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs1 = &private.as_ref()[PKCS8_BEFORE..];
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let others = [
            STANDARD.encode(pkcs1),
            pem("RSA PRIVATE KEY", &pkcs1[1..]),
            pem("PUBLIC KEY", public.as_ref()),
            "-----BEGIN RSA PRIVATE KEY-----".to_owned(),
        ];
        (pem("RSA PRIVATE KEY", pkcs1), others)
    }

    fn load(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (environment, flags) = (owned(environment), owned(flags));
        Config::load(Sources { environment, flags, ..Sources::default() })
            .map_err(|error| error.problems.iter().map(ToString::to_string).collect())
    }

    /// All that belongs together.
    fn all(key: &str) -> [(&str, &str); 5] {
        [
            ("mux.token_id", "id"),
            ("mux.token_secret", "secret"),
            ("mux.webhook_secret", "webhook"),
            ("mux.signing_key_id", "key"),
            ("mux.signing_key", key),
        ]
    }

    #[test]
    fn mux_needs_all_of_its_keys() {
        let (key, others) = keys();
        let [id, secret, webhook, key_id, key] = all(&key);
        let public_url = ("server.public_url", "https://murph.example.org");
        let fine = [id, secret, webhook, key_id, key, public_url];
        assert!(!load(&[], &[]).unwrap().mux.is_used());
        assert!(load(&[], &fine).unwrap().mux.is_used());
        for missing in ["mux.webhook_secret", "mux.signing_key_id", "mux.signing_key"] {
            let some: Vec<_> = fine.into_iter().filter(|(key, _)| *key != missing).collect();
            assert_eq!(load(&[], &some).unwrap_err().len(), 1, "{missing}");
            let alone = fine.into_iter().find(|(key, _)| *key == missing).unwrap();
            assert!(load(&[], &[alone]).unwrap_err().len() >= 4, "{missing}");
        }
        let refused = |key: &str, value: &str| {
            let problems = load(&[], &[&fine[..], &[(key, value)]].concat());
            let problems = problems.expect_err("this configuration is refused");
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert!(problems[0].starts_with(&format!("{key}: ")), "{problems:#?}");
        };
        for (key, _) in fine {
            refused(key, "");
        }
        for (key, _) in fine.into_iter().filter(|(key, _)| *key != "mux.signing_key_id") {
            refused(key, "***");
        }
        for other in &others {
            refused("mux.signing_key", other);
        }
        for key in ["mux.base_url", "mux.stream_url", "mux.image_url"] {
            refused(key, "stream.mux.com");
        }
    }

    #[test]
    fn the_seeds_variables_are_read_and_not_shown() {
        let (key, _) = keys();
        let flags = [
            ("mux.webhook_secret", "a hidden secret"),
            ("mux.signing_key_id", "key"),
            ("mux.signing_key", key.as_str()),
            ("server.public_url", "https://murph.example.org"),
        ];
        let variables = [("MUX_TOKEN_ID", "a hidden id"), ("MUX_TOKEN_SECRET", "a hidden secret")];
        let config = load(&variables, &flags).unwrap();
        assert_eq!(config.mux.token_id.expose(), "a hidden id");
        assert_eq!(config.mux.token_secret.expose(), "a hidden secret");
        let shown = format!("{} {config:?}", config.masked());
        assert!(!shown.contains("hidden") && !shown.contains(&key), "{shown}");
    }

    #[test]
    fn a_token_alone_is_left_alone() {
        let variables = [("MUX_TOKEN_ID", "id"), ("MUX_TOKEN_SECRET", "secret")];
        for tokens in [&variables[..], &variables[..1], &variables[1..]] {
            let mux = load(tokens, &[]).unwrap().mux;
            assert!(mux.has_idle_token() && !mux.is_used(), "{tokens:?}");
        }
        assert!(!load(&[], &[]).unwrap().mux.has_idle_token());
    }

    #[test]
    fn mux_fetches_files_from_where_it_can() {
        let (key, _) = keys();
        let fine = all(&key);
        let s3 = [
            ("storage.kind", "s3"),
            ("storage.bucket", "school"),
            ("storage.access_key_id", "a"),
            ("storage.secret_access_key", "b"),
        ];
        assert!(load(&[], &fine).is_err());
        assert!(load(&[], &[&fine[..], &s3].concat()).is_ok());
        assert!(
            load(&[], &[&fine[..], &[("mux.base_url", "http://127.0.0.1:1")]].concat()).is_ok()
        );
        let production = [
            ("server.mode", "production"),
            ("server.public_url", "https://murph.example.org"),
            ("payments.gateway", "none"),
        ];
        let safe = [&fine[..], &production].concat();
        assert!(load(&[], &safe).is_ok());
        for key in ["mux.base_url", "mux.stream_url", "mux.image_url"] {
            let problems = load(&[], &[&safe[..], &[(key, "http://mux.example.org")]].concat());
            let problems = problems.unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(key), "{problems:#?}");
        }
    }
}
