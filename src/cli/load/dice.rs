//! Chance that can be repeated: the same seed and player give the same behaviour.

use std::time::Duration;

/// `SplitMix64`: small, fast, and good enough for who pauses when.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of the `nth` player.
    pub(super) fn new(seed: u64, nth: usize) -> Self {
        let nth = u64::try_from(nth).unwrap_or(u64::MAX);
        let mut dice = Self(seed ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.roll()) * u128::from(bound);
        u64::try_from(scaled >> 64).expect("the upper half has 64 bits")
    }

    pub(super) fn is_among(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }

    pub(super) fn span(&mut self, min: Duration, max: Duration) -> Duration {
        let width = max.saturating_sub(min).as_micros();
        min + Duration::from_micros(self.below(u64::try_from(width).unwrap_or(u64::MAX)))
    }

    /// `span`, or up to a tenth more or less: so that not all players speak at once.
    pub(super) fn about(&mut self, span: Duration) -> Duration {
        self.span(span * 9 / 10, span * 11 / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_differ_and_repeat_themselves() {
        let rolls = |nth| {
            let mut dice = Dice::new(7, nth);
            [dice.below(1_000), dice.below(1_000), dice.below(1_000)]
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
    }

    #[test]
    fn a_percentage_is_about_met_and_spans_keep_their_bounds() {
        let mut dice = Dice::new(1, 0);
        let hits = (0..10_000).filter(|_| dice.is_among(20)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        let (min, max) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!((0..1_000).all(|_| (min..=max).contains(&dice.span(min, max))));
        assert_eq!(dice.below(0), 0);
        assert!(!dice.is_among(0) && dice.is_among(100));
    }
}
