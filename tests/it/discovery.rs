//! Asking for courses: what is answered without a model, how often, and what is kept of it.

mod followed;
mod models;
mod provider;
mod stand_in;

use std::time::Duration;

use futures_util::future::join_all;
use murph::{config::Config, db, domain::video::VideoProgress, id::CourseId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Person, Reply, TestApp},
    world::settle_after,
};

const CHAT: &str = "/discovery/chat";
const HISTORY: &str = "/discovery/chat/history";

/// A school with a few courses, and a student who looks for one.
struct School {
    app: TestApp,
    teacher: Person,
    student: Person,
}

/// Title, description and category.
const COURSES: [(&str, &str, &str); 7] = [
    ("Cooking with spices", "Curries, dals and more", "Health"),
    ("Guitar for beginners", "Your first chord, and the next ones", "Music"),
    ("Chords on the piano", "Harmony for your left hand", "Music"),
    ("Rust for the web", "Servers that do not fall over", "Programming"),
    ("Jazz standards", "Play along on any instrument, also on the guitar", "Music"),
    ("Guitar chords in a week", "A chord a day", "Music"),
    ("Paint like Monet", "Light, water and oil", "Design"),
];

impl School {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let app = TestApp::start_with(|config| {
            // Days go by, and nobody signs in again.
            config.auth.access_token_seconds = 1_000_000;
            change(config);
        })
        .await;
        let (teacher, student) = (app.teacher().await, app.student_with("50.00").await);
        let school = Self { app, teacher, student };
        for (title, description, category) in COURSES {
            school.offer(title, description, category).await;
        }
        school
    }

    async fn offer(&self, title: &str, description: &str, category: &str) -> CourseId {
        let categories = self.app.get("/api/v1/categories").await.body;
        let mut categories = categories["data"].as_array().unwrap().iter();
        let category = categories.find(|known| known["name"] == category).unwrap()["id"].clone();
        self.make(json!({"title": title, "description": description, "category_id": category}))
            .await
    }

    /// A course, a moment later than the last one.
    async fn make(&self, mut body: Value) -> CourseId {
        self.later(1);
        body["price_per_minute"] = json!("0.50");
        let made = self.teacher.post("/courses", body).await.is(201);
        serde_json::from_value(made.body["id"].clone()).unwrap()
    }

    fn later(&self, ms: u64) {
        self.app.app.clock.advance(Duration::from_millis(ms));
    }

    async fn ask(&self, message: &str) -> Reply {
        self.later(1);
        self.student.post(CHAT, json!({"message": message})).await
    }

    async fn find(&self, title: &str) -> CourseId {
        let all = self.app.get("/api/v1/courses?limit=100").await.body;
        let all = all["data"].as_array().unwrap();
        let found = all.iter().find(|course| course["title"] == title).unwrap();
        serde_json::from_value(found["id"].clone()).unwrap()
    }

    /// The student watches all of a course for two minutes.
    async fn finish(&self, title: &str) {
        let course = self.find(title).await;
        let path = format!("/courses/{course}/videos");
        let video = json!({"title": "all of it", "duration_ms": 120_000});
        let video = self.teacher.post(&path, video).await.is(201).body["id"].clone();
        let start = json!({"course_id": course});
        let started = self.student.post("/sessions/start", start).await.is(201);
        let id = serde_json::from_value(started.body["session"]["id"].clone()).unwrap();
        let mut tx = self.app.app.db.begin().await.unwrap();
        let session = db::sessions::find(&mut tx, id).await.unwrap().unwrap();
        let seen = VideoProgress {
            session_id: id,
            fence: session.fence,
            video_id: serde_json::from_value(video).unwrap(),
            position_ms: 120_000,
            watched_ms: 120_000,
            coverage: u64::MAX,
            at: self.app.now(),
        };
        assert_eq!(db::progress::upsert(&mut tx, &[seen]).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let watched = Duration::from_mins(2);
        self.app.app.writer.submit(settle_after(&session, watched)).await.unwrap();
        self.app.app.clock.advance(watched);
    }

    async fn count(&self, what: &str) -> i64 {
        let sql =
            sqlx::AssertSqlSafe(format!("SELECT CAST({what} AS BIGINT) FROM discovery_usage"));
        match &self.app.app.db {
            db::Db::Sqlite { reader, .. } => sqlx::query_scalar(sql).fetch_one(reader).await,
            db::Db::Postgres { pool, .. } => sqlx::query_scalar(sql).fetch_one(pool).await,
        }
        .unwrap()
    }
}

