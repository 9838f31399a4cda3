//! Access tokens: short-lived, signed, and good for nothing else.

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use crate::{
    config,
    error::{Error, Result},
    id::{LoginId, UserId},
    service::identity::Keys,
    time::Timestamp,
};

/// The `typ` of an access token (RFC 9068). No other kind of token has it.
const TYPE: &str = "at+jwt";

/// The longest token that is looked at.
const LENGTH_MAX: usize = 2_048;

/// What an access token says. Each claim must be there and of the right type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    pub sub: UserId,
    /// The sign-in it comes from.
    pub sid: LoginId,
    iat: i64,
    exp: i64,
}

/// Signs a token for a sign-in of `user`.
pub(super) fn issue(
    keys: &Keys,
    settings: &config::Auth,
    user: UserId,
    login: LoginId,
    now: Timestamp,
) -> Result<String> {
    let claims = Claims {
        iss: settings.issuer.clone(),
        aud: settings.audience.clone(),
        sub: user,
        sid: login,
        iat: now.seconds(),
        exp: (now + settings.access_token_lifetime()).seconds(),
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.into());
    header.kid = Some(keys.checking[0].id.clone());
    encode(&header, &claims, &keys.signing)
        .map_err(|error| Error::Internal(format!("signing a token: {error}")))
}

/// What a token says, if it is one of ours and still good.
pub(super) fn check(
    keys: &Keys,
    settings: &config::Auth,
    token: &str,
    now: Timestamp,
) -> Result<Claims> {
    let refused = Err(Error::Unauthenticated("the access token is not valid"));
    if token.len() > LENGTH_MAX {
        return refused;
    }
    let Ok(header) = decode_header(token) else { return refused };
    // The algorithm and the key are ours to say, not the token's: it may only name one of ours.
    let key = keys.checking.iter().find(|key| header.kid.as_ref() == Some(&key.id));
    let (Some(key), Some(TYPE)) = (key, header.typ.as_deref()) else { return refused };
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Checked below, by our own clock.
    validation.validate_exp = false;
    let Ok(token) = decode::<Claims>(token, &key.key, &validation) else { return refused };
    let claims = token.claims;
    if claims.exp <= now.seconds() {
        return Err(Error::Unauthenticated("the access token has expired"));
    }
    Ok(claims)
}
