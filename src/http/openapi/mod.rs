//! What the API is, as `OpenAPI` 3.1, drawn from the code that answers.
//!
//! A route is a row of a table, made by `routes!`: what it is for, its method and path, its
//! handler, and the problems that are its own. Everything else follows from the handler's type:
//!
//! * `input`: what each extractor asks of a request, and which problems it may find.
//! * `output`: what each answer looks like.
//! * `operation`: one route as a whole. `document`: all of them.
//! * `example`: what is sent and answered, for instance.
//! * `words`: how money, times and such are written.
//!
//! An extractor or an answer of one's own says the same of itself, by `Input` or `Output`.
//!
//! There is no other way to add a route (`tests/tidy.rs`), so none can be left out, and none can be
//! described as something else than it is. The integration tests hold what their HTTP client is
//! answered against the document, and so find the problems that a row lacks.

mod document;
mod example;
mod input;
mod operation;
mod output;
mod routes;
mod words;

pub(super) use self::{
    input::{IN_JSON, Input, Raw},
    operation::{Bearer, Operation, Promise},
    output::Output,
    routes::{Routes, Row, routes},
};

use std::{sync::LazyLock, time::Duration};

/// The document as it is served, printed and kept in `openapi.json`.
#[must_use]
pub fn text() -> &'static str {
    // How long an answer may take is not said in it.
    static TEXT: LazyLock<String> =
        LazyLock::new(|| document::text(&super::routes(Duration::ZERO)));
    &TEXT
}
