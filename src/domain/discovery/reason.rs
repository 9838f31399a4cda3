//! Why a course is named, in sentences of our own: what the built-in provider says, and what stands
//! in for a model that gave no reason.
//!
//! A reason is true: it says where the words were found, and when they were not found it says so.

use super::{
    WHY_MAX, listed,
    plain::{plain, shortened},
    wish::Fit,
};

/// The most letters of a title that is quoted in a reason.
const TITLE_QUOTED_MAX: usize = 80;

/// What led to a course, the best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has words of the message.
    Words(Fit),
    /// It has words of the message before.
    Earlier(Fit),
    /// It has words of what the student likes.
    Preference(Fit),
    /// It is in the category of a course that the student watched, of this title if it is on offer.
    Watched(Option<String>),
    /// It is new.
    New,
}

impl Reason {
    /// Reasons of the same kind have the same rank; a lower one is better.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Words(_) => 0,
            Self::Earlier(_) => 1,
            Self::Preference(_) => 2,
            Self::Watched(_) => 3,
            Self::New => 4,
        }
    }

    /// The reason as a sentence about the course.
    #[must_use]
    pub fn sentence(&self, is_finished: bool) -> String {
        let why = match self {
            Self::Words(fit) => found(fit),
            Self::Earlier(fit) => format!("{}, which you asked for before", found(fit)),
            Self::Preference(fit) => format!("{}, and you like that", found(fit)),
            Self::Watched(title) => like_watched(title.as_deref()),
            Self::New => "Is one of the newest courses".to_owned(),
        };
        let finished = if is_finished { "; you have finished it already" } else { "" };
        shortened(&format!("{why}{finished}."), WHY_MAX)
    }
}

fn like_watched(title: Option<&str>) -> String {
    // A teacher wrote it, and a reason is plain text.
    match title.map(|title| plain(title, TITLE_QUOTED_MAX)).filter(|title| !title.is_empty()) {
        Some(title) => format!("Is about the same as “{title}”, which you watched"),
        None => "Is in a category of which you watched something".to_owned(),
    }
}

fn found(Fit { title, text }: &Fit) -> String {
    match (title.as_slice(), text.as_slice()) {
        ([], []) => "Fits your words".to_owned(),
        (title, []) => format!("Has {} in its title", listed(title)),
        ([], text) => format!("Has {} in its description", listed(text)),
        (title, text) => {
            format!("Has {} in its title and {} in its description", listed(title), listed(text))
        }
    }
}

/// What is said with `courses` named for reasons of one kind. `is_wish` says whether there was
/// anything to look for.
#[must_use]
pub fn reply(best: Option<&Reason>, courses: usize, is_wish: bool) -> String {
    let these = if courses == 1 { "this is" } else { "these are" };
    let sorry = if is_wish {
        "Nothing on offer has the words you asked for"
    } else {
        "Say what you would like to learn"
    };
    match best {
        None => "There is no course on offer yet.".to_owned(),
        Some(Reason::Words(_)) if courses == 1 => "One course fits what you asked for.".to_owned(),
        Some(Reason::Words(_)) => format!("{courses} courses fit what you asked for."),
        Some(Reason::Earlier(_)) => format!("{sorry}; {these} about what you asked before."),
        Some(Reason::Preference(_)) => format!("{sorry}; {these} about what you like."),
        Some(Reason::Watched(_)) => format!("{sorry}; {these} close to what you watched."),
        Some(Reason::New) => format!("{sorry}; {these} new here."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(title: &[&str], text: &[&str]) -> Fit {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Fit { title: owned(title), text: owned(text) }
    }

    fn watched(title: &str) -> Reason {
        Reason::Watched(Some(title.to_owned()))
    }

    #[test]
    fn a_reason_says_where_the_words_are() {
        for (reason, sentence) in [
            (Reason::Words(fit(&["guitar"], &[])), "Has “guitar” in its title."),
            (
                Reason::Words(fit(&["guitar"], &["chords"])),
                "Has “guitar” in its title and “chords” in its description.",
            ),
            (Reason::Words(fit(&[], &[])), "Fits your words."),
            (
                Reason::Preference(fit(&[], &["jazz"])),
                "Has “jazz” in its description, and you like that.",
            ),
            (watched("Chess"), "Is about the same as “Chess”, which you watched."),
            (
                watched("<b>Chess</b> [now](https://evil.example) \u{202e}"),
                "Is about the same as “Chess now”, which you watched.",
            ),
            (watched("<>"), "Is in a category of which you watched something."),
            (Reason::Watched(None), "Is in a category of which you watched something."),
        ] {
            assert_eq!(reason.sentence(false), sentence);
        }
        assert!(Reason::New.sentence(true).ends_with("; you have finished it already."));
        let long = Reason::Words(fit(&["x".repeat(40).as_str(); 6], &[]));
        assert!(long.sentence(true).chars().count() <= WHY_MAX);
    }

    #[test]
    fn what_was_not_found_is_not_claimed() {
        let words = Reason::Words(fit(&["a"], &[]));
        assert_eq!(reply(Some(&words), 1, true), "One course fits what you asked for.");
        assert_eq!(reply(Some(&words), 3, true), "3 courses fit what you asked for.");
        assert!(reply(Some(&Reason::New), 2, true).starts_with("Nothing on offer has the words"));
        assert!(reply(Some(&Reason::New), 2, false).starts_with("Say what you would like"));
        assert!(reply(None, 0, true).contains("no course"));
    }
}
