//! Ids, one type for each kind of thing, so that none is ever passed for another.
//!
//! Rows get UUID v7 (ordered by time), made here from a [`Timestamp`]. Ledger accounts get an id
//! that follows from what they are, so that it is known without looking it up.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};
use sha2::{Digest, Sha256};
use uuid::{ContextV7, Uuid};

use crate::{money::Currency, time::Timestamp};

macro_rules! id {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                // Only the usual form with hyphens: one thing has one name.
                Ok(Self(text.parse::<uuid::fmt::Hyphenated>()?.into_uuid()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(|_| de::Error::custom("is not an id"))
            }
        }
    )*};
}

macro_rules! made_at {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new id, ordered by the moment it was made.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                Self(v7(now))
            }

            /// What comes before every id that is made from `moment`, to the millisecond, on.
            #[must_use]
            pub fn before(moment: Timestamp) -> Self {
                let ms = u128::from(moment.micros().max(0).unsigned_abs() / 1_000);
                Self(Uuid::from_u128(ms << 80))
            }
        }
    )*};
}

id! {
    /// A person: student, teacher or admin.
    UserId
    /// One sign-in: a chain of refresh tokens that ends as a whole.
    LoginId
    /// What students watch and pay for by the minute.
    CourseId
    /// One student watching one course, with funds held for it.
    SessionId
    /// Money on its way from a gateway into a wallet.
    TopUpId
    /// Money on its way from a teacher's earnings to a gateway.
    PayoutId
    /// One running Murph.
    NodeId
    /// What courses are about.
    CategoryId
    /// One part of a course.
    VideoId
    /// What a student says about a session.
    ReviewId
    /// A message to discovery, and its answer.
    ChatId
    /// What was uploaded for a video.
    FileId
    /// One line of the ledger.
    AccountId
    /// One HTTP request, in answers and logs.
    RequestId
}

made_at! {
    UserId LoginId CourseId SessionId TopUpId PayoutId NodeId ReviewId VideoId ChatId FileId
    RequestId
}

fn v7(now: Timestamp) -> Uuid {
    let micros = now.micros().max(0);
    let seconds = u64::try_from(micros / 1_000_000).expect("the time is after 1970");
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).expect("less than a second");
    Uuid::new_v7(uuid::Timestamp::from_unix(ContextV7::new(), seconds, nanos))
}

impl AccountId {
    /// The account of `kind` that belongs to `owner` (a user, a provider, or nobody).
    ///
    /// The same three always give the same id, on every node, so an account is found, and made
    /// when first needed, without asking for it.
    #[must_use]
    pub fn derive(kind: &str, owner: &str, currency: Currency) -> Self {
        let digest = Sha256::digest(format!("{kind}:{owner}:{currency}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_time() {
        let early = SessionId::new(Timestamp::from_micros(1_700_000_000_000_000).unwrap());
        let late = SessionId::new(Timestamp::from_micros(1_700_000_000_001_000).unwrap());
        assert!(early < late);
        assert_eq!(early.uuid().get_version_num(), 7);
    }

    #[test]
    fn a_moment_parts_what_was_made_before_it_from_the_rest() {
        let moment = |micros| Timestamp::from_micros(micros).unwrap();
        let (before, at) = (moment(1_700_000_000_000_999), moment(1_700_000_000_001_000));
        let line = ChatId::before(at);
        assert!(ChatId::new(before) < line && line < ChatId::new(at));
    }

    #[test]
    fn one_id_has_one_spelling() {
        let id = "01890000-0000-7000-8000-000000000000";
        assert!(id.parse::<UserId>().is_ok());
        for other in [id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")] {
            assert!(other.parse::<UserId>().is_err(), "{other}");
        }
    }

    #[test]
    fn accounts_differ_by_kind_owner_and_currency() {
        let usd = "USD".parse().unwrap();
        let wallet = AccountId::derive("wallet", "a", usd);
        assert_eq!(wallet, AccountId::derive("wallet", "a", usd));
        assert_ne!(wallet, AccountId::derive("earnings", "a", usd));
        assert_ne!(wallet, AccountId::derive("wallet", "b", usd));
        assert_ne!(wallet, AccountId::derive("wallet", "a", "EUR".parse().unwrap()));
    }
}
