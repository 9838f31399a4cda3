//! How watching becomes money.

use std::time::Duration;

use crate::money::Money;

/// The longest a session can be watched; a longer one is ended before.
pub const WATCHED_MAX: Duration = Duration::from_hours(24);

/// What `watched` costs at `price_per_minute`: rounded down, never more than `held`.
///
/// Takes the whole watched time, not one tick, so rounding cannot add up over a session.
#[must_use]
pub fn cost(price_per_minute: Money, watched: Duration, held: Money) -> Money {
    let price = u128::try_from(price_per_minute.micros()).expect("a price is not negative");
    let exact = price * watched.as_millis() / 60_000;
    i64::try_from(exact).map_or(held, |micros| Money::from_micros(micros).min(held))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn costs_by_the_minute_rounded_down() {
        for (price, seconds, held, cost_is) in [
            ("0.50", 923, "30.00", "7.691666"),
            ("0.50", 300, "30.00", "2.50"),
            ("1.00", 5, "30.00", "0.083333"),
            ("0.000001", 59, "30.00", "0.00"),
            ("0.000001", 60, "30.00", "0.000001"),
            ("1.50", 1_200, "30.00", "30.00"),
            ("1.50", 7_200, "30.00", "30.00"),
            ("0.00", 7_200, "0.00", "0.00"),
        ] {
            let cost = cost(money(price), Duration::from_secs(seconds), money(held));
            assert_eq!(cost, money(cost_is), "{price} × {seconds} s of {held}");
        }
    }

    proptest! {
        /// More watching never costs less, and nothing ever costs more than the hold.
        #[test]
        fn cost_grows_with_time_up_to_the_hold(
            price in 0..=100_000_000_000_i64, watched in 0..86_400_000_u64, more in 0..86_400_000_u64,
            held in 0..1_000_000_000_000_i64,
        ) {
            let held = Money::from_micros(held);
            let price = Money::from_micros(price);
            let less = cost(price, Duration::from_millis(watched), held);
            let greater = cost(price, Duration::from_millis(watched + more), held);
            prop_assert!(less <= greater && greater <= held && !less.is_negative());
        }
    }
}
