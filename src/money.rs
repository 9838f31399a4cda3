//! Money: whole micro-units of a currency, exact from the request to the ledger and back.
//!
//! [`Money`] is an `i64` of 10⁻⁶ units. It is parsed and printed through `rust_decimal`, never
//! through a float. Its operators panic on overflow, because a sum that does not fit is a broken
//! invariant; where a shortfall or an excess is an expected answer, use the `checked_` methods.

use std::{fmt, iter::Sum, ops, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, de};

/// Decimals that a micro-unit has room for.
const SCALE: u32 = 6;

/// The largest amount anybody may name: a thousand million units.
///
/// Far below what an `i64` holds (9.2 million million units), so that sums of many such amounts
/// still fit.
pub const AMOUNT_MAX: Money = Money(1_000_000_000_000_000);

/// The longest text that is looked at as an amount; honest ones have at most 18 characters.
const TEXT_MAX: usize = 40;

/// Digits that are read without rounding.
const DIGITS_MAX: usize = 28;

/// An amount of some currency in micro-units. May be negative: a gateway's account is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("has more than six decimals")]
    TooManyDecimals,
    #[error("is out of range")]
    OutOfRange,
}

impl Money {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.checked_add(other).expect("a sum of money fits 64 bits")
    }
}

impl ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.checked_sub(other).expect("a difference of money fits 64 bits")
    }
}

impl ops::Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, ops::Add::add)
    }
}

/// At least two decimals, at most six: `7.69`, `0.083333`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, because every tick to every player prints three of them.
        const UNIT: u64 = 10_u64.pow(SCALE);
        let micros = self.0.unsigned_abs();
        let (whole, mut fraction, mut digits) = (micros / UNIT, micros % UNIT, 6);
        while digits > 2 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{fraction:0digits$}")
    }
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(ParseMoneyError::NotANumber);
        }
        // Signs, digits, one point and JSON's exponent: nothing else that a lenient parser may
        // take for a number, such as underscores.
        if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
            return Err(ParseMoneyError::NotANumber);
        }
        if text.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
            return Err(ParseMoneyError::OutOfRange);
        }
        let decimal = if text.contains(['e', 'E']) {
            Decimal::from_scientific(text)
        } else {
            Decimal::from_str_exact(text)
        };
        let mut decimal = decimal.map_err(|error| match error {
            rust_decimal::Error::Underflow => ParseMoneyError::TooManyDecimals,
            rust_decimal::Error::ErrorString(_) => ParseMoneyError::NotANumber,
            _ => ParseMoneyError::OutOfRange,
        })?;
        if decimal.normalize().scale() > SCALE {
            return Err(ParseMoneyError::TooManyDecimals);
        }
        decimal.rescale(SCALE);
        if decimal.scale() != SCALE {
            return Err(ParseMoneyError::OutOfRange);
        }
        i64::try_from(decimal.mantissa()).map(Self).map_err(|_| ParseMoneyError::OutOfRange)
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From text, as in the configuration. What comes in over HTTP is an [`Amount`].
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|problem| de::Error::custom(format!("{text:?} {problem}")))
    }
}

/// A positive amount of at most [`AMOUNT_MAX`], as a client may name it.
///
/// Reads a JSON string or a JSON number, the latter from its digits as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(Money);

impl Amount {
    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

impl TryFrom<Money> for Amount {
    type Error = &'static str;

    fn try_from(money: Money) -> Result<Self, &'static str> {
        match money {
            money if !money.is_positive() => Err("must be above zero"),
            money if money > AMOUNT_MAX => Err("is out of range"),
            money => Ok(Self(money)),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(deserialize_exactly(deserializer)?).map_err(de::Error::custom)
    }
}

/// Reads a JSON string or a JSON number, the latter from its digits as they were sent.
pub fn deserialize_exactly<'de, D: de::Deserializer<'de>>(
    deserializer: D,
) -> Result<Money, D::Error> {
    let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
    let text = raw.get().trim();
    let money = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => inner.parse::<Money>(),
        None => text.parse(),
    };
    money.map_err(de::Error::custom)
}

/// A currency by its three letters. One ledger per currency; nothing is ever converted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is made of ASCII letters")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err("is not a currency code of three capital letters"),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A share in hundredths of a percent, from nothing to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BasisPoints(u16);

impl BasisPoints {
    pub const WHOLE: u16 = 10_000;

    /// `None` above 100 %.
    #[must_use]
    pub const fn new(points: u16) -> Option<Self> {
        if points <= Self::WHOLE { Some(Self(points)) } else { None }
    }

    #[must_use]
    pub const fn points(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for BasisPoints {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let points = u16::deserialize(deserializer)?;
        Self::new(points).ok_or_else(|| de::Error::custom("is over 100 % (10000 basis points)"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(json: &str) -> Result<Money, String> {
        serde_json::from_str::<Amount>(json).map(Amount::money).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_numbers_and_strings_exactly() {
        for (json, micros) in [
            ("30", 30_000_000),
            ("30.00", 30_000_000),
            ("\"0.000001\"", 1),
            ("0.1", 100_000),
            ("1e3", 1_000_000_000),
            ("1.5E-6", 0),
            ("\"123456789.123456\"", 123_456_789_123_456),
            ("1.10000000", 1_100_000),
        ] {
            match micros {
                0 => assert!(amount(json).is_err(), "{json}"),
                _ => assert_eq!(amount(json).map(Money::micros), Ok(micros), "{json}"),
            }
        }
    }

    proptest! {
        /// Printed by hand, as `rust_decimal` would print it.
        #[test]
        fn prints_as_decimals_do(micros in prop_oneof![any::<i64>(), -2_000_000..2_000_000_i64]) {
            let mut decimal = Decimal::new(micros, SCALE).normalize();
            if decimal.scale() < 2 {
                decimal.rescale(2);
            }
            prop_assert_eq!(Money::from_micros(micros).to_string(), decimal.to_string());
        }
    }

    #[test]
    fn refuses_what_is_not_a_positive_amount() {
        for json in [
            "0",
            "-1",
            "\"-0.01\"",
            "\"\"",
            "\" 1\"",
            "\"1 \"",
            "\"1,5\"",
            "\"1_000\"",
            "\"NaN\"",
            "\"inf\"",
            "\"0x10\"",
            "\"1e309\"",
            "1e309",
            "1e-7",
            "0.0000001",
            "\"1.2.3\"",
            "9999999999999999999999999999999999",
            "1000000000.000001",
            "true",
            "null",
            "[]",
            "{}",
            "\"٣\"",
            "\"1e99999999999999999999\"",
            "\"+\"",
            "\".\"",
            "\"--1\"",
            "\"1\\u0030\"",
        ] {
            assert!(amount(json).is_err(), "{json} was taken");
        }
    }

    #[test]
    fn prints_two_to_six_decimals() {
        for (micros, text) in [
            (0, "0.00"),
            (7_690_000, "7.69"),
            (83_333, "0.083333"),
            (-1_500_000, "-1.50"),
            (i64::MAX, "9223372036854.775807"),
        ] {
            assert_eq!(Money::from_micros(micros).to_string(), text);
        }
    }

    proptest! {
        /// What is printed is always read back as the same amount.
        #[test]
        fn print_and_parse_are_inverse(micros: i64) {
            let money = Money::from_micros(micros);
            prop_assert_eq!(money.to_string().parse(), Ok(money));
        }

        /// No text makes the parser panic.
        #[test]
        fn any_text_is_an_answer(text in "[-+0-9.eE_ ]{0,45}") {
            let _ = text.parse::<Money>();
        }
    }
}