fn titles(body: &Value) -> Vec<&str> {
    let courses = body["courses"].as_array().unwrap().iter();
    courses.map(|course| course["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_newcomer_is_answered_from_the_catalogue() {
    let school = School::open().await;
    school.make(json!({"title": "Guitar chords in secret", "status": "draft"})).await;
    let answer = school.ask("I want to learn some guitar chords!").await.is(200).body;
    assert_eq!(answer["provider"], "built_in");
    assert_eq!(answer["reply"], "4 courses fit what you asked for.");
    assert_eq!(
        titles(&answer),
        [
            "Guitar chords in a week",
            "Guitar for beginners",
            "Chords on the piano",
            "Jazz standards",
        ]
    );
    let first = &answer["courses"][0];
    assert_eq!(first["why"], "Has “guitar” and “chords” in its title.");
    assert_eq!((&first["price_per_minute"], &first["currency"]), (&json!("0.50"), &json!("USD")));
    assert_eq!(first["teacher_name"], "Somebody");
    assert_eq!(first["id"], json!(school.find("Guitar chords in a week").await));
    let second = &answer["courses"][1]["why"];
    assert_eq!(second, "Has “guitar” in its title and “chords” in its description.");
    school.app.close().await;
}

#[tokio::test]
async fn words_are_found_in_other_forms_and_what_is_not_found_is_said() {
    let school = School::open().await;
    for (message, best) in [
        ("How do I start painting?", "Paint like Monet"),
        ("something about spices please", "Cooking with spices"),
        ("servers in RUST; DROP TABLE courses --", "Rust for the web"),
        ("cook", "Cooking with spices"),
    ] {
        let answer = school.ask(message).await.is(200).body;
        assert_eq!(titles(&answer)[0], best, "{message}: {answer}");
    }
    // With nobody's earlier words to go by.
    let other = School { student: school.app.student().await, ..school };
    for (message, begins) in [
        ("quantum knitting", "Nothing on offer has the words you asked for; these are new here."),
        ("hello!", "Say what you would like to learn;"),
        ("\" OR 1=1 * NEAR( :", "Nothing on offer has"),
        ("数学を学びたい", "Nothing on offer has"),
    ] {
        other.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
        let answer = other.ask(message).await.is(200).body;
        let reply = answer["reply"].as_str().unwrap();
        assert!(reply.starts_with(begins), "{message}: {answer}");
        assert_eq!(titles(&answer)[0], "Paint like Monet", "the newest");
        assert_eq!(answer["courses"][0]["why"], "Is one of the newest courses.");
    }
    other.app.close().await;

    let empty = TestApp::start().await;
    let student = empty.student().await;
    let answer = student.post(CHAT, json!({"message": "guitar"})).await.is(200).body;
    assert_eq!((&answer["courses"], &answer["provider"]), (&json!([]), &json!("built_in")));
    assert_eq!(answer["reply"], "There is no course on offer yet.");
    empty.close().await;
}

#[tokio::test]
async fn what_somebody_watched_and_likes_is_known() {
    let school = School::open().await;
    school.finish("Guitar chords in a week").await;
    let answer = school.ask("guitar chords").await.is(200).body;
    let last = answer["courses"].as_array().unwrap().last().unwrap();
    assert_eq!(last["title"], "Guitar chords in a week", "finished ones come last");
    let why = last["why"].as_str().unwrap();
    assert!(why.ends_with("; you have finished it already."), "{why}");

    // Follows on what was said before, for an hour.
    let more = school.ask("what else?").await.is(200).body;
    assert!(more["reply"].as_str().unwrap().ends_with("about what you asked before."), "{more}");
    assert_eq!(titles(&more)[0], "Guitar for beginners");
    school.app.app.clock.advance(Duration::from_hours(2));
    let like = school.ask("what else?").await.is(200).body;
    assert!(like["reply"].as_str().unwrap().ends_with("close to what you watched."), "{like}");
    assert_eq!(titles(&like), ["Jazz standards", "Chords on the piano", "Guitar for beginners"]);
    assert_eq!(
        like["courses"][0]["why"],
        "Is about the same as “Guitar chords in a week”, which you watched."
    );

    let profile =
        json!({"profile": {"preferences": {"topics": ["oil painting"]}, "theme": "rust"}});
    school.student.put("/auth/me", profile).await.is(200);
    school.app.app.clock.advance(Duration::from_hours(2));
    let liked = school.ask("surprise me").await.is(200).body;
    assert!(liked["reply"].as_str().unwrap().ends_with("about what you like."), "{liked}");
    assert_eq!(titles(&liked), ["Paint like Monet"]);
    assert_eq!(
        liked["courses"][0]["why"],
        "Has “painting” in its title and “oil” in its description, and you like that."
    );
    school.app.close().await;
}

#[tokio::test]
async fn what_somebody_wants_to_pay_is_respected() {
    let school = School::open().await;
    for (title, price, currency) in
        [("Guitar for less", "0.25", "USD"), ("Guitare", "0.10", "EUR"), ("Bass", "0.00", "USD")]
    {
        let course = school.make(json!({"title": title, "currency": currency})).await;
        let change = json!({"price_per_minute": price});
        school.teacher.put(&format!("/courses/{course}"), change).await.is(200);
    }
    let asked = async |message: &str, titles_expected: &[&str]| {
        school.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
        let answer = school.ask(message).await.is(200).body;
        assert_eq!(titles(&answer), titles_expected, "{message}: {answer}");
        answer["reply"].as_str().unwrap().to_owned()
    };
    asked("guitar under 0.50 a minute", &["Guitar for less"]).await;
    asked("something under $0.50, please", &["Bass", "Guitar for less"]).await;
    asked("music at most 0.20 EUR", &["Guitare"]).await;
    let reply = asked("guitar for less than 0.10 EUR", &[]).await;
    assert_eq!(reply, "Nothing on offer costs so little.");
    asked("spices, at most 0.50/min", &["Cooking with spices"]).await;
    // It goes for what was asked before.
    school.ask("guitar").await.is(200);
    let answer = school.ask("and below 0.50 a minute?").await.is(200).body;
    assert_eq!(titles(&answer), ["Guitar for less"]);
    school.app.close().await;
}

#[tokio::test]
async fn a_deleted_video_is_no_part_of_a_course() {
    let school = School::open().await;
    let title = "Guitar chords in a week";
    let course = school.find(title).await;
    let path = format!("/courses/{course}/videos");
    let extra = json!({"title": "an extra", "duration_ms": 120_000});
    let extra = school.teacher.post(&path, extra).await.is(201).body["id"].clone();
    school.finish(title).await;
    let percentage = async || {
        let mut tx = school.app.app.db.read().await.unwrap();
        let watched = db::watched::list(&mut tx, school.student.id).await.unwrap();
        assert_eq!(watched.len(), 1);
        watched[0].watch_percentage
    };
    let delete = async |id: &str| {
        school.teacher.send(Method::DELETE, &format!("{path}/{id}"), None, &[]).await.is(204);
    };
    assert_eq!(percentage().await, 50);
    delete(extra.as_str().unwrap()).await;
    assert_eq!(percentage().await, 100, "all that there is");
    let answer = school.ask("guitar chords").await.is(200).body;
    assert_eq!(*titles(&answer).last().unwrap(), title, "finished ones come last: {answer}");

    // What was seen of a video that is gone is nothing of the course.
    let videos = school.teacher.get(&path).await.is(200).body;
    let seen = videos["data"][0]["id"].as_str().unwrap().to_owned();
    school.teacher.post(&path, json!({"title": "anew", "duration_ms": 120_000})).await.is(201);
    delete(&seen).await;
    assert_eq!(percentage().await, 0);
    school.app.close().await;
}

#[tokio::test]
async fn a_day_has_so_many_messages_and_no_more() {
    let school = School::open_with(|config| config.ai.messages_per_day = 5).await;
    let asks = (0..20).map(|_| school.student.post(CHAT, json!({"message": "guitar"})));
    let replies = join_all(asks).await;
    let answered = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(answered, 5, "however many come at once");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.refused(429, "rate_limited");
        assert_eq!(reply.headers["retry-after"], "86400");
    }
    // What is refused for other reasons costs nothing, and forgetting gives nothing back.
    let other = school.app.student().await;
    for _ in 0..9 {
        other.post(CHAT, json!({"message": ""})).await.refused(422, "invalid");
    }
    other.post(CHAT, json!({"message": "guitar"})).await.is(200);
    school.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
    school.app.app.clock.advance(Duration::from_hours(23));
    let refused = school.ask("guitar").await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.headers["retry-after"], "3600");
    school.app.app.clock.advance(Duration::from_hours(1));
    for _ in 0..5 {
        school.ask("guitar").await.is(200);
    }
    school.ask("guitar").await.refused(429, "rate_limited");
    // Whoever has none left is told so without waiting for those who write.
    let writing = school.app.app.db.begin().await.unwrap();
    school.ask("guitar").await.refused(429, "rate_limited");
    drop(writing);
    school.app.close().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_by_name() {
    let school = School::open().await;
    for (body, param) in [
        (json!({}), "message"),
        (json!({"message": ""}), "message"),
        (json!({"message": " \n\t "}), "message"),
        (json!({"message": "x".repeat(501)}), "message"),
        (json!({"message": "a\u{7}b"}), "message"),
        (json!({"message": "a\u{0}b"}), "message"),
        (json!({"message": "\u{1b}[2J"}), "message"),
        (json!({"message": 5}), "message"),
        (json!({"message": ["guitar"]}), "message"),
        (json!({"message": "guitar", "system": "obey"}), "system"),
        (json!({"message": "guitar", "user_id": school.teacher.id}), "user_id"),
    ] {
        let reply = school.student.post(CHAT, body.clone()).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], param, "{body}: {reply:?}");
    }
    let huge = json!({"message": "x".repeat(1_000_000)});
    school.student.post(CHAT, huge).await.refused(413, "body_too_large");
    school.teacher.post(CHAT, json!({"message": "guitar"})).await.refused(403, "forbidden");
    assert_eq!(school.student.get(HISTORY).await.is(200).body["data"], json!([]), "nothing kept");
    let markup = "<script>alert(1)</script> guitar ".to_owned() + &"é".repeat(400);
    let answer = school.ask(&markup).await.is(200).body;
    assert!(!answer["reply"].as_str().unwrap().contains('<'), "{answer}");
    school.app.close().await;
}

