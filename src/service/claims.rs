//! Who has which session: claims, parks and progress, many in one commit.
//!
//! Works like [`crate::service::writer`], beside it and on a connection of its own: ten thousand
//! players that come back at once are a few dozen commits. No account is touched here, so neither
//! ever waits long for the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    db::{self, Db, Tx},
    domain::{
        claim::{Claim, Park},
        session::Session,
        video::VideoProgress,
    },
    error::{Error, OrLog, Result},
    id::{NodeId, SessionId, VideoId},
};

/// Changes in one commit.
const BATCH_MAX: usize = 1_024;

/// The fewest changes that may wait.
const QUEUE_MIN: usize = 4_096;

/// How often a batch is done again after the database ended it in favour of another node's.
const ATTEMPTS_MAX: usize = 5;

/// Where changes are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Claims {
    queue: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    change: Change,
    /// `None`: nobody waits for it.
    answer: Option<oneshot::Sender<Result<Done>>>,
}

#[derive(Debug)]
enum Change {
    // In the order in which those of one session can be done in one round.
    Progress(Vec<VideoProgress>),
    Park(Park),
    Claim(Claim),
}

#[derive(Debug)]
enum Done {
    Recorded,
    Parked(bool),
    Claimed(Option<Box<Session>>),
}

/// The other end of the queue, for [`Worker::run`].
#[derive(Debug)]
pub struct Worker {
    db: Db,
    node_id: NodeId,
    /// How long a batch may take; see the writer's.
    patience: Duration,
    queue: mpsc::Receiver<Job>,
}

impl Claims {
    /// Claims are made for the node `node_id`.
    #[must_use]
    pub fn new(db: &Db, node_id: NodeId, config: &Config) -> (Self, Worker) {
        // All players of this node may come at once, while all leave who were there before.
        let sockets = usize::try_from(config.live.sockets_max).unwrap_or(usize::MAX);
        let (sender, queue) = mpsc::channel(sockets.saturating_mul(2).clamp(QUEUE_MIN, 1 << 20));
        let patience = config.database.statement_timeout() * 2;
        (Self { queue: sender }, Worker { db: db.clone(), node_id, patience, queue })
    }

    /// Takes a session into this node's hands: the session as it is now, its fence one higher, or
    /// `None` if it has ended or was claimed since it was seen.
    pub async fn claim(&self, claim: Claim) -> Result<Option<Session>> {
        match self.submit(Change::Claim(claim)).await? {
            Done::Claimed(session) => Ok(session.map(|session| *session)),
            other => Err(Error::Internal(format!("a claim came to {other:?}"))),
        }
    }

    /// Lets go of a session. `false` if it is not this node's any more.
    pub async fn park(&self, park: Park) -> Result<bool> {
        match self.submit(Change::Park(park)).await? {
            Done::Parked(is_parked) => Ok(is_parked),
            other => Err(Error::Internal(format!("a park came to {other:?}"))),
        }
    }

    /// Writes down what was watched of videos, and comes back when it is on disk.
    pub async fn record(&self, progress: Vec<VideoProgress>) -> Result<()> {
        self.submit(Change::Progress(progress)).await.map(drop)
    }

    /// The same without waiting. An error is only that the queue is full.
    pub fn record_soon(&self, progress: Vec<VideoProgress>) -> Result<()> {
        self.hand_in(Change::Progress(progress), None)
    }

    /// How many changes wait, and for how many there is room.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let max = self.queue.max_capacity();
        (max - self.queue.capacity(), max)
    }

    async fn submit(&self, change: Change) -> Result<Done> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(change, Some(answer))?;
        // No answer means that the worker is gone, and nobody knows whether it came to this.
        answered.await.map_err(|_| Error::Unavailable(sqlx::Error::WorkerCrashed.into()))?
    }

    fn hand_in(&self, change: Change, answer: Option<oneshot::Sender<Result<Done>>>) -> Result<()> {
        self.queue.try_send(Job { change, answer }).map_err(|_| Error::Busy)
    }
}

