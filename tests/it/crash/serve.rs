//! The real program, killed under load over HTTP. Requests carry keys, so each can be sent again:
//! those that were answered get the same answer, those that were not are done once.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::join_all;
use murph::{
    db::Db,
    domain::ledger::{JournalKind, Owner},
    id::UserId,
    service::ledger,
};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{Dice, rounds, wait_until};
use crate::{
    cli::program::Place,
    harness::{PASSWORD, TestDatabase, money},
    world::{GATEWAY, assert_balanced, dawn, post_between},
};

const STUDENTS: usize = 4;

/// What the teacher has, to be paid out by one.
const EARNINGS: &str = "100000.00";

/// A server is killed after at most so many answers.
const ANSWERS_MAX: u64 = 200;

const TOP_UPS: &str = "/payments/wallet/top-ups";
const PAYOUTS: &str = "/payments/payouts";

/// Somebody who is signed in.
#[derive(Clone)]
struct Login {
    id: UserId,
    email: String,
    token: String,
}

/// A request that was sent, and what was answered, if anything was.
struct Sent {
    token: String,
    path: &'static str,
    key: String,
    answer: Option<String>,
}

#[derive(Default)]
struct Load {
    client: Client,
    url: Mutex<String>,
    requests: Mutex<Vec<Sent>>,
    registered: Mutex<Vec<String>>,
    answers: AtomicU64,
}

impl Load {
    fn request(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = self.url.lock().unwrap().clone();
        self.client.post(format!("{url}/api/v1{path}")).json(body)
    }

    /// `None` if the server was gone before it had answered.
    async fn text(&self, request: RequestBuilder, expected: StatusCode) -> Option<String> {
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        assert_eq!(status, expected, "{text}");
        self.answers.fetch_add(1, Ordering::SeqCst);
        Some(text)
    }

    async fn register(&self, role: &str) -> Option<Login> {
        let email = format!("{}@example.org", UserId::new(dawn()));
        let body = json!({"email": email, "password": PASSWORD, "name": "A", "role": role});
        let answer = self.text(self.request("/auth/register", &body), StatusCode::CREATED).await?;
        self.registered.lock().unwrap().push(email.clone());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let id = serde_json::from_value(answer["user"]["id"].clone()).unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Some(Login { id, email, token })
    }

    async fn send(&self, token: &str, path: &str, key: &str) -> Option<String> {
        let request = self.request(path, &json!({"amount": "1.00"}));
        let request = request.bearer_auth(token).header("idempotency-key", key);
        self.text(request, StatusCode::CREATED).await
    }

    /// One unit after the other, until the server is gone.
    async fn send_all(&self, who: &Login, path: &'static str) {
        for nth in 0.. {
            let (token, key) = (who.token.clone(), format!("{}-{nth}", UserId::new(dawn())));
            let answer = self.send(&token, path, &key).await;
            let is_last = answer.is_none();
            self.requests.lock().unwrap().push(Sent { token, path, key, answer });
            if is_last {
                return;
            }
        }
    }

    async fn study(&self) -> Option<()> {
        let student = self.register("student").await?;
        let connect = self.request("/payments/wallet/connect", &json!({}));
        self.text(connect.bearer_auth(&student.token), StatusCode::CREATED).await?;
        self.send_all(&student, TOP_UPS).await;
        None
    }

    /// Until the server is gone.
    async fn run(&self, teacher: &Login) {
        let students = join_all((0..STUDENTS).map(|_| self.study()));
        let registrations = async { while self.register("teacher").await.is_some() {} };
        tokio::join!(students, registrations, self.send_all(teacher, PAYOUTS));
    }

    /// Everything again: the same answers, and what was not answered is answered now.
    async fn repeat(&self, from: usize) {
        let count = self.requests.lock().unwrap().len();
        for nth in from..count {
            let (token, path, key, before) = {
                let sent = &self.requests.lock().unwrap()[nth];
                (sent.token.clone(), sent.path, sent.key.clone(), sent.answer.clone())
            };
            let again = self.send(&token, path, &key).await.expect("the server is there");
            if let Some(before) = before {
                assert_eq!(again, before, "{path} {key}");
            }
            self.requests.lock().unwrap()[nth].answer = Some(again);
        }
    }

    /// Everybody whose request was counted has exactly that.
    async fn assert_counted(&self, teacher: &Login) {
        let mut counts = std::collections::BTreeMap::<String, i64>::new();
        for sent in self.requests.lock().unwrap().iter() {
            *counts.entry(sent.token.clone()).or_default() += 1;
        }
        for (token, count) in counts {
            let url = self.url.lock().unwrap().clone();
            let balance = format!("{url}/api/v1/payments/wallet/balance");
            let answer = self.client.get(balance).bearer_auth(&token).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            let whole = if token == teacher.token { 100_000 - count } else { count };
            assert_eq!(answer["posted"], format!("{whole}.00"), "after {count} requests");
        }
    }

    async fn assert_registered(&self) {
        let registered = std::mem::take(&mut *self.registered.lock().unwrap());
        for email in registered {
            let body = json!({"email": email, "password": PASSWORD});
            let login = self.text(self.request("/auth/login", &body), StatusCode::OK).await;
            assert!(login.is_some(), "{email}");
        }
    }
}

/// Money for the teacher that did not come by a session.
async fn give_earnings(db: &Db, teacher: &Login) {
    let ends = [Owner::Gateway(GATEWAY.into()), Owner::Earnings(teacher.id)];
    let id = format!("reversal:{}", teacher.email);
    let given = post_between(JournalKind::Reversal, id, ends, money(EARNINGS));
    let mut tx = db.begin().await.unwrap();
    ledger::post(&mut tx, given, dawn()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9_of_the_program() {
    let mut dice = Dice::new();
    let database = TestDatabase::migrated().await;
    let place = Place::on(&database)
        .with("auth.register_per_hour_per_address", "1000000")
        .with("auth.login_per_minute_per_address", "1000000")
        .with("money.payout_min", "0.01");
    let client = Client::builder().no_proxy().build().unwrap();
    let load = Load { client, ..Load::default() };
    let mut serving = place.serve(&["serve"]);
    *load.url.lock().unwrap() = serving.url();
    let teacher = load.register("teacher").await.expect("the server is there");
    let db = database.connect().await;
    give_earnings(&db, &teacher).await;

    for _ in 0..rounds() {
        let before = load.requests.lock().unwrap().len();
        let enough = load.answers.load(Ordering::SeqCst) + dice.roll(ANSWERS_MAX);
        let killer = async {
            let answers = || load.answers.load(Ordering::SeqCst);
            wait_until("under load", async || answers() >= enough).await;
            // Nobody asks it to stop.
            drop(serving);
        };
        tokio::join!(load.run(&teacher), killer);

        serving = place.serve(&["serve"]);
        *load.url.lock().unwrap() = serving.url();
        load.repeat(before).await;
        load.assert_counted(&teacher).await;
        load.assert_registered().await;
        assert_balanced(&db).await;
    }
    db.close().await;
    drop(serving);
    database.remove().await;
}
