//! The questions, and in which order their answers stand.

use std::sync::Arc;

use super::{AccountReport, ConnectionReport, Lookups, SubscriptionReport};

/// Entries of one page at most; whoever asks for more gets these.
pub(super) const PAGE_MAX: usize = 16_384;

/// Mail that an event loop answers.
#[derive(Debug)]
pub(in crate::broker) enum Question {
    Connections {
        query: Arc<ConnectionQuery>,
        answer: flume::Sender<Part<ConnectionReport>>,
    },
    Subscriptions {
        query: Arc<SubscriptionQuery>,
        answer: flume::Sender<Part<SubscriptionReport>>,
    },
    Accounts {
        answer: flume::Sender<Vec<AccountReport>>,
    },
    Lookups {
        answer: flume::Sender<Lookups>,
    },
    /// Does the loop turn?
    Turn {
        answer: flume::Sender<()>,
    },
}

/// What one event loop has to say.
#[derive(Debug)]
pub(in crate::broker) struct Part<T> {
    /// All that fit.
    pub total: usize,
    /// The first of them.
    pub found: Vec<(Key, T)>,
}

/// Where an answer stands among the others: by what was asked for, then by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct Key {
    pub rank: u64,
    pub text: &'static str,
    pub number: u64,
}

/// A part of all answers.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// All that fit the question.
    pub total: usize,
    /// Place of the first entry among them.
    pub offset: usize,
    /// Entries that were asked for, within bounds.
    pub limit: usize,
    /// The entries.
    pub entries: Vec<T>,
}

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConnectionState {
    /// Those that are open.
    #[default]
    Open,
    /// The last ones that ended.
    Closed,
    /// Both.
    Any,
}

/// How much is told about subscriptions and identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// List the subscriptions.
    pub subscriptions: bool,
    /// Describe the certificate.
    pub certificate: bool,
}

/// What is asked about connections.
#[derive(Debug, Clone, Default)]
pub struct ConnectionQuery {
    /// Which.
    pub state: ConnectionState,
    /// Only this one.
    pub cid: Option<u64>,
    /// Only those of this account.
    pub account: Option<String>,
    /// Only those of this user.
    pub user: Option<String>,
    /// Only those with a subscription that shares subjects with this one.
    pub subject: Option<String>,
    /// What is told about each.
    pub detail: Detail,
    /// In which order.
    pub order: Order,
    /// Entries to leave out.
    pub offset: usize,
    /// Entries to return.
    pub limit: usize,
}

/// What is asked about subscriptions.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionQuery {
    /// Only those of this account.
    pub account: Option<String>,
    /// Only those that get messages on this subject.
    pub subject: Option<String>,
    /// Entries to leave out.
    pub offset: usize,
    /// Entries to return.
    pub limit: usize,
}

/// The order of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Cid,
    /// Most subscriptions first.
    Subscriptions,
    /// Most bytes waiting first.
    Pending,
    /// Most messages to it first.
    MessagesTo,
    /// Most messages from it first.
    MessagesFrom,
    /// Most bytes to it first.
    BytesTo,
    /// Most bytes from it first.
    BytesFrom,
    /// Latest sign of life first.
    Active,
    /// Oldest sign of life first.
    Idle,
    /// Latest accepted first.
    Uptime,
    /// Last closed first.
    Stop,
    /// By the reason of the end.
    Reason,
    /// Slowest first.
    Rtt,
}

/// The figures that orders are made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub cid: u64,
    pub subscriptions: u64,
    pub pending_bytes: u64,
    pub traffic: super::Traffic,
    pub active_ms: u64,
    pub closed_ms: u64,
    pub reason: &'static str,
    pub rtt_us: u64,
}

impl Order {
    pub(super) fn key(self, of: Figures) -> Key {
        let most_first = |value: u64| u64::MAX - value;
        let rank = match self {
            Order::Cid | Order::Reason => 0,
            Order::Subscriptions => most_first(of.subscriptions),
            Order::Pending => most_first(of.pending_bytes),
            Order::MessagesTo => most_first(of.traffic.out_messages),
            Order::MessagesFrom => most_first(of.traffic.in_messages),
            Order::BytesTo => most_first(of.traffic.out_bytes),
            Order::BytesFrom => most_first(of.traffic.in_bytes),
            Order::Active => most_first(of.active_ms),
            Order::Idle => of.active_ms,
            Order::Uptime => most_first(of.cid),
            Order::Stop => most_first(of.closed_ms),
            Order::Rtt => most_first(of.rtt_us),
        };
        let text = if self == Order::Reason { of.reason } else { "" };
        Key { rank, text, number: of.cid }
    }
}

/// Keeps the first `count` of a list, in order.
pub(super) fn keep_first<T>(list: &mut Vec<(Key, T)>, count: usize) {
    if count < list.len() && count > 0 {
        list.select_nth_unstable_by_key(count - 1, |(key, _)| *key);
    }
    list.truncate(count);
    list.sort_unstable_by_key(|(key, _)| *key);
}

/// Puts the parts together.
pub(super) fn page<T>(parts: Vec<Part<T>>, offset: usize, limit: usize) -> Page<T> {
    let total = parts.iter().map(|part| part.total).sum();
    let mut found: Vec<_> = parts.into_iter().flat_map(|part| part.found).collect();
    found.sort_by_key(|(key, _)| *key);
    let entries = found.into_iter().skip(offset).take(limit).map(|(_, entry)| entry).collect();
    Page { total, offset, limit, entries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_all_are_the_first_of_the_parts() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..50 {
            let key = |number| Key { rank: random.u64(..5), text: "", number };
            let all: Vec<_> = (0..40).map(key).collect();
            let (offset, limit) = (random.usize(..45), random.usize(..45));
            let parts = all.chunks(13).map(|chunk| {
                let mut found: Vec<_> = chunk.iter().map(|key| (*key, key.number)).collect();
                let total = found.len();
                keep_first(&mut found, offset + limit);
                Part { total, found }
            });
            let page = page(parts.collect(), offset, limit);
            let mut sorted = all.clone();
            sorted.sort();
            let numbers = sorted.iter().skip(offset).take(limit).map(|key| key.number);
            assert_eq!((page.total, page.entries), (40, numbers.collect()));
        }
    }
}
