//! What teachers look at: the sums are always the ledger's, in every time zone, and move while
//! students watch.

mod cost;
mod days;
mod live;
mod table;

use std::time::{Duration, Instant};

use murph::{id::CourseId, service::earnings};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::time::timeout;

use crate::{
    document::{assert_documented_event, assert_documented_head},
    harness::{PASSWORD, Person, Reply, TestApp, money},
    live::player::Player,
};

const MINUTE: Duration = Duration::from_mins(1);
const DEADLINE: Duration = Duration::from_secs(10);

async fn start() -> TestApp {
    TestApp::start_with(|config| config.auth.access_token_seconds = 30 * 86_400).await
}

/// Two courses, one free, and sessions on both over some days and odd hours.
async fn lived_in() -> (TestApp, Person, [CourseId; 2]) {
    let app = start().await;
    let teacher = app.teacher().await;
    let courses = [app.course(&teacher, "0.37").await, app.course(&teacher, "0").await];
    let student = app.student_with("500.00").await;
    for nth in 0..12_u32 {
        let course = courses[usize::from(nth % 4 == 3)];
        app.watched(&student, course, MINUTE * (nth + 1) + Duration::from_millis(7)).await;
        app.app.clock.advance(Duration::from_mins(u64::from(nth) * 97));
    }
    // A short one is free, and none of these.
    app.watched(&student, courses[0], Duration::from_secs(5)).await;
    (app, teacher, courses)
}

