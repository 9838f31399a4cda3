//! Who sees which sessions, and what: views, lists, receipts.

use std::time::Duration;

use murph::{
    db::Tx,
    domain::{
        course::{Partner, Split},
        stretch::{Stretch, StretchKind},
    },
    id::{CourseId, SessionId, VideoId},
    money::{BasisPoints, Money},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{Class, assert_has, assert_refused_for, end, id, start};
use crate::harness::{PASSWORD, Person, Reply, TestApp, money};

const SESSIONS: &str = "/sessions";

#[tokio::test]
async fn a_session_is_for_its_student_its_teacher_and_admins() {
    let class = Class::gather().await;
    let (app, admin) = (&class.app, class.app.admin().await);
    let (other, stranger) = (app.student_with("30.00").await, app.teacher().await);
    start(&other, class.course).await;
    let session = class.start().await;
    let path = format!("{SESSIONS}/{session}");
    for seer in [&class.student, &class.teacher, &admin] {
        assert_eq!(id(&seer.get(&path).await.is(200).body["id"]), session);
        let open = seer.get(&format!("{path}/receipt")).await;
        open.refused(409, "session_not_ended");
    }
    end(&class.student, session).await.is(200);
    for seer in [&class.student, &class.teacher, &admin] {
        let receipt = seer.get(&format!("{path}/receipt")).await.is(200);
        assert_eq!(id(&receipt.body["session_id"]), session);
    }
    for blind in [&other, &stranger] {
        for path in [path.clone(), format!("{path}/receipt")] {
            blind.get(&path).await.refused(404, "not_found");
        }
        let seen = ids(&blind.get(SESSIONS).await);
        assert!(!seen.contains(&session));
    }
    admin.get(SESSIONS).await.refused(403, "forbidden");
    class.app.close().await;
}

#[track_caller]
fn ids(reply: &Reply) -> Vec<SessionId> {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["data"].as_array().unwrap().iter().map(|session| id(&session["id"])).collect()
}

/// A list, page by page.
async fn pages(person: &Person, query: &str) -> Vec<SessionId> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = person.get(&format!("{SESSIONS}?limit=2{query}{cursor}")).await.is(200);
        let found = ids(&page);
        let has_more = page.body["has_more"] == true;
        assert!(found.len() == 2 || !has_more, "{page:?}");
        all.extend(found);
        let Some(next) = page.body["next_cursor"].as_str() else {
            assert!(!has_more, "{page:?}");
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn lists_are_newest_first_and_have_no_gaps() {
    let class = Class::gather().await;
    let other = class.app.student_with("30.00").await;
    let second_course = class.app.course(&class.teacher, "0.30").await;
    let elsewhere = class.app.course(&class.app.teacher().await, "0.30").await;
    let mut own = Vec::new();
    // Some begin in the same microsecond.
    for (course, later) in
        [(class.course, 0), (second_course, 1), (class.course, 0), (elsewhere, 1), (elsewhere, 0)]
    {
        class.app.app.clock.advance(Duration::from_secs(later));
        let session = start(&class.student, course).await;
        end(&class.student, session).await.is(200);
        own.push((course, session));
    }
    class.app.app.clock.advance(Duration::from_secs(1));
    let open = start(&class.student, class.course).await;
    own.push((class.course, open));
    let others = start(&other, class.course).await;

    let all = pages(&class.student, "").await;
    assert_eq!(all[0], open);
    assert_eq!(sorted(all.clone()), sorted(own.iter().map(|(_, session)| *session).collect()));
    let list = class.student.get(&format!("{SESSIONS}?limit=100")).await;
    assert_eq!(ids(&list), all);
    let started: Vec<_> = list.body["data"].as_array().unwrap().iter().collect();
    assert!(started.is_sorted_by_key(|session| {
        std::cmp::Reverse(session["started_at"].as_str().unwrap().to_owned())
    }));
    assert!(list.body["next_cursor"].is_null());

    let on = |course: CourseId| -> Vec<SessionId> {
        own.iter().filter(|(of, _)| *of == course).map(|(_, session)| *session).collect()
    };
    let found = pages(&class.student, &format!("&course_id={}", class.course)).await;
    assert_eq!(sorted(found), sorted(on(class.course)));
    assert_eq!(pages(&class.student, "&status=active").await, [open]);
    assert_eq!(pages(&class.student, "&status=cancelled").await.len(), 5);
    assert_eq!(pages(&class.student, "&status=completed").await, []);

    // A teacher sees who is on their courses, and nobody else.
    let mut taught = [on(class.course), on(second_course)].concat();
    taught.push(others);
    assert_eq!(sorted(pages(&class.teacher, "").await), sorted(taught));
    let active = pages(&class.teacher, "&status=active").await;
    assert_eq!(sorted(active), sorted(vec![open, others]));
    class.app.close().await;
}

fn sorted(mut sessions: Vec<SessionId>) -> Vec<SessionId> {
    sessions.sort();
    sessions
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_refused_by_name() {
    let class = Class::gather().await;
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("status=open", "status"),
        ("course_id=x", "course_id"),
        ("student_id=x", "student_id"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        // "1|x" and "-1|" with an id.
        ("cursor=MXx4", "cursor"),
        ("cursor=LTF8MDE4OTAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw", "cursor"),
    ] {
        assert_refused_for(&class.student.get(&format!("{SESSIONS}?{query}")).await, param);
    }
    class.app.close().await;
}

/// Writes down what was watched of a video, as a meter does.
async fn note(app: &TestApp, session: SessionId, video: VideoId, coverage: i64) {
    let insert = "INSERT INTO session_video_progress
           (session_id, video_id, position_ms, watched_ms, coverage, updated_at)
         VALUES ($1, $2, 4321, 1234, $3, $4)";
    let now: Timestamp = app.now();
    let mut tx = app.app.db.begin().await.unwrap();
    match &mut tx {
        Tx::Sqlite(tx) => {
            let query = sqlx::query(insert).bind(session).bind(video).bind(coverage).bind(now);
            query.execute(&mut **tx).await.unwrap();
        }
        Tx::Postgres(tx) => {
            let query = sqlx::query(insert).bind(session).bind(video).bind(coverage).bind(now);
            query.execute(&mut **tx).await.unwrap();
        }
        Tx::SqliteRead(_) | Tx::PostgresRead(_) => unreachable!("it may write"),
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_session_says_how_much_of_the_course_was_watched() {
    let class = Class::gather().await;
    let mut videos = Vec::new();
    for title in ["one", "two", "three"] {
        let path = format!("/courses/{}/videos", class.course);
        let body = json!({"title": title, "duration_ms": 600_000});
        let made = class.teacher.post(&path, body).await.is(201);
        videos.push(serde_json::from_value::<VideoId>(made.body["id"].clone()).unwrap());
    }
    let session = class.start().await;
    // All of the third, half of the first, nothing of the second.
    note(&class.app, session, videos[2], -1).await;
    note(&class.app, session, videos[0], 0xffff_ffff).await;

    for path in [format!("{SESSIONS}/{session}"), format!("{SESSIONS}/active")] {
        assert_eq!(class.student.get(&path).await.is(200).body["watch_percentage"], 50);
    }
    let list = class.teacher.get(SESSIONS).await.is(200);
    assert_eq!(list.body["data"][0]["watch_percentage"], 50);
    let receipt = end(&class.student, session).await.is(200);
    let line = |nth: usize, title: &str, percentage: u8| {
        json!({
            "video_id": videos[nth], "title": title, "watched_ms": 1234, "position_ms": 4321,
            "watch_percentage": percentage,
        })
    };
    assert_eq!(receipt.body["videos"], json!([line(0, "one", 50), line(2, "three", 100)]));
    // It was written past the sums.
    murph::service::earnings::rebuild(&class.app.app.db).await.unwrap();
    class.app.close().await;
}

fn amount(value: &Value) -> Money {
    money(value.as_str().unwrap())
}

#[tokio::test]
async fn a_receipt_adds_up() {
    let class = Class::gather().await;
    let points = |points| BasisPoints::new(points).unwrap();
    let partner = Partner { name: "museum".into(), basis_points: points(333) };
    let split = Split { platform: points(1_000), partners: vec![partner] };
    let course = class.app.course_with(&class.teacher, "0.100001", split).await;
    let session = start(&class.student, course).await;
    let story = [
        (StretchKind::Opening, 1_500),
        (StretchKind::Watched, 59_999),
        (StretchKind::Paused, 30_000),
        (StretchKind::Watched, 1_234),
        (StretchKind::Silent, 7),
        (StretchKind::Watched, 77_777),
    ];
    let watched = Duration::from_millis(59_999 + 1_234 + 77_777);
    let stretches = story.map(|(kind, ms)| Stretch(kind, ms)).to_vec();
    class.settle(session, stretches, watched).await;

    let receipt = class.student.get(&format!("{SESSIONS}/{session}/receipt")).await.is(200).body;
    let lines = receipt["stretches"].as_array().unwrap();
    let mut end_ms = 0;
    for (line, (kind, ms)) in lines.iter().zip(story) {
        assert_eq!((&line["kind"], &line["from_ms"]), (&json!(kind), &json!(end_ms)));
        assert_eq!(line["duration_ms"], ms);
        assert_eq!(line["charged"], kind == StretchKind::Watched);
        end_ms += ms;
    }
    assert_eq!(lines.len(), story.len());
    let costs: Money = lines.iter().map(|line| amount(&line["cost"])).sum();
    // 139 010 ms at 0.100001 a minute, rounded down once.
    assert_eq!((costs, amount(&receipt["cost"])), (money("0.231685"), money("0.231685")));
    assert_eq!(amount(&receipt["cost"]) + amount(&receipt["refund"]), money("30.00"));
    let shares = &receipt["split"];
    assert_eq!(shares["partners"][0]["name"], "museum");
    let [teacher, platform, partner] =
        [&shares["teacher"], &shares["platform"], &shares["partners"][0]["amount"]].map(amount);
    assert_eq!(teacher + platform + partner, costs);
    assert_eq!((platform, partner), (money("0.023168"), money("0.007715")));
    assert_eq!((&receipt["was_free"], &receipt["free_reason"]), (&json!(false), &Value::Null));
    assert_eq!(receipt["status"], "completed");
    // It is what the accounts say, too.
    assert_has(&class.student, ["99.768315", "0.00", "99.768315"]).await;
    assert_has(&class.teacher, [&teacher.to_string(), "0.00", &teacher.to_string()]).await;
    class.app.close().await;
}

/// The second short session within a day is charged from the first millisecond.
#[tokio::test]
async fn a_short_session_is_free_once_and_the_receipt_says_so() {
    let class = Class::gather().await;
    for (free_reason, cost) in [(json!("short_session"), "0.00"), (Value::Null, "0.30")] {
        let session = class.start().await;
        class.settle(session, vec![], Duration::from_secs(30)).await;
        let path = format!("{SESSIONS}/{session}/receipt");
        let receipt = class.student.get(&path).await.is(200).body;
        assert_eq!((&receipt["free_reason"], &receipt["cost"]), (&free_reason, &json!(cost)));
        assert_eq!(receipt["was_free"], !free_reason.is_null());
        // Nobody told the story, so the receipt tells what it must have been.
        let line = json!({
            "kind": "watched", "charged": free_reason.is_null(), "from_ms": 0,
            "duration_ms": 30_000, "cost": cost,
        });
        assert_eq!(receipt["stretches"], json!([line]));
    }
    class.app.close().await;
}

#[tokio::test]
async fn a_receipt_stays_what_it_was() {
    let class = Class::gather().await;
    let session = class.start().await;
    class.settle(session, vec![], Duration::from_mins(2)).await;
    let path = format!("{SESSIONS}/{session}/receipt");
    let before = class.student.get(&path).await.is(200).text;
    class.app.app.clock.advance(Duration::from_hours(48));
    let student = class.app.log_in(&class.student.email, PASSWORD).await;
    assert_eq!(student.get(&path).await.is(200).text, before);
    class.app.close().await;
}
