//! Who may do what: every route by every role, and every id by its owner and by others.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    document::DOCUMENT,
    harness::{Person, Reply, TestApp},
};

const NOBODYS_ID: &str = "01890000-0000-7000-8000-000000000000";

/// Routes of the API that ask for no token.
const PUBLIC: &[(&str, &str)] =
    &[("POST", "/auth/register"), ("POST", "/auth/login"), ("POST", "/auth/refresh")];

/// Routes of the API that show everybody the same, and those who sign in sometimes more.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/categories"),
    ("GET", "/courses"),
    ("GET", "/courses/{course_id}"),
    ("GET", "/courses/{course_id}/videos"),
    ("GET", "/reviews/courses/{course_id}/reviews"),
    ("GET", "/courses/{course_id}/videos/{video_id}"),
    ("GET", "/courses/{course_id}/videos/{video_id}/url"),
];

/// All others, with the roles they are for. Signing out comes last, as nobody comes back from it.
const PRIVATE: &[(&str, &str, &[&str])] = &[
    ("GET", "/auth/me", EVERYBODY),
    ("PUT", "/auth/me", EVERYBODY),
    ("PUT", "/auth/me/password", EVERYBODY),
    ("GET", "/users/{user_id}", EVERYBODY),
    ("PUT", "/users/{user_id}", &["admin"]),
    ("POST", "/courses", &["teacher"]),
    ("PUT", "/courses/{course_id}", &["teacher"]),
    ("DELETE", "/courses/{course_id}", &["teacher", "admin"]),
    ("POST", "/courses/{course_id}/videos", &["teacher"]),
    ("POST", "/discovery/chat", &["student"]),
    ("GET", "/discovery/chat/history", &["student"]),
    ("DELETE", "/discovery/chat/history", &["student"]),
    ("DELETE", "/discovery/chat/history/{chat_id}", &["student"]),
    ("PUT", "/courses/{course_id}/videos/order", &["teacher"]),
    ("PUT", "/courses/{course_id}/videos/{video_id}", &["teacher"]),
    ("DELETE", "/courses/{course_id}/videos/{video_id}", &["teacher", "admin"]),
    ("POST", "/courses/{course_id}/videos/{video_id}/upload-url", &["teacher"]),
    ("POST", "/courses/{course_id}/videos/{video_id}/confirm", &["teacher"]),
    ("POST", "/courses/{course_id}/videos/{video_id}/file", &["teacher"]),
    ("GET", "/sessions", &["student", "teacher"]),
    ("POST", "/sessions/start", &["student"]),
    ("GET", "/sessions/active", &["student"]),
    ("GET", "/sessions/{session_id}", EVERYBODY),
    ("POST", "/sessions/{session_id}/ticket", &["student"]),
    ("POST", "/sessions/{session_id}/end", &["student", "admin"]),
    ("GET", "/sessions/{session_id}/receipt", EVERYBODY),
    ("POST", "/payments/wallet/connect", EVERYBODY),
    ("GET", "/payments/wallet/balance", EVERYBODY),
    ("POST", "/payments/wallet/top-ups", &["student"]),
    ("GET", "/payments/wallet/top-ups/{top_up_id}", EVERYBODY),
    ("POST", "/payments/payouts", &["teacher"]),
    ("GET", "/payments/transactions", EVERYBODY),
    ("POST", "/reviews/courses/{course_id}/reviews", &["student"]),
    ("GET", "/reviews/{review_id}", EVERYBODY),
    ("POST", "/reviews/{review_id}/contest", &["teacher"]),
    ("GET", "/teacher/reviews", &["teacher"]),
    ("GET", "/teacher/reviews/summary", &["teacher"]),
    ("GET", "/teacher/dashboard", &["teacher"]),
    ("GET", "/teacher/earnings", &["teacher"]),
    ("GET", "/teacher/earnings.csv", &["teacher"]),
    ("GET", "/teacher/courses", &["teacher"]),
    ("GET", "/admin/reviews", &["admin"]),
    ("POST", "/admin/reviews/{review_id}/approve", &["admin"]),
    ("POST", "/admin/reviews/{review_id}/reject", &["admin"]),
    ("GET", "/admin/ledger/check", &["admin"]),
    ("PUT", "/admin/courses/{course_id}/share", &["admin"]),
    ("POST", "/auth/logout", EVERYBODY),
];

