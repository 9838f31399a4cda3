//! What every request goes through before it means anything: limits, JSON, paths, headers.

mod connections;
mod wire;

use self::wire::Wire;
use crate::harness::TestApp;

/// A route of the API that reads JSON and needs no account: `{"email", "password"}`.
const LOGIN: &str = "/api/v1/auth/login";

async fn wire(app: &TestApp) -> Wire {
    Wire::open(app.address).await
}

// Bodies.

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::start_with(|config| config.server.body_timeout_ms = 200).await;
    let mut wire = wire(&app).await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\n\
                Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    wire.send(head).await;
    wire.answer().await.assert_problem(408, "timeout");
    wire.assert_closed().await;
    app.close().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let app = TestApp::start_with(|config| config.server.body_max_bytes = 2_000).await;
    let head =
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let large = "x".repeat(100_000);

    let mut announced = wire(&app).await;
    announced.send(&format!("{head}Content-Length: 2001\r\n\r\n")).await;
    announced.answer().await.assert_problem(413, "body_too_large");

    let mut sent = wire(&app).await;
    sent.send(&format!("{head}Content-Length: {}\r\n\r\n{large}", large.len())).await;
    sent.answer().await.assert_problem(413, "body_too_large");

    let mut chunked = wire(&app).await;
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    chunked.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}")).await;
    chunked.answer().await.assert_problem(413, "body_too_large");
    app.close().await;
}

#[tokio::test]
async fn a_body_has_one_length() {
    let app = TestApp::start().await;
    for lengths in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "transfer-encoding:chunked\r\nX-Other: 1\r\nCONTENT-LENGTH:2\r\n",
    ] {
        let mut wire = wire(&app).await;
        wire.send(&format!("POST {LOGIN} HTTP/1.1\r\nHost: test\r\n{lengths}\r\n0\r\n\r\n")).await;
        wire.answer().await.assert_problem(400, "bad_request");
        wire.assert_closed().await;
    }
    // What hyper refuses by itself comes without a body.
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: -2\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        let mut wire = wire(&app).await;
        wire.send(&format!("POST {LOGIN} HTTP/1.1\r\nHost: test\r\n{lengths}\r\n{{}}")).await;
        assert_eq!(wire.answer().await.status, 400);
    }
    app.close().await;
}

