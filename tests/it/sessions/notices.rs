//! What the rest of Murph hears of: sessions started, sign-ins ended, wallets credited.

use murph::{
    bus::{Heard, Inbox, Notice},
    domain::user::{Role, UserStatus},
    id::UserId,
    money::Amount,
    service::{
        idempotency::Request,
        identity::{self, AdminUpdate, Caller, Registration},
        payments, sessions,
    },
};

use crate::{
    harness::{PASSWORD, money, start_of},
    world::{World, usd},
};

async fn register(world: &World, email: &str, role: Role) -> Caller {
    let (app, now) = (world.app(), world.clock.now());
    let registration = Registration {
        email: email.into(),
        name: "Somebody".into(),
        password: PASSWORD.into(),
        role,
    };
    let (_, tokens) = identity::register(app, registration, "192.0.2.1", now).await.unwrap();
    identity::authenticate(app, &tokens.access_token, now).await.unwrap()
}

fn heard(inbox: &mut Inbox) -> Vec<Heard> {
    std::iter::from_fn(|| inbox.try_recv().ok()).collect()
}

fn signed_out(user_id: UserId) -> Vec<Heard> {
    vec![Heard::Notice(Notice::SignedOut { user_id })]
}

#[tokio::test]
async fn whoever_starts_a_session_has_its_node_hear_of_it() {
    let world = World::with_nodes(2).await;
    let mut inboxes = [world.node(0).listen(), world.node(1).listen()];
    let student = world.student_with("30.00").await;
    let course = world.course("0.60").await;
    let now = world.clock.now();
    let session = sessions::start(world.app(), &student, &start_of(course.id), now).await.unwrap();
    assert_eq!(session.node_id, Some(world.app().node_id));
    assert_eq!(heard(&mut inboxes[0]), [Heard::Started(Box::new(session))]);
    assert_eq!(heard(&mut inboxes[1]), []);
    // What was refused is nothing to hear of.
    assert!(sessions::start(world.app(), &student, &start_of(course.id), now).await.is_err());
    assert_eq!(heard(&mut inboxes[0]), []);
    world.close().await;
}

#[tokio::test]
async fn the_end_of_a_sign_in_is_heard_everywhere() {
    let world = World::start().await;
    let (app, now) = (world.app(), world.clock.now());
    let mut inbox = app.listen();
    let ada = register(&world, "ada@example.org", Role::Student).await;
    let mut admin = register(&world, "admin@example.org", Role::Teacher).await;
    admin.user.role = Role::Admin;
    assert_eq!(heard(&mut inbox), []);

    let change = identity::change_password;
    let wrong = change(app, &ada, "another".into(), "battery staple".into(), now).await;
    assert!(wrong.is_err() && heard(&mut inbox).is_empty());
    change(app, &ada, PASSWORD.into(), "battery staple".into(), now).await.unwrap();
    assert_eq!(heard(&mut inbox), signed_out(ada.user.id));

    identity::log_out(app, &ada, now).await.unwrap();
    assert_eq!(heard(&mut inbox), signed_out(ada.user.id));

    for (status, is_heard) in
        [(UserStatus::Suspended, true), (UserStatus::Active, false), (UserStatus::Deleted, true)]
    {
        let update = AdminUpdate { status: Some(status), ..AdminUpdate::default() };
        identity::update_by_admin(app, &admin, ada.user.id, update, now).await.unwrap();
        assert_eq!(heard(&mut inbox), if is_heard { signed_out(ada.user.id) } else { vec![] });
    }
    world.close().await;
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_sign_in_for_all_to_hear() {
    let world = World::start().await;
    let (app, now) = (world.app(), world.clock.now());
    let mut inbox = app.listen();
    let registration = Registration {
        email: "ada@example.org".into(),
        name: "Ada".into(),
        password: PASSWORD.into(),
        role: Role::Student,
    };
    let (user, first) = identity::register(app, registration, "192.0.2.1", now).await.unwrap();
    let (_, second) = identity::refresh(app, &first.refresh_token, now).await.unwrap();
    identity::refresh(app, &second.refresh_token, now).await.unwrap();
    assert_eq!(heard(&mut inbox), []);
    assert!(identity::refresh(app, &first.refresh_token, now).await.is_err());
    assert_eq!(heard(&mut inbox), signed_out(user.id));
    world.close().await;
}

#[tokio::test]
async fn a_top_up_is_heard_everywhere() {
    let world = World::start().await;
    let (app, now) = (world.app(), world.clock.now());
    let mut inbox = app.listen();
    let ada = world.student_with("30.00").await;
    let amount = Amount::try_from(money("5.00")).unwrap();
    let request = || Request::new(ada.id, Some("key".into()), "top_up", &"5.00");
    let credited = vec![Heard::Notice(Notice::Credited { user_id: ada.id })];
    payments::top_up(app, &ada, (amount, usd()), request(), now).await.unwrap();
    assert_eq!(heard(&mut inbox), credited);
    let again = payments::top_up(app, &ada, (amount, usd()), request(), now).await.unwrap();
    assert!(again.replayed && heard(&mut inbox).is_empty());
    world.close().await;
}
