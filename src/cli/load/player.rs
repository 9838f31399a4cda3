//! One honest player: starts a session, attaches, plays and proves it, comes back when its
//! connection is lost, ends, and remembers what it was told.

mod ending;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::sleep;

use super::{
    api::{Account, Ask, Balance, Node, Place, Receipt, Refusal, Started, Ticket},
    dice::Dice,
    fleet::{Ending, Run},
    habits::{Due, Habits, Playhead},
    lateness::Lateness,
    link::{Heard, Hello, Link, Lost, Tick},
};
use crate::id::SessionId;

/// Connections in a row that came to nothing, before a player gives up.
const LOST_MAX: u32 = 12;

/// How long the server may take to greet, or to send the receipt.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is left of a player, to be compared with what is written.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) place: Place,
    pub(super) account: Account,
    /// What was in the wallet before.
    pub(super) before: Balance,
    pub(super) session: Option<SessionId>,
    /// The last message of an ended session.
    pub(super) receipt: Option<Receipt>,
    /// The answer to ending it over HTTP.
    pub(super) answer: Option<Receipt>,
    /// The last total told while it was open.
    pub(super) tick: Option<Tick>,
    /// How long the server keeps a session whose player is away.
    pub(super) grace: Duration,
    /// Whether a connection was lost that nobody cut on purpose.
    pub(super) was_lost: bool,
}

struct Player {
    run: Arc<Run>,
    habits: Habits,
    playhead: Playhead,
    lateness: Lateness,
    ending: Ending,
    /// Connections in a row that came to nothing.
    lost: u32,
    /// Goes up when another node is to be tried.
    turn: usize,
    played: Played,
}

/// Why a player is not at its socket any more.
enum Left {
    /// Its time is over, or the fleet stops.
    Over,
    /// Its connection was cut, on purpose, without a word.
    Cut(Duration),
    /// The server asked it to come back.
    Drained(Duration),
    /// The session has ended; the receipt has come.
    Ended,
    Lost(Lost),
}

/// Plays from start to end.
pub(super) async fn play(
    run: Arc<Run>,
    place: Place,
    (account, before): (Account, Balance),
) -> Played {
    let mut player = Player::new(run, place, (account, before));
    // The futures of HTTP requests are large, and a player is at its socket nearly all the time.
    if let Some(ticket) = Box::pin(player.start()).await {
        player.watch_until_over(ticket).await;
    }
    player.judge_lateness();
    player.played
}

impl Player {
    fn new(run: Arc<Run>, place: Place, (account, before): (Account, Balance)) -> Self {
        let mut dice = Dice::new(run.script.seed, place);
        let script = &run.script;
        let now = Instant::now();
        let ending = script.end.of(&mut dice);
        let (pauses, cuts) =
            (dice.is_among(script.pause_percent), dice.is_among(script.drop_percent));
        let last_begin = script.length.saturating_sub(script.watch);
        let playhead = Playhead::resting(dice.span(Duration::ZERO, last_begin));
        let mut habits = Habits::new(dice, script.watch, now + script.watch);
        if pauses {
            habits = habits.with_pauses(now);
        }
        if cuts {
            habits = habits.with_cuts(now);
        }
        let played = Played {
            place,
            account,
            before,
            session: None,
            receipt: None,
            answer: None,
            tick: None,
            grace: Duration::from_secs(30),
            was_lost: false,
        };
        let lateness = Lateness::new(Duration::ZERO);
        Self { run, habits, playhead, lateness, ending, lost: 0, turn: 0, played }
    }

    async fn start(&mut self) -> Option<String> {
        let course_id = self.run.script.course_id;
        let began = Instant::now();
        let ask = Ask::post("start", "/sessions/start", json!({"course_id": course_id}));
        match self.ask::<Started>(&ask).await {
            Ok(Started { session, ticket }) => {
                let run = &self.run;
                run.api.tally().count_start(began.elapsed(), run.began.elapsed());
                self.played.session = Some(session.id);
                Some(ticket)
            }
            Err(refusal) => {
                self.count_refusal("start", &refusal);
                None
            }
        }
    }

    async fn watch_until_over(&mut self, ticket: String) {
        let mut ticket = Some(ticket);
        loop {
            let left = match Box::pin(self.attach(ticket.take())).await {
                Ok(Some(mut link)) => match self.watch(&mut link).await {
                    Left::Over => return Box::pin(self.end(link)).await,
                    left => left,
                },
                // The session has ended meanwhile; its receipt is read later.
                Ok(None) => return,
                Err(lost) => Left::Lost(lost),
            };
            let away = match left {
                Left::Over | Left::Ended => return,
                Left::Cut(away) | Left::Drained(away) => away,
                Left::Lost(lost) => {
                    self.count_error(&lost.kind);
                    self.played.was_lost = true;
                    self.lost += 1;
                    self.turn += 1;
                    if !lost.may_come_back() || self.lost > LOST_MAX {
                        return Box::pin(self.end_over_http()).await;
                    }
                    self.habits.backoff(self.lost)
                }
            };
            tokio::select! {
                () = sleep(away) => {}
                () = self.run.stop.cancelled() => return Box::pin(self.end_over_http()).await,
            }
            self.run.api.tally().reconnects += 1;
        }
    }

    /// Attaches to the session. `None`: it has ended.
    async fn attach(&mut self, ticket: Option<String>) -> Result<Option<Link>, Lost> {
        let session = self.played.session.expect("only who has started attaches");
        let ticket = match ticket {
            Some(ticket) => ticket,
            None => match self.ticket(session).await {
                Ok(ticket) => ticket,
                Err(refusal) if refusal.has_code("session_ended") => {
                    self.count_refusal("ticket", &refusal);
                    return Ok(None);
                }
                Err(refusal) => {
                    let kind = format!("ticket: {}", refusal.sentence());
                    return Err(Lost { code: None, kind });
                }
            },
        };
        let source = self.run.api.source(self.played.place);
        Link::attach(self.node(), source, session, &ticket).await.map(Some)
    }

