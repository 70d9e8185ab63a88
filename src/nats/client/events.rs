//! What happens to a connection, and how much went over it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::nats::client::lock;

/// Events a receiver may have waiting; more are lost for it.
const EVENTS_MAX: usize = 1024;

/// What a permission violation was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A publish, which the broker dropped.
    Publish,
    /// A subscription, which the broker did not make.
    Subscribe,
}

/// Something that happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection was lost; a new one is being sought.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// There is a connection again.
    Reconnected {
        /// The broker's address.
        url: String,
    },
    /// The broker refused an operation; the connection goes on.
    PermissionViolation {
        /// What was refused.
        operation: Operation,
        /// Its subject.
        subject: String,
        /// The broker's text.
        text: String,
    },
    /// The broker makes no more subscriptions for us; the connection goes on.
    SubscriptionLimit {
        /// The broker's text.
        text: String,
    },
    /// A subscriber does not keep up: messages are being dropped.
    SlowConsumer {
        /// What it subscribed to.
        subject: String,
    },
    /// The broker is about to stop.
    LameDuck,
    /// The client was closed. The last event.
    Closed {
        /// Why.
        reason: String,
    },
}

/// Hands events to everybody who asked for them.
#[derive(Debug, Default)]
pub(super) struct Events {
    receivers: Mutex<Vec<flume::Sender<Event>>>,
}

impl Events {
    pub(super) fn subscribe(&self) -> flume::Receiver<Event> {
        let (sender, receiver) = flume::bounded(EVENTS_MAX);
        lock(&self.receivers).push(sender);
        receiver
    }

    pub(super) fn send(&self, event: &Event) {
        lock(&self.receivers).retain(|sender| {
            !matches!(sender.try_send(event.clone()), Err(flume::TrySendError::Disconnected(_)))
        });
    }

    /// Ends the receivers' streams.
    pub(super) fn end(&self) {
        lock(&self.receivers).clear();
    }
}

/// Counters since the client was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages received.
    pub received_messages: u64,
    /// Bytes of their headers and payloads.
    pub received_bytes: u64,
    /// Messages published.
    pub sent_messages: u64,
    /// Bytes of their payloads.
    pub sent_bytes: u64,
    /// Messages dropped because a subscriber did not keep up.
    pub dropped_messages: u64,
    /// Connections after the first.
    pub reconnects: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received_messages: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_messages: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) dropped_messages: AtomicU64,
    pub(super) reconnects: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, value: usize) {
        counter.fetch_add(u64::try_from(value).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            received_messages: get(&self.received_messages),
            received_bytes: get(&self.received_bytes),
            sent_messages: get(&self.sent_messages),
            sent_bytes: get(&self.sent_bytes),
            dropped_messages: get(&self.dropped_messages),
            reconnects: get(&self.reconnects),
        }
    }
}
