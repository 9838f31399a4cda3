//! What a model's answer comes to: nothing in it is believed that can be checked, and the rest is
//! made plain.
//!
//! * A course is named by the id of one that was offered to the model, or it is not named.
//! * Whoever invents one course may speak of it, too: then only the picks that are real are kept.
//! * What repeats our instructions is no answer.
//! * An answer that is not the JSON that was asked for is none.
//!
//! What is left is words: they may be wrong, as words may. Titles, prices and what is on offer are
//! never taken from them.

use serde::Deserialize;

use super::{PICKS_MAX, REPLY_MAX, WHY_MAX, plain::plain};
use crate::id::CourseId;

/// A line of the instructions shorter than this may be in an answer by chance.
const ECHO_MIN: usize = 30;

/// The most picks of an answer that are looked at.
const LOOKED_AT_MAX: usize = 50;

/// What is left of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// Nothing if it cannot be shown.
    pub reply: Option<String>,
    /// Each once, in the model's order; a reason only if there is one that can be shown.
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

/// What can be kept of a model's `answer`, given the courses it could choose among and what it was
/// told to do. `None`: it cannot be used at all.
#[must_use]
pub fn believe(answer: &str, offered: &[CourseId], instructions: &str) -> Option<Believed> {
    // Some wrap it in a fence, or say something first.
    let json = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let Said { reply, picks } = serde_json::from_str(json).ok()?;
    let shown = |text: &str, most: usize| {
        let text = plain(text, most);
        (!text.is_empty() && !is_echo(&text, instructions)).then_some(text)
    };
    let mut believed = Believed { reply: None, picks: Vec::new(), invented: 0 };
    for SaidPick { course_id, why } in picks.into_iter().take(LOOKED_AT_MAX) {
        match course_id.parse::<CourseId>().ok().filter(|id| offered.contains(id)) {
            Some(id) if believed.picks.iter().any(|(known, _)| *known == id) => {}
            Some(id) => believed.picks.push((id, shown(&why, WHY_MAX))),
            None => believed.invented += 1,
        }
    }
    believed.picks.truncate(PICKS_MAX);
    if believed.invented == 0 {
        believed.reply = shown(&reply, REPLY_MAX);
    }
    let is_something = believed.reply.is_some() || !believed.picks.is_empty();
    is_something.then_some(believed)
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

    fn two() -> [CourseId; 2] {
        [CourseId::new(Timestamp::EPOCH), CourseId::new(Timestamp::EPOCH)]
    }

    #[test]
    fn an_answer_about_courses_that_were_offered_is_kept() {
        let offered = two();
        let [a, b] = offered;
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
        let [nobodys, _] = two();
        for id in [nobodys.to_string(), "guitar-101".into(), String::new()] {
            let answer = json!({"reply": "Take “Secrets of Guitar”!", "picks": [
                {"course_id": id, "why": "x"}, {"course_id": offered[0], "why": "y"}]});
            let believed = believe(&answer.to_string(), &offered, TOLD).unwrap();
            assert_eq!((believed.reply, believed.invented), (None, 1));
            assert_eq!(believed.picks, [(offered[0], Some("y".into()))]);
            let alone = json!({"reply": "Take it!", "picks": [{"course_id": id}]}).to_string();
            assert_eq!(believe(&alone, &offered, TOLD), None);
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
        let question = "{\"reply\": \"For beginners?\", \"picks\": []}";
        assert!(believe(question, &offered, TOLD).is_some_and(|it| it.picks.is_empty()));
    }

    #[test]
    fn an_answer_is_bounded() {
        let offered: Vec<CourseId> = (0..20).flat_map(|_| two()).collect();
        let picks: Vec<_> = offered.iter().map(|id| json!({"course_id": id})).collect();
        let answer = json!({"reply": "x ".repeat(9_999), "picks": picks}).to_string();
        let believed = believe(&answer, &offered, TOLD).unwrap();
        assert_eq!(believed.picks.len(), PICKS_MAX);
        assert!(believed.reply.unwrap().chars().count() <= REPLY_MAX);
    }
}
