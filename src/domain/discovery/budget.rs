//! What somebody wants to pay at most, found in a sentence: `under 0.50 a minute`, `at most €2`.
//!
//! Only what speaks of money: `under 10 minutes` and `up to level 5` are about something else, and
//! a limit that nobody meant hides courses. English alone; whatever is not understood limits nothing.

use crate::money::{Currency, Money};

/// Signs that stand for one currency, or are mostly used for it.
const SIGNS: [(char, &str); 4] = [('$', "USD"), ('€', "EUR"), ('£', "GBP"), ('₹', "INR")];

/// What may stand around a word.
const PUNCTUATION: &str = ",;:!?.()\"";

/// The most that a minute may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub at_most: Money,
    pub currency: Currency,
}

impl Budget {
    /// The first budget in `message`, and the message without it. Where no currency is named, it is
    /// the first of those there are.
    #[must_use]
    pub fn split(message: &str, currencies: &[Currency]) -> (Option<Self>, String) {
        let spaced = message.replace('/', " per ").to_lowercase();
        let words = spaced.split_whitespace();
        let words: Vec<&str> =
            words.map(|word| word.trim_matches(|c: char| PUNCTUATION.contains(c))).collect();
        for at in 0..words.len() {
            if let Some((budget, rest)) = Self::read(&words[at..], currencies) {
                return (Some(budget), [&words[..at], rest].concat().join(" "));
            }
        }
        (None, message.to_owned())
    }

    /// The budget that begins here, and what is behind it.
    fn read<'a, 'b>(
        words: &'a [&'b str],
        currencies: &[Currency],
    ) -> Option<(Self, &'a [&'b str])> {
        let (is_less, rest) = match words {
            ["under" | "below", rest @ ..] | ["less" | "cheaper", "than", rest @ ..] => {
                (true, rest)
            }
            ["at", "most", rest @ ..] | ["up", "to", rest @ ..] => (false, rest),
            _ => return None,
        };
        let known = |code: &str| currencies.iter().find(|known| known.as_str() == code).copied();
        let (amount, rest) = rest.split_first()?;
        let sign = SIGNS.iter().find(|(sign, _)| amount.contains(*sign));
        let amount = sign.map_or(*amount, |(sign, _)| amount.trim_matches(*sign));
        let amount: Money = amount.parse().ok()?;
        let code = rest.first().and_then(|word| known(&word.to_uppercase()));
        let rest = if code.is_some() { &rest[1..] } else { rest };
        let (is_a_price, rest) = match rest {
            ["a" | "per" | "each", "minute" | "min", rest @ ..] => (true, rest),
            _ => (code.is_some() || sign.is_some(), rest),
        };
        let currency = match (code, sign) {
            (Some(code), _) => code,
            (None, Some((_, code))) => known(code)?,
            (None, None) => *currencies.first()?,
        };
        let at_most = if is_less { amount.checked_sub(Money::from_micros(1))? } else { amount };
        (is_a_price && !at_most.is_negative()).then_some((Self { at_most, currency }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(message: &str) -> (Option<String>, String) {
        let currencies = ["USD", "EUR"].map(|code| code.parse().unwrap());
        let (budget, rest) = Budget::split(message, &currencies);
        (budget.map(|it| format!("{} {}", it.at_most, it.currency)), rest)
    }

    #[test]
    fn a_limit_on_the_price_is_understood() {
        for (message, budget, rest) in [
            ("guitar under 0.50 a minute", "0.499999 USD", "guitar"),
            ("Guitar, at most 0.50 per minute, please!", "0.50 USD", "guitar please"),
            ("jazz cheaper than 2/min.", "1.999999 USD", "jazz"),
            ("up to 1.5 EUR", "1.50 EUR", ""),
            ("below €2 chess", "1.999999 EUR", "chess"),
            ("less than 3 usd each minute for chess", "2.999999 USD", "for chess"),
            ("under 10 minutes, at most $1", "1.00 USD", "under 10 minutes"),
        ] {
            assert_eq!(split(message), (Some(budget.to_owned()), rest.to_owned()), "{message}");
        }
    }

    #[test]
    fn what_is_no_limit_on_the_price_is_left_as_it_is() {
        for message in [
            "Guitar",
            "chess in under 10 minutes",
            "up to level 5",
            "at most",
            "under",
            "under £2",
            "under 0 a minute",
            "at most -1 a minute",
            "under 0.0000001 a minute",
            "under 1e999 a minute",
            "under water a minute",
            "more than 5 a minute",
        ] {
            assert_eq!(split(message), (None, message.to_owned()));
        }
    }
}
