//! Journals and their transfers. Nothing here is ever changed or deleted.

use serde::Serialize;

use crate::{
    db::{
        Tx,
        portable::{Hex, Rows},
    },
    domain::ledger::Journal,
    error::Result,
};

#[derive(Serialize)]
struct JournalRow<'a> {
    id: &'a str,
    kind: &'static str,
    actor: Option<Hex>,
    at: i64,
}

#[derive(Serialize)]
struct TransferRow<'a> {
    journal_id: &'a str,
    seq: usize,
    debit: Hex,
    credit: Hex,
    currency: String,
    amount: i64,
    at: i64,
}

/// Appends journals. The id of one that is there already is a unique violation.
macro_rules! insert_journals {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n, [id text, kind text, actor uuid, at time],
            "INSERT INTO journals (id, kind, actor, at) SELECT r.id, r.kind, r.actor, r.at FROM",
            "ORDER BY r.id"
        )
    };
}

/// Appends the transfers of journals that are there.
macro_rules! insert_transfers {
    ($db:ident $n:literal) => {
        bulk!(
            $db $n,
            [journal_id text, seq bigint, debit uuid, credit uuid, currency text, amount bigint,
             at time],
            "INSERT INTO transfers
               (journal_id, seq, debit_account_id, credit_account_id, currency, amount, at)
             SELECT r.journal_id, r.seq, r.debit, r.credit, r.currency, r.amount, r.at FROM",
            "WHERE true"
        )
    };
}

/// The rows of `insert_journals!` and of `insert_transfers!`.
pub(super) fn rows(journals: &[Journal]) -> (Rows, Rows) {
    let transfers = journals.iter().flat_map(transfer_rows);
    (Rows::of(journals.iter().map(journal_row)), Rows::of(transfers))
}

fn journal_row(journal: &Journal) -> JournalRow<'_> {
    JournalRow {
        id: &journal.id,
        kind: journal.kind.as_str(),
        actor: journal.actor.map(|actor| Hex(actor.uuid())),
        at: journal.at.micros(),
    }
}

fn transfer_rows(journal: &Journal) -> impl Iterator<Item = TransferRow<'_>> {
    journal.transfers.iter().enumerate().map(|(seq, transfer)| TransferRow {
        journal_id: &journal.id,
        seq,
        debit: Hex(transfer.debit.uuid()),
        credit: Hex(transfer.credit.uuid()),
        currency: transfer.currency.to_string(),
        amount: transfer.amount.micros(),
        at: journal.at.micros(),
    })
}

/// Whether there is such a journal.
pub async fn is_there(tx: &mut Tx, id: &str) -> Result<bool> {
    let found: Option<(String,)> = on!(tx, conn => sqlx::query_as(
        "SELECT id FROM journals WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await)?;
    Ok(found.is_some())
}
