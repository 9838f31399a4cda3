//! Why a command failed, as one sentence for whoever typed it: what is wrong, then the mend.
//!
//! The only place that turns the failures of databases into such sentences. None contains a
//! password: they name hosts, files and users, and never a whole URL.

use std::{fmt::Display, io, process::ExitCode};

use sqlx::{
    error::DatabaseError,
    postgres::{PgConnectOptions, PgDatabaseError},
};

use crate::{cli::output, config::ConfigError, error::Error, telemetry::LoggingError};

/// The exit code when a question could not be answered.
pub(super) const NO_ANSWER: u8 = 2;

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    pub(super) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Says why, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        for line in self.sentence.lines() {
            output::aside(&format!("murph: {line}\n"));
        }
        ExitCode::from(self.code)
    }
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self { sentence, code: 1 }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        // Each problem is a line of its own, with its mend.
        error.to_string().into()
    }
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Self {
        error.to_string().into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unavailable(cause) | Error::Database(cause) => database(cause),
            other => other.to_string(),
        }
        .into()
    }
}

/// Why something could not be done to a file.
pub(super) fn file(
    doing: &str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> Failure + use<> {
    let what = format!("cannot {doing} {}", path.display());
    move |error| Failure::from(format!("{what}: {}", io_cause(&error)))
}

/// What the system said, without its number, and what to do about it.
pub(super) fn io_cause(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let mend = match error.kind() {
        Kind::PermissionDenied => "; let the user that runs Murph do that",
        Kind::NotFound => "; check the path",
        Kind::ReadOnlyFilesystem => "; choose another place or mount it for writing",
        Kind::StorageFull | Kind::QuotaExceeded => "; make some room",
        _ => "",
    };
    format!("{}{mend}", said(error))
}

/// What the system said, without its number.
pub(super) fn said(error: &impl Display) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_lowercase()
}

/// What went wrong while working with a database.
fn database(error: &sqlx::Error) -> String {
    use sqlx::Error as E;
    match error {
        E::Database(cause) if is_postgres(&**cause) => {
            format!("PostgreSQL refused: {}; its own log says more", cause.message())
        }
        E::Database(cause) => sqlite(&**cause),
        E::Io(cause) => format!("lost the database: {}; is it running?", said(cause)),
        E::PoolTimedOut => "the database gave no connection in time; is it overloaded, or is \
                            database.max_connections too small?"
            .into(),
        other => format!("the database did not do what was asked: {}", said(other)),
    }
}

fn is_postgres(cause: &dyn DatabaseError) -> bool {
    cause.try_downcast_ref::<PgDatabaseError>().is_some()
}

fn sqlite(cause: &dyn DatabaseError) -> String {
    // The low byte is the kind of failure, the others say more about it.
    let kind = cause.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    match kind {
        Some(5 | 6) => "another program is writing to the SQLite database; try again when it is \
                        done"
            .into(),
        Some(8) => "the SQLite database can only be read; let the user that runs Murph write the \
                    file and its directory"
            .into(),
        Some(10) => "the disk failed under the SQLite database; look at the system's log".into(),
        Some(11) => {
            "the SQLite database is damaged; put a copy in its place with `murph restore`".into()
        }
        Some(13) => "there is no room left for the SQLite database; make some".into(),
        Some(14) => "cannot open the SQLite database; let the user that runs Murph write the file \
                     and its directory"
            .into(),
        Some(26) => "the file is not a SQLite database; check database.url".into(),
        _ => format!("SQLite refused: {}; does `murph doctor` find more?", cause.message()),
    }
}

/// What kept us from PostgreSQL.
pub(super) fn postgres(to: &PgConnectOptions, error: &sqlx::Error) -> String {
    use sqlx::Error as E;
    let host = to.get_host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let at = format!("PostgreSQL at {host}:{}", to.get_port());
    match error {
        E::Database(cause) => postgres_refused(to, &at, &**cause),
        E::Tls(cause) => {
            format!("cannot reach {at} over TLS: {cause}; check sslmode in database.url")
        }
        E::Io(cause) => {
            format!("cannot reach {at}: {}; is it running? check database.url", said(cause))
        }
        E::PoolTimedOut => {
            format!("cannot reach {at}: it did not answer in time; is it running and in reach?")
        }
        other => format!("cannot reach {at}: {}; check database.url", said(other)),
    }
}

fn postgres_refused(to: &PgConnectOptions, at: &str, cause: &dyn DatabaseError) -> String {
    let user = to.get_username();
    match cause.code().as_deref() {
        Some("28P01" | "28000") => {
            format!(
                "{at} does not let the user {user:?} in; check user and password in database.url"
            )
        }
        Some("3D000") => {
            let name = to.get_database().unwrap_or(user);
            format!("{at} has no database {name:?}; make it with `createdb`, or check database.url")
        }
        Some("53300") => format!("{at} has no connection left; raise its max_connections"),
        Some("57P03") => format!("{at} is just starting or stopping; try again in a moment"),
        _ => format!("{at} refused: {}; check database.url", cause.message()),
    }
}
