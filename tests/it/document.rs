//! The `OpenAPI` document, as a judge: whether what is answered is what it says, and no more. What
//! the harness's client is answered goes through here; what comes over a bare connection (`front`,
//! the handshake of sockets) does not.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::{Draft, Validator};
use reqwest::{
    Method, Response, StatusCode,
    header::{self, HeaderMap},
};
use serde_json::{Value, json};

use crate::harness::Reply;

pub(crate) static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::read);

pub(crate) struct Document {
    pub(crate) json: Value,
    /// The schemas, with no fields but those that are described.
    closed: Value,
    routes: Vec<Route>,
    /// Those that were needed so far, by where their schema is in the document.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// A path with placeholders.
struct Route {
    path: String,
    parts: Vec<String>,
}

/// What the document says about one method of one path.
pub(crate) struct Operation<'a> {
    pub(crate) method: String,
    pub(crate) path: &'a str,
    pub(crate) json: &'a Value,
}

/// Fails if the document does not have this answer to that request.
#[track_caller]
pub(crate) fn assert_documented(method: &Method, path: &str, reply: &Reply) {
    if let Err(problem) = DOCUMENT.judge(method, path, reply) {
        panic!("{method} {path} is not answered as openapi.json says: {problem}\n{reply:?}");
    }
}

/// Fails if the document does not have an answer with this head to that request.
#[track_caller]
pub(crate) fn assert_documented_head(method: &Method, response: &Response) {
    let path = response.url().path();
    let judged = DOCUMENT.judge_head(method, path, response.status(), response.headers());
    if let Err(problem) = judged {
        panic!("{method} {path} is not answered as openapi.json says: {problem}\n{response:?}");
    }
}

/// Fails if the document does not have an event with this in it on that stream.
#[track_caller]
pub(crate) fn assert_documented_event(path: &str, data: &Value) {
    let answer = &DOCUMENT.json["paths"][path]["get"]["responses"]["200"];
    let schema = &answer["content"]["text/event-stream"]["schema"]["x-data"];
    if let Err(problem) = DOCUMENT.judge_body(&format!("event {path}"), schema, data) {
        panic!("no such event is on {path} in openapi.json: {problem}\n{data}");
    }
}

