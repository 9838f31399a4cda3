//! Lists: `limit` and `cursor` in, `{data, has_more, next_cursor}` out.

use std::{fmt::Display, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    error::{Error, Result},
    time::Timestamp,
};

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
    /// What to send as `cursor` for the next page; nothing if this is the last.
    next_cursor: Option<String>,
}

/// How many entries to give.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(extend("default" = LIMIT_DEFAULT))]
pub(super) struct Limit(#[schemars(range(min = 1, max = LIMIT_MAX))] u32);

impl Limit {
    pub(super) fn entries(self) -> usize {
        usize::try_from(self.0).expect("a page is small")
    }

    /// One more than that shows whether there are more.
    pub(super) fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u32::deserialize(deserializer)?;
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(de::Error::custom(format!("must be between 1 and {LIMIT_MAX}")))
        }
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
        Self::before(next_cursor, found.into_iter().map(view).collect())
    }

    /// A page that is there already, and the cursor of the one behind it, if there may be one.
    pub(super) fn before(next_cursor: Option<String>, data: Vec<T>) -> Self {
        let next_cursor = next_cursor.map(|cursor| URL_SAFE_NO_PAD.encode(cursor));
        Self { data, has_more: next_cursor.is_some(), next_cursor }
    }
}

/// Where to go on: the `next_cursor` of the page before.
// What it says. It is nobody's business how it is made, but it is not secret either.
#[derive(Clone, Debug, JsonSchema)]
pub(super) struct Cursor(String);

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.filter(|text| !text.contains('\0'));
        text.map(Self).ok_or_else(|| de::Error::custom(NOT_A_CURSOR))
    }
}

impl Cursor {
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// One that says one thing.
    pub(super) fn read<T: FromStr>(&self) -> Result<T> {
        self.0.parse().map_err(|_| not_a_cursor())
    }

    pub(super) fn moment(&self) -> Result<Timestamp> {
        read_moment(&self.0)
    }

    /// One that was made by [`place`].
    pub(super) fn place<T: FromStr>(&self) -> Result<(Timestamp, T)> {
        let (at, which) = self.0.split_once('|').ok_or_else(not_a_cursor)?;
        Ok((read_moment(at)?, which.parse().map_err(|_| not_a_cursor())?))
    }
}

/// The place of an entry among others of other moments, and of the same one.
pub(super) fn place(at: Timestamp, which: impl Display) -> String {
    format!("{}|{which}", at.micros())
}

fn read_moment(micros: &str) -> Result<Timestamp> {
    let at = micros.parse().ok().and_then(Timestamp::from_micros);
    at.filter(|at| (Timestamp::EPOCH..=Timestamp::END).contains(at)).ok_or_else(not_a_cursor)
}

const NOT_A_CURSOR: &str = "is not one that a list gave";

pub(super) fn not_a_cursor() -> Error {
    Error::invalid("cursor", NOT_A_CURSOR)
}
