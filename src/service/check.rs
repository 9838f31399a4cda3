//! Do the books balance?

use crate::{
    db::{self, Db},
    domain::audit::Report,
    error::Result,
};

/// Looks at everything, on a database in use, and names what is wrong.
pub async fn check(db: &Db) -> Result<Report> {
    db::audit::check(&mut db.snapshot().await?).await
}
