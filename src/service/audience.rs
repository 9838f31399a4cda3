//! Who watches just now, on all nodes: what they tell each other at each tick.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{
    app::App,
    bus::{Notice, To},
    domain::audience::{Audience, Audiences, Count, Part, parts},
    id::{CourseId, NodeId, UserId},
    money::Currency,
};

/// A node that was not heard of for so many ticks is gone, and its viewers with it.
const TICKS_MAX: u32 = 3;

/// Who watches, as far as this node has heard. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Viewers(Arc<Mutex<Audiences>>);

impl Viewers {
    /// Takes in what `node` tells, and forgets those that do not any more.
    pub fn hear(&self, app: &App, node: NodeId, part: Part) {
        let now = Instant::now();
        let mut audiences = self.audiences();
        audiences.hear(node, part, now);
        audiences.forget(now, patience(app));
    }

    /// Forgets a node that has left.
    pub fn leave(&self, node: NodeId) {
        self.audiences().leave(node);
    }

    /// The audience of `teacher`, by course.
    #[must_use]
    pub fn of(&self, app: &App, teacher: UserId) -> Vec<(CourseId, Currency, Audience)> {
        let mut audiences = self.audiences();
        // A clock that is moved by hand does not keep nodes from dying.
        audiences.forget(Instant::now(), patience(app));
        audiences.of(teacher)
    }

    fn audiences(&self) -> MutexGuard<'_, Audiences> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

fn patience(app: &App) -> Duration {
    app.config.metering.tick() * TICKS_MAX
}

/// Tells all nodes, this one too, who watches here.
pub fn tell(app: &App, round: u64, count: Count) {
    for part in parts(round, count) {
        app.bus.publish(To::All, Notice::Audience { node_id: app.node_id, part });
    }
}
