//! A database of a bench's own, on the PostgreSQL it was given.

use murph::{clock::Clock, config::DatabaseUrl, id::SessionId};
use sqlx::{AssertSqlSafe, Connection};

/// An empty database beside the one that `url` names.
pub(crate) async fn fresh(url: &str) -> DatabaseUrl {
    let mut connection = sqlx::PgConnection::connect(url).await.expect("PostgreSQL answers");
    let name = format!("bench_{}", SessionId::new(Clock::System.now()).uuid().simple());
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.expect("a database is made");
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    DatabaseUrl::Postgres(format!("{server}/{name}"))
}
