//! A real Murph in a process of its own, with students who have money and are signed in.

use std::{net::SocketAddr, process::Command};

use murph::{
    app::App,
    clock::Clock,
    config::{Config, DatabaseUrl, Secret, Sources},
    db::{self, Db, logins::NewLogin},
    domain::{
        ledger::{Account, Journal, JournalKind, Operation, Owner, Post, Transfer},
        user::{Role, User, UserStatus},
    },
    id::{LoginId, UserId},
    money::{Currency, Money},
    service::{
        identity,
        ledger::{self, Sessions},
    },
    time::Timestamp,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{TICK, machine, serving::Serving};

#[path = "../database/postgres.rs"]
mod postgres;

const SECRET: &str = "a secret of this bench, long enough, 0123";

/// People that are made in one transaction.
const CHUNK: usize = 500;

/// Open files that are not sockets of players.
const FILES_SPARE: usize = 200;

/// A running server.
pub(crate) struct Murph {
    serving: Serving,
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Vec<String>,
    pub(crate) course_id: String,
    pub(crate) video_id: String,
    _directory: tempfile::TempDir,
}

impl Murph {
    pub(crate) fn start(students: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let url = match std::env::var("MURPH_TEST_DATABASE") {
            Ok(url) => runtime.block_on(postgres::fresh(&url)),
            Err(_) => DatabaseUrl::Sqlite(directory.path().join("bench.db")),
        };
        let (teacher, tokens) = runtime.block_on(furnish(url.clone(), students));
        let data_dir = directory.path().display();
        let most = students + FILES_SPARE;
        let settings = [
            ("SERVER__DATA_DIR", data_dir.to_string()),
            ("SERVER__MAX_CONNECTIONS", most.to_string()),
            ("DATABASE__URL", url.to_string()),
            ("AUTH__SECRET", SECRET.to_owned()),
            ("METERING__TICK_MS", TICK.as_millis().to_string()),
            ("LIVE__SOCKETS_MAX", most.to_string()),
            ("LIVE__SOCKETS_PER_ADDRESS_MAX", most.to_string()),
        ];
        let serving = Serving::start(&settings);
        let address = serving.url.trim_start_matches("http://").parse().expect("an address");
        let (course_id, video_id) = runtime.block_on(make_course(address, &teacher));
        Self { serving, address, tokens, course_id, video_id, _directory: directory }
    }

    pub(crate) fn id(&self) -> u32 {
        self.serving.child.id()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        machine::memory_bytes(self.id())
    }

    /// Asks it to stop, and waits for it.
    pub(crate) fn stop(mut self) {
        let kill = Command::new("kill").arg(self.id().to_string()).status();
        assert!(kill.expect("there is a kill").success(), "Murph was there");
        assert!(self.serving.child.wait().expect("it ends").success(), "Murph stops well");
    }
}

async fn make_course(address: SocketAddr, teacher: &str) -> (String, String) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let post = |path: String, body: Value| {
        let url = format!("http://{address}/api/v1{path}");
        let request = client.post(url).bearer_auth(teacher).json(&body);
        async move {
            let response = request.send().await.expect("Murph answers");
            let made: Value = response.json().await.expect("JSON");
            made["id"].as_str().unwrap_or_else(|| panic!("not made: {made}")).to_owned()
        }
    };
    let course = json!({"title": "A course", "price_per_minute": "0.60"});
    let course_id = post("/courses".into(), course).await;
    let video = json!({"title": "A video", "duration_ms": 36_000_000});
    let video_id = post(format!("/courses/{course_id}/videos"), video).await;
    (course_id, video_id)
}

/// Makes everybody, and signs them in: the teacher's access token, and those of the students.
///
/// Not over HTTP: ten thousand passwords take minutes to hash.
async fn furnish(url: DatabaseUrl, students: usize) -> (String, Vec<String>) {
    let mut config = Config::load(Sources::default()).expect("the defaults are valid");
    config.auth.secret = Secret::new(SECRET);
    config.auth.access_token_seconds = 3_600;
    config.database.url = Some(url.clone());
    let db = Db::connect(&url, &config.database).await.expect("the database answers");
    db::migrate::up(&db).await.expect("the schema is made");
    let app = App::start(config, Clock::System, db).await.expect("Murph starts");
    let now = app.clock.now();
    let mut people = vec![person(Role::Teacher, now)];
    people.extend((0..students).map(|_| person(Role::Student, now)));
    for chunk in people.chunks(CHUNK) {
        make(&app, chunk, now).await;
    }
    let mut tokens = Vec::new();
    for user in &people {
        let refreshed = identity::refresh(&app, &refresh_token(user), now).await;
        tokens.push(refreshed.expect("somebody is signed in").1.access_token);
    }
    app.finish().await;
    let teacher = tokens.remove(0);
    (teacher, tokens)
}

async fn make(app: &App, people: &[User], now: Timestamp) {
    let mut tx = app.db.begin().await.expect("the database answers");
    let mut gifts = Vec::new();
    for user in people {
        db::users::insert(&mut tx, user, "none").await.expect("somebody is made");
        let login = NewLogin {
            id: LoginId::new(now),
            user_id: user.id,
            address: "127.0.0.1".into(),
            created_at: now,
            expires_at: now + app.config.auth.refresh_token_lifetime(),
        };
        db::logins::insert(&mut tx, &login).await.expect("a sign-in is made");
        let hash = Sha256::digest(refresh_token(user));
        db::logins::insert_token(&mut tx, &hash, login.id, now).await.expect("a token is made");
        if user.role == Role::Student {
            let wallet = Account::new(Owner::Wallet(user.id), usd());
            db::accounts::insert(&mut tx, &wallet, now).await.expect("a wallet is made");
            gifts.push(gift(user, now));
        }
    }
    ledger::apply(&mut tx, &gifts, Sessions::Read, now).await.expect("money is given");
    tx.commit().await.expect("a commit");
}

fn person(role: Role, now: Timestamp) -> User {
    let id = UserId::new(now);
    User {
        id,
        email: format!("{id}@example.org"),
        name: "Somebody".into(),
        role,
        status: UserStatus::Active,
        profile: json!({}),
        created_at: now,
        updated_at: now,
    }
}

/// Known to nobody, and good for one use.
fn refresh_token(user: &User) -> String {
    format!("the token of {}", user.id)
}

fn usd() -> Currency {
    "USD".parse().expect("a currency")
}

fn gift(student: &User, now: Timestamp) -> Operation {
    let (wallet, gateway) = (Owner::Wallet(student.id), Owner::Gateway("bench".into()));
    Operation::Post(Post {
        journal: Journal {
            id: format!("top_up:bench:{}", student.id),
            kind: JournalKind::TopUp,
            actor: None,
            at: now,
            transfers: vec![Transfer {
                debit: gateway.account(usd()),
                credit: wallet.account(usd()),
                currency: usd(),
                amount: Money::from_micros(1_000_000_000),
            }],
        },
        owners: vec![(wallet, usd()), (gateway, usd())],
        wallet_max: murph::money::AMOUNT_MAX,
        earning: None,
    })
}