impl Worker {
    /// Works until `finish`, then does what is left in the queue.
    pub async fn run(mut self, finish: CancellationToken, stop_server: CancellationToken) {
        // Without claims nobody can watch, so its death takes the server down with it.
        let _stop_all_if_i_die = stop_server.drop_guard();
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut jobs, BATCH_MAX) => if count == 0 { return },
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
        let (changes, answers): (Vec<_>, Vec<_>) = jobs.map(|job| (job.change, job.answer)).unzip();
        for (answer, outcome) in answers.into_iter().zip(self.outcomes(&changes).await) {
            match answer {
                // Whoever asked may be gone; what was done is done.
                Some(answer) => drop(answer.send(outcome)),
                None => drop(outcome.or_log("writing down progress")),
            }
        }
    }

    /// All in one commit; one by one if something in there is more than a refusal.
    async fn outcomes(&self, changes: &[Change]) -> Vec<Result<Done>> {
        match self.commit(changes).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if changes.len() == 1 => vec![Err(error)],
            Err(error @ Error::Unavailable(_)) => {
                tracing::error!(%error, "claims were not committed: {error}");
                changes.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => {
                let mut outcomes = Vec::with_capacity(changes.len());
                for change in changes {
                    let outcome = match outcomes.last() {
                        // The database went away meanwhile: the rest need not wait for it, too.
                        Some(Err(error @ Error::Unavailable(_))) => Err(error.clone()),
                        _ => self.alone(change).await,
                    };
                    outcomes.push(outcome);
                }
                outcomes
            }
        }
    }

    async fn alone(&self, change: &Change) -> Result<Done> {
        let mut outcomes = self.commit(std::slice::from_ref(change)).await?;
        Ok(outcomes.pop().expect("one change has one outcome"))
    }

    async fn commit(&self, changes: &[Change]) -> Result<Vec<Done>> {
        let mut attempts = 1;
        loop {
            let committed = timeout(self.patience, self.try_commit(changes)).await;
            match committed.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())) {
                Err(error) if error.is_conflict() && attempts < ATTEMPTS_MAX => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_commit(&self, changes: &[Change]) -> Result<Vec<Done>> {
        let mut tx = self.db.begin_reserved().await?;
        let mut outcomes = Vec::with_capacity(changes.len());
        for round in rounds(changes) {
            outcomes.extend(apply(&mut tx, self.node_id, round).await?);
        }
        tx.commit().await?;
        Ok(outcomes)
    }
}

/// Cuts `changes` wherever one is about a session that an earlier one must be done with first.
fn rounds(changes: &[Change]) -> Vec<&[Change]> {
    let mut rounds = Vec::new();
    let mut begin = 0;
    let mut last: HashMap<SessionId, &Change> = HashMap::new();
    for (nth, change) in changes.iter().enumerate() {
        let follows = |session| last.get(&session).is_none_or(|last| last.may_precede(change));
        if !change.sessions().all(follows) {
            rounds.push(&changes[begin..nth]);
            begin = nth;
            last.clear();
        }
        last.extend(change.sessions().map(|session| (session, change)));
    }
    rounds.push(&changes[begin..]);
    rounds
}

impl Change {
    fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let (progress, session) = match self {
            Self::Progress(progress) => (progress.as_slice(), None),
            Self::Park(park) => (&[][..], Some(park.session_id)),
            Self::Claim(claim) => (&[][..], Some(claim.session_id)),
        };
        progress.iter().map(|progress| progress.session_id).chain(session)
    }

    /// Whether both can be done in one round when they are about one session: a round does all
    /// progress first, then parks, then claims, and of the latter two one for each session.
    fn may_precede(&self, later: &Self) -> bool {
        match self {
            Self::Progress(_) => true,
            Self::Park(_) => matches!(later, Self::Claim(_)),
            Self::Claim(_) => false,
        }
    }
}

/// Does one round: one statement for each kind of change, and the outcome of each in its place.
async fn apply(tx: &mut Tx, node: NodeId, round: &[Change]) -> Result<Vec<Done>> {
    let progress = merged(round);
    let parks = || round.iter().filter_map(Change::as_park);
    let claims = || round.iter().filter_map(Change::as_claim);
    let ids = parks().map(|park| park.session_id);
    let ids = ids.chain(claims().map(|claim| claim.session_id));
    let ids: BTreeSet<SessionId> =
        ids.chain(progress.iter().map(|progress| progress.session_id)).collect();
    // In the order of their ids, so that rounds of two nodes never wait for each other in a circle
    // (batches of several rounds may: the database ends one, and it is done again). And before
    // anything is written, so that nobody takes a session over between what is added up and what it
    // is added up from.
    let ids: Vec<SessionId> = ids.into_iter().collect();
    let sessions = db::sessions::lock(tx, &ids).await?;
    let mut sessions: HashMap<SessionId, Session> =
        sessions.into_iter().map(|session| (session.id, session)).collect();

    if !progress.is_empty() {
        db::progress::upsert(tx, &progress).await?;
    }
    let parked = db::claims::park(tx, node, parks()).await?;
    let parked: HashSet<SessionId> = parked.into_iter().collect();
    let claimed = db::claims::claim(tx, node, claims()).await?;
    let claimed: HashSet<SessionId> = claimed.into_iter().collect();
    let outcome = |change: &Change| match change {
        Change::Progress(_) => Done::Recorded,
        Change::Park(park) => Done::Parked(parked.contains(&park.session_id)),
        Change::Claim(claim) => {
            let session = sessions.remove(&claim.session_id);
            let session = session.filter(|session| claimed.contains(&session.id));
            Done::Claimed(session.map(|session| Box::new(claim.apply(session, node))))
        }
    };
    Ok(round.iter().map(outcome).collect())
}

