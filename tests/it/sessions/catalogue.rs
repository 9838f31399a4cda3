//! Courses and their videos: who makes them, and what fits.

use futures_util::future::join_all;
use murph::{
    db,
    domain::video::Video,
    id::{CourseId, VideoId},
};
use serde_json::{Value, json};

use super::{assert_refused_for, start};
use crate::harness::{Person, TestApp};

const COURSES: &str = "/courses";

async fn make(teacher: &Person, body: Value) -> CourseId {
    let made = teacher.post(COURSES, body).await.is(201);
    serde_json::from_value(made.body["id"].clone()).unwrap()
}

#[tokio::test]
async fn a_course_is_offered_and_everybody_sees_it() {
    let app = TestApp::start().await;
    let (teacher, student) = (app.teacher().await, app.student_with("30.00").await);
    let body = json!({
        "title": "  Rust ", "price_per_minute": "0.50",
        "partners": [{"name": " museum ", "basis_points": 3_000}],
    });
    let made = teacher.post(COURSES, body).await.is(201);
    assert_eq!(
        made.body,
        json!({
            "id": made.body["id"], "teacher_id": teacher.id, "teacher_name": "Somebody",
            "title": "Rust", "description": "", "category_id": null, "category_name": null,
            "level": null, "status": "published",
            "price_per_minute": "0.50", "currency": "USD", "platform_basis_points": 1_000,
            "partners": [{"name": "museum", "basis_points": 3_000}],
            "rating": null, "reviews": 0,
            "created_at": app.now(), "updated_at": app.now(),
        })
    );
    let path = format!("{COURSES}/{}", made.body["id"].as_str().unwrap());
    let mut details = made.body.clone();
    details["video_count"] = json!(0);
    details["duration_ms"] = json!(0);
    details["statistics"] = json!({"sessions": 0, "watched_ms": 0});
    details["progress"] = json!({"watched_ms": 0, "watch_percentage": 0, "videos": []});
    assert_eq!(student.get(&path).await.is(200).body, details);
    details["progress"] = Value::Null;
    assert_eq!(app.get(&format!("/api/v1{path}")).await.is(200).body, details, "to anybody");
    start(&student, serde_json::from_value(made.body["id"].clone()).unwrap()).await;
    app.close().await;
}

#[tokio::test]
async fn what_does_not_fit_a_course_is_refused_by_name() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let partner = |name: &str, points: u32| json!({"name": name, "basis_points": points});
    for (field, value) in [
        ("title", json!("")),
        ("title", json!(" ")),
        ("title", json!("a\nb")),
        ("title", json!("x".repeat(201))),
        ("title", json!(7)),
        ("description", json!("x".repeat(10_001))),
        ("description", json!("a\u{7}b")),
        ("category_id", json!("Programming")),
        ("category_id", json!("01890000-0000-7000-8000-000000000000")),
        ("level", json!("expert")),
        ("level", json!("Beginner")),
        ("level", json!(["beginner"])),
        ("status", json!("deleted")),
        ("status", json!("sold")),
        ("price_per_minute", json!("-0.01")),
        ("price_per_minute", json!("100000.000001")),
        ("price_per_minute", json!("0.0000001")),
        ("price_per_minute", json!("free")),
        ("price_per_minute", Value::Null),
        ("currency", json!("XYZ")),
        ("partners", json!([partner("a", 9_001)])),
        ("partners", json!([partner("a", 4_500), partner("b", 4_501)])),
        ("partners", json!([partner("a", 10), partner("a", 10)])),
        ("partners", json!([partner("a", 0)])),
        ("partners", json!([partner("", 10)])),
        ("partners", json!((0..21).map(|n| partner(&n.to_string(), 1)).collect::<Vec<_>>())),
        ("teacher_id", json!("x")),
        ("platform_basis_points", json!(0)),
    ] {
        let mut body = json!({"title": "Rust", "price_per_minute": "0.50"});
        body[field] = value;
        assert_refused_for(&teacher.post(COURSES, body).await, field);
    }
    let over = json!({"title": "a", "price_per_minute": 1, "partners": [partner("a", 10_001)]});
    assert_refused_for(&teacher.post(COURSES, over).await, "partners[0].basis_points");
    // A list is no object, even if it has the values of one in their order.
    let list = json!({"title": "a", "price_per_minute": 1, "partners": [["a", 10]]});
    assert_refused_for(&teacher.post(COURSES, list).await, "partners[0]");
    teacher.put("/auth/me", json!(["Eve", {}])).await.refused(422, "invalid");
    app.close().await;
}

