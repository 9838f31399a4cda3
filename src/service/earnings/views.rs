//! The live views that teachers have open on this node, and what those of one teacher share: so
//! that the database is asked for a teacher, and not for each view.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use tokio::sync::watch;

use super::{Watched, since};
use crate::{
    app::App,
    domain::audience::Audience,
    error::{Error, Result},
    id::{CourseId, UserId},
    money::{Currency, Money},
    time::Timestamp,
};

/// How many live views one teacher may have open on a node.
const VIEWS_MAX: u32 = 8;

/// Whoever looks here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Views(Arc<DashMap<UserId, Open>>);

/// Those of one teacher.
#[derive(Debug, Default)]
struct Open {
    count: u32,
    /// A sign-in of theirs may have ended.
    signed_out: watch::Sender<()>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// What a teacher has got since a day began, and what it was read with.
#[derive(Debug)]
struct Kept {
    begin: Timestamp,
    read_at: Instant,
    audience: Vec<(CourseId, Currency, Audience)>,
    earned: BTreeMap<Currency, Money>,
}

/// One open live view, counted for as long as this is kept.
#[derive(Debug)]
pub struct View {
    views: Views,
    pub(super) teacher: UserId,
    signed_out: watch::Receiver<()>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

impl Views {
    /// Opens one more, if its teacher may have one.
    pub fn open(&self, teacher: UserId) -> Result<View> {
        let mut open = self.0.entry(teacher).or_default();
        if open.count >= VIEWS_MAX {
            return Err(Error::RateLimited { retry_after: Duration::from_secs(1) });
        }
        open.count += 1;
        Ok(View {
            views: self.clone(),
            teacher,
            signed_out: open.signed_out.subscribe(),
            kept: Arc::clone(&open.kept),
        })
    }

    /// Has the views of `teacher` look whether they are still signed in.
    pub fn call(&self, teacher: UserId) {
        if let Some(open) = self.0.get(&teacher) {
            open.signed_out.send_replace(());
        }
    }

    /// Has all views look: nobody knows what was missed.
    pub fn call_all(&self) {
        for open in self.0.iter() {
            open.signed_out.send_replace(());
        }
    }
}

impl View {
    /// Waits until a sign-in of the teacher may have ended: this one or another.
    pub async fn called(&mut self) {
        if self.signed_out.changed().await.is_err() {
            // Nobody is left who could call.
            std::future::pending::<()>().await;
        }
    }

    /// What the teacher has got from `begin` on. Read once a tick for all views, or when `audience`
    /// has changed: what was settled is no longer pending, so it must have been earned.
    pub(super) async fn earned_since(
        &self,
        app: &App,
        begin: Timestamp,
        audience: &Watched,
    ) -> Result<BTreeMap<Currency, Money>> {
        let fresh = app.clock.cadence(app.config.metering.tick());
        let is_it = |kept: &Kept| kept.begin == begin && kept.audience == *audience;
        let known = {
            let mut kept = self.kept();
            kept.retain(|kept| kept.read_at.elapsed() < fresh);
            kept.iter().find(|kept| is_it(kept)).map(|kept| kept.earned.clone())
        };
        if let Some(earned) = known {
            return Ok(earned);
        }
        // Nobody waits for another's reading: whoever looks may be slow to come back to it.
        let read_at = Instant::now();
        let earned = since(&mut app.db.read().await?, self.teacher, begin).await?;
        let mut kept = self.kept();
        kept.retain(|kept| kept.begin != begin);
        kept.push(Kept { begin, read_at, audience: audience.to_vec(), earned: earned.clone() });
        Ok(earned)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().expect("nobody panics while holding it")
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.views.0.entry(self.teacher) {
            open.get_mut().count -= 1;
            if open.get().count == 0 {
                open.remove();
            }
        }
    }
}