impl Document {
    fn read() -> Self {
        let json: Value = serde_json::from_str(murph::http::openapi::text()).unwrap();
        let mut closed = json["components"]["schemas"].clone();
        close(&mut closed);
        let paths = json["paths"].as_object().unwrap().keys();
        let parts = |path: &str| path.split('/').map(str::to_owned).collect();
        let routes = paths.map(|path| Route { path: path.clone(), parts: parts(path) }).collect();
        Self { json, closed, routes, validators: Mutex::default() }
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let paths = self.json["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
            let upper = |method: &str| method.to_ascii_uppercase();
            methods.map(move |(method, json)| Operation { method: upper(method), path, json })
        })
    }

    /// What a reference leads to; anything else is itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.at(reference),
            None => value,
        }
    }

    pub(crate) fn at(&self, reference: &str) -> &Value {
        let pointer = reference.trim_start_matches('#');
        self.json.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn judge(&self, method: &Method, path: &str, reply: &Reply) -> Result<(), String> {
        match self.judge_head(method, path, reply.status, &reply.headers)? {
            Some((key, schema)) => self.judge_body(&key, schema, &reply.body),
            None if reply.text.is_empty() => Ok(()),
            None => Err("there is no such body".into()),
        }
    }

    /// Gives the schema of the body that an answer with this head has, and a name for it.
    fn judge_head(
        &self,
        method: &Method,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<(String, &Value)>, String> {
        let problem = || {
            let problem = &self.json["components"]["schemas"]["Problem"];
            Ok(Some(("any problem".to_owned(), problem)))
        };
        let Some(route) = self.route(path) else {
            let is_refused = status == StatusCode::NOT_FOUND;
            return if is_refused { problem() } else { Err("there is no such path".into()) };
        };
        let method = method.as_str().to_ascii_lowercase();
        let operation = &self.json["paths"][&route.path][&method];
        if operation.is_null() {
            let is_refused = status == StatusCode::METHOD_NOT_ALLOWED;
            return if is_refused { problem() } else { Err("there is no such method".into()) };
        }
        let answer = self.resolve(&operation["responses"][status.as_str()]);
        if answer.is_null() {
            return Err(format!("there is no {status}"));
        }
        self.judge_headers(answer, headers)?;
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap());
        match (answer["content"].as_object(), content_type) {
            (None, _) => Ok(None),
            (Some(content), Some(given)) => {
                let found = content.iter().find(|(known, _)| is_of(known, given));
                let (_, media) = found.ok_or_else(|| format!("{given} is not among the types"))?;
                Ok(Some((format!("{method} {} {status} {given}", route.path), &media["schema"])))
            }
            (Some(_), None) => Err("it comes without a type".into()),
        }
    }

    /// The fewest placeholders: `/sessions/active` is not a session's id.
    fn route(&self, path: &str) -> Option<&Route> {
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let fitting = self.routes.iter().filter(|route| route.fits(path));
        fitting.min_by_key(|route| route.placeholders())
    }

    fn judge_headers(&self, answer: &Value, headers: &HeaderMap) -> Result<(), String> {
        for (name, described) in answer["headers"].as_object().unwrap() {
            let described = self.resolve(described);
            let Some(value) = headers.get(name).map(|value| value.to_str().unwrap()) else {
                if described["required"] == true {
                    return Err(format!("it comes without {name}"));
                }
                continue;
            };
            let number =
                value.parse::<u64>().ok().filter(|_| described["schema"]["type"] == "integer");
            let value = number.map_or_else(|| json!(value), |number| json!(number));
            self.judge_body(&format!("header {name}"), &described["schema"], &value)?;
        }
        Ok(())
    }

    fn judge_body(&self, key: &str, schema: &Value, body: &Value) -> Result<(), String> {
        let validator = {
            let mut validators = self.validators.lock().unwrap();
            let made = validators.entry(key.to_owned());
            Arc::clone(made.or_insert_with(|| Arc::new(self.validator(schema))))
        };
        let problems = validator.iter_errors(body);
        let problems: Vec<_> =
            problems.map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    pub(crate) fn validator(&self, schema: &Value) -> Validator {
        let schema = json!({ "allOf": [schema], "components": { "schemas": self.closed } });
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        options.should_validate_formats(true).build(&schema).unwrap()
    }
}

/// Whether a type is the known one, or one of a known range.
fn is_of(known: &str, given: &str) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
    match essence(known).strip_suffix('*') {
        Some(beginning) => given.starts_with(beginning),
        None => essence(known) == essence(given),
    }
}

/// Lets objects have no fields but those that are described. Where nothing is, all may be.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

impl Route {
    fn fits(&self, path: &str) -> bool {
        let given: Vec<_> = path.split('/').collect();
        let same = |(part, given): (&String, &&str)| part.starts_with('{') || part == given;
        given.len() == self.parts.len() && self.parts.iter().zip(&given).all(same)
    }

    fn placeholders(&self) -> usize {
        self.parts.iter().filter(|part| part.starts_with('{')).count()
    }
}

/// Whether such an answer to `GET /livez` is as it is described, but for what is changed of it.
fn judged(path: &str, change: impl FnOnce(&mut Reply)) -> bool {
    let body = json!({ "status": "ok" });
    let mut reply =
        Reply { status: StatusCode::OK, headers: HeaderMap::new(), text: body.to_string(), body };
    reply.headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    reply.headers.insert("x-request-id", "req_1".parse().unwrap());
    change(&mut reply);
    DOCUMENT.judge(&Method::GET, path, &reply).is_ok()
}

#[test]
fn what_is_not_described_is_found() {
    assert!(judged("/livez", |_| {}));
    assert!(!judged("/nowhere", |_| {}));
    assert!(!judged("/livez", |reply| reply.status = StatusCode::ACCEPTED));
    assert!(!judged("/livez", |reply| drop(reply.headers.remove("x-request-id"))));
    assert!(!judged("/livez", |reply| drop(reply.headers.remove(header::CONTENT_TYPE))));
    assert!(!judged("/livez", |reply| reply.body["status"] = json!("fine")));
    assert!(!judged("/livez", |reply| reply.body["more"] = json!(1)));
}

#[test]
fn a_range_of_types_has_those_that_begin_so() {
    assert!(is_of("video/*", "video/mp4") && !is_of("video/*", "text/html"));
    assert!(is_of("text/csv", "text/csv; charset=utf-8") && !is_of("text/csv", "text/html"));
}