#[tokio::test]
async fn the_bounds_of_a_course_fit() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    for (price, shown) in [(json!(0), "0.00"), (json!("100000"), "100000.00")] {
        let body = json!({
            "title": "é".repeat(200), "price_per_minute": price, "currency": "KES",
            "partners": [{"name": "all the rest", "basis_points": 9_000}],
        });
        let made = teacher.post(COURSES, body).await.is(201);
        assert_eq!(made.body["price_per_minute"], shown);
        assert_eq!(made.body["currency"], "KES");
    }
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn videos_stand_in_the_order_in_which_they_came() {
    let app = TestApp::start().await;
    let (teacher, student) = (app.teacher().await, app.student().await);
    let course = make(&teacher, json!({"title": "Rust", "price_per_minute": "1"})).await;
    let path = format!("{COURSES}/{course}/videos");
    let add = |nth: u64| {
        let body = json!({"title": format!("part {nth}"), "duration_ms": nth});
        teacher.post(&path, body)
    };
    let mut made = Vec::new();
    for nth in [1, 172_800_000] {
        made.push(add(nth).await.is(201).body);
    }
    // At once, in some order.
    made.extend(join_all((2..8).map(&add)).await.into_iter().map(|reply| reply.is(201).body));
    made.sort_by_key(|video| video["position"].as_u64());
    let positions: Vec<_> = made.iter().map(|video| video["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (0..8).collect::<Vec<_>>());
    let listed = student.get(&path).await.is(200);
    assert_eq!(listed.body, json!({"data": made, "has_more": false, "next_cursor": null}));
    assert_eq!(listed.body["data"][1]["duration_ms"], 172_800_000);
    app.close().await;
}

#[tokio::test]
async fn only_its_teacher_adds_to_a_course_and_only_what_fits() {
    let app = TestApp::start().await;
    let (teacher, other) = (app.teacher().await, app.teacher().await);
    let course = make(&teacher, json!({"title": "Rust", "price_per_minute": "1"})).await;
    let path = format!("{COURSES}/{course}/videos");
    let video = |title: &str, duration: Value| json!({"title": title, "duration_ms": duration});
    other.post(&path, video("a", json!(1))).await.refused(403, "forbidden");
    let nowhere = format!("{COURSES}/{}/videos", CourseId::new(app.now()));
    teacher.post(&nowhere, video("a", json!(1))).await.refused(404, "not_found");
    other.get(&nowhere).await.refused(404, "not_found");
    for (body, param) in [
        (video("", json!(1)), "title"),
        (video(&"x".repeat(201), json!(1)), "title"),
        (video("a", json!(0)), "duration_ms"),
        (video("a", json!(172_800_001)), "duration_ms"),
        (video("a", json!(-1)), "duration_ms"),
        (video("a", json!(1.5)), "duration_ms"),
        (video("a", json!(u64::MAX)), "duration_ms"),
        (json!({"title": "a", "duration_ms": 1, "position": 0}), "position"),
    ] {
        assert_refused_for(&teacher.post(&path, body).await, param);
    }
    assert_eq!(other.get(&path).await.is(200).body["data"], json!([]));
    app.close().await;
}

#[tokio::test]
async fn a_course_can_be_full() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let course = make(&teacher, json!({"title": "Rust", "price_per_minute": "1"})).await;
    let now = app.now();
    let mut tx = app.app.db.begin().await.unwrap();
    for position in 0..499 {
        let (id, title) = (VideoId::new(now), "a part".to_owned());
        let video =
            Video { id, course_id: course, title, duration_ms: 1, position, created_at: now };
        db::videos::insert(&mut tx, &video).await.unwrap();
    }
    tx.commit().await.unwrap();
    let path = format!("{COURSES}/{course}/videos");
    let video = json!({"title": "the last", "duration_ms": 1});
    assert_eq!(teacher.post(&path, video.clone()).await.is(201).body["position"], 499);
    teacher.post(&path, video).await.refused(422, "out_of_range");
    assert_eq!(teacher.get(&path).await.is(200).body["data"].as_array().unwrap().len(), 500);
    app.close().await;
}
