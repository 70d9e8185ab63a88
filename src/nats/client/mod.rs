//! A NATS client as Choria uses one: a connection that heals itself, subscriptions that survive it.
//!
//! [`Client::connect`] gives a handle that may be cloned and shared. One task owns the connection (`manager`), reads it
//! (`session`) and starts another that writes it out of the `outbox`. Received messages go through the `registry` into
//! bounded queues, one for each [`Subscription`]. Nothing here knows what messages mean.
//!
//! Delivery is at most once: what was handed to the socket when a connection broke may be lost.

mod error;
mod events;
mod handshake;
mod manager;
mod message;
mod options;
mod outbox;
mod pool;
mod queue;
mod registry;
mod requests;
mod session;
mod subscription;

pub use error::{Error, ErrorKind};
pub use events::{Event, Operation, Statistics};
pub use message::Message;
pub use options::{Credentials, Initial, Inside, ONCE_LIMIT, Options, Presented};
pub use subscription::Subscription;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future::FutureExt as _;

use crate::crypto::random;
use crate::nats::codec::encode;
use crate::nats::codec::headers::Headers;
use crate::nats::codec::info::ServerInfo;
use crate::nats::subject;
use crate::util::shutdown::Shutdown;
use crate::util::throttle::Throttle;
use events::{Counters, Events};
use outbox::{Outbox, Refused};
use pool::Pool;
use queue::{MessageQueue, QueueLimits};
use registry::{Registry, Sink};
use requests::Requests;

/// How often a drain looks whether subscribers have taken everything.
const DRAIN_TICK: Duration = Duration::from_millis(5);
/// How long a drain waits for subscribers to come back from their last message: not all do.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// A connection to a broker. Clones share it; when the last clone and the last subscription are dropped it closes.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the connection when nobody can use it any more.
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.closing.trigger();
    }
}

/// What the handle and the tasks share. Two locks are never held at once, but for these orders:
/// `registry` then `outbox`, `pongs` then `outbox`.
struct Inner {
    options: Options,
    outbox: Outbox,
    registry: Mutex<Registry>,
    requests: Requests,
    pool: Mutex<Pool>,
    info: Mutex<ServerInfo>,
    /// Those who wait for the next PONGs, in order; `None` for our own pings.
    pongs: Mutex<VecDeque<Option<flume::Sender<()>>>>,
    is_connected: AtomicBool,
    max_payload: AtomicUsize,
    has_headers: AtomicBool,
    queued_bytes: Arc<AtomicUsize>,
    counters: Counters,
    events: Events,
    /// For lines that a broker can cause as often as it likes.
    log: Throttle,
    /// Asked to close.
    closing: Shutdown,
    /// Closed.
    ended: Shutdown,
}

