//! What `murph check-ledger` asks the database. Each statement names the rows that are wrong.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::FromRow;

use crate::{
    db::Tx,
    domain::{
        audit::{Finding, Replay, Report},
        meter,
        session::SessionStatus,
    },
    error::Result,
    id::{AccountId, SessionId},
    money::Money,
    time::Timestamp,
};

/// At most so many wrong rows are named for each invariant.
const NAMED_MAX: i64 = 20;

/// One statement: what it looks for, and how it names what it finds. Each selects a subject and
/// two amounts that ought to be equal.
struct Check {
    invariant: &'static str,
    subject: &'static str,
    problem: &'static str,
    sql: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        invariant: "I1",
        subject: "currency",
        problem: "the balances sum to {1} micro-units, not {2}",
        sql: "SELECT currency, CAST(SUM(posted) AS BIGINT), CAST(0 AS BIGINT) FROM accounts
               GROUP BY currency HAVING SUM(posted) <> 0 LIMIT $1",
    },
    Check {
        invariant: "I2",
        subject: "account",
        problem: "owns {1} micro-units, its transfers give {2}",
        sql: "SELECT lower(hex(a.id)), a.posted, COALESCE(moved.amount, 0)
                FROM accounts a
                LEFT JOIN (SELECT account_id, CAST(SUM(amount) AS BIGINT) AS amount FROM (
                             SELECT credit_account_id AS account_id, amount FROM transfers
                             UNION ALL
                             SELECT debit_account_id, -amount FROM transfers) sides
                            GROUP BY account_id) moved ON moved.account_id = a.id
               WHERE a.posted <> COALESCE(moved.amount, 0) LIMIT $1",
    },
    Check {
        invariant: "I3",
        subject: "account",
        problem: "holds {1} micro-units, its open sessions hold {2}",
        sql: "SELECT lower(hex(a.id)), a.held, COALESCE(open.held, 0)
                FROM accounts a
                LEFT JOIN (SELECT wallet_id, CAST(SUM(held) AS BIGINT) AS held FROM sessions
                            WHERE status = 'active' AND wallet_id IS NOT NULL
                            GROUP BY wallet_id) open ON open.wallet_id = a.id
               WHERE a.held <> COALESCE(open.held, 0) LIMIT $1",
    },
    Check {
        invariant: "I4",
        subject: "session",
        problem: "costs {1} micro-units, {2} were paid out of its wallet",
        sql: "SELECT lower(hex(s.id)), s.cost, COALESCE(paid.amount, 0)
                FROM sessions s
                LEFT JOIN (SELECT journal_id, debit_account_id,
                                  CAST(SUM(amount) AS BIGINT) AS amount
                             FROM transfers GROUP BY journal_id, debit_account_id) paid
                  ON paid.journal_id = s.journal_id AND paid.debit_account_id = s.wallet_id
               WHERE s.status <> 'active' AND s.cost <> COALESCE(paid.amount, 0) LIMIT $1",
    },
    Check {
        invariant: "I4",
        subject: "session",
        problem: "moved {1} micro-units from accounts that are not its wallet",
        sql: "SELECT lower(hex(s.id)), CAST(SUM(t.amount) AS BIGINT), CAST(0 AS BIGINT)
                FROM sessions s JOIN transfers t ON t.journal_id = s.journal_id
               WHERE s.wallet_id IS NULL OR t.debit_account_id <> s.wallet_id
               GROUP BY s.id LIMIT $1",
    },
    Check {
        invariant: "I5",
        subject: "account",
        problem: "owns {1} micro-units and holds {2}",
        sql: "SELECT lower(hex(id)), posted, held FROM accounts
               WHERE held < 0 OR (kind <> 'gateway' AND posted < held) LIMIT $1",
    },
    Check {
        invariant: "I6",
        subject: "session",
        problem: "has ended ({1}) and has {2} settlement journals",
        sql: "SELECT lower(hex(s.id)), CAST(CASE WHEN s.status = 'active' THEN 0 ELSE 1 END AS BIGINT),
                     CAST(COUNT(j.id) AS BIGINT)
                FROM sessions s LEFT JOIN journals j ON j.id = s.journal_id AND j.kind = 'settle'
               GROUP BY s.id, s.status
              HAVING COUNT(j.id) <> CASE WHEN s.status = 'active' THEN 0 ELSE 1 END LIMIT $1",
    },
    Check {
        invariant: "I6",
        subject: "journal",
        problem: "settles {2} sessions, not {1}",
        sql: "SELECT j.id, CAST(1 AS BIGINT), CAST(COUNT(s.id) AS BIGINT)
                FROM journals j LEFT JOIN sessions s
                  ON s.journal_id = j.id
               WHERE j.kind = 'settle' GROUP BY j.id HAVING COUNT(s.id) <> 1 LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "account",
        problem: "was paid {1} micro-units for sessions and reviews, the sums say {2}",
        sql: "SELECT lower(hex(a.id)), COALESCE(paid.amount, 0), COALESCE(kept.amount, 0)
                FROM accounts a
                LEFT JOIN (SELECT t.credit_account_id, CAST(SUM(t.amount) AS BIGINT) AS amount
                             FROM transfers t JOIN journals j ON j.id = t.journal_id
                            WHERE j.kind IN ('settle', 'quality_bonus')
                            GROUP BY t.credit_account_id) paid ON paid.credit_account_id = a.id
                LEFT JOIN (SELECT teacher_id, currency,
                                  CAST(SUM(earned + bonus) AS BIGINT) AS amount
                             FROM earnings_quarters GROUP BY teacher_id, currency) kept
                  ON kept.teacher_id = a.user_id AND kept.currency = a.currency
               WHERE a.kind = 'earnings'
                 AND COALESCE(paid.amount, 0) <> COALESCE(kept.amount, 0) LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "course",
        problem: "its sessions cost {1} micro-units, the sums say {2}",
        sql: "SELECT lower(hex(k.course_id)), COALESCE(due.cost, 0), k.paid
                FROM course_earnings k
                LEFT JOIN (SELECT course_id, currency, CAST(SUM(cost) AS BIGINT) AS cost
                             FROM sessions WHERE status = 'completed'
                            GROUP BY course_id, currency) due
                  ON due.course_id = k.course_id AND due.currency = k.currency
               WHERE k.paid <> COALESCE(due.cost, 0) LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "course",
        problem: "{1} sessions were completed, the sums say {2}",
        sql: "SELECT lower(hex(due.course_id)), due.sessions, COALESCE(k.sessions, 0)
                FROM (SELECT course_id, currency, COUNT(*) AS sessions
                        FROM sessions WHERE status = 'completed'
                       GROUP BY course_id, currency) due
                LEFT JOIN course_earnings k
                  ON k.course_id = due.course_id AND k.currency = due.currency
               WHERE due.sessions <> COALESCE(k.sessions, 0) LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "course",
        problem: "{1} ms were watched by the quarter of an hour, {2} in all its sessions",
        sql: "SELECT lower(hex(due.course_id)), COALESCE(q.watched_ms, 0), due.watched_ms
                FROM (SELECT course_id, CAST(SUM(watched_ms) AS BIGINT) AS watched_ms
                        FROM sessions WHERE status = 'completed' GROUP BY course_id) due
                LEFT JOIN (SELECT course_id, CAST(SUM(watched_ms) AS BIGINT) AS watched_ms
                             FROM earnings_quarters GROUP BY course_id) q
                  ON q.course_id = due.course_id
               WHERE due.watched_ms <> COALESCE(q.watched_ms, 0) LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "video",
        problem: "was watched for {1} ms in its sessions, the sums say {2}",
        sql: "SELECT lower(hex(p.video_id)), p.watched_ms, COALESCE(w.watched_ms, 0)
                FROM (SELECT video_id, COUNT(*) AS sessions,
                             CAST(SUM(watched_ms) AS BIGINT) AS watched_ms
                        FROM session_video_progress GROUP BY video_id) p
                LEFT JOIN video_views w ON w.video_id = p.video_id
               WHERE p.watched_ms <> COALESCE(w.watched_ms, 0)
                  OR p.sessions <> COALESCE(w.sessions, 0) LIMIT $1",
    },
    Check {
        invariant: "I13",
        subject: "course",
        problem: "is rated with {1} millionths of stars, its reviews say {2}",
        sql: "SELECT lower(hex(c.id)), c.rating_points, COALESCE(k.points, 0)
                FROM courses c
                LEFT JOIN (SELECT course_id, COUNT(*) AS reviews,
                                  CAST(SUM(weight) AS BIGINT) AS weight,
                                  CAST(SUM(weight * rating) AS BIGINT) AS points
                             FROM reviews WHERE status = 'published' GROUP BY course_id) k
                  ON k.course_id = c.id
               WHERE c.rating_points <> COALESCE(k.points, 0)
                  OR c.rating_weight <> COALESCE(k.weight, 0)
                  OR c.reviews <> COALESCE(k.reviews, 0) LIMIT $1",
    },
    Check {
        invariant: "I13",
        subject: "review",
        problem: "is worth a bonus of {1} micro-units, {2} were paid",
        sql: "SELECT lower(hex(r.id)), r.bonus, COALESCE(t.amount, 0)
                FROM reviews r LEFT JOIN transfers t ON t.journal_id = r.journal_id
               WHERE r.bonus_status = 'paid' AND r.bonus <> COALESCE(t.amount, 0) LIMIT $1",
    },
    Check {
        invariant: "I12",
        subject: "course",
        problem: "earned {1} micro-units by the quarter of an hour, {2} in all",
        sql: "SELECT lower(hex(q.course_id)), q.amount, COALESCE(k.earned + k.bonus, 0)
                FROM (SELECT course_id, currency, CAST(SUM(earned + bonus) AS BIGINT) AS amount
                        FROM earnings_quarters GROUP BY course_id, currency) q
                LEFT JOIN course_earnings k
                  ON k.course_id = q.course_id AND k.currency = q.currency
               WHERE q.amount <> COALESCE(k.earned + k.bonus, 0) LIMIT $1",
    },
];

