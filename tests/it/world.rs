//! Murph without a front: one or more nodes on one database, and people and courses that are put
//! there directly, because hashing passwords would be most of the work of a test.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use murph::{
    app::App,
    clock::Clock,
    config::{Config, DatabaseUrl},
    db::{self, Db, Tx},
    domain::{
        course::{Course, Split},
        ledger::{
            Account, Done, Extend, Journal, JournalKind, Operation, Owner, Post, Settle, Start,
            Transfer, payout_id, top_up_id,
        },
        session::{EndReason, Session, Terms},
        user::{Role, User, UserStatus},
    },
    error::Result,
    id::{PayoutId, SessionId, UserId},
    money::{BasisPoints, Currency, Money},
    service::{check, ledger},
    time::Timestamp,
};
use sqlx::AssertSqlSafe;

use crate::harness::{TestDatabase, money};

/// Who brings money in and takes it out.
pub(crate) const GATEWAY: &str = "test";

pub(crate) struct World {
    pub(crate) nodes: Vec<App>,
    pub(crate) clock: Clock,
    pub(crate) database: TestDatabase,
}

/// When every world begins.
pub(crate) fn dawn() -> Timestamp {
    Timestamp::from_micros(1_795_176_000_000_000).unwrap()
}

pub(crate) fn usd() -> Currency {
    "USD".parse().unwrap()
}

impl World {
    /// One node on a database of its own.
    pub(crate) async fn start() -> Self {
        Self::with_nodes(1).await
    }

    pub(crate) async fn with_nodes(count: usize) -> Self {
        Self::start_on(TestDatabase::migrated().await, count, |_| {}).await
    }

    pub(crate) async fn start_on(
        database: TestDatabase,
        nodes: usize,
        change: impl Fn(&mut Config),
    ) -> Self {
        let clock = Clock::manual(dawn());
        let mut config = database.config();
        change(&mut config);
        let mut world = Self { nodes: Vec::new(), clock, database };
        for _ in 0..nodes {
            let node = start_node(&world.database.url, config.clone(), &world.clock).await;
            world.nodes.push(node);
        }
        world
    }

    /// The only node, or the first.
    pub(crate) fn app(&self) -> &App {
        &self.nodes[0]
    }

    /// One node after the other.
    pub(crate) fn node(&self, nth: usize) -> &App {
        &self.nodes[nth % self.nodes.len()]
    }

    pub(crate) async fn student(&self) -> User {
        insert_user(&self.app().db, Role::Student).await
    }

    pub(crate) async fn teacher(&self) -> User {
        insert_user(&self.app().db, Role::Teacher).await
    }

    /// A student with `amount` in the wallet.
    pub(crate) async fn student_with(&self, amount: &str) -> User {
        let student = self.student().await;
        open_wallet(&self.app().db, &student).await;
        top_up(self.app(), student.id, money(amount)).await.unwrap();
        student
    }

    /// A course of a new teacher, of which the platform gets a tenth.
    pub(crate) async fn course(&self, price: &str) -> Course {
        let split = Split { platform: BasisPoints::new(1_000).unwrap(), partners: vec![] };
        self.course_with(price, split).await
    }

    pub(crate) async fn course_with(&self, price: &str, split: Split) -> Course {
        let teacher = self.teacher().await;
        insert_course(&self.app().db, teacher.id, money(price), split).await
    }

    /// What an account has: posted and held.
    pub(crate) async fn balance(&self, owner: Owner) -> (Money, Money) {
        let mut tx = self.app().db.read().await.unwrap();
        let account = db::accounts::find(&mut tx, owner.account(usd())).await.unwrap();
        account.map_or_else(Default::default, |account| (account.posted, account.held))
    }

    pub(crate) async fn find(&self, id: SessionId) -> Session {
        let mut tx = self.app().db.read().await.unwrap();
        db::sessions::find(&mut tx, id).await.unwrap().unwrap()
    }

    /// Changes the database behind Murph's back.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut tx = self.app().db.begin().await.unwrap();
        execute(&mut tx, sql).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &mut self.app().db.begin().await.unwrap() {
            Tx::Sqlite(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
            Tx::Postgres(tx) => sqlx::query_scalar(sql).fetch_one(&mut **tx).await.unwrap(),
            Tx::SqliteRead(_) | Tx::PostgresRead(_) => unreachable!("it may write"),
        }
    }

    /// Stops all nodes. Fails if the books do not balance.
    pub(crate) async fn close(self) {
        assert_balanced(&self.app().db).await;
        for node in &self.nodes {
            node.finish().await;
        }
        self.database.remove().await;
    }
}

pub(crate) async fn assert_balanced(db: &Db) {
    let report = check::check(db).await.unwrap();
    assert!(report.balanced, "the books do not balance: {:#?}", report.findings);
}

pub(crate) async fn start_node(url: &DatabaseUrl, config: Config, clock: &Clock) -> App {
    let db = Db::connect(url, &config.database).await.unwrap();
    App::start(config, clock.clone(), db).await.unwrap()
}

