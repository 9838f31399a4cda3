//! Who watches which course just now, and what that is worth so far: counted on each node, put
//! together on each. For showing only: nothing is decided by it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{CourseId, NodeId, UserId},
    money::{Currency, Money},
};

/// What is counted apart: sessions of one course may be in two currencies, if that was changed.
pub type Key = (UserId, CourseId, Currency);

/// The open sessions of one course, in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Players that are connected.
    pub viewers: u64,
    /// The teacher's share of what these sessions would cost if they ended now.
    pub pending: Money,
}

/// All open sessions of a node, by course.
pub type Count = HashMap<Key, Audience>;

/// A part of a node's count, as it is told to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Goes up with each count of a node.
    pub round: u64,
    pub nth: usize,
    pub parts: usize,
    pub rows: Vec<(Key, Audience)>,
}

/// How many courses fit one part.
pub const ROWS_MAX: usize = 100;

/// Divides a count into parts. An empty one is one part, which says so.
#[must_use]
pub fn parts(round: u64, count: Count) -> Vec<Part> {
    let rows: Vec<(Key, Audience)> = count.into_iter().collect();
    let parts = rows.len().div_ceil(ROWS_MAX).max(1);
    let rows_of = |nth| rows.iter().skip(nth * ROWS_MAX).take(ROWS_MAX).copied().collect();
    (0..parts).map(|nth| Part { round, nth, parts, rows: rows_of(nth) }).collect()
}

/// What all nodes have counted lately.
#[derive(Debug, Default)]
pub struct Audiences {
    nodes: HashMap<NodeId, Told>,
}

/// What one node has told.
#[derive(Debug)]
struct Told {
    at: Instant,
    by_teacher: HashMap<UserId, Vec<(CourseId, Currency, Audience)>>,
    /// Parts of a count that is not whole yet.
    coming: Vec<Part>,
}

impl Audiences {
    /// Takes in what `node` tells. A count of which a part got lost is never shown.
    pub fn hear(&mut self, node: NodeId, part: Part, at: Instant) {
        let told = self.nodes.entry(node).or_insert_with(|| Told {
            at,
            by_teacher: HashMap::new(),
            coming: Vec::new(),
        });
        told.coming.retain(|other| other.round == part.round && other.nth != part.nth);
        let parts = part.parts;
        told.coming.push(part);
        if told.coming.len() == parts {
            told.at = at;
            told.by_teacher.clear();
            for ((teacher, course, currency), audience) in
                told.coming.drain(..).flat_map(|part| part.rows)
            {
                told.by_teacher.entry(teacher).or_default().push((course, currency, audience));
            }
        }
    }

    /// Forgets a node that has left: its sessions are others' by now.
    pub fn leave(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Forgets nodes that were not heard of for `limit`.
    pub fn forget(&mut self, now: Instant, limit: Duration) {
        self.nodes.retain(|_, told| now.saturating_duration_since(told.at) <= limit);
    }

    /// The audience of `teacher` on all nodes, by course.
    #[must_use]
    pub fn of(&self, teacher: UserId) -> Vec<(CourseId, Currency, Audience)> {
        let mut sums: HashMap<(CourseId, Currency), Audience> = HashMap::new();
        for told in self.nodes.values() {
            for (course, currency, audience) in told.by_teacher.get(&teacher).into_iter().flatten()
            {
                let sum = sums.entry((*course, *currency)).or_default();
                sum.viewers += audience.viewers;
                sum.pending += audience.pending;
            }
        }
        let mut all: Vec<_> = sums.into_iter().map(|((id, of), sum)| (id, of, sum)).collect();
        all.sort_by_key(|(course, currency, _)| (*course, *currency));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const LIMIT: Duration = Duration::from_secs(15);

    fn teacher() -> UserId {
        UserId::from_uuid(uuid::Uuid::nil())
    }

    fn key(course: u128) -> Key {
        let course = CourseId::from_uuid(uuid::Uuid::from_u128(course));
        (teacher(), course, "USD".parse().unwrap())
    }

    fn count(courses: u128, viewers: u64) -> Count {
        let audience = Audience { viewers, pending: Money::from_micros(7) };
        (0..courses).map(|course| (key(course), audience)).collect()
    }

    fn viewers(audiences: &Audiences) -> u64 {
        audiences.of(teacher()).iter().map(|(_, _, audience)| audience.viewers).sum()
    }

    fn hear_all(audiences: &mut Audiences, node: NodeId, parts: Vec<Part>, at: Instant) {
        for part in parts {
            audiences.hear(node, part, at);
        }
    }

    #[test]
    fn nodes_are_added_up_and_forgotten() {
        let (one, two) = (NodeId::new(Timestamp::EPOCH), NodeId::new(Timestamp::EPOCH));
        let began = Instant::now();
        let mut audiences = Audiences::default();
        hear_all(&mut audiences, one, parts(1, count(2, 10)), began);
        hear_all(&mut audiences, two, parts(9, count(1, 5)), began + LIMIT);
        assert_eq!(viewers(&audiences), 25);
        let first = audiences.of(teacher())[0];
        assert_eq!((first.2.viewers, first.2.pending.micros()), (15, 14));
        // A newer count is in place of the older, not beside it.
        hear_all(&mut audiences, two, parts(10, count(0, 0)), began + LIMIT);
        assert_eq!(viewers(&audiences), 20);
        hear_all(&mut audiences, two, parts(11, count(1, 5)), began + LIMIT * 2);
        audiences.forget(began + LIMIT * 2, LIMIT);
        assert_eq!(viewers(&audiences), 5);
        audiences.leave(two);
        assert_eq!(viewers(&audiences), 0);
    }

    #[test]
    fn a_count_is_shown_whole_or_not_at_all() {
        let node = NodeId::new(Timestamp::EPOCH);
        let now = Instant::now();
        let mut audiences = Audiences::default();
        hear_all(&mut audiences, node, parts(1, count(1, 1)), now);
        let rows = u128::try_from(ROWS_MAX).unwrap() * 2 + 1;
        let three = parts(2, count(rows, 1));
        assert_eq!(three.len(), 3);
        // The second is lost: the first of the next count comes instead.
        audiences.hear(node, three[0].clone(), now);
        audiences.hear(node, three[2].clone(), now);
        assert_eq!(viewers(&audiences), 1);
        let mut next = parts(3, count(rows, 1));
        next.reverse();
        audiences.hear(node, next[0].clone(), now);
        audiences.hear(node, next[0].clone(), now);
        assert_eq!(viewers(&audiences), 1, "the same part twice");
        hear_all(&mut audiences, node, next, now);
        assert_eq!(u128::from(viewers(&audiences)), rows);
    }
}
