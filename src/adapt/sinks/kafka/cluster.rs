//! What is known of a cluster: its brokers, the leaders of partitions, and one connection a broker.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::access::Access;
use super::codes::Code;
use super::connection::{Address, Connection};
use super::fault::Fault;
use super::messages::{self, Api, Metadata};
use crate::net::resolve::Resolver;

/// More topics than this are forgotten and asked for again: topics may be named after senders.
const TOPICS_MAX: usize = 10_000;
/// A cluster with more brokers than this is not believed.
const BROKERS_MAX: usize = 10_000;
/// The highest partition that is believed.
const PARTITIONS_MAX: usize = 1_000_000;

/// A topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) code: Code,
    /// The leader of each partition, by its number.
    pub(super) leaders: Vec<Option<i32>>,
}

/// What is known of a cluster.
pub(super) struct Cluster {
    resolver: Resolver,
    access: Access,
    bootstrap: Vec<Address>,
    /// Which of `bootstrap` is asked first.
    turn: usize,
    refresh: Duration,
    create_topics: bool,
    brokers: HashMap<i32, Address>,
    topics: HashMap<String, Topic>,
    asked: Option<Instant>,
    connections: HashMap<Address, Connection>,
}

impl Cluster {
    pub(super) fn new(
        access: Access,
        bootstrap: Vec<Address>,
        refresh: Duration,
        create_topics: bool,
    ) -> Self {
        Self {
            resolver: Resolver::from_system(),
            access,
            bootstrap,
            turn: 0,
            refresh,
            create_topics,
            brokers: HashMap::new(),
            topics: HashMap::new(),
            asked: None,
            connections: HashMap::new(),
        }
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// Where a broker listens.
    pub(super) fn address(&self, broker: i32) -> Option<&Address> {
        self.brokers.get(&broker)
    }

    /// How many brokers there are.
    pub(super) fn brokers(&self) -> usize {
        self.brokers.len()
    }

    /// What is known is out of date: it is asked for before the next use.
    pub(super) fn doubt(&mut self) {
        self.asked = None;
    }

    /// Ends all connections.
    pub(super) fn disconnect(&mut self) {
        self.connections.clear();
    }

    /// Takes the connection to a broker, a new one if need be. Whoever has it gives it back with [`Self::give_back`] if it
    /// is still good.
    pub(super) fn take(&mut self, address: &Address) -> Lease {
        let connection = self.connections.remove(address);
        let connection = connection.filter(|have| !have.is_old(Instant::now()));
        Lease {
            connection,
            resolver: self.resolver.clone(),
            address: address.clone(),
            access: self.access.clone(),
        }
    }

    pub(super) fn give_back(&mut self, address: Address, connection: Connection) {
        if connection.waiting() == 0 {
            self.connections.insert(address, connection);
        }
    }

    /// Knows these topics after this, unless the cluster does not: asks when one is unknown, and when what is known is old
    /// or in doubt.
    pub(super) async fn know(
        &mut self,
        topics: &BTreeSet<String>,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let is_fresh = self.asked.is_some_and(|asked| asked.elapsed() < self.refresh);
        let knows = |name: &String| self.topics.get(name).is_some_and(|topic| topic.code.is_ok());
        if is_fresh && topics.iter().all(knows) {
            return Ok(());
        }
        if self.topics.len() > TOPICS_MAX {
            self.topics.clear();
        }
        let mut wanted: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
        if !is_fresh {
            wanted.extend(self.topics.keys().map(String::as_str));
        }
        let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        let metadata = self.ask_any(&wanted, deadline).await?;
        self.learn(metadata)?;
        self.asked = Some(Instant::now());
        Ok(())
    }

    /// Asks one broker after the other until one answers: those with a connection, those that are known, those configured.
    async fn ask_any(&mut self, topics: &[String], deadline: Instant) -> Result<Metadata, Fault> {
        let mut candidates: Vec<Address> = self.connections.keys().cloned().collect();
        let turned = self.bootstrap.iter().cycle().skip(self.turn).take(self.bootstrap.len());
        for address in turned.chain(self.brokers.values()) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        let mut last = Fault::Cluster("no broker is configured".to_owned());
        let count = candidates.len();
        for (index, address) in candidates.into_iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // A broker that hangs leaves time for the others.
            let share = left / u32::try_from(count - index).unwrap_or(u32::MAX).min(3);
            let mut lease = self.take(&address);
            match lease.metadata(topics, self.create_topics, Instant::now() + share).await {
                Ok((connection, metadata)) => {
                    self.give_back(address, connection);
                    return Ok(metadata);
                }
                Err(fault) => last = Fault::Cluster(format!("{address}: {fault}")),
            }
        }
        self.turn = self.turn.wrapping_add(1) % self.bootstrap.len().max(1);
        Err(last)
    }

