//! One direction: takes messages from one side, changes their headers, publishes them on the other.
//!
//! One task reads the subscription and hands messages to a few workers through a short queue. When the other side does
//! not take them, workers wait, then the reader, then the subscription fills up to its bounds and further messages are
//! dropped and counted.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use smol::Executor;
use smol::future::{self, FutureExt as _};

use super::figures::{FederationFigures, Lane as LaneFigures, Stage, Worker};
use super::transform::{self, Dropped, Onward};
use super::{LastPassed, Side};
use crate::nats::client::{Client, Event, Message, Subscription};
use crate::protocol::passage::{self, Passage};
use crate::protocol::{Transport, subject};
use crate::util::shutdown::Shutdown;
use crate::util::throttle::Throttle;

/// Messages that may wait to be read; the bytes of the connection's options bound them as well.
const WAITING_MAX: usize = 10_000;
/// Messages between the reader and a worker.
const HANDED_MAX: usize = 16;
/// How long what the broker has sent already is waited for when a subscription ends.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// What stands in a hop while there is no connection.
const UNKNOWN: &str = "unknown";

/// One direction.
pub(super) struct Lane {
    from: Side,
    cluster: String,
    identity: String,
    source: Client,
    sink: Client,
    figures: Arc<FederationFigures>,
    last_passed: Arc<LastPassed>,
    /// For what a peer can cause as often as it likes.
    log: Throttle,
}

/// A message and when it was taken.
struct Job {
    message: Message,
    at: SystemTime,
    started: Instant,
}

impl Lane {
    /// The direction that begins at a side, between its clients.
    pub(super) fn new(
        from: Side,
        cluster: &str,
        identity: &str,
        (source, sink): (Client, Client),
        figures: Arc<FederationFigures>,
    ) -> Arc<Lane> {
        Arc::new(Lane {
            from,
            cluster: cluster.to_owned(),
            identity: identity.to_owned(),
            source,
            sink,
            figures,
            last_passed: Arc::default(),
            log: Throttle::default(),
        })
    }

    /// When a message was passed on last.
    pub(super) fn last_passed(&self) -> Arc<LastPassed> {
        self.last_passed.clone()
    }

    /// Works until told to stop. While the other side is not there, this instance leaves the messages to others.
    pub(super) async fn run(self: Arc<Self>, stop: Shutdown, executor: Arc<Executor<'static>>) {
        let (subject, queue) = match self.from {
            Side::Federation => {
                (subject::federation(&self.cluster), subject::federation_queue(&self.cluster))
            }
            Side::Collective => (
                subject::federation_collective(&self.cluster),
                subject::federation_collective_queue(&self.cluster),
            ),
        };
        // From before the first look at the connection, so that no loss is missed.
        let events = self.sink.events();
        while !stop.is_triggered() {
            let stopped = async {
                stop.wait().await;
                false
            };
            if !self.sink_is_there(&events).or(stopped).await {
                return;
            }
            let subscription = match self.source.subscribe_with(&subject, Some(&queue), WAITING_MAX)
            {
                Ok(subscription) => subscription,
                Err(error) => {
                    log::error!("federation: cannot subscribe subject={subject} err={error}");
                    return;
                }
            };
            log::info!("federation: taking messages subject={subject} queue={queue}");
            let lost = async {
                stop.wait().or(self.sink_is_lost(&events)).await;
            };
            self.serve(subscription, lost, &executor).await;
            if !stop.is_triggered() {
                let side = self.from.other().name();
                log::warn!("federation: leaving messages to others subject={subject} lost={side}");
            }
        }
    }

    /// Waits for the connection that messages go out on; false when there will be none any more.
    async fn sink_is_there(&self, events: &flume::Receiver<Event>) -> bool {
        while !self.sink.is_connected() {
            if events.recv_async().await.is_err() {
                return false;
            }
        }
        true
    }

    async fn sink_is_lost(&self, events: &flume::Receiver<Event>) {
        while self.sink.is_connected() {
            if events.recv_async().await.is_err() {
                return;
            }
        }
    }

    /// Passes on what a subscription brings until `ended` is done, and then what has come until then.
    async fn serve(
        self: &Arc<Self>,
        mut subscription: Subscription,
        ended: impl Future<Output = ()>,
        executor: &Executor<'static>,
    ) {
        let workers = self.counted().workers.len();
        let (sender, jobs) = flume::bounded(workers * HANDED_MAX);
        let work = |index| executor.spawn(self.clone().work(index, jobs.clone()));
        let workers: Vec<_> = (0..workers).map(work).collect();
        drop(jobs);
        let mut dropped = 0;
        smol::pin!(ended);
        loop {
            let next = async { Some(subscription.next().await) };
            let end = async {
                ended.as_mut().await;
                None
            };
            // The end first: a flood must not keep it off.
            match end.or(next).await {
                Some(Some(message)) => self.hand(&sender, message).await,
                Some(None) => break,
                None => {
                    if let Err(error) = subscription.drain(DRAIN_LIMIT).await {
                        log::debug!("federation: cannot drain err={error}");
                    }
                    while let Some(message) = subscription.next().await {
                        self.hand(&sender, message).await;
                    }
                    break;
                }
            }
            self.count_overflow(&subscription, &mut dropped);
        }
        self.count_overflow(&subscription, &mut dropped);
        drop(sender);
        for worker in workers {
            worker.await;
        }
    }

