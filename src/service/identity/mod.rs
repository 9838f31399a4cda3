//! Who somebody is: accounts, sign-ins, tokens.
//!
//! An access token lives for minutes and is checked against the sign-in it comes from, so that a
//! logout, a suspension or a new password holds at once. A refresh token is used once; its use
//! gives the next one of its chain, and a second use ends the chain.

mod keys;
mod passwords;
mod profiles;
mod tokens;

use sha2::{Digest, Sha256};
use tracing::{info, warn};

pub use self::{
    keys::Keys,
    passwords::Passwords,
    profiles::{
        AdminUpdate, ProfileUpdate, change_password, create_user, update_by_admin, update_profile,
    },
};
use crate::{
    app::App,
    bus::{Notice, To},
    db::{self, Tx, logins::NewLogin},
    domain::user::{LoginEnd, Role, User, UserStatus},
    error::{Error, OrLog, Result},
    id::{LoginId, UserId},
    time::Timestamp,
};

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: User,
    pub login_id: LoginId,
}

/// What a client needs to stay signed in.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
}

/// A new account, as asked for. The fields are checked already.
#[derive(Clone, Debug)]
pub struct Registration {
    pub email: String,
    pub name: String,
    pub password: String,
    pub role: Role,
}

/// Makes an account and signs it in.
pub async fn register(
    app: &App,
    registration: Registration,
    address: &str,
    now: Timestamp,
) -> Result<(User, Tokens)> {
    if registration.role == Role::Admin {
        return Err(Error::Forbidden("admins are made on the command line"));
    }
    let (user, hash) = create_user(app, registration, now).await?;
    let tokens = sign_in(app, user.id, &hash, address, now).await?;
    Ok((user, tokens))
}

/// Signs in by e-mail address and password. Whoever does not know both learns nothing about
/// either, not even by the time it takes.
pub async fn log_in(
    app: &App,
    email: &str,
    password: String,
    address: &str,
    now: Timestamp,
) -> Result<(User, Tokens)> {
    let found = db::users::find_by_email(&mut app.db.read().await?, email).await?;
    let hash = found.as_ref().map(|(_, hash)| hash.clone());
    let is_right = app.passwords.verify(password.clone(), hash).await?;
    let Some((user, mut hash)) = found.filter(|_| is_right) else {
        info!(address, "a sign-in failed");
        return Err(Error::WrongCredentials);
    };
    match user.status {
        UserStatus::Active => {}
        UserStatus::Suspended => return Err(Error::Forbidden("this account is suspended")),
        UserStatus::Deleted => return Err(Error::WrongCredentials),
    }
    if passwords::is_outdated(&hash) {
        let upgraded = upgrade(app, user.id, password, &hash, now).await;
        hash = upgraded.or_log("upgrading a password hash").unwrap_or(hash);
    }
    let tokens = sign_in(app, user.id, &hash, address, now).await?;
    Ok((user, tokens))
}

async fn upgrade(
    app: &App,
    user: UserId,
    password: String,
    old_hash: &str,
    now: Timestamp,
) -> Result<String> {
    let new_hash = app.passwords.hash(password).await?;
    let mut tx = app.db.begin().await?;
    db::users::update_password(&mut tx, user, old_hash, &new_hash, now).await?;
    tx.commit().await?;
    Ok(new_hash)
}

/// Begins a sign-in of somebody whose password is the one behind `hash`, if it still is: checking
/// it took a while, in which it may have been changed, or the account suspended.
async fn sign_in(
    app: &App,
    user_id: UserId,
    hash: &str,
    address: &str,
    now: Timestamp,
) -> Result<Tokens> {
    let refresh_token = keys::random_text()?;
    let expires_at = now + app.config.auth.refresh_token_lifetime();
    let id = LoginId::new(now);
    let login = NewLogin { id, user_id, address: address.to_owned(), created_at: now, expires_at };
    let mut tx = app.db.begin().await?;
    if !db::users::lock_with_password(&mut tx, user_id, hash).await? {
        return Err(Error::WrongCredentials);
    }
    db::logins::insert(&mut tx, &login).await?;
    db::logins::insert_token(&mut tx, &hash_of(&refresh_token), id, now).await?;
    tx.commit().await?;
    info!(user.id = %user_id, login.id = %id, "signed in {user_id}");
    let access_token = tokens::issue(&app.keys, &app.config.auth, user_id, id, now)?;
    Ok(Tokens { access_token, refresh_token })
}

