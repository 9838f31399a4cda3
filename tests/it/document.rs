//! The `OpenAPI` document, as a judge: whether what is answered is what it says. Every answer that a
//! test gets goes through here.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::{Draft, Validator};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::harness::Reply;

pub(crate) static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::read);

pub(crate) struct Document {
    pub(crate) json: Value,
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
        let paths = json["paths"].as_object().unwrap().keys();
        let parts = |path: &str| path.split('/').map(str::to_owned).collect();
        let routes = paths.map(|path| Route { path: path.clone(), parts: parts(path) }).collect();
        Self { json, routes, validators: Mutex::default() }
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
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        // The fewest placeholders: `/sessions/active` is not a session's id.
        let fitting = self.routes.iter().filter(|route| route.fits(path));
        let Some(route) = fitting.min_by_key(|route| route.placeholders()) else { return Ok(()) };
        let method = method.as_str().to_ascii_lowercase();
        let operation = &self.json["paths"][&route.path][&method];
        if operation.is_null() {
            let is_refused = reply.status == StatusCode::METHOD_NOT_ALLOWED;
            return if is_refused { Ok(()) } else { Err("there is no such method".into()) };
        }
        let status = reply.status.as_u16().to_string();
        let answer = self.resolve(&operation["responses"][&status]);
        if answer.is_null() {
            return Err(format!("there is no {status}"));
        }
        let content_type = reply.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        match (answer["content"].as_object(), content_type) {
            (None, _) if reply.text.is_empty() => Ok(()),
            (Some(content), Some(given)) => {
                let essence = |text: &str| text.split(';').next().map(str::to_owned);
                let found = content.iter().find(|(known, _)| essence(known) == essence(&given));
                let (_, media) = found.ok_or_else(|| format!("{given} is not among the types"))?;
                let key = format!("{method} {} {status} {given}", route.path);
                self.judge_body(&key, &media["schema"], &reply.body)
            }
            (_, given) => Err(format!("it comes as {given:?}")),
        }
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
        let schemas = &self.json["components"]["schemas"];
        let schema = json!({ "allOf": [schema], "components": { "schemas": schemas } });
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        options.should_validate_formats(true).build(&schema).unwrap()
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
