//! Who asks, and whether this is for them. What is allowed is said by type; the rest is refused.

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

pub use crate::service::identity::Caller;
use crate::{
    app::App,
    domain::user::Role,
    error::{Error, Result},
    http::observe,
    service::identity,
};

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let token = bearer_token(&parts.headers)?;
        let caller = identity::authenticate(app, token, app.clock.now()).await?;
        observe::set_user(caller.user.id);
        Ok(caller)
    }
}

/// Whoever may stay unknown. A token that is shown has to be good.
impl OptionalFromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(None);
        }
        <Self as FromRequestParts<App>>::from_request_parts(parts, app).await.map(Some)
    }
}

/// The token of the one `Authorization` header. Never from the query: addresses get logged.
pub fn bearer_token(headers: &HeaderMap) -> Result<&str> {
    const UNREADABLE: Error = Error::Unauthenticated("send one Authorization: Bearer header");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::Unauthenticated("an access token is needed"))?;
    if values.next().is_some() {
        // Two parties might each believe another of the two.
        return Err(UNREADABLE);
    }
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or(UNREADABLE)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(UNREADABLE);
    }
    Ok(token)
}

/// Makes extractors for callers of one role. Another role is refused, admins' too: what an admin
/// may do has routes of its own.
macro_rules! callers_only {
    ($($(#[$doc:meta])* $name:ident = $role:path, $refusal:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl FromRequestParts<App> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
                let caller = <Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?;
                if caller.user.role != $role {
                    return Err(Error::Forbidden($refusal));
                }
                Ok(Self(caller))
            }
        }
    )*};
}

callers_only! {
    /// A caller who learns and pays.
    Student = Role::Student, "this is for students";
    /// A caller who teaches and earns.
    Teacher = Role::Teacher, "this is for teachers";
    /// A caller who runs the place.
    Admin = Role::Admin, "this is for admins";
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer_token(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn one_bearer_token_is_found() {
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["bearer  abc "]).as_deref(), Some("abc"));
    }

    #[test]
    fn anything_else_is_no_token() {
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Basic abc"],
            &["abc"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(token(values), None, "{values:?}");
        }
    }
}
