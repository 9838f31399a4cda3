//! What a request says about the program that sent it: its address, and how often it means it.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, request::Parts},
};

use crate::{
    app::App,
    config,
    error::{Error, Result},
};

/// Appended to by every proxy on the way: each adds whom it heard from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest `Idempotency-Key`.
const KEY_LENGTH_MAX: usize = 255;

/// The address of the client: the peer, or whoever the proxies in front say they heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

impl FromRequestParts<App> for ClientAddr {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let ConnectInfo(peer) = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .ok_or_else(|| Error::Internal("the server did not say who the peer is".into()))?;
        Ok(Self(client_address(peer.ip(), &parts.headers, &app.config.server)))
    }
}

/// Walks from the peer back towards the client, as long as the one who speaks is a proxy of ours.
///
/// From the right: that end was written by our own proxy. The left end is whatever the client
/// wrote, and would let anybody have any address. Other headers (`Forwarded`, `X-Real-IP`) are
/// not looked at, as a proxy that does not set them would pass them through.
fn client_address(peer: IpAddr, headers: &HeaderMap, server: &config::Server) -> IpAddr {
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut address = peer.to_canonical();
    while server.trusts(address) {
        // What cannot be read was not written by a proxy of ours: the last one that is known
        // stands for its clients.
        let Some(hop) = hops.next().and_then(parse_hop) else { break };
        address = hop;
    }
    address
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|hop: SocketAddr| hop.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The client's name for a request that must be done once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        idempotency_key(&parts.headers).map(Self)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let fits = (1..=KEY_LENGTH_MAX).contains(&value.len())
        && value.as_bytes().iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if fits && values.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(Error::invalid(
            "Idempotency-Key",
            format!("has to be there once, of 1 to {KEY_LENGTH_MAX} letters, digits and marks"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::{Config, Sources};

    fn server(trusted: &str) -> config::Server {
        let flags = vec![("server.trusted_proxies".to_owned(), trusted.to_owned())];
        Config::load(Sources { flags, ..Sources::default() }).unwrap().server
    }

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let value = |value: &&str| HeaderValue::from_str(value).unwrap();
        values.iter().map(|text| (name.clone(), value(text))).collect()
    }

    #[track_caller]
    fn assert_client(peer: &str, forwarded: &[&str], client: &str) {
        let headers = headers(&FORWARDED_FOR, forwarded);
        let found = client_address(peer.parse().unwrap(), &headers, &server("10.0.0.0/8,fd00::1"));
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn a_stranger_is_believed_nothing() {
        assert_client("192.0.2.7", &["198.51.100.1"], "192.0.2.7");
        assert_client("192.0.2.7", &["10.0.0.1"], "192.0.2.7");
        assert_client("::ffff:192.0.2.7", &[], "192.0.2.7");
    }

    #[test]
    fn a_proxy_of_ours_is_believed_for_one_step() {
        assert_client("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        assert_client("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        assert_client("fd00::1", &["2001:db8::1"], "2001:db8::1");
        assert_client("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1");
        assert_client("10.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1");
        assert_client("10.0.0.1", &["6.6.6.6, 198.51.100.1 , 10.9.9.9"], "198.51.100.1");
        assert_client("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        assert_client("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        assert_client("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1");
    }

    #[test]
    fn without_a_word_from_it_the_proxy_is_the_client() {
        for forwarded in [&[][..], &[""], &["unknown"], &["198.51.100.1, _hidden"], &["10.0.0.1"]] {
            assert_client("10.0.0.1", forwarded, "10.0.0.1");
        }
    }

    #[test]
    fn a_key_is_visible_ascii_of_reasonable_length() {
        let key = |values: &[&str]| idempotency_key(&headers(&IDEMPOTENCY_KEY, values));
        assert_eq!(key(&[]).unwrap(), None);
        for text in ["a", "01890000-0000-7000-8000-000000000000", "!~", &"x".repeat(255)] {
            assert_eq!(key(&[text]).unwrap().as_deref(), Some(text));
        }
        for values in [&[""][..], &["a b"], &["ü"], &[&"x".repeat(256)], &["a", "a"]] {
            assert!(matches!(key(values), Err(Error::Invalid { .. })), "{values:?}");
        }
    }
}
