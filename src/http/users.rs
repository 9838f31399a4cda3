//! `/api/v1/users`: what everybody sees of somebody, and what an admin changes.

use axum::{Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::App,
    db,
    domain::user::{Role, User, UserStatus, parse_name},
    error::{Error, Result},
    http::extract::{Admin, Caller, Json, Path},
    id::UserId,
    service::identity::{self, AdminUpdate},
    time::Timestamp,
};

pub fn routes() -> Router<App> {
    Router::new().route("/users/{user_id}", get(show).put(update))
}

/// Somebody, as seen by themselves or an admin; what others may not see is left out for them.
#[derive(Serialize)]
pub(super) struct UserView {
    id: UserId,
    name: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<UserStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Value>,
    created_at: Timestamp,
}

impl UserView {
    pub(super) fn of_oneself(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            role: user.role,
            email: Some(user.email),
            status: Some(user.status),
            profile: Some(user.profile),
            created_at: user.created_at,
        }
    }

    fn public(user: User) -> Self {
        Self { email: None, status: None, profile: None, ..Self::of_oneself(user) }
    }
}

/// Somebody's public profile.
async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<UserView>> {
    let user = db::users::find(&mut app.db.read().await?, id).await?;
    let sees_all = caller.user.role == Role::Admin || caller.user.id == id;
    let user = user.filter(|user| sees_all || user.status != UserStatus::Deleted);
    let user = user.ok_or(Error::NotFound("user"))?;
    Ok(Json(if sees_all { UserView::of_oneself(user) } else { UserView::public(user) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateRequest {
    name: Option<String>,
    role: Option<Role>,
    status: Option<UserStatus>,
}

/// Change somebody's role, status or name.
async fn update(
    State(app): State<App>,
    Admin(admin): Admin,
    Path(id): Path<UserId>,
    Json(body): Json<UpdateRequest>,
) -> Result<Json<UserView>> {
    let name = body.name.as_deref().map(parse_name).transpose();
    let name = name.map_err(|problem| Error::invalid("name", problem))?;
    let update = AdminUpdate { name, role: body.role, status: body.status };
    let user = identity::update_by_admin(&app, &admin, id, update, app.clock.now()).await?;
    Ok(Json(UserView::of_oneself(user)))
}