    async fn hand(&self, jobs: &flume::Sender<Job>, message: Message) {
        let job = Job { message, at: SystemTime::now(), started: Instant::now() };
        // Workers end when this sender is dropped, not before.
        let _ = jobs.send_async(job).await;
    }

    /// What the connection dropped because it came too fast.
    fn count_overflow(&self, subscription: &Subscription, seen: &mut u64) {
        let now = subscription.dropped();
        for _ in *seen..now {
            if let Some(worker) = self.counted().workers.first() {
                Stage::add(&worker.ingest.errors);
            }
            self.counted().drop_one(&Dropped::Overflow);
        }
        *seen = now;
    }

    fn counted(&self) -> &LaneFigures {
        self.figures.lane(self.from)
    }

    async fn work(self: Arc<Self>, index: usize, jobs: flume::Receiver<Job>) {
        let figures = self.figures.clone();
        let Some(worker) = figures.lane(self.from).workers.get(index) else { return };
        while let Ok(job) = jobs.recv_async().await {
            let passing = AssertUnwindSafe(self.pass(index, worker, job));
            if passing.catch_unwind().await.is_err() {
                Stage::add(&worker.transformer.errors);
                self.dropped("", &Dropped::Panic);
            }
            // Others have to get their turn in a flood.
            future::yield_now().await;
        }
    }

    /// The way of one message.
    async fn pass(&self, index: usize, worker: &Worker, job: Job) {
        let Some(mut transport) = self.ingest(worker, &job) else { return };
        let id = transport.federation.as_ref().map(|headers| headers.request_id.clone());
        let id = id.unwrap_or_default();
        let started = Instant::now();
        let transformed = match self.from {
            Side::Federation => {
                let replies = subject::federation_collective(&self.cluster);
                transform::request(&mut transport, &replies)
            }
            Side::Collective => transform::reply(&mut transport),
        };
        worker.transformer.took(started.elapsed());
        let Onward { targets, refused } = match transformed {
            Ok(onward) => onward,
            Err(dropped) => {
                Stage::add(&worker.transformer.errors);
                return self.dropped(&id, &dropped);
            }
        };
        Stage::add(&worker.transformer.received);
        for dropped in refused {
            Stage::add(&worker.transformer.errors);
            self.dropped(&id, &dropped);
        }
        let started = Instant::now();
        self.egest(index, worker, &mut transport, (&id, &targets), &job).await;
        worker.egest.took(started.elapsed());
    }

    fn ingest(&self, worker: &Worker, job: &Job) -> Option<Transport> {
        let started = Instant::now();
        let read = transform::ingest(&job.message.payload);
        worker.ingest.took(started.elapsed());
        match read {
            Ok(transport) => {
                Stage::add(&worker.ingest.received);
                Some(transport)
            }
            Err(dropped) => {
                Stage::add(&worker.ingest.errors);
                self.dropped("", &dropped);
                None
            }
        }
    }

    async fn egest(
        &self,
        index: usize,
        worker: &Worker,
        transport: &mut Transport,
        (id, targets): (&str, &[String]),
        job: &Job,
    ) {
        if targets.is_empty() {
            // Every one of them was refused, and counted.
            return;
        }
        Stage::add(&worker.egest.received);
        self.append_hop(index, transport, job);
        let bytes = transport.encode();
        log::debug!("federation: passing request={id} targets={}", targets.len());
        self.last_passed.note();
        for target in targets {
            match self.sink.publish(target, &bytes).await {
                Ok(()) => Stage::add(&worker.egest.published),
                Err(error) => {
                    Stage::add(&worker.egest.errors);
                    self.dropped(id, &Dropped::Unsent(error.to_string()));
                }
            }
        }
    }

    /// Records that the message went through here, in the form of the reference.
    fn append_hop(&self, index: usize, transport: &mut Transport, job: &Job) {
        let transformer = match self.from {
            Side::Federation => "choria_request_transformer",
            Side::Collective => "choria_reply_transformer",
        };
        let mut entries: Vec<String> = ["choria_nats_ingest", transformer, "choria_nats_egest"]
            .iter()
            .map(|name| format!("{name}:{index}"))
            .collect();
        if passage::is_wanted(&transport.hops) {
            entries.push(Passage { at: job.at, took: job.started.elapsed() }.entry());
        }
        let url = |client: &Client| client.connected_url().unwrap_or_else(|| UNKNOWN.to_owned());
        let processor = passage::processor(&self.identity, &entries);
        transport.append_hop(&url(&self.source), &processor, &url(&self.sink));
    }

    fn dropped(&self, request: &str, dropped: &Dropped) {
        self.counted().drop_one(dropped);
        let (side, request) = (self.from.name(), crate::protocol::Plain(request));
        self.log.warn(format_args!(
            "federation: message dropped from={side} request={request} err={dropped}"
        ));
    }
}