/// All entries of a list, in pages of `limit`.
async fn all(teacher: &Person, query: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/teacher/earnings?{query}&limit={limit}{cursor}");
        let page = teacher.get(&path).await.is(200).body;
        let data = page["data"].as_array().unwrap().clone();
        assert!(data.len() <= limit && (!data.is_empty() || all.is_empty()), "{page:#}");
        all.extend(data);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn sum(entries: &[Value], field: &str) -> String {
    let amounts = entries.iter().map(|entry| money(entry[field].as_str().unwrap()));
    amounts.sum::<murph::money::Money>().to_string()
}

#[tokio::test]
async fn earnings_are_the_ledgers_however_they_are_asked_for() {
    let (app, teacher, courses) = lived_in().await;
    let posted = teacher.balance().await.0;
    let zones = ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham", "Africa/Nairobi"];
    for zone in zones {
        for (by, limit) in [("day", 3), ("hour", 100), ("session", 2), ("day", 100)] {
            let found = all(&teacher, &format!("by={by}&time_zone={zone}"), limit).await;
            assert_eq!(sum(&found, "total"), posted, "{by} in {zone}");
            assert!(!found.is_empty());
        }
    }
    let days = all(&teacher, "by=day", 100).await;
    assert_eq!(days.len(), 30, "days without earnings are there, too");
    assert_eq!(days[0]["begin"], days[0]["day"].as_str().unwrap().to_owned() + "T00:00:00.000000Z");
    let sessions: u64 = days.iter().map(|day| day["sessions"].as_u64().unwrap()).sum();
    assert_eq!(sessions, 12, "free ones count, those that were cancelled do not");
    let of_one = all(&teacher, &format!("by=day&course_id={}", courses[1]), 100).await;
    assert_eq!(sum(&of_one, "total"), "0.00");
    let fee = sum(&days, "fee");
    assert_eq!(money(&sum(&days, "paid")), money(&fee) + money(&posted));

    // A day has its hours, wherever clocks stand on the half hour.
    let day = days.iter().find(|day| day["sessions"] != 0).unwrap()["day"].as_str().unwrap();
    for zone in ["Asia/Kolkata", "UTC"] {
        let range = format!("from={day}&to={day}&time_zone={zone}");
        let whole = all(&teacher, &format!("by=day&{range}"), 5).await;
        let hours = all(&teacher, &format!("by=hour&{range}"), 5).await;
        let sessions = all(&teacher, &format!("by=session&{range}"), 5).await;
        assert_eq!((whole.len(), hours.len()), (1, 24));
        assert_eq!(sum(&whole, "total"), sum(&hours, "total"));
        assert_eq!(sum(&whole, "total"), sum(&sessions, "total"));
    }
    app.close().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let app = start().await;
    let teacher = app.teacher().await;
    for (query, param) in [
        ("time_zone=Mars/Olympus", "time_zone"),
        ("time_zone=../../etc/passwd", "time_zone"),
        ("by=minute", "by"),
        ("from=2026-02-30", "from"),
        ("from=2026-11-02&to=2026-11-01", "from"),
        ("to=yesterday", "to"),
        ("currency=XXX", "currency"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("by=session&cursor=eHh4", "cursor"),
        ("by=session&course_id=019aa000-0000-7000-8000-000000000000", "course_id"),
        ("no_such=1", "no_such"),
    ] {
        let reply = teacher.get(&format!("/teacher/earnings?{query}")).await;
        assert_eq!(reply.body["param"], param, "{query}: {reply:?}");
        reply.refused(422, "invalid");
    }
    for path in ["/teacher/dashboard", "/teacher/live", "/teacher/earnings.csv"] {
        let reply = teacher.get(&format!("{path}?time_zone=nowhere")).await;
        assert_eq!(reply.body["param"], "time_zone", "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn the_table_has_every_entry_and_no_formula() {
    let (app, teacher, _) = lived_in().await;
    let student = app.student_with("30.00").await;
    let title = "=HYPERLINK(\"x\"), or \n not";
    let body = json!({"title": title.replace('\n', ""), "price_per_minute": "1.00"});
    let course = teacher.post("/courses", body).await.is(201).body["id"].clone();
    app.watched(&student, serde_json::from_value(course).unwrap(), MINUTE * 3).await;
    let reply = teacher.get("/teacher/earnings.csv?time_zone=Asia/Kolkata").await.is(200);
    assert_eq!(reply.headers["content-type"], "text/csv; charset=utf-8");
    let name = reply.headers["content-disposition"].to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"earnings-USD-"), "{name}");
    let lines: Vec<&str> = reply.text.trim_end().lines().collect();
    assert!(lines[0].starts_with("at,day,kind,session_id,"), "{}", lines[0]);
    assert!(
        lines.last().unwrap().contains("\"'=HYPERLINK(\"\"x\"\"), or  not\""),
        "{}",
        reply.text
    );
    let totals = lines[1..].iter().map(|line| money(line.rsplit(',').next().unwrap()));
    let total: murph::money::Money = totals.sum();
    assert_eq!(total.to_string(), teacher.balance().await.0);
    assert_eq!(lines.len(), 1 + 9 + 1, "free sessions bring no money and are not there");
    app.close().await;
}

#[tokio::test]
async fn a_dashboard_shows_all_of_it() {
    let (app, teacher, courses) = lived_in().await;
    let dashboard = teacher.get("/teacher/dashboard?time_zone=Africa/Nairobi").await.is(200).body;
    let posted = teacher.balance().await.0;
    assert_eq!(dashboard["time_zone"], "Africa/Nairobi");
    let usd = &dashboard["earnings"][0];
    assert_eq!((&usd["currency"], &usd["total"]), (&json!("USD"), &json!(posted)));
    assert_eq!((&usd["available"], &usd["pending"]), (&json!(posted), &json!("0.00")));
    assert_eq!(usd["pending_is_provisional"], true);
    let today = all(&teacher, "time_zone=Africa/Nairobi", 1).await[0]["total"].clone();
    assert_eq!(usd["today"], today);
    let shown = dashboard["courses"].as_array().unwrap();
    let of_first = shown.iter().find(|course| course["course_id"] == json!(courses[0])).unwrap();
    assert_eq!(
        (&of_first["sessions"], &of_first["earnings"][0]["total"]),
        (&json!(9), &json!(posted))
    );
    let own = teacher.get("/teacher/courses").await.is(200).body;
    let own = own["data"].as_array().unwrap();
    let of = |id: CourseId| own.iter().find(|course| course["id"] == json!(id)).unwrap();
    assert_eq!(of(courses[0])["earnings"][0]["total"], json!(posted));
    assert_eq!(of(courses[1])["sessions"], 3);

    // Another teacher sees nothing of it.
    let stranger = app.teacher().await;
    let empty = stranger.get("/teacher/dashboard").await.is(200).body;
    assert_eq!((&empty["earnings"][0]["total"], &empty["courses"]), (&json!("0.00"), &json!([])));
    let details = app.get(&format!("/api/v1/courses/{}", courses[0])).await.is(200).body;
    assert_eq!(details["statistics"]["sessions"], 9);
    app.close().await;
}

/// All rows of the sums, as text.
pub(crate) async fn kept(app: &TestApp) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT lower(hex(teacher_id)) || ' ' || currency || ' ' || CAST(quarter AS TEXT) || ' '
             || lower(hex(course_id)) || ' ' || sessions || ' ' || watched_ms || ' ' || paid || ' '
             || earned || ' ' || bonus FROM earnings_quarters ORDER BY 1",
        "SELECT lower(hex(course_id)) || ' ' || currency || ' ' || sessions || ' ' || watched_ms
             || ' ' || paid || ' ' || earned || ' ' || bonus FROM course_earnings ORDER BY 1",
        "SELECT lower(hex(video_id)) || ' ' || sessions || ' ' || watched_ms FROM video_views
          ORDER BY 1",
        "SELECT lower(hex(id)) || ' ' || reviews || ' ' || rating_weight || ' ' || rating_points
             || ' ' || rating FROM courses ORDER BY 1",
        "SELECT lower(hex(course_id)) || ' ' || rating || ' ' || reviews || ' ' || credibility
             || ' ' || weight FROM course_ratings WHERE reviews <> 0 ORDER BY 1",
    ] {
        match &app.app.db {
            murph::db::Db::Sqlite { reader, .. } => {
                let found = sqlx::query(sql).fetch_all(reader).await.unwrap();
                rows.extend(found.iter().map(|row| row.get::<String, _>(0)));
            }
            murph::db::Db::Postgres { pool, .. } => {
                let found = sqlx::query(sql).fetch_all(pool).await.unwrap();
                rows.extend(found.iter().map(|row| row.get::<String, _>(0)));
            }
        }
    }
    rows
}

