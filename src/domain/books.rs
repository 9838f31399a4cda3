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
        earnings::Earning,
        ledger::{
            Account, AccountKind, Done, Extend, Journal, JournalKind, Once, Operation, Owner, Post,
            Refusal, Settle, Settled, Start, Transfer, settle_id,
        },
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
    earnings: Vec<Earning>,
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
    /// The request that opened it.
    once: Option<Once>,
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
        let leaf = Leaf { session, is_new: false, held_before, is_touched: false, once: None };
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

    /// Sessions that were opened by a request that is to be done once, with that.
    pub fn requests(&self) -> impl Iterator<Item = (&Session, &Once)> {
        let opened = self.sessions.values().filter(|leaf| leaf.is_new);
        opened.filter_map(|leaf| Some((&leaf.session, leaf.once.as_ref()?)))
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

    /// What the journals brought to teachers.
    #[must_use]
    pub fn earnings(&self) -> &[Earning] {
        &self.earnings
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
        let Start { mut session, lock_amount, min_watch, once } = start;
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
        let leaf = Leaf {
            session: session.clone(),
            is_new: true,
            held_before: session.held,
            is_touched: false,
            once,
        };
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
        session.stretches.clone_from(&settle.stretches);
        let session = session.clone();
        leaf.is_touched = true;
        if self.active.get(&session.student_id) == Some(&session.id) {
            self.active.remove(&session.student_id);
        }
        self.pay(&session, settle.actor);
        self.earnings.extend(Earning::of_session(&session));
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
        self.earnings.extend(post.earning);
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
    let wanted = session.terms.spending_cap.map_or(lock_amount, |cap| cap.min(lock_amount));
    let required = session.terms.least_hold(min_watch);
    if wanted < required {
        return Err(Refusal::OutOfRange("it does not buy the shortest session"));
    }
    let held = wanted.min(available);
    if held < required {
        return Err(Refusal::InsufficientFunds { required, available });
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        domain::{
            course::{Partner, Split},
            session::{EndReason, Terms},
        },
        id::CourseId,
        money::BasisPoints,
        time::Timestamp,
    };

    const MINUTE: Duration = Duration::from_mins(1);

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn user(nth: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(nth))
    }

    fn wallet(nth: u128) -> AccountId {
        Owner::Wallet(user(nth)).account(usd())
    }

    fn teacher() -> UserId {
        user(1_000)
    }

    /// Students with so much in their wallets each, which came from a gateway.
    fn books_with(amounts: &[&str]) -> Books {
        let mut books = Books::default();
        for (nth, amount) in (0..).zip(amounts) {
            books.open_account(Owner::Wallet(user(nth)), usd());
            if *amount != "0" {
                let ends = [gateway(), Owner::Wallet(user(nth))];
                books.apply(post(&format!("top_up:{nth}"), ends, money(amount))).unwrap();
            }
        }
        books
    }

    fn gateway() -> Owner {
        Owner::Gateway("test".into())
    }

    fn post(id: &str, ends: [Owner; 2], amount: Money) -> Operation {
        let [debit, credit] = ends.each_ref().map(|owner| owner.account(usd()));
        let transfers = vec![Transfer { debit, credit, currency: usd(), amount }];
        let (kind, at) = (JournalKind::TopUp, Timestamp::EPOCH);
        Operation::Post(Post {
            journal: Journal { id: id.into(), kind, actor: None, at, transfers },
            owners: ends.map(|owner| (owner, usd())).into(),
            wallet_max: money("1000.00"),
            earning: None,
        })
    }

    fn draft(student: u128, price: &str) -> Session {
        Session::open(
            user(student),
            (CourseId::from_uuid(uuid::Uuid::from_u128(1)), teacher()),
            Terms {
                price_per_minute: money(price),
                currency: usd(),
                split: Split {
                    platform: BasisPoints::new(1_000).unwrap(),
                    partners: vec![Partner {
                        name: "museum".into(),
                        basis_points: BasisPoints::new(333).unwrap(),
                    }],
                },
                free_below: MINUTE,
                spending_cap: None,
                auto_extend: true,
            },
            Timestamp::EPOCH,
        )
    }

    fn start(session: Session, lock_amount: &str) -> Operation {
        let lock_amount = money(lock_amount);
        Operation::Start(Start { session, lock_amount, min_watch: MINUTE, once: None })
    }

    fn started(books: &mut Books, student: u128, lock_amount: &str) -> Session {
        match books.apply(start(draft(student, "0.60"), lock_amount)).unwrap() {
            Done::Started(session) => session,
            other => panic!("{other:?}"),
        }
    }

    fn extend(session: &Session, amount: &str, or_less: bool) -> Operation {
        Operation::Extend(Extend { session: session.clone(), amount: money(amount), or_less })
    }

    fn settle_for(session: &Session, watched: Duration, reason: EndReason) -> Operation {
        let at = session.started_at + watched;
        Operation::Settle(Settle {
            session: session.clone(),
            watched,
            stretches: vec![],
            reason,
            actor: None,
            at,
        })
    }

    fn settled(books: &mut Books, session: &Session, watched: Duration) -> Settled {
        match books.apply(settle_for(session, watched, EndReason::EndedByStudent)).unwrap() {
            Done::Settled(settled) => settled,
            other => panic!("{other:?}"),
        }
    }

    fn posted(books: &Books, owner: &Owner) -> Money {
        books.account(owner.account(usd())).map_or(Money::ZERO, |account| account.posted)
    }

    fn short(required: &str, available: &str) -> Refusal {
        let [required, available] = [required, available].map(money);
        Refusal::InsufficientFunds { required, available }
    }

    #[test]
    fn a_start_holds_the_smallest_of_lock_money_and_cap() {
        let too_little = Refusal::OutOfRange("it does not buy the shortest session");
        for (has, lock, cap, expected) in [
            ("50.00", "30.00", None, Ok("30.00")),
            ("20.00", "30.00", None, Ok("20.00")),
            ("50.00", "30.00", Some("10.00"), Ok("10.00")),
            ("5.00", "30.00", Some("10.00"), Ok("5.00")),
            ("0.60", "30.00", None, Ok("0.60")),
            ("0.59", "30.00", None, Err(short("0.60", "0.59"))),
            ("0", "30.00", None, Err(short("0.60", "0.00"))),
            ("50.00", "0.59", None, Err(too_little.clone())),
            ("50.00", "30.00", Some("0.59"), Err(too_little)),
        ] {
            let mut books = books_with(&[has]);
            let mut session = draft(0, "0.60");
            session.terms.spending_cap = cap.map(money);
            let outcome = books.apply(start(session.clone(), lock));
            let held = outcome.map(|_| books.session(session.id).unwrap().held);
            assert_eq!(held, expected.map(money), "{lock} of {has} up to {cap:?}");
            let in_wallet = books.account(wallet(0)).unwrap().held;
            assert_eq!(in_wallet, held.unwrap_or_default());
        }
    }

    #[test]
    fn a_start_needs_a_wallet_unless_the_course_is_free() {
        let mut books = Books::default();
        assert_eq!(books.apply(start(draft(0, "0.60"), "30.00")), Err(Refusal::NoWallet));
        let Ok(Done::Started(free)) = books.apply(start(draft(0, "0.00"), "30.00")) else {
            panic!("a free course needs no wallet")
        };
        assert_eq!(free.held, Money::ZERO);
        assert_eq!(
            books.apply(extend(&free, "1.00", true)).unwrap_err(),
            Refusal::OutOfRange("a free course holds nothing")
        );
    }

    #[test]
    fn a_student_has_one_session_open_free_or_not() {
        for (first, second) in [("0.60", "0.60"), ("0.60", "0.00"), ("0.00", "0.60")] {
            let mut books = books_with(&["50.00"]);
            let open = draft(0, first);
            books.apply(start(open.clone(), "30.00")).unwrap();
            let refused = books.apply(start(draft(0, second), "1.00"));
            assert_eq!(refused, Err(Refusal::SessionActive(open.id)), "{first} then {second}");
            settled(&mut books, &open, MINUTE);
            books.apply(start(draft(0, second), "1.00")).unwrap();
        }
    }

    #[test]
    fn an_extend_takes_all_it_asks_for_or_what_there_is() {
        let full = Refusal::OutOfRange("it is above the session's spending cap");
        for (amount, or_less, cap, expected) in [
            ("5.00", false, None, Ok("35.00")),
            ("20.00", false, None, Ok("50.00")),
            ("20.01", false, None, Err(short("20.01", "20.00"))),
            ("20.01", true, None, Ok("50.00")),
            ("5.00", false, Some("35.00"), Ok("35.00")),
            ("5.01", false, Some("35.00"), Err(full.clone())),
            ("5.01", true, Some("35.00"), Ok("35.00")),
            ("0.01", true, Some("30.00"), Err(full)),
        ] {
            let mut books = books_with(&["50.00"]);
            let mut session = draft(0, "0.60");
            session.terms.spending_cap = cap.map(money);
            books.apply(start(session.clone(), "30.00")).unwrap();
            let outcome = books.apply(extend(&session, amount, or_less));
            let held = books.session(session.id).unwrap().held;
            assert_eq!(outcome.map(|_| held), expected.map(money), "{amount} up to {cap:?}");
            assert_eq!(books.account(wallet(0)).unwrap().held, held);
        }
    }

    #[test]
    fn nothing_left_is_not_extended_by() {
        let mut books = books_with(&["30.00"]);
        let session = started(&mut books, 0, "30.00");
        let refused = books.apply(extend(&session, "1.00", true));
        assert_eq!(refused, Err(short("1.00", "0.00")));
    }

    #[test]
    fn settling_charges_divides_and_frees() {
        let mut books = books_with(&["50.00"]);
        let session = started(&mut books, 0, "30.00");
        let Settled { session, by_this_call } = settled(&mut books, &session, 10 * MINUTE);
        assert!(by_this_call);
        assert_eq!((session.status, session.cost), (SessionStatus::Completed, money("6.00")));
        assert_eq!(session.refund(), money("24.00"));
        for (owner, has) in [
            (Owner::Wallet(user(0)), "44.00"),
            (Owner::Platform, "0.60"),
            (Owner::Partner("museum".into()), "0.1998"),
            (Owner::Earnings(teacher()), "5.2002"),
            (gateway(), "-50.00"),
        ] {
            assert_eq!(posted(&books, &owner), money(has), "{owner:?}");
        }
        assert_eq!(books.account(wallet(0)).unwrap().held, Money::ZERO);
        assert_eq!(books.journals().last().unwrap().id, settle_id(session.id));
    }

    #[test]
    fn what_is_free_moves_nothing_and_frees_all() {
        for (watched, reason) in [
            (Duration::from_millis(59_999), EndReason::EndedByStudent),
            (Duration::ZERO, EndReason::NeverStarted),
            (10 * MINUTE, EndReason::NeverStarted),
        ] {
            let mut books = books_with(&["50.00"]);
            let session = started(&mut books, 0, "30.00");
            books.apply(settle_for(&session, watched, reason)).unwrap();
            let session = books.session(session.id).unwrap();
            assert_eq!((session.status, session.cost), (SessionStatus::Cancelled, Money::ZERO));
            assert_eq!(books.account(wallet(0)).unwrap().available(), money("50.00"));
            assert_eq!(books.journals().last().unwrap().transfers, []);
        }
    }

    #[test]
    fn a_session_costs_at_most_its_hold() {
        let mut books = books_with(&["50.00"]);
        let session = started(&mut books, 0, "30.00");
        assert_eq!(settled(&mut books, &session, 600 * MINUTE).session.cost, money("30.00"));
        assert_eq!(books.account(wallet(0)).unwrap().available(), money("20.00"));
    }

    #[test]
    fn who_settles_second_gets_the_receipt_of_the_first() {
        let mut books = books_with(&["50.00"]);
        let session = started(&mut books, 0, "30.00");
        let first = settled(&mut books, &session, 10 * MINUTE);
        let journals = books.journals().len();
        let second = settled(&mut books, &session, 20 * MINUTE);
        assert_eq!(second, Settled { by_this_call: false, ..first });
        assert_eq!(books.journals().len(), journals);
        assert_eq!(books.apply(extend(&session, "1.00", true)), Err(Refusal::SessionEnded));
    }

    #[test]
    fn only_the_latest_fence_counts() {
        let mut books = books_with(&["50.00"]);
        let session = started(&mut books, 0, "30.00");
        for fence in [session.fence - 1, session.fence + 1] {
            let other = Session { fence, ..session.clone() };
            let settle = settle_for(&other, MINUTE, EndReason::EndedByStudent);
            assert_eq!(books.apply(settle), Err(Refusal::Fenced));
            assert_eq!(books.apply(extend(&other, "1.00", true)), Err(Refusal::Fenced));
        }
        assert_eq!(books.session(session.id), Some(&session));
    }

    #[test]
    fn a_post_is_done_whole_or_not_at_all() {
        let mut books = books_with(&["5.00", "995.00"]);
        started(&mut books, 0, "3.00");
        let [one, other] = [Owner::Wallet(user(0)), Owner::Wallet(user(1))];
        let full = Refusal::OutOfRange("the account would be too full");
        let stranger = Owner::Wallet(user(7));
        for (ends, amount, expected) in [
            ([one.clone(), other.clone()], "2.01", Err(short("2.01", "2.00"))),
            ([other.clone(), gateway()], "995.01", Err(short("995.01", "995.00"))),
            ([gateway(), other.clone()], "5.000001", Err(full)),
            ([gateway(), stranger], "1.00", Err(Refusal::NoWallet)),
            ([one, other.clone()], "2.00", Ok(Done::Posted)),
            ([gateway(), other], "3.00", Ok(Done::Posted)),
        ] {
            let before = books.clone();
            let outcome = books.apply(post("any", ends.clone(), money(amount)));
            if outcome.is_err() {
                assert_eq!(books.journals(), before.journals());
                assert!(books.accounts().eq(before.accounts()), "{ends:?}");
            }
            assert_eq!(outcome, expected, "{amount} between {ends:?}");
        }
    }

    /// An operation of some student: which, on what, how much.
    #[derive(Clone, Debug)]
    enum Step {
        TopUp(u128, i64),
        Start(u128, bool, i64, Option<i64>),
        Extend(usize, i64, bool),
        Settle(usize, u64, bool),
        PayOut(i64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let amount = || prop_oneof![1..2_000_i64, 1..50_000_000_i64];
        prop_oneof![
            (0..3_u128, amount()).prop_map(|(student, amount)| Step::TopUp(student, amount)),
            (0..3_u128, any::<bool>(), amount(), proptest::option::of(amount()))
                .prop_map(|(student, free, lock, cap)| Step::Start(student, free, lock, cap)),
            (0..20_usize, amount(), any::<bool>())
                .prop_map(|(session, amount, less)| Step::Extend(session, amount, less)),
            (0..20_usize, 0..9_000_000_u64, any::<bool>())
                .prop_map(|(session, watched_ms, never)| Step::Settle(session, watched_ms, never)),
            amount().prop_map(Step::PayOut),
        ]
    }

    /// The operation, if there is a session for it.
    fn operation(step: &Step, nth: usize, sessions: &[Session]) -> Option<Operation> {
        let session = |at: usize| sessions.get(at % sessions.len().max(1));
        let micros = Money::from_micros;
        Some(match *step {
            Step::TopUp(student, amount) => {
                let ends = [gateway(), Owner::Wallet(user(student))];
                post(&format!("top_up:{nth}"), ends, micros(amount))
            }
            Step::Start(student, free, lock, cap) => {
                let mut session = draft(student, if free { "0.00" } else { "0.601234" });
                session.terms.spending_cap = cap.map(micros);
                start(session, &micros(lock).to_string())
            }
            Step::Extend(at, amount, less) => {
                extend(session(at)?, &micros(amount).to_string(), less)
            }
            Step::Settle(at, watched_ms, never) => {
                let reason = if never { EndReason::NeverStarted } else { EndReason::Disconnected };
                settle_for(session(at)?, Duration::from_millis(watched_ms), reason)
            }
            Step::PayOut(amount) => {
                let ends = [Owner::Earnings(teacher()), gateway()];
                post(&format!("payout:{nth}"), ends, micros(amount))
            }
        })
    }

    fn moved(books: &Books, id: AccountId) -> Money {
        let transfers = books.journals().iter().flat_map(|journal| &journal.transfers);
        let signed = |transfer: &Transfer| match () {
            () if transfer.credit == id => transfer.amount,
            () if transfer.debit == id => -transfer.amount,
            () => Money::ZERO,
        };
        transfers.map(signed).sum()
    }

    /// I1 to I6, of books that began empty.
    fn check(books: &Books, sessions: &[Session]) {
        let kept = || sessions.iter().map(|session| books.session(session.id).unwrap());
        assert_eq!(books.accounts().map(|account| account.posted).sum::<Money>(), Money::ZERO);
        for account in books.accounts() {
            assert_eq!(account.posted, moved(books, account.id), "I2: {account:?}");
            let open = kept().filter(|session| {
                session.status == SessionStatus::Active && session.wallet() == Some(account.id)
            });
            assert_eq!(account.held, open.map(|session| session.held).sum(), "I3: {account:?}");
            let may_owe = account.owner.kind() == AccountKind::Gateway;
            assert!(may_owe || !account.available().is_negative(), "I5: {account:?}");
        }
        for session in kept() {
            let id = settle_id(session.id);
            let journals: Vec<_> =
                books.journals().iter().filter(|journal| journal.id == id).collect();
            let has_ended = session.status != SessionStatus::Active;
            assert_eq!(journals.len(), usize::from(has_ended), "I6: {session:?}");
            let paid = journals.iter().flat_map(|journal| &journal.transfers);
            let paid: Money = paid.map(|transfer| transfer.amount).sum();
            assert_eq!(paid, session.cost, "I4: {session:?}");
            let given = session.cost + session.refund();
            assert_eq!(given, if has_ended { session.held } else { Money::ZERO });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is done in whatever order, the books always balance, and what is refused
        /// changes no balance.
        #[test]
        fn the_books_always_balance(steps in vec(steps(), 1..40)) {
            let mut books = books_with(&["0", "0", "0"]);
            let mut sessions: Vec<Session> = Vec::new();
            for (nth, step) in steps.iter().enumerate() {
                let Some(operation) = operation(step, nth, &sessions) else { continue };
                let before = books.clone();
                match books.apply(operation) {
                    Ok(Done::Started(session)) => sessions.push(session),
                    Ok(_) => {}
                    Err(_) => {
                        prop_assert_eq!(books.journals(), before.journals());
                        for account in before.accounts() {
                            prop_assert_eq!(books.account(account.id), Some(account));
                        }
                    }
                }
            }
            check(&books, &sessions);
        }
    }
}