/// Takes a lock. What is behind ours is consistent between any two statements, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.connected_url()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects as `options.initial` says. The executor must be running.
    pub async fn connect(options: Options) -> Result<Client, Error> {
        let inner = Arc::new(Inner::new(options));
        let handle = Arc::new(Handle { inner: inner.clone() });
        let link = manager::initial(&inner).await?;
        inner.started(&link);
        let task = manager::manage(inner.clone(), link);
        inner.options.executor.spawn(task).detach();
        Ok(Client { handle })
    }

    /// Publishes a message. Waits while the write queue is full; what was accepted is sent in order.
    pub async fn publish(&self, subject: &str, payload: &[u8]) -> Result<(), Error> {
        self.publish_with(subject, None, None, payload).await
    }

    /// Publishes a message with an address for answers and headers.
    pub async fn publish_with(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<&Headers>,
        payload: &[u8],
    ) -> Result<(), Error> {
        let block = headers.map(Headers::encode);
        self.publish_encoded(subject, reply, block.as_deref(), payload).await
    }

    /// The same with a header block that is encoded already, as [`Headers::encode`] makes it.
    pub async fn publish_encoded(
        &self,
        subject: &str,
        reply: Option<&str>,
        block: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<(), Error> {
        let inner = &self.handle.inner;
        let size = inner.check_publish(subject, reply, block, payload)?;
        let queued = poll_fn(|cx| {
            inner.outbox.poll_publish(cx, |out| {
                encode::publish_encoded(out, subject, reply, block, payload)
            })
        });
        queued.await.map_err(|refused| inner.refused(refused))?;
        Counters::add(&inner.counters.sent_messages, 1);
        Counters::add(&inner.counters.sent_bytes, size);
        Ok(())
    }

    /// Subscribes; with `queue` as a member of that queue group.
    pub fn subscribe(&self, subject: &str, queue: Option<&str>) -> Result<Subscription, Error> {
        let options = &self.handle.inner.options;
        self.subscribe_with(subject, queue, options.subscription_messages_max)
    }

    /// Subscribes with room for `messages_max` waiting messages.
    pub fn subscribe_with(
        &self,
        subject: &str,
        queue: Option<&str>,
        messages_max: usize,
    ) -> Result<Subscription, Error> {
        let inner = &self.handle.inner;
        let is_queue_fine =
            queue.is_none_or(|name| !name.is_empty() && subject::valid_subscribe(name.as_bytes()));
        if !subject::valid_subscribe(subject.as_bytes()) || !is_queue_fine {
            let text = format!("cannot subscribe to {subject:?}: invalid subject or queue");
            return Err(Error::new(ErrorKind::InvalidSubject, text));
        }
        if inner.closing.is_triggered() {
            return Err(Error::closed());
        }
        let limits = QueueLimits {
            messages_max,
            bytes_max: inner.options.subscription_bytes_max,
            total_bytes_max: inner.options.queued_bytes_max,
        };
        let messages = Arc::new(MessageQueue::new(limits, inner.queued_bytes.clone()));
        let sid = inner.add_subscription(subject, queue, Sink::Queue(messages.clone()));
        Ok(Subscription::new(self.clone(), sid, subject, messages))
    }

    /// Publishes a request and waits for the first answer. Fails at once when nobody listens.
    pub async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Message, Error> {
        self.request_with(subject, None, payload, timeout).await
    }

    /// The same with headers.
    pub async fn request_with(
        &self,
        subject: &str,
        headers: Option<&Headers>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Message, Error> {
        let inner = &self.handle.inner;
        let prefix = inner.requests.prefix(|| {
            let prefix = self.new_inbox();
            inner.add_subscription(&format!("{prefix}.*"), None, Sink::Replies);
            prefix
        });
        let waiting = inner.requests.wait(&prefix);
        let exchange = async {
            self.publish_with(subject, Some(&waiting.reply), headers, payload).await?;
            waiting.answer().await.ok_or_else(Error::closed)
        };
        let expire = async {
            Timer::after(timeout).await;
            let text = format!("no answer on {subject} within {timeout:?}");
            Err(Error::new(ErrorKind::TimedOut, text))
        };
        let message = exchange.or(expire).await?;
        if message.is_no_responders() {
            let text = format!("nobody listens on {subject}");
            return Err(Error::new(ErrorKind::NoResponders, text));
        }
        Ok(message)
    }

    /// Waits until the broker has handled everything published so far.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let inner = &self.handle.inner;
        let (sender, receiver) = flume::bounded(1);
        if !inner.ping(Some(sender)) {
            return Err(match inner.closing.is_triggered() {
                true => Error::closed(),
                false => Error::new(ErrorKind::Disconnected, "there is no connection to a broker"),
            });
        }
        let answered = async {
            receiver.recv_async().await.map_err(|_| {
                Error::new(ErrorKind::Disconnected, "the connection was lost while flushing")
            })
        };
        let expire = async {
            Timer::after(timeout).await;
            Err(Error::new(ErrorKind::TimedOut, format!("no flush within {timeout:?}")))
        };
        answered.or(expire).await
    }

    /// Ends all subscriptions, waits until their messages were taken and publishes were sent, and closes.
    /// The client is closed afterwards in any case.
    pub async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let inner = &self.handle.inner;
        for sid in lock(&inner.registry).sids() {
            inner.outbox.control(|out| encode::unsubscribe(out, sid, None));
        }
        let mut outcome = self.flush(timeout).await;
        let queues = lock(&inner.registry).queues();
        lock(&inner.registry).clear();
        if !until(deadline, || queues.iter().all(|queue| queue.len() == 0)).await {
            let text = "messages are left that no subscriber has taken";
            outcome = Err(Error::new(ErrorKind::TimedOut, text));
        }
        let grace = deadline.min(Instant::now() + DRAIN_GRACE);
        until(grace, || !queues.iter().any(|queue| queue.is_handling())).await;
        if outcome.is_ok() {
            // What subscribers published in answer.
            outcome = self.flush(deadline.saturating_duration_since(Instant::now())).await;
        }
        self.close().await;
        outcome
    }

    /// Sends what is queued, within a short time, and closes the connection. Subscriptions end.
    pub async fn close(&self) {
        self.handle.inner.closing.trigger();
        self.handle.inner.ended.wait().await;
    }

    /// Address of the broker, while there is a connection.
    pub fn connected_url(&self) -> Option<String> {
        let inner = &self.handle.inner;
        if !inner.is_connected.load(Ordering::Acquire) {
            return None;
        }
        lock(&inner.pool).current().map(|target| target.server.to_string())
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.handle.inner.is_connected.load(Ordering::Acquire)
    }

    /// What the broker last said about itself.
    pub fn server_info(&self) -> ServerInfo {
        lock(&self.handle.inner.info).clone()
    }

    /// Counters since the client was made.
    pub fn statistics(&self) -> Statistics {
        self.handle.inner.counters.read()
    }

    /// What happens to the connection from now on. A receiver that is not read loses events.
    pub fn events(&self) -> flume::Receiver<Event> {
        self.handle.inner.events.subscribe()
    }

    /// Bytes of operations that wait for the socket or for a connection.
    pub fn pending_bytes(&self) -> usize {
        self.handle.inner.outbox.queued_bytes()
    }

    /// A subject for answers that nobody else uses.
    pub fn new_inbox(&self) -> String {
        format!("{}.{}", self.handle.inner.options.inbox_prefix, random::request_id())
    }

    fn unsubscribe_sid(&self, sid: u64) {
        let inner = &self.handle.inner;
        let mut registry = lock(&inner.registry);
        if registry.remove(sid) {
            inner.outbox.control(|out| encode::unsubscribe(out, sid, None));
        }
    }
}

