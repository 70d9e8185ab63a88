//! Kafka: records become messages of topics, written by an idempotent producer and confirmed by all replicas in sync.
//!
//! Start at [`KafkaSink`]; [`producer`] says what happens to what is not confirmed. The protocol is spoken here: [`wire`] has
//! its types, [`messages`] its requests, [`batch`] its records, [`connection`] its connections.

mod access;
mod batch;
mod cluster;
mod codes;
mod compress;
mod connection;
mod fault;
mod messages;
mod partition;
mod producer;
mod scram;
mod send;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use access::{Access, Mechanism, Sasl};
use batch::{Entry, Identity};
use cluster::Cluster;
use codes::{Code, Meaning};
pub use compress::Compression;
use connection::Address;
use fault::Fault;
use producer::{Place, Producer};

use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Template, Verdict};

/// Longest name of a topic.
const TOPIC_BYTES_MAX: usize = 249;

/// Settings of one Kafka sink.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host and port of brokers that are asked first; the cluster tells of the others.
    pub servers: Vec<(String, u16)>,
    /// TLS, login, time limit.
    pub access: Access,
    /// The topic of a record.
    pub topic: Template,
    /// The key of a record, which chooses its partition as Java's producer does. Without one, or where it is empty, records
    /// have no key and go to the partitions in turn.
    pub key: Option<Template>,
    /// The number of the partition, instead.
    pub partition: Option<Template>,
    /// Headers of every record.
    pub headers: Vec<(Arc<str>, Template)>,
    /// How batches are compressed.
    pub compression: Compression,
    /// Whether brokers may create topics that do not exist.
    pub create_topics: bool,
    /// What is delivered at once.
    pub batch: BatchLimits,
    /// Bytes of one batch for one partition, before compression. A larger record is a batch of its own.
    pub batch_bytes_max: usize,
    /// How old news of leaders may be.
    pub refresh: Duration,
}

/// Writes records to a Kafka cluster.
pub struct KafkaSink {
    settings: Settings,
    cluster: Cluster,
    producer: Producer,
    /// A delivery has begun and not ended: it was cancelled if another one begins.
    is_under_way: bool,
    /// Counts deliveries, for the turns of partitions.
    turn: usize,
}

/// A record with its way.
struct Routed<'a> {
    index: usize,
    topic: String,
    entry: Entry<'a>,
    /// The number that the template gives.
    partition: Option<i32>,
}

impl KafkaSink {
    /// A sink that has no connection yet.
    pub fn new(settings: Settings) -> Self {
        let bootstrap = settings
            .servers
            .iter()
            .map(|(host, port)| Address { host: host.clone(), port: *port })
            .collect();
        let cluster = Cluster::new(
            settings.access.clone(),
            bootstrap,
            settings.refresh,
            settings.create_topics,
        );
        let producer = Producer::new(settings.compression, settings.batch_bytes_max);
        Self { settings, cluster, producer, is_under_way: false, turn: 0 }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.access.timeout
    }

