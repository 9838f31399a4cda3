//! The wheel: all ticks of a node, from one thread.
//!
//! Sessions are spread over its slots by their ids, and one tick is one round: so the work is even,
//! and each session is ticked at the same point of each round. Frames leave right here, one system
//! call each. Between two slots the alarms are looked at: a hold that is used up ends then, and not
//! at the next tick.
//!
//! The thread is the wheel's own, so that no task keeps it waiting, and it none.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Live, frame::TextFrame};
use crate::{
    domain::{
        audience::Count,
        checkpoint::{self, SLOTS},
    },
    service::audience,
    time::Moment,
};

/// The longest the wheel sleeps, so that an alarm set meanwhile is not heard too late.
const SLEEP_MAX: Duration = Duration::from_millis(25);

/// One turn of the wheel through a slot.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The machine's time, for signs of life. Tests move the other one.
    pub(super) real_ms: u64,
    /// Where ticks are written, one after the other.
    pub(super) frame: &'a mut TextFrame,
    /// The slot's checkpoint, so far.
    pub(super) packed: Vec<u8>,
    pub(super) ticks: u64,
    /// Who was met in this round.
    pub(super) audience: &'a mut Count,
}

pub(super) fn run(live: &Live) {
    // Without ticks nobody is charged and no checkpoint is written.
    let _stop_all_if_i_die = live.app.stop.clone().drop_guard();
    let began = Instant::now();
    let slots = u32::try_from(SLOTS).expect("a wheel has few slots");
    let round = live.app.clock.cadence(live.rules.tick);
    let step = round / slots;
    let mut frame = TextFrame::new();
    let mut had_sessions = [false; SLOTS];
    let mut audience = Count::new();
    let mut rounds: u64 = 0;
    let mut nth: u32 = 0;
    let mut round_began = began;
    while !live.app.stop.is_cancelled() {
        let due = round_began + step * nth;
        wait(live, due);
        ring_alarms(live);
        let now = Instant::now();
        if now < due {
            continue;
        }
        let slot = usize::try_from(nth).expect("a wheel has few slots");
        turn(live, slot, &mut had_sessions[slot], (&mut frame, &mut audience));
        live.app.metrics.record_tick_lag(now - due);
        nth += 1;
        if nth == slots {
            nth = 0;
            rounds += 1;
            tell_audience(live, rounds, std::mem::take(&mut audience));
            round_began += round;
            // After a standstill there is no point in catching up: time without proof is free.
            if now > round_began + round {
                round_began = now;
            }
        }
    }
}

/// Tells who watches here, beside the wheel: there may be many courses.
fn tell_audience(live: &Live, round: u64, audience: Count) {
    let app = live.app.clone();
    live.spawn(async move { audience::tell(&app, round, audience) });
}

/// Until `due`, or until an alarm rings; but never for long.
fn wait(live: &Live, due: Instant) {
    let alarm = live.alarms().peek().map(|alarm| alarm.0.0);
    let until_alarm = alarm.map_or(SLEEP_MAX, |at| at.since(live.moment()));
    let until_due = due.saturating_duration_since(Instant::now());
    thread::sleep(until_due.min(until_alarm).min(SLEEP_MAX));
}

fn ring_alarms(live: &Live) {
    let now = live.moment();
    while let Some(session) = next_alarm(live, now) {
        if let Some(session) = live.registry.find(session) {
            session.ring(live);
        }
    }
}

fn next_alarm(live: &Live, now: Moment) -> Option<crate::id::SessionId> {
    let mut alarms = live.alarms();
    let is_due = alarms.peek().is_some_and(|alarm| alarm.0.0 <= now);
    is_due.then(|| alarms.pop()).flatten().map(|alarm| alarm.0.1)
}

/// Ticks the sessions of one slot, and hands their checkpoint on.
fn turn(
    live: &Live,
    slot: usize,
    had_sessions: &mut bool,
    (frame, audience): (&mut TextFrame, &mut Count),
) {
    let mut sessions = live.registry.take(slot);
    let mut packed = Vec::with_capacity(1 + sessions.len() * checkpoint::ENTRY_BYTES);
    checkpoint::begin(&mut packed);
    let empty = packed.len();
    let mut turn = Turn { real_ms: live.real_ms(), frame, packed, ticks: 0, audience };
    sessions.retain(|session| session.tick(live, &mut turn));
    live.registry.give_back(slot, sessions);
    live.app.metrics.record_ticks(turn.ticks);
    let is_empty = turn.packed.len() == empty;
    // An empty slot is written once, over what stood there.
    if !is_empty || std::mem::take(had_sessions) {
        *had_sessions = !is_empty;
        let _ = live.checkpoints.send((slot, turn.packed));
    }
}