    fn learn(&mut self, metadata: Metadata) -> Result<(), Fault> {
        if metadata.brokers.len() > BROKERS_MAX {
            let count = metadata.brokers.len();
            return Err(Fault::Cluster(format!("a cluster of {count} brokers is not believed")));
        }
        self.brokers.clear();
        for broker in metadata.brokers {
            let port = u16::try_from(broker.port).ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| {
                Fault::Cluster(format!("broker {} has the port {}", broker.id, broker.port))
            })?;
            self.brokers.insert(broker.id, Address { host: broker.host, port });
        }
        for topic in metadata.topics {
            let mut leaders = Vec::new();
            for partition in topic.partitions {
                let index = usize::try_from(partition.index).ok().filter(|i| *i < PARTITIONS_MAX);
                let index = index.ok_or_else(|| {
                    Fault::Cluster(format!("{} has the partition {}", topic.name, partition.index))
                })?;
                if leaders.len() <= index {
                    leaders.resize(index + 1, None);
                }
                let leader = (partition.leader >= 0).then_some(partition.leader);
                if let Some(place) = leaders.get_mut(index) {
                    *place = leader;
                }
            }
            // One that is being made has no partitions yet.
            let code = match topic.code {
                code if code.is_ok() && leaders.is_empty() => Code(5),
                code => code,
            };
            self.topics.insert(topic.name, Topic { code, leaders });
        }
        Ok(())
    }

    /// Asks any broker for the identity of a producer.
    pub(super) async fn identity(&mut self, deadline: Instant) -> Result<(i64, i16), Fault> {
        let mut addresses: Vec<Address> = self.connections.keys().cloned().collect();
        addresses.extend(self.brokers.values().cloned());
        let mut last = Fault::Cluster("no broker is known".to_owned());
        for address in addresses {
            let mut lease = self.take(&address);
            match lease.identity(deadline).await {
                Ok((connection, identity)) => {
                    self.give_back(address, connection);
                    return Ok(identity);
                }
                Err(fault) => last = Fault::Cluster(format!("{address}: {fault}")),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last)
    }

    /// Asks for a topic without creating it, and whether everything is spoken there that deliveries need.
    pub(super) async fn look(&mut self, topic: &str, deadline: Instant) -> Result<(), Fault> {
        let create = std::mem::replace(&mut self.create_topics, false);
        let metadata = self.ask_any(&[topic.to_owned()], deadline).await;
        self.create_topics = create;
        self.learn(metadata?)?;
        for connection in self.connections.values() {
            connection.version_of(Api::Produce)?;
            connection.version_of(Api::InitProducerId)?;
        }
        Ok(())
    }

    /// How brokers are reached, for people.
    pub(super) fn way(&self) -> String {
        let mut text = match self.connections.values().next() {
            Some(connection) => connection.tls.unwrap_or("no TLS").to_owned(),
            None => "no connection".to_owned(),
        };
        if let Some(sasl) = &self.access.sasl {
            text.push_str(&format!(", login by {}", sasl.mechanism.name()));
        }
        text
    }
}

/// The right to speak to one broker, with what is needed to connect.
pub(super) struct Lease {
    connection: Option<Connection>,
    resolver: Resolver,
    pub(super) address: Address,
    access: Access,
}

impl Lease {
    /// Whether there is a connection from before.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// The connection, made when there is none.
    pub(super) async fn connect(&mut self, deadline: Instant) -> Result<Connection, Fault> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.resolver, &self.address, &self.access, deadline).await,
        }
    }

    /// Asks on the connection there is; when it turns out to be dead, on a new one.
    async fn ask(
        &mut self,
        api: Api,
        body: impl Fn(i16) -> Vec<u8>,
        deadline: Instant,
    ) -> Result<(Connection, super::connection::Answer), Fault> {
        loop {
            let was_there = self.connection.is_some();
            let mut connection = self.connect(deadline).await?;
            let body = body(connection.version_of(api)?);
            match connection.ask(api, &body, deadline).await {
                Ok(answer) => return Ok((connection, answer)),
                Err(Fault::Io(_)) if was_there => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn metadata(
        &mut self,
        topics: &[String],
        create: bool,
        deadline: Instant,
    ) -> Result<(Connection, Metadata), Fault> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let body = |version| messages::metadata_request(version, &names, create);
        let (connection, answer) = self.ask(Api::Metadata, body, deadline).await?;
        Ok((connection, answer.read(messages::metadata_response)?))
    }

    async fn identity(&mut self, deadline: Instant) -> Result<(Connection, (i64, i16)), Fault> {
        let body = messages::producer_request;
        let (connection, answer) = self.ask(Api::InitProducerId, body, deadline).await?;
        let (code, id, epoch) = answer.read(|_, body| messages::producer_response(body))?;
        if !code.is_ok() {
            return Err(Fault::Code(Api::InitProducerId, code));
        }
        Ok((connection, (id, epoch)))
    }
}
