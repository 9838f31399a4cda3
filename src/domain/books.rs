//! What every movement of money does to the ledger.
//!
//! [`Books`] are the accounts and sessions that a piece of work has in its hands. Operations are
//! applied to them one after the other, each whole or not at all; what they changed is written
//! down afterwards, in one transaction, by `service::ledger`. All money moves through here.
//!
//! # Invariants
//!
//! * Every transfer takes from one account what it gives to another, in one currency.
//! * No account but a gateway's ever has less than it holds.
//! * `held` of a wallet is the sum of the holds of its open sessions.
//! * A session is settled once; whoever comes later is told how.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use crate::{
    domain::{
        ledger::{
            Account, AccountKind, Done, Extend, Journal, JournalKind, Operation, Owner, Post,
            Refusal, Settle, Settled, Start, Transfer, settle_id,
        },
        meter,
        session::{Session, SessionStatus},
    },
    id::{AccountId, SessionId, UserId},
    money::{Currency, Money},
};

/// Accounts and sessions in hand, and what was done to them.
#[derive(Clone, Debug, Default)]
pub struct Books {
    accounts: BTreeMap<AccountId, Line>,
    /// The sessions that students have open.
    active: BTreeMap<UserId, SessionId>,
    sessions: BTreeMap<SessionId, Leaf>,
    journals: Vec<Journal>,
}

#[derive(Clone, Debug)]
struct Line {
    account: Account,
    before: Option<(Money, Money)>,
}

#[derive(Clone, Debug)]
struct Leaf {
    session: Session,
    is_new: bool,
    /// What it held when it came into our hands.
    held_before: Money,
    is_touched: bool,
}

/// A session that was extended or has ended.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    pub session: &'a Session,
    pub held_before: Money,
}

/// What changed in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    pub account: &'a Account,
    pub is_new: bool,
    pub posted: Money,
    pub held: Money,
}

impl Books {
    /// Takes in an account as the database has it.
    pub fn add_account(&mut self, account: Account, active_session: Option<SessionId>) {
        if let Some((student, session)) = account.owner.user().zip(active_session) {
            self.add_active(student, session);
        }
        let before = Some((account.posted, account.held));
        self.accounts.insert(account.id, Line { account, before });
    }

    /// Takes in that `student` has `session` open.
    pub fn add_active(&mut self, student: UserId, session: SessionId) {
        self.active.insert(student, session);
    }

    /// Takes in a session as it is, or is thought to be, in the database.
    pub fn add_session(&mut self, session: Session) {
        let held_before = session.held;
        let leaf = Leaf { session, is_new: false, held_before, is_touched: false };
        self.sessions.insert(leaf.session.id, leaf);
    }

