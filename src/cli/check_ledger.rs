//! `murph check-ledger`: whether the books balance, for people and for cron.

use std::{fmt::Write, process::ExitCode};

use clap::Args;

use crate::{
    cli::{database, fail::Failure, output},
    config::Config,
    db::migrate,
    domain::audit::{INVARIANTS, Report},
    service,
};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, options: &Options) -> Result<ExitCode, Failure> {
    let db = database::look(config).await?;
    database::check_current(&migrate::status(&db).await?)?;
    let report = service::check::check(&db).await?;
    db.close().await;
    if options.json { output::json(&report) } else { output::block(&table(&report)) }?;
    Ok(if report.balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each invariant, below it what breaks it, and what was looked at.
fn table(report: &Report) -> String {
    let mut table = String::new();
    for (invariant, says) in INVARIANTS {
        let findings: Vec<_> =
            report.findings.iter().filter(|finding| finding.invariant == *invariant).collect();
        let state = match findings.len() {
            0 => "ok".to_owned(),
            count => format!("{count} wrong"),
        };
        add_line(&mut table, &format!("{invariant:<4} {state:<9} {says}"));
        for finding in findings {
            add_line(&mut table, &format!("       {} {}", finding.subject, finding.problem));
        }
    }
    let Report { accounts, sessions, journals, transfers, .. } = report;
    let verdict = if report.balanced { "balanced" } else { "NOT balanced" };
    add_line(
        &mut table,
        &format!(
            "{verdict}: {accounts} accounts, {sessions} sessions, {journals} journals, \
             {transfers} transfers"
        ),
    );
    table
}

fn add_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::Finding;

    #[test]
    fn what_is_wrong_stands_below_what_it_breaks() {
        let finding = Finding {
            invariant: "I3",
            subject: "account x".into(),
            problem: "holds too much".into(),
        };
        let report = Report { findings: vec![finding], accounts: 2, ..Report::default() };
        let table = table(&report);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), INVARIANTS.len() + 2);
        assert!(lines[0].starts_with("I1   ok        "), "{}", lines[0]);
        assert!(lines[2].starts_with("I3   1 wrong   "), "{}", lines[2]);
        assert_eq!(lines[3], "       account x holds too much");
        assert!(table.ends_with("NOT balanced: 2 accounts, 0 sessions, 0 journals, 0 transfers\n"));
    }
}
