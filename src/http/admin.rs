//! `/api/v1/admin`: what only those see who run the place.

use axum::extract::State;

use crate::{
    app::App,
    domain::audit::Report,
    error::Result,
    http::{
        extract::{Admin, Json},
        openapi::{Routes, routes},
    },
    service::check,
};

pub(super) fn routes() -> Routes {
    routes! { "admin"
        /// Do the books balance?
        ///
        /// Replays all journals: on a large ledger this takes its time.
        GET "/admin/ledger/check" => check_ledger;
    }
}

async fn check_ledger(State(app): State<App>, _: Admin) -> Result<Json<Report>> {
    Ok(Json(check::check(&app.db).await?))
}
