//! The rules, pure: no clock, no database, no network. Time is an argument.
//!
//! * [`ledger`]: accounts, transfers, journals, and the operations on them.
//! * [`books`]: what each operation does.
//! * [`session`]: what a student bought, on which terms, and how it ended.
//! * [`settlement`]: how a cost is divided.
//! * [`meter`]: how watching becomes money.
//! * [`checkpoint`], [`claim`]: in whose hands a session is, and what is left of lost hands.
//! * [`stretch`]: what of a session was charged, and why the rest was not.
//! * [`progress`]: how much of a video was watched.
//! * [`receipt`]: a session's cost, stretch by stretch.
//! * [`payment`]: money that comes in and goes out, and histories.
//! * [`address`]: who is behind an address.
//! * [`audience`]: who watches just now.
//! * [`earnings`], [`calendar`]: what teachers earn, added up, by the days of their time zone.
//! * [`review`]: what students say, and how far it can be believed.
//! * [`user`], [`course`], [`video`]: people, and what they offer.
//! * [`catalogue`]: looking for it; [`discovery`]: asking for it.
//! * [`catalogue`]: looking for it.
//! * [`media`], [`mp4`]: the files of videos.
//! * [`audit`]: the ledger's invariants, replayed.

pub mod address;
pub mod audience;
pub mod audit;
pub mod books;
pub mod calendar;
pub mod catalogue;
pub mod checkpoint;
pub mod claim;
pub mod course;
pub mod discovery;
pub mod earnings;
pub mod ledger;
pub mod media;
pub mod meter;
pub mod mp4;
pub mod payment;
pub mod progress;
pub mod receipt;
pub mod review;
pub mod session;
pub mod settlement;
pub mod stretch;
mod text;
pub mod user;
pub mod video;

/// An enum that is one lower-case word each in SQL and JSON.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("is none of {}", [$($word),*].join(", "))),
                }
            }
        }

        // Not derived: to serde_json a number or a list in place of an enum is no JSON at all.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use word_enum;
