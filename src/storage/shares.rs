//! Who has how much of what there is little of, so that nobody takes all of it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

/// What each has at the moment. Clones count together; whoever has nothing is not kept.
#[derive(Clone, Debug)]
pub(super) struct Shares<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Copy + Eq + Hash> Shares<K> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// One more for `key`, unless that has `most` of them already.
    pub(super) fn take(&self, key: K, most: usize) -> Option<Share<K>> {
        let mut taken = self.lock();
        let count = taken.get(&key).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        taken.insert(key, count + 1);
        drop(taken);
        Some(Share { shares: self.clone(), key })
    }

    fn give_back(&self, key: &K) {
        let mut taken = self.lock();
        match taken.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(key)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// One of what somebody has, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share<K: Copy + Eq + Hash> {
    shares: Shares<K>,
    key: K,
}

impl<K: Copy + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.shares.give_back(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_no_more_than_its_share() {
        let shares = Shares::new();
        let first = shares.take("a", 2).unwrap();
        let second = shares.take("a", 2).unwrap();
        assert!(shares.take("a", 2).is_none());
        let other = shares.take("b", 2).unwrap();
        drop(first);
        let third = shares.take("a", 2).unwrap();
        assert!(shares.take("a", 2).is_none());
        drop((second, third, other));
        assert!(shares.lock().is_empty(), "nobody is kept who has nothing");
    }
}
