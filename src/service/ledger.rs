//! The one place where money moves in the database: lock, decide, write.

use std::collections::BTreeMap;

use crate::{
    db::{self, Tx},
    domain::{
        books::Books,
        ledger::{Account, Done, Operation, Owner, Post, Refusal},
        session::Session,
    },
    error::{Error, Result},
    id::{AccountId, SessionId, UserId},
    money::Currency,
    time::Timestamp,
};

/// Where the sessions of a batch are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// From the operations, as their callers last saw them. Saves reading them, and is nearly
    /// always right; [`apply`] answers `None` when it was not.
    AsSeen,
    /// From the database, locked.
    Read,
}

/// How often a journal is posted anew: once for each account that is opened meanwhile.
const POST_ATTEMPTS_MAX: usize = 3;

/// What each operation of a batch came to.
pub type Outcomes = Vec<Result<Done, Refusal>>;

/// Does `operations` one after the other, and writes what they changed with one statement for each
/// table, however many they are. A refused one changes nothing and does not hinder the others.
///
/// Nothing holds before the caller has committed. `None` if a session was not as its caller had
/// seen it: then this transaction must be dropped, and the work done again on what is read.
/// Rows are locked in the same order everywhere (accounts, then sessions, each by id), so that
/// nodes wait for each other but never in a circle.
pub async fn apply(
    tx: &mut Tx,
    operations: &[Operation],
    sessions: Sessions,
    now: Timestamp,
) -> Result<Option<Outcomes>> {
    let mut books = load(tx, operations, sessions).await?;
    let mut outcomes = decide(&mut books, operations)?;
    name_what_holds_the_funds(tx, operations, &mut outcomes).await?;
    // What is written shows whether it was as seen; a refusal writes nothing.
    let is_refused =
        |(operation, outcome)| session_of(operation).is_some() && Result::is_err(outcome);
    if sessions == Sessions::AsSeen && operations.iter().zip(&outcomes).any(is_refused) {
        return Ok(None);
    }
    let was_as_seen = db::books::write(tx, &books, now).await?;
    Ok(was_as_seen.then_some(outcomes))
}

/// Moves money by one journal, in the caller's transaction.
pub async fn post(tx: &mut Tx, post: Post, now: Timestamp) -> Result<()> {
    let operation = [Operation::Post(post)];
    for _ in 0..POST_ATTEMPTS_MAX {
        // `None`: an account that was to be opened here was opened elsewhere. Now it is there.
        if let Some(outcomes) = apply(tx, &operation, Sessions::Read, now).await? {
            outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
            return Ok(());
        }
    }
    Err(Error::Busy)
}

/// Tells a student who has too little because of a session that was opened in this very moment
/// that there is that session.
///
/// Whoever waited for a wallet on PostgreSQL sees it as it is now, with the other session's hold,
/// but everything else as it was when the waiting began, without that session. Both is refused,
/// so it changes nothing but the reason; and hardly anybody is refused, so it hardly ever asks.
async fn name_what_holds_the_funds(
    tx: &mut Tx,
    operations: &[Operation],
    outcomes: &mut Outcomes,
) -> Result<()> {
    let is_short =
        |outcome: &Result<Done, Refusal>| matches!(outcome, Err(Refusal::InsufficientFunds { .. }));
    let starter = |operation: &Operation| match operation {
        Operation::Start(start) => Some(start.session.student_id),
        _ => None,
    };
    let short = operations.iter().zip(&*outcomes).filter(|(_, outcome)| is_short(outcome));
    let short: Vec<UserId> = short.filter_map(|(operation, _)| starter(operation)).collect();
    if short.is_empty() {
        return Ok(());
    }
    let active = db::sessions::list_active(tx, &short).await?;
    for (operation, outcome) in operations.iter().zip(outcomes) {
        let Some(student) = starter(operation).filter(|_| is_short(outcome)) else { continue };
        if let Some((_, session)) = active.iter().find(|(of, _)| *of == student) {
            *outcome = Err(Refusal::SessionActive(*session));
        }
    }
    Ok(())
}

/// A broken invariant, which panics, costs the operation and not the server: the caller's
/// transaction is dropped with all that stood in it.
fn decide(books: &mut Books, operations: &[Operation]) -> Result<Outcomes> {
    let decide = || operations.iter().cloned().map(|operation| books.apply(operation)).collect();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decide))
        .map_err(|_| Error::Internal("an invariant of the ledger is broken, see above".into()))
}

async fn load(tx: &mut Tx, operations: &[Operation], sessions: Sessions) -> Result<Books> {
    let mut books = Books::default();
    let seen: BTreeMap<SessionId, &Session> =
        operations.iter().filter_map(session_of).map(|session| (session.id, session)).collect();
    // Whose accounts they move money between is part of their terms, which never change.
    let owners = operations.iter().flat_map(owners_of);
    let owners = owners.chain(seen.values().copied().flat_map(owners_of_session));
    load_accounts(tx, &mut books, owners).await?;

    match sessions {
        Sessions::AsSeen => seen.into_values().for_each(|seen| books.add_session(seen.clone())),
        Sessions::Read if seen.is_empty() => {}
        Sessions::Read => {
            let ids: Vec<_> = seen.into_keys().collect();
            for session in db::sessions::lock(tx, &ids).await? {
                books.add_session(session);
            }
        }
    }

    // With the wallets came the sessions their students have open. A free course needs no wallet.
    let free_starters: Vec<UserId> = operations.iter().filter_map(free_starter).collect();
    if !free_starters.is_empty() {
        for (student, session) in db::sessions::list_active(tx, &free_starters).await? {
            books.add_active(student, session);
        }
    }
    Ok(books)
}

async fn load_accounts(
    tx: &mut Tx,
    books: &mut Books,
    owners: impl Iterator<Item = (Owner, Currency)>,
) -> Result<()> {
    let mut owners: BTreeMap<AccountId, (Owner, Currency)> =
        owners.map(|(owner, currency)| (owner.account(currency), (owner, currency))).collect();
    if owners.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = owners.keys().copied().collect();
    for locked in db::accounts::lock(tx, &ids).await? {
        let (owner, currency) = owners.remove(&locked.id).expect("only these were asked for");
        let mut account = Account::new(owner, currency);
        (account.posted, account.held) = (locked.posted, locked.held);
        books.add_account(account, locked.active_session);
    }
    Ok(())
}

/// Who starts a free course.
fn free_starter(operation: &Operation) -> Option<UserId> {
    match operation {
        Operation::Start(start) if start.session.payer().is_none() => {
            Some(start.session.student_id)
        }
        _ => None,
    }
}

/// The session an operation is about, if it is there already.
fn session_of(operation: &Operation) -> Option<&Session> {
    match operation {
        Operation::Extend(extend) => Some(&extend.session),
        Operation::Settle(settle) => Some(&settle.session),
        Operation::Start(_) | Operation::Post(_) => None,
    }
}

/// Whose accounts an operation names by itself.
fn owners_of(operation: &Operation) -> Vec<(Owner, Currency)> {
    match operation {
        Operation::Start(start) => start.session.payer().into_iter().collect(),
        Operation::Post(post) => post.owners.clone(),
        Operation::Extend(_) | Operation::Settle(_) => Vec::new(),
    }
}

/// Whose accounts the money of an open session moves between; nobody's for a free course.
fn owners_of_session(session: &Session) -> Vec<(Owner, Currency)> {
    let Some(payer) = session.payer() else { return Vec::new() };
    let payees = session.payees().map(|payee| (payee, session.terms.currency));
    std::iter::once(payer).chain(payees).collect()
}
