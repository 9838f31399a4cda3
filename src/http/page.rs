//! Lists: `limit` and `cursor` in, `{data, has_more, next_cursor}` out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, Result};

/// How many entries a page has if nothing is said.
const LIMIT_DEFAULT: u32 = 20;

/// How many it may have.
const LIMIT_MAX: u32 = 100;

/// One page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(super) struct Page<T> {
    data: Vec<T>,
    has_more: bool,
    /// What to send as `cursor` for the next page.
    next_cursor: Option<String>,
}

/// How many entries to give; 20 if nothing is said.
#[derive(JsonSchema)]
pub(super) struct Limit(
    #[expect(dead_code, reason = "only the document speaks of it")]
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    u32,
);

/// The size of the page that is asked for.
pub(super) fn limit(asked: Option<u32>) -> Result<usize> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(usize::try_from(limit).expect("a page is small"))
    } else {
        Err(Error::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")))
    }
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` of `found`, which has one more if there are more.
    pub(super) fn new<F: Into<T>>(
        found: Vec<F>,
        limit: usize,
        cursor: impl FnOnce(&F) -> String,
    ) -> Self {
        Self::with(found, limit, cursor, F::into)
    }

    /// The same, of entries that are shown in a way of their own.
    pub(super) fn with<F>(
        mut found: Vec<F>,
        limit: usize,
        cursor: impl FnOnce(&F) -> String,
        view: impl Fn(F) -> T,
    ) -> Self {
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found.last().filter(|_| has_more).map(cursor);
        let next_cursor = next_cursor.map(|cursor| URL_SAFE_NO_PAD.encode(cursor));
        Self { data: found.into_iter().map(view).collect(), has_more, next_cursor }
    }
}

/// What a cursor says. It is nobody's business how it is made, but it is not secret either.
pub(super) fn read_cursor(cursor: &str) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| not_a_cursor())?;
    let text = String::from_utf8(bytes).map_err(|_| not_a_cursor())?;
    if text.contains('\0') { Err(not_a_cursor()) } else { Ok(text) }
}

pub(super) fn not_a_cursor() -> Error {
    Error::invalid("cursor", "is not one that a list gave")
}
