//! Access tokens that Murph did not make, or not for this, each made by hand.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use murph::config::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{me, refresh};
use crate::harness::{Person, TestApp};

const OLD_SECRET: &str = "an older secret for tests, 9876543210 zyxwvu";

/// Makes tokens as Murph does, from its secret, and all that look nearly like one.
struct Forge {
    pair: Ed25519KeyPair,
}

impl Forge {
    fn with(secret: &str) -> Self {
        let mut seed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        seed.update(b"murph access tokens 1");
        let seed = seed.finalize().into_bytes();
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }

    fn of(app: &TestApp) -> Self {
        Self::with(app.app.config.auth.secret.expose())
    }

    fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn key_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(self.public())[..9])
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes())))
    }

    /// Signed with the bytes of the public key, as if they were a shared secret.
    fn sign_hs256(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(self.public()).unwrap();
        mac.update(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The header and the claims of a token.
fn read(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

/// `object` with another `value` of `name`, or without any.
fn with(object: &Value, name: &str, value: Option<Value>) -> Value {
    let mut object = object.clone();
    match value {
        Some(value) => object[name] = value,
        None => drop(object.as_object_mut().unwrap().remove(name).unwrap()),
    }
    object
}

/// A server, somebody, and the parts of their token, which the forge can put together again.
async fn forged() -> (TestApp, Person, Forge, Value, Value) {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let forge = Forge::of(&app);
    let (header, claims) = read(&ada.access_token);
    let good = forge.sign(&header, &claims);
    assert_eq!(me(&app, &good).await.is(200).body["id"], ada.id.to_string());
    (app, ada, forge, header, claims)
}

async fn assert_refused(app: &TestApp, token: &str, why: &str) {
    let reply = me(app, token).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{why}: {reply:?}");
}

#[tokio::test]
async fn every_claim_must_be_there_and_right() {
    let (app, ada, forge, header, claims) = forged().await;
    let other = app.student().await;
    let (_, others) = read(&other.access_token);
    let in_words = json!(claims["exp"].to_string());
    for (name, values) in [
        ("exp", vec![json!("x"), in_words, json!(null), json!(true), json!(0), json!(-1)]),
        ("exp", vec![json!(1e20), json!(u64::MAX), json!([]), json!({})]),
        ("iat", vec![json!("x"), json!(null)]),
        ("iss", vec![json!("other"), json!(""), json!(null), json!(7), json!(["murph"])]),
        ("aud", vec![json!("other"), json!(""), json!(null), json!(7), json!(["other"])]),
        ("sub", vec![json!("x"), json!(""), json!(null), json!(7), others["sub"].clone()]),
        ("sid", vec![json!("x"), json!(""), json!(null), json!(7), others["sid"].clone()]),
        ("sid", vec![json!(ada.id), json!("01890000-0000-7000-8000-000000000000")]),
    ] {
        let without = forge.sign(&header, &with(&claims, name, None));
        assert_refused(&app, &without, name).await;
        for value in values {
            let why = format!("{name} is {value}");
            let token = forge.sign(&header, &with(&claims, name, Some(value)));
            assert_refused(&app, &token, &why).await;
        }
    }
    app.close().await;
}

#[tokio::test]
async fn the_header_may_not_choose_the_algorithm_the_key_or_the_kind() {
    let (app, _, forge, header, claims) = forged().await;
    for (name, values) in [
        ("alg", vec!["none", "None", "HS256", "HS512", "RS256", "ES256", "eddsa", "EdDSA ", ""]),
        ("typ", vec!["JWT", "at+JWT", "rt+jwt", "application/at+jwt", ""]),
        ("kid", vec!["", "other", "../../../../dev/null", "' OR '1'='1"]),
    ] {
        let without = with(&header, name, None);
        assert_refused(&app, &forge.sign(&without, &claims), name).await;
        for value in values {
            let other = with(&header, name, Some(json!(value)));
            assert_refused(&app, &forge.sign(&other, &claims), value).await;
        }
        let number = with(&header, name, Some(json!(7)));
        assert_refused(&app, &forge.sign(&number, &claims), "7").await;
    }
    app.close().await;
}

#[tokio::test]
async fn only_our_key_signs() {
    let (app, _, forge, header, claims) = forged().await;
    let hs256 = with(&header, "alg", Some(json!("HS256")));
    assert_refused(&app, &forge.sign_hs256(&hs256, &claims), "the public key as a secret").await;
    assert_refused(&app, &forge.sign_hs256(&header, &claims), "the same, and lying").await;
    let none = with(&header, "alg", Some(json!("none")));
    assert_refused(&app, &format!("{}.", unsigned(&none, &claims)), "unsigned").await;
    assert_refused(&app, &format!("{}.", unsigned(&header, &claims)), "unsigned, and lying").await;

    let thief = Forge::with(OLD_SECRET);
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": forge.key_id(),
        "x": URL_SAFE_NO_PAD.encode(thief.public()),
    });
    let mut own = with(&header, "jwk", Some(jwk));
    assert_refused(&app, &thief.sign(&header, &claims), "another's key").await;
    assert_refused(&app, &thief.sign(&own, &claims), "a key of its own").await;
    own["kid"] = json!(thief.key_id());
    own["jku"] = json!("https://thief.example/jwks.json");
    assert_refused(&app, &thief.sign(&own, &claims), "keys from elsewhere").await;
    app.close().await;
}

#[tokio::test]
async fn a_token_is_whole_or_nothing() {
    let (app, ada, forge, header, claims) = forged().await;
    let token = ada.access_token.as_str();
    let (text, signature) = token.rsplit_once('.').unwrap();
    let (head, body) = text.split_once('.').unwrap();
    let other = unsigned(&header, &with(&claims, "exp", Some(json!(i64::MAX))));
    // Of the last character, four bits say nothing: another spelling of the same signature.
    let last = signature.chars().last().unwrap();
    let respelled = char::from(u8::try_from(last).unwrap() + 1);
    for broken in [
        format!("{other}.{signature}"),
        format!("{text}."),
        text.to_owned(),
        format!("{head}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}="),
        token[..token.len() - 1].to_owned(),
        format!("{}{respelled}", &token[..token.len() - 1]),
        format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        token.to_uppercase(),
        "..".to_owned(),
        "null".to_owned(),
        forge.sign(&with(&header, "x", Some(json!("x".repeat(3_000)))), &claims),
        forge.sign(&json!([]), &claims),
        forge.sign(&header, &json!([])),
        forge.sign(&header, &json!("x")),
    ] {
        assert_refused(&app, &broken, &broken).await;
    }
    app.close().await;
}

#[tokio::test]
async fn an_access_token_ends_when_it_says() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    app.app.clock.advance(Duration::from_secs(599));
    me(&app, &ada.access_token).await.is(200);
    app.app.clock.advance(Duration::from_secs(1));
    assert_refused(&app, &ada.access_token, "expired").await;
    // The sign-in itself goes on.
    let reply = refresh(&app, &ada.refresh_token).await.is(200);
    me(&app, reply.body["access_token"].as_str().unwrap()).await.is(200);
    app.close().await;
}

