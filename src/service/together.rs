//! One reading for all who ask the same at the same time.
//!
//! A page that very many look at, such as the first one of the catalogue, is read for one of them.
//! Whoever asks meanwhile waits for the next reading, together with all others who do: it begins after
//! they have asked, so that nobody is told less than if it were read for him alone. Nothing is kept, so
//! nothing is ever out of date.

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::error::{Error, Result};

/// Who waits for an answer.
type Asking = Vec<oneshot::Sender<Result<Bytes>>>;

/// What is being asked, and by whom. There is an entry as long as somebody reads.
#[derive(Clone, Debug, Default)]
pub struct Together(Arc<Mutex<HashMap<String, Asking>>>);

impl Together {
    /// The answer to a question, by a `read` that begins from now on, on `tasks`: this one, or that of
    /// somebody else who asked the same.
    pub async fn ask<R, F>(&self, tasks: &TaskTracker, question: String, read: R) -> Result<Bytes>
    where
        R: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let (asker, answer) = oneshot::channel();
        let is_first = match self.asked().entry(question.clone()) {
            Entry::Occupied(asking) => {
                let asking = asking.into_mut();
                if asking.len() == asking.capacity() {
                    // Who has left makes room.
                    asking.retain(|asker| !asker.is_closed());
                }
                asking.push(asker);
                false
            }
            Entry::Vacant(nobody) => {
                nobody.insert(vec![asker]);
                true
            }
        };
        if is_first {
            tasks.spawn(self.clone().answer_all(question, read).in_current_span());
        }
        answer.await.map_err(|_| Error::Internal("nobody read for those who asked".into()))?
    }

    /// Reads until nobody asks any more.
    async fn answer_all<R, F>(self, question: String, read: R)
    where
        R: Fn() -> F,
        F: Future<Output = Result<Bytes>>,
    {
        while let Some(mut asking) = self.next(&question) {
            let read = tokio::select! {
                read = AssertUnwindSafe(async { read().await }).catch_unwind() => read,
                () = all_gone(&mut asking) => continue,
            };
            let answer = read.unwrap_or_else(|panic| Err(panicked(&*panic)));
            for asker in asking {
                // Who has left needs no answer.
                drop(asker.send(answer.clone()));
            }
        }
    }

    /// Those who have asked since the last reading began; `None` if nobody has.
    fn next(&self, question: &str) -> Option<Asking> {
        let mut asked = self.asked();
        let asking = mem::take(asked.get_mut(question)?);
        if asking.is_empty() {
            asked.remove(question);
            return None;
        }
        Some(asking)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asking>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    Error::Internal(format!("a reading panicked: {said}"))
}

/// Comes back when nobody waits any more: then nothing has to be read.
async fn all_gone(asking: &mut Asking) {
    for asker in asking {
        asker.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;
    use tokio::{
        sync::Semaphore,
        task::{JoinHandle, yield_now},
    };

    use super::*;

    /// Readings that begin when they may, and count themselves.
    #[derive(Clone)]
    struct Readings {
        may: Arc<Semaphore>,
        begun: Arc<AtomicUsize>,
    }

    impl Readings {
        fn new() -> Self {
            Self { may: Arc::new(Semaphore::new(0)), begun: Arc::default() }
        }

        fn read(&self) -> impl Fn() -> BoxFuture<'static, Result<Bytes>> + use<> {
            let here = self.clone();
            move || {
                let here = here.clone();
                async move {
                    let nth = here.begun.fetch_add(1, Ordering::SeqCst);
                    here.may.acquire().await.expect("it is never closed").forget();
                    Ok(Bytes::from(nth.to_string()))
                }
                .boxed()
            }
        }

        async fn have_begun(&self, count: usize) {
            while self.begun.load(Ordering::SeqCst) < count {
                yield_now().await;
            }
        }
    }

    fn ask(together: &Together, readings: &Readings, question: &str) -> JoinHandle<Result<Bytes>> {
        let (together, read, question) = (together.clone(), readings.read(), question.to_owned());
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move { together.ask(&tasks, question, read).await })
    }

    #[tokio::test]
    async fn who_asks_during_a_reading_waits_for_the_next_together() {
        let (together, readings) = (Together::default(), Readings::new());
        let first = ask(&together, &readings, "a");
        readings.have_begun(1).await;
        let later: Vec<_> = (0..9).map(|_| ask(&together, &readings, "a")).collect();
        while together.asked().get("a").is_none_or(|asking| asking.len() < later.len()) {
            yield_now().await;
        }
        readings.may.add_permits(9);
        assert_eq!(first.await.unwrap().unwrap(), "0");
        for asked in later {
            assert_eq!(asked.await.unwrap().unwrap(), "1", "one reading, begun after they asked");
        }
        assert_eq!(readings.begun.load(Ordering::SeqCst), 2);
        readings.may.add_permits(1);
        assert_eq!(ask(&together, &readings, "a").await.unwrap().unwrap(), "2", "nothing is kept");
        while !together.asked().is_empty() {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn other_questions_do_not_wait() {
        let (together, readings) = (Together::default(), Readings::new());
        let stuck = ask(&together, &readings, "a");
        readings.have_begun(1).await;
        let free = Readings::new();
        free.may.add_permits(1);
        assert_eq!(ask(&together, &free, "b").await.unwrap().unwrap(), "0");
        stuck.abort();
    }

    #[tokio::test]
    async fn nothing_is_read_for_those_who_have_left() {
        let (together, readings) = (Together::default(), Readings::new());
        let left = ask(&together, &readings, "a");
        readings.have_begun(1).await;
        left.abort();
        while !together.asked().is_empty() {
            yield_now().await;
        }
        assert_eq!(Arc::strong_count(&readings.begun), 1, "the reading is broken off");
    }

    #[tokio::test]
    async fn a_reading_that_fails_fails_for_all_and_the_next_one_is_tried() {
        let (together, tasks) = (Together::default(), TaskTracker::new());
        let panics = || async { panic!("as it may") };
        let answer = together.ask(&tasks, "a".into(), panics).await;
        let said = |said: &String| said.contains("as it may");
        assert!(matches!(&answer, Err(Error::Internal(text)) if said(text)), "{answer:?}");
        let fails = || async { Err(Error::NotFound("course")) };
        let answer = together.ask(&tasks, "a".into(), fails).await;
        assert!(matches!(answer, Err(Error::NotFound(_))), "{answer:?}");
        let works = || async { Ok(Bytes::from_static(b"here")) };
        assert_eq!(together.ask(&tasks, "a".into(), works).await.unwrap(), "here");
    }
}
