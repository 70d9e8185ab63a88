//! What a server counts about the requests it sees; feeds the status file and `daemon_stats`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Counters of one server, shared by everything that handles its requests.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages received, whatever became of them.
    pub total: Counter,
    /// Requests handed to an agent.
    pub valid: Counter,
    /// Messages refused: bad envelope, signature, collective, reply subject, or a replay.
    pub invalid: Counter,
    /// Requests whose filter matched this node.
    pub passed: Counter,
    /// Requests whose filter did not match this node.
    pub filtered: Counter,
    /// Replies sent.
    pub replies: Counter,
    /// Requests outside their time to live.
    pub ttl_expired: Counter,
    /// Lifecycle events published.
    pub events: Counter,
    /// Requests dropped because too many were being handled.
    pub overloaded: Counter,
    /// Requests that the authorization denied.
    pub denied: Counter,
    /// Requests whose body, action or inputs were refused, or that could not be audited.
    pub refused: Counter,
    /// Lines that are missing in the audit log.
    pub unaudited: Counter,
    /// Actions that panicked.
    pub panics: Counter,
    /// Unix seconds of the last valid request, 0 for none.
    last_message: AtomicI64,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters at one moment, under the names of the status file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Messages received.
    pub total: u64,
    /// Requests handed to an agent.
    pub valid: u64,
    /// Messages refused.
    pub invalid: u64,
    /// Requests meant for this node.
    pub passed: u64,
    /// Requests meant for others.
    pub filtered: u64,
    /// Replies sent.
    pub replies: u64,
    /// Requests outside their time to live.
    #[serde(rename = "ttlexpired")]
    pub ttl_expired: u64,
    /// Lifecycle events published.
    pub events: u64,
}

impl Counters {
    /// Notes that a valid request was seen.
    pub fn message_seen(&self, now: SystemTime) {
        let secs = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        self.last_message.store(secs, Ordering::Relaxed);
    }

    /// Unix seconds of the last valid request, 0 for none.
    pub fn last_message(&self) -> i64 {
        self.last_message.load(Ordering::Relaxed)
    }

    /// All counters that peers know, now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            total: self.total.value(),
            valid: self.valid.value(),
            invalid: self.invalid.value(),
            passed: self.passed.value(),
            filtered: self.filtered.value(),
            replies: self.replies.value(),
            ttl_expired: self.ttl_expired.value(),
            events: self.events.value(),
        }
    }
}
