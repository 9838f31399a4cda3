//! Accounts: made, changed by their owner, changed by an admin.

use serde_json::Value;
use tracing::info;

use crate::{
    app::App,
    db,
    domain::user::{LoginEnd, Role, User, UserStatus},
    error::{Error, Result},
    id::UserId,
    service::identity::{Caller, Registration, tell_signed_out},
    time::Timestamp,
};

/// What somebody changes about themselves.
#[derive(Clone, Debug, Default)]
pub struct ProfileUpdate {
    pub name: Option<String>,
    pub profile: Option<Value>,
}

/// What an admin changes about somebody.
#[derive(Clone, Debug, Default)]
pub struct AdminUpdate {
    pub name: Option<String>,
    pub role: Option<Role>,
    pub status: Option<UserStatus>,
}

/// Makes an account of any role.
///
/// Also gives the hash of the password, for signing in at once.
pub async fn create_user(
    app: &App,
    registration: Registration,
    now: Timestamp,
) -> Result<(User, String)> {
    let Registration { email, name, password, role } = registration;
    let password_hash = app.passwords.hash(password).await?;
    let user = User {
        id: UserId::new(now),
        email,
        name,
        role,
        status: UserStatus::Active,
        profile: Value::Object(serde_json::Map::new()),
        created_at: now,
        updated_at: now,
    };
    let mut tx = app.db.begin().await?;
    match db::users::insert(&mut tx, &user, &password_hash).await {
        Err(error) if error.is_unique_violation() => return Err(Error::EmailTaken),
        result => result?,
    }
    tx.commit().await?;
    info!(user.id = %user.id, role = %user.role, "made account {}", user.id);
    Ok((user, password_hash))
}

/// Changes the caller's own name or profile.
pub async fn update_profile(
    app: &App,
    caller: &Caller,
    update: ProfileUpdate,
    now: Timestamp,
) -> Result<User> {
    let ProfileUpdate { name, profile } = update;
    let id = caller.user.id;
    let mut tx = app.db.begin().await?;
    db::users::update_profile(&mut tx, id, name.as_deref(), profile.as_ref(), now).await?;
    let user = db::users::find(&mut tx, id).await?.ok_or(Error::NotFound("user"))?;
    tx.commit().await?;
    Ok(user)
}

/// Gives the caller a new password and ends all their other sign-ins.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    current: String,
    new: String,
    now: Timestamp,
) -> Result<()> {
    let mut tx = app.db.read().await?;
    let found = db::users::find_by_email(&mut tx, &caller.user.email).await?;
    drop(tx);
    let (user, old_hash) = found.ok_or(Error::NotFound("user"))?;
    if !app.passwords.verify(current, Some(old_hash.clone())).await? {
        return Err(Error::WrongCredentials);
    }
    let new_hash = app.passwords.hash(new).await?;
    let mut tx = app.db.begin().await?;
    if !db::users::update_password(&mut tx, user.id, &old_hash, &new_hash, now).await? {
        return Err(Error::WrongCredentials);
    }
    let except = Some(caller.login_id);
    db::logins::end_all(&mut tx, user.id, except, LoginEnd::PasswordChanged, now).await?;
    tx.commit().await?;
    tell_signed_out(app, user.id);
    info!(user.id = %user.id, "changed the password of {}", user.id);
    Ok(())
}

/// Changes somebody's role, status or name. Whoever may no longer be here is signed out, and of
/// whoever is deleted, what they asked discovery is forgotten: nobody is left to read it or to ask
/// for that.
pub async fn update_by_admin(
    app: &App,
    admin: &Caller,
    id: UserId,
    update: AdminUpdate,
    now: Timestamp,
) -> Result<User> {
    let gives_up_own_rights = update.role.is_some_and(|role| role != Role::Admin)
        || update.status.is_some_and(|status| status != UserStatus::Active);
    if id == admin.user.id && gives_up_own_rights {
        return Err(Error::Forbidden("an admin cannot give up their own rights"));
    }
    let mut tx = app.db.begin().await?;
    let AdminUpdate { name, role, status } = update;
    if role.is_some() && db::accounts::has_money(&mut tx, id).await? {
        // Which account is somebody's follows from the role: the money would be out of reach.
        return Err(Error::invalid("role", "cannot change while there is money in the account"));
    }
    if role.is_some() && db::bonuses::has_any(&mut tx, id).await? {
        return Err(Error::invalid("role", "cannot change while a bonus may be to be paid"));
    }
    db::users::update_standing(&mut tx, id, (role, status), name.as_deref(), now).await?;
    let user = db::users::find(&mut tx, id).await?.ok_or(Error::NotFound("user"))?;
    if user.status != UserStatus::Active {
        db::logins::end_all(&mut tx, id, None, LoginEnd::EndedByAdmin, now).await?;
    }
    if user.status == UserStatus::Deleted {
        db::chats::delete_all(&mut tx, id).await?;
    }
    tx.commit().await?;
    if user.status != UserStatus::Active {
        tell_signed_out(app, id);
    }
    info!(user.id = %id, admin.id = %admin.user.id, role = %user.role, status = %user.status,
        "an admin changed account {id}");
    Ok(user)
}