    /// Opens the account of `owner` if it is not in hand: it is new.
    pub fn open_account(&mut self, owner: Owner, currency: Currency) {
        if let Entry::Vacant(vacant) = self.accounts.entry(owner.account(currency)) {
            let account = Account::new(owner, currency);
            vacant.insert(Line { account, before: None });
        }
    }

    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).map(|line| &line.account)
    }

    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(|leaf| &leaf.session)
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(|line| &line.account)
    }

    /// Accounts that are new or whose balance is not what it was.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.accounts.values().filter_map(|Line { account, before, .. }| {
            let (posted, held) = before.unwrap_or_default();
            let change = Change {
                account,
                is_new: before.is_none(),
                posted: account.posted - posted,
                held: account.held - held,
            };
            let moved = change.posted != Money::ZERO || change.held != Money::ZERO;
            (moved || change.is_new).then_some(change)
        })
    }

    /// Sessions that were opened.
    pub fn opened(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().filter(|leaf| leaf.is_new).map(|leaf| &leaf.session)
    }

    /// Sessions that were extended or have ended: those from the database, or those just opened.
    pub fn touched(&self, just_opened: bool) -> impl Iterator<Item = Touched<'_>> {
        let touched = self
            .sessions
            .values()
            .filter(move |leaf| leaf.is_touched && leaf.is_new == just_opened);
        // A new one is inserted with the hold it has by now.
        touched.map(|Leaf { session, held_before, is_new, .. }| Touched {
            session,
            held_before: if *is_new { session.held } else { *held_before },
        })
    }

    #[must_use]
    pub fn journals(&self) -> &[Journal] {
        &self.journals
    }

    /// Does one operation, whole or not at all.
    pub fn apply(&mut self, operation: Operation) -> Result<Done, Refusal> {
        match operation {
            Operation::Start(start) => self.start(start).map(Done::Started),
            Operation::Extend(extend) => self.extend(&extend).map(Done::Extended),
            Operation::Settle(settle) => self.settle(&settle).map(Done::Settled),
            Operation::Post(post) => self.post(post).map(|()| Done::Posted),
        }
    }

    fn start(&mut self, start: Start) -> Result<Session, Refusal> {
        let Start { mut session, lock_amount, min_watch } = start;
        assert_eq!(session.held, Money::ZERO, "nothing is held before the start");
        if let Some(active) = self.active.get(&session.student_id) {
            return Err(Refusal::SessionActive(*active));
        }
        if self.sessions.contains_key(&session.id) {
            return Err(Refusal::SessionActive(session.id));
        }
        if let Some(wallet) = session.wallet() {
            let line = self.accounts.get_mut(&wallet).ok_or(Refusal::NoWallet)?;
            session.held = hold_for(&session, lock_amount, min_watch, line.account.available())?;
            line.account.held += session.held;
        }
        self.active.insert(session.student_id, session.id);
        let held_before = session.held;
        let leaf = Leaf { session: session.clone(), is_new: true, held_before, is_touched: false };
        self.sessions.insert(session.id, leaf);
        Ok(session)
    }

    fn extend(&mut self, extend: &Extend) -> Result<Session, Refusal> {
        let leaf = self.sessions.get_mut(&extend.session.id).ok_or(Refusal::NoSession)?;
        let session = &mut leaf.session;
        if session.status != SessionStatus::Active {
            return Err(Refusal::SessionEnded);
        }
        if session.fence != extend.session.fence {
            return Err(Refusal::Fenced);
        }
        let wallet = session.wallet().ok_or(Refusal::OutOfRange("a free course holds nothing"))?;
        let line = self.accounts.get_mut(&wallet).expect("the wallet of a session is in hand");
        let available = line.account.available();
        let room = session.terms.spending_cap.map_or(Money::from_micros(i64::MAX), |cap| {
            cap.checked_sub(session.held).unwrap_or_default()
        });
        let amount =
            if extend.or_less { extend.amount.min(available).min(room) } else { extend.amount };
        if amount > room || room == Money::ZERO {
            return Err(Refusal::OutOfRange("it is above the session's spending cap"));
        }
        if amount > available || !amount.is_positive() {
            return Err(Refusal::InsufficientFunds { required: extend.amount, available });
        }
        line.account.held += amount;
        session.held += amount;
        leaf.is_touched = true;
        Ok(leaf.session.clone())
    }

    fn settle(&mut self, settle: &Settle) -> Result<Settled, Refusal> {
        let leaf = self.sessions.get_mut(&settle.session.id).ok_or(Refusal::NoSession)?;
        let session = &mut leaf.session;
        if session.status != SessionStatus::Active {
            return Ok(Settled { session: session.clone(), by_this_call: false });
        }
        if session.fence != settle.session.fence {
            return Err(Refusal::Fenced);
        }
        session.end(settle.watched, settle.reason, settle.at);
        let session = session.clone();
        leaf.is_touched = true;
        if self.active.get(&session.student_id) == Some(&session.id) {
            self.active.remove(&session.student_id);
        }
        self.pay(&session, settle.actor);
        Ok(Settled { session, by_this_call: true })
    }

    /// Writes the settlement journal of an ended session: everybody gets their share, and the
    /// hold is gone, with what was not used.
    fn pay(&mut self, session: &Session, actor: Option<UserId>) {
        let mut transfers = Vec::new();
        if let Some(wallet) = session.wallet() {
            let shares = session.shares();
            let amounts = [shares.teacher, shares.platform].into_iter().chain(shares.partners);
            for (payee, amount) in session.payees().zip(amounts) {
                if amount.is_positive() {
                    let currency = session.terms.currency;
                    let credit = payee.account(currency);
                    self.open_account(payee, currency);
                    self.balance(credit).posted += amount;
                    transfers.push(Transfer { debit: wallet, credit, currency, amount });
                }
            }
            let line = self.accounts.get_mut(&wallet).expect("the wallet of a session is in hand");
            line.account.held -= session.held;
            line.account.posted -= session.cost;
            assert!(!line.account.available().is_negative(), "a session costs at most its hold");
        }
        let ending = session.ending.expect("the session has ended");
        self.journals.push(Journal {
            id: settle_id(session.id),
            kind: JournalKind::Settle,
            actor,
            at: ending.at,
            transfers,
        });
    }

    fn post(&mut self, post: Post) -> Result<(), Refusal> {
        for (owner, currency) in post.owners {
            // A wallet is connected by its owner; every other account opens when first used.
            if owner.kind() != AccountKind::Wallet {
                self.open_account(owner, currency);
            }
        }
        // On a copy first: a later transfer may be refused when an earlier one was not.
        let mut after: BTreeMap<AccountId, Money> = BTreeMap::new();
        for Transfer { debit, credit, amount, .. } in &post.journal.transfers {
            assert!(amount.is_positive(), "a transfer moves something");
            let giver = self.account(*debit).ok_or(Refusal::NoWallet)?;
            let owned = after.get(debit).copied().unwrap_or(giver.posted);
            after.insert(*debit, give(giver, owned, *amount)?);
            let taker = self.account(*credit).ok_or(Refusal::NoWallet)?;
            let owned = after.get(credit).copied().unwrap_or(taker.posted);
            after.insert(*credit, take(taker, owned, *amount, post.wallet_max)?);
        }
        for (id, posted) in after {
            self.balance(id).posted = posted;
        }
        self.journals.push(post.journal);
        Ok(())
    }

    fn balance(&mut self, id: AccountId) -> &mut Account {
        &mut self.accounts.get_mut(&id).expect("the account is in hand").account
    }
}