#[tokio::test]
async fn the_public_keys_verify_a_token_and_sign_none() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let keys = app.get("/.well-known/jwks.json").await.is(200);
    let (header, claims) = read(&ada.access_token);
    let all = keys.body["keys"].as_array().unwrap();
    let key = all.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert!(all.iter().all(|key| key.get("d").is_none()), "{keys:?}");

    let x = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let (text, signature) = ada.access_token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, x).verify(text.as_bytes(), &signature).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("murph"), &json!("murph")));
    assert_eq!(claims["sub"], ada.id.to_string());
    app.close().await;
}

#[tokio::test]
async fn a_replaced_secret_counts_as_long_as_it_is_listed() {
    let sign_in = |listed: bool| async move {
        let app = TestApp::start_with(|config| {
            let previous = listed.then(|| Secret::new(OLD_SECRET));
            config.auth.previous_secrets = previous.into_iter().collect();
        })
        .await;
        let ada = app.student().await;
        let (header, claims) = read(&ada.access_token);
        let old = Forge::with(OLD_SECRET);
        let header = with(&header, "kid", Some(json!(old.key_id())));
        let reply = me(&app, &old.sign(&header, &claims)).await;
        app.close().await;
        reply
    };
    sign_in(true).await.is(200);
    sign_in(false).await.refused(401, "unauthenticated");
}
