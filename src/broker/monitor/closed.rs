//! The last connections that ended, of one event loop.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ConnectionReport;

/// Entries of all event loops together, as in nats-server.
const ENTRIES_MAX: usize = 10_000;

/// A list that forgets its oldest entry when it is full.
#[derive(Debug)]
pub(in crate::broker) struct Closed {
    entries: VecDeque<Arc<ConnectionReport>>,
    max: usize,
}

impl Closed {
    /// The part of one of so many event loops.
    pub fn new(loops: usize) -> Closed {
        Closed { entries: VecDeque::new(), max: (ENTRIES_MAX / loops.max(1)).max(1) }
    }

    pub fn add(&mut self, entry: Arc<ConnectionReport>) {
        if self.entries.len() >= self.max {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ConnectionReport>> {
        self.entries.iter()
    }
}
