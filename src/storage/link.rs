//! Links to files in the data directory: who has one may do what it says, until it ends.
//!
//! Everything a link says is signed: what may be done, with which object, its type, its size, in which
//! session, and until when. Whether that session goes on is for others to ask. A link is no token of
//! anybody's, so no other key of Murph's signs one.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Object;
use crate::{
    error::{Error, Result},
    id::SessionId,
    time::Timestamp,
};

/// Signs links. Prints nothing of itself.
#[derive(Clone)]
pub struct LinkKey(Vec<u8>);

impl LinkKey {
    #[must_use]
    pub fn new(key: Vec<u8>) -> Self {
        Self(key)
    }

    fn mac(&self, link: &Link) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(link.text().as_bytes());
        mac
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkKey").finish_non_exhaustive()
    }
}

/// What a link lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET` and `HEAD`.
    Play,
    /// `PUT`, with the type and the size.
    Upload,
}

impl Action {
    fn method(self) -> &'static str {
        match self {
            Self::Play => "GET",
            Self::Upload => "PUT",
        }
    }
}

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub action: Action,
    pub object: Object,
    /// It is good while this one goes on; `None`: whatever happens.
    pub session: Option<SessionId>,
    /// In seconds since 1970.
    pub expires: i64,
}

impl Link {
    /// What is signed: each part is of letters that cannot be mistaken for the end of it.
    fn text(&self) -> String {
        let Object { id, content_type, size_bytes } = self.object;
        let (method, expires) = (self.action.method(), self.expires);
        let session = self.session.map(|session| session.to_string()).unwrap_or_default();
        format!("{method}\n{id}\n{content_type}\n{size_bytes}\n{session}\n{expires}")
    }

    /// The link below `base`, signed with the first of `keys`.
    pub(super) fn url(&self, base: &str, keys: &[LinkKey]) -> String {
        let Object { id, content_type, size_bytes } = self.object;
        let key = keys.first().expect("there is always a key");
        let signature = URL_SAFE_NO_PAD.encode(key.mac(self).finalize().into_bytes());
        let session = self.session.map(|session| format!("&session={session}"));
        let (session, expires) = (session.unwrap_or_default(), self.expires);
        format!(
            "{base}/media/{id}?type={content_type}&size={size_bytes}{session}&expires={expires}\
             &signature={signature}"
        )
    }

    /// Whether one of `keys` signed it, and it is still good. Takes the same time wherever the first
    /// wrong byte is.
    pub(super) fn check(&self, signature: &str, keys: &[LinkKey], now: Timestamp) -> Result<()> {
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if !keys.iter().any(|key| key.mac(self).verify_slice(&bytes).is_ok()) {
            return Err(Error::Forbidden("the link is not one that was given"));
        }
        if self.expires <= now.seconds() {
            return Err(Error::Forbidden("the link has expired; ask for another"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::media::ContentType, id::FileId};

    fn link() -> Link {
        let object = Object {
            id: FileId::new(Timestamp::EPOCH),
            content_type: ContentType::Mp4,
            size_bytes: 100,
        };
        Link { action: Action::Play, object, session: None, expires: 1_000 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    fn signature(link: &Link, keys: &[LinkKey]) -> String {
        link.url("", keys).rsplit_once("signature=").unwrap().1.to_owned()
    }

    fn refusal(result: Result<()>) -> &'static str {
        match result {
            Err(Error::Forbidden(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_link_is_good_until_it_ends() {
        let (link, keys) = (link(), [LinkKey::new(vec![1; 32])]);
        let signature = signature(&link, &keys);
        link.check(&signature, &keys, at(0)).unwrap();
        link.check(&signature, &keys, at(999)).unwrap();
        assert!(refusal(link.check(&signature, &keys, at(1_000))).contains("expired"));
    }

    #[test]
    fn everything_a_link_says_is_signed() {
        let (link, keys) = (link(), [LinkKey::new(vec![1; 32])]);
        let signature = signature(&link, &keys);
        let object = link.object;
        for other in [
            Link { action: Action::Upload, ..link },
            Link { expires: 1_001, ..link },
            Link { session: Some(SessionId::new(at(5))), ..link },
            Link { object: Object { id: FileId::new(at(5)), ..object }, ..link },
            Link { object: Object { content_type: ContentType::Ogg, ..object }, ..link },
            Link { object: Object { size_bytes: 101, ..object }, ..link },
        ] {
            assert!(
                refusal(other.check(&signature, &keys, at(0))).contains("not one"),
                "{other:?}"
            );
        }
        for altered in ["", "A", &signature[1..], &format!("{signature}A"), "\u{e9}"] {
            assert!(refusal(link.check(altered, &keys, at(0))).contains("not one"), "{altered}");
        }
    }

    #[test]
    fn a_link_of_a_session_is_of_no_other() {
        let keys = [LinkKey::new(vec![1; 32])];
        let link = Link { session: Some(SessionId::new(at(5))), ..link() };
        let signature = signature(&link, &keys);
        link.check(&signature, &keys, at(0)).unwrap();
        for session in [None, Some(SessionId::new(at(6)))] {
            let other = Link { session, ..link };
            assert!(refusal(other.check(&signature, &keys, at(0))).contains("not one"));
        }
    }

    #[test]
    fn a_link_of_a_secret_that_was_replaced_is_good() {
        let (old, new) = (LinkKey::new(vec![1; 32]), LinkKey::new(vec![2; 32]));
        let link = link();
        let signature = signature(&link, std::slice::from_ref(&old));
        link.check(&signature, &[new.clone(), old], at(0)).unwrap();
        assert!(link.check(&signature, &[new], at(0)).is_err());
    }
}