/// Runs any SQL, also several statements.
pub(crate) async fn execute(tx: &mut Tx, sql: &str) -> sqlx::Result<()> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match tx {
        Tx::Sqlite(tx) => sql.execute(&mut **tx).await.map(drop),
        Tx::Postgres(tx) => sql.execute(&mut **tx).await.map(drop),
        Tx::SqliteRead(_) | Tx::PostgresRead(_) => unreachable!("it may write"),
    }
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

pub(crate) async fn insert_user(db: &Db, role: Role) -> User {
    let id = UserId::new(dawn());
    let user = User {
        id,
        email: format!("{}@example.org", id.uuid().simple()),
        name: "Somebody".into(),
        role,
        status: UserStatus::Active,
        profile: serde_json::json!({}),
        created_at: dawn(),
        updated_at: dawn(),
    };
    let mut tx = db.begin().await.unwrap();
    db::users::insert(&mut tx, &user, "no password").await.unwrap();
    tx.commit().await.unwrap();
    user
}

pub(crate) async fn open_wallet(db: &Db, student: &User) {
    let account = Account::new(Owner::Wallet(student.id), usd());
    let mut tx = db.begin().await.unwrap();
    db::accounts::insert(&mut tx, &account, dawn()).await.unwrap();
    tx.commit().await.unwrap();
}

pub(crate) async fn insert_course(db: &Db, teacher: UserId, price: Money, split: Split) -> Course {
    let course = Course::offered(teacher, "A course", (price, usd()), split, dawn());
    let mut tx = db.begin().await.unwrap();
    db::courses::insert(&mut tx, &course).await.unwrap();
    tx.commit().await.unwrap();
    course
}

/// Money from one owner to another, by a journal of its own.
pub(crate) fn post_between(kind: JournalKind, id: String, ends: [Owner; 2], amount: Money) -> Post {
    let [debit, credit] = ends.each_ref().map(|owner| owner.account(usd()));
    let transfers = vec![Transfer { debit, credit, currency: usd(), amount }];
    Post {
        journal: Journal { id, kind, actor: None, at: dawn(), transfers },
        owners: ends.map(|owner| (owner, usd())).into(),
        wallet_max: money("1000000.00"),
        earning: None,
    }
}

pub(crate) fn top_up_of(student: UserId, amount: Money) -> Post {
    let id = top_up_id(GATEWAY, &format!("{}-{}", std::process::id(), next()));
    let ends = [Owner::Gateway(GATEWAY.into()), Owner::Wallet(student)];
    post_between(JournalKind::TopUp, id, ends, amount)
}

pub(crate) fn payout_of(teacher: UserId, amount: Money) -> Post {
    let ends = [Owner::Earnings(teacher), Owner::Gateway(GATEWAY.into())];
    post_between(JournalKind::Payout, payout_id(PayoutId::new(dawn())), ends, amount)
}

/// Posts in a transaction of its own.
pub(crate) async fn post(app: &App, post: Post) -> Result<()> {
    let mut tx = app.db.begin().await?;
    ledger::post(&mut tx, post, app.clock.now()).await?;
    tx.commit().await
}

/// The same, again if the database asks for it, as a client would.
pub(crate) async fn post_patiently(app: &App, what: Post) -> Result<()> {
    loop {
        match post(app, what.clone()).await {
            Err(error) if error.is_conflict() => {}
            outcome => return outcome,
        }
    }
}

pub(crate) async fn top_up(app: &App, student: UserId, amount: Money) -> Result<()> {
    post(app, top_up_of(student, amount)).await
}

/// A session that is to be, at the course's terms, charged from the first millisecond.
pub(crate) fn draft(student: UserId, course: &Course) -> Session {
    Session::open(
        student,
        (course.id, course.teacher_id),
        Terms {
            price_per_minute: course.price_per_minute,
            currency: course.currency,
            split: course.split.clone(),
            free_below: Duration::ZERO,
            spending_cap: None,
            auto_extend: true,
        },
        dawn(),
    )
}

pub(crate) fn start_with(session: Session, lock_amount: &str) -> Operation {
    let lock_amount = money(lock_amount);
    Operation::Start(Start { session, lock_amount, min_watch: Duration::from_mins(1), once: None })
}

pub(crate) fn start_for(student: UserId, course: &Course) -> Operation {
    start_with(draft(student, course), "30.00")
}

pub(crate) fn extend_by(session: &Session, amount: &str) -> Operation {
    Operation::Extend(Extend { session: session.clone(), amount: money(amount), or_less: false })
}

pub(crate) fn settle_after(session: &Session, watched: Duration) -> Operation {
    let at = session.started_at + watched;
    Operation::Settle(Settle {
        session: session.clone(),
        watched,
        stretches: vec![],
        reason: EndReason::EndedByStudent,
        actor: Some(session.student_id),
        at,
    })
}

/// The session an operation came to.
#[track_caller]
pub(crate) fn session_of(outcome: Result<Done>) -> Session {
    match outcome {
        Ok(Done::Started(session) | Done::Extended(session)) => session,
        Ok(Done::Settled(settled)) => settled.session,
        other => panic!("no session came of it: {other:?}"),
    }
}
