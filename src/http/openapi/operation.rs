//! One route as `OpenAPI` has it: what it takes, whom it is for, what it answers.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use super::routes::Described;
use crate::{
    domain::user::Role,
    http::codes::{self, Code},
};

/// What any route may find, whatever it does: a request in two minds about its length, an answer
/// that takes too long, a fault of ours.
const EVERYWHERE: &[Code] = &[codes::BAD_REQUEST, codes::TOOK_TOO_LONG, codes::INTERNAL];

/// Whom a route is for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) enum Bearer {
    /// Anybody; no token is looked at.
    #[default]
    Nobody,
    /// Whoever has a token, and whoever has none.
    OrNobody,
    Everybody,
    Only(Role),
}

/// What a request or an answer carries.
#[derive(Clone, Debug)]
pub(in crate::http) struct Body {
    pub media_type: &'static str,
    pub schema: Value,
}

/// An answer that is not a problem.
#[derive(Clone, Debug)]
pub(in crate::http) struct Promise {
    pub description: &'static str,
    pub body: Option<Body>,
}

impl Promise {
    pub(in crate::http) fn done() -> Self {
        Self { description: "Done.", body: None }
    }

    pub(in crate::http) fn of(status: StatusCode, body: Body) -> Self {
        let description = match status {
            StatusCode::CREATED => "It is made.",
            _ => "Here it is.",
        };
        Self { description, body: Some(body) }
    }
}

/// What several routes refer to.
#[derive(Debug)]
pub(super) struct Shared {
    read: SchemaGenerator,
    written: SchemaGenerator,
    /// Answers that are problems, by the names of these.
    pub(super) problems: Map<String, Value>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let generator = |contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self {
            read: generator(Contract::Deserialize),
            written: generator(Contract::Serialize),
            problems: Map::new(),
        }
    }

    pub(super) fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// All types by name. One that is both read and written has to be the same in both.
    pub(super) fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = self.written.take_definitions(true);
        for (name, read) in self.read.take_definitions(true) {
            let written = schemas.entry(&name).or_insert_with(|| read.clone());
            assert_eq!(*written, read, "{name} is read as it is written");
        }
        schemas
    }
}

/// A route while it is being described.
#[derive(Debug)]
pub(in crate::http) struct Operation<'a> {
    shared: &'a mut Shared,
    described: &'a Described,
    parameters: Vec<Value>,
    body: Option<Body>,
    bearer: Bearer,
    promises: BTreeMap<u16, Promise>,
    headers: BTreeSet<&'static str>,
    problems: Vec<Code>,
}

impl<'a> Operation<'a> {
    pub(super) fn new(shared: &'a mut Shared, described: &'a Described) -> Self {
        Self {
            shared,
            described,
            parameters: Vec::new(),
            body: None,
            bearer: Bearer::default(),
            promises: BTreeMap::new(),
            headers: BTreeSet::new(),
            problems: [EVERYWHERE, described.row.problems].concat(),
        }
    }

    pub(in crate::http) fn is_for(&mut self, bearer: Bearer) {
        self.bearer = bearer;
    }

    pub(in crate::http) fn may_find(&mut self, problems: &[Code]) {
        self.problems.extend(problems);
    }

    /// One of the headers that the document describes for all.
    pub(in crate::http) fn asks_for(&mut self, header: &str) {
        self.takes_parameter(json!({ "$ref": format!("#/components/parameters/{header}") }));
    }

    /// One of the headers that the document describes for all.
    pub(in crate::http) fn promises(&mut self, header: &'static str) {
        self.headers.insert(header);
    }

    pub(in crate::http) fn takes(&mut self, body: Body) {
        self.body = Some(body);
    }

    pub(in crate::http) fn takes_parameter(&mut self, parameter: Value) {
        self.parameters.push(parameter);
    }

