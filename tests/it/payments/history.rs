//! Somebody's history: every movement of their money, each once, and nobody else's.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use murph::domain::session::Session;
use serde_json::{Value, json};

use super::{HISTORY, PAYOUTS, history, minutes, open, settle};
use crate::harness::{PASSWORD, Person, TestApp};

/// Some hours in which a student watched 20 of the 30 minutes that were held.
struct Day {
    app: TestApp,
    student: Person,
    teacher: Person,
    session: Session,
}

async fn day() -> Day {
    let app = TestApp::start().await;
    let (student, teacher) = (app.student_with("100.00").await, app.teacher().await);
    let course = app.course(&teacher, "1.00").await;
    app.app.clock.advance(minutes(60));
    let session = open(&app, &student, course).await;
    app.app.clock.advance(minutes(60));
    let session = settle(&app, session, minutes(20)).await;
    app.app.clock.advance(minutes(60));
    let student = app.log_in(&student.email, PASSWORD).await;
    let teacher = app.log_in(&teacher.email, PASSWORD).await;
    teacher.post(PAYOUTS, json!({"amount": "18.00"})).await.is(201);
    Day { app, student, teacher, session }
}

/// `type amount` of each entry.
fn lines(entries: &[Value]) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries.iter().map(|entry| text(entry, "type") + " " + &text(entry, "amount")).collect()
}

async fn lines_of(person: &Person, query: &str) -> Vec<String> {
    lines(&history(person, query).await)
}

#[tokio::test]
async fn everybody_sees_their_side_of_a_session() {
    let Day { app, student, teacher, session } = day().await;
    let admin = app.admin().await;
    let entries = history(&student, "").await;
    assert_eq!(lines(&entries), ["refund 10.00", "payment 20.00", "lock 30.00", "top_up 100.00"]);
    assert_eq!(lines_of(&teacher, "").await, ["payout 18.00", "earning 18.00"]);
    assert_eq!(lines_of(&admin, "").await, ["fee 2.00"]);

    let session = json!(session.id);
    let of_session = |entry: &Value| entry["session_id"] == session;
    assert!(entries[..3].iter().all(of_session) && entries[3]["session_id"].is_null());
    assert!(of_session(&history(&teacher, "type=earning").await[0]));
    assert!(of_session(&history(&admin, "").await[0]));
    assert!(entries.iter().all(|entry| entry["status"] == "completed"));
    app.close().await;
}

#[tokio::test]
async fn what_is_held_is_pending_until_the_session_ends() {
    let app = TestApp::start().await;
    let (student, teacher) = (app.student_with("100.00").await, app.teacher().await);
    let course = app.course(&teacher, "1.00").await;
    app.app.clock.advance(minutes(1));
    let session = open(&app, &student, course).await;
    assert_eq!(lines_of(&student, "status=pending").await, ["lock 30.00"]);
    assert_eq!(lines_of(&student, "status=completed").await, ["top_up 100.00"]);
    let (posted, held, available) = student.balance().await;
    assert_eq!([posted, held, available], ["100.00", "30.00", "70.00"]);
    app.app.clock.advance(minutes(5));
    settle(&app, session, minutes(0)).await;
    assert!(history(&student, "status=pending").await.is_empty());
    // Free, as it was short: all comes back.
    assert_eq!(lines_of(&student, "").await, ["refund 30.00", "lock 30.00", "top_up 100.00"]);
    assert!(history(&teacher, "").await.is_empty());
    app.close().await;
}

