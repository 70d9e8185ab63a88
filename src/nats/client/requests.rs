//! Requests that wait for their answer: one subscription serves all of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::nats::client::lock;
use crate::nats::client::message::Message;

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The subject all answers start with, once the first request was made.
    prefix: Mutex<Option<String>>,
    waiting: Mutex<HashMap<String, flume::Sender<Message>>>,
    last: AtomicU64,
}

/// A request that waits; dropping it forgets the request.
pub(super) struct Waiting<'a> {
    requests: &'a Requests,
    token: String,
    receiver: flume::Receiver<Message>,
    /// Where the answer is wanted.
    pub(super) reply: String,
}

impl Requests {
    /// The prefix of answers; `make` is called for the first one and says it, having subscribed to it.
    pub(super) fn prefix(&self, make: impl FnOnce() -> String) -> String {
        lock(&self.prefix).get_or_insert_with(make).clone()
    }

    pub(super) fn wait(&self, prefix: &str) -> Waiting<'_> {
        let token = self.last.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, receiver) = flume::bounded(1);
        lock(&self.waiting).insert(token.clone(), sender);
        let reply = format!("{prefix}.{token}");
        Waiting { requests: self, token, receiver, reply }
    }

    /// Hands an answer to its request; later answers to the same request are dropped.
    pub(super) fn answer(&self, message: Message) {
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        if let Some(sender) = lock(&self.waiting).remove(token) {
            let _ = sender.try_send(message);
        }
    }

    /// Fails every request that waits.
    pub(super) fn clear(&self) {
        lock(&self.waiting).clear();
    }
}

impl Waiting<'_> {
    /// The answer; `None` when the connection was closed.
    pub(super) async fn answer(&self) -> Option<Message> {
        self.receiver.recv_async().await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.requests.waiting).remove(&self.token);
    }
}
