//! One secret, and the keys that are derived from it.
//!
//! The secret is configured; or made on the first start and kept, in the data directory with
//! SQLite, in the database with PostgreSQL, where all nodes find it. From it follow the key that
//! signs access tokens (Ed25519), the one that chains refresh tokens, the one that signs tickets, the
//! one that signs links to files, the one that marks files which others keep for us and the one by which
//! nodes trust each other's notices (HMAC), so there is one thing to keep, to share between nodes and to
//! change.

use std::{
    fs,
    io::{self, Write},
    iter,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    bus,
    config::{Config, DatabaseUrl, Secret},
    db::{self, Db},
    error::{Error, Result},
    id::FileId,
    storage,
    time::Timestamp,
};

/// Of the file in the data directory, and of the row in the database.
const SECRET_NAME: &str = "auth_secret";

/// The shortest secret that is taken from there, in characters.
const SECRET_LENGTH_MIN: usize = 32;

/// What each mark begins with.
const MARK_PREFIX: &str = "murph:";

/// What stands before the 32 bytes of an Ed25519 private key in its PKCS#8 form (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Keys to sign and to check tokens with. Prints nothing of them.
pub struct Keys {
    pub(super) signing: EncodingKey,
    /// The signing key's public half first, then those of secrets that were replaced.
    pub(super) checking: Vec<PublicKey>,
    refresh: Vec<u8>,
    /// In the same order.
    tickets: Vec<Vec<u8>>,
    /// In the same order.
    bus: Vec<bus::Key>,
    /// In the same order.
    links: Vec<storage::LinkKey>,
    /// In the same order.
    marks: Vec<Vec<u8>>,
}

pub(super) struct PublicKey {
    pub(super) id: String,
    pub(super) key: DecodingKey,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.checking[0].id).finish_non_exhaustive()
    }
}

impl Keys {
    /// Derives the keys from the secret, which is made if there is none yet.
    pub async fn load(config: &Config, db: &Db, now: Timestamp) -> Result<Self> {
        let configured = config.auth.secret.expose();
        let secret = match (configured, config.database_url()) {
            ("", DatabaseUrl::Sqlite(_)) => kept_in_file(&config.server.data_dir)?,
            ("", DatabaseUrl::Postgres(_)) => kept_in_database(db, now).await?,
            (configured, _) => configured.to_owned(),
        };
        let replaced = config.auth.previous_secrets.iter().map(Secret::expose);
        Self::derive(&secret, replaced)
    }

    pub(in crate::service) fn derive<'a>(
        secret: &'a str,
        replaced: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let seed = derive(secret.as_bytes(), "murph access tokens 1");
        let (mut checking, mut tickets, mut bus) = (Vec::new(), Vec::new(), Vec::new());
        let (mut links, mut marks) = (Vec::new(), Vec::new());
        for secret in iter::once(secret).chain(replaced) {
            let key = PublicKey::of(&derive(secret.as_bytes(), "murph access tokens 1"))?;
            tickets.push(derive(secret.as_bytes(), "murph tickets 1"));
            bus.push(bus::Key::new(key.fingerprint(), derive(secret.as_bytes(), "murph bus 1")));
            links.push(storage::LinkKey::new(derive(secret.as_bytes(), "murph links 1")));
            marks.push(derive(secret.as_bytes(), "murph marks 1"));
            checking.push(key);
        }
        Ok(Self {
            tickets,
            bus,
            links,
            marks,
            signing: EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], &seed].concat()),
            checking,
            refresh: derive(secret.as_bytes(), "murph refresh tokens 1"),
        })
    }

    /// The token that follows `token` in its chain: always the same, and known to nobody else.
    /// So an answer that was lost can be given again without keeping any token.
    pub(super) fn successor(&self, token: &str) -> String {
        URL_SAFE_NO_PAD.encode(derive(&self.refresh, token))
    }

    pub(in crate::service) fn sign_ticket(&self, payload: &[u8]) -> Vec<u8> {
        mac(&self.tickets[0], payload).finalize().into_bytes().to_vec()
    }

    /// Whether this Murph, or one with a secret that was replaced, has signed `payload`. Takes the
    /// same time wherever the first wrong byte is.
    pub(in crate::service) fn has_signed_ticket(&self, payload: &[u8], signature: &[u8]) -> bool {
        self.tickets.iter().any(|key| mac(key, payload).verify_slice(signature).is_ok())
    }

    /// What a file is called where others keep it for us, who may keep files of others, too.
    pub(in crate::service) fn mark(&self, file: FileId) -> String {
        let signature = mac(&self.marks[0], file.uuid().as_bytes()).finalize().into_bytes();
        format!("{MARK_PREFIX}{file}:{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The file that this Murph, or one with a secret that was replaced, has called so.
    pub(in crate::service) fn marked(&self, mark: &str) -> Option<FileId> {
        let (file, signature) = mark.strip_prefix(MARK_PREFIX)?.split_once(':')?;
        let file: FileId = file.parse().ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_ours =
            |key: &Vec<u8>| mac(key, file.uuid().as_bytes()).verify_slice(&signature).is_ok();
        self.marks.iter().any(is_ours).then_some(file)
    }

    /// What nodes find and trust each other by: the key to publish under, then those of secrets
    /// that were replaced.
    #[must_use]
    pub fn bus(&self) -> &[bus::Key] {
        &self.bus
    }

    /// What signs links to files: the key to sign with, then those of secrets that were replaced.
    #[must_use]
    pub fn links(&self) -> &[storage::LinkKey] {
        &self.links
    }

    /// The public keys, as `/.well-known/jwks.json` shows them.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys = self.checking.iter().map(|key| {
            json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id,
                "x": URL_SAFE_NO_PAD.encode(&key.bytes),
            })
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

