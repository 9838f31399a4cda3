//! `/api/v1/users`: what everybody sees of somebody, and what an admin changes.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    app::App,
    db,
    domain::user::{NAME_MAX, Role, User, UserStatus, parse_name},
    error::{Error, Result},
    http::{
        extract::{Admin, Caller, Json, Path},
        openapi::{Routes, routes},
    },
    id::UserId,
    service::identity::{self, AdminUpdate},
    time::Timestamp,
};

pub(super) fn routes() -> Routes {
    routes! { "users"
        /// Somebody's public profile.
        ///
        /// One's own, and any to an admin, has also what others may not see.
        GET "/users/{user_id}" => show;
        /// Change somebody's role, status or name.
        PUT "/users/{user_id}" => update;
    }
}

/// Somebody, as seen by themselves or an admin; what others may not see is left out for them.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserView {
    id: UserId,
    name: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "email"))]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UserStatus")]
    status: Option<UserStatus>,
    /// Whatever clients keep here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserRequest {
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: Option<String>,
    role: Option<Role>,
    status: Option<UserStatus>,
}

async fn update(
    State(app): State<App>,
    Admin(admin): Admin,
    Path(id): Path<UserId>,
    Json(body): Json<UserRequest>,
) -> Result<Json<UserView>> {
    let name = body.name.as_deref().map(parse_name).transpose();
    let name = name.map_err(|problem| Error::invalid("name", problem))?;
    let update = AdminUpdate { name, role: body.role, status: body.status };
    let user = identity::update_by_admin(&app, &admin, id, update, app.clock.now()).await?;
    Ok(Json(UserView::of_oneself(user)))
}
