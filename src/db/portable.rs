//! The macros by which SQL is written once.

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

/// The rows of `$before IN (the ids) $after`. The ids are UUIDs, and parameter `$1`.
macro_rules! among {
    ($tx:expr, $ids:expr, $before:expr, $after:expr) => {{
        let ids: Vec<uuid::Uuid> = $ids.collect();
        match $tx.conn() {
            $crate::db::Conn::Sqlite(conn) => {
                sqlx::query_as(concat!(
                    $before,
                    " IN (SELECT unhex(value) FROM json_each($1)) ",
                    $after
                ))
                .bind($crate::db::portable::hex_array(ids))
                .fetch_all(conn)
                .await
            }
            $crate::db::Conn::Postgres(conn) => {
                sqlx::query_as(concat!($before, " = ANY($1) ", $after))
                    .bind(ids)
                    .fetch_all(conn)
                    .await
            }
        }
    }};
}

/// The text of one statement over many rows, which come as one JSON array in parameter `$n`.
///
/// Between the two pieces of SQL stands the table `r` with the columns named in the brackets;
/// that table is the only difference between the two databases:
///
/// ```text
/// bulk!(sqlite "1", [id uuid, amount bigint],
///     "UPDATE accounts SET held = accounts.held + r.amount FROM", "WHERE accounts.id = r.id")
/// ```
///
/// The rows are made by [`Rows::of`]: ids are 32 hexadecimal digits ([`Hex`]), bytes
/// hexadecimal digits, too, times microseconds.
/// On SQLite `jsonb_each` keeps each row in its binary form, so that its columns are not parsed
/// again.
macro_rules! bulk {
    (sqlite $n:literal, [$($column:ident $ty:ident),* $(,)?], $before:literal, $after:literal) => {
        concat!(
            $before, " (SELECT key",
            $(", ", column!(sqlite $ty $column), " AS ", stringify!($column)),*,
            " FROM jsonb_each($", $n, ")) AS r ", $after
        )
    };
    (postgres $n:literal, [$($column:ident $ty:ident),* $(,)?], $before:literal, $after:literal) => {
        concat!(
            $before, " (SELECT key",
            $(", ", column!(postgres $ty $column), " AS ", stringify!($column)),*,
            " FROM json_to_recordset($", $n, "::json) AS j(key text",
            $(", ", stringify!($column), " ", column!(type $ty)),*, ")) AS r ", $after
        )
    };
}

/// How one column of `bulk!` is read out of the JSON.
macro_rules! column {
    (sqlite uuid $column:ident) => {
        concat!("unhex(value->>'", stringify!($column), "')")
    };
    (sqlite bytes $column:ident) => {
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
    (postgres bytes $column:ident) => {
        concat!("decode(", stringify!($column), ", 'hex')")
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
    (type bytes) => {
        "text"
    };
    (type json) => {
        "jsonb"
    };
    (type time) => {
        "bigint"
    };
}

/// The rows of one `bulk!` statement.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) json: String,
    pub(super) count: u64,
}

impl Rows {
    pub(super) fn of<T: serde::Serialize>(rows: impl Iterator<Item = T>) -> Self {
        let rows: Vec<T> = rows.collect();
        let json = serde_json::to_string(&rows).expect("rows are plain data");
        Self { json, count: u64::try_from(rows.len()).expect("a batch is small") }
    }
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
