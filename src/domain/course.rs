//! What students watch: its price, and who shares in it.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use crate::{
    domain::{text, user::Role},
    id::{CategoryId, CourseId, UserId},
    money::{self, BasisPoints, Currency, Money},
    time::Timestamp,
};

/// The highest price of a minute: with it, price × watched time of a day still fits 64 bits, so
/// the databases can check a cost by themselves.
pub const PRICE_MAX: Money = Money::from_micros(100_000_000_000);

/// The longest title of a course or a video, in characters.
pub const TITLE_MAX: usize = 200;

/// The longest description of a course, in characters.
pub const DESCRIPTION_MAX: usize = 10_000;

/// The longest video, in milliseconds: two days.
pub const VIDEO_MAX_MS: u64 = 48 * 60 * 60 * 1_000;

/// How many videos a course may have.
pub const VIDEOS_MAX: u32 = 500;

/// How many partners a course may have.
pub const PARTNERS_MAX: usize = 20;

/// The longest name of a partner, in characters.
pub const PARTNER_NAME_MAX: usize = 100;

/// The price of a minute, as a client may name it: from nothing to [`PRICE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(Money);

impl Price {
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        money::deserialize_exactly(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl TryFrom<Money> for Price {
    type Error = String;

    fn try_from(price: Money) -> Result<Self, String> {
        match price {
            price if price.is_negative() => Err("must not be below zero".into()),
            price if price > PRICE_MAX => Err("is out of range".into()),
            price => Ok(Self(price)),
        }
    }
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Money>().map_err(|error| error.to_string())?.try_into()
    }
}

/// Somebody beside teacher and platform who gets a part of each payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partner {
    pub name: String,
    pub basis_points: BasisPoints,
}

/// How a payment is divided. What is not named here is the teacher's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub platform: BasisPoints,
    pub partners: Vec<Partner>,
}

impl Split {
    /// Whether the named shares come to no more than the whole, and each partner is named once.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let points = |share: BasisPoints| u32::from(share.points());
        let named: u32 = self.partners.iter().map(|partner| points(partner.basis_points)).sum();
        let mut distinct: Vec<_> = self.partners.iter().map(|partner| &partner.name).collect();
        distinct.sort();
        distinct.dedup();
        named + points(self.platform) <= u32::from(BasisPoints::WHOLE)
            && distinct.len() == self.partners.len()
    }
}

super::word_enum! {
    /// Who may see a course, and start to watch it.
    CourseStatus {
        /// Only its teacher.
        Draft = "draft",
        /// Everybody.
        Published = "published",
        /// Only its teacher again; who watches it goes on.
        Archived = "archived",
        /// Nobody. What was watched of it stays in everybody's history.
        Deleted = "deleted",
    }
}

super::word_enum! {
    /// How much one should know already.
    Level {
        Beginner = "beginner",
        Intermediate = "intermediate",
        Advanced = "advanced",
    }
}

/// A course: what it is about, what a minute of it costs, and who shares in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub id: CourseId,
    pub teacher_id: UserId,
    pub title: String,
    pub description: String,
    pub category_id: Option<CategoryId>,
    /// `None`: it is for everybody.
    pub level: Option<Level>,
    pub status: CourseStatus,
    pub price_per_minute: Money,
    pub currency: Currency,
    pub split: Split,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Course {
    /// A course that is on offer from now on, with nothing said about it but its title.
    #[must_use]
    pub fn offered(
        teacher_id: UserId,
        title: impl Into<String>,
        (price_per_minute, currency): (Money, Currency),
        split: Split,
        now: Timestamp,
    ) -> Self {
        Self {
            id: CourseId::new(now),
            teacher_id,
            title: title.into(),
            description: String::new(),
            category_id: None,
            level: None,
            status: CourseStatus::Published,
            price_per_minute,
            currency,
            split,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether `reader` may see it; `None`: somebody who has not signed in.
    #[must_use]
    pub fn is_shown_to(&self, reader: Option<(UserId, Role)>) -> bool {
        match self.status {
            CourseStatus::Published => true,
            CourseStatus::Draft | CourseStatus::Archived => self.is_looked_after_by(reader),
            CourseStatus::Deleted => false,
        }
    }

    /// Whether `reader` is its teacher, or an admin.
    #[must_use]
    pub fn is_looked_after_by(&self, reader: Option<(UserId, Role)>) -> bool {
        reader.is_some_and(|(id, role)| id == self.teacher_id || role == Role::Admin)
    }
}

/// What courses are about: one of a list that the operator keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub id: CategoryId,
    pub name: String,
    pub description: String,
}

/// What is to become of something that a course need not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    #[default]
    Keep,
    Remove,
    Set(T),
}

