//! Tickets are for sockets, and for nothing else; and nothing else is a ticket.

use std::time::Duration;

use murph::{id::SessionId, service::tickets};
use reqwest::Method;
use serde_json::json;

use super::{Class, end};
use crate::harness::Reply;

async fn ask(class: &Class, session: SessionId) -> Reply {
    class.student.post(&format!("/sessions/{session}/ticket"), json!({})).await
}

#[tokio::test]
async fn a_ticket_is_for_the_session_as_it_is_now() {
    let class = Class::gather().await;
    let app = &class.app.app;
    let session = class.start().await;
    app.clock.advance(Duration::from_secs(5));
    let reply = ask(&class, session).await.is(201);
    assert_eq!(reply.body["expires_in_seconds"], 30);
    let ws_url = format!("{}/ws/session/{session}", class.app.url.replace("http", "ws"));
    assert_eq!(reply.body["ws_url"], ws_url.as_str());

    let text = reply.body["ticket"].as_str().unwrap();
    let ticket = tickets::redeem(app, text, session, app.clock.now()).unwrap();
    assert_eq!((ticket.session_id, ticket.user_id), (session, class.student.id));
    assert_eq!(ticket.entries, class.find(session).await.entries);
    let late = app.clock.now() + Duration::from_secs(30);
    assert!(tickets::redeem(app, text, session, late).is_err());
    assert!(tickets::redeem(app, text, SessionId::new(late), app.clock.now()).is_err());
    class.app.close().await;
}

#[tokio::test]
async fn there_are_tickets_for_ones_own_open_session_only() {
    let class = Class::gather().await;
    let (other, admin) = (class.app.student().await, class.app.admin().await);
    let session = class.start().await;
    let path = format!("/sessions/{session}/ticket");
    other.post(&path, json!({})).await.refused(404, "not_found");
    for person in [&class.teacher, &admin] {
        person.post(&path, json!({})).await.refused(403, "forbidden");
    }
    ask(&class, SessionId::new(class.app.now())).await.refused(404, "not_found");
    ask(&class, session).await.is(201);
    end(&class.student, session).await.is(200);
    ask(&class, session).await.refused(409, "session_ended");
    class.app.close().await;
}

#[tokio::test]
async fn no_other_token_is_a_ticket_nor_a_ticket_another_token() {
    let class = Class::gather().await;
    let session = class.start().await;
    let reply = ask(&class, session).await.is(201);
    let ticket = reply.body["ticket"].as_str().unwrap();

    let redeem = |text: &str| {
        tickets::redeem(&class.app.app, text, session, class.app.now()).map_err(|e| e.to_string())
    };
    assert!(redeem(ticket).is_ok());
    let jwt = &class.student.access_token;
    let signature = jwt.rsplit_once('.').unwrap().1;
    for other in [jwt, signature, class.student.refresh_token.as_str(), ""] {
        assert_eq!(redeem(other).unwrap_err(), "sign in first: the ticket is not valid");
    }

    let me = class.app.client.get(format!("{}/api/v1/auth/me", class.app.url)).bearer_auth(ticket);
    Reply::to(&Method::GET, me).await.refused(401, "unauthenticated");
    let refresh = class.app.post("/auth/refresh", json!({"refresh_token": ticket})).await;
    refresh.refused(401, "unauthenticated");
    class.app.close().await;
}
