//! Use cases: one transaction each, effects after the commit.
//!
//! Whatever moves money or writes more than one row goes through here. Start, extend and settle
//! go through [`writer`], which does many of them in one transaction; everything else that moves
//! money has its own. Both end in [`ledger::apply`].

pub mod check;
pub mod idempotency;
pub mod identity;
pub mod ledger;
pub mod payments;
pub mod sessions;
pub mod writer;
