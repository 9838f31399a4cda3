//! Text that must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is shown in place of a secret.
pub(super) const MASK: &str = "***";

/// A secret. Printing, logging or serializing it shows `***`; only [`Secret::expose`] gives it away.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is no secret but what was shown in place of one.
    pub(super) fn is_mask(&self) -> bool {
        self.0 == MASK
    }

    /// That there is none is no secret.
    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { MASK }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}
