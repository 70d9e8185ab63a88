//! One running adapter: a thread that reads, keeps and delivers.

use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use async_io::Timer;
use smol::Executor;
use smol::future::{self, FutureExt as _};

use super::counters::{Counters, Labelled, Reason};
use super::delivery::Delivery;
use super::queue::{Queue, QueueLimits};
use super::spool::{Spool, SpoolError, SpoolSettings};
use super::{Input, Sink, Transformer};
use crate::nats::client::{Client, Initial, Message, Options, Subscription};
use crate::util::shutdown::Shutdown;
use crate::util::throttle::Throttle;

/// Messages made into records in one turn.
const TURN_MESSAGES_MAX: usize = 256;
/// Messages of the subscription that may wait; more are dropped and counted. The reference has ten workers of 1,000.
const WAITING_MESSAGES_MAX: usize = 10_000;
/// Bytes of them.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the subscription may take to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How often it is asked what was dropped.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a sink may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What an adapter reads.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The subject; wildcards are allowed.
    pub topic: String,
    /// Makes records.
    pub transformer: Transformer,
    /// The connection.
    pub connection: Options,
}

/// Everything about one adapter.
pub struct Settings {
    /// Its name, which is part of its queue group.
    pub name: String,
    /// Identity of this process, for metrics.
    pub identity: String,
    /// What it reads.
    pub ingest: Ingest,
    /// What waits in memory.
    pub queue: QueueLimits,
    /// What waits on disk.
    pub spool: Option<SpoolSettings>,
    /// Where records go.
    pub sink: Box<dyn Sink>,
    /// Attempts a record gets; none for as many as it takes.
    pub attempts_max: Option<u32>,
    /// How long it may deliver after it was told to end.
    pub flush_limit: Duration,
    /// Runs its tasks, those of its connections among them; nobody else runs it.
    pub executor: Arc<Executor<'static>>,
}

