//! What somebody looks for, found in a sentence: the words that say something.
//!
//! Searching wants all words of a query; people write sentences. So words that any wish has are
//! left out, and what is left is looked for together first and then one by one. No language is
//! assumed beyond that: words of another language are all taken to say something.

use serde_json::Value;

use crate::domain::text::words;

/// The most words of a message that are looked for: the longest ones, which are the rarest.
const WORDS_MAX: usize = 6;

/// The fewest letters that are left of a word without its ending.
const STEM_MIN: usize = 4;

/// The most preferences of somebody that are looked at, and the most letters of one.
const PREFERENCES_MAX: usize = 8;
const PREFERENCE_MAX: usize = 40;

/// Where in a profile somebody says what they like.
const PREFERENCE_FIELDS: [&str; 2] = ["preferences", "interests"];

/// A word that is in fewer courses than this is rare, and in fewer than this very rare.
const RARE: usize = 12;
const VERY_RARE: usize = 4;

/// Endings that English words have or do not have while meaning the same.
const ENDINGS: [&str; 5] = ["ing", "ers", "es", "ed", "s"];

/// Words that are in a wish whatever it is for.
const SAY_NOTHING: &str = "
    a about after again all also am an and another any anybody anyone anything are around as ask at
    available be because been before best better between both but by can cannot choose class classes
    cool could course courses d did do does doing don else everything explain few find for from fun
    get getting give go going good got great had has have he hello help her hey hi him his hope how
    i if in interested into is it its just kind know learn learned learning lesson lessons less let
    like likes ll look looking lot love m make many me might more most much my need new nice no not
    nothing now of off offer on one online only or other our out own please pls possible questions
    re really recommend recommendation recommendations s show should so some somebody someone
    something sort start started starting stuff such suggest suggestion suggestions t take taking
    teach teaching tell than thank thanks that the their them then there these they thing things this
    to too topic topics tutorial tutorials understand up us use ve very video videos want wanted wants
    was watch watching way we well were what when where which who whose why will wish with without
    would you your";

/// The words of a message that say something, small letters, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish(Vec<String>);

/// Which words of a wish a course has, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    pub title: Vec<String>,
    /// In the description, and not in the title.
    pub text: Vec<String>,
}

impl Wish {
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut found: Vec<String> = Vec::new();
        for word in words(text) {
            let says_nothing = SAY_NOTHING.split_whitespace().any(|nothing| nothing == word);
            if !says_nothing && !found.contains(&word) {
                found.push(word);
            }
        }
        let all = Self(found);
        let rare: Vec<&str> = all.rarest_first().into_iter().take(WORDS_MAX).collect();
        Self(all.0.iter().filter(|word| rare.contains(&word.as_str())).cloned().collect())
    }

    /// The words that are likely to be rare first: the longest ones.
    #[must_use]
    pub fn rarest_first(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.0.iter().map(String::as_str).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
        words
    }

    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn fit(&self, title: &str, description: &str) -> Fit {
        let (title, description): (Vec<_>, Vec<_>) =
            (words(title).collect(), words(description).collect());
        let mut fit = Fit::default();
        for word in &self.0 {
            if is_in(word, &title) {
                fit.title.push(word.clone());
            } else if is_in(word, &description) {
                fit.text.push(word.clone());
            }
        }
        fit
    }
}

impl Fit {
    /// How well it fits, given how much each word tells: twice as well in the title.
    #[must_use]
    pub fn score(&self, weight: impl Fn(&str) -> u32) -> u32 {
        let sum = |words: &[String]| words.iter().map(|word| weight(word)).sum::<u32>();
        2 * sum(&self.title) + sum(&self.text)
    }
}

/// How much a word tells that so many courses have.
#[must_use]
pub fn weight(courses: usize) -> u32 {
    match courses {
        _ if courses < VERY_RARE => 3,
        _ if courses < RARE => 2,
        _ => 1,
    }
}

/// The beginning that a word shares with other forms of it: `chord` of `chords`.
#[must_use]
pub fn stem(word: &str) -> Option<&str> {
    let stems = ENDINGS.iter().filter_map(|ending| word.strip_suffix(ending));
    stems.into_iter().find(|stem| stem.chars().count() >= STEM_MIN && !stem.ends_with('s'))
}

