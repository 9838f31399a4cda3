//! Accounts and signing in: who is let in, who is let out, and who learns nothing.

mod access;
mod limits;
mod refresh;
mod tokens;

use murph::{
    db,
    domain::user::{Role, User, UserStatus},
    id::UserId,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, Reply, TestApp};

const NEW_PASSWORD: &str = "battery staple";

async fn log_in(app: &TestApp, email: &str, password: &str) -> Reply {
    app.post("/auth/login", json!({"email": email, "password": password})).await
}

async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.post("/auth/refresh", json!({"refresh_token": token})).await
}

async fn register(app: &TestApp, email: &str) -> Reply {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada", "role": "student"});
    app.post("/auth/register", body).await
}

/// Who the server thinks shows this access token.
async fn me(app: &TestApp, access_token: &str) -> Reply {
    let request = app.client.get(format!("{}/api/v1/auth/me", app.url));
    Reply::to(&Method::GET, request.bearer_auth(access_token)).await
}

async fn assert_signed_in(app: &TestApp, person: &Person) {
    me(app, &person.access_token).await.is(200);
}

/// Neither token of this sign-in is worth anything.
async fn assert_signed_out(app: &TestApp, person: &Person) {
    me(app, &person.access_token).await.refused(401, "unauthenticated");
    refresh(app, &person.refresh_token).await.refused(401, "unauthenticated");
}

/// Has an admin change somebody.
async fn change(admin: &Person, id: UserId, change: Value) -> Reply {
    admin.put(&format!("/users/{id}"), change).await
}

async fn set_status(admin: &Person, person: &Person, status: &str) {
    let reply = change(admin, person.id, json!({"status": status})).await.is(200);
    assert_eq!(reply.body["status"], status);
}

/// An answer without the id that tells it from every other.
fn without_request_id(mut reply: Reply) -> (u16, Value) {
    reply.body.as_object_mut().unwrap().remove("request_id");
    (reply.status.as_u16(), reply.body)
}

// Accounts.

#[tokio::test]
async fn who_registers_is_signed_in() {
    let app = TestApp::start().await;
    let reply = register(&app, "ada@example.org").await.is(201);
    assert_eq!(reply.body["token_type"], "Bearer");
    assert_eq!(reply.body["expires_in"], 600);
    let user = &reply.body["user"];
    assert_eq!((&user["role"], &user["status"]), (&json!("student"), &json!("active")));
    assert_eq!(user["profile"], json!({}));
    assert!(!reply.text.contains(PASSWORD) && !reply.text.contains("argon2"), "{reply:?}");

    let seen = me(&app, reply.body["access_token"].as_str().unwrap()).await.is(200);
    assert_eq!(&seen.body, user);
    app.close().await;
}

#[tokio::test]
async fn an_address_is_the_same_however_it_is_written() {
    let app = TestApp::start().await;
    let reply = register(&app, "  Ada@Example.ORG ").await.is(201);
    assert_eq!(reply.body["user"]["email"], "ada@example.org");
    for email in ["ada@example.org", "ADA@EXAMPLE.ORG", "\tada@Example.org\n"] {
        log_in(&app, email, PASSWORD).await.is(200);
        register(&app, email).await.refused(409, "email_taken");
    }
    app.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_one_address_one_gets_it() {
    let app = TestApp::start().await;
    let replies =
        futures_util::future::join_all((0..8).map(|_| register(&app, "ada@example.org"))).await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(made.len(), 1, "{replies:?}");
    for reply in refused {
        reply.refused(409, "email_taken");
    }
    app.close().await;
}

#[tokio::test]
async fn nobody_registers_as_an_admin() {
    let app = TestApp::start().await;
    let body = |role| json!({"email": "a@b.org", "password": PASSWORD, "name": "A", "role": role});
    app.post("/auth/register", body("admin")).await.refused(403, "forbidden");
    app.post("/auth/register", body("root")).await.refused(422, "invalid");
    log_in(&app, "a@b.org", PASSWORD).await.refused(401, "wrong_credentials");
    app.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    let app = TestApp::start().await;
    for (param, value) in [
        ("email", json!("nobody")),
        ("email", json!("a@b")),
        ("email", json!("a@b\u{0}.org")),
        ("email", Value::Null),
        ("password", json!("7 chars")),
        ("password", json!("x".repeat(257))),
        ("password", json!(12_345_678)),
        ("name", json!(" ")),
        ("name", json!("a\nb")),
        ("name", json!("x".repeat(101))),
        ("role", json!(["student"])),
        ("status", json!("active")),
        ("id", json!("01890000-0000-7000-8000-000000000000")),
    ] {
        let mut body = json!({
            "email": "ada@example.org", "password": PASSWORD, "name": "Ada", "role": "student",
        });
        body[param] = value;
        let reply = app.post("/auth/register", body).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], param, "{reply:?}");
    }
    register(&app, "ada@example.org").await.is(201);
    app.close().await;
}

