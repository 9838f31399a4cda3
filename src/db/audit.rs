//! What `murph check-ledger` asks the database. Each statement names the rows that are wrong.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::FromRow;

use crate::{
    db::{Conn, Tx},
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

/// Courses whose rows of `$kept` are not what they ought to be, with how many of them are missing and
/// how many are there that ought not to be. One that is wrong is both.
macro_rules! strays {
    ($due:expr, $kept:expr) => {
        concat!(
            "WITH due AS (", $due, "), kept AS (", $kept, ")
             SELECT lower(hex(course_id)), CAST(SUM(missing) AS BIGINT), CAST(SUM(stray) AS BIGINT)
               FROM (SELECT course_id, 1 AS missing, 0 AS stray
                       FROM (SELECT * FROM due EXCEPT SELECT * FROM kept) missed
                      UNION ALL
                     SELECT course_id, 0, 1
                       FROM (SELECT * FROM kept EXCEPT SELECT * FROM due) strayed) wrong
              GROUP BY course_id LIMIT $1"
        )
    };
}

macro_rules! stray_quarters {
    ($db:ident) => {
        strays!(
            due_quarters!($db),
            "SELECT teacher_id, currency, quarter, course_id, sessions, watched_ms, paid, earned,
                    bonus FROM earnings_quarters"
        )
    };
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
        problem: "misses {1} of the sums of its quarters of an hour, and has {2} that are not",
        sql: strays!(
            due_courses!(),
            "SELECT course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus
               FROM course_earnings"
        ),
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
        sql: concat!(
            misrated!("lower(hex(c.id)), c.rating_points, COALESCE(k.points, 0)"),
            " LIMIT $1"
        ),
    },
    Check {
        invariant: "I13",
        subject: "course",
        problem: "misses {1} of the sums of its ratings, and has {2} that its reviews do not give",
        sql: strays!(due_ratings!(""), kept_ratings!()),
    },
    // What was paid before the review was written was for another one of the session, which was
    // forgotten with a step back of the schema.
    Check {
        invariant: "I13",
        subject: "review",
        problem: "has brought a bonus of {1} micro-units, {2} were paid",
        sql: "SELECT lower(hex(r.id)), CASE r.bonus_status WHEN 'paid' THEN r.bonus ELSE 0 END,
                     COALESCE(t.amount, 0)
                FROM reviews r LEFT JOIN transfers t
                  ON t.journal_id = 'quality_bonus:' || lower(hex(r.session_id))
               WHERE CASE r.bonus_status WHEN 'paid' THEN r.bonus ELSE 0 END
                       <> COALESCE(t.amount, 0)
                 AND (t.at IS NULL OR t.at >= r.created_at) LIMIT $1",
    },
    Check {
        invariant: "I13",
        subject: "review",
        problem: "is worth a bonus of {1} micro-units, which does not follow from its rating, its \
                  credibility and the {2} that its session cost",
        sql: "SELECT lower(hex(r.id)), r.bonus, s.cost
                FROM reviews r JOIN sessions s ON s.id = r.session_id
               WHERE r.bonus > 0
                 AND (r.rating < 4 OR r.credibility < 700000
                      OR r.bonus < s.cost / 20 OR r.bonus * 20 > s.cost * 3) LIMIT $1",
    },
];

/// Looks at everything, through a snapshot, and names what is wrong.
pub async fn check(tx: &mut Tx) -> Result<Report> {
    let mut report = Report::default();
    for check in CHECKS {
        report.findings.extend(run(tx, check).await?);
    }
    let sums = sums_by_quarter(tx);
    report.findings.extend(run(tx, &sums).await?);
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

/// The sums that are kept beside the ledger are what they would be made anew.
fn sums_by_quarter(tx: &mut Tx) -> Check {
    Check {
        invariant: "I12",
        subject: "course",
        problem: "misses {1} sums by the quarter of an hour, and has {2} that the ledger has not",
        sql: match tx.conn() {
            Conn::Sqlite(_) => stray_quarters!(sqlite),
            Conn::Postgres(_) => stray_quarters!(postgres),
        },
    }
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
