//! Payment gateways: where money comes in and goes out.
//!
//! An enum over backends, matched here and nowhere else.

use crate::{
    config,
    domain::payment::PaymentStatus,
    id::{PayoutId, TopUpId},
    money::{Currency, Money},
};

/// The gateway this Murph works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// Play money: everything completes at once. Refused in production.
    Sandbox,
}

/// What a gateway says to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The gateway's own id of it.
    pub id: String,
    pub status: PaymentStatus,
}

impl Gateway {
    /// `None` if none is configured: money then neither comes in nor goes out.
    #[must_use]
    pub fn from_config(settings: &config::Payments) -> Option<Self> {
        match settings.gateway {
            config::GatewayKind::None => None,
            config::GatewayKind::Sandbox => Some(Self::Sandbox),
        }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
        }
    }

    /// Asks for money. The same id never asks twice.
    #[must_use]
    pub fn collect(&self, top_up: TopUpId, _amount: Money, _currency: Currency) -> Payment {
        match self {
            Self::Sandbox => Payment {
                id: format!("pay_{}", top_up.uuid().simple()),
                status: PaymentStatus::Completed,
            },
        }
    }

    /// Sends money. The same id never sends twice.
    #[must_use]
    pub fn send(&self, payout: PayoutId, _amount: Money, _currency: Currency) -> Payment {
        match self {
            Self::Sandbox => Payment {
                id: format!("out_{}", payout.uuid().simple()),
                status: PaymentStatus::Completed,
            },
        }
    }
}
