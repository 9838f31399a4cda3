//! `murph rebuild`: what is kept beside the ledger, made anew from it.

use std::process::ExitCode;

use crate::{
    cli::{database, fail::Failure, lock::Lock, output},
    config::{Config, Database},
    db::migrate,
    service::earnings,
};

/// On PostgreSQL servers may run meanwhile: they settle when it is done.
pub(super) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    // It must be there, and as this Murph knows it.
    let looked_at = database::look(config).await?;
    database::check_current(&migrate::status(&looked_at).await?)?;
    looked_at.close().await;

    let _lock = Lock::of(config)?;
    // All sessions there ever were take longer than any request may.
    let patient = Database { statement_timeout_ms: 0, ..config.database.clone() };
    let db = database::open(&Config { database: patient, ..config.clone() }).await?;
    earnings::rebuild(&db).await?;
    db.close().await;
    output::line("the sums of earnings and ratings are those of the ledger")
}
