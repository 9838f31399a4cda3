//! What commands say. A reader that has gone away, as in `murph config | head`, is no failure.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::cli::fail::Failure;

/// Writes one line to standard output. Commands end with it, hence the code.
pub(super) fn line(text: impl Display) -> Result<ExitCode, Failure> {
    block(&format!("{text}\n"))
}

/// Writes lines to standard output as they are.
pub(super) fn block(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::from(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes a value as JSON for other programs.
pub(super) fn json(value: &impl Serialize) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::from(format!("cannot write JSON: {error}")))?;
    line(text)
}

/// Writes to standard error: failures, and questions that must not mix with what is said.
pub(super) fn aside(text: &str) {
    // There is nobody left to tell that this failed.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
