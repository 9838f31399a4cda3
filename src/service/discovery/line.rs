//! Who is answered at once, and who waits.
//!
//! Answering goes on when the student hangs up, and asking a model takes seconds. So no message is
//! answered that has no place: there is an end to what goes on unseen, and to what a stop has to
//! wait for. One student has few of the places; further messages wait for them within their
//! requests, so they are gone when somebody hangs up, and have spent nothing yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::{
    error::{Error, Result},
    id::UserId,
};

/// The most messages on this node that are answered at once: twice as many as models are asked, so
/// that search answers some when these are slow. One more is refused.
const ANSWERED_MAX: usize = 512;

/// The most messages of one student that are answered at once. Others wait.
const ANSWERED_OF_ONE_MAX: usize = 2;

/// The most messages of one student that are answered or wait. One more is refused.
const OF_ONE_MAX: usize = 32;

/// When to come back, for whom that is too few.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The most messages on this node that are looked for at once: half of the connections that SQLite
/// has for reading, and a fifth of those that PostgreSQL has by default. Looking takes tens of
/// statements on one connection; others wait without one.
const SEEKERS_MAX: usize = 2;

/// The places on this node.
#[derive(Debug)]
pub struct Line {
    places: Arc<Semaphore>,
    /// Of those who have a message here. Whoever has one keeps it alive.
    turns: Mutex<HashMap<UserId, Weak<Semaphore>>>,
    seekers: Semaphore,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(ANSWERED_MAX)),
            turns: Mutex::default(),
            seekers: Semaphore::new(SEEKERS_MAX),
        }
    }
}

impl Line {
    /// A place for one message of `student`.
    pub(super) async fn enter(&self, student: UserId) -> Result<Place> {
        let turns = self.turns_of(student)?;
        let turn = turns.acquire_owned().await.expect("it is never closed");
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Error::Busy)?;
        Ok(Place { _place: place, _turn: turn })
    }

    fn turns_of(&self, student: UserId) -> Result<Arc<Semaphore>> {
        let mut turns = self.turns.lock().expect("nobody panics while holding it");
        // As many as have a place, at most: whoever waits has others there.
        turns.retain(|_, turns| turns.strong_count() > 0);
        let own = turns.get(&student).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| Arc::new(Semaphore::new(ANSWERED_OF_ONE_MAX)));
        if Arc::strong_count(&own) > OF_ONE_MAX {
            return Err(Error::RateLimited { retry_after: RETRY_AFTER });
        }
        turns.insert(student, Arc::downgrade(&own));
        Ok(own)
    }

    /// Waits for a turn to look for candidates.
    pub(super) async fn seek(&self) -> SemaphorePermit<'_> {
        self.seekers.acquire().await.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::time::Timestamp;

    fn somebody() -> UserId {
        UserId::new(Timestamp::EPOCH)
    }

    #[tokio::test]
    async fn places_are_so_many_and_come_back() {
        let line = Line::default();
        let mut places = Vec::new();
        for _ in 0..ANSWERED_MAX {
            places.push(line.enter(somebody()).await.unwrap());
        }
        assert!(matches!(line.enter(somebody()).await, Err(Error::Busy)));
        places.pop();
        assert!(line.enter(somebody()).await.is_ok());
        assert!(line.turns.lock().unwrap().len() <= ANSWERED_MAX, "others are forgotten");
    }

    #[tokio::test]
    async fn one_student_has_few_of_them() {
        let (line, student) = (Line::default(), somebody());
        let (first, _second) =
            (line.enter(student).await.unwrap(), line.enter(student).await.unwrap());
        let mut waiting: Vec<_> = (2..OF_ONE_MAX).map(|_| Box::pin(line.enter(student))).collect();
        for waits in &mut waiting {
            assert!(waits.now_or_never().is_none());
        }
        let refused = line.enter(student).await;
        assert!(matches!(refused, Err(Error::RateLimited { .. })), "{refused:?}");
        assert!(line.enter(somebody()).await.is_ok(), "others have theirs");
        drop(first);
        let third = waiting.remove(0).await;
        assert!(third.is_ok() && waiting[0].as_mut().now_or_never().is_none(), "one at a time");
        // Who hangs up does not wait any more.
        drop(waiting);
        assert!(line.enter(student).now_or_never().is_none());
        drop(third);
        assert!(line.enter(student).await.is_ok());
    }
}
