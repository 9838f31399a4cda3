//! Links to what Mux sends: a token behind the address, signed by a key that Mux knows.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// For whom a token is: what sends videos.
pub(super) const VIDEO: &str = "v";

/// And what sends thumbnails.
pub(super) const THUMBNAIL: &str = "t";

/// Mux finds the key by a claim, so the header is always the same.
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// Signs tokens.
pub(super) struct Signer {
    key_id: String,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    kid: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

impl Signer {
    pub(super) fn new(key_id: String, key: EncodingKey) -> Self {
        Self { key_id, key }
    }

    /// A token for what is played under `playback_id`, until then.
    pub(super) fn sign(&self, playback_id: &str, aud: &str, until: Timestamp) -> Result<String> {
        let claims = self.claims(playback_id, aud, until);
        let signature = crypto::sign(claims.as_bytes(), &self.key, Algorithm::RS256)
            .map_err(|error| Error::Internal(format!("signing for Mux: {error}")))?;
        Ok(format!("{claims}.{signature}"))
    }

    /// What is signed.
    fn claims(&self, playback_id: &str, aud: &str, until: Timestamp) -> String {
        let claims = Claims { kid: &self.key_id, sub: playback_id, aud, exp: until.seconds() };
        let claims = serde_json::to_vec(&claims).expect("claims are plain data");
        let [header, claims] =
            [HEADER.as_bytes(), &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
        rsa::{KeyPair, KeySize},
        signature::KeyPair as _,
    };
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::DecodingKey;

    use super::*;

    /// A token that the vendor's SDK takes, and the public half of the key that signed it.
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJraWQiOiJtdXhfa2V5XzEiLCJzdWIiOiJwYl9zaWduZWRfMSIsImF1ZCI6InYiLCJleHAiOjE4OTM0NTYwMDB9.Je-brJfyqzq3Ko1k9f_RLvUzynaFrICce4Y-JNZKKVb-iCOYe5zEdLk-mMD-S_s5Dgk-ZLoPSjR4HbhO4VEZ6Z-4BLLOZiCICFjx3gnO4xFsWIkt1jACTvYKasR46mYpe0z3Rl36-B_8OKNGg_Bf2yd6NEscyQX0bBg1RcwwWfVbhpcFnnHm7WG4RH2KwYuKzQ4DAbu357-CT9GNO1lD4ZfhYlhB2fDqi218Id33Cl_-JyYjbwggthmHMSt7NJERGBksdKpk8AEQ8ESSpVhilBIWiw8DCQ4XgwOHVad-Ip4UqX5i_h4t_1PtqIpujM8XtsVkHbh3l21lz8CTOYnY7Q";
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtqOMUNebtpx22bL4q+sT
9P1Bd+eXHyGYGxkODcsQ6Ctx0g7uqSmcjr6+Tdcne97jgfwcb5QF8HKuySuvmMgi
TTmk/htXuDesQinKf7jl+ppxJalBWvMzuEgk0yIb3FlQs2nRJEnAV2nihRAyQ7f4
/EyX9pRKchMSAJzRqAB1oK0TQ6LaOOOb3ymZwuFT96a+EMAXNqTiQtb3ti4HYqWz
bVPH4MqC0RycOiVveVCKmHgUgGXsL8r9Har/V0ptx/MQnszq2ZYte4T4cQ5f2URN
PQxTjlidhpSQ6MRAq8Qe4NHXnay2K8feBrSDs6JvH12nZSf84BW6AF0RsZu9A4Ur
awIDAQAB
-----END PUBLIC KEY-----";

    fn until() -> Timestamp {
        Timestamp::from_micros(1_893_456_000_999_999).unwrap()
    }

    fn is_signed_by(token: &str, key: &DecodingKey) -> bool {
        let (claims, signature) = token.rsplit_once('.').unwrap();
        crypto::verify(signature, claims.as_bytes(), key, Algorithm::RS256).unwrap()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_token_is_signed_as_mux_takes_it() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes());
        let signer = Signer::new("mux_key_1".into(), private.unwrap());
        let token = signer.sign("pb_signed_1", VIDEO, until()).unwrap();
        let (claims, signature) = TOKEN.rsplit_once('.').unwrap();
        let (ours, our_signature) = token.rsplit_once('.').unwrap();
        assert_eq!(ours, claims);
        // Signatures of RS256 have one length, and no two keys the same.
        assert_eq!(our_signature.len(), signature.len());

        let theirs = DecodingKey::from_rsa_pem(PUBLIC_KEY.as_bytes()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let ours =
            DecodingKey::from_rsa_pem(pem("PUBLIC KEY", public.as_ref()).as_bytes()).unwrap();
        assert!(is_signed_by(TOKEN, &theirs) && is_signed_by(&token, &ours));
        assert!(!is_signed_by(TOKEN, &ours) && !is_signed_by(&token, &theirs));
        assert_ne!(signer.sign("pb_signed_1", THUMBNAIL, until()).unwrap(), token);
    }
}
