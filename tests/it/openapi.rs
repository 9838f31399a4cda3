//! The `OpenAPI` document: complete, consistent, and the one in the repository.

use std::collections::BTreeSet;

use murph::http::{codes, openapi};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    document::{DOCUMENT, Operation},
    harness::{Reply, TestApp},
};

const COMMITTED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"));

/// Codes that no route has: one is for paths without such a method, the other is told on sockets; a
/// session that has moved is looked for where it is.
const OF_NO_ROUTE: &[&str] = &["method_not_allowed", "session_moved"];

#[test]
fn the_committed_file_is_what_the_code_says() {
    let is_same = COMMITTED == openapi::text();
    assert!(is_same, "write it anew: target/debug/murph openapi > openapi.json");
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn every_route_says_what_it_is_for() {
    let mut names = BTreeSet::new();
    let tags = DOCUMENT.json["tags"].as_array().unwrap();
    for Operation { method, path, json } in DOCUMENT.operations() {
        let summary = words(&json["summary"]);
        assert!((3..100).contains(&summary.len()) && !summary.ends_with('.'), "{method} {path}");
        let tag = json!({ "name": json["tags"][0] });
        assert!(tags.contains(&tag), "{method} {path}");
        assert!(names.insert(words(&json["operationId"])), "{method} {path}");
        assert!(json["security"].is_array(), "{method} {path}");
    }
}

#[test]
fn every_route_has_its_answers() {
    for Operation { method, path, json } in DOCUMENT.operations() {
        let answers = json["responses"].as_object().unwrap();
        let has = |status: &str| answers.contains_key(status);
        let is_success = |status: &str| status.starts_with('2') || ["101", "308"].contains(&status);
        let succeeds = answers.keys().any(|status| is_success(status));
        assert!(succeeds && has("500") && has("503"), "{method} {path}");
        let takes_json = !json["requestBody"].is_null();
        assert!(!takes_json || has("400") && has("413") && has("415") && has("422"), "{path}");
        let takes_token = json["security"].to_string().contains("bearer");
        assert!(!takes_token || has("401"), "{method} {path}");
        assert!(!path.contains("_id}") || has("404"), "{method} {path}");
        for answer in answers.values() {
            let answer = DOCUMENT.resolve(answer);
            assert!(!words(&answer["description"]).is_empty(), "{method} {path}");
            assert!(!answer["headers"]["X-Request-Id"].is_null(), "{method} {path}");
        }
    }
}

/// The codes a status may come with.
fn codes_of(answer: &Value) -> Vec<&str> {
    let schema = &answer["content"]["application/problem+json"]["schema"];
    let codes = schema["allOf"][1]["properties"]["code"]["enum"].as_array();
    codes.into_iter().flatten().map(words).collect()
}

#[test]
fn every_problem_is_one_of_the_table() {
    let mut seen = BTreeSet::new();
    for Operation { method, path, json } in DOCUMENT.operations() {
        for (status, answer) in json["responses"].as_object().unwrap() {
            let found = codes_of(DOCUMENT.resolve(answer));
            assert!(!found.is_empty() || status.as_str() < "400", "{method} {path} {status}");
            for name in found {
                let code = codes::ALL.iter().find(|code| code.name == name).unwrap();
                assert_eq!(code.status.as_str(), status, "{method} {path} {name}");
                seen.insert(name);
            }
        }
    }
    let all = codes::ALL.iter().map(|code| code.name);
    let unused: Vec<_> = all.filter(|name| !seen.contains(name)).collect();
    assert_eq!(unused, OF_NO_ROUTE, "no route says that it may answer so");
}

#[test]
fn only_what_carries_files_may_take_its_time() {
    let has_limit = |json: &Value| {
        codes_of(&json["responses"]["503"]).contains(&"took_too_long")
            || json["responses"]["503"]["$ref"] == "#/components/responses/took_too_long"
    };
    let others = DOCUMENT.operations().filter(|operation| !has_limit(operation.json));
    let others: BTreeSet<_> =
        others.map(|operation| words(&operation.json["operationId"])).collect();
    assert_eq!(others, BTreeSet::from(["media_play", "media_put", "videos_file"]));
}

/// All references in a part of the document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn references_lead_somewhere_and_nothing_is_left_over() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT.json, &mut found);
    for reference in &found {
        DOCUMENT.at(reference);
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in DOCUMENT.json["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(found.contains(reference.as_str()), "{reference} is not used");
            // Two types of one name: the second would be numbered.
            assert!(
                !name.ends_with(|c: char| c.is_ascii_digit()),
                "{name} wants a name of its own"
            );
        }
    }
}

