//! `/api/v1/webhooks`: what others tell Murph by themselves.
//!
//! No token is asked for: whoever calls has signed what is sent, byte for byte, with a secret that is shared
//! for this. Only what was signed is read.

use axum::extract::{Request, State};
use serde_json::json;

use super::{
    answer::NoContent,
    error::Problem,
    extract::json,
    openapi::{IN_JSON, Input, Operation, Raw, Routes, routes},
    upload::logged,
};
use crate::{
    app::App,
    error::{Error, Result},
    mux::{self, Event, Heard, Mux},
    service::videos,
};

pub(super) fn routes() -> Routes {
    routes! { "webhooks"
        /// What became of a file: Mux says so by itself.
        ///
        /// Sent twice, it is done once; what is of no interest, or about an asset that is not ours, is
        /// answered as if it were done. Without Mux there is nothing here.
        POST "/webhooks/mux" => mux [NOT_FOUND FORBIDDEN UNAVAILABLE];
    }
}

/// An event of Mux, signed.
enum MuxEvent {}

impl Input for MuxEvent {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_parameter(json!({
            "name": mux::SIGNATURE,
            "in": "header",
            "required": true,
            "description": "When it was signed, and the HMAC (SHA-256) of that time, a point and the body: \
                `t=1700000000,v1=34f2…`. Good for five minutes.",
            "schema": { "type": "string" },
        }));
        let schema = json!({
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": { "type": "string", "examples": ["video.asset.ready"] },
                "data": {
                    "description": "What it is about.",
                    "examples": [{
                        "id": "asset1",
                        "status": "ready",
                        "playback_ids": [{ "id": "pb1", "policy": "signed" }],
                    }],
                },
            },
        });
        operation.takes("application/json", &schema);
        operation.may_find(IN_JSON);
    }
}

async fn mux(
    State(app): State<App>,
    Raw { request, .. }: Raw<MuxEvent>,
) -> Result<NoContent, Problem> {
    let signature = request.headers().get(mux::SIGNATURE).and_then(|value| value.to_str().ok());
    let signature =
        signature.ok_or(Error::Forbidden("this is for Mux, which signs what it sends"))?;
    let mux = app.mux.as_ref().ok_or(Error::NotFound("a webhook of Mux"))?;
    let event = read(&app, (mux, signature.to_owned()), request).await?;
    let about = event.about();
    match event.read() {
        Ok(Heard::Asset(asset)) => videos::hear(&app, asset).await.map_err(logged)?,
        Ok(Heard::Nothing) => {}
        Err(problem) => {
            // Others who share Mux with us may make of assets what they like.
            if videos::is_ours(&app, &about).await.map_err(logged)? {
                return Err(Error::invalid("data", problem).into());
            }
        }
    }
    Ok(NoContent)
}

/// An event that Mux has signed.
async fn read(
    app: &App,
    (mux, signature): (&Mux, String),
    request: Request,
) -> Result<Event, Problem> {
    let body = json::bytes(request, app).await?;
    mux.check(&signature, &body, app.clock.now())?;
    json::of_bytes(&body)
}
