//! Looking for courses, changing them, and who sees which.

use std::collections::{BTreeMap, BTreeSet};

use murph::{
    db::{self, Db},
    domain::course::{Course, Split},
    money::Money,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, Reply, TestApp};

const COURSES: &str = "/courses";

/// A course, a moment later than the last one.
async fn make(app: &TestApp, teacher: &Person, title: &str, more: Value) -> String {
    app.app.clock.advance(std::time::Duration::from_millis(1));
    let mut body = json!({"title": title, "price_per_minute": "0.50"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = teacher.post(COURSES, body).await.is(201);
    made.body["id"].as_str().unwrap().to_owned()
}

/// What somebody without a token is told.
async fn look(app: &TestApp, query: &str) -> Reply {
    app.get(&format!("/api/v1{COURSES}?{query}")).await
}

fn titles(page: &Reply) -> Vec<&str> {
    page.body["data"].as_array().unwrap().iter().map(|c| c["title"].as_str().unwrap()).collect()
}

/// All titles of a list, read in pages of `limit`.
async fn all_titles(app: &TestApp, query: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = look(app, &format!("{query}&limit={limit}{cursor}")).await.is(200);
        let found = titles(&page);
        assert!(found.len() <= limit);
        all.extend(found.into_iter().map(str::to_owned));
        assert_eq!(page.body["has_more"], !page.body["next_cursor"].is_null());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

async fn category(app: &TestApp, name: &str) -> String {
    let all = app.get("/api/v1/categories").await.is(200).body;
    let of_name = |category: &&Value| category["name"] == name;
    let found = all["data"].as_array().unwrap().iter().find(of_name).unwrap()["id"].clone();
    found.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_list_is_in_its_order_whatever_the_size_of_its_pages() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.teacher().await, app.teacher().await);
    let music = category(&app, "Music").await;
    for (nth, price) in ["3", "1", "2", "1", "2", "3", "1"].into_iter().enumerate() {
        let teacher = if nth % 2 == 0 { &ada } else { &bob };
        let category = if nth % 3 == 0 { json!(music) } else { Value::Null };
        let more = json!({"price_per_minute": price, "category_id": category});
        make(&app, teacher, &nth.to_string(), more).await;
    }
    make(&app, &ada, "elsewhere", json!({"price_per_minute": "2", "currency": "KES"})).await;
    for limit in [1, 2, 3, 100] {
        let all = async |query: &str| all_titles(&app, query, limit).await.join(" ");
        assert_eq!(all("").await, "elsewhere 6 5 4 3 2 1 0");
        assert_eq!(all("sort=newest&currency=USD").await, "6 5 4 3 2 1 0");
        assert_eq!(all("sort=price").await, "1 3 6 2 4 0 5");
        assert_eq!(all("sort=-price").await, "5 0 4 2 6 3 1");
        assert_eq!(all("sort=price&currency=KES").await, "elsewhere");
        assert_eq!(all("min_price=1.5&max_price=2").await, "2 4");
        assert_eq!(all("min_price=2&max_price=2&sort=newest").await, "4 2");
        assert_eq!(all("max_price=2&sort=-price").await, "4 2 6 3 1");
        assert_eq!(all("min_price=3.01").await, "");
        assert_eq!(all("min_price=3&max_price=1").await, "");
        assert_eq!(all(&format!("category_id={music}")).await, "6 3 0");
        assert_eq!(all(&format!("category_id={music}&sort=-price")).await, "0 6 3");
        assert_eq!(all(&format!("teacher_id={}", bob.id)).await, "5 3 1");
        let both = format!("teacher_id={}&category_id={music}", bob.id);
        assert_eq!(all(&both).await, "3");
    }
    app.close().await;
}

#[tokio::test]
async fn a_course_has_a_level_until_it_is_taken_away() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let id = make(&app, &teacher, "Rust", json!({"level": "advanced"})).await;
    let path = format!("{COURSES}/{id}");
    assert_eq!(app.get(&format!("/api/v1{path}")).await.is(200).body["level"], "advanced");
    let own = teacher.get("/teacher/courses").await.is(200).body;
    assert_eq!(own["data"][0]["level"], "advanced");
    for (change, level) in [
        (json!({"title": "Iron"}), json!("advanced")),
        (json!({"level": "beginner"}), json!("beginner")),
        (json!({"level": null}), Value::Null),
        (json!({"title": "Rust"}), Value::Null),
        (json!({"level": "intermediate"}), json!("intermediate")),
    ] {
        let changed = teacher.put(&path, change.clone()).await.is(200).body;
        assert_eq!(changed["level"], level, "{change}");
        assert_eq!(look(&app, "").await.is(200).body["data"][0]["level"], level, "{change}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_level_narrows_down_every_list_and_search() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let music = category(&app, "Music").await;
    let levels = [json!("beginner"), Value::Null, json!("advanced"), json!("beginner")];
    for (nth, level) in levels.iter().enumerate() {
        let price = json!((9 - nth).to_string());
        let more = json!({"level": level, "category_id": music, "price_per_minute": price});
        make(&app, &teacher, &format!("Rust {nth}"), more).await;
    }
    for (text, description) in [("Web 4", "with rust"), ("Web 5", "of Rust")] {
        let level = if text == "Web 4" { "advanced" } else { "beginner" };
        make(&app, &teacher, text, json!({"level": level, "description": description})).await;
    }
    let draft = json!({"level": "advanced", "status": "draft"});
    make(&app, &teacher, "Rust in private", draft).await;
    for limit in [1, 2, 100] {
        let all = async |query: &str| all_titles(&app, query, limit).await.join("; ");
        assert_eq!(all("level=beginner").await, "Web 5; Rust 3; Rust 0");
        assert_eq!(all("level=intermediate").await, "");
        assert_eq!(all("level=beginner&sort=-price").await, "Rust 0; Rust 3; Web 5");
        assert_eq!(all("level=beginner&max_price=8").await, "Web 5; Rust 3");
        assert_eq!(all(&format!("level=advanced&category_id={music}")).await, "Rust 2");
        let of_teacher = format!("level=advanced&teacher_id={}", teacher.id);
        assert_eq!(all(&of_teacher).await, "Web 4; Rust 2");
        assert_eq!(all("level=beginner&search=rust").await, "Rust 3; Rust 0; Web 5");
        assert_eq!(all("level=advanced&search=rust").await, "Rust 2; Web 4");
        assert_eq!(all("level=beginner&search=rust+web").await, "Web 5");
        assert_eq!(all("level=beginner&search=rust+3").await, "Rust 3");
        assert_eq!(all("level=advanced&search=rus").await, "Web 4; Rust 2");
    }
    for (query, found) in [
        ("status=draft&level=advanced", &["Rust in private"][..]),
        ("status=draft&level=beginner", &[]),
        ("status=draft&level=advanced&search=private", &["Rust in private"]),
        ("status=draft&level=beginner&search=private", &[]),
    ] {
        let own = teacher.get(&format!("{COURSES}?{query}")).await.is(200);
        assert_eq!(titles(&own), found, "{query}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_search_finds_all_words_those_of_the_title_first() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let music = category(&app, "Music").await;
    for (title, description) in [
        ("Rust for the web", "servers"),
        ("Web pages", "also with Rust"),
        ("Économie", "l'été, à Paris: rusty things"),
        ("Cooking", "nothing of that"),
        ("Advanced Rust", "the web is far"),
    ] {
        make(&app, &teacher, title, json!({"description": description})).await;
    }
    make(&app, &teacher, "Rust on stage", json!({"category_id": music, "price_per_minute": "9"}))
        .await;
    make(&app, &teacher, "Rust in private", json!({"status": "draft"})).await;
    for limit in [1, 2, 100] {
        let all = async |query: &str| all_titles(&app, query, limit).await.join("; ");
        let rust = "Rust on stage; Advanced Rust; Rust for the web; Web pages";
        assert_eq!(all("search=rust").await, rust);
        assert_eq!(all("search=RUST").await, rust);
        // Nothing has the word itself.
        let begins = "Rust on stage; Advanced Rust; Économie; Web pages; Rust for the web";
        assert_eq!(all("search=rus").await, begins);
        assert_eq!(all("search=th").await, "Advanced Rust; Cooking; Économie; Rust for the web");
        assert_eq!(all("search=web+rust").await, "Rust for the web; Advanced Rust; Web pages");
        assert_eq!(all("search=%C3%A9t%C3%A9").await, "Économie");
        assert_eq!(all("search=rust&max_price=1").await, rust.replace("Rust on stage; ", ""));
        assert_eq!(all(&format!("search=rust&category_id={music}")).await, "Rust on stage");
        assert_eq!(all(&format!("search=rust&teacher_id={}", teacher.id)).await, rust);
        for nothing in ["rustc", "ust", "", "+", "!%3F", "rust+cooking"] {
            assert_eq!(all(&format!("search={nothing}")).await, "", "{nothing}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn what_is_found_by_words_comes_in_any_order() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let music = category(&app, "Music").await;
    for (title, price, description) in [
        ("Rust on stage", "9", "music"),
        ("Cooking", "1", "nothing of that"),
        ("Advanced Rust", "3", "the web is far"),
        ("Web pages", "3", "also with Rust"),
        ("Rust for the web", "1", "servers"),
    ] {
        let more = json!({"price_per_minute": price, "description": description});
        make(&app, &teacher, title, more).await;
    }
    make(&app, &teacher, "Rust with bells", json!({"category_id": music})).await;
    let euros = json!({"price_per_minute": "1", "currency": "EUR"});
    make(&app, &teacher, "Rust abroad", euros).await;
    make(&app, &teacher, "To be or", json!({"price_per_minute": "1", "currency": "EUR"})).await;
    make(&app, &teacher, "Rust in private", json!({"status": "draft"})).await;
    for limit in [1, 2, 100] {
        let all = async |query: &str| all_titles(&app, query, limit).await.join("; ");
        assert_eq!(
            all("search=rust&sort=newest").await,
            "Rust abroad; Rust with bells; Rust for the web; Web pages; Advanced Rust; Rust on stage"
        );
        let cheapest = "Rust with bells; Rust for the web; Advanced Rust; Web pages; Rust on stage";
        assert_eq!(all("search=rust&sort=price").await, cheapest);
        let mut dearest: Vec<&str> = cheapest.split("; ").collect();
        dearest.reverse();
        assert_eq!(all("search=rust&sort=-price").await, dearest.join("; "));
        assert_eq!(all("search=rust&sort=price&currency=EUR").await, "Rust abroad");
        assert_eq!(
            all("search=rust+web&sort=-price&min_price=2").await,
            "Web pages; Advanced Rust"
        );
        let of_music = format!("search=rust&sort=price&category_id={music}");
        assert_eq!(all(&of_music).await, "Rust with bells");
        // Nothing has the word itself, or nothing that is asked for.
        assert_eq!(all("search=adv&sort=price").await, "Advanced Rust");
        assert_eq!(all("search=rus&sort=price&currency=EUR").await, "Rust abroad");
        assert_eq!(all("search=abro&sort=newest").await, "Rust abroad");
        assert_eq!(all("search=be&sort=price").await, "Rust with bells");
        assert_eq!(all("search=no&sort=newest").await, "Cooking");
        for nothing in ["rustc", "", "%21", "rust+cooking"] {
            assert_eq!(all(&format!("search={nothing}&sort=price")).await, "", "{nothing}");
        }
    }
    app.close().await;
}

/// They are not put in order, but found in it; and nobody looks for them for too long.
#[tokio::test]
async fn words_of_very_many_courses_are_found_in_order_too() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let mut tx = app.app.db.begin().await.unwrap();
    let mut red = BTreeMap::new();
    // The red ones are cheap, but for one in a hundred.
    for nth in 0..2_300 {
        app.app.clock.advance(std::time::Duration::from_millis(1));
        let is_red = nth % 2 == 0;
        let is_dear = !is_red || nth % 100 == 0;
        let cents = nth * 7 % 1_000 + if is_dear { 1_000 } else { 0 };
        let title = format!("{} {nth}", if is_red { "red" } else { "blue" });
        let price = (Money::from_micros(cents * 10_000), "USD".parse().unwrap());
        let course = Course::offered(teacher.id, title, price, Split::default(), app.now());
        db::courses::insert(&mut tx, &course).await.unwrap();
        if is_red {
            red.insert((course.price_per_minute, course.id), course.title);
        }
    }
    tx.commit().await.unwrap();
    let mut expected: Vec<String> = red.into_values().collect();
    for limit in [7, 100] {
        assert_eq!(all_titles(&app, "search=red&sort=price", limit).await, expected);
    }
    // Nothing has the word itself, and too many have longer ones.
    assert_eq!(all_titles(&app, "search=re&sort=price", 100).await, expected);
    expected.reverse();
    assert_eq!(all_titles(&app, "search=red&sort=-price", 100).await, expected);
    let page = look(&app, "search=red&sort=-price&limit=100").await.is(200);
    assert!((1..100).contains(&titles(&page).len()), "{page:?}");
    assert_eq!(page.body["has_more"], true);
    app.close().await;
}

#[tokio::test]
async fn what_is_searched_for_is_never_a_program() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    make(&app, &teacher, "not or and near", json!({})).await;
    for text in [
        "\"",
        "'",
        "\\",
        "*",
        "(",
        ")",
        "a*",
        "title:",
        "-",
        "^",
        "&",
        "|",
        "!",
        "<->",
        ":*",
        "%",
        "NEAR(a b)",
        "a AND",
        "OR",
        "NOT",
        "' OR 1=1 --",
        "\"a\" \"b",
        "\u{1f980}",
        "x:A",
        "\t",
    ] {
        let query = percent_encoded(text);
        look(&app, &format!("search={query}")).await.is(200);
    }
    let page = look(&app, "search=NOT+or+AND").await.is(200);
    assert_eq!(titles(&page), ["not or and near"]);
    let long = "word+".repeat(1_000);
    look(&app, &format!("search={long}")).await.is(200);
    app.close().await;
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"))
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_refused_by_name() {
    let app = TestApp::start().await;
    make(&app, &app.teacher().await, "a", json!({})).await;
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("search=a&cursor=dGl0bGU", "cursor"),
        ("sort=rating", "sort"),
        ("search=a&sort=price&cursor=dGl0bGUg", "cursor"),
        ("currency=XYZ&sort=price", "currency"),
        ("min_price=-1", "min_price"),
        ("max_price=0.0000001", "max_price"),
        ("status=gone", "status"),
        ("category_id=Music", "category_id"),
        ("level=expert", "level"),
        ("level=", "level"),
        ("search=a&level=Beginner", "level"),
        ("page=2", "page"),
    ] {
        let reply = look(&app, query).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], param, "{query}: {reply:?}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_is_not_on_offer_is_its_teachers_alone() {
    let app = TestApp::start().await;
    let (teacher, other) = (app.teacher().await, app.teacher().await);
    let (student, admin) = (app.student_with("30.00").await, app.admin().await);
    let mut hidden = Vec::new();
    for status in ["draft", "archived"] {
        let id = make(&app, &teacher, status, json!({"status": status})).await;
        let path = format!("{COURSES}/{id}");
        for path in [path.clone(), format!("{path}/videos")] {
            for person in [&other, &student] {
                person.get(&path).await.refused(404, "not_found");
            }
            app.get(&format!("/api/v1{path}")).await.refused(404, "not_found");
            for person in [&teacher, &admin] {
                person.get(&path).await.is(200);
            }
        }
        let start = json!({"course_id": id});
        student.post("/sessions/start", start).await.refused(404, "not_found");
        other.put(&path, json!({"title": "mine"})).await.refused(404, "not_found");
        let own = teacher.get(&format!("{COURSES}?status={status}")).await.is(200);
        assert_eq!(titles(&own), [status]);
        let own =
            teacher.get(&format!("{COURSES}?status={status}&teacher_id={}", teacher.id)).await;
        assert_eq!(titles(&own.is(200)), [status]);
        let search = format!("{COURSES}?status={status}&search={status}");
        assert_eq!(titles(&teacher.get(&search).await.is(200)), [status]);
        assert_eq!(titles(&other.get(&search).await.is(200)), [""; 0]);
        let foreign = format!("{COURSES}?status={status}&teacher_id={}", teacher.id);
        for (person, path) in [(&other, &foreign), (&student, &foreign)] {
            person.get(path).await.refused(403, "forbidden");
        }
        look(&app, &format!("status={status}")).await.refused(403, "forbidden");
        hidden.push(path);
    }
    let nobodys = other.get(&format!("{COURSES}?status=draft")).await.is(200);
    assert_eq!(titles(&nobodys), [""; 0]);
    assert_eq!(titles(&look(&app, "").await), [""; 0]);
    for path in &hidden {
        teacher.put(path, json!({"status": "published"})).await.is(200);
    }
    let shown: Vec<String> = titles(&look(&app, "").await).into_iter().map(str::to_owned).collect();
    assert_eq!(BTreeSet::from_iter(shown), ["archived".into(), "draft".into()].into());
    app.close().await;
}

#[tokio::test]
async fn a_change_is_seen_and_touches_no_session() {
    let app = TestApp::start().await;
    let (teacher, other) = (app.teacher().await, app.teacher().await);
    let student = app.student_with("50.00").await;
    let id = make(&app, &teacher, "Rust", json!({"description": "of old"})).await;
    let path = format!("{COURSES}/{id}");
    let session = student.post("/sessions/start", json!({"course_id": id})).await.is(201);
    let music = category(&app, "Music").await;
    app.app.clock.advance(std::time::Duration::from_secs(1));

    let change = json!({
        "title": " Iron ", "description": "of new", "category_id": music, "currency": "KES",
        "price_per_minute": "7", "partners": [{"name": "museum", "basis_points": 100}],
    });
    let changed = teacher.put(&path, change.clone()).await.is(200).body;
    for (field, value) in [("title", json!("Iron")), ("category_name", json!("Music"))] {
        assert_eq!(changed[field], value);
    }
    assert_eq!(changed["price_per_minute"], "7.00");
    assert_eq!(changed["updated_at"], json!(app.now()));
    assert_ne!(changed["created_at"], changed["updated_at"]);
    assert_eq!(titles(&look(&app, "search=iron").await), ["Iron"]);
    assert_eq!(titles(&look(&app, "search=old").await), [""; 0], "forgotten");

    let alone = teacher.put(&path, json!({"category_id": null})).await.is(200).body;
    assert_eq!((&alone["category_id"], &alone["title"]), (&Value::Null, &json!("Iron")));
    let session_path = format!("/sessions/{}", session.body["session"]["id"].as_str().unwrap());
    let seen = student.get(&session_path).await.is(200).body;
    assert_eq!(seen["price_per_minute"], "0.50", "as agreed");

    other.put(&path, json!({"title": "mine"})).await.refused(403, "forbidden");
    other.send(Method::DELETE, &path, None, &[]).await.refused(403, "forbidden");
    student.put(&path, json!({"title": "mine"})).await.refused(403, "forbidden");
    for (change, param) in [
        (json!({"title": ""}), "title"),
        (json!({"status": "deleted"}), "status"),
        (json!({"price_per_minute": "-1"}), "price_per_minute"),
        (json!({"partners": [{"name": "a", "basis_points": 9_001}]}), "partners"),
        (json!({"category_id": id}), "category_id"),
        (json!({"level": "none"}), "level"),
        (json!({"teacher_id": other.id}), "teacher_id"),
    ] {
        let reply = teacher.put(&path, change).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], param, "{reply:?}");
    }
    assert_eq!(teacher.get(&path).await.is(200).body["title"], "Iron", "nothing changed");
    app.close().await;
}

#[tokio::test]
async fn a_deleted_course_is_gone_and_its_history_stays() {
    let app = TestApp::start().await;
    let (teacher, student, admin) =
        (app.teacher().await, app.student_with("50.00").await, app.admin().await);
    let id = make(&app, &teacher, "Rust", json!({})).await;
    let path = format!("{COURSES}/{id}");
    let session = student.post("/sessions/start", json!({"course_id": id})).await.is(201);
    let session = format!("/sessions/{}", session.body["session"]["id"].as_str().unwrap());
    student.send(Method::DELETE, &path, None, &[]).await.refused(403, "forbidden");
    teacher.send(Method::DELETE, &path, None, &[]).await.is(204);
    for person in [&teacher, &admin] {
        person.get(&path).await.refused(404, "not_found");
    }
    student.get(&path).await.is(200);
    teacher.send(Method::DELETE, &path, None, &[]).await.refused(404, "not_found");
    teacher.put(&path, json!({"status": "published"})).await.refused(404, "not_found");
    let video = json!({"title": "a", "duration_ms": 1});
    teacher.post(&format!("{path}/videos"), video).await.refused(404, "not_found");
    assert_eq!(titles(&look(&app, "search=rust").await), [""; 0]);
    // Who watches goes on, and has its receipt.
    student.get(&session).await.is(200);
    student.post(&format!("{session}/end"), json!({})).await.is(200);
    student.get(&format!("{session}/receipt")).await.is(200);
    student.get(&path).await.refused(404, "not_found");

    let other = make(&app, &teacher, "Another", json!({})).await;
    admin.send(Method::DELETE, &format!("{COURSES}/{other}"), None, &[]).await.is(204);
    app.close().await;
}

#[tokio::test]
async fn what_is_known_already_is_not_sent_again() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let id = make(&app, &teacher, "Rust", json!({})).await;
    let path = format!("{COURSES}/{id}");
    let first = teacher.get(&path).await.is(200);
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let again = [("if-none-match", tag.as_str())];
    let known = teacher.send(Method::GET, &path, None, &again).await.is(304);
    assert_eq!((known.text.as_str(), known.headers["etag"].to_str().unwrap()), ("", tag.as_str()));
    teacher.put(&path, json!({"title": "Iron"})).await.is(200);
    let new = teacher.send(Method::GET, &path, None, &again).await.is(200);
    assert_ne!(new.headers["etag"].to_str().unwrap(), tag);
    // What one may not see any more is not "not modified".
    let tag = new.headers["etag"].to_str().unwrap().to_owned();
    teacher.send(Method::DELETE, &path, None, &[]).await.is(204);
    let gone = teacher.send(Method::GET, &path, None, &[("if-none-match", &tag)]).await;
    gone.refused(404, "not_found");
    app.close().await;
}

/// Both databases cut texts into words where whoever searches does.
#[tokio::test]
async fn words_are_found_whatever_stands_between_them() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    for title in [
        "Node.js in depth",
        "Python 3.12",
        "TCP/IP by e-mail",
        "C# & C++",
        "Économie",
        "“Go” today",
        "Zig—why",
    ] {
        make(&app, &teacher, title, json!({"description": "see www.example.org/a_b"})).await;
    }
    for (search, found) in [
        ("node.js", "Node.js in depth"),
        ("js", "Node.js in depth"),
        ("python 3", "Python 3.12"),
        ("ip tcp", "TCP/IP by e-mail"),
        ("mail", "TCP/IP by e-mail"),
        ("économie", "Économie"),
        ("ÉCONOMIE", "Économie"),
        ("go", "“Go” today"),
        ("why zig", "Zig—why"),
    ] {
        let query = format!("search={}", search.replace(' ', "+"));
        assert_eq!(titles(&look(&app, &query).await.is(200)), [found], "{search}");
    }
    let all = look(&app, "search=example+org").await.is(200);
    assert_eq!(titles(&all).len(), 7);
    app.close().await;
}

#[tokio::test]
async fn only_what_is_on_offer_can_be_found() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    // More words that begin alike than are looked at.
    for draft in 0..2 {
        let words = (0..1_050).map(|nth| format!("guita{:03x}", draft * 1_050 + nth));
        let words = words.collect::<Vec<_>>();
        let more = json!({"status": "draft", "description": words.join(" ")});
        make(&app, &teacher, "Draft", more).await;
    }
    let id = make(&app, &teacher, "Guitar", json!({})).await;
    let path = format!("{COURSES}/{id}");
    let found = async |search: &str| {
        let page = look(&app, &format!("search={search}")).await.is(200);
        titles(&page).join("; ")
    };
    assert_eq!(found("guita").await, "Guitar");
    for (change, guitar, lute) in [
        (json!({"status": "archived"}), "", ""),
        (json!({"title": "Lute"}), "", ""),
        (json!({"status": "published"}), "", "Lute"),
        (json!({"description": "not a guitar"}), "Lute", "Lute"),
        (json!({"title": "Guitar", "description": ""}), "Guitar", ""),
        (json!({"price_per_minute": "2"}), "Guitar", ""),
    ] {
        teacher.put(&path, change.clone()).await.is(200);
        assert_eq!(
            (found("guitar").await.as_str(), found("lute").await.as_str()),
            (guitar, lute),
            "{change}"
        );
    }
    teacher.send(Method::DELETE, &path, None, &[]).await.is(204);
    assert_eq!(found("guitar").await, "");
    app.close().await;
}

/// As it is right after the migration that has words cut by Murph.
#[tokio::test]
async fn words_that_are_all_missing_are_cut_by_the_next_start() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    for title in ["Rust", "Rust and iron"] {
        make(&app, &teacher, title, json!({})).await;
    }
    make(&app, &teacher, "Rust in private", json!({"status": "draft"})).await;
    let forget: &[&str] = match &app.app.db {
        Db::Sqlite { .. } => &["INSERT INTO course_words (course_words) VALUES ('delete-all')"],
        Db::Postgres { .. } => &["DELETE FROM course_words", "UPDATE courses SET words = ''"],
    };
    for statement in forget {
        match &app.app.db {
            Db::Sqlite { writer, .. } => {
                sqlx::query(*statement).execute(writer).await.map(drop).unwrap();
            }
            Db::Postgres { pool, .. } => {
                sqlx::query(*statement).execute(pool).await.map(drop).unwrap();
            }
        }
    }
    assert_eq!(titles(&look(&app, "search=rust").await.is(200)), [""; 0]);
    // Several nodes start.
    let (db, other) = (&app.app.db, app.app.db.clone());
    let (first, second) = tokio::join!(db::migrate::up(db), db::migrate::up(&other));
    first.and(second).unwrap();
    let found = look(&app, "search=rust").await.is(200);
    assert_eq!(titles(&found), ["Rust and iron", "Rust"]);
    app.close().await;
}

