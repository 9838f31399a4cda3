//! What handlers ask for: bodies, queries, ids, callers. Whatever does not fit is a [`Problem`].
//!
//! A handler that is not meant for everybody names [`Student`], [`Teacher`], [`Admin`] or
//! [`Caller`] *before* the body: then nobody's body is read before it is known who sends it.
//!
//! [`Problem`]: super::error::Problem

mod caller;
mod client;
mod complaint;
pub(super) mod json;
mod object;
mod params;

pub use self::{
    caller::{Admin, Caller, Student, Teacher, bearer_token},
    client::{ClientAddr, IdempotencyKey},
    json::Json,
    object::Object,
    params::{Path, Query},
};
