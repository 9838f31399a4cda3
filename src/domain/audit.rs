//! The ledger's invariants, as `murph check-ledger` reports on them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{id::AccountId, money::Money};

/// The invariants that are checked, with what each says.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("I1", "the balances of each currency sum to zero"),
    ("I2", "each balance is what was credited less what was debited"),
    ("I3", "what a wallet holds is the sum of its open sessions' holds"),
    ("I4", "what was paid out of a settled session is its cost"),
    ("I5", "no account but a gateway's has less than it holds"),
    ("I6", "a session has ended exactly if one journal settled it"),
    ("I9", "a session costs what its watched time costs, and at most its hold"),
    ("I11", "the journals, replayed in order, give the balances"),
    ("I12", "the sums of earnings and views are those of journals and sessions"),
    ("I13", "courses are rated as their reviews say, and bonuses are what was paid"),
];

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    pub invariant: &'static str,
    /// Which account, session, journal or currency.
    pub subject: String,
    pub problem: String,
}

/// What a check looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LedgerReport")]
pub struct Report {
    pub balanced: bool,
    pub accounts: i64,
    pub sessions: i64,
    pub journals: i64,
    pub transfers: i64,
    pub findings: Vec<Finding>,
}

/// The pure model the journals are replayed through: accounts begin empty, money only moves.
#[derive(Debug, Default)]
pub struct Replay {
    balances: BTreeMap<AccountId, i128>,
    pub transfers: i64,
}

impl Replay {
    /// Moves `amount`, as a journal says.
    pub fn transfer(&mut self, debit: AccountId, credit: AccountId, amount: Money) {
        *self.balances.entry(debit).or_default() -= i128::from(amount.micros());
        *self.balances.entry(credit).or_default() += i128::from(amount.micros());
        self.transfers += 1;
    }

    /// What an account must own by now, if the database says it owns `posted`.
    pub fn compare(&mut self, account: AccountId, posted: Money) -> Option<Finding> {
        let replayed = self.balances.remove(&account).unwrap_or_default();
        (replayed != i128::from(posted.micros())).then(|| Finding {
            invariant: "I11",
            subject: format!("account {account}"),
            problem: format!("owns {posted}, the journals give {replayed} micro-units"),
        })
    }

    /// Accounts that were moved money to or from, but do not exist.
    pub fn missing(&self) -> impl Iterator<Item = Finding> {
        self.balances.keys().map(|account| Finding {
            invariant: "I11",
            subject: format!("account {account}"),
            problem: "is named in transfers and does not exist".into(),
        })
    }
}
