//! The bus through Redis: publish and subscribe, at most once.
//!
//! One task, the [`Link`], has two connections: one to publish, one that is subscribed. They come
//! and go together. While they are away, notices are dropped and counted; when they are back, this
//! node hears a gap. A connection that died without a word is found by asking both every other
//! second. Murph needs none of it to start or to serve.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Msg, Pipeline, RedisError, Value,
    aio::{MultiplexedConnection, PubSub, PubSubSink, PubSubStream},
    cmd,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Heard, Key, Notice, To,
    entrance::{Entrance, Seldom},
    envelope::{Envelope, MESSAGE_MAX_BYTES, Unsound},
};
use crate::{config::BusUrl, id::NodeId, telemetry::Metrics};

/// What may wait to be written; what comes beyond is lost.
const QUEUE_MAX: usize = 8_192;

/// Written in one go.
const BATCH_MAX: usize = 256;

/// For both connections to stand.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Redis answers in less than a millisecond, or something is wrong.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How often a connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Between two attempts: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// For what is in the queue when Murph ends.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// Why there is no Redis.
#[derive(Debug, thiserror::Error)]
pub enum Away {
    #[error("{0}")]
    Refused(#[from] RedisError),
    #[error("it does not answer")]
    Silent,
    #[error("it closed the connection")]
    Closed,
}

/// Where notices for others are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Redis {
    queue: mpsc::Sender<(To, Notice)>,
    shared: Arc<Shared>,
}

/// What is known on both ends of the queue.
#[derive(Debug)]
struct Shared {
    is_up: AtomicBool,
    metrics: Metrics,
    overflow: Seldom,
}

/// What carries notices to Redis and back, once it runs.
#[derive(Debug)]
#[must_use = "without it nothing is carried"]
pub struct Link {
    wire: Wire,
    queue: mpsc::Receiver<(To, Notice)>,
}

#[derive(Debug)]
struct Wire {
    here: NodeId,
    client: Client,
    /// The key to publish under, then those of secrets that were replaced.
    keys: Vec<Key>,
    entrance: Arc<Entrance>,
    shared: Arc<Shared>,
    unsound: Seldom,
}

/// Both connections.
struct Connections {
    publisher: MultiplexedConnection,
    subscriber: PubSub,
}

/// The time without Redis, from the first failure on.
struct Outage {
    since: Option<Instant>,
    pause: Duration,
}

impl Redis {
    pub(super) fn new(
        here: NodeId,
        url: &BusUrl,
        keys: Vec<Key>,
        entrance: Arc<Entrance>,
        metrics: Metrics,
    ) -> Result<(Self, Link), Away> {
        let client = Client::open(url.expose())?;
        let shared = Arc::new(Shared {
            is_up: AtomicBool::new(false),
            metrics,
            overflow: Seldom::default(),
        });
        shared.set_up(false);
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let unsound = Seldom::default();
        let wire = Wire { here, client, keys, entrance, shared: Arc::clone(&shared), unsound };
        Ok((Self { queue: sender, shared }, Link { wire, queue }))
    }

    pub(super) fn is_up(&self) -> bool {
        self.shared.is_up.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, to: To, notice: Notice) {
        if !self.is_up() {
            self.shared.lost(1);
        } else if self.queue.try_send((to, notice)).is_err() {
            self.shared.lost(1);
            if self.shared.overflow.is_due() {
                warn!("Redis does not take notices as fast as they come: some were not told");
            }
        }
    }
}

impl Shared {
    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
        self.metrics.set_bus_up(is_up);
    }

    fn lost(&self, count: usize) {
        self.metrics.record_bus_messages("out", "lost", count);
    }
}

