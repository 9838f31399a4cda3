//! The document as a whole: all routes, and what they share.

use serde_json::{Map, Value, json};

use super::{
    example,
    operation::{Operation, Shared},
    routes::Routes,
};
use crate::http::error;

/// What holds everywhere.
const ABOUT: &str = include_str!("about.md");

/// The document of these routes, as it is kept in a file.
pub(super) fn text(routes: &Routes) -> String {
    let mut text = serde_json::to_string_pretty(&document(routes)).expect("JSON can be written");
    text.push('\n');
    text
}

fn document(routes: &Routes) -> Value {
    let mut shared = Shared::new();
    shared.written::<error::Body<'_>>();
    let (mut paths, mut areas) = (Map::new(), Vec::new());
    for described in routes.table() {
        let mut operation = Operation::new(&mut shared, described);
        (described.describe)(&mut operation);
        let operation = operation.into_json();
        let path = format!("{}{}", described.prefix, described.row.path);
        let path = paths.entry(path).or_insert_with(|| json!({ "parameters": [request_id()] }));
        path[described.row.method_name.to_ascii_lowercase()] = operation;
        if !areas.contains(&described.row.area) {
            areas.push(described.row.area);
        }
    }
    let schemas = shared.schemas();
    example::add(&mut paths, &schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Murph",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "Where this document comes from." }],
        "tags": areas.iter().map(|area| json!({ "name": area })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": shared.problems,
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of `POST /api/v1/auth/login`. What stands \
                        behind it is the role that a caller must have.",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "The `ticket` of `POST /api/v1/sessions/start` or of `POST \
                        /api/v1/sessions/{session_id}/ticket`, if it is not sent in a header.",
                },
            },
        },
    })
}

fn request_id() -> Value {
    json!({ "$ref": "#/components/parameters/X-Request-Id" })
}

fn parameters() -> Value {
    json!({
        "X-Request-Id": {
            "name": "X-Request-Id",
            "in": "header",
            "description": "What the request is to be called in the logs; one of other than 1 to \
                64 letters, digits, dots, hyphens and underscores is replaced.",
            "schema": { "type": "string" },
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The client's name for this request: sent twice under it, it is done once.",
            "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
        },
        "Last-Event-ID": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that came: that one is not sent again.",
            "schema": { "type": "string" },
        },
        "Range": {
            "name": "Range",
            "in": "header",
            "description": "Which bytes to send: one range.",
            "schema": { "type": "string" },
        },
        "If-None-Match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of what the client has already.",
            "schema": { "type": "string" },
        },
        "If-Modified-Since": {
            "name": "If-Modified-Since",
            "in": "header",
            "description": "The `Last-Modified` of what the client has already.",
            "schema": { "type": "string" },
        },
    })
}

/// All but the last one come always, where they are named.
fn headers() -> Value {
    let always = |words: &str, schema: Value| json!({ "description": words, "required": true, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "X-Request-Id": always("What the request is called in the logs.", text()),
        "Retry-After": always("When to ask again, in seconds.", json!({ "type": "integer" })),
        "WWW-Authenticate": always("Which token is wanted.", json!({ "const": "Bearer" })),
        "Content-Disposition": always("Under which name to keep it.", text()),
        "ETag": always("To send back as `If-None-Match`.", text()),
        "Last-Modified": always("To send back as `If-Modified-Since`.", text()),
        "Accept-Ranges": always("A part can be asked for with `Range`.", json!({ "const": "bytes" })),
        "Location": always("Where it is.", text()),
        "Content-Range": always("Which bytes these are, and of how many.", text()),
        "Idempotency-Replayed": {
            "description": "There if the same request was done before.",
            "schema": { "const": "true" },
        },
    })
}
