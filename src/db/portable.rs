//! The two macros by which SQL is written once.

/// Runs one expression on the database behind `$tx`, with `$conn` bound to its connection.
///
/// The SQL must mean the same on both.
macro_rules! on {
    ($tx:expr, $conn:ident => $run:expr) => {
        match $tx.conn() {
            $crate::db::Conn::Sqlite($conn) => $run,
            $crate::db::Conn::Postgres($conn) => $run,
        }
    };
}

/// Runs one statement over many rows, which come as one JSON array in `$1`.
///
/// Between the two pieces of SQL stands the table `r` with the columns named in the brackets;
/// that table is the only difference between the two databases:
///
/// ```text
/// bulk!(tx, &rows, [id uuid, amount bigint],
///     "UPDATE accounts SET held = accounts.held + r.amount FROM", "WHERE accounts.id = r.id")
/// ```
///
/// Ids must be written as 32 hexadecimal digits ([`Hex`]), times as microseconds. On SQLite
/// `jsonb_each` keeps each row in its binary form, so that its columns are not parsed again.
/// Evaluates to the number of rows written.
macro_rules! bulk {
    ($tx:expr, $rows:expr, [$($column:ident $ty:ident),* $(,)?], $before:literal, $after:literal) => {{
        let rows = serde_json::to_string($rows).expect("rows are plain data");
        match $tx.conn() {
            $crate::db::Conn::Sqlite(conn) => sqlx::query(concat!(
                $before, " (SELECT key", $(", ", column!(sqlite $ty $column), " AS ", stringify!($column)),*,
                " FROM jsonb_each($1)) AS r ", $after
            ))
            .bind(rows)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()),
            $crate::db::Conn::Postgres(conn) => sqlx::query(concat!(
                $before, " (SELECT key", $(", ", column!(postgres $ty $column), " AS ", stringify!($column)),*,
                " FROM json_to_recordset($1::json) AS j(key text",
                $(", ", stringify!($column), " ", column!(type $ty)),*, ")) AS r ", $after
            ))
            .bind(rows)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()),
        }
        .map_err($crate::error::Error::from)
    }};
}

/// How one column of `bulk!` is read out of the JSON.
macro_rules! column {
    (sqlite uuid $column:ident) => {
        concat!("unhex(value->>'", stringify!($column), "')")
    };
    (sqlite json $column:ident) => {
        concat!("value->'", stringify!($column), "'")
    };
    (sqlite $ty:ident $column:ident) => {
        concat!("value->>'", stringify!($column), "'")
    };
    (postgres time $column:ident) => {
        // Exact: a product of whole microseconds, far below 2^53.
        concat!("'epoch'::timestamptz + ", stringify!($column), " * interval '1 microsecond'")
    };
    (postgres $ty:ident $column:ident) => {
        stringify!($column)
    };
    (type uuid) => {
        "uuid"
    };
    (type bigint) => {
        "bigint"
    };
    (type boolean) => {
        "boolean"
    };
    (type text) => {
        "text"
    };
    (type json) => {
        "jsonb"
    };
    (type time) => {
        "bigint"
    };
}

/// An id as `bulk!` wants it: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex(pub(super) uuid::Uuid);

impl serde::Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.simple())
    }
}

/// Ids as a JSON array, for SQLite's `unhex(value) … FROM json_each($1)`.
pub(super) fn hex_array(ids: impl IntoIterator<Item = uuid::Uuid>) -> String {
    let ids: Vec<Hex> = ids.into_iter().map(Hex).collect();
    serde_json::to_string(&ids).expect("ids are plain data")
}