impl Change {
    fn as_park(&self) -> Option<&Park> {
        if let Self::Park(park) = self { Some(park) } else { None }
    }

    fn as_claim(&self) -> Option<&Claim> {
        if let Self::Claim(claim) = self { Some(claim) } else { None }
    }
}

/// All progress of a round, in one row for each video, session and fence.
fn merged(round: &[Change]) -> Vec<VideoProgress> {
    let mut merged: BTreeMap<(SessionId, i64, VideoId), VideoProgress> = BTreeMap::new();
    for change in round {
        let Change::Progress(progress) = change else { continue };
        for progress in progress {
            let key = (progress.session_id, progress.fence, progress.video_id);
            let known = merged.entry(key).or_insert(*progress);
            *known = known.merged(*progress);
        }
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn progress(session_id: SessionId, video_id: VideoId, watched_ms: u64) -> VideoProgress {
        VideoProgress {
            session_id,
            fence: 1,
            video_id,
            position_ms: watched_ms,
            watched_ms,
            coverage: 1 << watched_ms,
            at: Timestamp::EPOCH,
        }
    }

    fn park(session_id: SessionId) -> Change {
        Change::Park(Park {
            session_id,
            fence: 1,
            watched: Duration::ZERO,
            stretches: vec![],
            heir: None,
        })
    }

    fn claim(session_id: SessionId) -> Change {
        let (watched, stretches) = (Duration::ZERO, vec![]);
        Change::Claim(Claim { session_id, fence: 1, login_id: None, watched, stretches })
    }

    fn sizes(changes: &[Change]) -> Vec<usize> {
        rounds(changes).into_iter().map(<[Change]>::len).collect()
    }

    #[test]
    fn changes_of_different_sessions_are_one_round() {
        let [a, b, c] = [(); 3].map(|()| SessionId::new(Timestamp::EPOCH));
        let video = VideoId::new(Timestamp::EPOCH);
        let noted = Change::Progress(vec![progress(a, video, 1), progress(b, video, 1)]);
        assert_eq!(sizes(&[claim(c), noted, park(a), claim(b)]), [4]);
    }

    #[test]
    fn each_change_sees_what_an_earlier_one_of_its_session_did() {
        let a = SessionId::new(Timestamp::EPOCH);
        let noted = || Change::Progress(vec![progress(a, VideoId::new(Timestamp::EPOCH), 1)]);
        assert_eq!(sizes(&[noted(), noted(), park(a), claim(a)]), [4]);
        assert_eq!(sizes(&[claim(a), claim(a), claim(a)]), [1, 1, 1]);
        assert_eq!(sizes(&[claim(a), park(a), noted()]), [1, 1, 1]);
        assert_eq!(sizes(&[park(a), park(a), claim(a), noted()]), [1, 2, 1]);
    }

    #[test]
    fn progress_of_one_video_is_one_row() {
        let session = SessionId::new(Timestamp::EPOCH);
        let [video, other] = [(); 2].map(|()| VideoId::new(Timestamp::EPOCH));
        let round = [
            Change::Progress(vec![progress(session, video, 5), progress(session, other, 7)]),
            Change::Progress(vec![progress(session, video, 3)]),
        ];
        let merged = merged(&round);
        let of = |video| *merged.iter().find(|progress| progress.video_id == video).unwrap();
        assert_eq!(merged.len(), 2);
        assert_eq!(of(other), progress(session, other, 7));
        let both =
            VideoProgress { watched_ms: 5, coverage: 0b10_1000, ..progress(session, video, 3) };
        assert_eq!(of(video), both);
    }
}