#[tokio::test]
async fn filters_leave_out_all_else() {
    let Day { app, student, teacher, session } = day().await;
    let of_session = format!("session_id={}", session.id);
    let all = history(&student, "").await;
    let at = |entry: &Value| entry["at"].as_str().unwrap().to_owned();
    let (ended, opened) = (at(&all[0]), at(&all[2]));
    for (query, lines) in [
        ("type=top_up", vec!["top_up 100.00"]),
        ("type=lock", vec!["lock 30.00"]),
        ("type=payment&currency=USD", vec!["payment 20.00"]),
        ("type=refund&status=completed", vec!["refund 10.00"]),
        ("type=earning", vec![]),
        ("type=fee", vec![]),
        ("status=failed", vec![]),
        ("currency=EUR", vec![]),
        (&of_session, vec!["refund 10.00", "payment 20.00", "lock 30.00"]),
        (&format!("{of_session}&type=lock"), vec!["lock 30.00"]),
        (&format!("from={ended}"), vec!["refund 10.00", "payment 20.00"]),
        (&format!("to={ended}"), vec!["lock 30.00", "top_up 100.00"]),
        (&format!("from={opened}&to={ended}"), vec!["lock 30.00"]),
        (&format!("from={ended}&to={opened}"), vec![]),
        ("from=9999-12-31T23:59:59Z", vec![]),
        ("to=1970-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(lines_of(&student, query).await, lines, "{query}");
    }
    for (query, lines) in [
        ("type=earning", vec!["earning 18.00"]),
        ("type=payout", vec!["payout 18.00"]),
        ("type=payment", vec![]),
        ("status=pending", vec![]),
        ("currency=EUR", vec![]),
        (&of_session, vec!["earning 18.00"]),
        (&format!("from={ended}&type=earning"), vec!["earning 18.00"]),
        (&format!("to={ended}"), vec![]),
    ] {
        assert_eq!(lines_of(&teacher, query).await, lines, "{query}");
    }
    app.close().await;
}

#[tokio::test]
async fn anothers_session_shows_nothing() {
    let Day { app, session, .. } = day().await;
    let (other, stranger) = (app.student_with("30.00").await, app.teacher().await);
    for person in [&other, &stranger] {
        assert!(history(person, &format!("session_id={}", session.id)).await.is_empty());
    }
    assert_eq!(lines_of(&other, "").await, ["top_up 30.00"]);
    app.close().await;
}

// Pages.

/// Walks through pages of `limit` and gives the ids on each.
async fn pages(person: &Person, query: &str, limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = person.get(&format!("{HISTORY}?limit={limit}{query}{cursor}")).await.is(200);
        let data = reply.body["data"].as_array().unwrap();
        pages.push(data.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect());
        assert!(pages.len() < 100, "there is no end");
        let next = reply.body["next_cursor"].as_str();
        assert_eq!(reply.body["has_more"], next.is_some());
        let Some(next) = next else { return pages };
        cursor = format!("&cursor={next}");
    }
}

/// Every entry is on one page, in the order of the whole list, and only the last page has room.
async fn assert_pages_fit(person: &Person, query: &str, count: usize) {
    let whole = pages(person, query, 100).await.concat();
    assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), count, "{whole:?}");
    assert_eq!(whole.len(), count);
    for limit in [1, 2, 3, count] {
        let pages = pages(person, query, limit).await;
        assert_eq!(pages.concat(), whole, "pages of {limit}");
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit));
        assert_eq!(pages.len(), count.div_ceil(limit));
    }
}

#[tokio::test]
async fn pages_of_one_moment_show_each_entry_once() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let mut students = Vec::new();
    for _ in 0..3 {
        students.push(app.student_with("100.00").await);
    }
    let ada = &students[0];
    // Two more top-ups, and two sessions that end as they begin: a lock and a refund each.
    for _ in 0..2 {
        ada.top_up("10.00").await;
        let session = open(&app, ada, course).await;
        settle(&app, session, minutes(0)).await;
    }
    let mut sessions = Vec::new();
    for student in &students {
        sessions.push(open(&app, student, course).await);
    }
    for session in sessions {
        settle(&app, session, minutes(9)).await;
    }
    for _ in 0..2 {
        teacher.post(PAYOUTS, json!({"amount": "10.00"})).await.is(201);
    }
    // One of the three sessions cost something.
    assert_pages_fit(ada, "", 3 + 3 + 3 + 1).await;
    assert_pages_fit(ada, "&type=top_up", 3).await;
    assert_pages_fit(&teacher, "", 3 + 2).await;
    assert_pages_fit(&teacher, "&type=earning", 3).await;
    assert_pages_fit(&app.admin().await, "", 3).await;
    app.close().await;
}

