//! Looking for courses: by words, by what they are about and cost, one page after the other.

use std::cmp::Ordering;

use crate::{
    domain::{
        course::{Course, CourseStatus, Level},
        text::words,
    },
    id::{CategoryId, CourseId, UserId},
    money::{Currency, Money},
};

/// The most words of a search that count.
const WORDS_MAX: usize = 8;

super::word_enum! {
    /// What comes first.
    Sort {
        Newest = "newest",
        Cheapest = "price",
        Dearest = "-price",
        BestRated = "-rating",
    }
}

impl Sort {
    /// By what a course is sorted that costs so much and is rated so, in hundredths.
    #[must_use]
    pub fn value(self, price_per_minute: Money, rating: i64) -> i64 {
        match self {
            Self::BestRated => rating,
            Self::Newest | Self::Cheapest | Self::Dearest => price_per_minute.micros(),
        }
    }
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// All that is on offer.
    All,
    Category(CategoryId),
    Teacher(UserId),
    /// Whatever somebody has made, whether on offer or not.
    Own(UserId),
}

/// What must hold of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    pub shelf: Shelf,
    pub category_id: Option<CategoryId>,
    pub level: Option<Level>,
    pub status: Option<CourseStatus>,
    /// Prices are compared in one currency.
    pub currency: Option<Currency>,
    pub min_price: Option<Money>,
    pub max_price: Option<Money>,
    /// In hundredths. What nobody has rated has none.
    pub min_rating: i64,
}

impl Filter {
    /// All of a shelf, of one status or of all.
    #[must_use]
    pub fn all_of(shelf: Shelf, status: Option<CourseStatus>) -> Self {
        Self {
            shelf,
            category_id: None,
            level: None,
            status,
            currency: None,
            min_price: None,
            max_price: None,
            min_rating: 0,
        }
    }
}

/// The last course of a page: the next one begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: CourseId,
    /// By what the list is sorted: the price in micro-units, or the rating in hundredths.
    pub value: i64,
}

impl Place {
    /// How this one and another stand in a list.
    #[must_use]
    pub fn cmp_in(&self, other: &Self, sort: Sort) -> Ordering {
        let (ours, theirs) = ((self.value, self.id), (other.value, other.id));
        match sort {
            Sort::Newest => theirs.1.cmp(&ours.1),
            Sort::Cheapest => ours.cmp(&theirs),
            Sort::Dearest | Sort::BestRated => theirs.cmp(&ours),
        }
    }
}

/// Reads a rating that is asked for, such as `4` or `4.25`, in hundredths.
pub fn parse_rating(text: &str) -> Result<i64, String> {
    let rating = text.parse::<Money>().ok().map(Money::micros);
    let hundredths = rating.filter(|micros| micros % 10_000 == 0).map(|micros| micros / 10_000);
    hundredths
        .filter(|hundredths| (0..=500).contains(hundredths))
        .ok_or_else(|| "must be between 0 and 5, with at most two decimals".into())
}

/// What somebody looks for, in words: a course has to have all of them.
///
/// Databases cut words in ways of their own, so what is looked for and what is found are cut by us,
/// both of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Vec<String>);

/// The words by which a course is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundBy {
    pub title: Vec<String>,
    pub description: Vec<String>,
}

impl Words {
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(words(text).take(WORDS_MAX).collect())
    }

    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The one of which there are the fewest, as far as can be told without looking.
    #[must_use]
    pub fn longest(&self) -> Option<&String> {
        self.0.iter().max_by_key(|word| word.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them are in a title and a description, as `tier` says. None of them is in any.
    #[must_use]
    pub fn are_in(&self, title: &str, description: &str, tier: Tier) -> bool {
        let description = if tier == Tier::Title { "" } else { description };
        if !self.may_be_in(title, description) {
            return false;
        }
        let mut missing = self.0.clone();
        let mut has = words(title).chain(words(description));
        while !missing.is_empty() {
            let Some(word) = has.next() else { return false };
            missing.retain(|missing| match tier {
                Tier::Title | Tier::Text => word != *missing,
                Tier::Begins => !word.starts_with(missing.as_str()),
            });
        }
        !self.is_empty()
    }

    /// Whether their letters are in one of two texts: far sooner said than whether they are words of it.
    fn may_be_in(&self, title: &str, description: &str) -> bool {
        let texts = [title, description].map(str::to_lowercase);
        // What is a small sigma depends on what stands beside it, as with no other letter.
        let mut words = self.0.iter().filter(|word| !word.contains(['σ', 'ς']));
        words.all(|word| texts.iter().any(|text| text.contains(word.as_str())))
    }
}

impl FoundBy {
    /// What is not on offer is not found.
    #[must_use]
    pub fn of(course: &Course) -> Self {
        if course.status != CourseStatus::Published {
            return Self::default();
        }
        Self {
            title: words(&course.title).collect(),
            description: words(&course.description).collect(),
        }
    }
}

super::word_enum! {
    /// Where the words of a search were found. Courses that have all of them in the title come
    /// first.
    Tier {
        Title = "title",
        /// In title and description together.
        Text = "text",
        /// Only as the beginnings of longer ones.
        Begins = "begins",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_have_two_decimals() {
        assert_eq!(parse_rating("4"), Ok(400));
        assert_eq!(parse_rating("4.25"), Ok(425));
        for text in ["", "-1", "5.01", "4.255", "NaN", "1e1000", "4,5"] {
            assert!(parse_rating(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_words_are_looked_for_as_the_tier_says() {
        for (search, tier, is_in) in [
            ("web rust", Tier::Title, false),
            ("web rust", Tier::Text, true),
            ("RUST rust", Tier::Title, true),
            ("rus", Tier::Text, false),
            ("rus we", Tier::Begins, true),
            ("rus x", Tier::Begins, false),
            ("!", Tier::Begins, false),
        ] {
            let found = Words::of(search).are_in("Advanced Rust", "for the Web", tier);
            assert_eq!(found, is_in, "{search}, {tier}");
        }
    }

    #[test]
    fn small_letters_are_the_same_wherever_they_stand() {
        // A Σ that ends a word, and a Kelvin.
        for (search, title) in
            [("οδός", "ΟΔΌΣ"), ("ΣΟΦΌΣ", "ο Σοφός"), ("kelvin", "300 \u{212a}elvin")]
        {
            assert!(Words::of(search).are_in(title, "", Tier::Title), "{title}");
            assert!(Words::of(search).are_in("", title, Tier::Text), "{title}");
        }
        let cut_at_sigma = format!("{}ΣΑ", "x".repeat(39));
        assert!(Words::of(&cut_at_sigma).are_in(&cut_at_sigma, "", Tier::Title));
    }

    #[test]
    fn words_are_letters_and_digits() {
        for (text, words) in [
            ("Rust for the Web", &["rust", "for", "the", "web"][..]),
            ("  C++ & C#  ", &["c", "c"]),
            ("\"title\": NOT (x*) OR 'drop'; --", &["title", "not", "x", "or", "drop"]),
            ("Économie 101", &["économie", "101"]),
            ("!?", &[]),
            ("a b c d e f g h i j", &["a", "b", "c", "d", "e", "f", "g", "h"]),
        ] {
            assert_eq!(Words::of(text).as_slice(), words, "{text}");
        }
        assert_eq!(Words::of(&"x".repeat(99)).as_slice(), ["x".repeat(40)]);
    }
}
