//! Text of strangers, made plain: no markup, no links, nothing invisible, and not too long.
//!
//! For what models write. Whoever shows it still has to escape it, as with any text; but whoever
//! forgets, or renders Markdown, or makes links of whatever looks like one, shows words.

use crate::domain::text::is_invisible;

/// Schemes that need no slashes.
const SCHEMES: [&str; 5] = ["javascript:", "vbscript:", "data:", "mailto:", "file:"];

/// At the end of what was cut.
const CUT: char = '…';

/// `text` in one line of at most `most` characters.
#[must_use]
pub fn plain(text: &str, most: usize) -> String {
    let text: String = without_tags(text).chars().filter_map(plain_char).collect();
    let mut line = String::new();
    for word in text.split_whitespace().filter(|word| !leads_elsewhere(word)) {
        if !line.is_empty() {
            line.push(' ');
        }
        push_word(&mut line, word);
    }
    shortened(&line, most)
}

/// `text`, cut to at most `most` characters.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push(CUT);
    cut
}

/// Takes out what looks like a tag of HTML; a `<` that begins none is left for later.
fn without_tags(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        kept.push_str(before);
        let is_tag = tag[1..].starts_with(|c: char| c.is_alphabetic() || "/!?".contains(c));
        rest = match tag.find('>') {
            Some(end) if is_tag => &tag[end + 1..],
            _ => &tag[1..],
        };
        kept.push(' ');
    }
    kept.push_str(rest);
    kept
}

/// A character as it may stand in plain text.
fn plain_char(c: char) -> Option<char> {
    match c {
        _ if c.is_whitespace() => Some(' '),
        _ if c.is_control() || is_invisible(c) => None,
        // They stand between words.
        '[' | ']' | '_' | '<' | '>' => Some(' '),
        '{' | '}' | '*' | '`' | '~' | '|' | '\\' => None,
        _ => Some(c),
    }
}

/// Whether a word is an address of anything.
fn leads_elsewhere(word: &str) -> bool {
    let small = word.to_lowercase();
    small.contains("//")
        || small.contains('@')
        || small.contains("www.")
        || SCHEMES.iter().any(|scheme| small.contains(scheme))
}

/// Adds a word so that no program takes it for a name on the network: `evil.com` becomes
/// `evil. com`. A `#` is part of `C#`, and elsewhere the mark of a heading.
fn push_word(line: &mut String, word: &str) {
    let mut last = ' ';
    for c in word.chars() {
        if last == '.' && c.is_alphabetic() {
            line.push(' ');
        }
        if c != '#' || last.is_alphanumeric() {
            line.push(c);
        }
        last = c;
    }
    if line.ends_with(' ') {
        line.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKUP: [char; 13] = ['<', '>', '[', ']', '{', '}', '*', '`', '_', '~', '|', '\\', '@'];

    #[test]
    fn words_stay_and_the_rest_goes() {
        for (text, expected) in [
            ("Start with “Chords”, then C# & C++ 3.5!", "Start with “Chords”, then C# & C++ 3.5!"),
            ("a\n\n b\tc\u{0}d\u{1b}[0m", "a b cd 0m"),
            ("<b>bold</b> <script>alert(1)</script>", "bold alert(1)"),
            ("<img src=x onerror=alert(1)>hi", "hi"),
            ("<<b>script>x<", "script x"),
            ("1 < 2 and 3 > 2", "1 2 and 3 2"),
            ("see [this course](https://evil.example/x) now", "see this course now"),
            ("[x](javascript:alert(1)) ![y](data:text/html,z)", "x ! y"),
            ("ht*tps://evil.example www.evil.example me@evil.example", ""),
            ("ht\u{200b}tps://evil.example \u{202e}gnp.exe", "gnp. exe"),
            ("go to evil.com/login", "go to evil. com/login"),
            ("# Heading **bold** `code` _em_", "Heading bold code em"),
        ] {
            assert_eq!(plain(text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(plain("abcdefg", 6), "abcde…");
        assert_eq!(plain(&"é".repeat(1_000), 3), "éé…");
    }

    proptest! {
        /// Whatever a model writes, what is left is one line of bounded length without markup.
        #[test]
        fn plain_is_always_plain(text in "(\\PC|[<>/a-z:.@\\[\\]()*_`#\u{0}-\u{20}\u{200b}\u{202e}]){0,80}") {
            let plain = plain(&text, 40);
            prop_assert!(plain.chars().count() <= 40);
            prop_assert!(!plain.contains(MARKUP));
            prop_assert!(!plain.contains("//") && !plain.contains("javascript:"));
            prop_assert!(!plain.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert_eq!(plain.trim(), &plain);
        }
    }
}
