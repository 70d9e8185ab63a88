//! The asking side.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::question::{self, Part};
use super::{
    AccountReport, ConnectionQuery, ConnectionReport, Event, Lookups, Page, Question, ServerStamp,
    SubscriptionQuery, SubscriptionReport,
};
use crate::broker::home::Mail;
use crate::broker::shared::Shared;
use crate::broker::{RouteReport, Settings, Statistics};
use crate::nats::codec::info::ServerInfo;

/// How long an event loop has for an answer. One that failed never answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Events that wait to be taken.
const EVENTS_MAX: usize = 16_384;

/// Sees what a broker does; it outlives it without keeping it running.
#[derive(Debug, Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

impl Observer {
    pub(in crate::broker) fn new(shared: Arc<Shared>) -> Observer {
        Observer { shared }
    }

    /// The settings that hold now, and since when.
    pub fn settings(&self) -> (Arc<Settings>, SystemTime) {
        self.shared.current()
    }

    /// What it tells clients about itself.
    pub fn info(&self) -> &ServerInfo {
        self.shared.info()
    }

    /// When it started.
    pub fn started_at(&self) -> SystemTime {
        self.shared.started_at
    }

    /// What it did so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Whether it no longer serves everybody, by a fault of ours.
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Relaxed)
    }

    /// Whether it sends its clients elsewhere.
    pub fn is_lame(&self) -> bool {
        self.shared.is_lame.load(Ordering::Relaxed)
    }

    /// A connection of this process with full rights in an account, which speaks the client protocol from INFO on.
    /// Fails when there is no such account.
    pub fn attach(&self, account: &str) -> std::io::Result<UnixStream> {
        self.shared.attach(account)
    }

    /// Has the broker look at its connections again: those are closed whose certificate was revoked, or who would not be let
    /// in any more.
    pub fn review_connections(&self) {
        if let Some(authority) = &self.settings().0.authority {
            authority.refresh_revocation();
        }
        self.shared.homes.iter().for_each(|home| home.post(Mail::Readmit));
    }

    /// The stamp of what is said about the broker next.
    pub fn stamp(&self) -> ServerStamp {
        ServerStamp::next(&self.shared)
    }

    /// Where other brokers of the cluster find it.
    pub fn cluster_addr(&self) -> Option<SocketAddr> {
        self.shared.cluster.as_ref().and_then(|cluster| cluster.local())
    }

    /// The routes to other brokers of the cluster.
    pub fn routes(&self) -> Vec<RouteReport> {
        let cluster = self.shared.cluster.as_ref();
        cluster.map(|cluster| cluster.reports(self.shared.now_ms())).unwrap_or_default()
    }

    /// The names of its accounts.
    pub fn account_names(&self) -> Vec<String> {
        self.shared.accounts.iter().map(|account| account.name.clone()).collect()
    }

    /// The name of the account of an index.
    pub fn account_name(&self, index: u32) -> &str {
        let account = self.shared.accounts.iter().nth(index as usize);
        account.map_or("", |account| &account.name)
    }

    /// Whether somebody would get a message on a subject of an account.
    pub fn is_wanted(&self, account: &str, subject: &str) -> bool {
        let account = self.shared.accounts.find(account.as_bytes());
        account.is_some_and(|account| !account.interest.find(subject.as_bytes()).is_empty())
    }

    /// The events from now on, for the first who asks; nothing for others.
    pub fn events(&self) -> Option<flume::Receiver<Event>> {
        self.shared.events.subscribe(EVENTS_MAX)
    }

    /// Events that nobody took in time.
    pub fn lost_events(&self) -> u64 {
        self.shared.events.lost()
    }

    /// Whether every event loop makes progress: it answers within a few seconds.
    pub async fn makes_progress(&self) -> bool {
        self.ask(|answer| Question::Turn { answer }).await.len() == self.shared.homes.len()
    }

    /// A page of connections.
    pub async fn connections(&self, mut query: ConnectionQuery) -> Page<ConnectionReport> {
        query.limit = query.limit.min(question::PAGE_MAX);
        let (offset, limit) = (query.offset, query.limit);
        let query = Arc::new(query);
        let parts: Vec<Part<_>> =
            self.ask(|answer| Question::Connections { query: query.clone(), answer }).await;
        question::page(parts, offset, limit)
    }

    /// A page of subscriptions, those of the oldest connections first.
    pub async fn subscriptions(&self, mut query: SubscriptionQuery) -> Page<SubscriptionReport> {
        query.limit = query.limit.min(question::PAGE_MAX);
        let (offset, limit) = (query.offset, query.limit);
        let query = Arc::new(query);
        let parts: Vec<Part<_>> =
            self.ask(|answer| Question::Subscriptions { query: query.clone(), answer }).await;
        question::page(parts, offset, limit)
    }

    /// All accounts.
    pub async fn accounts(&self) -> Vec<AccountReport> {
        let parts: Vec<Vec<AccountReport>> = self.ask(|answer| Question::Accounts { answer }).await;
        let account = |(index, account): (usize, &Arc<crate::broker::account::Account>)| {
            let mut sum = AccountReport {
                name: account.name.clone(),
                subscriptions: account.interest.count(),
                ..AccountReport::default()
            };
            for part in parts.iter().filter_map(|part| part.get(index)) {
                sum.connections += part.connections;
                sum.slow_consumers += part.slow_consumers;
                sum.traffic.add(part.traffic);
            }
            sum
        };
        self.shared.accounts.iter().enumerate().map(account).collect()
    }

    /// What is known about look-ups.
    pub async fn lookups(&self) -> Lookups {
        let parts: Vec<Lookups> = self.ask(|answer| Question::Lookups { answer }).await;
        let mut sum = Lookups::default();
        for part in parts {
            sum.kept += part.kept;
            sum.receivers += part.receivers;
            sum.receivers_max = sum.receivers_max.max(part.receivers_max);
            sum.misses += part.misses;
        }
        for account in self.shared.accounts.iter() {
            let (inserts, removes) = account.interest.changes();
            sum.inserts += inserts;
            sum.removes += removes;
        }
        sum
    }

    /// Asks every event loop; the answers of those that gave one in time.
    async fn ask<T>(&self, question: impl Fn(flume::Sender<T>) -> Question) -> Vec<T> {
        let homes = &self.shared.homes;
        let (sender, receiver) = flume::bounded(homes.len());
        for home in homes {
            home.post(Mail::Question(question(sender.clone())));
        }
        drop(sender);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut answers = Vec::with_capacity(homes.len());
        while answers.len() < homes.len() {
            let timeout = async {
                async_io::Timer::at(deadline).await;
                None
            };
            let next = smol::future::or(async { receiver.recv_async().await.ok() }, timeout);
            let Some(answer) = next.await else { break };
            answers.push(answer);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::broker::home::Home;
    use crate::broker::link::tests::BOUNDS;

    #[test]
    fn an_event_loop_that_does_not_turn_is_noticed() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings { listen, ..Settings::default() };
        let broker = Broker::start(settings.clone()).expect("broker");
        assert!(smol::block_on(broker.observer().makes_progress()));

        // A loop that nobody runs.
        let home = Home::new(BOUNDS, Arc::default(), Arc::default(), Arc::default());
        let shared = Shared::new(settings, listen, vec![Arc::new(home.expect("home"))]);
        let observer = Observer::new(Arc::new(shared.expect("settings")));
        assert!(!smol::block_on(observer.makes_progress()));
    }
}
