//! One session on this node: its meter, its socket, and what its player has been told.
//!
//! Everything that happens to it happens inside one short lock, which is never held across an
//! await: messages from the player, the wheel's ticks, news from the bus. What takes longer
//! (growing the hold, settling) is started from here as a task, and comes back with its result.
//! Messages leave inside the lock too, so that the player reads them in the order of events.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{
    Live,
    close::Close,
    ending,
    funds::{self, Growth},
    message::Outgoing,
    socket::Socket,
    watching::Watching,
    wheel::Turn,
};
use crate::{
    bus::{Answer, Glance},
    db::claims::Owned,
    domain::{
        meter::{EXTEND_BELOW, Event, LOW_BALANCE, Meter, Phase, Reading, Taken},
        session::Session,
        stretch::Stretch,
    },
    id::{SessionId, UserId},
    money::Money,
    time::{Moment, Timestamp, whole_ms},
};

/// A session that is metered here.
#[derive(Debug)]
pub(super) struct LiveSession {
    pub(super) id: SessionId,
    pub(super) student_id: UserId,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// As it was last written. Its fence is what we own it by.
    pub(super) session: Session,
    pub(super) meter: Meter,
    pub(super) socket: Option<Arc<Socket>>,
    pub(super) stage: Stage,
    pub(super) watching: Watching,
    /// Whoever waits on another node for the end.
    pub(super) answers: Vec<Answer>,
    /// What the player was told last.
    shown: Option<Phase>,
    pub(super) seq: u64,
    /// How many of the marks of [`LOW_BALANCE`] have been passed.
    marks_passed: usize,
    is_growing: bool,
}

/// How far a session's life on this node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// Being settled. Nothing else happens to it any more.
    Ending,
    /// Settled, or somebody else's.
    Gone,
}

/// What a session had come to when it stopped being metered here.
#[derive(Clone, Debug)]
pub(super) struct Total {
    pub(super) session: Session,
    pub(super) watched: Duration,
    pub(super) stretches: Vec<Stretch>,
}

impl LiveSession {
    /// A session nobody has watched yet.
    pub(super) fn opening(session: Session, now: Timestamp, moment: Moment) -> Self {
        let age = now.since(session.started_at);
        let meter = Meter::opening(session.rate(), age, moment);
        Self::new(session, meter)
    }

    /// A session that was metered elsewhere, or by nobody for a while. `lost`: by our fault.
    pub(super) fn taken_over(session: Session, lost: bool, now: Timestamp, moment: Moment) -> Self {
        let taken = Taken { age: now.since(session.started_at), lost };
        let (watched, stretches) = (session.watched, session.stretches.clone());
        let meter = Meter::taken_over(session.rate(), watched, stretches, taken, moment);
        Self::new(session, meter)
    }