impl PublicKey {
    fn of(seed: &[u8]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|error| Error::Internal(format!("the signing key: {error}")))?;
        let bytes = pair.public_key().as_ref().to_vec();
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..9]);
        Ok(Self { id, key: DecodingKey::from_ed_der(&bytes), bytes })
    }

    /// Enough to tell installations apart, in 8 characters. Public as the key is.
    fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.bytes);
        format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }
}

fn derive(secret: &[u8], label: &str) -> Vec<u8> {
    mac(secret, label.as_bytes()).finalize().into_bytes().to_vec()
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(text);
    mac
}

/// 256 random bits as text.
pub(super) fn random_text() -> Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Internal("the system gives no random bytes".into()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The secret in the data directory. A new one is written whole and then given its name, so that
/// there is never half of it, and of two that start at once one makes it.
fn kept_in_file(data_dir: &Path) -> Result<String> {
    let path = data_dir.join(SECRET_NAME);
    let kept = || -> io::Result<String> {
        fs::create_dir_all(data_dir)?;
        if !path.exists() {
            let draft = data_dir.join(format!("{SECRET_NAME}.{}", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(random_text().map_err(io::Error::other)?.as_bytes())?;
            file.sync_all()?;
            let named = fs::hard_link(&draft, &path);
            fs::remove_file(&draft)?;
            match named {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => fs::File::open(data_dir)?.sync_all()?,
            }
        }
        fs::read_to_string(&path)
    };
    let place = path.display();
    let secret = kept()
        .map_err(|error| Error::Internal(format!("cannot keep the secret in {place}: {error}")))?;
    if secret.trim().len() < SECRET_LENGTH_MIN {
        return Err(Error::Internal(format!("{place} is not whole: remove it, or restore it")));
    }
    Ok(secret.trim().to_owned())
}

async fn kept_in_database(db: &Db, now: Timestamp) -> Result<String> {
    let mut tx = db.begin().await?;
    db::secrets::insert(&mut tx, SECRET_NAME, &random_text()?, now).await?;
    let secret = db::secrets::find(&mut tx, SECRET_NAME).await?;
    tx.commit().await?;
    secret.ok_or_else(|| Error::Internal("the secret was not kept".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str, replaced: &[&str]) -> Keys {
        Keys::derive(secret, replaced.iter().copied()).unwrap()
    }

    #[test]
    fn a_mark_is_of_one_file_and_of_whoever_made_it() {
        let [file, other] =
            [1, 2].map(|ms| FileId::new(Timestamp::from_micros(ms * 1_000).unwrap()));
        let (old, new) = (keys("old", &[]), keys("new", &["old"]));
        let mark = old.mark(file);
        // It has to fit beside an asset of Mux.
        assert!(mark.len() <= 255, "{mark}");
        assert_eq!((old.marked(&mark), new.marked(&mark)), (Some(file), Some(file)));
        assert_eq!(keys("new", &[]).marked(&mark), None);
        assert_eq!(old.marked(&new.mark(file)), None);
        let (head, signature) = mark.rsplit_once(':').unwrap();
        for altered in [
            "",
            "murph:",
            head,
            &format!("{head}:"),
            &format!("{head}:{}", &signature[1..]),
            &format!("murph:{other}:{signature}"),
            &format!("{file}:{signature}"),
            &format!("{mark}:"),
        ] {
            assert_eq!(old.marked(altered), None, "{altered}");
        }
    }
}