impl Link {
    /// Carries until `finish`, then what is left in the queue, and ends.
    pub async fn run(self, finish: CancellationToken) {
        let Self { wire, mut queue } = self;
        let mut outage = Outage { since: None, pause: PAUSE_MIN };
        loop {
            let away = tokio::select! {
                connected = wire.connect() => match connected {
                    Ok(connections) => {
                        let since = wire.rise(&mut outage);
                        let carried = wire.carry(connections, &mut queue, &finish).await;
                        outage.settle(since);
                        carried.err()
                    }
                    Err(away) => Some(away),
                },
                () = finish.cancelled() => None,
            };
            let Some(away) = away else { break };
            wire.fall(&away, &mut outage, &mut queue);
            tokio::select! {
                () = sleep(outage.next_pause()) => {}
                () = finish.cancelled() => break,
            }
        }
        wire.shared.set_up(false);
        queue.close();
        wire.drop_all(&mut queue);
    }
}

impl Wire {
    async fn connect(&self) -> Result<Connections, Away> {
        connect(&self.client, &self.channels()).await
    }

    /// Those this node listens on, under each of its keys: a node that does not know the newest
    /// secret yet is still heard.
    fn channels(&self) -> Vec<String> {
        let to_us = [To::Node(self.here), To::All];
        self.keys.iter().flat_map(|key| to_us.map(|to| key.channel(to))).collect()
    }

    fn rise(&self, outage: &mut Outage) -> Instant {
        if let Some(since) = outage.since.take() {
            info!("Redis is back after {:.1?}", since.elapsed());
        } else {
            info!("nodes hear of each other through Redis");
        }
        self.shared.set_up(true);
        // Subscribed by now: what comes after this is heard, and what came before is a gap.
        self.entrance.tell(Heard::Gap);
        Instant::now()
    }

    fn fall(&self, away: &Away, outage: &mut Outage, queue: &mut mpsc::Receiver<(To, Notice)>) {
        self.shared.set_up(false);
        self.drop_all(queue);
        if outage.since.is_none() {
            outage.since = Some(Instant::now());
            warn!(%away, "Redis is away, and other nodes hear nothing: {away}");
        }
    }

    fn drop_all(&self, queue: &mut mpsc::Receiver<(To, Notice)>) {
        let lost = std::iter::from_fn(|| queue.try_recv().ok()).count();
        self.shared.lost(lost);
    }

    /// Until a connection breaks, or everything is said after `finish`.
    async fn carry(
        &self,
        connections: Connections,
        queue: &mut mpsc::Receiver<(To, Notice)>,
        finish: &CancellationToken,
    ) -> Result<(), Away> {
        let Connections { publisher, subscriber } = connections;
        let (sink, messages) = subscriber.split();
        let overdue = async {
            finish.cancelled().await;
            sleep(LAST_WORDS_MAX).await;
        };
        tokio::select! {
            away = self.listen(messages) => Err(away),
            said = self.say(queue, publisher.clone(), finish) => said,
            away = ask_again_and_again(publisher.clone(), sink) => Err(away),
            () = overdue => Ok(()),
        }
    }

