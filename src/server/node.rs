//! What a running server knows about itself; agents read it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::agent::Metadata;
use super::authorization::Authorization;
use super::classes::Classes;
use super::counters::Counters;
use super::facts::Facts;
use super::link::Link;
use super::registry::Registry;
use super::settings::{ConfigItems, Settings};
use super::workers::Workers;

/// How the connection of a server was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Name in the broker's lists.
    pub name: String,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// Whether requests must be signed.
    pub is_signed: bool,
    /// Limit of one attempt to connect.
    pub connect_timeout: Duration,
    /// Time between pings.
    pub ping_interval: Duration,
    /// Unanswered pings after which it counts as dead.
    pub pings_outstanding_max: usize,
}

impl Connection {
    fn of(settings: &Settings) -> Connection {
        let options = &settings.connection;
        Connection {
            name: options.name.clone(),
            is_tls: options.tls.is_some(),
            is_signed: settings.security.settings().security_on,
            connect_timeout: options.connect_timeout,
            ping_interval: options.ping_interval,
            pings_outstanding_max: options.pings_outstanding_max,
        }
    }
}

/// One server as its agents see it.
pub struct Node {
    /// The name of the node.
    pub identity: String,
    /// The collectives it is a member of.
    pub collectives: Vec<String>,
    /// The first of them, or the one configured.
    pub main_collective: String,
    /// The file it was configured by.
    pub config_file: PathBuf,
    /// Values of configuration keys, without secrets.
    pub config_items: ConfigItems,
    /// What it has counted.
    pub counters: Counters,
    /// When it started.
    pub started: SystemTime,
    /// How its connection was made.
    pub connection: Connection,
    /// Its connection.
    pub link: Arc<dyn Link>,
    pub(super) authorization: Authorization,
    pub(super) facts: Facts,
    pub(super) classes: Classes,
    pub(super) workers: Workers,
    pub(super) agents: Vec<Metadata>,
    pub(super) agent_names: Vec<String>,
}

impl Node {
    /// A node of these settings that hosts these agents over this connection.
    pub fn new(settings: &Settings, agents: &Registry, link: Arc<dyn Link>) -> Node {
        Node {
            identity: settings.identity.clone(),
            collectives: settings.collectives.clone(),
            main_collective: settings.main_collective.clone(),
            config_file: settings.config_file.clone(),
            config_items: settings.config_items.clone(),
            counters: Counters::default(),
            started: SystemTime::now(),
            connection: Connection::of(settings),
            link,
            authorization: settings.authorization.clone(),
            facts: settings.facts.clone(),
            classes: settings.classes.clone(),
            workers: settings.workers.clone(),
            agents: agents.metadata().cloned().collect(),
            agent_names: agents.metadata().map(|metadata| metadata.name.clone()).collect(),
        }
    }

    /// The agents it hosts, in the order of their names.
    pub fn agents(&self) -> &[Metadata] {
        &self.agents
    }

    /// The names of the agents it hosts, in order.
    pub fn agent_names(&self) -> &[String] {
        &self.agent_names
    }

    /// The merged facts, an object.
    pub async fn facts(&self) -> Arc<Value> {
        if let Some(facts) = self.facts.immediate() {
            return facts;
        }
        let facts = self.facts.clone();
        self.workers.run(move || facts.read()).await.unwrap_or_default()
    }

    /// The configuration management classes.
    pub async fn classes(&self) -> Arc<[String]> {
        if let Some(classes) = self.classes.immediate() {
            return classes;
        }
        let classes = self.classes.clone();
        self.workers.run(move || classes.read()).await.unwrap_or_default()
    }

    /// [`Node::facts`] for a thread that may block.
    pub(super) fn facts_blocking(&self) -> Arc<Value> {
        self.facts.read()
    }

    /// [`Node::classes`] for a thread that may block.
    pub(super) fn classes_blocking(&self) -> Arc<[String]> {
        self.classes.read()
    }

    /// The facts, nothing when a file of them cannot be read. Blocks.
    pub(super) fn known_facts_blocking(&self) -> Option<Arc<Value>> {
        self.facts.read_whole()
    }

    /// The classes, nothing when they cannot be read. Blocks.
    pub(super) fn known_classes_blocking(&self) -> Option<Arc<[String]>> {
        self.classes.read_whole()
    }

    /// Seconds since the start.
    pub fn uptime_secs(&self, now: SystemTime) -> u64 {
        now.duration_since(self.started).map_or(0, |age| age.as_secs())
    }
}