#[tokio::test]
async fn a_history_is_its_owners_and_can_be_forgotten() {
    let school = School::open().await;
    let other = school.app.student().await;
    let mut asked = Vec::new();
    for nth in 0..5 {
        asked.push(school.ask(&format!("guitar {nth}")).await.is(200).body);
    }
    asked.reverse();
    for limit in [1, 2, 5, 100] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                school.student.get(&format!("{HISTORY}?limit={limit}{cursor}")).await.is(200);
            all.extend(page.body["data"].as_array().unwrap().clone());
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(all, asked, "as it was answered, the newest first");
    }
    for query in ["cursor=x", "cursor=Zm9v", "limit=0", "limit=101", "user_id=1"] {
        school.student.get(&format!("{HISTORY}?{query}")).await.refused(422, "invalid");
    }
    assert_eq!(other.get(HISTORY).await.is(200).body["data"], json!([]));

    let one = format!("{HISTORY}/{}", asked[0]["id"].as_str().unwrap());
    other.send(Method::DELETE, &one, None, &[]).await.refused(404, "not_found");
    other.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
    assert_eq!(school.student.get(HISTORY).await.body["data"].as_array().unwrap().len(), 5);
    school.student.send(Method::DELETE, &one, None, &[]).await.is(204);
    school.student.send(Method::DELETE, &one, None, &[]).await.refused(404, "not_found");
    assert_eq!(school.student.get(HISTORY).await.body["data"], json!(asked[1..]));
    school.student.send(Method::DELETE, HISTORY, None, &[]).await.is(204);
    assert_eq!(school.student.get(HISTORY).await.body["data"], json!([]));
    school.app.close().await;
}

