//! Which nodes were asked and which of them have answered. Pure: the request task feeds it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use super::stats::{Stats, UNEXPECTED_NAMES_MAX};

/// What a sender's reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The sender was asked and this is its first reply.
    Expected,
    /// The sender was not asked, or has replied already.
    Unexpected,
}

/// The state of one request.
#[derive(Debug)]
pub(super) struct Tracker {
    stats: Stats,
    /// Nodes asked that have not answered, with the number of their batch.
    outstanding: HashMap<String, usize>,
    /// Nodes of the current batch that have not answered.
    batch_left: usize,
    batch: usize,
    /// Nodes that will be asked in later batches.
    unasked: Vec<String>,
    /// For requests without targets: who has answered. Every sender is expected once.
    answered: Option<HashSet<String>>,
    unexpected: BTreeSet<String>,
}

impl Tracker {
    /// A request to known nodes.
    pub(super) fn to_nodes(stats: Stats, nodes: Vec<String>) -> Self {
        let mut tracker = Self::new(stats, nodes, None);
        tracker.stats.discovered = tracker.unasked.len();
        tracker
    }

    /// A request whose receivers are not known.
    pub(super) fn to_anyone(stats: Stats) -> Self {
        Self::new(stats, Vec::new(), Some(HashSet::new()))
    }

    fn new(stats: Stats, unasked: Vec<String>, answered: Option<HashSet<String>>) -> Self {
        let outstanding = HashMap::with_capacity(unasked.len());
        let unexpected = BTreeSet::new();
        Self { stats, outstanding, batch_left: 0, batch: 0, unasked, answered, unexpected }
    }

    /// Begins a batch with these nodes, which leave the list of the unasked.
    pub(super) fn ask(&mut self, nodes: &[String]) {
        self.batch += 1;
        self.batch_left = 0;
        for node in nodes {
            if self.outstanding.insert(node.clone(), self.batch).is_none() {
                self.batch_left += 1;
            }
        }
        let asked = nodes.len().min(self.unasked.len());
        self.unasked.drain(..asked);
    }

    /// A reply has come from `sender`.
    pub(super) fn hear(&mut self, sender: &str) -> Heard {
        let is_expected = match &mut self.answered {
            Some(answered) => {
                let is_new = answered.insert(sender.to_owned());
                self.stats.discovered += usize::from(is_new);
                is_new
            }
            None => match self.outstanding.remove(sender) {
                Some(batch) => {
                    self.batch_left -= usize::from(batch == self.batch);
                    true
                }
                None => false,
            },
        };
        if is_expected {
            self.stats.responses += 1;
            return Heard::Expected;
        }
        if self.unexpected.len() < UNEXPECTED_NAMES_MAX {
            self.unexpected.insert(sender.to_owned());
        }
        Heard::Unexpected
    }

    /// The result of an expected reply.
    pub(super) fn count(&mut self, is_ok: bool) {
        if is_ok {
            self.stats.ok += 1;
        } else {
            self.stats.failed += 1;
        }
    }

    /// Whether every node of the current batch has answered. Never true when the receivers are not known.
    pub(super) fn is_batch_complete(&self) -> bool {
        self.answered.is_none() && self.batch_left == 0
    }

    /// Adds to the time spent publishing.
    pub(super) fn published(&mut self, took: Duration) {
        self.stats.publish += took;
    }

    /// How many have answered, of how many.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.stats.responses, self.stats.discovered)
    }

    /// The figures as they stand at `now`.
    pub(super) fn stats(&self, now: SystemTime, is_cancelled: bool) -> Stats {
        let mut stats = self.stats.clone();
        stats.no_responses = self.outstanding.keys().chain(&self.unasked).cloned().collect();
        stats.no_responses.sort_unstable();
        stats.unexpected = self.unexpected.iter().cloned().collect();
        stats.request = now.duration_since(stats.started).unwrap_or_default();
        stats.cancelled = is_cancelled;
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn stats() -> Stats {
        Stats::new("id", "rpcutil", "ping", SystemTime::UNIX_EPOCH)
    }

    fn later(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn a_second_reply_and_a_stranger_are_unexpected() {
        let mut tracker = Tracker::to_nodes(stats(), names(&["a", "b"]));
        tracker.ask(&names(&["a", "b"]));
        assert_eq!(tracker.hear("a"), Heard::Expected);
        tracker.count(true);
        assert_eq!(tracker.hear("a"), Heard::Unexpected);
        assert_eq!(tracker.hear("x"), Heard::Unexpected);
        assert!(!tracker.is_batch_complete());
        assert_eq!(tracker.progress(), (1, 2));
        let stats = tracker.stats(later(3), true);
        assert_eq!((stats.ok, stats.failed, stats.responses, stats.discovered), (1, 0, 1, 2));
        assert_eq!((stats.no_responses, stats.unexpected), (names(&["b"]), names(&["a", "x"])));
        assert_eq!((stats.request, stats.cancelled), (Duration::from_secs(3), true));
    }

    #[test]
    fn batches_complete_one_by_one_and_take_late_replies() {
        let mut tracker = Tracker::to_nodes(stats(), names(&["a", "b", "c", "d"]));
        tracker.ask(&names(&["a", "b"]));
        assert_eq!(tracker.hear("c"), Heard::Unexpected);
        tracker.hear("a");
        assert!(!tracker.is_batch_complete());
        tracker.ask(&names(&["c", "d"]));
        assert_eq!(tracker.hear("b"), Heard::Expected);
        assert!(!tracker.is_batch_complete());
        tracker.hear("c");
        tracker.hear("d");
        assert!(tracker.is_batch_complete());
        assert!(tracker.stats(later(1), false).is_complete());
    }

    #[test]
    fn nodes_of_batches_that_never_came_are_missing() {
        let mut tracker = Tracker::to_nodes(stats(), names(&["a", "b", "c"]));
        tracker.ask(&names(&["a"]));
        tracker.hear("a");
        assert!(tracker.is_batch_complete());
        assert_eq!(tracker.stats(later(1), true).no_responses, names(&["b", "c"]));
    }

    #[test]
    fn without_targets_every_sender_is_expected_once() {
        let mut tracker = Tracker::to_anyone(stats());
        assert_eq!(tracker.hear("a"), Heard::Expected);
        assert_eq!(tracker.hear("b"), Heard::Expected);
        assert_eq!(tracker.hear("a"), Heard::Unexpected);
        assert!(!tracker.is_batch_complete());
        let stats = tracker.stats(later(1), false);
        assert_eq!((stats.discovered, stats.responses, stats.is_complete()), (2, 2, true));
    }
}
