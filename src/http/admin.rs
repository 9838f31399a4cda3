//! `/api/v1/admin`: what only those see who run the place.

use axum::{Router, extract::State, routing::get};

use crate::{
    app::App,
    domain::audit::Report,
    error::Result,
    http::extract::{Admin, Json},
    service::check,
};

pub fn routes() -> Router<App> {
    Router::new().route("/admin/ledger/check", get(check_ledger))
}

/// Do the books balance?
async fn check_ledger(State(app): State<App>, _: Admin) -> Result<Json<Report>> {
    Ok(Json(check::check(&app.db).await?))
}
