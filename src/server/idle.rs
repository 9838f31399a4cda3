//! Ends what stands still: no byte in either direction for too long.
//!
//! That is a peer that vanished without a word, one that never reads its answer, one that opened a
//! connection and forgot it. One that takes a byte now and then is ended too: the system tells us
//! that there is room again only when much of its buffer is free.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// When something moved last, and alarms for when nothing does.
#[derive(Debug)]
pub(super) struct Idle {
    limit: Duration,
    moved_at: Instant,
    /// One for each direction, as different tasks may wait in them. Made when first needed.
    reading: Alarm,
    writing: Alarm,
}

type Alarm = Option<Pin<Box<Sleep>>>;

/// What somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Reading,
    Writing,
}

impl Idle {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, moved_at: Instant::now(), reading: None, writing: None }
    }

    pub(super) fn moved(&mut self) {
        self.moved_at = Instant::now();
    }

    /// To be polled while the stream is not ready in `direction`: an error when it is over.
    pub(super) fn poll(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = self.moved_at + self.limit;
        let alarm = match direction {
            Direction::Reading => &mut self.reading,
            Direction::Writing => &mut self.writing,
        };
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            // Something moved since it was set. Setting it anew only now, and not with every
            // byte, is what makes this cheap.
            alarm.as_mut().reset(deadline);
        }
    }
}
