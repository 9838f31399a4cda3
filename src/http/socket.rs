//! `/ws/session/{id}`: the handshake that makes a connection a socket (RFC 6455, 4.2).
//!
//! What can be refused without reading a ticket is refused here, with a status; the rest is told on
//! the socket by `live`, where a page can read it.

use axum::{
    Extension,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    codes,
    error::{self, Problem},
    extract::{ClientAddr, Path, Query},
    openapi::{Bearer, Operation, Output, Promise, Routes, routes},
};
use crate::{
    config,
    error::{Error, Result},
    id::SessionId,
    live::{Credentials, Live, TakeOver, Visitor},
};

/// The protocol spoken on the socket.
const PROTOCOL: &str = "murph.v1";

/// In front of a ticket among the protocols: the only header a page can set.
const TICKET_PREFIX: &str = "ticket.";

pub(super) fn routes() -> Routes {
    routes! { "socket"
        /// Open a session's socket.
        ///
        /// A WebSocket handshake (RFC 6455) for the protocol `murph.v1`. Who comes is said by a
        /// ticket, as a second protocol `ticket.<…>` or in the query, or by an access token in the
        /// `Authorization` header. What is wrong with them is told on the socket, where a page can
        /// read it. What is said there is described in `asyncapi.yaml`.
        GET "/ws/session/{session_id}" => enter [UPGRADE_REQUIRED FORBIDDEN BUSY];
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EnterQuery {
    /// Good once, for 30 seconds.
    ticket: Option<String>,
}

/// The end of HTTP on a connection.
struct Switching(Response);

impl IntoResponse for Switching {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Output for Switching {
    fn describe(operation: &mut Operation<'_>) {
        operation.is_for(Bearer::Ticket);
        let promise = Promise::empty("From here on this is a WebSocket.");
        operation.answers(StatusCode::SWITCHING_PROTOCOLS, promise);
    }
}

/// Any other method cannot be a handshake, and is refused as on any path.
async fn enter(
    Extension(live): Extension<Live>,
    ClientAddr(address): ClientAddr,
    Path(session_id): Path<SessionId>,
    Query(query): Query<EnterQuery>,
    mut request: Request,
) -> Result<Switching, Problem> {
    let accept = check(&request, live.settings())?;
    let counted = live.count_socket(address).inspect_err(error::log)?;
    let take_over = request.extensions().get::<TakeOver>().copied();
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(upgrade), Some(take_over)) = (upgrade, take_over) else {
        return Err(not_a_socket("this connection cannot become a socket"));
    };
    let offered = protocols(request.headers());
    let credentials = credentials(request.headers(), &offered, query.ticket);
    let visitor = Visitor { session_id, credentials, address, counted };
    live.receive(upgrade, take_over, visitor);
    Ok(Switching(switching(accept, offered.contains(&PROTOCOL))))
}

fn switching(accept: HeaderValue, speaks_murph: bool) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_murph {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

/// Whether this is a handshake, from a page that may; gives the answer to its key.
fn check(request: &Request, config: &config::Server) -> Result<HeaderValue, Problem> {
    let headers = request.headers();
    let is_upgrade = names(headers, &header::CONNECTION, "upgrade")
        && names(headers, &header::UPGRADE, "websocket");
    if !is_upgrade {
        return Err(not_a_socket("open this with a WebSocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(not_a_socket("only version 13 of the protocol is spoken here"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| not_a_socket("there is no Sec-WebSocket-Key"))?;
    if let Some(origin) = headers.get(header::ORIGIN)
        && !may_come_from(origin, config)
    {
        return Err(Error::Forbidden("pages of this origin may not open sockets").into());
    }
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| not_a_socket("the Sec-WebSocket-Key cannot be read"))
}

/// Programs send no origin, browsers always do.
fn may_come_from(origin: &HeaderValue, server: &config::Server) -> bool {
    let own = server.public_url.trim_end_matches('/');
    let is_listed = |listed: &String| listed == "*" || origin == listed.as_str();
    server.cors_origins.iter().any(is_listed) || (!own.is_empty() && origin == own)
}

fn not_a_socket(detail: &str) -> Problem {
    Problem::new(codes::UPGRADE_REQUIRED, detail)
}

/// Whether a header that is a list names `wanted`.
fn names(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

fn protocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

fn credentials(headers: &HeaderMap, protocols: &[&str], query: Option<String>) -> Credentials {
    let offered = protocols.iter().find_map(|protocol| protocol.strip_prefix(TICKET_PREFIX));
    if let Some(ticket) = offered.map(str::to_owned).or(query) {
        return Credentials::Ticket(ticket);
    }
    match super::extract::bearer_token(headers) {
        Ok(token) => Credentials::AccessToken(token.to_owned()),
        Err(_) => Credentials::None,
    }
}
