//! Who is let in to a session, and who is not.

use serde_json::json;

use super::{
    School,
    player::{Player, handshake},
};

/// Opens a socket and waits until it is closed: the error's code, and the close code.
async fn turned_away(school: &School, request: Request, id: SessionId) -> (String, u16) {
    let mut player = Player::open(&school.app, id, request).await.unwrap();
    let (error, close) = player.last("error").await;
    assert_eq!(error["terminal"], true);
    (error["code"].as_str().unwrap().to_owned(), close)
}

use murph::id::SessionId;
use tokio_tungstenite::tungstenite::handshake::client::Request;

async fn started(school: &School) -> (SessionId, String) {
    let body = json!({"course_id": school.course});
    let reply = school.student.post("/sessions/start", body).await.is(201);
    let id = serde_json::from_value(reply.body["session"]["id"].clone()).unwrap();
    (id, reply.body["ticket"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn there_are_three_ways_to_show_who_one_is() {
    let school = School::open("0.60", "50.00").await;
    let (id, ticket) = started(&school).await;
    let mut first = Player::attach(&school.app, id, &ticket).await;

    let path = format!("/sessions/{id}/ticket");
    let ticket = school.student.post(&path, json!({})).await.is(201).body;
    let ticket = ticket["ticket"].as_str().unwrap();
    let url = format!("ws://{}/ws/session/{id}?ticket={ticket}", school.app.address);
    let mut second = Player::open(&school.app, id, url.into_request()).await.unwrap();
    assert_eq!(second.next().await["type"], "hello");
    assert_eq!(first.last("superseded").await.1, 4003);

    let mut request = handshake(&school.app, id, &[]);
    let bearer = format!("Bearer {}", school.student.access_token);
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let mut third = Player::open(&school.app, id, request).await.unwrap();
    assert_eq!(third.next().await["type"], "hello");
    assert_eq!(second.last("superseded").await.1, 4003);
    school.app.close().await;
}

use tokio_tungstenite::tungstenite::client::IntoClientRequest;

trait IntoRequest {
    fn into_request(self) -> Request;
}

impl IntoRequest for String {
    fn into_request(self) -> Request {
        self.into_client_request().unwrap()
    }
}

#[tokio::test]
async fn without_a_good_ticket_nobody_comes_in() {
    let school = School::open("0.60", "50.00").await;
    let (id, ticket) = started(&school).await;
    let unauthenticated = ("unauthenticated".to_owned(), 4001);
    let (begin, end) = ticket.split_at(ticket.len() - 2);
    let altered = format!("{begin}{}", if end == "AA" { "AB" } else { "AA" });
    for protocols in [
        vec![],
        vec!["murph.v1".to_owned()],
        vec!["murph.v1, ticket.".to_owned()],
        vec![format!("murph.v1, ticket.{altered}")],
        vec![format!("murph.v1, ticket.{}", school.student.access_token)],
    ] {
        let texts: Vec<&str> = protocols.iter().map(String::as_str).collect();
        let request = handshake(&school.app, id, &texts);
        assert_eq!(turned_away(&school, request, id).await, unauthenticated, "{texts:?}");
    }
    // Used once, it is used up.
    let player = Player::attach(&school.app, id, &ticket).await;
    let request = handshake(&school.app, id, &[&format!("murph.v1, ticket.{ticket}")]);
    assert_eq!(turned_away(&school, request, id).await, unauthenticated);
    drop(player);
    // Too old.
    let ticket = school.student.post(&format!("/sessions/{id}/ticket"), json!({})).await.body;
    school.app.app.clock.advance(std::time::Duration::from_secs(31));
    let ticket = format!("murph.v1, ticket.{}", ticket["ticket"].as_str().unwrap());
    let request = handshake(&school.app, id, &[&ticket]);
    assert_eq!(turned_away(&school, request, id).await, unauthenticated);
    school.app.close().await;
}

#[tokio::test]
async fn a_session_of_somebody_else_is_not_there() {
    let school = School::open("0.60", "50.00").await;
    let (id, _) = started(&school).await;
    let stranger = school.app.student_with("5.00").await;
    stranger.post(&format!("/sessions/{id}/ticket"), json!({})).await.refused(404, "not_found");
    let mut request = handshake(&school.app, id, &[]);
    let bearer = format!("Bearer {}", stranger.access_token);
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    assert_eq!(turned_away(&school, request, id).await, ("not_found".to_owned(), 4004));
    school.app.close().await;
}

#[tokio::test]
async fn an_ended_session_shows_its_receipt_and_closes() {
    let school = School::open("0.60", "50.00").await;
    let (id, _) = started(&school).await;
    school.student.post(&format!("/sessions/{id}/end"), json!({})).await.is(200);
    let mut request = handshake(&school.app, id, &[]);
    let bearer = format!("Bearer {}", school.student.access_token);
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let mut player = Player::open(&school.app, id, request).await.unwrap();
    let (receipt, code) = player.last("receipt").await;
    assert_eq!((&receipt["status"], code), (&json!("cancelled"), 4010));
    school.app.close().await;
}

#[tokio::test]
async fn pages_of_unknown_origin_stay_outside() {
    let school = School::open("0.60", "50.00").await;
    let (id, ticket) = started(&school).await;
    let from = |origin: &str| {
        let mut request = handshake(&school.app, id, &[&format!("murph.v1, ticket.{ticket}")]);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    for origin in ["https://evil.example", "null", "http://localhost:3000.evil.example"] {
        let refused = Player::open(&school.app, id, from(origin)).await.err().unwrap();
        assert_eq!(refused.0, 403, "{origin}: {}", refused.1);
    }
    let mut player = Player::open(&school.app, id, from("http://localhost:3000")).await.unwrap();
    assert_eq!(player.next().await["type"], "hello");
    school.app.close().await;
}

#[tokio::test]
async fn sockets_are_counted_by_address_and_by_user() {
    let school = School::open_with("0.60", "50.00", |config| {
        config.live.sockets_per_address_max = 3;
        config.live.sockets_per_user_max = 2;
    })
    .await;
    let (id, _) = started(&school).await;
    let bearer = |token: &str| {
        let mut request = handshake(&school.app, id, &[]);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let own = &school.student.access_token;
    // Superseded, but not gone as long as the client keeps them.
    let first = Player::open(&school.app, id, bearer(own)).await.unwrap();
    let mut second = Player::open(&school.app, id, bearer(own)).await.unwrap();
    assert_eq!(second.next().await["type"], "hello");
    let mut third = Player::open(&school.app, id, bearer(own)).await.unwrap();
    let (error, code) = third.last("error").await;
    assert_eq!((&error["code"], code), (&json!("too_many_sockets"), 4029));
    drop((first, second, third));
    school.app.close().await;
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_told_so() {
    let school = School::open("0.60", "50.00").await;
    let (id, _) = started(&school).await;
    school.app.get(&format!("/ws/session/{id}")).await.refused(426, "upgrade_required");
    school.app.get("/ws/session/none").await.refused(404, "not_found");
    school.app.close().await;
}
