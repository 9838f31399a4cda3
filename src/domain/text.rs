//! What people write: as plain text, of a length, and without what no keyboard has; and the words
//! in it.

/// The most letters of a word that count.
const WORD_MAX: usize = 40;

/// A line as it is kept: trimmed, and not empty.
pub(super) fn line(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        Err(format!("must have 1 to {max} characters, none of them a control character"))
    } else {
        Ok(text.to_owned())
    }
}

/// The words of a text: letters and digits, whatever stands between them, in small letters.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(WORD_MAX).collect::<String>().to_lowercase())
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
