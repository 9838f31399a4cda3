//! The baseline: what one would write without a writer. Each operation is a transaction of its
//! own, with conditional updates and no more statements than it needs.

use std::{str::FromStr, time::Duration};

use murph::{
    config::DatabaseUrl,
    domain::{
        earnings::quarter_of,
        ledger::{Owner, settle_id},
    },
    id::SessionId,
};
use sqlx::{
    PgPool, SqlitePool,
    pool::PoolOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::ground::{Ground, HELD, PRICE, Seat, WATCHED, usd};

#[derive(Debug)]
pub(crate) enum Plain {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

const HOLD: &str = "UPDATE accounts SET held = held + $2 WHERE id = $1 AND posted - held >= $2";

const OPEN: &str = "
    INSERT INTO sessions (id, student_id, course_id, teacher_id, currency, price_per_minute,
      platform_basis_points, partners, free_below_ms, auto_extend, wallet_id, held, status, fence,
      watched_ms, cost, started_at)
    VALUES ($1, $2, $3, $4, 'USD', $5, 1000, '[]', 0, true, $6, $7, 'active', 1, 0, 0, $8)";

const JOURNAL: &str = "INSERT INTO journals (id, kind, at) VALUES ($1, 'settle', $2)";

const CLOSE: &str = "
    UPDATE sessions SET status = 'completed', watched_ms = $2, cost = $3, ended_at = $4,
           end_reason = 'ended_by_student', journal_id = $5
     WHERE id = $1 AND status = 'active' AND fence = 1";

const PAY: &str = "
    INSERT INTO transfers (journal_id, seq, debit_account_id, credit_account_id, currency, amount, at)
    VALUES ($1, 0, $2, $3, 'USD', $5, $7), ($1, 1, $2, $4, 'USD', $6, $7)";

const CHARGE: &str = "UPDATE accounts SET posted = posted - $2, held = held - $3 WHERE id = $1";

const CREDIT: &str = "
    INSERT INTO accounts (id, kind, user_id, currency, posted, created_at)
    VALUES ($1, $2, $3, 'USD', $4, $5)
        ON CONFLICT (id) DO UPDATE SET posted = accounts.posted + excluded.posted";

const QUARTER: &str = "
    INSERT INTO earnings_quarters AS e
      (teacher_id, currency, quarter, course_id, sessions, watched_ms, paid, earned, bonus)
    VALUES ($1, 'USD', $2, $3, 1, $4, $5, $6, 0)
        ON CONFLICT (teacher_id, currency, quarter, course_id) DO UPDATE
       SET sessions = e.sessions + excluded.sessions,
           watched_ms = e.watched_ms + excluded.watched_ms,
           paid = e.paid + excluded.paid, earned = e.earned + excluded.earned";

const COURSE: &str = "
    INSERT INTO course_earnings AS e
      (course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus)
    VALUES ($1, 'USD', $2, 1, $3, $4, $5, 0)
        ON CONFLICT (course_id, currency) DO UPDATE
       SET sessions = e.sessions + excluded.sessions,
           watched_ms = e.watched_ms + excluded.watched_ms,
           paid = e.paid + excluded.paid, earned = e.earned + excluded.earned";

/// Runs one transaction on either database.
macro_rules! transaction {
    ($self:expr, $tx:ident => $work:block) => {
        match $self {
            Plain::Sqlite(pool) => {
                let mut $tx = pool.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
                $work
                $tx.commit().await.expect("a commit");
            }
            Plain::Postgres(pool) => {
                let mut $tx = pool.begin().await.expect("a transaction");
                $work
                $tx.commit().await.expect("a commit");
            }
        }
    };
}

impl Plain {
    pub(crate) async fn connect(url: &DatabaseUrl, connections: usize) -> Self {
        let connections = u32::try_from(connections).expect("few connections");
        match url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    // As Murph has it.
                    .pragma("temp_store", "MEMORY")
                    .pragma("cache_size", "-65536")
                    .pragma("wal_autocheckpoint", "8192")
                    .busy_timeout(Duration::from_mins(1));
                let pool = PoolOptions::new()
                    .max_connections(connections)
                    .test_before_acquire(false)
                    .connect_with(options);
                Self::Sqlite(pool.await.expect("the file opens"))
            }
            DatabaseUrl::Postgres(url) => {
                // As Murph has it.
                let options = PgConnectOptions::from_str(url).expect("a URL");
                let options = options.options([("plan_cache_mode", "force_generic_plan")]);
                let pool = PoolOptions::new()
                    .max_connections(connections)
                    .test_before_acquire(false)
                    .connect_with(options);
                Self::Postgres(pool.await.expect("PostgreSQL answers"))
            }
        }
    }

    pub(crate) async fn start(&self, ground: &Ground, seat: Seat) -> SessionId {
        let session = ground.session(seat);
        let wallet = Owner::Wallet(seat.student).account(usd());
        transaction!(self, tx => {
            let held = sqlx::query(HOLD).bind(wallet).bind(HELD).execute(&mut *tx);
            assert_eq!(held.await.expect("a hold").rows_affected(), 1);
            sqlx::query(OPEN)
                .bind(session.id)
                .bind(seat.student)
                .bind(seat.course)
                .bind(seat.teacher)
                .bind(PRICE)
                .bind(wallet)
                .bind(HELD)
                .bind(session.started_at)
                .execute(&mut *tx)
                .await
                .expect("a session opens");
        });
        session.id
    }

    pub(crate) async fn settle(&self, ground: &Ground, seat: Seat, session: SessionId) {
        let now = ground.app.clock.now();
        let wallet = Owner::Wallet(seat.student).account(usd());
        let earnings = Owner::Earnings(seat.teacher).account(usd());
        let platform = Owner::Platform.account(usd());
        let (cost, share, fee) = (500_000_i64, 450_000_i64, 50_000_i64);
        let watched_ms = i64::try_from(WATCHED.as_millis()).expect("some seconds");
        let journal = settle_id(session);
        let nobody = None::<murph::id::UserId>;
        transaction!(self, tx => {
            sqlx::query(JOURNAL).bind(&journal).bind(now).execute(&mut *tx).await.expect("a journal");
            let closed = sqlx::query(CLOSE)
                .bind(session)
                .bind(watched_ms)
                .bind(cost)
                .bind(now)
                .bind(&journal)
                .execute(&mut *tx);
            assert_eq!(closed.await.expect("an end").rows_affected(), 1);
            let charged = sqlx::query(CHARGE).bind(wallet).bind(cost).bind(HELD).execute(&mut *tx);
            charged.await.expect("a charge");
            let paid = [("earnings", earnings, Some(seat.teacher), share), ("platform", platform, nobody, fee)];
            for (kind, account, user, amount) in paid {
                sqlx::query(CREDIT)
                    .bind(account)
                    .bind(kind)
                    .bind(user)
                    .bind(amount)
                    .bind(now)
                    .execute(&mut *tx)
                    .await
                    .expect("a credit");
            }
            sqlx::query(PAY)
                .bind(&journal)
                .bind(wallet)
                .bind(earnings)
                .bind(platform)
                .bind(share)
                .bind(fee)
                .bind(now)
                .execute(&mut *tx)
                .await
                .expect("transfers");
            sqlx::query(QUARTER)
                .bind(seat.teacher)
                .bind(quarter_of(now))
                .bind(seat.course)
                .bind(watched_ms)
                .bind(cost)
                .bind(share)
                .execute(&mut *tx)
                .await
                .expect("a sum of the quarter");
            sqlx::query(COURSE)
                .bind(seat.course)
                .bind(seat.teacher)
                .bind(watched_ms)
                .bind(cost)
                .bind(share)
                .execute(&mut *tx)
                .await
                .expect("a sum of the course");
        });
    }
}
