//! Who is live on this node: sessions by id and by student, in the slots of the wheel; and how
//! many sockets there are, and whose.
//!
//! No guard of a map is ever kept: what is asked for comes out as a clone.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use dashmap::{DashMap, Entry};

use super::session::LiveSession;
use crate::{
    config,
    domain::checkpoint::{self, SLOTS},
    error::{Error, Result},
    id::{SessionId, UserId},
};

#[derive(Debug)]
pub(super) struct Registry {
    sessions: DashMap<SessionId, Arc<LiveSession>>,
    of_students: DashMap<UserId, SessionId>,
    slots: Vec<Mutex<Vec<Arc<LiveSession>>>>,
    sockets: Arc<Sockets>,
}

/// Open sockets, counted.
#[derive(Debug, Default)]
struct Sockets {
    total: AtomicU32,
    of_addresses: DashMap<IpAddr, u32>,
    of_users: DashMap<UserId, u32>,
}

/// One open socket, counted for as long as this is kept.
#[derive(Debug)]
pub struct CountedSocket {
    sockets: Arc<Sockets>,
    address: IpAddr,
    user: Option<UserId>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            sessions: DashMap::new(),
            of_students: DashMap::new(),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            sockets: Arc::default(),
        }
    }

    /// Takes a session in, unless it is there under the same fence or a newer one: then that one.
    /// What was there under an older fence is given back: it is worth nothing any more.
    pub(super) fn insert(&self, live: LiveSession) -> (Arc<LiveSession>, Option<Arc<LiveSession>>) {
        let (id, student_id, fence) = (live.id, live.student_id, live.fence());
        let live = Arc::new(live);
        let stale = match self.sessions.entry(id) {
            Entry::Occupied(known) if known.get().fence() >= fence => {
                return (Arc::clone(known.get()), None);
            }
            Entry::Occupied(mut known) => Some(known.insert(Arc::clone(&live))),
            Entry::Vacant(vacant) => {
                vacant.insert(Arc::clone(&live));
                None
            }
        };
        self.of_students.insert(student_id, id);
        self.slot(checkpoint::slot_of(id)).push(Arc::clone(&live));
        (live, stale)
    }

    /// Forgets a session; its slot lets go of it at its next turn.
    pub(super) fn remove(&self, live: &Arc<LiveSession>) {
        self.sessions.remove_if(&live.id, |_, known| Arc::ptr_eq(known, live));
        self.of_students.remove_if(&live.student_id, |_, known| *known == live.id);
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<LiveSession>> {
        self.sessions.get(&id).map(|live| Arc::clone(live.value()))
    }

    pub(super) fn find_of(&self, student: UserId) -> Option<Arc<LiveSession>> {
        let id = *self.of_students.get(&student)?.value();
        self.find(id)
    }

    pub(super) fn all(&self) -> Vec<Arc<LiveSession>> {
        self.sessions.iter().map(|live| Arc::clone(live.value())).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Takes the sessions of a slot out, to be given back with [`Registry::give_back`].
    pub(super) fn take(&self, slot: usize) -> Vec<Arc<LiveSession>> {
        std::mem::take(&mut *self.slot(slot))
    }

    pub(super) fn give_back(&self, slot: usize, mut sessions: Vec<Arc<LiveSession>>) {
        let mut slot = self.slot(slot);
        sessions.append(&mut slot);
        *slot = sessions;
    }

    fn slot(&self, slot: usize) -> std::sync::MutexGuard<'_, Vec<Arc<LiveSession>>> {
        self.slots[slot].lock().expect("nobody panics while holding it")
    }

    /// Counts a socket from `address`, if there may be one more.
    pub(super) fn count_socket(
        &self,
        address: IpAddr,
        caps: &config::Live,
    ) -> Result<CountedSocket> {
        let sockets = Arc::clone(&self.sockets);
        let before = sockets.total.fetch_add(1, Ordering::Relaxed);
        if before >= caps.sockets_max {
            sockets.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let is_fine = increase(&sockets.of_addresses, address, caps.sockets_per_address_max);
        if !is_fine {
            sockets.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::RateLimited { retry_after: std::time::Duration::from_secs(1) });
        }
        Ok(CountedSocket { sockets, address, user: None })
    }

    pub(super) fn count_sockets(&self) -> u32 {
        self.sockets.total.load(Ordering::Relaxed)
    }
}

impl CountedSocket {
    /// Counts it for `user` too, now that it is known whose it is. `false`: that is one too many.
    pub(super) fn belongs_to(&mut self, user: UserId, caps: &config::Live) -> bool {
        let is_fine = increase(&self.sockets.of_users, user, caps.sockets_per_user_max);
        if is_fine {
            self.user = Some(user);
        }
        is_fine
    }
}

impl Drop for CountedSocket {
    fn drop(&mut self) {
        self.sockets.total.fetch_sub(1, Ordering::Relaxed);
        decrease(&self.sockets.of_addresses, self.address);
        if let Some(user) = self.user {
            decrease(&self.sockets.of_users, user);
        }
    }
}

fn increase<K: Eq + Hash>(counts: &DashMap<K, u32>, key: K, max: u32) -> bool {
    let mut count = counts.entry(key).or_default();
    let is_fine = *count < max;
    *count += u32::from(is_fine);
    is_fine
}

fn decrease<K: Eq + Hash>(counts: &DashMap<K, u32>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}
