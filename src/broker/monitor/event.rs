//! What is told without being asked: connections that come, go, and are not let in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::ConnectionReport;

/// Something happened to a connection.
#[derive(Debug, Clone)]
pub enum Event {
    /// It was admitted.
    Connected(Arc<ConnectionReport>),
    /// It ended after it was admitted.
    Disconnected(Arc<ConnectionReport>),
    /// It was not let in.
    Refused(Arc<ConnectionReport>),
}

/// Where events go. Nobody waits for who takes them: what does not fit is counted and lost.
#[derive(Debug, Default)]
pub(in crate::broker) struct Events {
    queue: OnceLock<flume::Sender<Event>>,
    lost: AtomicU64,
    /// Answers and events of this broker so far.
    pub said: AtomicU64,
}

impl Events {
    /// The receiving end, for the first who asks; nothing for others.
    pub fn subscribe(&self, capacity: usize) -> Option<flume::Receiver<Event>> {
        let (sender, receiver) = flume::bounded(capacity);
        self.queue.set(sender).is_ok().then_some(receiver)
    }

    /// Whether somebody takes them.
    pub fn is_wanted(&self) -> bool {
        self.queue.get().is_some_and(|queue| !queue.is_disconnected())
    }

    pub fn tell(&self, event: Event) {
        if let Some(queue) = self.queue.get()
            && queue.try_send(event).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