/// Looks at everything, through a snapshot, and names what is wrong.
pub async fn check(tx: &mut Tx) -> Result<Report> {
    let mut report = Report::default();
    for check in CHECKS {
        report.findings.extend(run(tx, check).await?);
    }
    report.findings.extend(misjudged(tx).await?);
    let mut replay = replay(tx).await?;
    report.transfers = replay.transfers;
    report.findings.extend(compare(tx, &mut replay).await?);
    report.accounts = count(tx, "SELECT COUNT(*) FROM accounts").await?;
    report.sessions = count(tx, "SELECT COUNT(*) FROM sessions").await?;
    report.journals = count(tx, "SELECT COUNT(*) FROM journals").await?;
    report.balanced = report.findings.is_empty();
    Ok(report)
}

async fn run(tx: &mut Tx, check: &Check) -> Result<Vec<Finding>> {
    let rows: Vec<(String, i64, i64)> = on!(tx, conn => sqlx::query_as(check.sql)
        .bind(NAMED_MAX)
        .fetch_all(conn)
        .await)?;
    let finding = |(subject, first, second): (String, i64, i64)| Finding {
        invariant: check.invariant,
        subject: format!("{} {}", check.subject, spelt(subject)),
        problem: check
            .problem
            .replace("{1}", &first.to_string())
            .replace("{2}", &second.to_string()),
    };
    Ok(rows.into_iter().map(finding).collect())
}

