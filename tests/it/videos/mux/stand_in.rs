//! A Mux on a socket of its own, which looks at what it is asked, keeps assets, and does what a test wants.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use murph::config::{Config, Secret};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

pub(super) const WEBHOOK_SECRET: &str = "mux_wh_secret";
pub(super) const STREAMS: &str = "https://stream.example.org";
pub(super) const IMAGES: &str = "https://image.example.org";

/// What has not come about by then does not.
const DEADLINE: Duration = Duration::from_secs(10);

const TOKEN_ID: &str = "an id";
const TOKEN_SECRET: &str = "a secret of Mux";

/// The key that signs links; one for all tests, as it takes a moment to make.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// What stands before the key itself in PKCS#8, with one of 2048 bits.
const PKCS8_BEFORE: usize = 26;

/// How Mux is, for now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mood {
    Well,
    /// Does what it is asked, and hangs up before it says so.
    Mute,
    /// Says nothing until its mood changes.
    Slow,
    /// Breaks when it is asked about one of these.
    BreaksAt(Vec<String>),
    /// Does nothing, and answers with a status and a body.
    Off(u16, Value),
}

struct State {
    mood: Mood,
    /// Method and path of each request, in order.
    asked: Vec<String>,
    /// What was not as it should be.
    wrong: Vec<String>,
    assets: BTreeMap<String, Value>,
    made: usize,
}