impl<T> Change<T> {
    #[must_use]
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Remove => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// A value, or `null`; what is not there keeps it.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Remove, Self::Set))
    }
}

/// A title as it is kept: trimmed.
pub fn parse_title(text: &str) -> Result<String, String> {
    text::line(text, TITLE_MAX)
}

/// A description as it is kept: trimmed, of any number of lines, and plain text.
pub fn parse_description(text: &str) -> Result<String, String> {
    text::lines(text, DESCRIPTION_MAX)
}

/// The partners of a course as they are kept, beside a platform that gets its part first.
pub fn parse_partners(
    partners: Vec<Partner>,
    platform: BasisPoints,
) -> Result<Vec<Partner>, String> {
    if partners.len() > PARTNERS_MAX {
        return Err(format!("must be at most {PARTNERS_MAX}"));
    }
    let mut split = Split { platform, partners: Vec::with_capacity(partners.len()) };
    for Partner { name, basis_points } in partners {
        let name =
            text::line(&name, PARTNER_NAME_MAX).map_err(|problem| format!("a name {problem}"))?;
        if basis_points.points() == 0 {
            return Err(format!("{name} gets nothing: basis_points must be above zero"));
        }
        split.partners.push(Partner { name, basis_points });
    }
    if split.is_possible() {
        Ok(split.partners)
    } else {
        let left = BasisPoints::WHOLE - platform.points();
        Err(format!("must be named once each and come to at most {left} basis points together"))
    }
}

/// The length of a video, if there are such videos.
pub fn parse_duration(duration_ms: u64) -> Result<u64, String> {
    if (1..=VIDEO_MAX_MS).contains(&duration_ms) {
        Ok(duration_ms)
    } else {
        Err(format!("must be between 1 and {VIDEO_MAX_MS}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(name: &str, points: u16) -> Partner {
        Partner { name: name.into(), basis_points: BasisPoints::new(points).unwrap() }
    }

    #[test]
    fn a_price_is_exact_and_may_be_nothing() {
        for (json, price) in [
            ("0", Some(0)),
            ("\"0.00\"", Some(0)),
            ("\"0.083333\"", Some(83_333)),
            ("0.1", Some(100_000)),
            ("100000", Some(PRICE_MAX.micros())),
            ("\"100000.000001\"", None),
            ("-0.000001", None),
            ("0.0000001", None),
            ("\"free\"", None),
            ("null", None),
        ] {
            let read = serde_json::from_str::<Price>(json).ok();
            assert_eq!(read.map(|read| read.money().micros()), price, "{json}");
        }
    }

    #[test]
    fn partners_and_platform_share_at_most_the_whole() {
        let platform = BasisPoints::new(1_000).unwrap();
        for (partners, fit) in [
            (vec![], true),
            (vec![partner("a", 9_000)], true),
            (vec![partner("a", 9_001)], false),
            (vec![partner("a", 4_500), partner("b", 4_500)], true),
            (vec![partner("a", 4_500), partner("b", 4_501)], false),
            (vec![partner("a", 1), partner(" a ", 1)], false),
            (vec![partner("a", 0)], false),
            (vec![partner(" ", 1)], false),
            ((0..20).map(|nth| partner(&nth.to_string(), 1)).collect(), true),
            ((0..21).map(|nth| partner(&nth.to_string(), 1)).collect(), false),
        ] {
            assert_eq!(parse_partners(partners.clone(), platform).is_ok(), fit, "{partners:?}");
        }
        let kept = parse_partners(vec![partner(" museum ", 1)], platform).unwrap();
        assert_eq!(kept, [partner("museum", 1)]);
    }

    #[test]
    fn titles_and_lengths_have_bounds() {
        assert_eq!(parse_title("  Rust ").as_deref(), Ok("Rust"));
        assert!(parse_title(" ").is_err() && parse_title("a\nb").is_err());
        assert!(parse_title(&"é".repeat(200)).is_ok() && parse_title(&"é".repeat(201)).is_err());
        assert!(parse_duration(0).is_err() && parse_duration(1).is_ok());
        assert!(parse_duration(172_800_000).is_ok() && parse_duration(172_800_001).is_err());
    }
}
