//! One binary for all tests that need a running Murph: real sockets, a real server on port 0, a
//! real database, a real S3. On SQLite by default; on PostgreSQL when `MURPH_TEST_DATABASE` names one. What needs
//! a Redis runs when `MURPH_TEST_REDIS` names one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bus;
mod catalogue;
mod cli;
mod cluster;
mod contract;
mod crash;
mod discovery;
mod document;
mod front;
mod harness;
mod identity;
mod ledger;
mod live;
mod load;
mod nodes;
mod openapi;
mod payments;
mod readme;
mod reviews;
mod schema;
mod sessions;
mod socket_contract;
mod teacher;
mod videos;
mod world;
