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

/// What any route may find, whatever it does: a request in two minds about its length, a fault of
/// ours.
const EVERYWHERE: &[Code] = &[codes::BAD_REQUEST, codes::INTERNAL];

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
    /// Whoever has a ticket to a socket, on which is told what is wrong with it.
    Ticket,
}

/// An answer that is not a problem.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Promise {
    /// If nothing is said, the schema speaks for it.
    description: Option<&'static str>,
    /// Of which type, and how it looks.
    body: Option<(&'static str, Value)>,
    /// Those that are its own.
    headers: &'static [&'static str],
}

impl Promise {
    pub(in crate::http) fn empty(description: &'static str) -> Self {
        Self { description: Some(description), ..Self::default() }
    }

    pub(in crate::http) fn of(media_type: &'static str, schema: Value) -> Self {
        Self { body: Some((media_type, schema)), ..Self::default() }
    }

    pub(in crate::http) fn described(self, description: &'static str) -> Self {
        Self { description: Some(description), ..self }
    }

    /// Names headers that the document describes for all.
    pub(in crate::http) fn with(self, headers: &'static [&'static str]) -> Self {
        Self { headers, ..self }
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

    /// What the type of an answer says of itself first.
    fn says(&self, schema: &Value) -> Option<String> {
        let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let schema = name.map_or(Some(schema), |name| self.written.definitions().get(name))?;
        let (summary, _) = summary_and_rest(schema["description"].as_str()?);
        Some(format!("{summary}."))
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
    /// The `content` of the request.
    body: Option<Value>,
    bearer: Bearer,
    promises: BTreeMap<u16, Promise>,
    /// Those that come with each promise.
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

    pub(in crate::http) fn takes(&mut self, media_type: &str, schema: &Value) {
        self.body = Some(json!({ media_type: { "schema": schema } }));
    }

    /// A form of one part, which carries a file of one of these types.
    pub(in crate::http) fn takes_file(&mut self, part: &str, types: &str) {
        let schema = json!({
            "type": "object",
            "required": [part],
            "properties": { part: { "description": format!("The file: {types}.") } },
            "additionalProperties": false,
        });
        let encoding = json!({ part: { "contentType": types } });
        let form = json!({ "schema": schema, "encoding": encoding });
        self.body = Some(json!({ "multipart/form-data": form }));
    }

    pub(in crate::http) fn takes_parameter(&mut self, parameter: Value) {
        self.parameters.push(parameter);
    }

    /// Each field is a parameter.
    pub(in crate::http) fn takes_query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(&mut self.shared.read).to_value();
        let no_names = Vec::new();
        let required = schema["required"].as_array().unwrap_or(&no_names);
        let fields = schema["properties"].as_object().expect("a query is read into a struct");
        for (name, field) in fields {
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
        let Described { row, name, is_conditional, is_timed, .. } = *self.described;
        if is_conditional {
            self.asks_for("If-None-Match");
            self.promises("ETag");
            let unchanged = Promise::empty("It is still what has the tag that was sent.");
            self.answers(StatusCode::NOT_MODIFIED, unchanged);
        }
        if is_timed {
            self.may_find(&[codes::TOOK_TOO_LONG]);
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
        if let Some(content) = self.body {
            json["requestBody"] = json!({ "required": true, "content": content });
        }
        json
    }

    fn responses(&mut self) -> Map<String, Value> {
        let promised = self.promises.iter();
        let promised = promised.map(|(status, promise)| {
            (status.to_string(), self.response(*status == StatusCode::CREATED.as_u16(), promise))
        });
        let mut responses: Map<_, _> = promised.collect();
        for (status, problems) in by_status(&self.problems) {
            let problem = problem(status, &problems);
            let status = status.to_string();
            match (responses.get_mut(&status), &problems[..]) {
                (Some(response), _) => add_form(response, &problem),
                (None, [code]) => {
                    let reference = format!("#/components/responses/{}", code.name);
                    responses.insert(status, json!({ "$ref": reference }));
                    self.shared.problems.insert(code.name.to_owned(), problem);
                }
                // Under a name of its own it would have another one with each code that comes.
                (None, _) => {
                    responses.insert(status, problem);
                }
            }
        }
        responses
    }

    fn response(&self, is_new: bool, promise: &Promise) -> Value {
        let names = self.headers.iter().chain(promise.headers).chain(&["X-Request-Id"]);
        let headers: Map<_, _> = names.copied().map(header_reference).collect();
        let Some((media_type, schema)) = &promise.body else {
            return json!({ "description": promise.description, "headers": headers });
        };
        let words = promise.description.map(str::to_owned).or_else(|| self.shared.says(schema));
        let description = match (is_new, words) {
            (true, words) => format!("It is made. {}", words.unwrap_or_default()),
            (false, words) => words.unwrap_or_else(|| "Here it is.".to_owned()),
        };
        json!({
            "description": description.trim_end(),
            "headers": headers,
            "content": { *media_type: { "schema": schema } },
        })
    }
}

/// Lets an answer come as a problem, too.
fn add_form(response: &mut Value, problem: &Value) {
    for part in ["headers", "content"] {
        for (name, value) in problem[part].as_object().into_iter().flatten() {
            response[part][name] = value.clone();
        }
    }
    let words = [&response["description"], &problem["description"]];
    let words: Vec<_> = words.into_iter().filter_map(Value::as_str).collect();
    response["description"] = words.join(" Or ").into();
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
        Bearer::Ticket => json!([{ "ticket": [] }]),
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
        416 => &["X-Request-Id", "Content-Range"],
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
