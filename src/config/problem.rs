//! What is wrong with a configuration.

use std::{collections::BTreeMap, fmt};

/// One setting that cannot be used, why, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The full name, `section.key`.
    pub key: String,
    pub problem: String,
    pub mend: String,
    /// The variable or file that set it; `None` if it was left at its default.
    pub origin: Option<String>,
}

/// A configuration that was refused, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.mend)?;
        match &self.origin {
            Some(origin) => write!(f, " (it is set by {origin})"),
            None => Ok(()),
        }
    }
}

/// One line for each problem.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The problems found so far, and what set which key.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    origins: BTreeMap<String, String>,
}

impl Problems {
    /// Remembers what set `key`, whether there is something wrong with it or not.
    pub(super) fn note_origin(&mut self, key: &str, origin: &str) {
        self.origins.insert(key.to_owned(), origin.to_owned());
    }

    /// Only the first problem of a key is kept: it often causes the others.
    pub(super) fn add(&mut self, key: &str, problem: impl Into<String>, mend: impl Into<String>) {
        if self.found.iter().any(|known| known.key == key) {
            return;
        }
        self.found.push(Problem {
            key: key.to_owned(),
            problem: problem.into(),
            mend: mend.into(),
            origin: self.origins.get(key).cloned(),
        });
    }

    /// The error, if anything was found.
    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        let problems = self.found;
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}