/// Has no end, and so a test of its own: see `teacher`.
const STREAM: &str = "/teacher/live";

const EVERYBODY: &[&str] = &["student", "teacher", "admin"];

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn with_id(path: &str) -> String {
    match path.split_once('{') {
        Some((before, after)) => {
            format!("{before}{NOBODYS_ID}{}", with_id(after.split_once('}').unwrap().1))
        }
        None => path.to_owned(),
    }
}

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

/// A request without a token.
async fn anonymous(app: &TestApp, name: &str, path: &str) -> Reply {
    let url = format!("{}/api/v1{}", app.url, with_id(path));
    let request = app.client.request(method(name), url).json(&json!({"no_such_field": 1}));
    Reply::to(&method(name), request).await
}

/// Answered without a token, and not part of the API.
const OUTSIDE: &[&str] = &[
    "/health",
    "/health/services",
    "/readyz",
    "/livez",
    "/metrics",
    "/.well-known/jwks.json",
    "/openapi.json",
    "/docs",
    "/docs/errors",
];

/// Leads everybody to `/docs`.
const REDOC: &str = "/redoc";

/// Lets nobody in by itself: whoever comes shows a ticket on the socket. See `live::doors`.
const SOCKET: &str = "/ws/session/{session_id}";

/// Lets in whoever has a signed link to the file. See `videos`.
const FILES: &str = "/media/{file_id}";

/// Lets in whoever has signed what is sent. See `videos::mux`.
const WEBHOOKS: &str = "/webhooks/mux";

/// Who gets in, in the words of the document. Several roles it can only tell from all by prose.
fn security_of(roles: &[&str]) -> Value {
    match roles {
        [role] => json!([{ "bearer": [role] }]),
        _ => json!([{ "bearer": [] }]),
    }
}

/// Both ways: the document has the whole table of the router, so no route is forgotten here.
#[test]
fn the_document_knows_the_same_routes() {
    let below = |path: &str| format!("/api/v1{path}");
    let mut known = BTreeMap::new();
    for (name, path) in PUBLIC {
        known.insert((below(path), (*name).to_owned()), json!([]));
    }
    for (name, path) in OPEN {
        known.insert((below(path), (*name).to_owned()), json!([{}, { "bearer": [] }]));
    }
    for (name, path, roles) in PRIVATE {
        known.insert((below(path), (*name).to_owned()), security_of(roles));
    }
    known.insert((below(STREAM), "GET".to_owned()), security_of(&["teacher"]));
    for path in OUTSIDE {
        known.insert(((*path).to_owned(), "GET".to_owned()), json!([]));
    }
    known.insert((REDOC.to_owned(), "GET".to_owned()), json!([]));
    known.insert((below(WEBHOOKS), "POST".to_owned()), json!([]));
    known.insert((SOCKET.to_owned(), "GET".to_owned()), json!([{ "ticket": [] }]));
    for name in ["GET", "PUT"] {
        known.insert((FILES.to_owned(), name.to_owned()), json!([]));
    }
    let told = DOCUMENT.operations().map(|operation| {
        let route = (operation.path.to_owned(), operation.method);
        (route, operation.json["security"].clone())
    });
    let told: BTreeMap<_, _> = told.collect();
    assert_eq!(told, known, "say in tests/it/identity/access.rs whom a new route is for");
}

