//! A request with an `Idempotency-Key` is done once, however often it is sent.
//!
//! The answer is kept in the transaction of the work, so there is never one without the other. A
//! request that was refused did nothing and keeps nothing: it may be sent again as it is.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    db::{self, Tx},
    domain::ledger::Once,
    error::{Error, Result},
    id::UserId,
    time::Timestamp,
};

/// How long an answer is kept.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// A request that is to be done once.
#[derive(Clone, Debug)]
pub struct Request {
    user: UserId,
    key: Option<String>,
    hash: [u8; 32],
}

/// What is sent back, byte for byte the same each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// Whether it was kept from an earlier time.
    pub replayed: bool,
}

/// What there is to do for a request.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: it was done before.
    Done(Answer),
    /// The work, in this transaction.
    Work(Tx, Claim),
}

/// The key, taken until the answer is kept in the same transaction, or the transaction is dropped.
#[derive(Debug)]
pub struct Claim {
    user: UserId,
    key: Option<String>,
    _under_way: Option<UnderWay>,
}

/// Keys of requests that are under way on this node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<HashSet<(UserId, String)>>>);

#[derive(Debug)]
struct UnderWay {
    running: Running,
    key: (UserId, String),
}

impl Request {
    /// `operation` and `body` are what the key is bound to.
    pub fn new(user: UserId, key: Option<String>, operation: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("a request is plain data");
        let hash = Sha256::new().chain_update(operation).chain_update([0]).chain_update(body);
        Self { user, key, hash: hash.finalize().into() }
    }

    /// For the ledger's writer, which keeps the key in a transaction of its own.
    #[must_use]
    pub fn into_once(self) -> Option<Once> {
        Some(Once { key: self.key?, request_hash: self.hash })
    }
}

/// Opens the transaction the work belongs in, unless the work was done before.
pub async fn begin(app: &App, request: Request, now: Timestamp) -> Result<Begun> {
    let Request { user, key, hash } = request;
    let Some(key) = key else {
        return Ok(Begun::Work(app.db.begin().await?, Claim { user, key: None, _under_way: None }));
    };
    let under_way = app.running.enter(user, &key).ok_or(Error::IdempotencyKeyRunning)?;
    let mut tx = app.db.begin().await?;
    while !db::idempotency::claim(&mut tx, user, &key, &hash, now).await? {
        match db::idempotency::find(&mut tx, user, &key).await? {
            Some(kept) if now.since(kept.created_at) > KEPT_FOR => {
                db::idempotency::delete(&mut tx, user, &key).await?;
            }
            Some(kept) if kept.request_hash != hash => return Err(Error::IdempotencyKeyReused),
            Some(kept) => return kept_answer(kept).map(Begun::Done),
            None => {}
        }
    }
    Ok(Begun::Work(tx, Claim { user, key: Some(key), _under_way: Some(under_way) }))
}

/// What was kept of the answer, if the same request was done before.
pub async fn find(app: &App, user: UserId, once: &Once, now: Timestamp) -> Result<Option<String>> {
    let found = db::idempotency::find(&mut app.db.read().await?, user, &once.key).await?;
    match found {
        None => Ok(None),
        Some(kept) if now.since(kept.created_at) > KEPT_FOR => {
            let mut tx = app.db.begin().await?;
            // Unless it was taken anew meanwhile.
            let before = now - KEPT_FOR;
            db::idempotency::delete_if_older(&mut tx, user, &once.key, before).await?;
            tx.commit().await?;
            Ok(None)
        }
        Some(kept) if kept.request_hash != once.request_hash => Err(Error::IdempotencyKeyReused),
        Some(kept) => kept_answer(kept).map(|answer| Some(answer.body)),
    }
}

fn kept_answer(kept: db::idempotency::Kept) -> Result<Answer> {
    let status = kept.status.and_then(|status| u16::try_from(status).ok());
    match (status, kept.body) {
        (Some(status), Some(body)) => Ok(Answer { status, body, replayed: true }),
        _ => Err(Error::Internal("a key was kept without its answer".into())),
    }
}

impl Claim {
    /// Keeps the answer, and commits it together with the work.
    pub async fn finish(self, mut tx: Tx, status: u16, body: &impl Serialize) -> Result<Answer> {
        let body = serde_json::to_string(body).expect("an answer is plain data");
        if let Some(key) = &self.key {
            db::idempotency::keep(&mut tx, self.user, key, status, &body).await?;
        }
        tx.commit().await?;
        Ok(Answer { status, body, replayed: false })
    }
}

impl Running {
    fn enter(&self, user: UserId, key: &str) -> Option<UnderWay> {
        let key = (user, key.to_owned());
        let entered = self.0.lock().expect("nobody panics while holding it").insert(key.clone());
        entered.then(|| UnderWay { running: self.clone(), key })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.running.0.lock().expect("nobody panics while holding it").remove(&self.key);
    }
}