/// Trades a refresh token for the next one and a new access token.
///
/// The first use wins. For some seconds the same trade may be asked for again, as long as its
/// result was not used: an answer may get lost. After that a second use means that the token was
/// stolen, and the whole sign-in ends.
pub async fn refresh(app: &App, token: &str, now: Timestamp) -> Result<(User, Tokens)> {
    const REFUSED: Error = Error::Unauthenticated("the refresh token is not valid");
    let token_hash = hash_of(token);
    let mut tx = app.db.begin().await?;
    let found = db::logins::find_token(&mut tx, &token_hash).await?.ok_or(REFUSED)?;
    if found.ended_at.is_some() || found.expires_at <= now {
        return Err(REFUSED);
    }
    let user = db::users::find(&mut tx, found.user_id).await?.ok_or(REFUSED)?;
    if user.status != UserStatus::Active {
        return Err(REFUSED);
    }

    let successor = app.keys.successor(token);
    let successor_hash = hash_of(&successor);
    if db::logins::use_token(&mut tx, &token_hash, now).await? {
        db::logins::insert_token(&mut tx, &successor_hash, found.login_id, now).await?;
        let expires_at = now + app.config.auth.refresh_token_lifetime();
        db::logins::prolong(&mut tx, found.login_id, expires_at).await?;
    } else if !may_repeat(app, &mut tx, &found, &successor_hash, now).await? {
        db::logins::end(&mut tx, found.login_id, LoginEnd::TokenReused, now).await?;
        tx.commit().await?;
        tell_signed_out(app, user.id);
        warn!(user.id = %user.id, login.id = %found.login_id, "a refresh token was used twice");
        return Err(REFUSED);
    }
    tx.commit().await?;
    let access_token = tokens::issue(&app.keys, &app.config.auth, user.id, found.login_id, now)?;
    Ok((user, Tokens { access_token, refresh_token: successor }))
}

async fn may_repeat(
    app: &App,
    tx: &mut Tx,
    token: &db::logins::RefreshToken,
    successor_hash: &[u8],
    now: Timestamp,
) -> Result<bool> {
    // Nobody had used it when it was read: somebody else did in this very moment.
    let used_at = token.used_at.unwrap_or(now);
    let successor = db::logins::find_token(tx, successor_hash).await?;
    let is_unused = successor.is_some_and(|successor| successor.used_at.is_none());
    Ok(is_unused && now.since(used_at) <= app.config.auth.refresh_repeat())
}

/// Ends a sign-in: its refresh tokens and its access tokens are worth nothing from now on.
pub async fn log_out(app: &App, caller: &Caller, now: Timestamp) -> Result<()> {
    let mut tx = app.db.begin().await?;
    db::logins::end(&mut tx, caller.login_id, LoginEnd::LoggedOut, now).await?;
    tx.commit().await?;
    tell_signed_out(app, caller.user.id);
    info!(user.id = %caller.user.id, login.id = %caller.login_id, "signed out {}", caller.user.id);
    Ok(())
}

/// Has every node look which sessions of `user_id` are of a sign-in that has ended.
fn tell_signed_out(app: &App, user_id: UserId) {
    app.bus.publish(To::All, Notice::SignedOut { user_id });
}

/// Whose access token this is, if the sign-in it comes from still stands.
pub async fn authenticate(app: &App, token: &str, now: Timestamp) -> Result<Caller> {
    let claims = tokens::check(&app.keys, &app.config.auth, token, now)?;
    let user = find_signed_in(app, claims.sub, claims.sid, now).await?;
    let user = user.ok_or(Error::Unauthenticated("you were signed out"))?;
    Ok(Caller { user, login_id: claims.sid })
}

/// The user, if this sign-in of theirs still stands and they may do anything at all.
pub async fn find_signed_in(
    app: &App,
    user_id: UserId,
    login_id: LoginId,
    now: Timestamp,
) -> Result<Option<User>> {
    let mut tx = app.db.read().await?;
    let user = db::users::find_signed_in(&mut tx, user_id, login_id, now).await?;
    Ok(user.filter(|user| user.status == UserStatus::Active))
}

/// Only this is kept of a refresh token.
fn hash_of(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}