pub(in crate::videos) struct StandIn {
    url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StandIn {
    pub(in crate::videos) async fn start() -> Self {
        let (assets, asked, wrong) = Default::default();
        let state = State { mood: Mood::Well, asked, wrong, assets, made: 0 };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let known = Arc::clone(&state);
        #[expect(clippy::disallowed_methods, reason = "aborted when dropped")]
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                let service = service_fn(move |request| serve(request, Arc::clone(&known)));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn(async { connection.await.unwrap_or_default() });
            }
        });
        Self { url, state, server }
    }

    pub(in crate::videos) fn configure(&self, config: &mut Config) {
        configure(config, &self.url);
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(super) fn says_something(&self) -> bool {
        self.state.lock().unwrap().mood != Mood::Mute
    }

    /// What was asked: method and path.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// How many assets were asked for.
    pub(in crate::videos) fn posts(&self) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with("POST")).count()
    }

    /// Waits until so many assets were asked for.
    pub(in crate::videos) async fn has_posts(&self, count: usize) {
        soon(async || self.posts() >= count).await;
    }

    /// The ids of its assets, the oldest first.
    pub(in crate::videos) fn assets(&self) -> Vec<String> {
        self.state.lock().unwrap().assets.keys().cloned().collect()
    }

    pub(in crate::videos) fn asset(&self, id: &str) -> Value {
        self.state.lock().unwrap().assets[id].clone()
    }

    /// An asset has come to this; it is told as `event`.
    pub(super) fn becomes(&self, id: &str, event: &str, fields: &Value) -> Value {
        let mut state = self.state.lock().unwrap();
        let asset = state.assets.get_mut(id).unwrap();
        asset["status"] = event.into();
        for (name, value) in fields.as_object().unwrap() {
            asset[name] = value.clone();
        }
        event_of(event, asset)
    }

    /// An asset is done.
    pub(super) fn is_ready(&self, id: &str) -> Value {
        self.becomes(id, "ready", &ready_of(id)["data"])
    }

    pub(super) fn forget(&self, id: &str) -> Value {
        event_of("deleted", &self.state.lock().unwrap().assets.remove(id).unwrap())
    }

    /// Fails if anything that was asked was not as it should be.
    #[track_caller]
    pub(in crate::videos) fn assert_asked_well(&self) {
        let wrong = self.state.lock().unwrap().wrong.clone();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Waits until something is so, and fails if it does not come about.
pub(super) async fn soon(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("it comes about");
}

/// By which an asset is played.
pub(super) fn playback_of(id: &str) -> String {
    format!("of_{id}")
}

/// That an asset is done, of which this Mux may know nothing.
pub(super) fn ready_of(id: &str) -> Value {
    let ids =
        json!([{"id": "public", "policy": "public"}, {"id": playback_of(id), "policy": "signed"}]);
    event_of("ready", &json!({"id": id, "playback_ids": ids, "duration": 61.5}))
}

pub(super) fn event_of(what: &str, asset: &Value) -> Value {
    json!({"type": format!("video.asset.{what}"), "id": "an-event", "data": asset,
        "object": {"type": "asset", "id": asset["id"]}, "environment": {"name": "school"},
        "created_at": "2026-11-20T16:00:00Z", "attempts": []})
}

pub(super) fn configure(config: &mut Config, url: &str) {
    let private: Pkcs8V1Der<'_> = KEY.as_der().unwrap();
    let private = STANDARD.encode(&private.as_ref()[PKCS8_BEFORE..]);
    let pem =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{private}\n-----END RSA PRIVATE KEY-----\n");
    let mux = &mut config.mux;
    mux.token_id = Secret::new(TOKEN_ID);
    mux.token_secret = Secret::new(TOKEN_SECRET);
    mux.webhook_secret = Secret::new(WEBHOOK_SECRET);
    mux.signing_key_id = "mux_key_1".into();
    mux.signing_key = Secret::new(STANDARD.encode(pem));
    mux.base_url = format!("{url}/");
    mux.stream_url = STREAMS.into();
    mux.image_url = IMAGES.into();
    config.auth.access_token_seconds = 86_400;
}

/// What a token says, if its key signed it.
#[track_caller]
pub(super) fn claims(token: &str) -> Value {
    let public: PublicKeyX509Der<'_> = KEY.public_key().as_der().unwrap();
    let public = STANDARD.encode(public.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let (said, signature) = token.rsplit_once('.').unwrap();
    assert!(crypto::verify(signature, said.as_bytes(), &key, Algorithm::RS256).unwrap(), "{token}");
    let (header, claims) = said.split_once('.').unwrap();
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    assert_eq!(header, br#"{"alg":"RS256","typ":"JWT"}"#);
    serde_json::from_slice(&claims).unwrap()
}

type Answer = Result<Response<Full<Bytes>>, Mute>;

/// Hangs up.
#[derive(Debug, thiserror::Error)]
#[error("says nothing")]
struct Mute;

async fn serve(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Mute)?.to_bytes();
    state.lock().unwrap().asked.push(format!("{} {}", head.method, head.uri));
    while state.lock().unwrap().mood == Mood::Slow {
        tokio::task::yield_now().await;
    }
    let mut state = state.lock().unwrap();
    let token = STANDARD.encode(format!("{TOKEN_ID}:{TOKEN_SECRET}"));
    let is_known = head.headers.get("authorization");
    if is_known.is_none_or(|sent| sent != format!("Basic {token}").as_str()) {
        state.wrong.push(format!("who is it? {head:?}"));
    }
    if let Mood::Off(status, body) = &state.mood {
        return Ok(answer(*status, body));
    }
    let path = head.uri.path().strip_prefix("/video/v1/assets").unwrap_or("?");
    if let (Mood::BreaksAt(ids), Some(id)) = (&state.mood, path.strip_prefix('/'))
        && ids.iter().any(|bad| bad == id)
    {
        return Ok(answer(500, &Value::Null));
    }
    let (status, answered) = match (head.method.as_str(), path.strip_prefix('/')) {
        ("POST", None) if path.is_empty() => state.make(&head.headers["content-type"], &body),
        ("GET", Some(id)) => state.find(id),
        ("DELETE", Some(id)) => match state.assets.remove(id) {
            Some(_) => (204, Value::Null),
            None => state.find(id),
        },
        _ => {
            state.wrong.push(format!("what is it? {head:?}"));
            (404, Value::Null)
        }
    };
    if state.mood == Mood::Mute { Err(Mute) } else { Ok(answer(status, &answered)) }
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

impl State {
    fn make(&mut self, content_type: &hyper::http::HeaderValue, body: &[u8]) -> (u16, Value) {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let fields: Vec<_> = asked.as_object().into_iter().flat_map(|asked| asked.keys()).collect();
        let url = &asked["inputs"][0]["url"];
        let is_fine = content_type == "application/json"
            && fields == ["inputs", "passthrough", "playback_policies"]
            && asked["inputs"] == json!([{ "url": url }])
            && url.as_str().is_some_and(|url| url.starts_with("http"))
            && asked["playback_policies"] == json!(["signed"])
            && asked["passthrough"].as_str().is_some_and(|mark| mark.len() <= 255);
        if !is_fine {
            self.wrong.push(format!("{asked}"));
        }
        self.made += 1;
        let id = format!("asset-{}", self.made);
        let asset = json!({"id": id, "status": "preparing", "passthrough": asked["passthrough"],
            "playback_ids": [{"id": playback_of(&id), "policy": "signed"}], "input": url,
            "created_at": "1795176000"});
        self.assets.insert(id, asset.clone());
        (201, json!({"data": asset}))
    }

    fn find(&self, id: &str) -> (u16, Value) {
        match self.assets.get(id) {
            Some(asset) => (200, json!({"data": asset})),
            None => (404, json!({"error": {"type": "not_found", "messages": ["No such asset"]}})),
        }
    }
}

/// Nobody is at home there.
pub(super) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
