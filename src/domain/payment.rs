//! Money that comes in or goes out, and how it looks in somebody's history.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    id::{AccountId, PayoutId, SessionId, TopUpId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

super::word_enum! {
    /// How far a payment, or anything else in a history, has come.
    PaymentStatus {
        Pending = "pending",
        Completed = "completed",
        Failed = "failed",
    }
}

super::word_enum! {
    /// What an entry of a history is.
    TransactionType {
        /// Held for a session.
        Lock = "lock",
        /// What a session cost.
        Payment = "payment",
        /// What was held and not used.
        Refund = "refund",
        QualityBonus = "quality_bonus",
        TopUp = "top_up",
        Payout = "payout",
        /// A teacher's, or partner's, share of a session.
        Earning = "earning",
        /// The platform's share of a session.
        Fee = "fee",
        Reversal = "reversal",
    }
}

/// Money from a gateway into a wallet.
// Its owner sees it as it is serialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopUp {
    pub id: TopUpId,
    #[serde(skip)]
    pub user_id: UserId,
    #[serde(skip)]
    pub account_id: AccountId,
    pub currency: Currency,
    pub amount: Money,
    pub provider: String,
    #[serde(skip)]
    pub provider_payment_id: String,
    pub status: PaymentStatus,
    pub created_at: Timestamp,
}

/// Money from a teacher's earnings to a gateway.
// Its owner sees it as it is serialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Payout {
    pub id: PayoutId,
    #[serde(skip)]
    pub user_id: UserId,
    #[serde(skip)]
    pub account_id: AccountId,
    pub currency: Currency,
    pub amount: Money,
    pub provider: String,
    pub status: PaymentStatus,
    pub created_at: Timestamp,
}

/// One entry of an account's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub kind: TransactionType,
    pub status: PaymentStatus,
    pub amount: Money,
    pub currency: Currency,
    pub session_id: Option<SessionId>,
    /// With `kind`, what tells it from all others: a journal's id, or the hexadecimal id of the
    /// session, top-up or payout it comes from.
    pub reference: String,
    pub at: Timestamp,
}
