//! What settings are called, and which one a wrong name was meant to be.

/// What the names of our variables begin with.
pub(super) const PREFIX: &str = "MURPH__";

/// At the end of the key of a variable that names a file with the value.
pub(super) const FILE_SUFFIX: &str = "_file";

/// More mistakes than this, and it is another name rather than a misspelt one.
const MISTAKES_MAX: usize = 3;

/// The variable that sets `key`: `MURPH__AUTH__SECRET` for `auth.secret`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The key that a variable sets, if it is one of ours.
pub(super) fn key_of(variable: &str) -> Option<String> {
    Some(variable.strip_prefix(PREFIX)?.replacen("__", ".", 1).to_lowercase())
}

/// The one of `keys` that was probably meant by `wrong`: the same name in another section, or one
/// that is spelt almost like it.
pub(super) fn nearest<'a>(wrong: &str, keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = last_part(wrong);
    keys.map(|key| (if last_part(key) == name { 0 } else { distance(wrong, key) }, key))
        .filter(|(mistakes, _)| *mistakes <= MISTAKES_MAX)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, key)| key)
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

/// How many letters must be added, taken out or changed to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // `row[j]` is the distance of the part of `a` seen so far to the first `j` letters of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["server.listen", "metering.tick_ms", "auth.secret", "fees.share"];

    fn meant(wrong: &str) -> Option<&'static str> {
        nearest(wrong, KEYS.into_iter())
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (a, b, mistakes) in
            [("", "", 0), ("kitten", "sitting", 3), ("é", "e", 1), ("ab", "", 2)]
        {
            assert_eq!(distance(a, b), mistakes, "{a} {b}");
            assert_eq!(distance(b, a), mistakes, "{b} {a}");
        }
    }

    #[test]
    fn a_misspelt_or_misplaced_name_is_recognised() {
        assert_eq!(meant("sever.lisen"), Some("server.listen"));
        assert_eq!(meant("metering.ticks_ms"), Some("metering.tick_ms"));
        assert_eq!(meant("tick_ms"), Some("metering.tick_ms"));
        assert_eq!(meant("metering.share"), Some("fees.share"));
        assert_eq!(meant("server.colour"), None);
    }

    #[test]
    fn keys_and_variables_name_each_other() {
        assert_eq!(variable_of("auth.secret"), "MURPH__AUTH__SECRET");
        assert_eq!(key_of("MURPH__AUTH__SECRET").as_deref(), Some("auth.secret"));
        assert_eq!(key_of("MURPH_CONFIG"), None);
    }
}
