//! What students watch: its price, and who shares in it.

use serde::{Deserialize, Serialize};

use crate::{
    id::{CourseId, UserId},
    money::{BasisPoints, Currency, Money},
    time::Timestamp,
};

/// The highest price of a minute: with it, price × watched time of a day still fits 64 bits, so
/// the databases can check a cost by themselves.
pub const PRICE_MAX: Money = Money::from_micros(100_000_000_000);

/// Somebody beside teacher and platform who gets a part of each payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A course with what metering needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub id: CourseId,
    pub teacher_id: UserId,
    pub title: String,
    pub price_per_minute: Money,
    pub currency: Currency,
    pub split: Split,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