/// Behind a proxy that keeps its connections, the next request on this one is somebody else's.
#[tokio::test]
async fn a_body_that_looks_like_a_head_is_nobody_elses_trouble() {
    let app = TestApp::start().await;
    let body = "\nContent-Length: 1\nTransfer-Encoding: x\n";
    let head = format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    let mut split = wire(&app).await;
    split.send(&format!("{head}Expect: 100-continue\r\n\r\n")).await;
    assert_eq!(split.answer().await.status, 100, "the head was read");
    split.send(body).await;
    let answer = split.answer().await;
    answer.assert_problem(400, "malformed_json");
    assert_eq!(answer.header("connection"), Some("close"));
    split.assert_closed().await;

    let mut whole = wire(&app).await;
    whole.send(&format!("{head}\r\n{body}")).await;
    let answer = whole.answer().await;
    answer.assert_problem(400, "malformed_json");
    assert_eq!(answer.header("connection"), Some("close"));
    whole.assert_closed().await;

    // Of a request whose body nobody read, more may be there when it is answered.
    let mut unread = wire(&app).await;
    let head = head.replace(LOGIN, "/nothing");
    unread.send(&format!("{head}\r\n{body}GET /livez HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    unread.answer().await.assert_problem(404, "not_found");
    unread.assert_closed().await;
    app.close().await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    let long = "x".repeat(20_000);
    // The server may hang up while this is still being sent.
    let _ = wire.try_send(&format!("GET /livez HTTP/1.1\r\nX-Long: {long}\r\n\r\n")).await;
    assert_eq!(wire.answer().await.status, 431);
    app.close().await;
}

#[tokio::test]
async fn json_that_does_not_fit_is_refused_by_name() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    for (json, param) in [
        (r#"{"password":"x"}"#, "email"),
        (r#"{"email":"a@example.org","password":7}"#, "password"),
        (r#"{"email":"a@example.org","password":"x","is_admin":true}"#, "is_admin"),
        (r#"{"email":"a@example.org","password":"x","email":"b@example.org"}"#, "email"),
        (r#"{"email":"a\u0000@example.org","password":"x"}"#, "email"),
    ] {
        wire.post(LOGIN, json).await.assert_problem_about(422, "invalid", param);
    }
    for json in ["", "{", "{}{}", r#"{"email":"\ud800","password":"x"}"#, "{\"email\":\"\0\"}"] {
        wire.post(LOGIN, json).await.assert_problem(400, "malformed_json");
    }
    app.close().await;
}

#[tokio::test]
async fn what_is_not_called_json_is_not_read() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"] {
        let answer = wire.post_with(LOGIN, headers, "{}").await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    let headers = "Content-Type: application/json; charset=utf-8\r\n";
    wire.post_with(LOGIN, headers, "{}").await.assert_problem(422, "invalid");
    app.close().await;
}

// Paths and headers.

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    for path in ["/", "/nothing", "/api/v1", "/api/v1/nothing", "/api/v2/auth/login", "/%00"] {
        wire.get(path).await.assert_problem(404, "not_found");
    }
    for path in ["/api/v1/api/v1/auth/login", "/api/api/v1/auth/login"] {
        let answer = wire.post(path, "{}").await;
        answer.assert_problem(404, "not_found");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("twice"), "{detail}");
    }
    let answer = wire.get(LOGIN).await;
    answer.assert_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
    app.close().await;
}

#[tokio::test]
async fn who_shows_no_token_is_nobody() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    for headers in [
        "",
        "Authorization: Bearer nonsense\r\n",
        "Authorization: Basic YTpi\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ] {
        let answer = wire.get_with("/api/v1/auth/me", headers).await;
        answer.assert_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    app.close().await;
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    wire.post(&format!("{LOGIN}/"), "{}").await.assert_problem(422, "invalid");
    wire.post(&format!("{LOGIN}/?a=b"), "{}").await.assert_problem(422, "invalid");
    assert_eq!(wire.get("/livez/").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    let chosen = wire.get_with("/livez", "X-Request-Id: from-the.client_1\r\n").await;
    assert_eq!(chosen.header("x-request-id"), Some("from-the.client_1"));

    let refused = wire.get_with("/nothing", "X-Request-Id: <script>\r\n").await;
    refused.assert_problem(404, "not_found");
    let (made, other) = (wire.get("/livez").await, wire.get("/livez").await);
    for answer in [&refused, &made, &other] {
        let id = answer.header("x-request-id").unwrap();
        assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    }
    assert_ne!(made.header("x-request-id"), other.header("x-request-id"));
    app.close().await;
}

#[tokio::test]
async fn answers_are_neither_kept_nor_guessed_at() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    for answer in [wire.get("/livez").await, wire.get("/nothing").await] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    app.close().await;
}

#[tokio::test]
async fn only_listed_pages_may_use_the_api() {
    let app = TestApp::start_with(|config| {
        config.server.cors_origins = vec!["https://school.example".into()];
    })
    .await;
    let mut wire = wire(&app).await;
    let preflight = |origin| {
        format!(
            "OPTIONS {LOGIN} HTTP/1.1\r\nHost: test\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization,idempotency-key\r\n\r\n"
        )
    };
    wire.send(&preflight("https://school.example")).await;
    let allowed = wire.answer().await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://school.example"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("idempotency-key"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);

    for origin in ["https://evil.example", "null", "https://school.example.evil.example"] {
        wire.send(&preflight(origin)).await;
        assert_eq!(wire.answer().await.header("access-control-allow-origin"), None, "{origin}");
        let answer = wire.get_with("/nothing", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    // A page that is listed can read refusals too.
    let answer = wire.get_with("/nothing", "Origin: https://school.example\r\n").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://school.example"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["idempotency-replayed", "content-disposition", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    app.close().await;
}

/// What a failed sign-in is answered with, asked for on behalf of `clients` one after the other.
async fn sign_in_for(app: &TestApp, clients: [&str; 3]) -> Vec<u16> {
    let mut wire = wire(app).await;
    let mut statuses = Vec::new();
    for client in clients {
        let headers = format!("Content-Type: application/json\r\nX-Forwarded-For: {client}\r\n");
        let body = r#"{"email":"nobody@example.org","password":"wrong wrong"}"#;
        statuses.push(wire.post_with(LOGIN, &headers, body).await.status);
    }
    statuses
}

#[tokio::test]
async fn only_our_proxies_may_say_who_the_client_is() {
    let limited = |trusted: &'static str| {
        TestApp::start_with(move |config| {
            config.auth.login_per_minute_per_address = 2.try_into().unwrap();
            config.server.trusted_proxies = trusted.parse().into_iter().collect();
        })
    };
    let app = limited("192.0.2.0/24").await;
    let statuses = sign_in_for(&app, ["198.51.100.1", "198.51.100.2", "198.51.100.3"]).await;
    assert_eq!(statuses, [401, 401, 429], "a stranger gets no new address");
    app.close().await;

    let app = limited("127.0.0.0/8").await;
    let statuses = sign_in_for(&app, ["198.51.100.1", "198.51.100.2", "198.51.100.3"]).await;
    assert_eq!(statuses, [401, 401, 401], "each client of a proxy has its own share");
    let clients = ["198.51.100.9", "6.6.6.6, 198.51.100.9", "7.7.7.7,198.51.100.9"];
    let statuses = sign_in_for(&app, clients).await;
    assert_eq!(statuses, [401, 401, 429], "what the client wrote itself is not believed");
    app.close().await;
}

// Health.

#[tokio::test]
async fn it_says_how_it_is() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    assert_eq!(wire.get("/livez").await.json()["status"], "ok");
    let health = wire.get("/health").await;
    assert_eq!(health.status, 200);
    let (status, database) = (&health.json()["status"], &health.json()["database"]);
    assert_eq!((status.as_str(), database.as_str()), (Some("healthy"), Some("connected")));
    let ready = wire.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ready".into()), "{ready:?}");
    assert!(ready.json()["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true));
    let keys = wire.get("/.well-known/jwks.json").await;
    assert!(keys.json()["keys"].is_array(), "{keys:?}");
    app.close().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let app = TestApp::start().await;
    let mut wire = wire(&app).await;
    wire.get("/api/v1/words-of-the-client?token=secret").await.assert_problem(404, "not_found");
    wire.post(LOGIN, "{}").await.assert_problem(422, "invalid");
    let metrics = wire.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"murph_http_requests_total{route="none",method="GET",status="404"} 1"#,
        r#"murph_http_requests_total{route="/api/v1/auth/login",method="POST",status="422"} 1"#,
        "murph_http_connections 1",
    ] {
        assert!(metrics.body.lines().any(|known| known == line), "{line}\n{}", metrics.body);
    }
    for word in ["words-of-the-client", "secret"] {
        assert!(!metrics.body.contains(word), "{word}\n{}", metrics.body);
    }
    app.close().await;
}
