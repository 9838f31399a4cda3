//! `asyncapi.yaml`, as a judge: whether what is said on a socket is what the file says.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::{Draft, Validator};
use murph::live::message::ASYNCAPI;
use serde_json::{Value, json};

/// Fails if `text` is no message that the server may send.
#[track_caller]
pub(crate) fn assert_valid_from_server(text: &str) {
    assert_eq!(CONTRACT.judge(Side::Server, text), Ok(()), "from the server: {text}");
}

/// Fails if `text` is no message that a client may send.
#[track_caller]
pub(crate) fn assert_valid_from_client(text: &str) {
    assert_eq!(CONTRACT.judge(Side::Client, text), Ok(()), "from a client: {text}");
}

pub(crate) static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::read(ASYNCAPI));

/// Who says something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

pub(crate) struct Contract {
    pub(crate) document: Value,
    client: BTreeMap<String, Message>,
    server: BTreeMap<String, Message>,
}

/// A message the file describes.
pub(crate) struct Message {
    schema: Validator,
    pub(crate) examples: Vec<Value>,
}

impl Contract {
    fn read(text: &str) -> Self {
        let document: Value = serde_saphyr::from_str(text).unwrap();
        // The file is about the server: it receives what clients say.
        let client = messages(&document, "receive");
        let server = messages(&document, "send");
        Self { document, client, server }
    }

    /// All messages of one side, by their type.
    pub(crate) fn messages(&self, from: Side) -> &BTreeMap<String, Message> {
        match from {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(crate) fn judge(&self, from: Side, text: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let message_type = value["type"].as_str().ok_or("has no type")?;
        let message = self.messages(from).get(message_type).ok_or("has an unknown type")?;
        let problems = message.schema.iter_errors(&value);
        let problems: Vec<_> =
            problems.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }
}

fn messages(document: &Value, action: &str) -> BTreeMap<String, Message> {
    let operations = document["operations"].as_object().unwrap().values();
    let operations = operations.filter(|operation| operation["action"] == action);
    let references = operations.flat_map(|operation| operation["messages"].as_array().unwrap());
    let messages = references.map(|reference| resolve(document, resolve(document, reference)));
    messages.map(|message| named(document, message)).collect()
}

fn named(document: &Value, message: &Value) -> (String, Message) {
    let payload = &message["payload"];
    let constant = &resolve(document, payload)["properties"]["type"]["const"];
    let schema = json!({ "$ref": payload["$ref"], "components": document["components"] });
    // AsyncAPI's own schemas are of draft 7, which has all that is used here, but not the format uuid.
    let schema = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(&schema)
        .unwrap();
    let examples = message["examples"].as_array().unwrap();
    let examples = examples.iter().map(|example| example["payload"].clone()).collect();
    (constant.as_str().unwrap().to_owned(), Message { schema, examples })
}

fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let path = reference["$ref"].as_str().unwrap();
    document.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} leads nowhere"))
}
