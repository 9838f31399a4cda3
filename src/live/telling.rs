//! What a player is told: the words for what the meter says, and how they leave.

use std::sync::Arc;

use super::{
    Live,
    close::Close,
    frame::TextFrame,
    message::{Hello, Outgoing, Tick},
    session::State,
    socket::{Sent, Socket},
};
use crate::{
    config::Metering,
    domain::{
        audience::Count,
        checkpoint,
        meter::{Phase, Reading},
        session::Session,
        settlement::teachers_share,
    },
    money::Money,
    time::whole_ms,
};

impl State {
    pub(super) fn hello(
        &self,
        reading: &Reading,
        available: Money,
        metering: &Metering,
    ) -> Outgoing {
        let terms = &self.session.terms;
        Outgoing::Hello(Hello {
            session_id: self.session.id,
            phase: reading.phase.as_str(),
            watched_ms: whole_ms(reading.watched),
            cost: reading.cost,
            held: reading.held,
            available,
            price_per_minute: terms.price_per_minute,
            currency: terms.currency,
            tick_ms: metering.tick_ms,
            grace_ms: metering.reconnect_grace_ms,
            short_session_free: !terms.free_below.is_zero(),
            remaining_ms: reading.remaining.map(whole_ms),
        })
    }

    pub(super) fn write_tick(&self, reading: &Reading, frame: &mut TextFrame) {
        let tick = Tick {
            seq: self.seq,
            watched_ms: whole_ms(reading.watched),
            cost: reading.cost,
            held: reading.held,
            remaining_ms: reading.remaining.map(whole_ms),
            free_remaining_ms: whole_ms(reading.free_remaining),
        };
        frame.clear();
        tick.write(frame);
    }

    /// Counts it for its teacher. What would be free if it ended now has brought nothing yet.
    pub(super) fn count(&self, reading: &Reading, audience: &mut Count) {
        let Session { teacher_id, course_id, terms, .. } = &self.session;
        let of_course = audience.entry((*teacher_id, *course_id, terms.currency)).or_default();
        of_course.viewers += u64::from(self.socket.is_some());
        if reading.free_remaining.is_zero() {
            of_course.pending += teachers_share(reading.cost, &terms.split);
        }
    }

    pub(super) fn pack(&self, reading: &Reading, packed: &mut Vec<u8>) {
        let entry = checkpoint::Entry {
            session_id: self.session.id,
            fence: self.session.fence,
            watched_ms: whole_ms(reading.watched),
            was_attached: reading.phase != Phase::Opening,
        };
        checkpoint::push(packed, &entry);
    }
}

impl Live {
    /// Sends a message that must arrive, if anything does.
    pub(super) fn send(&self, socket: &Arc<Socket>, message: &Outgoing) {
        let mut frame = TextFrame::new();
        message.write(&mut frame);
        self.after(socket, socket.send(frame.finish()));
    }

    /// Tells a player that another socket has its session, and closes this one.
    pub(super) fn supersede(&self, socket: &Arc<Socket>) {
        self.send(socket, &Outgoing::Superseded);
        socket.close(Close::Superseded);
    }

    /// A peer that does not take what it is sent gets some time for it, beside everybody else.
    pub(super) fn after(&self, socket: &Arc<Socket>, sent: Sent) {
        if sent == Sent::Slow {
            let (socket, patience) = (Arc::clone(socket), self.app.config.live.slow_reader());
            self.spawn(async move { socket.catch_up(patience).await });
        }
    }
}
