//! Discovery: what somebody asks for in words of their own, and the courses that fit it.
//!
//! * [`wish`]: the words of a message that say something, and how well they fit a course.
//! * [`budget`]: what somebody wants to pay at most.
//! * [`reason`]: why a course is named, and what is said when no model says it.
//! * [`believe`]: what may be taken from a model's answer, which nobody trusts.
//! * [`plain`]: text without markup, links and tricks.
//!
//! Whoever answers, a course is known here by its id alone: titles and prices come from the
//! database, when the answer is shown.

pub mod believe;
pub mod budget;
pub mod plain;
pub mod reason;
pub mod wish;

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChatId, CourseId, UserId},
    money::Money,
    time::Timestamp,
};

/// The longest message, in characters.
pub const MESSAGE_MAX: usize = 500;

/// The most courses that one answer names.
pub const PICKS_MAX: usize = 5;

/// The longest answer, and the longest reason for one course, in characters.
pub const REPLY_MAX: usize = 600;
pub const WHY_MAX: usize = 200;

/// Prices of models are for so many tokens.
const PRICED_TOKENS: u128 = 1_000_000;

super::word_enum! {
    /// Who answers. All but the first are models of others, asked over the network.
    Provider {
        /// Search and sentences of our own: always there.
        BuiltIn = "built_in",
        OpenAi = "openai",
        Anthropic = "anthropic",
        Gemini = "gemini",
        Groq = "groq",
    }
}

/// One message and the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: ChatId,
    pub user_id: UserId,
    pub message: String,
    pub reply: String,
    pub picks: Vec<Pick>,
    /// Whose answer it is.
    pub provider: Provider,
    /// What models took for it, also if their answer could not be used.
    pub tokens: Tokens,
    pub cost: Money,
    pub created_at: Timestamp,
}

/// A course that is named in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pick {
    pub course_id: CourseId,
    pub why: String,
}

/// What a model read and wrote, as it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
}

/// What a million tokens cost, in whatever the provider bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    pub input: Money,
    pub output: Money,
}

impl Tokens {
    /// Together with `others`.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self {
            input: self.input.saturating_add(others.input),
            output: self.output.saturating_add(others.output),
        }
    }

    /// No more than `most` of each.
    #[must_use]
    pub fn bounded(self, most: u64) -> Self {
        Self { input: self.input.min(most), output: self.output.min(most) }
    }

    /// Rounded up: what others will bill is not made smaller.
    #[must_use]
    pub fn cost(self, prices: TokenPrices) -> Money {
        let part = |tokens: u64, price: Money| {
            u128::from(tokens) * u128::from(price.micros().unsigned_abs())
        };
        let exact = part(self.input, prices.input) + part(self.output, prices.output);
        Money::from_micros(i64::try_from(exact.div_ceil(PRICED_TOKENS)).unwrap_or(i64::MAX))
    }
}

/// A message as it is kept: in one line, trimmed.
pub fn parse_message(text: &str) -> Result<String, String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if (1..=MESSAGE_MAX).contains(&length) && !line.chars().any(char::is_control) {
        Ok(line)
    } else {
        Err(format!("must have 1 to {MESSAGE_MAX} characters, and no control characters"))
    }
}

/// Words as people list them: `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("“{word}”")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        assert_eq!(parse_message("  some\n\tguitar  chords ").as_deref(), Ok("some guitar chords"));
        assert!(parse_message(&"é".repeat(MESSAGE_MAX)).is_ok());
        for wrong in ["", " \n ", "a\u{7}b", "\u{1b}[31mred", &"é".repeat(MESSAGE_MAX + 1)] {
            assert!(parse_message(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let prices =
            TokenPrices { input: Money::from_micros(150_000), output: Money::from_micros(600_000) };
        for (input, output, micros) in
            [(0, 0, 0), (1, 0, 1), (1_000_000, 1_000_000, 750_000), (1_200, 300, 360), (7, 7, 6)]
        {
            assert_eq!(Tokens { input, output }.cost(prices).micros(), micros);
        }
        let all = Tokens { input: u64::MAX, output: u64::MAX };
        assert_eq!(all.cost(prices).micros(), i64::MAX);
    }

    #[test]
    fn lists_read_like_lists() {
        let words = |words: &[&str]| listed(&words.iter().map(|&w| w.into()).collect::<Vec<_>>());
        assert_eq!(words(&[]), "");
        assert_eq!(words(&["a"]), "“a”");
        assert_eq!(words(&["a", "b", "c"]), "“a”, “b” and “c”");
    }
}
