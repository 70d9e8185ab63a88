//! The subscriptions of a client: what a new connection subscribes to, and who gets a message.

use std::collections::HashMap;
use std::sync::Arc;

use crate::nats::client::queue::MessageQueue;
use crate::nats::codec::encode;

/// Who gets the messages of a subscription.
#[derive(Debug, Clone)]
pub(super) enum Sink {
    Queue(Arc<MessageQueue>),
    /// Answers to requests, told apart by the last token of their subject.
    Replies,
}

#[derive(Debug)]
struct Entry {
    subject: String,
    queue: Option<String>,
    sink: Sink,
    /// Messages after which it ends, counted from its start.
    max: Option<u64>,
    received: u64,
    /// How many of them came over earlier connections: the broker counts from its own SUB.
    received_before: u64,
}

impl Entry {
    /// The maximum as the present broker counts it.
    fn wire_max(&self) -> Option<u64> {
        self.max.map(|max| max.saturating_sub(self.received_before))
    }

    fn close(&self) {
        if let Sink::Queue(queue) = &self.sink {
            queue.close();
        }
    }
}

/// Subscriptions by their number.
#[derive(Debug, Default)]
pub(super) struct Registry {
    last_sid: u64,
    entries: HashMap<u64, Entry>,
}

impl Registry {
    pub(super) fn add(&mut self, subject: &str, queue: Option<&str>, sink: Sink) -> u64 {
        self.last_sid += 1;
        let entry = Entry {
            subject: subject.to_owned(),
            queue: queue.map(str::to_owned),
            sink,
            max: None,
            received: 0,
            received_before: 0,
        };
        self.entries.insert(self.last_sid, entry);
        self.last_sid
    }

    /// Counts a message for `sid` and says who gets it. The subscription ends with its last message.
    pub(super) fn receive(&mut self, sid: u64) -> Option<(Sink, bool)> {
        let entry = self.entries.get_mut(&sid)?;
        entry.received += 1;
        let is_last = entry.max.is_some_and(|max| entry.received >= max);
        let sink = entry.sink.clone();
        if is_last {
            self.entries.remove(&sid);
        }
        Some((sink, is_last))
    }

    /// Ends a subscription; says whether it was there.
    pub(super) fn remove(&mut self, sid: u64) -> bool {
        match self.entries.remove(&sid) {
            Some(entry) => {
                entry.close();
                true
            }
            None => false,
        }
    }

    /// Ends a subscription after `max` messages in all. Gives the maximum to tell the broker, nothing when no
    /// message is to come any more.
    pub(super) fn limit(&mut self, sid: u64, max: u64) -> Option<u64> {
        let entry = self.entries.get_mut(&sid)?;
        if entry.received >= max {
            self.remove(sid);
            return None;
        }
        entry.max = Some(max);
        entry.wire_max()
    }

    /// What a new connection has to be told.
    pub(super) fn opening(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sids: Vec<u64> = self.entries.keys().copied().collect();
        sids.sort_unstable();
        for sid in sids {
            let Some(entry) = self.entries.get_mut(&sid) else { continue };
            entry.received_before = entry.received;
            encode::subscribe(&mut out, &entry.subject, entry.queue.as_deref(), sid);
            if let Some(max) = entry.wire_max() {
                encode::unsubscribe(&mut out, sid, Some(max));
            }
        }
        out
    }

    pub(super) fn subject(&self, sid: u64) -> Option<&str> {
        self.entries.get(&sid).map(|entry| entry.subject.as_str())
    }

    pub(super) fn sids(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    /// The queues of every subscription.
    pub(super) fn queues(&self) -> Vec<Arc<MessageQueue>> {
        let queues = self.entries.values().filter_map(|entry| match &entry.sink {
            Sink::Queue(queue) => Some(queue.clone()),
            Sink::Replies => None,
        });
        queues.collect()
    }

    /// Ends every subscription.
    pub(super) fn clear(&mut self) {
        self.entries.drain().for_each(|(_, entry)| entry.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_learns_what_is_left_of_each_subscription() {
        let mut registry = Registry::default();
        let a = registry.add("a", None, Sink::Replies);
        let b = registry.add("b", Some("q"), Sink::Replies);
        let c = registry.add("c", None, Sink::Replies);
        assert_eq!(registry.limit(b, 3), Some(3));
        assert!(registry.receive(b).is_some_and(|(_, is_last)| !is_last));
        assert!(registry.remove(a));
        assert!(!registry.remove(a));
        assert!(registry.receive(a).is_none());
        let text = format!("SUB b q {b}\r\nUNSUB {b} 2\r\nSUB c {c}\r\n");
        assert_eq!(String::from_utf8_lossy(&registry.opening()), text);
        assert!(registry.receive(b).is_some_and(|(_, is_last)| !is_last));
        assert!(registry.receive(b).is_some_and(|(_, is_last)| is_last));
        assert!(registry.receive(b).is_none());
        registry.receive(c);
        assert_eq!(registry.limit(c, 5), Some(5));
        assert_eq!(registry.limit(c, 1), None);
        assert!(registry.opening().is_empty());
    }
}
