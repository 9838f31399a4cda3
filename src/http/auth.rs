//! `/api/v1/auth`: register, sign in, stay signed in, sign out, and one's own account.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::App,
    domain::user::{
        NAME_MAX, PASSWORD_MAX, Role, User, check_password, check_profile, parse_email, parse_name,
    },
    error::{Error, Result},
    http::{
        answer::{Created, NoContent},
        extract::{Caller, ClientAddr, Json},
        openapi::{Routes, routes},
        users::UserView,
    },
    service::identity::{self, ProfileUpdate, Registration, Tokens},
};

/// The most that a profile may come to as JSON, in bytes.
const PROFILE_MAX: usize = 4_096;

/// The longest refresh token that is looked at.
const REFRESH_TOKEN_MAX: usize = 128;

pub(super) fn routes() -> Routes {
    routes! { "auth"
        /// Make an account and sign in.
        ///
        /// As student or teacher; admins are made on the command line.
        POST "/auth/register" => register [
            EMAIL_TAKEN WRONG_CREDENTIALS FORBIDDEN BUSY
        ];
        /// Sign in.
        POST "/auth/login" => login [WRONG_CREDENTIALS FORBIDDEN BUSY];
        /// Trade a refresh token for the next one and a new access token.
        ///
        /// Each is good once. One that is used again later was stolen from somebody: then all of
        /// this sign-in ends.
        POST "/auth/refresh" => refresh [UNAUTHENTICATED];
        /// Sign out: the tokens of this sign-in are worth nothing from now on.
        POST "/auth/logout" => logout;
        /// Who am I?
        GET "/auth/me" => me;
        /// Change one's own name or profile.
        PUT "/auth/me" => update;
        /// Change one's own password; all other sign-ins end.
        PUT "/auth/me/password" => change_password [WRONG_CREDENTIALS BUSY];
    }
}

const TOKEN_TYPE: &str = "Bearer";

/// What it takes to stay signed in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
struct TokenResponse {
    access_token: String,
    refresh_token: String,
    #[schemars(extend("const" = TOKEN_TYPE))]
    token_type: &'static str,
    /// Of the access token, in seconds.
    expires_in: u64,
    user: UserView,
}

impl TokenResponse {
    fn new(app: &App, (user, tokens): (User, Tokens)) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            token_type: TOKEN_TYPE,
            expires_in: app.config.auth.access_token_seconds,
            user: UserView::of_oneself(user),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    #[schemars(extend("format" = "email"))]
    email: String,
    /// How long it must be at least, the operator says.
    #[schemars(length(min = 1, max = PASSWORD_MAX))]
    password: String,
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: String,
    role: Role,
}

async fn register(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    Json(body): Json<RegisterRequest>,
) -> Result<Created<TokenResponse>> {
    app.limits.check_registration(address)?;
    let registration = Registration {
        email: parse_email(&body.email).map_err(|problem| Error::invalid("email", problem))?,
        name: parse_name(&body.name).map_err(|problem| Error::invalid("name", problem))?,
        password: new_password(&app, "password", body.password)?,
        role: body.role,
    };
    let address = address.to_string();
    let signed_in = identity::register(&app, registration, &address, app.clock.now()).await?;
    Ok(Created(TokenResponse::new(&app, signed_in)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    #[schemars(extend("format" = "email"))]
    email: String,
    password: String,
}

async fn login(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    Json(body): Json<LoginRequest>,
) -> Result<Json<TokenResponse>> {
    // What cannot be an address is nobody's: answered, and limited, like any other.
    let email = parse_email(&body.email).unwrap_or_default();
    app.limits.check_login(address, &email)?;
    if check_password(&body.password, 0).is_err() {
        return Err(Error::WrongCredentials);
    }
    let address = address.to_string();
    let now = app.clock.now();
    let signed_in = identity::log_in(&app, &email, body.password, &address, now).await?;
    Ok(Json(TokenResponse::new(&app, signed_in)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    refresh_token: String,
}

async fn refresh(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    Json(body): Json<RefreshRequest>,
) -> Result<Json<TokenResponse>> {
    app.limits.check_refresh(address)?;
    if body.refresh_token.len() > REFRESH_TOKEN_MAX {
        return Err(Error::Unauthenticated("the refresh token is not valid"));
    }
    let signed_in = identity::refresh(&app, &body.refresh_token, app.clock.now()).await?;
    Ok(Json(TokenResponse::new(&app, signed_in)))
}

async fn logout(State(app): State<App>, caller: Caller) -> Result<NoContent> {
    identity::log_out(&app, &caller, app.clock.now()).await?;
    Ok(NoContent)
}

async fn me(caller: Caller) -> Json<UserView> {
    Json(UserView::of_oneself(caller.user))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProfileRequest {
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: Option<String>,
    /// Whatever clients keep about somebody. A `time_zone`, if there is one, is a name of the IANA
    /// database: a teacher's days begin and end there.
    profile: Option<serde_json::Map<String, Value>>,
}

async fn update(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<ProfileRequest>,
) -> Result<Json<UserView>> {
    let name = body.name.as_deref().map(parse_name).transpose();
    let name = name.map_err(|problem| Error::invalid("name", problem))?;
    let profile = body.profile.map(Value::Object);
    if profile.as_ref().is_some_and(|profile| profile.to_string().len() > PROFILE_MAX) {
        return Err(Error::invalid("profile", format!("must come to at most {PROFILE_MAX} bytes")));
    }
    if let Some(profile) = &profile {
        check_profile(profile).map_err(|problem| Error::invalid("profile", problem))?;
    }
    let update = ProfileUpdate { name, profile };
    let user = identity::update_profile(&app, &caller, update, app.clock.now()).await?;
    Ok(Json(UserView::of_oneself(user)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordRequest {
    current_password: String,
    /// How long it must be at least, the operator says.
    #[schemars(length(min = 1, max = PASSWORD_MAX))]
    new_password: String,
}

async fn change_password(
    State(app): State<App>,
    ClientAddr(address): ClientAddr,
    caller: Caller,
    Json(body): Json<PasswordRequest>,
) -> Result<NoContent> {
    // Guessing the current password is signing in by another door.
    app.limits.check_login(address, &caller.user.email)?;
    let new = new_password(&app, "new_password", body.new_password)?;
    let current = body.current_password;
    check_password(&current, 0).map_err(|_| Error::WrongCredentials)?;
    identity::change_password(&app, &caller, current, new, app.clock.now()).await?;
    Ok(NoContent)
}

fn new_password(app: &App, param: &'static str, password: String) -> Result<String> {
    check_password(&password, app.config.auth.password_min_length)
        .map_err(|problem| Error::invalid(param, problem))?;
    Ok(password)
}
