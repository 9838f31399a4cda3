//! How the cost of a session is divided: exactly, to the last micro-unit.

use crate::{
    domain::course::Split,
    money::{BasisPoints, Money},
};

/// Who gets what of one payment. The shares always sum to the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    pub teacher: Money,
    pub platform: Money,
    /// In the order of [`Split::partners`].
    pub partners: Vec<Money>,
}

/// Divides `payment`: each named share is rounded down, what is left over goes to the teacher.
///
/// # Panics
/// If the shares come to more than the whole: [`Split::is_possible`] was not asked.
#[must_use]
pub fn divide(payment: Money, split: &Split) -> Shares {
    let platform = part(payment, split.platform);
    let partners: Vec<Money> =
        split.partners.iter().map(|partner| part(payment, partner.basis_points)).collect();
    let teacher = teachers_share(payment, split);
    assert!(!teacher.is_negative(), "the shares of a split come to at most the whole");
    Shares { teacher, platform, partners }
}

/// The teacher's share of `payment`, as [`divide`] has it, without naming the others'.
#[must_use]
pub fn teachers_share(payment: Money, split: &Split) -> Money {
    let partners = split.partners.iter().map(|partner| part(payment, partner.basis_points));
    payment - part(payment, split.platform) - partners.sum()
}

fn part(payment: Money, share: BasisPoints) -> Money {
    let exact =
        i128::from(payment.micros()) * i128::from(share.points()) / i128::from(BasisPoints::WHOLE);
    Money::from_micros(i64::try_from(exact).expect("a part is no more than the whole"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::course::Partner;

    #[test]
    fn sixty_thirty_ten() {
        let split = Split {
            platform: BasisPoints::new(3_000).unwrap(),
            partners: vec![Partner {
                name: "museum".into(),
                basis_points: BasisPoints::new(1_000).unwrap(),
            }],
        };
        let shares = divide(Money::from_micros(101), &split);
        assert_eq!(shares.platform.micros(), 30);
        assert_eq!(shares.partners, [Money::from_micros(10)]);
        assert_eq!(shares.teacher.micros(), 61, "what is left over is the teacher's");
    }

    proptest! {
        /// Shares always sum to the payment, and none is negative.
        #[test]
        fn nothing_is_lost_or_made(
            payment in 0..i64::MAX, platform in 0..=5_000_u16,
            partners in prop::collection::vec(0..=1_000_u16, 0..5),
        ) {
            let partners = partners.into_iter().enumerate().map(|(n, points)| Partner {
                name: n.to_string(), basis_points: BasisPoints::new(points).unwrap(),
            });
            let split = Split {
                platform: BasisPoints::new(platform).unwrap(), partners: partners.collect(),
            };
            prop_assert!(split.is_possible());
            let payment = Money::from_micros(payment);
            let shares = divide(payment, &split);
            let sum = shares.teacher + shares.platform + shares.partners.iter().copied().sum();
            prop_assert_eq!(sum, payment);
            prop_assert!(!shares.platform.is_negative() && !shares.teacher.is_negative());
        }
    }
}