/// Waits for a condition; says whether it came true before `deadline`.
async fn until(deadline: Instant, condition: impl Fn() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        Timer::after(DRAIN_TICK).await;
    }
}

impl Inner {
    fn new(options: Options) -> Self {
        Self {
            outbox: Outbox::new(options.write_queue_bytes, options.reconnect_buffer_bytes),
            registry: Mutex::default(),
            requests: Requests::default(),
            pool: Mutex::default(),
            info: Mutex::default(),
            pongs: Mutex::default(),
            is_connected: AtomicBool::new(false),
            max_payload: AtomicUsize::new(0),
            has_headers: AtomicBool::new(false),
            queued_bytes: Arc::default(),
            counters: Counters::default(),
            events: Events::default(),
            log: Throttle::default(),
            closing: Shutdown::new(),
            ended: Shutdown::new(),
            options,
        }
    }

    /// Checks what can be checked here; gives the size of the message.
    fn check_publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        block: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<usize, Error> {
        let is_fine = |subject: &str| subject::valid_publish(subject.as_bytes());
        if !is_fine(subject) || !reply.is_none_or(is_fine) {
            let text = format!("cannot publish on {subject:?}: invalid subject or reply subject");
            return Err(Error::new(ErrorKind::InvalidSubject, text));
        }
        if block.is_some() && !self.has_headers.load(Ordering::Relaxed) {
            let text = "the broker does not support headers";
            return Err(Error::new(ErrorKind::HeadersUnsupported, text));
        }
        let size = payload.len() + block.map_or(0, <[u8]>::len);
        let size_max = self.max_payload.load(Ordering::Relaxed);
        if size > size_max {
            let text = format!("message of {size} bytes is larger than {size_max}");
            return Err(Error::new(ErrorKind::PayloadTooLarge, text));
        }
        Ok(size)
    }

    fn refused(&self, refused: Refused) -> Error {
        match refused {
            Refused::Closed => Error::closed(),
            Refused::OfflineFull => {
                let size = self.options.reconnect_buffer_bytes;
                let text = format!("there is no connection and the buffer of {size} bytes is full");
                Error::new(ErrorKind::BufferFull, text)
            }
        }
    }

    fn add_subscription(&self, subject: &str, queue: Option<&str>, sink: Sink) -> u64 {
        // The lock is held for both, so that a new connection subscribes to it exactly once.
        let mut registry = lock(&self.registry);
        let sid = registry.add(subject, queue, sink);
        self.outbox.control(|out| encode::subscribe(out, subject, queue, sid));
        sid
    }

    /// Queues a PING; `waiter` learns of its PONG. Says whether there is a connection.
    fn ping(&self, waiter: Option<flume::Sender<()>>) -> bool {
        let mut pongs = lock(&self.pongs);
        let is_queued = self.outbox.control(|out| out.extend_from_slice(b"PING\r\n"));
        if is_queued {
            pongs.push_back(waiter);
        }
        is_queued
    }

    fn pong(&self) {
        if let Some(Some(waiter)) = lock(&self.pongs).pop_front() {
            let _ = waiter.try_send(());
        }
    }

    fn update_info(&self, info: ServerInfo) {
        if info.ldm && !lock(&self.info).ldm {
            let text =
                format_args!("nats: the broker is about to stop broker={}", info.server_name);
            self.log.warn(text);
            self.events.send(&Event::LameDuck);
        }
        lock(&self.pool).set_named(&info.connect_urls);
        if let Ok(bytes) = usize::try_from(info.max_payload)
            && bytes > 0
        {
            self.max_payload.store(bytes, Ordering::Relaxed);
        }
        self.has_headers.store(info.headers, Ordering::Relaxed);
        *lock(&self.info) = info;
    }
}

#[cfg(test)]
mod tests;
