//! What people write: as plain text, of a length, and without what no keyboard has; and the words
//! in it.

/// The most letters of a word that count.
const WORD_MAX: usize = 40;

/// A line as it is kept: trimmed, and something can be seen of it.
///
/// What joins letters and picks the look of a sign is invisible, too, but Persian and many an emoji
/// are not written without.
pub(super) fn line(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    let is_blank = text.chars().all(|c| c.is_whitespace() || is_invisible(c));
    let is_odd = |c: char| c.is_control() || turns_around(c);
    if is_blank || text.chars().count() > max || text.chars().any(is_odd) {
        Err(format!("must have 1 to {max} characters that can be seen, and no control characters"))
    } else {
        Ok(text.to_owned())
    }
}

/// Characters that break a line or turn its direction around: what follows is not what it seems.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that hide between others, or turn their direction around.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The words of a text: letters and digits, whatever stands between them, in small letters.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| beginning(word).to_lowercase())
}

fn beginning(word: &str) -> &str {
    let end = word.char_indices().nth(WORD_MAX).map_or(word.len(), |(end, _)| end);
    &word[..end]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_seen_and_reads_as_it_is_written() {
        for text in ["Rust", " C++  ", "می\u{200c}خواهم", "👩\u{200d}💻 with ❤\u{fe0f}", "שלום"]
        {
            assert_eq!(line(text, 20).as_deref(), Ok(text.trim()));
        }
        for text in ["", " ", "\u{200b}", "\u{feff} \u{2060}", "\u{fe0f}"] {
            assert!(line(text, 20).is_err(), "{text:?}");
        }
        for odd in ['\u{7}', '\u{2028}', '\u{202e}', '\u{2066}'] {
            assert!(line(&format!("a{odd}b"), 20).is_err(), "{odd:?}");
        }
        assert!(line("abc", 2).is_err());
    }
}