#[tokio::test]
async fn a_teacher_searches_drafts_in_any_order() {
    let app = TestApp::start().await;
    let (teacher, other) = (app.teacher().await, app.teacher().await);
    for (title, price) in [("Maps", "3"), ("Old maps", "1"), ("Stars", "2"), ("Map reading", "2")] {
        let more = json!({"status": "draft", "price_per_minute": price, "description": "for all"});
        make(&app, &teacher, title, more).await;
    }
    make(&app, &teacher, "Maps on offer", json!({})).await;
    make(&app, &other, "Maps of others", json!({"status": "draft"})).await;
    let all = async |query: &str| {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{COURSES}?status=draft&limit=1&{query}{cursor}");
            let page = teacher.get(&path).await.is(200);
            all.extend(titles(&page).into_iter().map(str::to_owned));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all.join("; "),
            }
        }
    };
    assert_eq!(all("search=map").await, "Map reading; Old maps; Maps");
    assert_eq!(all("search=map&sort=price").await, "Old maps; Map reading; Maps");
    assert_eq!(all("search=all+MAPS&sort=-price").await, "Maps; Old maps");
    assert_eq!(all("search=map&max_price=2").await, "Old maps; Map reading");
    for nothing in ["search=aps", "search=", "search=%21", "search=maps+stars"] {
        assert_eq!(all(nothing).await, "", "{nothing}");
    }
    app.close().await;
}

