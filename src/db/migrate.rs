//! The schema, brought forward or one step back.

use sqlx::{
    PgConnection, PgPool,
    migrate::{Migrate, MigrateError, Migrator},
};

use crate::{
    db::{Db, Tx},
    error::{Error, Result},
};

/// One step of the schema, and whether this database has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub version: i64,
    pub name: String,
    pub applied: bool,
}

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Takes all steps that are missing. Any number of nodes may do so at once: on PostgreSQL an
/// advisory lock lets one work while the others wait; on SQLite a step is taken by one of them.
pub async fn up(db: &Db) -> Result<()> {
    let result = match db {
        Db::Sqlite { writer, .. } => {
            let mut result = SQLITE.run(writer).await;
            // Who was second with a step finds it taken, and goes on from there.
            for _ in SQLITE.iter() {
                if result.is_ok() {
                    break;
                }
                result = SQLITE.run(writer).await;
            }
            result
        }
        Db::Postgres { pool, .. } => {
            POSTGRES.run_direct(None, &mut patient_connection(pool).await?, false).await
        }
    };
    result.map_err(explain)?;
    db.fill_index().await
}

/// Takes the last step back. `None` if there is none to take back.
pub async fn down(db: &Db) -> Result<Option<Step>> {
    let steps = status(db).await?;
    let Some(last) = steps.iter().rfind(|step| step.applied) else { return Ok(None) };
    let target = steps.iter().rfind(|step| step.version < last.version);
    let target = target.map_or(0, |step| step.version);
    match db {
        Db::Sqlite { writer, .. } => SQLITE.undo(writer, target).await,
        Db::Postgres { pool, .. } => {
            POSTGRES.undo(&mut patient_connection(pool).await?, target).await
        }
    }
    .map_err(explain)?;
    Ok(Some(last.clone()))
}

/// A connection that waits for its turn and for its work however long they take, and that is not
/// given back: one that failed half-way would keep the lock in the pool.
async fn patient_connection(pool: &PgPool) -> Result<PgConnection> {
    let mut connection = pool.acquire().await?.detach();
    for setting in ["SET statement_timeout = 0", "SET lock_timeout = 0"] {
        sqlx::query(setting).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// All steps this Murph knows. An error if the database has taken one that it does not know.
pub async fn status(db: &Db) -> Result<Vec<Step>> {
    let (migrator, applied) = match db {
        Db::Sqlite { reader, .. } => {
            (&SQLITE, applied(&mut Tx::SqliteRead(reader.acquire().await?)).await?)
        }
        Db::Postgres { pool, .. } => {
            (&POSTGRES, applied(&mut Tx::PostgresRead(pool.acquire().await?)).await?)
        }
    };
    let ups: Vec<_> =
        migrator.iter().filter(|step| step.migration_type.is_up_migration()).collect();
    if let Some(unknown) =
        applied.iter().find(|version| ups.iter().all(|up| up.version != **version))
    {
        return Err(explain(MigrateError::VersionMissing(*unknown)));
    }
    let step = |up: &&sqlx::migrate::Migration| Step {
        version: up.version,
        name: up.description.to_string(),
        applied: applied.contains(&up.version),
    };
    Ok(ups.iter().map(step).collect())
}

/// The versions the database has taken; none if it is new.
async fn applied(tx: &mut Tx) -> Result<Vec<i64>> {
    let applied = on!(tx, conn => {
        conn.list_applied_migrations(&SQLITE.table_name).await.map(|applied| {
            applied.into_iter().map(|step| step.version).collect()
        })
    });
    match applied {
        Ok(applied) => Ok(applied),
        Err(MigrateError::Execute(sqlx::Error::Database(error))) if is_missing_table(&*error) => {
            Ok(Vec::new())
        }
        Err(error) => Err(explain(error)),
    }
}

fn is_missing_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

fn explain(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::VersionMissing(version) => Error::Schema(format!(
            "the database is newer than this Murph: it has taken step {version}, which is not \
             known here. Start the Murph that wrote it, or a newer one"
        )),
        MigrateError::VersionMismatch(version) => Error::Schema(format!(
            "step {version} of the schema was another when this database took it. Start the \
             Murph that wrote it, or restore a backup"
        )),
        other => Error::Schema(other.to_string()),
    }
}
