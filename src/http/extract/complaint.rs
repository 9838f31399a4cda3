//! Says which value of a request does not fit, and why, in words that serde's errors only hint at.

use crate::http::{codes, error::Problem};

/// The most that is repeated of what a client sent.
const REPEATED_MAX: usize = 200;

/// Serde's complaints about a field as a whole: how they begin, and what is said instead.
const ABOUT_FIELDS: [(&str, &str); 3] = [
    ("missing field `", "is missing"),
    ("unknown field `", "is not known here"),
    ("duplicate field `", "is there twice"),
];

/// The problem with the value at `path`, which serde complains about with `message`.
pub(super) fn invalid(path: &serde_path_to_error::Path, message: &str) -> Problem {
    let path = path.to_string();
    let parent = if path == "." { "" } else { &path };
    let (param, words) = match field_and_words(message) {
        // Whether the path ends with the field depends on the complaint.
        Some((field, words)) if last_of(parent) != field => (join(parent, field), words),
        Some((_, words)) => (parent.to_owned(), words),
        None => (parent.to_owned(), without_position(message)),
    };
    let (param, words) = (shortened(&param), shortened(words));
    match param {
        "" => Problem::new(codes::INVALID, words),
        _ => Problem::new(codes::INVALID, format!("{param}: {words}")).about(param),
    }
}

fn field_and_words(message: &str) -> Option<(&str, &'static str)> {
    ABOUT_FIELDS.iter().find_map(|(beginning, words)| {
        let (field, _) = message.strip_prefix(beginning)?.split_once('`')?;
        Some((field, *words))
    })
}

fn last_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn join(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}

/// `serde_json` adds where in the text it was; the param says it better.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// The beginning of a text that may be as long as the client liked.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(REPEATED_MAX)]
}