    async fn ticket(&mut self, session: SessionId) -> Result<String, Refusal> {
        let ask = Ask::post("ticket", format!("/sessions/{session}/ticket"), json!({}));
        self.ask::<Ticket>(&ask).await.map(|answer| answer.ticket)
    }

    /// Plays until there is a reason to leave.
    async fn watch(&mut self, link: &mut Link) -> Left {
        let run = Arc::clone(&self.run);
        let mut stopped = pin!(run.stop.cancelled());
        let mut timer = pin!(sleep(PATIENCE));
        let mut has_greeted = false;
        loop {
            let done = tokio::select! {
                heard = link.hear() => match heard {
                    Heard::Hello(hello) => {
                        has_greeted = true;
                        self.greeted(hello);
                        self.resume(link).await
                    }
                    heard => self.heard(heard),
                },
                () = timer.as_mut() => {
                    if !has_greeted {
                        return Left::Lost(Lost { code: None, kind: "no hello in time".into() });
                    }
                    match self.habits.next() {
                        (at, due) if at <= Instant::now() => self.act(due, link).await,
                        _ => Ok(()),
                    }
                }
                () = stopped.as_mut() => Err(Left::Over),
            };
            if let Err(left) = done {
                self.leave();
                return left;
            }
            if has_greeted {
                timer.as_mut().reset(self.habits.next().0.into());
            }
        }
    }

    fn greeted(&mut self, hello: Hello) {
        self.lost = 0;
        let tick = Duration::from_millis(hello.tick_ms);
        self.habits.set_tick(tick);
        self.played.grace = Duration::from_millis(hello.grace_ms);
        self.lateness = Lateness::new(tick);
    }

    fn heard(&mut self, heard: Heard) -> Result<(), Left> {
        match heard {
            Heard::Tick(tick) => {
                self.played.tick = Some(tick);
                self.run.api.tally().count_tick(self.run.began.elapsed());
                if self.lateness.arrived(tick.seq, Instant::now()) {
                    self.lateness.judge(&mut self.run.api.tally().lateness);
                }
            }
            Heard::Drain { reconnect_after } => {
                self.turn += 1;
                return Err(Left::Drained(reconnect_after));
            }
            Heard::Receipt(receipt) => {
                // Not asked for: the funds are used up, or somebody else has ended it.
                self.played.receipt = Some(*receipt);
                return Err(Left::Ended);
            }
            Heard::Error(code) => self.count_error(&format!("message: error {code}")),
            Heard::Lost(lost) => return Err(Left::Lost(lost)),
            Heard::Hello(_) | Heard::Other => {}
        }
        Ok(())
    }

    async fn act(&mut self, due: Due, link: &mut Link) -> Result<(), Left> {
        let now = Instant::now();
        match due {
            Due::Proof if self.is_at_its_end(now) => {
                self.playhead.rewind();
                self.resume(link).await
            }
            Due::Proof => {
                self.habits.prove_next(now);
                let position_ms = self.playhead.position(now).as_millis();
                let video_id = self.run.script.video_id;
                let proof = format!(
                    r#"{{"type":"progress","video_id":"{video_id}","position_ms":{position_ms},"rate":1.0,"visible":true,"muted":false}}"#
                );
                link.say(proof).await.map_err(Left::Lost)
            }
            Due::Pause => {
                self.playhead.pause(now);
                self.habits.pause(now);
                link.say(r#"{"type":"pause"}"#.to_owned()).await.map_err(Left::Lost)
            }
            Due::Resume => self.resume(link).await,
            Due::Cut => Err(Left::Cut(self.habits.cut(now))),
            Due::Over => Err(Left::Over),
        }
    }

    fn is_at_its_end(&self, now: Instant) -> bool {
        self.playhead.position(now) >= self.run.script.length
    }

    async fn resume(&mut self, link: &mut Link) -> Result<(), Left> {
        let now = Instant::now();
        self.playhead.play(now);
        self.habits.play(now);
        let position_ms = self.playhead.position(now).as_millis();
        let video_id = self.run.script.video_id;
        let play =
            format!(r#"{{"type":"play","video_id":"{video_id}","position_ms":{position_ms}}}"#);
        link.say(play).await.map_err(Left::Lost)
    }

    /// Away from the socket a player shows no video.
    fn leave(&mut self) {
        if self.playhead.is_moving() {
            self.playhead.pause(Instant::now());
        }
        self.judge_lateness();
    }

    fn judge_lateness(&mut self) {
        self.lateness.begin_anew(&mut self.run.api.tally().lateness);
    }

    /// The node of this connection: another one after each that was lost.
    fn node(&self) -> &Node {
        self.run.api.node(self.played.place + self.turn)
    }

    async fn ask<T: serde::de::DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, Refusal> {
        let place = self.played.place + self.turn;
        self.run.api.ask_as(&mut self.played.account, place, ask).await
    }

    fn count_error(&self, kind: &str) {
        self.run.api.tally().count_error(kind);
    }

    /// Counts what [`super::api`] leaves to its callers.
    fn count_refusal(&self, name: &str, refusal: &Refusal) {
        if refusal.is_left_to_callers() {
            self.count_error(&format!("{name}: {}", refusal.kind()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand of them shall fit a small machine, beside their sockets.
    #[test]
    fn a_player_is_small() {
        fn size<F: Future>(_: impl FnOnce(Arc<Run>, Place, (Account, Balance)) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(play) <= 3 * 1_024, "{}", size(play));
    }
}
