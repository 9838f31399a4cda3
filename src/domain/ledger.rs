//! The ledger's nouns: accounts, transfers, journals; and the operations there are.
//!
//! What an operation does to them stands in [`super::books`].

use std::time::Duration;

use crate::{
    domain::{
        earnings::Earning,
        session::{EndReason, Session},
        stretch::Stretch,
    },
    id::{AccountId, PayoutId, SessionId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

super::word_enum! {
    AccountKind {
        Wallet = "wallet",
        Earnings = "earnings",
        Platform = "platform",
        Partner = "partner",
        /// The world outside: what came in is owed to it, so it may be below zero.
        Gateway = "gateway",
    }
}

super::word_enum! {
    JournalKind {
        Settle = "settle",
        TopUp = "top_up",
        Payout = "payout",
        QualityBonus = "quality_bonus",
        Reversal = "reversal",
    }
}

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Wallet(UserId),
    Earnings(UserId),
    Platform,
    Partner(String),
    Gateway(String),
}

impl Owner {
    #[must_use]
    pub fn kind(&self) -> AccountKind {
        match self {
            Self::Wallet(_) => AccountKind::Wallet,
            Self::Earnings(_) => AccountKind::Earnings,
            Self::Platform => AccountKind::Platform,
            Self::Partner(_) => AccountKind::Partner,
            Self::Gateway(_) => AccountKind::Gateway,
        }
    }

    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Wallet(user) | Self::Earnings(user) => Some(*user),
            _ => None,
        }
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Partner(name) | Self::Gateway(name) => Some(name),
            _ => None,
        }
    }

    /// The id of this owner's account in `currency`.
    #[must_use]
    pub fn account(&self, currency: Currency) -> AccountId {
        let owner = match self.user() {
            Some(user) => user.to_string(),
            None => self.name().unwrap_or_default().to_owned(),
        };
        AccountId::derive(self.kind().as_str(), &owner, currency)
    }
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub owner: Owner,
    pub currency: Currency,
    /// What it owns.
    pub posted: Money,
    /// What of that open sessions reserve.
    pub held: Money,
}

impl Account {
    #[must_use]
    pub fn new(owner: Owner, currency: Currency) -> Self {
        let id = owner.account(currency);
        Self { id, owner, currency, posted: Money::ZERO, held: Money::ZERO }
    }

    #[must_use]
    pub fn available(&self) -> Money {
        self.posted - self.held
    }
}

/// Money from one account to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub debit: AccountId,
    pub credit: AccountId,
    pub currency: Currency,
    pub amount: Money,
}

/// Something that happened to money, once: its id says what, so it cannot happen again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    pub id: String,
    pub kind: JournalKind,
    /// Who asked for it; nobody if it was Murph itself.
    pub actor: Option<UserId>,
    pub at: Timestamp,
    pub transfers: Vec<Transfer>,
}

/// The id of the journal that settles `session`.
#[must_use]
pub fn settle_id(session: SessionId) -> String {
    format!("settle:{}", session.uuid().simple())
}

/// The session that `journal_id` settles, if it settles one.
#[must_use]
pub fn settled_session(journal_id: &str) -> Option<SessionId> {
    session_in(journal_id, "settle:")
}

/// The id of the journal that credits a gateway's payment.
#[must_use]
pub fn top_up_id(provider: &str, payment: &str) -> String {
    format!("top_up:{provider}:{payment}")
}

/// The id of the journal that pays out.
#[must_use]
pub fn payout_id(payout: PayoutId) -> String {
    format!("payout:{}", payout.uuid().simple())
}

/// The id of the journal that pays the bonus for the review of `session`.
#[must_use]
pub fn bonus_id(session: SessionId) -> String {
    format!("quality_bonus:{}", session.uuid().simple())
}

/// The session whose review `journal_id` pays a bonus for, if it does.
#[must_use]
pub fn rewarded_session(journal_id: &str) -> Option<SessionId> {
    session_in(journal_id, "quality_bonus:")
}

fn session_in(journal_id: &str, prefix: &str) -> Option<SessionId> {
    let session = journal_id.strip_prefix(prefix)?.parse::<uuid::fmt::Simple>().ok()?;
    Some(SessionId::from_uuid(session.into_uuid()))
}

/// One operation on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Start(Start),
    Extend(Extend),
    Settle(Settle),
    Post(Post),
}

/// Open a session and hold funds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// As it is to be, with nothing held yet.
    pub session: Session,
    /// What to hold, if the wallet and the spending cap allow so much.
    pub lock_amount: Money,
    /// What the hold must buy at least.
    pub min_watch: Duration,
    /// The student's name for the request, if it has one: there is one session for each.
    pub once: Option<Once>,
}

/// The client's name for a request that is to be done once, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub key: String,
    pub request_hash: [u8; 32],
}

/// Grow the hold of an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extend {
    /// As the caller last saw it; its fence says in whose name the caller speaks.
    pub session: Session,
    pub amount: Money,
    /// Take less if there is not so much; otherwise it is all or nothing.
    pub or_less: bool,
}

/// End a session: charge it, pay everybody, free the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// As the caller last saw it; its fence says in whose name the caller speaks.
    pub session: Session,
    pub watched: Duration,
    /// What that is made of, with what was not charged.
    pub stretches: Vec<Stretch>,
    pub reason: EndReason,
    pub actor: Option<UserId>,
    pub at: Timestamp,
}

/// Move money by a journal that was made elsewhere: a top-up, a payout, a bonus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub journal: Journal,
    /// The accounts it touches, which are opened if they are new.
    pub owners: Vec<(Owner, Currency)>,
    /// The most a wallet may own afterwards.
    pub wallet_max: Money,
    /// What a teacher earns by it, if that is what it is for.
    pub earning: Option<Earning>,
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Started(Session),
    Extended(Session),
    Settled(Settled),
    Posted,
}

/// A settled session, and whether it was this call that settled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub session: Session,
    pub by_this_call: bool,
}

/// Why an operation changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    InsufficientFunds {
        required: Money,
        available: Money,
    },
    NoWallet,
    SessionActive(SessionId),
    SessionEnded,
    NoSession,
    /// The session has changed hands since the caller last saw it.
    Fenced,
    OutOfRange(&'static str),
}