/// Why an adapter does not start.
#[derive(Debug)]
pub enum StartError {
    /// Its spool cannot be used.
    Spool(SpoolError),
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Spool(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running adapter. Dropping it ends it as [`Adapter::stop`] does.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    identity: String,
    counters: Arc<Counters>,
    stopping: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Adapter {
    /// Starts one. It connects for as long as it runs.
    ///
    /// # Errors
    /// When its spool cannot be used, or there is no thread for it.
    pub fn start(settings: Settings) -> Result<Adapter, StartError> {
        let counters = Arc::new(Counters::default());
        let spool = settings.spool.clone().map(Spool::open).transpose();
        let spool = spool.map_err(StartError::Spool)?;
        if let Some(spool) = &spool
            && spool.records() > 0
        {
            let (name, records) = (&settings.name, spool.records());
            log::info!("adapt: the spool is delivered first adapter={name} messages={records}");
        }
        let stopping = Shutdown::new();
        let (name, identity) = (settings.name.clone(), settings.identity.clone());
        let queue = Queue::new(&name, settings.queue, spool, counters.clone());
        let running = Running {
            queue: Arc::new(queue),
            counters: counters.clone(),
            stopping: stopping.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("adapter-{name}")).spawn(move || {
            let executor = settings.executor.clone();
            smol::block_on(executor.run(running.run(settings)));
        });
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Adapter { name, identity, counters, stopping, thread })
    }

    /// Its figures, with the names they have in metrics.
    pub fn figures(&self) -> Labelled<'_> {
        Labelled { name: &self.name, identity: &self.identity, counters: &self.counters }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended by a fault of ours.
    pub fn has_failed(&self) -> bool {
        !self.stopping.is_triggered() && self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Tells it to end; it goes on delivering what waits until its time is up.
    pub fn begin_to_stop(&self) {
        self.stopping.trigger();
    }

    /// Ends it: stops reading, delivers what waits, keeps the rest in its spool. Blocks until that is done.
    pub fn stop(&mut self) {
        self.begin_to_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("adapt: the adapter had failed adapter={}", self.name);
        }
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the tasks of an adapter share.
struct Running {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    stopping: Shutdown,
}

impl Running {
    async fn run(self, settings: Settings) {
        let Settings { name, ingest, sink, attempts_max, flush_limit, executor, .. } = settings;
        let where_to = sink.describe();
        log::info!("adapt: starting adapter={name} topic={} target={where_to}", ingest.topic);
        let mut delivery = Delivery {
            name: name.clone(),
            queue: self.queue.clone(),
            counters: self.counters.clone(),
            sink,
            attempts_max,
            in_hand: None,
            log: Throttle::default(),
        };
        let reader = Reader {
            name: name.clone(),
            queue: self.queue.clone(),
            counters: self.counters.clone(),
            stopping: self.stopping.clone(),
            log: Throttle::default(),
            dropped: 0,
        };
        let queue = self.queue.clone();
        let reading = executor.spawn(async move {
            let read = AssertUnwindSafe(reader.run(ingest)).catch_unwind().await;
            if read.is_err() {
                log::error!("adapt: reading failed adapter={name}");
            }
            queue.close();
        });
        let deadline = async {
            self.stopping.wait().await;
            Timer::after(flush_limit).await;
        };
        let delivered = AssertUnwindSafe(delivery.run()).catch_unwind();
        let delivered =
            async { delivered.await.unwrap_or_else(|_| log::error!("adapt: a sink failed")) };
        future::or(delivered, deadline).await;
        self.stopping.trigger();
        reading.await;
        self.queue.finish(delivery.in_hand.take()).await;
        let closing = async {
            Timer::after(CLOSE_LIMIT).await;
        };
        future::or(delivery.sink.close(), closing).await;
        let (published, name) = (self.counters.output.published(), &delivery.name);
        log::info!("adapt: stopped adapter={name} delivered={published}");
    }
}

/// From the network to the queue.
struct Reader {
    name: String,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    stopping: Shutdown,
    log: Throttle,
    /// Messages the subscription has dropped so far.
    dropped: u64,
}

impl Reader {
    async fn run(mut self, ingest: Ingest) {
        let group = format!("nats_ingest_{}", self.name);
        let mut options = ingest.connection.clone();
        // The first worker of the reference has this name.
        options.name = format!("choria adapter {}.0", self.name);
        options.initial = Initial::Forever;
        options.subscription_bytes_max = WAITING_BYTES_MAX;
        options.queued_bytes_max = WAITING_BYTES_MAX;
        let connected = async { Some(Client::connect(options).await) };
        let stopped = async {
            self.stopping.wait().await;
            None
        };
        let mut transformer = ingest.transformer;
        let client = match future::or(connected, stopped).await {
            Some(Ok(client)) => client,
            Some(Err(error)) => {
                log::error!("adapt: cannot read adapter={} err={error}", self.name);
                return self.stopping.wait().await;
            }
            None => return,
        };
        match client.subscribe_with(&ingest.topic, Some(&group), WAITING_MESSAGES_MAX) {
            Ok(subscription) => {
                let url = client.connected_url().unwrap_or_default();
                log::info!("adapt: reading adapter={} broker={url} group={group}", self.name);
                self.read(subscription, &mut transformer).await;
            }
            Err(error) => {
                log::error!("adapt: cannot read adapter={} err={error}", self.name);
                self.stopping.wait().await;
            }
        }
        client.close().await;
    }

    async fn read(&mut self, mut subscription: Subscription, transformer: &mut Transformer) {
        let stopping = self.stopping.clone();
        while !stopping.is_triggered() {
            if let Some(first) = subscription.try_next() {
                self.turn(first, &mut subscription, transformer).await;
                // The sink has its turn, too.
                future::yield_now().await;
                continue;
            }
            let message = async { Next::Message(subscription.next().await) };
            let stopped = async {
                stopping.wait().await;
                Next::Stop
            };
            let look = async {
                Timer::after(LOOK_EVERY).await;
                Next::Look
            };
            match message.or(stopped).or(look).await {
                Next::Message(Some(first)) => {
                    self.turn(first, &mut subscription, transformer).await
                }
                Next::Message(None) => return,
                Next::Look => self.count_dropped(&subscription),
                Next::Stop => break,
            }
        }
        // What the broker has sent already is still taken.
        let _ = subscription.drain(DRAIN_LIMIT).await;
        while let Some(first) = subscription.try_next() {
            self.turn(first, &mut subscription, transformer).await;
        }
        self.count_dropped(&subscription);
    }

    /// Handles a message and those that wait behind it.
    async fn turn(
        &mut self,
        first: Message,
        subscription: &mut Subscription,
        transformer: &mut Transformer,
    ) {
        let (started, now) = (Instant::now(), SystemTime::now());
        let mut records = Vec::with_capacity(1 + subscription.waiting().min(TURN_MESSAGES_MAX));
        let (mut count, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(message) = next.take() {
            count += 1;
            bytes += message.payload.len();
            match transformer.record(&Input::of(&message), now) {
                Ok(record) => records.push(record),
                Err(reason) => {
                    self.counters.input.fail(1);
                    let (name, subject) = (&self.name, crate::protocol::Plain(&message.subject));
                    self.log.warn(format_args!(
                        "adapt: message not used adapter={name} subject={subject} err={reason}"
                    ));
                }
            }
            if count < TURN_MESSAGES_MAX {
                next = subscription.try_next();
            }
        }
        self.counters.input.receive(count, bytes);
        let good = records.len();
        self.queue.push(records).await;
        self.counters.input.publish(good);
        self.counters.input.spend(started.elapsed());
        if self.counters.input.received().is_multiple_of(64) {
            self.count_dropped(subscription);
        }
    }

    /// Messages that came faster than they were read are lost, and said.
    fn count_dropped(&mut self, subscription: &Subscription) {
        let dropped = subscription.dropped();
        let more = usize::try_from(dropped.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.dropped = dropped;
        if more > 0 {
            self.queue.give_up(Reason::Ingest, more, "messages come faster than they are read");
        }
    }
}

enum Next {
    Message(Option<Message>),
    Look,
    Stop,
}
