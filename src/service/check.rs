//! Do the books balance?

use tracing::{error, info};

use crate::{
    db::{self, Db},
    domain::audit::Report,
    error::Result,
};

/// Looks at everything, on a database in use, and names what is wrong. Changes nothing.
pub async fn check(db: &Db) -> Result<Report> {
    let report = db::audit::check(&mut db.unhurried_snapshot().await?).await?;
    log(&report);
    Ok(report)
}

/// Books that do not balance must wake somebody, whoever asked.
fn log(report: &Report) {
    for finding in &report.findings {
        error!(
            invariant = finding.invariant,
            subject = %finding.subject,
            "{}: {} {}", finding.invariant, finding.subject, finding.problem
        );
    }
    let (accounts, transfers) = (report.accounts, report.transfers);
    if report.balanced {
        info!(accounts, transfers, "the ledger balances");
    } else {
        error!(accounts, transfers, "the ledger does not balance");
    }
}