#[tokio::test]
async fn one_changes_ones_own_name_and_profile_and_nothing_else() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    let profile = json!({"bio": "ünï ☃ 𝄞", "n": [1, null, {"deep": true}]});
    let reply = ada.put("/auth/me", json!({"name": " Ada ", "profile": profile})).await.is(200);
    assert_eq!((&reply.body["name"], &reply.body["profile"]), (&json!("Ada"), &profile));
    ada.put("/auth/me", json!({})).await.is(200);
    ada.put("/auth/me", json!({"name": null, "profile": null})).await.is(200);
    assert_eq!(ada.get("/auth/me").await.is(200).body, reply.body);

    for field in ["role", "status", "email", "id", "password"] {
        let reply = ada.put("/auth/me", json!({field: "admin"})).await;
        reply.refused(422, "invalid");
        assert_eq!(reply.body["param"], field);
    }
    assert_eq!(ada.get("/auth/me").await.body, reply.body);
    app.close().await;
}

#[tokio::test]
async fn a_profile_is_an_object_of_at_most_4_kib_without_nul() {
    let app = TestApp::start().await;
    let ada = app.student().await;
    // {"a":"…"} is eight bytes around the text.
    let of_size = |size: usize| json!({"a": "x".repeat(size - 8)});
    ada.put("/auth/me", json!({"profile": of_size(4_096)})).await.is(200);
    for profile in [
        of_size(4_097),
        json!([]),
        json!("text"),
        json!(7),
        json!(true),
        json!({"a": "\u{0}"}),
        json!({"a\u{0}": 1}),
        json!({"a": [{"b": "c\u{0}"}]}),
    ] {
        ada.put("/auth/me", json!({"profile": profile})).await.refused(422, "invalid");
    }
    let kept = ada.get("/auth/me").await;
    assert_eq!(kept.body["profile"], of_size(4_096));
    app.close().await;
}

// Signing in and out.

