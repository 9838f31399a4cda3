//! `/openapi.json`, and pages that show it. They need nothing from anywhere else: the page and what
//! it runs are one file, compiled in, and a policy forbids it everything but that and the document.

use std::{borrow::Cow, fmt::Write, sync::LazyLock};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    codes::{self, Code},
    openapi::{self, Operation, Output, Promise, Routes, routes},
};

const PAGE: &str = include_str!("../../web/docs.html");

/// The page on which problems are explained: in their `type`, with the code as the fragment.
pub(super) const ERRORS: &str = "/docs/errors";

pub(super) fn routes() -> Routes {
    let pages = routes! { "docs"
        /// This document.
        GET "/openapi.json" => document;
        /// This document, for people.
        GET "/docs" => page;
        /// All problems, for people: the `type` of each leads here.
        GET "/docs/errors" => errors;
    };
    let elsewhere = routes! { "docs"
        /// Where other servers have a page like `/docs`.
        GET "/redoc" => redoc;
    };
    pages.conditional().merge(elsewhere)
}

/// What may run and be loaded: what the page came with.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag| STANDARD.encode(Sha256::digest(between(PAGE, tag)));
    let (style, script) = (hash("style"), hash("script"));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 is ASCII")
});

/// What stands in the first such element.
fn between<'a>(page: &'a str, tag: &str) -> &'a str {
    let inner = page.split_once(&format!("<{tag}>")).map(|(_, rest)| rest);
    let inner = inner.and_then(|rest| rest.split_once(&format!("</{tag}>")));
    inner.expect("the page has one").0
}

struct Document;

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], openapi::text()).into_response()
    }
}

impl Output for Document {
    fn describe(operation: &mut Operation<'_>) {
        let schema = json!({
            "type": "object",
            "description": "OpenAPI 3.1.",
            "examples": [{ "openapi": "3.1.0" }],
        });
        operation.answers(StatusCode::OK, Promise::of("application/json", schema));
    }
}

struct Page(Cow<'static, str>);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy = [(header::CONTENT_SECURITY_POLICY, POLICY.clone())];
        (policy, Html(self.0)).into_response()
    }
}

impl Output for Page {
    fn describe(operation: &mut Operation<'_>) {
        let schema = json!({ "type": "string", "description": "A page." });
        operation.answers(StatusCode::OK, Promise::of("text/html", schema));
    }
}

struct Moved(&'static str);

impl IntoResponse for Moved {
    fn into_response(self) -> Response {
        Redirect::permanent(self.0).into_response()
    }
}

impl Output for Moved {
    fn describe(operation: &mut Operation<'_>) {
        let promise = Promise::empty("It is at another address.").with(&["Location"]);
        operation.answers(StatusCode::PERMANENT_REDIRECT, promise);
    }
}

async fn document() -> Document {
    Document
}

async fn page() -> Page {
    Page(PAGE.into())
}

async fn redoc() -> Moved {
    Moved("/docs")
}

async fn errors() -> Page {
    let mut rows = String::new();
    for Code { name, status, title } in codes::ALL {
        let status = status.as_u16();
        writeln!(rows, "<tr id=\"{name}\"><td><code>{name}</code><td>{status}<td>{title}")
            .expect("writing to a string cannot fail");
    }
    let style = between(PAGE, "style");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Problems - Murph</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{style}</style>\n<main>\n<h1>Problems</h1>\n\
         <p>What <code>code</code> says never changes its meaning. <a href=\"/docs\">All routes</a>\n\
         <table>\n<tr><th>code<th>status<th>what it means\n{rows}</table>\n</main>\n"
    );
    Page(page.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nobody_for_anything() {
        for word in ["http:", "https:", "//cdn", "@import", "src=", "url("] {
            assert!(!PAGE.contains(word), "{word}");
        }
        // Attributes would need a policy of their own.
        assert!(!PAGE.contains("style=") && !PAGE.contains("innerHTML"));
        assert_eq!((PAGE.matches("<script>").count(), PAGE.matches("<style>").count()), (1, 1));
    }

    #[tokio::test]
    async fn every_code_is_explained() {
        let Page(text) = errors().await;
        for code in codes::ALL {
            assert!(text.contains(&format!("<tr id=\"{}\">", code.name)), "{}", code.name);
        }
    }
}