/// What is read for many at once is for those alone who may see it.
#[tokio::test]
async fn nobody_is_answered_what_another_teacher_asks() {
    let app = TestApp::start().await;
    let teachers = [app.teacher().await, app.teacher().await];
    for (teacher, title) in teachers.iter().zip(["Mine", "Yours"]) {
        make(&app, teacher, title, json!({"status": "draft"})).await;
    }
    let drafts = format!("{COURSES}?status=draft");
    let ask = async |teacher: &Person, own: &str| {
        for _ in 0..20 {
            let asked = std::array::from_fn::<_, 8, _>(|_| teacher.get(&drafts));
            for page in futures_util::future::join_all(asked).await {
                assert_eq!(titles(&page.is(200)), [own]);
            }
        }
    };
    tokio::join!(ask(&teachers[0], "Mine"), ask(&teachers[1], "Yours"));
    app.close().await;
}

/// Words that many courses have are found in another way than rare ones, on PostgreSQL.
#[tokio::test]
async fn common_words_are_found_together_too() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let mut tx = app.app.db.begin().await.unwrap();
    let (mut in_title, mut anywhere) = (Vec::new(), Vec::new());
    for nth in 0..900 {
        app.app.clock.advance(std::time::Duration::from_millis(1));
        let has = |every: usize, word: &'static str| if nth % every == 0 { word } else { "" };
        let title = format!("{nth} red {} {}", has(2, "blue"), has(225, "gold"));
        let price = (crate::harness::money("1.00"), "USD".parse().unwrap());
        let course = Course {
            description: format!("{} {}", has(3, "blue"), has(100, "silver")),
            ..Course::offered(teacher.id, title.clone(), price, Split::default(), app.now())
        };
        db::courses::insert(&mut tx, &course).await.unwrap();
        if nth % 2 == 0 {
            in_title.push(title.trim().to_owned());
        } else if nth % 3 == 0 {
            anywhere.push(title.trim().to_owned());
        }
    }
    tx.commit().await.unwrap();
    let newest_first = in_title.iter().rev().chain(anywhere.iter().rev()).cloned();
    let expected: Vec<String> = newest_first.collect();
    for search in ["red+blue", "blue+red"] {
        let found = all_titles(&app, &format!("search={search}"), 100).await;
        let found: Vec<_> = found.iter().map(|title| title.trim().to_owned()).collect();
        assert_eq!(found, expected, "{search}");
    }
    let mut newest_first = expected;
    newest_first.sort_unstable_by_key(|title| {
        std::cmp::Reverse(title.split(' ').next().unwrap().parse::<usize>().unwrap())
    });
    for sort in ["newest", "-price"] {
        let found = all_titles(&app, &format!("search=red+blue&sort={sort}"), 100).await;
        let found: Vec<_> = found.iter().map(|title| title.trim().to_owned()).collect();
        assert_eq!(found, newest_first, "{sort}");
    }
    let first_word = |titles: Vec<String>| -> Vec<usize> {
        titles.iter().map(|title| title.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let found = all_titles(&app, "search=blue+gold+red", 100).await;
    assert_eq!(first_word(found), [450, 0, 675, 225]);
    let found = all_titles(&app, "search=red+silver", 2).await;
    assert_eq!(first_word(found), [800, 700, 600, 500, 400, 300, 200, 100, 0]);
    app.close().await;
}

#[tokio::test]
async fn a_teacher_has_so_many_courses() {
    let app = TestApp::start().await;
    let teacher = app.teacher().await;
    let first = make(&app, &teacher, "first", json!({})).await;
    let mut tx = app.app.db.begin().await.unwrap();
    for _ in 1..1_000 {
        let price = (crate::harness::money("1.00"), "USD".parse().unwrap());
        let course = Course::offered(teacher.id, "another", price, Split::default(), app.now());
        db::courses::insert(&mut tx, &course).await.unwrap();
    }
    tx.commit().await.unwrap();
    let one_more = json!({"title": "too many", "price_per_minute": "1"});
    teacher.post(COURSES, one_more.clone()).await.refused(422, "out_of_range");
    teacher.send(Method::DELETE, &format!("{COURSES}/{first}"), None, &[]).await.is(204);
    teacher.post(COURSES, one_more).await.is(201);
    app.close().await;
}

#[tokio::test]
async fn a_course_keeps_its_share_until_an_admin_changes_it() {
    let app = TestApp::start().await;
    let (teacher, admin) = (app.teacher().await, app.admin().await);
    let partners = json!([{"name": "museum", "basis_points": 8_500}]);
    let id = make(&app, &teacher, "Maps", json!({"partners": partners})).await;
    let (path, share) = (format!("{COURSES}/{id}"), format!("/admin/courses/{id}/share"));
    let set = |points: u32| json!({"platform_basis_points": points});
    teacher.put(&share, set(0)).await.refused(403, "forbidden");
    admin.put(&share, set(1_501)).await.refused(422, "invalid");
    admin.put(&share, set(10_001)).await.refused(422, "invalid");
    assert_eq!(admin.put(&share, set(1_500)).await.is(200).body["platform_basis_points"], 1_500);
    // Beside what this course's platform gets, not the one of a new course.
    teacher.put(&path, json!({"partners": partners})).await.is(200);
    let more = json!([{"name": "museum", "basis_points": 8_501}]);
    teacher.put(&path, json!({"partners": more})).await.refused(422, "invalid");
    let nobody = "/admin/courses/019aa000-0000-7000-8000-000000000000/share";
    admin.put(nobody, set(1)).await.refused(404, "not_found");
    app.close().await;
}
