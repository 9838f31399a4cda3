//! The writer: start, extend and settle, many in one commit.
//!
//! Whoever asks waits in a bounded queue. The writer takes what is there, does it in one
//! transaction, and answers after the commit. While it commits, the next batch gathers, so batches
//! grow with the load, and an operation that comes alone does not wait for company.

use std::time::{Duration, Instant};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    db::Db,
    domain::ledger::{Done, Operation},
    error::{Error, Result},
    service::ledger::{self, Outcomes, Sessions},
    telemetry::Metrics,
};

/// How often a batch is done again after the database ended it in favour of another node's.
const ATTEMPTS_MAX: usize = 5;

/// Where operations are handed in. Cheap to clone.
///
/// On PostgreSQL there are two lanes, each with a connection of its own: one opens sessions and
/// grows holds, which touches wallets only; the other settles, which writes to the teachers and
/// the platform as well. They hardly ever meet, and two connections use two cores.
#[derive(Clone, Debug)]
pub struct Writer {
    open: mpsc::Sender<Job>,
    settle: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    operation: Operation,
    answer: oneshot::Sender<Result<Done>>,
}

/// The other end of a lane, for [`Worker::run`].
#[derive(Debug)]
pub struct Worker {
    db: Db,
    clock: Clock,
    metrics: Metrics,
    batch_max: usize,
    /// How long a batch may take. The database has its own limit; this one is for a network that
    /// swallows its answer.
    patience: Duration,
    queue: mpsc::Receiver<Job>,
}

impl Writer {
    #[must_use]
    pub fn new(db: &Db, clock: &Clock, metrics: &Metrics, config: &Config) -> (Self, Vec<Worker>) {
        let lane = || {
            let (sender, queue) = mpsc::channel(config.ledger.queue_max);
            let batch_max = config.ledger.batch_max;
            let patience = config.database.statement_timeout() * 2;
            let (db, clock, metrics) = (db.clone(), clock.clone(), metrics.clone());
            (sender, Worker { db, clock, metrics, batch_max, patience, queue })
        };
        let (open, opener) = lane();
        if matches!(db, Db::Sqlite { .. }) {
            return (Self { settle: open.clone(), open }, vec![opener]);
        }
        let (settle, settler) = lane();
        (Self { open, settle }, vec![opener, settler])
    }

    /// Does `operation` and comes back when it is on disk. Refuses at once if the queue is full.
    pub async fn submit(&self, operation: Operation) -> Result<Done> {
        let lane = match operation {
            Operation::Settle(_) => &self.settle,
            _ => &self.open,
        };
        let (answer, answered) = oneshot::channel();
        lane.try_send(Job { operation, answer }).map_err(|_| Error::Busy)?;
        // No answer means that the writer is gone, and nobody knows whether it came to this.
        answered.await.map_err(|_| Error::Unavailable(sqlx::Error::WorkerCrashed.into()))?
    }

    /// How many operations wait in the longer queue, and for how many there is room in it.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let max = self.open.max_capacity();
        (max - self.open.capacity().min(self.settle.capacity()), max)
    }
}

impl Worker {
    /// Works until `finish`, then does what is left in the queue.
    pub async fn run(mut self, finish: CancellationToken, stop_server: CancellationToken) {
        // Without the writer no money moves, so its death takes the server down with it.
        let _stop_all_if_i_die = stop_server.drop_guard();
        let mut jobs = Vec::with_capacity(self.batch_max);
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut jobs, self.batch_max) => if count == 0 { return },
                () = finish.cancelled() => {
                    // Closed: nothing new comes in, what is there is still done.
                    self.queue.close();
                    continue;
                }
            }
            self.work(jobs.drain(..)).await;
        }
    }

    async fn work(&self, jobs: impl Iterator<Item = Job>) {
        let (operations, answers): (Vec<_>, Vec<_>) =
            jobs.map(|job| (job.operation, job.answer)).unzip();
        let outcomes = self.outcomes(&operations).await;
        for ((answer, outcome), operation) in answers.into_iter().zip(outcomes).zip(&operations) {
            self.metrics.record_operation(name(operation), result_name(&outcome));
            // Whoever asked may be gone; what was done is done.
            let _ = answer.send(outcome);
        }
    }

    /// All in one commit; one by one if something in there is more than a refusal.
    async fn outcomes(&self, operations: &[Operation]) -> Vec<Result<Done>> {
        match self.commit(operations).await {
            Ok(outcomes) => {
                outcomes.into_iter().map(|outcome| outcome.map_err(Error::from)).collect()
            }
            Err(error @ Error::Unavailable(_)) => {
                tracing::error!(%error, "a batch was not committed: {error}");
                operations.iter().map(|_| Err(error.clone())).collect()
            }
            Err(error) if operations.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut outcomes = Vec::with_capacity(operations.len());
                for operation in operations {
                    let outcome = match outcomes.last() {
                        // The database went away meanwhile: the rest need not wait for it, too.
                        Some(Err(error @ Error::Unavailable(_))) => Err(error.clone()),
                        _ => self.alone(operation).await,
                    };
                    outcomes.push(outcome);
                }
                outcomes
            }
        }
    }

    async fn alone(&self, operation: &Operation) -> Result<Done> {
        let mut outcomes = self.commit(std::slice::from_ref(operation)).await?;
        Ok(outcomes.pop().expect("one operation has one outcome")?)
    }

    async fn commit(&self, operations: &[Operation]) -> Result<Outcomes> {
        let mut sessions = Sessions::AsSeen;
        let mut attempts = 1;
        loop {
            let began = Instant::now();
            let committed = timeout(self.patience, self.try_commit(operations, sessions)).await;
            match committed.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())) {
                Err(error) if error.is_conflict() && attempts < ATTEMPTS_MAX => attempts += 1,
                // What a caller had not seen shows as a row that is missing or as a constraint: a
                // session that has ended since has its journal already.
                Ok(None) | Err(Error::Database(_)) if sessions == Sessions::AsSeen => {
                    sessions = Sessions::Read;
                }
                // An account that was to be opened here was opened elsewhere.
                Ok(None) if attempts < ATTEMPTS_MAX => attempts += 1,
                Err(error) => return Err(error),
                Ok(Some(outcomes)) => {
                    self.metrics.record_commit(operations.len(), began.elapsed());
                    return Ok(outcomes);
                }
                Ok(None) => {
                    return Err(Error::Internal(
                        "rows that were locked changed all the same".into(),
                    ));
                }
            }
        }
    }

    /// `None`, and nothing committed, if a session was not as its caller had seen it.
    async fn try_commit(
        &self,
        operations: &[Operation],
        sessions: Sessions,
    ) -> Result<Option<Outcomes>> {
        let mut tx = self.db.begin_reserved().await?;
        let outcomes = ledger::apply(&mut tx, operations, sessions, self.clock.now()).await?;
        if outcomes.is_some() {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(outcomes)
    }
}

fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Start(_) => "start",
        Operation::Extend(_) => "extend",
        Operation::Settle(_) => "settle",
        Operation::Post(_) => "post",
    }
}

fn result_name(outcome: &Result<Done>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(Error::Unavailable(_) | Error::Database(_) | Error::Internal(_)) => "failed",
        Err(_) => "refused",
    }
}