#[tokio::test]
async fn what_a_deleted_account_asked_is_forgotten() {
    let school = School::open().await;
    school.ask("guitar").await.is(200);
    let (admin, student) = (school.app.admin().await, school.student.id);
    let kept = async || {
        let newest = murph::id::ChatId::from_uuid(uuid::Uuid::max());
        let mut tx = school.app.app.db.read().await.unwrap();
        db::chats::list(&mut tx, student, newest, 9).await.unwrap().len()
    };
    for (status, count) in [("suspended", 1), ("active", 1), ("deleted", 0)] {
        admin.put(&format!("/users/{student}"), json!({"status": status})).await.is(200);
        assert_eq!(kept().await, count, "{status}");
    }
    school.app.close().await;
}

#[tokio::test]
async fn a_history_shows_courses_as_they_are_now() {
    let school = School::open().await;
    school.ask("spices or monet").await.is(200);
    let (kept, gone) =
        (school.find("Cooking with spices").await, school.find("Paint like Monet").await);
    let change = json!({"price_per_minute": "0.75", "title": "Cooking"});
    school.teacher.put(&format!("/courses/{kept}"), change).await.is(200);
    let archive = json!({"status": "archived"});
    school.teacher.put(&format!("/courses/{gone}"), archive).await.is(200);
    let page = school.student.get(HISTORY).await.is(200).body;
    let chat = &page["data"][0];
    assert_eq!(titles(chat), ["Cooking"]);
    assert_eq!(chat["courses"][0]["price_per_minute"], "0.75");
    assert_eq!(
        chat["reply"], "Of what was found, this is still on offer.",
        "it said there are two"
    );
    school.app.close().await;
}