    /// Each field is a parameter.
    pub(in crate::http) fn takes_query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(&mut self.shared.read).to_value();
        let no_names = Vec::new();
        let required = schema["required"].as_array().unwrap_or(&no_names);
        let no_fields = Map::new();
        for (name, field) in schema["properties"].as_object().unwrap_or(&no_fields) {
            let mut field = without_null(field.clone());
            let words = field.as_object_mut().and_then(|field| field.remove("description"));
            let mut parameter = json!({
                "name": name, "in": "query", "schema": field,
                "required": required.iter().any(|required| required == name),
            });
            if let Some(words) = words {
                parameter["description"] = words;
            }
            self.takes_parameter(parameter);
        }
    }

    pub(in crate::http) fn answers(&mut self, status: StatusCode, promise: Promise) {
        self.promises.insert(status.as_u16(), promise);
    }

    /// The form in which a `T` is read.
    pub(in crate::http) fn read<T: JsonSchema>(&mut self) -> Value {
        self.shared.read.subschema_for::<T>().to_value()
    }

    /// The form in which a `T` is answered.
    pub(in crate::http) fn written<T: JsonSchema>(&mut self) -> Value {
        self.shared.written::<T>()
    }

    /// The names of the placeholders of the path.
    pub(in crate::http) fn placeholders(&self) -> Vec<&'static str> {
        let behind_braces = self.described.row.path.split('{').skip(1);
        behind_braces.filter_map(|text| text.split('}').next()).collect()
    }

    pub(super) fn into_json(mut self) -> Value {
        let Described { row, name, is_conditional, .. } = *self.described;
        if is_conditional {
            self.asks_for("If-None-Match");
            self.promises("ETag");
            let description = "It is still what has the tag that was sent.";
            self.answers(StatusCode::NOT_MODIFIED, Promise { description, body: None });
        }
        let (summary, description) = summary_and_rest(row.words);
        let mut json = json!({
            "operationId": format!("{}_{name}", row.area),
            "tags": [row.area],
            "summary": summary,
            "security": security(self.bearer),
            "responses": self.responses(),
        });
        if !description.is_empty() {
            json["description"] = description.into();
        }
        if !self.parameters.is_empty() {
            json["parameters"] = self.parameters.into();
        }
        if let Some(Body { media_type, schema }) = self.body {
            let content = json!({ media_type: { "schema": schema } });
            json["requestBody"] = json!({ "required": true, "content": content });
        }
        json
    }

    fn responses(&mut self) -> Map<String, Value> {
        let mut responses = Map::new();
        for (status, Promise { description, body }) in &self.promises {
            let mut response = json!({ "description": description, "headers": self.headers_of() });
            if let Some(Body { media_type, schema }) = body {
                response["content"][media_type] = json!({ "schema": schema });
            }
            responses.insert(status.to_string(), response);
        }
        for (status, problems) in by_status(&self.problems) {
            let problem = problem(status, &problems);
            let status = status.to_string();
            if let Some(response) = responses.get_mut(&status) {
                // It comes in two forms.
                let content = problem["content"].as_object().into_iter().flatten();
                for (media_type, schema) in content {
                    response["content"][media_type] = schema.clone();
                }
                continue;
            }
            let names: Vec<_> = problems.iter().map(|code| code.name).collect();
            let name = names.join(".");
            responses.insert(status, json!({ "$ref": format!("#/components/responses/{name}") }));
            self.shared.problems.insert(name, problem);
        }
        responses
    }

    /// Of an answer that is not a problem.
    fn headers_of(&self) -> Map<String, Value> {
        let names = self.headers.iter().copied().chain(["X-Request-Id"]);
        names.map(header_reference).collect()
    }
}

fn header_reference(name: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

/// The first paragraph, in one line and without its full stop, and what comes after it.
fn summary_and_rest(words: &str) -> (String, String) {
    let lines: Vec<_> = words.trim().lines().map(str::trim).collect();
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let summary = lines[..end].join(" ");
    let summary = summary.strip_suffix('.').unwrap_or(&summary).to_owned();
    (summary, lines[end..].join("\n").trim().to_owned())
}

fn security(bearer: Bearer) -> Value {
    match bearer {
        Bearer::Nobody => json!([]),
        Bearer::OrNobody => json!([{}, { "bearer": [] }]),
        Bearer::Everybody => json!([{ "bearer": [] }]),
        Bearer::Only(role) => json!([{ "bearer": [role] }]),
    }
}

/// Each once, in the order of the table of codes.
fn by_status(problems: &[Code]) -> BTreeMap<u16, Vec<Code>> {
    let mut sorted: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes::ALL.iter().filter(|code| problems.contains(code)) {
        sorted.entry(code.status.as_u16()).or_default().push(*code);
    }
    sorted
}

fn problem(status: u16, problems: &[Code]) -> Value {
    let words = problems.iter().map(|code| format!("`{}`: {}.", code.name, code.title));
    let names: Vec<_> = problems.iter().map(|code| code.name).collect();
    let headers: &[&str] = match status {
        401 => &["X-Request-Id", "WWW-Authenticate"],
        429 | 503 => &["X-Request-Id", "Retry-After"],
        _ => &["X-Request-Id"],
    };
    let schema = json!({
        "allOf": [
            { "$ref": "#/components/schemas/Problem" },
            { "properties": { "code": { "enum": names }, "status": { "const": status } } },
        ],
    });
    json!({
        "description": words.collect::<Vec<_>>().join(" "),
        "headers": headers.iter().map(|name| header_reference(name)).collect::<Map<_, _>>(),
        "content": { "application/problem+json": { "schema": schema } },
    })
}

/// A parameter is there or not; it is never `null`.
fn without_null(mut schema: Value) -> Value {
    let description = schema.get("description").cloned();
    if let Some(either) = schema.get("anyOf").and_then(Value::as_array) {
        let mut others = either.iter().filter(|one| one["type"] != "null");
        if let (Some(only), None) = (others.next().cloned(), others.next()) {
            schema = only;
        }
    }
    if let Some(types) = schema.get_mut("type")
        && let Some([one, null]) = types.as_array().map(Vec::as_slice)
        && null == "null"
    {
        *types = one.clone();
    }
    if let Some(description) = description {
        schema["description"] = description;
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paragraph_is_the_summary() {
        for (words, summary, rest) in [
            (" Who am I?\n", "Who am I?", ""),
            (" Sign out: the tokens\n are void.\n", "Sign out: the tokens are void", ""),
            (" One.\n\n Two\n three.\n\n Four.\n", "One", "Two\nthree.\n\nFour."),
        ] {
            assert_eq!(summary_and_rest(words), (summary.to_owned(), rest.to_owned()));
        }
    }

    #[test]
    fn a_parameter_is_never_null() {
        let id = json!({ "$ref": "#/components/schemas/CourseId" });
        for (schema, parameter) in [
            (json!({ "anyOf": [id, { "type": "null" }] }), id.clone()),
            (json!({ "type": ["string", "null"] }), json!({ "type": "string" })),
            (json!({ "type": "string" }), json!({ "type": "string" })),
            (
                json!({ "description": "d", "anyOf": [id, { "type": "null" }] }),
                json!({ "description": "d", "$ref": "#/components/schemas/CourseId" }),
            ),
        ] {
            assert_eq!(without_null(schema), parameter);
        }
    }
}
