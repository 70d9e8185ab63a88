//! What a subscriber holds.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::stream::Stream;

use crate::nats::client::error::Error;
use crate::nats::client::message::Message;
use crate::nats::client::queue::MessageQueue;
use crate::nats::client::{Client, lock};
use crate::nats::codec::encode;

/// A subscription. Dropping it ends it. It survives lost connections.
pub struct Subscription {
    client: Client,
    sid: u64,
    subject: String,
    queue: Arc<MessageQueue>,
}

impl Subscription {
    pub(super) fn new(client: Client, sid: u64, subject: &str, queue: Arc<MessageQueue>) -> Self {
        Self { client, sid, subject: subject.to_owned(), queue }
    }

    /// What was subscribed to.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The next message. `None` once the subscription or the client has ended and nothing waits.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.queue.poll_next(cx)).await
    }

    /// The next message if one waits already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.queue.try_next()
    }

    /// Messages that were dropped because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Ends the subscription now; messages that wait can still be taken.
    pub fn unsubscribe(&self) {
        self.client.unsubscribe_sid(self.sid);
    }

    /// Ends the subscription once it has received `max` messages, counted from its start.
    pub fn unsubscribe_after(&self, max: u64) {
        let inner = &self.client.handle.inner;
        let mut registry = lock(&inner.registry);
        let wire_max = registry.limit(self.sid, max);
        inner.outbox.control(|out| encode::unsubscribe(out, self.sid, wire_max));
    }

    /// Ends the subscription, but receives what the broker has already sent. Then `next` gives what waits.
    pub async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        self.client.handle.inner.outbox.control(|out| encode::unsubscribe(out, self.sid, None));
        let flushed = self.client.flush(timeout).await;
        self.unsubscribe();
        flushed
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.queue.poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unsubscribe();
        self.queue.abandon();
    }
}