#[tokio::test]
async fn the_sums_are_what_they_are_rebuilt_to() {
    let (app, teacher, courses) = lived_in().await;
    let path = format!("/courses/{}/videos", courses[0]);
    let video = teacher.post(&path, json!({"title": "one", "duration_ms": 600_000})).await.is(201);
    let video_id = video.body["id"].as_str().unwrap().to_owned();
    let student = app.student_with("30.00").await;
    let mut player = Player::start_with(&app, &student, json!({"course_id": courses[0]})).await;
    player.say(json!({"type": "play", "video_id": video_id, "position_ms": 0})).await;
    while player.until("state").await["phase"] != "playing" {}
    for step in 1..=13_u64 {
        app.app.clock.advance(Duration::from_secs(5));
        let position = step * 5_000;
        let word = json!({"type": "progress", "video_id": video_id, "position_ms": position});
        player.say(word).await;
        player.tick_where(|tick| tick["watched_ms"].as_u64().unwrap() >= position).await;
    }
    player.say(json!({"type": "end"})).await;
    player.last("receipt").await;
    let review = json!({"session_id": player.session_id, "rating": 4});
    let path = format!("/reviews/courses/{}/reviews", courses[0]);
    student.post(&path, review).await.is(201);

    let before = kept(&app).await;
    assert!(before.iter().any(|row| row.ends_with(" 1 65000")), "a view is counted: {before:#?}");
    for spoil in [
        "DELETE FROM course_earnings",
        "UPDATE earnings_quarters SET earned = earned + 1, sessions = 0",
        "UPDATE video_views SET watched_ms = 0",
        "UPDATE courses SET reviews = 9, rating_weight = 10, rating_points = 50, rating = 500",
        "UPDATE course_ratings SET credibility = credibility + 1",
    ] {
        let mut tx = app.app.db.begin().await.unwrap();
        crate::world::execute(&mut tx, spoil).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_ne!(kept(&app).await, before);
    earnings::rebuild(&app.app.db).await.unwrap();
    assert_eq!(kept(&app).await, before);
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rebuilding_while_money_moves_loses_none() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "1.00").await;
    let mut students = Vec::new();
    for _ in 0..4 {
        students.push(app.student_with("100.00").await);
    }
    let sessions = students.iter().map(async |student| {
        for _ in 0..8 {
            app.watched(student, course, MINUTE).await;
        }
    });
    let rebuilding = async {
        for _ in 0..6 {
            earnings::rebuild(&app.app.db).await.unwrap();
        }
    };
    tokio::join!(futures_util::future::join_all(sessions), rebuilding);
    let dashboard = teacher.get("/teacher/dashboard").await.is(200).body;
    assert_eq!(dashboard["earnings"][0]["total"], json!(teacher.balance().await.0));
    app.close().await;
}

/// A stream of events that is being read.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(teacher: &Person, app: &TestApp, last_id: Option<&str>) -> Self {
        let request = app.client.get(format!("{}/api/v1/teacher/live", app.url));
        let mut request = request.bearer_auth(&teacher.access_token);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_documented_head(&Method::GET, &response);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new() }
    }

    /// The next event and its id. `None`: it is over.
    async fn next(&mut self) -> Option<(Value, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                };
                let (data, id) = (field("data: "), field("id: "));
                assert!(data.is_none() || field("event: ").as_deref() == Some("live"), "{event}");
                let rest = rest.to_owned();
                self.text = rest;
                match data.zip(id) {
                    Some((data, id)) => {
                        let data = serde_json::from_str(&data).unwrap();
                        assert_documented_event("/api/v1/teacher/live", &data);
                        return Some((data, id));
                    }
                    None => continue,
                }
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await.expect("something comes");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn until(&mut self, holds: impl Fn(&Value) -> bool) -> (Value, String) {
        let began = Instant::now();
        loop {
            let (event, id) = self.next().await.expect("it goes on");
            if holds(&event) {
                return (event, id);
            }
            assert!(began.elapsed() < DEADLINE, "{event:#}");
        }
    }
}