#[test]
fn examples_are_examples() {
    for (name, schema) in DOCUMENT.json["components"]["schemas"].as_object().unwrap() {
        let validator = DOCUMENT.validator(schema);
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert!(validator.is_valid(example), "{name}: {example}");
        }
    }
}

/// The examples of a body, by the name of their form if there are several.
fn examples_of(media: &Value) -> Vec<(&str, &Value)> {
    match (media.get("example"), media["examples"].as_object()) {
        (Some(example), None) => vec![("", example)],
        (None, Some(forms)) => {
            forms.iter().map(|(form, example)| (form.as_str(), &example["value"])).collect()
        }
        _ => vec![],
    }
}

#[test]
fn every_body_has_an_example_of_each_of_its_forms() {
    let mut bodies = 0;
    for Operation { method, path, json } in DOCUMENT.operations() {
        let answers = json["responses"].as_object().unwrap().iter();
        let answers = answers.filter(|(status, _)| status.starts_with('2'));
        for body in answers.map(|(_, answer)| answer).chain(json.get("requestBody")) {
            let Some(media) = body["content"].get("application/json") else { continue };
            bodies += 1;
            let examples = examples_of(media);
            assert!(!examples.is_empty(), "{method} {path} has no example");
            let validator = DOCUMENT.validator(&media["schema"]);
            for (form, example) in examples {
                let problems: Vec<_> =
                    validator.iter_errors(example).map(|e| e.to_string()).collect();
                assert!(problems.is_empty(), "{method} {path} {form}: {problems:?}\n{example:#}");
                assert!(
                    !example.to_string().contains('…'),
                    "say in src/http/openapi/example.rs what is like in {method} {path}: {example:#}"
                );
            }
        }
    }
    assert!(bodies > 70, "{bodies}");
}

async fn get(app: &TestApp, path: &str, tag: Option<&str>) -> Reply {
    let mut request = app.client.get(format!("{}{path}", app.url));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    Reply::to(&Method::GET, request).await
}

#[tokio::test]
async fn the_document_and_its_pages_are_served() {
    let app = TestApp::start().await;
    let document = get(&app, "/openapi.json", None).await.is(200);
    assert_eq!(document.text, openapi::text());
    let tag = document.headers["etag"].to_str().unwrap();
    assert_eq!(get(&app, "/openapi.json", Some(tag)).await.is(304).text, "");
    let head = app.client.head(format!("{}/openapi.json", app.url)).send().await.unwrap();
    assert_eq!(head.headers()["etag"], tag);
    assert_eq!(head.headers()["content-length"], document.text.len().to_string().as_str());
    for path in ["/docs", "/docs/", "/docs/errors"] {
        let page = get(&app, path, None).await.is(200);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(page.text.starts_with("<!doctype html>"), "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn redoc_leads_to_the_page() {
    let app = TestApp::start().await;
    for path in ["/redoc", "/redoc/"] {
        let moved = get(&app, path, None).await.is(308);
        assert_eq!(
            (&moved.headers["location"], moved.text.as_str()),
            (&"/docs".parse().unwrap(), "")
        );
    }
    app.close().await;
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let app = TestApp::start().await;
    let problem = app.get("/api/v1/auth/me").await.is(401);
    let (path, fragment) = problem.body["type"].as_str().unwrap().split_once('#').unwrap();
    let page = get(&app, path, None).await.is(200);
    assert!(page.text.contains(&format!("id=\"{fragment}\"")));
    app.close().await;
}