/// Ids as everywhere else, with hyphens.
fn spelt(subject: String) -> String {
    let id = subject.parse::<uuid::fmt::Simple>();
    id.map_or(subject, |id| id.into_uuid().to_string())
}

#[derive(FromRow)]
struct Past {
    id: SessionId,
    price_per_minute: Money,
    held: Money,
    status: SessionStatus,
    watched_ms: i64,
    cost: Money,
    started_at: Timestamp,
    ended_at: Timestamp,
}

impl Past {
    /// What is wrong with the price of the session, or with its time.
    fn problem(&self) -> Option<String> {
        let Ok(watched_ms) = u64::try_from(self.watched_ms) else {
            return Some(format!("watched {} ms", self.watched_ms));
        };
        let watched = Duration::from_millis(watched_ms);
        let due = match self.status {
            SessionStatus::Completed => meter::cost(self.price_per_minute, watched, self.held),
            _ => Money::ZERO,
        };
        if self.cost != due {
            return Some(format!("costs {}, its watched time costs {due}", self.cost));
        }
        let lasted = self.ended_at.since(self.started_at);
        (watched > lasted).then(|| format!("watched {watched:?} of {lasted:?}"))
    }
}

/// I9: every session costs what the meter says, and nobody watches longer than it lasted.
async fn misjudged(tx: &mut Tx) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    on!(tx, conn => {
        let mut rows = sqlx::query_as::<_, Past>(
            "SELECT id, price_per_minute, held, status, watched_ms, cost, started_at, ended_at
               FROM sessions WHERE status <> 'active'",
        )
        .fetch(conn);
        while let Some(session) = rows.try_next().await? {
            findings.extend(session.problem().map(|problem| Finding {
                invariant: "I9",
                subject: format!("session {}", session.id),
                problem,
            }));
        }
    });
    Ok(findings)
}

async fn replay(tx: &mut Tx) -> Result<Replay> {
    let mut replay = Replay::default();
    on!(tx, conn => {
        let mut rows = sqlx::query_as::<_, (AccountId, AccountId, Money)>(
            "SELECT debit_account_id, credit_account_id, amount FROM transfers
              ORDER BY at, journal_id, seq",
        )
        .fetch(conn);
        while let Some((debit, credit, amount)) = rows.try_next().await? {
            replay.transfer(debit, credit, amount);
        }
    });
    Ok(replay)
}

async fn compare(tx: &mut Tx, replay: &mut Replay) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    on!(tx, conn => {
        let mut rows =
            sqlx::query_as::<_, (AccountId, Money)>("SELECT id, posted FROM accounts").fetch(conn);
        while let Some((account, posted)) = rows.try_next().await? {
            findings.extend(replay.compare(account, posted));
        }
    });
    findings.extend(replay.missing());
    Ok(findings)
}

async fn count(tx: &mut Tx, sql: &'static str) -> Result<i64> {
    Ok(on!(tx, conn => sqlx::query_scalar(sql).fetch_one(conn).await)?)
}
