//! Use cases: one transaction each, effects after the commit.
//!
//! Whatever moves money or writes more than one row goes through here. Start, extend and settle
//! go through [`writer`], which does many of them in one transaction; everything else that moves
//! money has its own. Both end in [`ledger::apply`].

pub mod audience;
pub mod check;
pub mod claims;
pub mod courses;
pub mod discovery;
pub mod earnings;
pub mod errands;
pub mod idempotency;
pub mod identity;
pub mod ledger;
pub mod nodes;
pub mod payments;
pub mod receipts;
pub mod reviews;
pub mod sessions;
pub mod tickets;
pub mod together;
pub mod videos;
pub mod writer;