#[tokio::test]
async fn no_method_is_missing_here() {
    let app = TestApp::start().await;
    let private = PRIVATE.iter().map(|(name, path, _)| (*name, *path));
    let known: BTreeSet<_> = private.chain(PUBLIC.iter().chain(OPEN).copied()).collect();
    for (_, path) in &known {
        for name in METHODS.into_iter().filter(|name| !known.contains(&(*name, *path))) {
            anonymous(&app, name, path).await.refused(405, "method_not_allowed");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_done() {
    let app = TestApp::start().await;
    for (name, path, _) in PRIVATE {
        let reply = anonymous(&app, name, path).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{path}");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
    for (name, path) in PUBLIC {
        anonymous(&app, name, path).await.refused(422, "invalid");
    }
    for (name, path) in OPEN {
        let reply = anonymous(&app, name, path).await;
        assert!(matches!(reply.status.as_u16(), 200 | 404), "{path}: {reply:?}");
        // A token that is shown has to be good.
        let url = format!("{}/api/v1{}", app.url, with_id(path));
        let request = app.client.get(url).bearer_auth("not.a.token");
        Reply::to(&Method::GET, request).await.refused(401, "unauthenticated");
    }
    for path in OUTSIDE {
        app.get(path).await.is(200);
    }
    app.get(REDOC).await.is(308);
    app.close().await;
}

#[tokio::test]
async fn every_route_is_for_its_roles_only() {
    let app = TestApp::start().await;
    for (role, person) in [
        ("student", app.student().await),
        ("teacher", app.teacher().await),
        ("admin", app.admin().await),
    ] {
        for (name, path, roles) in PRIVATE {
            // Nobody's id and no field that there is: let in or not, it changes nothing.
            let body = (*name != "GET").then(|| json!({"no_such_field": 1}));
            let reply = person.send(method(name), &with_id(path), body, &[]).await;
            let is_let_in = !matches!(reply.status.as_u16(), 401 | 403);
            assert_eq!(is_let_in, roles.contains(&role), "{role} {name} {path}: {reply:?}");
            assert!(!reply.status.is_server_error(), "{role} {name} {path}: {reply:?}");
        }
    }
    app.close().await;
}

// Ids.

/// Each of these paths is there for the first person and not for the others.
async fn assert_only_for(owner: &Person, others: &[&Person], path: &str) -> Reply {
    for other in others {
        other.get(path).await.refused(404, "not_found");
    }
    owner.get(path).await.is(200)
}

#[tokio::test]
async fn a_top_up_is_its_owners_alone() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.student_with("30.00").await, app.student_with("30.00").await);
    let (teacher, admin) = (app.teacher().await, app.admin().await);
    let reply = ada.post("/payments/wallet/top-ups", json!({"amount": "5"})).await.is(201);
    let path = format!("/payments/wallet/top-ups/{}", reply.body["id"].as_str().unwrap());
    let seen = assert_only_for(&ada, &[&bob, &teacher, &admin], &path).await;
    assert_eq!(seen.body, reply.body);
    app.close().await;
}

#[tokio::test]
async fn others_see_of_somebody_only_what_is_public() {
    let app = TestApp::start().await;
    let (ada, bob, admin) = (app.student().await, app.teacher().await, app.admin().await);
    let path = format!("/users/{}", ada.id);
    let fields = |reply: Reply| -> Vec<String> {
        reply.is(200).body.as_object().unwrap().keys().cloned().collect()
    };
    let public = ["created_at", "id", "name", "role"];
    let mut seen = fields(bob.get(&path).await);
    seen.sort();
    assert_eq!(seen, public);
    for person in [&ada, &admin] {
        let all = person.get(&path).await;
        assert_eq!(all.body["email"], ada.email, "{all:?}");
        assert_eq!(fields(all).len(), public.len() + 3);
    }
    app.close().await;
}

#[tokio::test]
async fn only_an_admin_changes_others() {
    let app = TestApp::start().await;
    let (ada, bob, admin) = (app.student().await, app.teacher().await, app.admin().await);
    let path = format!("/users/{}", ada.id);
    let before = ada.get(&path).await.is(200).body;
    for person in [&ada, &bob] {
        for change in [json!({"role": "admin"}), json!({"name": "Eve"}), json!({"status": "x"})] {
            person.put(&path, change).await.refused(403, "forbidden");
        }
    }
    assert_eq!(ada.get(&path).await.body, before);
    for change in [json!({"email": "x@y.org"}), json!({"status": "gone"}), json!({"name": ""})] {
        admin.put(&path, change).await.refused(422, "invalid");
    }
    let changed = admin.put(&path, json!({"name": "Ada L."})).await.is(200);
    assert_eq!((&changed.body["name"], &changed.body["role"]), (&json!("Ada L."), &before["role"]));
    app.close().await;
}

#[tokio::test]
async fn what_is_no_id_is_not_there() {
    let app = TestApp::start().await;
    let (ada, admin) = (app.student().await, app.admin().await);
    let bare = ada.id.to_string().replace('-', "");
    for id in [NOBODYS_ID, "0", "me", "-1", "%00", "%2e%2e", "'", bare.as_str(), &"x".repeat(500)] {
        for path in [format!("/users/{id}"), format!("/payments/wallet/top-ups/{id}")] {
            ada.get(&path).await.refused(404, "not_found");
        }
        let nothing: Value = json!({});
        admin.put(&format!("/users/{id}"), nothing).await.refused(404, "not_found");
    }
    app.close().await;
}