#[tokio::test]
async fn a_failed_sign_in_does_not_say_why() {
    let app = TestApp::start().await;
    let (admin, ada, gone) = (app.admin().await, app.student().await, app.teacher().await);
    set_status(&admin, &gone, "deleted").await;
    let unknown = without_request_id(log_in(&app, "nobody@example.org", PASSWORD).await);
    assert_eq!((unknown.0, &unknown.1["code"]), (401, &json!("wrong_credentials")));
    for (email, password) in [
        (ada.email.as_str(), "wrong horse"),
        (&ada.email, ""),
        (&ada.email, &PASSWORD.to_uppercase()),
        (&ada.email, &format!("{PASSWORD} ")),
        (&ada.email, &"x".repeat(300)),
        (&gone.email, PASSWORD),
        (&gone.email, "wrong horse"),
        ("not an address", PASSWORD),
        ("", ""),
    ] {
        let answer = without_request_id(log_in(&app, email, password).await);
        assert_eq!(answer, unknown, "{email:?} {password:?}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_logout_ends_one_sign_in_at_once() {
    let app = TestApp::start().await;
    let phone = app.student().await;
    let laptop = app.log_in(&phone.email, PASSWORD).await;
    phone.send(Method::POST, "/auth/logout", None, &[]).await.is(204);
    assert_signed_out(&app, &phone).await;
    assert_signed_in(&app, &laptop).await;
    phone.send(Method::POST, "/auth/logout", None, &[]).await.refused(401, "unauthenticated");
    app.close().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sign_ins() {
    let app = TestApp::start().await;
    let phone = app.student().await;
    let laptop = app.log_in(&phone.email, PASSWORD).await;
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let phone = &phone;
        async move { phone.put("/auth/me/password", body).await }
    };
    change("wrong horse", NEW_PASSWORD).await.refused(401, "wrong_credentials");
    let short = change(PASSWORD, "short").await;
    short.refused(422, "invalid");
    assert_eq!(short.body["param"], "new_password");
    assert_signed_in(&app, &laptop).await;

    change(PASSWORD, NEW_PASSWORD).await.is(204);
    assert_signed_out(&app, &laptop).await;
    assert_signed_in(&app, &phone).await;
    refresh(&app, &phone.refresh_token).await.is(200);
    log_in(&app, &phone.email, PASSWORD).await.refused(401, "wrong_credentials");
    log_in(&app, &phone.email, NEW_PASSWORD).await.is(200);
    app.close().await;
}

#[tokio::test]
async fn a_bcrypt_hash_lets_in_and_is_replaced() {
    let app = TestApp::start().await;
    let bcrypt = bcrypt::hash(PASSWORD, 4).unwrap();
    for (email, hash) in [
        ("b@example.org", bcrypt.clone()),
        ("y@example.org", bcrypt.replacen("$2b$", "$2y$", 1)),
        ("a@example.org", bcrypt.replacen("$2b$", "$2a$", 1)),
    ] {
        insert_user(&app, email, &hash).await;
        log_in(&app, email, "wrong horse").await.refused(401, "wrong_credentials");
        assert_eq!(hash_of(&app, email).await, hash);
        log_in(&app, email, PASSWORD).await.is(200);
        let upgraded = hash_of(&app, email).await;
        assert!(upgraded.starts_with("$argon2id$"), "{upgraded}");
        log_in(&app, email, "wrong horse").await.refused(401, "wrong_credentials");
        log_in(&app, email, PASSWORD).await.is(200);
        assert_eq!(hash_of(&app, email).await, upgraded);
    }
    app.close().await;
}

async fn insert_user(app: &TestApp, email: &str, password_hash: &str) {
    let now = app.now();
    let user = User {
        id: UserId::new(now),
        email: email.into(),
        name: "From before".into(),
        role: Role::Student,
        status: UserStatus::Active,
        profile: json!({}),
        created_at: now,
        updated_at: now,
    };
    let mut tx = app.app.db.begin().await.unwrap();
    db::users::insert(&mut tx, &user, password_hash).await.unwrap();
    tx.commit().await.unwrap();
}

async fn hash_of(app: &TestApp, email: &str) -> String {
    let mut tx = app.app.db.read().await.unwrap();
    db::users::find_by_email(&mut tx, email).await.unwrap().unwrap().1
}

// What admins do.

#[tokio::test]
async fn a_suspension_holds_at_once_and_until_it_is_lifted() {
    let app = TestApp::start().await;
    let (admin, ada) = (app.admin().await, app.student().await);
    let laptop = app.log_in(&ada.email, PASSWORD).await;
    set_status(&admin, &ada, "suspended").await;
    assert_signed_out(&app, &ada).await;
    assert_signed_out(&app, &laptop).await;
    log_in(&app, &ada.email, PASSWORD).await.refused(403, "forbidden");
    // Only who knows the password learns of it.
    log_in(&app, &ada.email, "wrong horse").await.refused(401, "wrong_credentials");

    set_status(&admin, &ada, "active").await;
    assert_signed_out(&app, &ada).await;
    log_in(&app, &ada.email, PASSWORD).await.is(200);
    app.close().await;
}

#[tokio::test]
async fn who_was_deleted_is_gone_for_all_but_admins() {
    let app = TestApp::start().await;
    let (admin, ada, other) = (app.admin().await, app.student().await, app.teacher().await);
    let path = format!("/users/{}", ada.id);
    other.get(&path).await.is(200);
    set_status(&admin, &ada, "deleted").await;
    assert_signed_out(&app, &ada).await;
    other.get(&path).await.refused(404, "not_found");
    assert_eq!(admin.get(&path).await.is(200).body["status"], "deleted");
    register(&app, &ada.email).await.refused(409, "email_taken");
    app.close().await;
}

#[tokio::test]
async fn an_admin_cannot_give_up_their_own_rights() {
    let app = TestApp::start().await;
    let (admin, other) = (app.admin().await, app.admin().await);
    for gift in
        [json!({"role": "teacher"}), json!({"status": "suspended"}), json!({"status": "deleted"})]
    {
        change(&admin, admin.id, gift).await.refused(403, "forbidden");
    }
    change(&admin, admin.id, json!({"name": "Boss", "role": "admin"})).await.is(200);
    assert_signed_in(&app, &admin).await;
    set_status(&admin, &other, "suspended").await;
    assert_signed_out(&app, &other).await;
    app.close().await;
}

#[tokio::test]
async fn a_new_role_holds_for_tokens_that_are_out() {
    let app = TestApp::start().await;
    let (admin, ada) = (app.admin().await, app.student().await);
    let check = "/admin/ledger/check";
    ada.get(check).await.refused(403, "forbidden");
    change(&admin, ada.id, json!({"role": "admin"})).await.is(200);
    ada.get(check).await.is(200);
    change(&admin, ada.id, json!({"role": "student"})).await.is(200);
    ada.get(check).await.refused(403, "forbidden");
    app.close().await;
}