    async fn deliver_all(&mut self, batch: &[Record]) -> Result<Vec<Verdict>, Fault> {
        if std::mem::replace(&mut self.is_under_way, true) {
            log::debug!("kafka: a delivery was cancelled, its messages may be there twice");
            self.cluster.disconnect();
            self.producer.forget();
        }
        if self.producer.trim() {
            log::warn!("kafka: too much is unconfirmed, its messages may be there twice");
        }
        self.turn = self.turn.wrapping_add(1);
        let deadline = self.deadline();
        let mut verdicts: Vec<Option<Verdict>> = vec![None; batch.len()];
        let outcome = self.steps(batch, &mut verdicts, deadline).await;
        self.producer.finish(batch);
        self.is_under_way = false;
        outcome?;
        let without = || Verdict::Retry("its turn did not come".to_owned());
        Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(without)).collect())
    }

    async fn steps(
        &mut self,
        batch: &[Record],
        verdicts: &mut [Option<Verdict>],
        deadline: Instant,
    ) -> Result<(), Fault> {
        let earlier: BTreeSet<String> =
            self.producer.sealed().map(|(place, _)| place.topic.clone()).collect();
        if !earlier.is_empty() {
            self.cluster.know(&earlier, deadline).await?;
            self.send(verdicts, deadline).await;
        }
        self.producer.recognise(batch, verdicts);

        let routed = self.route(batch, verdicts);
        let topics: BTreeSet<String> = routed.iter().map(|routed| routed.topic.clone()).collect();
        if topics.is_empty() {
            return Ok(());
        }
        self.cluster.know(&topics, deadline).await?;
        let queues = self.assign(routed, verdicts);
        if queues.keys().any(|place| self.producer.lacks_identity(place)) {
            let (id, epoch) = self.cluster.identity(deadline).await?;
            self.producer.adopt(Identity { id, epoch });
        }
        for (place, entries) in queues {
            self.producer.seal(&place, entries);
        }
        self.send(verdicts, deadline).await;
        Ok(())
    }

    /// Sends everything that is sealed, and takes in what became of it.
    async fn send(&mut self, verdicts: &mut [Option<Verdict>], deadline: Instant) {
        let limit = self.settings.access.timeout;
        let sent = send::to_leaders(&mut self.cluster, &self.producer, limit, deadline).await;
        for (place, outcomes) in sent {
            let is_moved = |outcome: &send::Outcome| match outcome {
                send::Outcome::Answered(code, _) => code.meaning() == Meaning::Passing,
                send::Outcome::Open(_) => true,
            };
            if outcomes.iter().any(is_moved) {
                self.cluster.doubt();
            }
            self.producer.apply(&place, outcomes, verdicts);
        }
    }

    /// Topic, key and headers of the records that have no verdict yet.
    fn route<'a>(&self, batch: &'a [Record], verdicts: &mut [Option<Verdict>]) -> Vec<Routed<'a>> {
        let mut routed = Vec::with_capacity(batch.len());
        for (index, (record, verdict)) in batch.iter().zip(verdicts).enumerate() {
            if verdict.is_some() {
                continue;
            }
            match self.way(index, record) {
                Ok(way) => routed.push(way),
                Err(reason) => *verdict = Some(Verdict::Refused(reason)),
            }
        }
        routed
    }

    fn way<'a>(&self, index: usize, record: &'a Record) -> Result<Routed<'a>, String> {
        let settings = &self.settings;
        let topic = settings.topic.render(record);
        if !is_topic(&topic) {
            return Err(format!("{topic:?} cannot be the name of a topic"));
        }
        let partition = match settings.partition.as_ref().map(|template| template.render(record)) {
            None => None,
            Some(text) => Some(
                text.parse::<i32>()
                    .ok()
                    .filter(|number| *number >= 0)
                    .ok_or_else(|| format!("{text:?} is no number of a partition"))?,
            ),
        };
        let key = settings.key.as_ref().map(|template| template.render(record));
        let headers = settings.headers.iter();
        let entry = Entry {
            key: key.filter(|key| !key.is_empty()),
            value: &record.body,
            timestamp_ms: milliseconds(record.time),
            headers: headers.map(|(name, value)| (name.clone(), value.render(record))).collect(),
        };
        Ok(Routed { index, topic, entry, partition })
    }

    /// The partition of each record; a verdict for those that cannot be sent now.
    fn assign<'a>(
        &self,
        routed: Vec<Routed<'a>>,
        verdicts: &mut [Option<Verdict>],
    ) -> BTreeMap<Place, Vec<(usize, Entry<'a>)>> {
        let mut queues: BTreeMap<Place, Vec<(usize, Entry<'a>)>> = BTreeMap::new();
        for Routed { index, topic, entry, partition } in routed {
            let chosen = self.choose(&topic, entry.key.as_deref(), partition);
            let place = chosen.map(|partition| Place { topic, partition }).and_then(|place| {
                if self.producer.is_unresolved(&place) {
                    let reason = "it waits behind messages that the broker has not confirmed";
                    return Err(Verdict::Retry(reason.to_owned()));
                }
                Ok(place)
            });
            match place {
                Ok(place) => queues.entry(place).or_default().push((index, entry)),
                Err(verdict) => {
                    if let Some(slot) = verdicts.get_mut(index) {
                        *slot = Some(verdict);
                    }
                }
            }
        }
        queues
    }

    fn choose(&self, name: &str, key: Option<&str>, wanted: Option<i32>) -> Result<i32, Verdict> {
        let topic = self.cluster.topic(name).map(|topic| (topic.code, topic.leaders.as_slice()));
        let leaders = match topic {
            Some((code, leaders)) if code.is_ok() => leaders,
            Some((Code::INVALID_TOPIC, _)) => {
                return Err(Verdict::Refused(format!("topic {name:?}: {}", Code::INVALID_TOPIC)));
            }
            Some((code, _)) => return Err(Verdict::Retry(self.explain(name, code))),
            None => return Err(Verdict::Retry(self.explain(name, Code::UNKNOWN_TOPIC))),
        };
        let count = leaders.len();
        let index = match (wanted, key) {
            (Some(number), _) => {
                usize::try_from(number).ok().filter(|index| *index < count).ok_or_else(|| {
                    Verdict::Refused(format!(
                        "topic {name:?} has no partition {number}, only {count}"
                    ))
                })?
            }
            (None, Some(key)) => partition::of_key(key.as_bytes(), count),
            (None, None) => self.in_turn(name, leaders),
        };
        // No cluster has more partitions than this number holds.
        Ok(i32::try_from(index).unwrap_or(i32::MAX))
    }

    /// One partition for a whole delivery, the next one for the next: large batches, evenly spread.
    fn in_turn(&self, name: &str, leaders: &[Option<i32>]) -> usize {
        let count = leaders.len().max(1);
        let candidates = (0..count).map(|offset| self.turn.wrapping_add(offset) % count);
        let is_good = |index: &usize| {
            let partition = i32::try_from(*index).unwrap_or(i32::MAX);
            leaders.get(*index).is_some_and(Option::is_some)
                && !self.producer.is_unresolved(&Place { topic: name.to_owned(), partition })
        };
        candidates.clone().find(is_good).unwrap_or(self.turn % count)
    }

    fn explain(&self, topic: &str, code: Code) -> String {
        if code == Code::UNKNOWN_TOPIC && !self.settings.create_topics {
            return format!(
                "topic {topic:?} does not exist: create it, or set kafka.create_topics"
            );
        }
        format!("topic {topic:?}: {code}")
    }

    async fn look(&mut self, sample: &Record) -> Result<String, SinkError> {
        let deadline = self.deadline();
        let topic = self.settings.topic.render(sample);
        if !is_topic(&topic) {
            return Err(SinkError::new(format!("{topic:?} cannot be the name of a topic")));
        }
        let failed = |fault: Fault| SinkError::new(format!("cannot use Kafka: {fault}"));
        self.cluster.look(&topic, deadline).await.map_err(failed)?;
        let Some(known) = self.cluster.topic(&topic) else {
            return Err(SinkError::new(self.explain(&topic, Code::UNKNOWN_TOPIC)));
        };
        let is_absent = known.code == Code::UNKNOWN_TOPIC && self.settings.create_topics;
        if !known.code.is_ok() && !is_absent {
            return Err(SinkError::new(self.explain(&topic, known.code)));
        }
        let partitions = match known.leaders.len() {
            0 => "will be created".to_owned(),
            count => format!("has {count} partitions"),
        };
        let (brokers, way) = (self.cluster.brokers(), self.cluster.way());
        Ok(format!("{way}, {brokers} brokers, topic {topic} {partitions}"))
    }
}

impl Sink for KafkaSink {
    fn describe(&self) -> String {
        let servers: Vec<String> =
            self.settings.servers.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("kafka {} {}", servers.join(","), self.settings.topic)
    }

    fn batch(&self) -> BatchLimits {
        self.settings.batch
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(async move {
            let failed = |fault: Fault| SinkError::new(fault.to_string());
            self.deliver_all(batch).await.map_err(failed)
        })
    }

    fn check<'a>(&'a mut self, sample: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(self.look(sample))
    }

    fn place(&self, record: &Record) -> Result<String, String> {
        let way = self.way(0, record)?;
        let mut text = format!("topic {}", way.topic);
        if let Some(key) = &way.entry.key {
            text.push_str(&format!(" key {key}"));
        }
        if let Some(partition) = way.partition {
            text.push_str(&format!(" partition {partition}"));
        }
        Ok(text)
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        self.cluster.disconnect();
        Box::pin(std::future::ready(()))
    }
}

/// Whether a topic may have this name (`org.apache.kafka.common.internals.Topic`).
fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_BYTES_MAX).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(is_allowed)
}

/// Milliseconds since 1970; what is out of range is nearest to it.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
