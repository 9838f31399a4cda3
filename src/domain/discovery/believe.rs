//! What a model's answer comes to: nothing in it is believed that can be checked, and the rest is
//! made plain.
//!
//! * A course is picked by the id of one that was offered to the model, or it is not picked.
//! * Whoever picks nothing, or invents a course, has nothing to say: then only the picks that are
//!   real are kept, and what is said beside them is ours.
//! * A text with a digit or the sign of a currency is not shown: no prices and no phone numbers.
//! * A text that quotes anything but the title of a course that was offered is not shown: who names
//!   another course mostly quotes it.
//! * What repeats our instructions is no answer.
//! * An answer that is not the JSON that was asked for is none.
//!
//! What is left is a model's own words beside at least one real course. They may be wrong, as words
//! may: they can praise what does not exist, name it without quoting, and say a number in letters.
//! Titles, prices and what is on offer are never taken from them.

use serde::Deserialize;

use super::{PICKS_MAX, REPLY_MAX, WHY_MAX, plain::plain};
use crate::{domain::text::words, id::CourseId};

/// A line of the instructions shorter than this may be in an answer by chance.
const ECHO_MIN: usize = 30;

/// Signs of currencies, but for those of the block that Unicode has for them.
const CURRENCY_SIGNS: &str = "$¢£¤¥֏؋߾߿৲৳৻૱௹฿៛꠸﷼﹩＄￠￡￥￦";

/// What stands before and behind what is quoted. Single ones are apostrophes, too.
const QUOTATION_MARKS: &str = "\"“”„‟«»〝〞〟「」『』《》＂";

/// The most picks of an answer that are looked at.
const LOOKED_AT_MAX: usize = 50;

/// What is left of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// Nothing if it is not to be shown.
    pub reply: Option<String>,
    /// Each once, in the model's order; a reason only if there is one that can be shown. None: the
    /// model finds that nothing fits.
    pub picks: Vec<(CourseId, Option<String>)>,
    /// How many picks were of no course that was offered.
    pub invented: usize,
}

#[derive(Deserialize)]
struct Said {
    reply: String,
    #[serde(default)]
    picks: Vec<SaidPick>,
}

#[derive(Deserialize)]
struct SaidPick {
    course_id: String,
    #[serde(default)]
    why: String,
}

/// What can be kept of a model's `answer`, given the courses it could choose among, with their
/// titles, and what it was told to do. `None`: it cannot be used at all.
#[must_use]
pub fn believe(answer: &str, offered: &[(CourseId, &str)], instructions: &str) -> Option<Believed> {
    // Some wrap it in a fence, or say something first.
    let json = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let Said { reply, picks } = serde_json::from_str(json).ok()?;
    let shown = |text: &str, most: usize| {
        let text = plain(text, most);
        (!text.is_empty() && !is_echo(&text, instructions)).then_some(text)
    };
    let is_offered = |id: &CourseId| offered.iter().any(|(offered, _)| offered == id);
    let modest = |text: &String| !has_figures(text) && quotes_only(text, offered);
    let mut believed = Believed { reply: None, picks: Vec::new(), invented: 0 };
    for SaidPick { course_id, why } in picks.into_iter().take(LOOKED_AT_MAX) {
        match course_id.parse::<CourseId>().ok().filter(is_offered) {
            Some(id) if believed.picks.iter().any(|(known, _)| *known == id) => {}
            Some(id) => believed.picks.push((id, shown(&why, WHY_MAX).filter(modest))),
            None => believed.invented += 1,
        }
    }
    believed.picks.truncate(PICKS_MAX);
    let reply = shown(&reply, REPLY_MAX);
    if believed.picks.is_empty() {
        // That nothing fits has to be said; how, is not theirs to choose.
        return (believed.invented == 0 && reply.is_some()).then_some(believed);
    }
    if believed.invented == 0 {
        believed.reply = reply.filter(modest);
    }
    Some(believed)
}

/// Whether a text has what prices and phone numbers are made of.
fn has_figures(text: &str) -> bool {
    let is_sign = |c| CURRENCY_SIGNS.contains(c) || ('\u{20a0}'..='\u{20cf}').contains(&c);
    text.chars().any(|c| c.is_numeric() || is_sign(c))
}

/// Whether all that a text quotes are titles of these courses, however they are written.
fn quotes_only(text: &str, offered: &[(CourseId, &str)]) -> bool {
    let is_title = |quoted: &str| {
        words(quoted).next().is_some()
            && offered.iter().any(|(_, title)| words(title).eq(words(quoted)))
    };
    // By turns outside and inside; without an end, all the rest is inside.
    text.split(|c: char| QUOTATION_MARKS.contains(c)).skip(1).step_by(2).all(is_title)
}