#[tokio::test]
async fn a_live_view_moves_while_students_watch() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "0.60").await;
    let mut events = Events::open(&teacher, &app, None).await;
    let (first, _) = events.next().await.unwrap();
    assert_eq!((&first["viewers"], &first["courses"]), (&json!(0), &json!([])));
    assert_eq!(
        first["earnings"],
        json!([{"currency": "USD", "today": "0.00", "pending": "0.00", "pending_is_provisional": true}])
    );

    let student = app.student_with("30.00").await;
    let mut player = Player::start(&app, &student, course).await;
    let (watched, _) = events.until(|event| event["viewers"] == 1).await;
    assert_eq!(watched["courses"][0]["course_id"], json!(course));
    assert_eq!(watched["courses"][0]["pending"], "0.00", "it would be free so far");
    player.play(0).await;
    player.watch(&app, 0, 120, 5).await;
    // 2 minutes at 0.60, less the fee of 10 %.
    let (pending, id) = events.until(|event| event["earnings"][0]["pending"] == "1.08").await;
    assert_eq!(pending["earnings"][0]["today"], "0.00");
    let dashboard = teacher.get("/teacher/dashboard").await.is(200).body;
    assert_eq!(
        (&dashboard["viewers"], &dashboard["earnings"][0]["pending"]),
        (&json!(1), &json!("1.08"))
    );

    // Whoever comes back to the same is not told again; to another, at once.
    let mut again = Events::open(&teacher, &app, Some(&id)).await;
    player.say(json!({"type": "end"})).await;
    player.last("receipt").await;
    let (next, _) = again.next().await.unwrap();
    assert_ne!(next, pending);
    let over = |event: &Value| event["viewers"] == 0 && event["earnings"][0]["today"] == "1.08";
    let (over, _) = events.until(over).await;
    assert_eq!(over["earnings"][0]["pending"], "0.00");

    // Signing out ends it, and so does a stop.
    teacher.post("/auth/logout", json!({})).await.is(204);
    while events.next().await.is_some() {}
    let teacher = app.log_in(&teacher.email, PASSWORD).await;
    let mut last = Events::open(&teacher, &app, None).await;
    last.next().await.unwrap();
    drop((events, again));
    let watching = async move { while last.next().await.is_some() {} };
    timeout(DEADLINE, async { tokio::join!(watching, app.close()) }).await.unwrap();
}

#[tokio::test]
async fn only_teachers_watch_and_not_too_many_at_once() {
    let app = start().await;
    let (teacher, student) = (app.teacher().await, app.student().await);
    student.get("/teacher/live").await.refused(403, "forbidden");
    app.get("/api/v1/teacher/live").await.refused(401, "unauthenticated");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Events::open(&teacher, &app, None).await);
    }
    teacher.get("/teacher/live").await.refused(429, "rate_limited");
    drop(open);
    // A place is free as soon as the server has noticed.
    let began = Instant::now();
    loop {
        let request = app.client.get(format!("{}/api/v1/teacher/live", app.url));
        let reply = request.bearer_auth(&teacher.access_token).send().await.unwrap();
        if reply.status() == 200 {
            break;
        }
        assert!(began.elapsed() < DEADLINE);
        Reply::of(&Method::GET, reply).await.refused(429, "rate_limited");
    }
    app.close().await;
}

/// However many watch a course, they are one row of what nodes tell each other.
#[tokio::test]
async fn a_crowd_is_one_row_on_the_bus() {
    let app = start().await;
    let teacher = app.teacher().await;
    let course = app.course(&teacher, "0.60").await;
    let mut players = Vec::new();
    for _ in 0..5 {
        let student = app.student_with("30.00").await;
        players.push(Player::start(&app, &student, course).await);
    }
    let mut events = Events::open(&teacher, &app, None).await;
    events.until(|event| event["viewers"] == 5).await;
    let heard = app.app.audience.of(&app.app, teacher.id);
    assert_eq!(heard.len(), 1, "one row for the course: {heard:?}");
    app.close().await;
}