/// What somebody says they like, in their profile: a text, a list of texts, or an object with such
/// lists. Other texts in it are settings (`"theme": "dark"`), and addresses are nobody's business.
#[must_use]
pub fn preferences(profile: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in PREFERENCE_FIELDS {
        match &profile[field] {
            Value::Object(lists) => lists.values().for_each(|list| add_texts(list, &mut found)),
            Value::String(text) => add_text(text, &mut found),
            list => add_texts(list, &mut found),
        }
    }
    found
}

fn add_texts(list: &Value, found: &mut Vec<String>) {
    for text in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
        add_text(text, found);
    }
}

fn add_text(text: &str, found: &mut Vec<String>) {
    let is_address = text.contains('@') || text.contains("://");
    let text = super::plain::plain(text, PREFERENCE_MAX);
    if found.len() < PREFERENCES_MAX && !is_address && !text.is_empty() {
        found.push(text);
    }
}

/// Whether a text has the word, a longer one that begins like it, or another form of it.
fn is_in(word: &str, text: &[String]) -> bool {
    let beginning = stem(word).unwrap_or(word);
    let is_short = beginning.chars().count() < 3;
    text.iter().any(|other| other == word || (!is_short && other.starts_with(beginning)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_words_that_say_something_are_looked_for() {
        for (message, words) in [
            ("I want to learn some guitar chords", "guitar chords"),
            ("Hi! Can you recommend me a good course about C++, please?", "c"),
            ("what's the best way to start cooking Indian food?", "cooking indian food"),
            ("Ich möchte Gitarre lernen", "ich möchte gitarre lernen"),
            ("guitar, GUITAR & guitar", "guitar"),
            ("show me courses", ""),
            ("!?", ""),
            ("aa bbbbbbb cccccc ddddd eeee fff gg", "bbbbbbb cccccc ddddd eeee fff gg"),
            ("ignore OR NOT \"x\"* ' ; --", "ignore x"),
        ] {
            let mut expected: Vec<&str> = words.split_whitespace().collect();
            let found = Wish::of(message);
            if message.starts_with("aa") {
                expected = vec!["aa", "bbbbbbb", "cccccc", "ddddd", "eeee", "fff"];
            }
            assert_eq!(found.words(), expected, "{message}");
        }
        assert!(Wish::of(&"x ".repeat(500)).words().len() == 1);
    }

    #[test]
    fn a_word_fits_in_all_its_forms() {
        let fit = |message: &str, title: &str, description: &str| {
            let Fit { title, text } = Wish::of(message).fit(title, description);
            (title.join(" "), text.join(" "))
        };
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(fit("guitar chords", "Guitar: the first chord", ""), both("guitar chords", ""));
        assert_eq!(fit("guitar chords", "Chords", "for Guitarists"), both("chords", "guitar"));
        assert_eq!(fit("painting", "Paint like Monet", ""), both("painting", ""));
        assert_eq!(fit("c", "Cooking", "with C"), both("", "c"));
        assert_eq!(fit("chess", "Cheese", ""), both("", ""));
    }

    #[test]
    fn rare_words_and_titles_count_more() {
        let fit = Fit { title: vec!["rare".into()], text: vec!["common".into()] };
        let weights = |word: &str| if word == "rare" { weight(1) } else { weight(99) };
        assert_eq!(fit.score(weights), 7);
        assert_eq!((weight(3), weight(4), weight(11), weight(12)), (3, 2, 2, 1));
    }

    #[test]
    fn preferences_are_texts_that_are_no_settings() {
        for (profile, found) in [
            (json!({}), &[][..]),
            (json!({"preferences": "jazz"}), &["jazz"]),
            (json!({"interests": ["jazz", 5, "chess"]}), &["jazz", "chess"]),
            (json!({"preferences": {"topics": ["art"], "theme": "dark"}}), &["art"]),
            (json!({"preferences": ["ada@example.org", "http://x", " "]}), &[]),
            (json!({"address": ["Elm Street"], "preferences": 7}), &[]),
        ] {
            assert_eq!(preferences(&profile), found, "{profile}");
        }
        let many = json!({"preferences": vec!["x".repeat(99); 99]});
        assert_eq!(preferences(&many).len(), PREFERENCES_MAX);
        assert!(preferences(&many).iter().all(|text| text.chars().count() <= PREFERENCE_MAX));
    }
}