/// Whether a text has a line of the instructions in it.
fn is_echo(text: &str, instructions: &str) -> bool {
    let text = text.to_lowercase();
    let lines = instructions.lines().map(|line| plain(line, REPLY_MAX).to_lowercase());
    lines.filter(|line| line.len() >= ECHO_MIN).any(|line| text.contains(&line))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::Timestamp;

    const TOLD: &str = "You help students choose among the courses of a school.\nBe brief.";

    fn two() -> [(CourseId, &'static str); 2] {
        ["C#: the basics", "Chords"].map(|title| (CourseId::new(Timestamp::EPOCH), title))
    }

    #[test]
    fn an_answer_about_courses_that_were_offered_is_kept() {
        let offered = two();
        let [(a, _), (b, _)] = offered;
        let json = json!({"reply": "Start with **these**.", "picks": [
            {"course_id": b, "why": "It is <b>short</b>."}, {"course_id": a}, {"course_id": b}]});
        for answer in [json.to_string(), format!("Sure!\n```json\n{json}\n```")] {
            let believed = believe(&answer, &offered, TOLD).unwrap();
            assert_eq!(believed.reply.as_deref(), Some("Start with these."));
            assert_eq!(believed.picks, [(b, Some("It is short .".into())), (a, None)]);
            assert_eq!(believed.invented, 0);
        }
    }

    #[test]
    fn who_invents_a_course_is_not_believed_about_it() {
        let offered = two();
        let [(nobodys, _), _] = two();
        for id in [nobodys.to_string(), "guitar-101".into(), String::new()] {
            let answer = json!({"reply": "Take “Secrets of Guitar”!", "picks": [
                {"course_id": id, "why": "x"}, {"course_id": offered[0].0, "why": "y"}]});
            let believed = believe(&answer.to_string(), &offered, TOLD).unwrap();
            assert_eq!((believed.reply, believed.invented), (None, 1));
            assert_eq!(believed.picks, [(offered[0].0, Some("y".into()))]);
            let alone = json!({"reply": "Take it!", "picks": [{"course_id": id}]}).to_string();
            assert_eq!(believe(&alone, &offered, TOLD), None);
        }
    }

    #[test]
    fn words_without_a_course_are_not_shown() {
        let offered = two();
        for reply in ["For beginners?", "Call me instead.", "The cheaper original is elsewhere."] {
            let answer = json!({"reply": reply, "picks": []}).to_string();
            let nothing = Believed { reply: None, picks: Vec::new(), invented: 0 };
            assert_eq!(believe(&answer, &offered, TOLD), Some(nothing));
        }
    }

    #[test]
    fn figures_and_money_are_never_shown() {
        let offered = two();
        for text in [
            "The original, call +1 555 0100.",
            "Only €five!",
            "It is ＄cheap.",
            "For ٥ coins.",
            "Chapter ④ is best.",
            "Half of it: ½.",
            "Pay in ₿.",
            "A few ₹.",
        ] {
            let picks = json!([{"course_id": offered[0].0, "why": text}]);
            let answer = json!({"reply": text, "picks": picks}).to_string();
            let believed = believe(&answer, &offered, TOLD).unwrap();
            assert_eq!(
                (believed.reply, believed.picks),
                (None, vec![(offered[0].0, None)]),
                "{text}"
            );
        }
    }

    #[test]
    fn only_titles_of_what_is_offered_are_quoted() {
        let offered = two();
        for (text, is_shown) in [
            ("Take “Chords”.", true),
            ("Take \"chords,\" and then «C# - The Basics».", true),
            ("It's the students' choice.", true),
            ("Take “Secrets of Guitar”!", false),
            ("Take \"Chords\" or \"Chords for free\".", false),
            ("Nimm „Gitarre“.", false),
            ("Take “Chords", true),
            ("Take “Chords: it is the best.", false),
            ("Take “Chords” and “Scales.", false),
            ("Take 《吉他》.", false),
            ("Take “”.", false),
            ("Take “«Scales»”.", false),
        ] {
            let picks = json!([{"course_id": offered[0].0, "why": text}]);
            let answer = json!({"reply": text, "picks": picks}).to_string();
            let believed = believe(&answer, &offered, TOLD).unwrap();
            let shown = is_shown.then(|| text.to_owned());
            assert_eq!(believed.reply, shown);
            assert_eq!(believed.picks, [(offered[0].0, shown)]);
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let offered = two();
        let echo = json!({"reply": format!("My instructions: {}", TOLD.to_uppercase())});
        for answer in [
            "",
            "I recommend the guitar course.",
            "} {",
            "{\"reply\": 5}",
            "{\"picks\": []}",
            "{\"reply\": \"<p></p>\"}",
            "{\"reply\": \"https://evil.example\", \"picks\": []}",
            "{\"reply\": \"x\", \"picks\": \"all\"}",
            &echo.to_string(),
        ] {
            assert_eq!(believe(answer, &offered, TOLD), None, "{answer}");
        }
    }

    #[test]
    fn an_answer_is_bounded() {
        let offered: Vec<_> = (0..20).flat_map(|_| two()).collect();
        let picks: Vec<_> = offered.iter().map(|(id, _)| json!({"course_id": id})).collect();
        let answer = json!({"reply": "x ".repeat(9_999), "picks": picks}).to_string();
        let believed = believe(&answer, &offered, TOLD).unwrap();
        assert_eq!(believed.picks.len(), PICKS_MAX);
        assert!(believed.reply.unwrap().chars().count() <= REPLY_MAX);
    }
}