    fn new(session: Session, meter: Meter) -> Self {
        Self {
            id: session.id,
            student_id: session.student_id,
            state: Mutex::new(State {
                session,
                meter,
                socket: None,
                stage: Stage::Open,
                watching: Watching::default(),
                answers: Vec::new(),
                shown: None,
                seq: 0,
                marks_passed: 0,
                is_growing: false,
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// What it is owned by.
    pub(super) fn fence(&self) -> i64 {
        self.state().session.fence
    }

    /// Compares with what the database says is this node's. `false`: that is not what is here.
    ///
    /// Of a claim whose answer was lost nobody told, and under the old fence nothing that we write
    /// would count. But a newer one may also have been another node's for a while: then the row
    /// knows of more than we.
    pub(super) fn is_owned_as(&self, live: &Live, owned: &Owned) -> bool {
        let mut state = self.state();
        let is_newer = owned.fence > state.session.fence;
        if !is_newer || state.stage != Stage::Open {
            return true;
        }
        let watched = state.meter.read(&live.rules, live.moment()).watched;
        let knows_ours = u64::try_from(owned.watched_ms).is_ok_and(|ms| ms <= whole_ms(watched));
        if knows_ours {
            state.session.fence = owned.fence;
        }
        knows_ours
    }

    /// Gives the session to `socket`, as `claimed` in the database; an older socket is told.
    pub(super) fn attach(
        self: &Arc<Self>,
        live: &Live,
        socket: &Arc<Socket>,
        claimed: &Session,
        available: Money,
    ) -> Stage {
        let mut state = self.state();
        if state.stage != Stage::Open {
            return state.stage;
        }
        if claimed.fence < state.session.fence {
            // Somebody came later and was seated sooner.
            live.supersede(socket);
            return Stage::Open;
        }
        state.take_row(claimed);
        if let Some(older) = state.socket.replace(Arc::clone(socket)) {
            live.supersede(&older);
            state.apply(live, Event::Detach);
        }
        state.apply(live, Event::Hold(claimed.held));
        let reading = state.apply(live, Event::Attach);
        state.shown = Some(reading.phase);
        let hello = state.hello(&reading, available, &live.app.config.metering);
        live.send(socket, &hello);
        Stage::Open
    }

    /// What was watched up to now, for a claim: an older socket may still be playing.
    pub(super) fn so_far(&self, live: &Live) -> (Duration, Vec<Stretch>) {
        let state = self.state();
        let now = live.moment();
        let watched = state.meter.read(&live.rules, now).watched;
        (watched, state.meter.stretches(&live.rules, now))
    }

    /// How it is at this moment. `None`: it is being settled.
    pub(super) fn glance(&self, live: &Live) -> Option<Glance> {
        let state = self.state();
        let reading = state.meter.read(&live.rules, live.moment());
        (state.stage == Stage::Open).then(|| Glance {
            phase: reading.phase,
            watched_ms: whole_ms(reading.watched),
            cost: reading.cost,
            held: reading.held,
        })
    }

    pub(super) fn knows_videos(&self) -> bool {
        self.state().watching.is_known()
    }

    pub(super) fn learn(&self, watching: Watching) {
        let mut state = self.state();
        if !state.watching.is_known() {
            state.watching = watching;
        }
    }

    /// The connection is over: the charge ends, the session waits for its player.
    pub(super) fn detach(&self, live: &Live, socket: &Arc<Socket>) {
        let mut state = self.state();
        if state.is_on(socket) {
            state.socket = None;
            if state.stage == Stage::Open {
                state.apply(live, Event::Detach);
            }
        }
    }

    /// Does what the player says, if it is still this session's player who speaks.
    pub(super) fn play(
        self: &Arc<Self>,
        live: &Live,
        socket: &Arc<Socket>,
        event: Event,
    ) -> Option<Reading> {
        let mut state = self.state();
        if !state.is_on(socket) || state.stage != Stage::Open {
            return None;
        }
        let reading = state.apply(live, event);
        self.follow(live, &mut state, &reading);
        Some(reading)
    }

    /// The hold has grown; `None`: it has not, for now.
    pub(super) fn grown(self: &Arc<Self>, live: &Live, held: Option<Money>) {
        let mut state = self.state();
        state.is_growing = false;
        let Some(held) = held.filter(|held| *held > state.session.held) else { return };
        state.session.held = held;
        state.marks_passed = 0;
        let reading = state.apply(live, Event::Hold(held));
        if let Some(socket) = &state.socket {
            live.send(socket, &Outgoing::Extended { held });
        }
        self.follow(live, &mut state, &reading);
    }

    /// Brings the session to the moment of `turn`, and tells its player. `false`: it is not here
    /// any more.
    pub(super) fn tick(self: &Arc<Self>, live: &Live, turn: &mut Turn<'_>) -> bool {
        let mut state = self.state();
        match state.stage {
            Stage::Open => {}
            Stage::Ending => {
                // Until it is settled, nothing else of what was watched outlives this node.
                let reading = state.meter.read(&live.rules, live.moment());
                state.pack(&reading, &mut turn.packed);
                // And it is not earned before.
                state.count(&reading, turn.audience);
                return true;
            }
            Stage::Gone => return false,
        }
        let reading = state.apply(live, Event::Tick);
        self.follow(live, &mut state, &reading);
        state.pack(&reading, &mut turn.packed);
        state.count(&reading, turn.audience);
        if state.stage != Stage::Open {
            return true;
        }
        state.seq += u64::from(state.socket.is_some());
        if let Some(socket) = &state.socket {
            turn.ticks += 1;
            state.write_tick(&reading, turn.frame);
            live.after(socket, socket.offer(turn.frame.finish()));
            let caps = &live.app.config.live;
            if !socket.is_alive(turn.real_ms, caps.ping(), caps.pong()) {
                // Its task then finds that the connection is over, and detaches it.
                socket.cut();
            }
        }
        true
    }

    /// An alarm rang: something was to happen to the session between two ticks.
    pub(super) fn ring(self: &Arc<Self>, live: &Live) {
        let mut state = self.state();
        if state.stage == Stage::Open {
            let reading = state.apply(live, Event::Tick);
            self.follow(live, &mut state, &reading);
        }
    }

    /// Does what a reading calls for: tell the player, grow the hold, set the alarm, end.
    fn follow(self: &Arc<Self>, live: &Live, state: &mut State, reading: &Reading) {
        if state.shown != Some(reading.phase) {
            state.shown = Some(reading.phase);
            if let Some(socket) = &state.socket {
                let (phase, reason) = (reading.phase.as_str(), reading.reason);
                live.send(socket, &Outgoing::State { phase, reason });
            }
        }
        if let Some(reason) = state.meter.over(&live.rules, live.moment()) {
            ending::begin(live, self, state, reason, None);
            return;
        }
        self.watch_funds(live, state, reading);
        // Whatever else changes by itself may be told at the next tick; money stops on time.
        if reading.remaining.is_some_and(|remaining| remaining <= live.rules.tick)
            && let Some(change) = state.meter.next_change(&live.rules)
        {
            live.set_alarm(change, self.id);
        }
    }

    /// The hold grows by itself when little of it is left, and the player is warned.
    fn watch_funds(self: &Arc<Self>, live: &Live, state: &mut State, reading: &Reading) {
        let Some(remaining) = reading.remaining else { return };
        let passed = LOW_BALANCE.iter().filter(|mark| remaining <= **mark).count();
        let is_passing = passed > state.marks_passed;
        state.marks_passed = passed;
        if state.is_growing || !matches!(reading.phase, Phase::Playing | Phase::Suspended) {
            return;
        }
        let may_grow = state.session.terms.auto_extend;
        let growth = match () {
            () if may_grow && remaining < EXTEND_BELOW => Growth::Grow { and_warn: is_passing },
            () if is_passing => Growth::Warn,
            () => return,
        };
        state.is_growing = true;
        live.spawn(funds::run(live.clone(), Arc::clone(self), growth));
    }

    /// Money has come in: whoever waits for it goes on at once.
    pub(super) fn credited(self: &Arc<Self>, live: &Live) {
        let mut state = self.state();
        let is_low = {
            let reading = state.meter.read(&live.rules, live.moment());
            reading.remaining.is_some_and(|remaining| remaining < EXTEND_BELOW)
        };
        if is_low && state.stage == Stage::Open && !state.is_growing {
            state.is_growing = true;
            let growth = Growth::Grow { and_warn: false };
            live.spawn(funds::run(live.clone(), Arc::clone(self), growth));
        }
    }

    /// Stops metering for good, unless somebody else did. The caller decides what becomes of it.
    pub(super) fn stop(&self, live: &Live) -> Option<(Total, Option<Arc<Socket>>)> {
        let mut state = self.state();
        if state.stage != Stage::Open {
            return None;
        }
        state.stage = Stage::Gone;
        let total = state.total(live);
        Some((total, state.socket.take()))
    }

    /// What the player sees is not known here any more: it reads it anew when it comes back.
    pub(super) fn drop_out(&self, live: &Live, close: Close) {
        let mut state = self.state();
        state.stage = Stage::Gone;
        if let Some(socket) = state.socket.take() {
            if close == Close::Superseded {
                live.supersede(&socket);
            } else {
                socket.close(close);
            }
        }
    }
}

impl State {
    /// Tells the meter what happened, and notes what that says about a video.
    fn apply(&mut self, live: &Live, event: Event) -> Reading {
        let reading = self.meter.apply(event, &live.rules, live.moment());
        if let Some(passage) = reading.passage {
            self.watching.passed(passage);
        }
        reading
    }

    pub(super) fn is_on(&self, socket: &Arc<Socket>) -> bool {
        self.socket.as_ref().is_some_and(|known| Arc::ptr_eq(known, socket))
    }

    /// Takes over what a claim has written. The hold may have grown since.
    fn take_row(&mut self, claimed: &Session) {
        let held = claimed.held.max(self.session.held);
        self.session = Session { held, ..claimed.clone() };
    }

    /// Ends the charge, and says what it has all come to.
    pub(super) fn total(&mut self, live: &Live) -> Total {
        let reading = self.apply(live, Event::Detach);
        let stretches = self.meter.stretches(&live.rules, live.moment());
        Total { session: self.session.clone(), watched: reading.watched, stretches }
    }
}
