//! What can go wrong, in the words of the domain. Only `http::error` knows about status codes.

use std::{sync::Arc, time::Duration};

use crate::{domain::ledger::Refusal, id::SessionId, money::Money};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("sign in first: {0}")]
    Unauthenticated(&'static str),
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{param}: {problem}")]
    Invalid { param: &'static str, problem: String },
    #[error("there is an account with this e-mail address already")]
    EmailTaken,
    #[error("{required} is needed, {available} is available")]
    InsufficientFunds { required: Money, available: Money },
    #[error("connect a wallet in this currency first: POST /api/v1/payments/wallet/connect")]
    WalletNotConnected,
    #[error("session {0} is still active; end it first")]
    SessionActive(SessionId),
    #[error("the session has ended")]
    SessionEnded,
    #[error("the session has not ended yet")]
    SessionNotEnded,
    #[error("the session was cancelled: there is nothing to review")]
    SessionCancelled,
    #[error("there is a review of this session already")]
    AlreadyReviewed,
    #[error("{0}")]
    ReviewClosed(&'static str),
    #[error("the session is metered elsewhere now")]
    Fenced,
    #[error("the amount does not fit: {0}")]
    OutOfRange(&'static str),
    #[error("this Idempotency-Key came with another request before")]
    IdempotencyKeyReused,
    #[error("a request with this Idempotency-Key is still running")]
    IdempotencyKeyRunning,
    #[error("no payment gateway is configured for this")]
    NoGateway,
    #[error("the video has no file that can be played yet")]
    VideoNotReady,
    #[error("there is no file to confirm: ask for an upload-url, and PUT the file there")]
    UploadMissing,
    #[error(
        "this was uploaded already, or another upload took its place: ask for a new upload-url"
    )]
    UploadOver,
    #[error("too many requests; try again in {} s", retry_after.as_secs().max(1))]
    RateLimited { retry_after: Duration },
    /// A queue of ours is full. Nothing was done.
    #[error("Murph is busy; try again in a moment")]
    Busy,
    /// The database did not answer, or the answer to a commit was lost.
    #[error("the database did not answer: repeat it under the same Idempotency-Key, or look first")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// What keeps files did not do what it was asked to.
    #[error("the files are out of reach; try again in a moment")]
    Storage {
        doing: &'static str,
        #[source]
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    #[error("database")]
    Database(#[source] Arc<sqlx::Error>),
    /// The database's schema is not one this Murph can work with.
    #[error("{0}")]
    Schema(String),
    /// Something here is broken; the text is for the log, never for the client.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub fn invalid(param: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { param, problem: problem.into() }
    }

    pub fn storage(
        doing: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Storage { doing, cause: Arc::new(cause) }
    }
}

/// A database that is away is the caller's to retry; everything else is ours to mend.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unavailable(Arc::new(error))
            }
            E::Database(ref cause) if is_passing(cause.as_ref()) => {
                Self::Unavailable(Arc::new(error))
            }
            _ => Self::Database(Arc::new(error)),
        }
    }
}

/// Whether the database refused for now and not for good: it starts or stops, is out of
/// connections or disk, gave up waiting for a lock, or ended one of two that waited for each other.
fn is_passing(cause: &dyn sqlx::error::DatabaseError) -> bool {
    let code = cause.code().unwrap_or_default();
    if cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        let class = code.get(..2).unwrap_or_default();
        matches!(class, "08" | "25" | "40" | "53" | "57" | "58") || code == "55P03"
    } else {
        // SQLite's busy, locked, I/O error, full, cannot open; the low byte is the primary code.
        code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
    }
}

impl Error {
    /// Whether the database ended one of two transactions that stood in each other's way. Doing
    /// the whole again is right then.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        let sqlx::Error::Database(cause) = error.as_ref() else { return false };
        cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
            // Not 40003: there it is not known whether the commit was done.
            && cause.code().is_some_and(|code| code == "40001" || code == "40P01")
    }

    /// Whether the connection is gone. Before anything was begun, another may be tried.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        match error.as_ref() {
            sqlx::Error::Io(_) => true,
            // The server said good-bye: it is being stopped.
            sqlx::Error::Database(cause) => cause.code().is_some_and(|code| code == "57P01"),
            _ => false,
        }
    }

    /// Whether such a row is there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        let Self::Database(error) = self else { return false };
        matches!(error.as_ref(), sqlx::Error::Database(cause) if cause.is_unique_violation())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InsufficientFunds { required, available } => {
                Self::InsufficientFunds { required, available }
            }
            Refusal::NoWallet => Self::WalletNotConnected,
            Refusal::SessionActive(session) => Self::SessionActive(session),
            Refusal::SessionEnded => Self::SessionEnded,
            Refusal::NoSession => Self::NotFound("session"),
            Refusal::Fenced => Self::Fenced,
            Refusal::OutOfRange(what) => Self::OutOfRange(what),
        }
    }
}

/// For failures that are chosen to be swallowed: named in the log, so that the choice is seen.
pub trait OrLog<T> {
    fn or_log(self, doing: &'static str) -> Option<T>;
}

impl<T, E: std::fmt::Display> OrLog<T> for std::result::Result<T, E> {
    fn or_log(self, doing: &'static str) -> Option<T> {
        self.inspect_err(|error| tracing::warn!(%error, "could not finish {doing}: {error}")).ok()
    }
}
