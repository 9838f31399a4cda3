//! What a player says, one message after the other.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Live,
    close::Close,
    ending, funds,
    message::{Incoming, Outgoing, Progress},
    session::{LiveSession, Stage},
    socket::{Received, Socket},
};
use crate::{
    domain::{
        meter::{Event, Position, Proof, Verdict},
        session::EndReason,
    },
    id::VideoId,
};

/// How many seconds' worth of messages may come at once.
const BURST_SECONDS: u32 = 10;

/// Listens to a player until its socket is closed, by either side.
pub(super) async fn run(live: Live, session: Arc<LiveSession>, socket: Arc<Socket>) {
    let mut budget = Budget::new(live.app.config.live.messages_per_second_max);
    // First what came behind the handshake; it has been read already.
    loop {
        if !hear_all(&live, &session, &socket, &mut budget) {
            session.detach(&live, &socket);
            // Somebody may wait for the end of this socket.
            socket.cut();
            return;
        }
        if !socket.readable().await {
            break;
        }
    }
    session.detach(&live, &socket);
    // In a box: it is large, and none of those who play need it.
    Box::pin(socket.linger()).await;
}

/// Reads what has come. `false`: the connection is over.
fn hear_all(
    live: &Live,
    session: &Arc<LiveSession>,
    socket: &Arc<Socket>,
    budget: &mut Budget,
) -> bool {
    while !socket.is_closed() {
        let received = socket.read();
        match &received {
            Received::Nothing => return true,
            Received::Over => return false,
            _ => socket.note_heard(live.real_ms()),
        }
        if !budget.take() {
            refuse(live, socket, "too_many_messages", Close::TooManyMessages);
            return true;
        }
        match received {
            Received::Text(text) => hear(live, session, socket, &text),
            Received::Refused(close) => refuse(live, socket, "bad_message", close),
            Received::Control | Received::Nothing | Received::Over => {}
        }
    }
    true
}

fn hear(live: &Live, session: &Arc<LiveSession>, socket: &Arc<Socket>, text: &str) {
    match Incoming::parse(text) {
        Ok(Incoming::Play { video_id, position_ms }) => {
            watch(live, session, socket, (video_id, position_ms), Event::Play);
        }
        Ok(Incoming::Progress(Progress {
            video_id,
            position_ms,
            rate_percent,
            visible,
            muted,
        })) => {
            let event =
                |position| Event::Progress(Proof { position, rate_percent, visible, muted });
            watch(live, session, socket, (video_id, position_ms), event);
        }
        Ok(Incoming::Pause) => {
            session.play(live, socket, Event::Pause);
        }
        Ok(Incoming::Extend { amount }) => {
            live.spawn(funds::extend(live.clone(), Arc::clone(session), amount));
        }
        Ok(Incoming::End) => end(live, session, socket),
        Err(complaint) => {
            let is_terminal = complaint.is_terminal();
            live.send(socket, &complaint.into());
            if is_terminal {
                socket.close(Close::Protocol);
            }
        }
    }
}

/// Where a playhead is, and what that means to the meter.
fn watch(
    live: &Live,
    session: &Arc<LiveSession>,
    socket: &Arc<Socket>,
    (video_id, position_ms): (Option<VideoId>, u64),
    event: impl FnOnce(Position) -> Event,
) {
    let position = session.state().watching.position(video_id, position_ms);
    let Some(position) = position else {
        live.complain(socket, "unknown_video", "the course has no such video");
        return;
    };
    let Some(reading) = session.play(live, socket, event(position)) else { return };
    if reading.verdict == Verdict::Implausible {
        let detail = "the playhead cannot be there: send play after a seek";
        live.complain(socket, "implausible_position", detail);
    }
}

fn end(live: &Live, session: &Arc<LiveSession>, socket: &Arc<Socket>) {
    let mut state = session.state();
    if state.stage == Stage::Open && state.is_on(socket) {
        let student = session.student_id;
        ending::begin(live, session, &mut state, EndReason::EndedByStudent, Some(student));
    }
}

impl Live {
    fn complain(&self, socket: &Arc<Socket>, code: &'static str, detail: &str) {
        self.send(socket, &Outgoing::Error { code, detail: detail.to_owned(), terminal: false });
    }
}

fn refuse(live: &Live, socket: &Arc<Socket>, code: &'static str, close: Close) {
    let detail = close.reason().to_owned();
    live.send(socket, &Outgoing::Error { code, detail, terminal: true });
    socket.close(close);
}

/// How many more messages a player may send: so many a second, and some at once.
struct Budget {
    left: u32,
    max: u32,
    per_second: u32,
    counted_at: Instant,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        let max = per_second.saturating_mul(BURST_SECONDS);
        Self { left: max, max, per_second, counted_at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        if self.left == 0 {
            self.refill();
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// Only when it is used up, so that a message costs no look at the clock.
    fn refill(&mut self) {
        let seconds = self.counted_at.elapsed().as_secs();
        let earned = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(self.per_second);
        if earned > 0 {
            self.left = earned.min(self.max);
            self.counted_at += Duration::from_secs(seconds);
        }
    }
}