#[tokio::test]
async fn what_comes_between_two_pages_shifts_nothing() {
    let app = TestApp::start().await;
    let ada = app.student_with("10.00").await;
    ada.top_up("20.00").await;
    app.app.clock.advance(minutes(1));
    ada.top_up("30.00").await;
    let first = ada.get(&format!("{HISTORY}?limit=1")).await.is(200);
    assert_eq!(lines(first.body["data"].as_array().unwrap()), ["top_up 30.00"]);
    app.app.clock.advance(minutes(1));
    ada.top_up("40.00").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let mut rest = lines_of(&ada, &format!("cursor={cursor}")).await;
    rest.sort();
    assert_eq!(rest, ["top_up 10.00", "top_up 20.00"]);
    app.close().await;
}

#[tokio::test]
async fn what_does_not_fit_a_list_is_refused_by_name() {
    let app = TestApp::start().await;
    let ada = app.student_with("30.00").await;
    for (param, values) in [
        (
            "limit",
            vec!["0", "101", "1000000000", "4294967296", "-1", "abc", "1.5", "", "1e1", "%2B"],
        ),
        ("type", vec!["nonsense", "", "Lock", "lock%20", "lock,payment", "%00"]),
        ("status", vec!["nonsense", "", "PENDING"]),
        ("session_id", vec!["x", "", "0", "01890000000070008000000000000000", "%00"]),
        ("from", vec!["x", "", "2026-11-20", "1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z"]),
        ("to", vec!["x", "", "0", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"]),
        ("order", vec!["asc"]),
    ] {
        for value in values {
            let reply = ada.get(&format!("{HISTORY}?{param}={value}")).await;
            reply.refused(422, "invalid");
            assert_eq!(reply.body["param"], param, "{value}: {reply:?}");
        }
    }
    assert_eq!(history(&ada, "limit=100").await.len(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_cursor_that_no_list_gave_is_refused() {
    let app = TestApp::start().await;
    let ada = app.student_with("30.00").await;
    for made_up in [
        &b"x"[..],
        b"",
        b"|",
        b"1|lock",
        b"x|lock|1",
        b"|lock|1",
        b" 1|lock|1",
        b"1e3|lock|1",
        b"-1|lock|1",
        b"9223372036854775807|lock|1",
        b"9223372036854775808|lock|1",
        b"-9223372036854775808|lock|1",
        // The first moment that the calendar knows, long before any that a database does.
        b"-8334601228800000000|lock|1",
        b"253402300800000000|lock|1",
        b"1|lock|\0",
        b"1|lock|\xff",
    ] {
        let cursor = URL_SAFE_NO_PAD.encode(made_up);
        let reply = ada.get(&format!("{HISTORY}?cursor={cursor}")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (422, "invalid"),
            "{made_up:?} {reply:?}"
        );
        assert_eq!(reply.body["param"], "cursor");
    }
    for text in ["x", "%21%21", "MXxsb2NrfDE%3D", "MXxs%20b2NrfDE", "%F0%9F%92%B8", "null"] {
        ada.get(&format!("{HISTORY}?cursor={text}")).await.refused(422, "invalid");
    }
    // The shape of one: it may lead anywhere in one's own history, and nowhere else.
    let anywhere = URL_SAFE_NO_PAD.encode(b"253402300799000000|'; DROP TABLE users --|\\");
    assert_eq!(history(&ada, &format!("cursor={anywhere}")).await.len(), 1);
    app.close().await;
}
