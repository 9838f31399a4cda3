//! `/.well-known/jwks.json`: the public keys, for others who check our tokens.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    extract::Json,
    openapi::{Operation, Output, Promise, Routes, routes},
};
use crate::app::App;

/// How long others may keep the public keys. Short, so that a new one is soon known everywhere.
const CACHE_CONTROL: &str = "public, max-age=300";

pub(super) fn routes() -> Routes {
    routes! { "keys"
        /// The keys that access tokens are signed with (RFC 7517).
        GET "/.well-known/jwks.json" => jwks;
    }
}

/// A set of public keys.
struct KeySet(Value);

impl IntoResponse for KeySet {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, CACHE_CONTROL)], Json(self.0)).into_response()
    }
}

impl Output for KeySet {
    fn describe(operation: &mut Operation<'_>) {
        let schema = serde_json::json!({
            "type": "object",
            "description": "A JSON Web Key Set.",
            "required": ["keys"],
            "properties": { "keys": { "type": "array", "items": { "type": "object" } } },
            "examples": [{ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }] }],
        });
        operation.answers(StatusCode::OK, Promise::of("application/json", schema));
    }
}

async fn jwks(State(app): State<App>) -> KeySet {
    KeySet(app.keys.jwks())
}
