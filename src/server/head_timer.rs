//! The time a client has for the head of a request.
//!
//! Hyper's own timer starts when it begins to wait for a head, so it would also end connections
//! that are kept open between two requests, long before `idle_timeout_ms`. This one starts with
//! the connection for the first head, and with the first byte for every later one.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use super::received::Received;

/// Hyper's source of timers, one for each connection.
#[derive(Debug)]
pub(super) struct HeadTimer {
    received: Received,
    is_first: AtomicBool,
}

impl HeadTimer {
    pub(super) fn new(received: Received) -> Self {
        Self { received, is_first: AtomicBool::new(true) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    /// Called when hyper begins to wait for a head.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let is_first = self.is_first.swap(false, Ordering::Relaxed);
        Box::pin(HeadSleep {
            limit: deadline.saturating_duration_since(self.now()),
            bytes_before: self.received.bytes(),
            received: self.received.clone(),
            alarm: is_first.then(|| Box::pin(tokio::time::sleep_until(deadline.into()))),
        })
    }
}

/// Ends when the head took too long; not as long as none has begun.
struct HeadSleep {
    limit: Duration,
    bytes_before: u64,
    received: Received,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        if self.alarm.is_none() && self.received.bytes() == self.bytes_before {
            // Hyper polls again after every read, so the first byte wakes us up.
            return Poll::Pending;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        alarm.as_mut().poll(cx)
    }
}
