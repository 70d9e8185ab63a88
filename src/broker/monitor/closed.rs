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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_oldest_make_room() {
        let mut closed = Closed::new(ENTRIES_MAX / 3);
        let report = |cid| ConnectionReport {
            cid,
            transport: "nats",
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            opened: SystemTime::UNIX_EPOCH,
            active: SystemTime::UNIX_EPOCH,
            closed: None,
            rtt: None,
            pending_bytes: 0,
            traffic: Default::default(),
            subscriptions: 0,
            name: Box::default(),
            library: Arc::default(),
            user: Box::default(),
            account: 0,
            tls: None,
            certificate: None,
            listed: Vec::new(),
        };
        (0..10).for_each(|cid| closed.add(Arc::new(report(cid))));
        let left: Vec<_> = closed.iter().map(|entry| entry.cid).collect();
        assert_eq!(left, [7, 8, 9]);
    }
}