/// What `giver` owns after `amount` has left, if it may leave without touching what is held.
fn give(giver: &Account, owned: Money, amount: Money) -> Result<Money, Refusal> {
    let available = owned - giver.held;
    if giver.owner.kind() != AccountKind::Gateway && available < amount {
        return Err(Refusal::InsufficientFunds { required: amount, available });
    }
    owned.checked_sub(amount).ok_or(Refusal::OutOfRange("the gateway's account is full"))
}

/// What `taker` owns after `amount` has come, if there is room for it.
fn take(taker: &Account, owned: Money, amount: Money, wallet_max: Money) -> Result<Money, Refusal> {
    match owned.checked_add(amount) {
        Some(sum) if taker.owner.kind() != AccountKind::Wallet || sum <= wallet_max => Ok(sum),
        _ => Err(Refusal::OutOfRange("the account would be too full")),
    }
}

/// How much to hold: the smallest of what is asked, what is there, and what the student wants to
/// spend; but enough for the shortest session.
fn hold_for(
    session: &Session,
    lock_amount: Money,
    min_watch: Duration,
    available: Money,
) -> Result<Money, Refusal> {
    let price = session.terms.price_per_minute;
    let wanted = session.terms.spending_cap.map_or(lock_amount, |cap| cap.min(lock_amount));
    let required =
        meter::cost(price, min_watch, Money::from_micros(i64::MAX)).max(Money::from_micros(1));
    if wanted < required {
        return Err(Refusal::OutOfRange("it does not buy the shortest session"));
    }
    let held = wanted.min(available);
    if held < required {
        return Err(Refusal::InsufficientFunds { required, available });
    }
    Ok(held)
}