    async fn say(
        &self,
        queue: &mut mpsc::Receiver<(To, Notice)>,
        mut publisher: MultiplexedConnection,
        finish: &CancellationToken,
    ) -> Result<(), Away> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                count = queue.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return Ok(()) },
                () = finish.cancelled(), if !queue.is_closed() => {
                    // What is in there is still received.
                    queue.close();
                    continue;
                }
            }
            let (pipeline, count) = self.seal_all(batch.drain(..));
            let mut unsaid = Unsaid { count, shared: &self.shared };
            pipeline.query_async::<()>(&mut publisher).await?;
            unsaid.count = 0;
            self.shared.metrics.record_bus_messages("out", "sent", count);
        }
    }

    fn seal_all(&self, batch: impl Iterator<Item = (To, Notice)>) -> (Pipeline, usize) {
        let mut pipeline = Pipeline::new();
        let mut count = 0;
        for (to, notice) in batch {
            let key = &self.keys[0];
            let channel = key.channel(to);
            let message = key.seal(&channel, &Envelope { from: self.here, notice });
            if message.len() > MESSAGE_MAX_BYTES {
                // Nobody would take it.
                self.drop_unsound("out", Unsound::TooLarge);
                continue;
            }
            count += 1;
            pipeline.cmd("PUBLISH").arg(channel).arg(message).ignore();
        }
        (pipeline, count)
    }

    async fn listen(&self, mut messages: PubSubStream) -> Away {
        while let Some(message) = messages.next().await {
            match self.open(&message) {
                // Its sender has told itself at once.
                Ok(envelope) if envelope.from == self.here => {}
                Ok(envelope) => {
                    let is_heard = self.entrance.tell(Heard::Notice(envelope.notice));
                    let result = if is_heard { "heard" } else { "lost" };
                    self.shared.metrics.record_bus_messages("in", result, 1);
                }
                Err(unsound) => self.drop_unsound("in", unsound),
            }
        }
        Away::Closed
    }

    fn open(&self, message: &Msg) -> Result<Envelope, Unsound> {
        let channel = message.get_channel_name();
        let is_ours = |key: &&Key| {
            [To::Node(self.here), To::All].into_iter().any(|to| key.channel(to) == channel)
        };
        let key = self.keys.iter().find(is_ours).ok_or(Unsound::Forged)?;
        key.open(channel, message.get_payload_bytes())
    }

    fn drop_unsound(&self, direction: &'static str, unsound: Unsound) {
        let why = unsound.name();
        self.shared.metrics.record_bus_messages(direction, why, 1);
        if self.unsound.is_due() {
            warn!(why, direction, "dropped a message of the bus: {why}");
        }
    }
}

/// Notices that count as lost if this is dropped before they are said.
struct Unsaid<'a> {
    count: usize,
    shared: &'a Shared,
}

impl Drop for Unsaid<'_> {
    fn drop(&mut self) {
        self.shared.lost(self.count);
    }
}

impl Outage {
    /// A connection that was lost at once did not end the troubles: the pauses go on growing.
    fn settle(&mut self, up_since: Instant) {
        if up_since.elapsed() >= PAUSE_MAX {
            self.pause = PAUSE_MIN;
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// How long Redis takes to let us in, subscribe and answer. For `murph doctor`.
pub async fn look(url: &BusUrl) -> Result<Duration, Away> {
    let began = Instant::now();
    connect(&Client::open(url.expose())?, &["murph:doctor".to_owned()]).await?;
    Ok(began.elapsed())
}

/// Two connections that were seen to work.
async fn connect(client: &Client, channels: &[String]) -> Result<Connections, Away> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_MAX));
    let connecting = async {
        let mut publisher = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut subscriber = client.get_async_pubsub().await?;
        // A Redis that still loads its data lets everybody in and then does nothing.
        cmd("PING").query_async::<Value>(&mut publisher).await?;
        subscriber.subscribe(channels).await?;
        Ok(Connections { publisher, subscriber })
    };
    timeout(CONNECT_MAX, connecting).await.map_err(|_| Away::Silent)?
}

/// Returns when a connection gives no answer.
async fn ask_again_and_again(publisher: MultiplexedConnection, subscriber: PubSubSink) -> Away {
    loop {
        sleep(PING_EVERY).await;
        let (mut publisher, mut subscriber) = (publisher.clone(), subscriber.clone());
        let ping = cmd("PING");
        let both = async {
            tokio::try_join!(ping.query_async::<Value>(&mut publisher), subscriber.ping::<Value>())
        };
        match timeout(ANSWER_MAX, both).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return Away::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_connection_lasts() {
        let mut outage = Outage { since: None, pause: PAUSE_MIN };
        let pauses: Vec<u128> = (0..8).map(|_| outage.next_pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        outage.settle(Instant::now());
        assert_eq!(outage.next_pause(), PAUSE_MAX);
    }
}
