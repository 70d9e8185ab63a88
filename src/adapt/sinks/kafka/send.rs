//! Sending sealed batches to the leaders of their partitions, all leaders at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Lease};
use super::codes::Meaning;
use super::connection::{Address, Connection};
use super::fault::Fault;
use super::messages::{self, Api, TopicBatches};
pub(super) use super::producer::Outcome;
use super::producer::{Place, Producer, Sealed};

/// Requests without an answer on one connection. Brokers remember this many batches of a producer in a partition, so more
/// could not be told from new ones when they are sent again.
const IN_FLIGHT_MAX: usize = 5;

/// The batches for one partition.
type Queue<'a> = (&'a Place, &'a VecDeque<Sealed>);

/// Sends everything that is sealed. What became of each batch, by partition.
pub(super) async fn to_leaders(
    cluster: &mut Cluster,
    producer: &Producer,
    limit: Duration,
    deadline: Instant,
) -> Vec<(Place, Vec<Outcome>)> {
    let mut results = Vec::new();
    let mut by_leader: BTreeMap<i32, Vec<Queue<'_>>> = BTreeMap::new();
    for (place, sealed) in producer.sealed() {
        match leader(cluster, place) {
            Some(leader) => by_leader.entry(leader).or_default().push((place, sealed)),
            None => {
                let reason = format!(
                    "topic {} partition {} has no leader now",
                    place.topic, place.partition
                );
                results.push((place.clone(), vec![Outcome::Open(reason); sealed.len()]));
            }
        }
    }
    let mut work: Vec<Pin<Box<dyn Future<Output = Sent<'_>> + Send>>> = Vec::new();
    for (leader, queues) in by_leader {
        // `leader` gave only brokers that have an address.
        let Some(address) = cluster.address(leader).cloned() else { continue };
        let lease = cluster.take(&address);
        work.push(Box::pin(to_leader(lease, queues, limit, deadline)));
    }
    for sent in all(work).await {
        if let Some(connection) = sent.connection {
            cluster.give_back(sent.address, connection);
        }
        let outcomes = sent.queues.iter().map(|(place, _)| (*place).clone()).zip(sent.outcomes);
        results.extend(outcomes);
    }
    results
}

fn leader(cluster: &Cluster, place: &Place) -> Option<i32> {
    let index = usize::try_from(place.partition).ok()?;
    let leader = (*cluster.topic(&place.topic)?.leaders.get(index)?)?;
    cluster.address(leader).map(|_| leader)
}

/// What came of sending to one leader.
struct Sent<'a> {
    address: Address,
    /// Good for more.
    connection: Option<Connection>,
    queues: Vec<Queue<'a>>,
    /// By queue; shorter than the queue when the rest was not sent.
    outcomes: Vec<Vec<Outcome>>,
}

async fn to_leader(
    mut lease: Lease,
    queues: Vec<Queue<'_>>,
    limit: Duration,
    deadline: Instant,
) -> Sent<'_> {
    let mut window = Window::new(&queues, limit);
    let mut connection = None;
    let fault = loop {
        let was_there = lease.is_connected();
        match lease.connect(deadline).await {
            Err(fault) => break Some(fault),
            Ok(mut opened) => match window.run(&mut opened, deadline).await {
                Ok(()) => {
                    connection = Some(opened);
                    break None;
                }
                // It was idle for too long, or the broker was started again meanwhile.
                Err(Fault::Io(_)) if was_there && window.is_unanswered() => {
                    window = Window::new(&queues, limit);
                }
                Err(fault) => break Some(fault),
            },
        }
    };
    let mut outcomes = window.outcomes;
    if let Some(fault) = fault {
        let reason = format!("{}: {fault}", lease.address);
        for (outcomes, (_, sealed)) in outcomes.iter_mut().zip(&queues) {
            outcomes.resize(sealed.len(), Outcome::Open(reason.clone()));
        }
    }
    Sent { address: lease.address, connection, queues, outcomes }
}

/// Requests on their way to one broker. Request number n holds the batch number n of each partition.
struct Window<'q, 'a> {
    queues: &'q [Queue<'a>],
    limit: Duration,
    outcomes: Vec<Vec<Outcome>>,
    /// The queues whose batches are in each request without an answer.
    under_way: VecDeque<Vec<usize>>,
    next: usize,
}

impl<'q, 'a> Window<'q, 'a> {
    fn new(queues: &'q [Queue<'a>], limit: Duration) -> Self {
        let outcomes = vec![Vec::new(); queues.len()];
        Self { queues, limit, outcomes, under_way: VecDeque::new(), next: 0 }
    }

    fn is_unanswered(&self) -> bool {
        self.outcomes.iter().all(Vec::is_empty)
    }

    async fn run(&mut self, connection: &mut Connection, deadline: Instant) -> Result<(), Fault> {
        loop {
            while self.under_way.len() < IN_FLIGHT_MAX {
                let members = self.members();
                if members.is_empty() {
                    break;
                }
                let body = self.request(&members, connection.version_of(Api::Produce)?);
                connection.send(Api::Produce, &body, deadline).await?;
                self.under_way.push_back(members);
                self.next += 1;
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            let answer = connection.receive(deadline).await?;
            let produced = answer.read(messages::produce_response)?;
            let mut produced: HashMap<(String, i32), messages::Produced> = produced
                .into_iter()
                .map(|produced| ((produced.topic.clone(), produced.partition), produced))
                .collect();
            for queue in self.under_way.pop_front().unwrap_or_default() {
                let (Some((place, _)), Some(outcomes)) =
                    (self.queues.get(queue), self.outcomes.get_mut(queue))
                else {
                    continue;
                };
                let found = produced.remove(&(place.topic.clone(), place.partition));
                let found = found.ok_or(Fault::Order)?;
                outcomes.push(Outcome::Answered(found.code, found.message));
            }
        }
    }

    /// The queues that have a batch for the next request. After a failure nothing more is sent to that partition.
    fn members(&self) -> Vec<usize> {
        let is_stored = |outcome: &Outcome| match outcome {
            Outcome::Answered(code, _) => code.meaning() == Meaning::Stored,
            Outcome::Open(_) => false,
        };
        let queues = self.queues.iter().zip(&self.outcomes).enumerate();
        queues
            .filter(|(_, ((_, sealed), outcomes))| {
                sealed.len() > self.next && outcomes.iter().all(is_stored)
            })
            .map(|(index, _)| index)
            .collect()
    }

    fn request(&self, members: &[usize], version: i16) -> Vec<u8> {
        let mut topics: BTreeMap<&str, Vec<(i32, &[u8])>> = BTreeMap::new();
        for member in members {
            if let Some((place, sealed)) = self.queues.get(*member)
                && let Some(sealed) = sealed.get(self.next)
            {
                let batches = topics.entry(place.topic.as_str()).or_default();
                batches.push((place.partition, sealed.bytes.as_slice()));
            }
        }
        let topics: Vec<TopicBatches<'_>> = topics
            .into_iter()
            .map(|(name, partitions)| TopicBatches { name, partitions })
            .collect();
        let timeout_ms = i32::try_from(self.limit.as_millis()).unwrap_or(i32::MAX);
        messages::produce_request(version, timeout_ms, &topics)
    }
}

/// Runs futures at the same time until all have ended; results in their order.
async fn all<T>(mut work: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = work.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, result) in work.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
