//! What people write: as plain text, of a length, and without what no keyboard has.

/// A line as it is kept: trimmed, and not empty.
pub(super) fn line(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        Err(format!("must have 1 to {max} characters, none of them a control character"))
    } else {
        Ok(text.to_owned())
    }
}

/// Any number of lines as they are kept: trimmed.
pub(super) fn lines(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().count() > max || text.chars().any(is_odd) {
        Err(format!("must have at most {max} characters, and no control characters"))
    } else {
        Ok(text.to_owned())
    }
}

/// Whether a tag begins anywhere: `<b`, `</b`, `<!--`. What is smaller than something is fine.
pub(super) fn has_markup(text: &str) -> bool {
    let begins_a_tag = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
    text.split('<').skip(1).any(|rest| rest.starts_with(begins_a_tag))
}
