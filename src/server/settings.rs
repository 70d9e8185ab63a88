//! What a server is told when it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::audit::Audit;
use super::authorization::Authorization;
use super::classes::Classes;
use super::facts::Facts;
use super::gate::Limits;
use super::presence::Presence;
use super::registration;
use super::workers::Workers;
use crate::enroll::renewal::Renewal;
use crate::nats::client;
use crate::security::Provider;

/// Everything one server needs. What is expensive is shared by its clones, so that one process can
/// host thousands of servers: only identity and connection name differ between them.
#[derive(Clone)]
pub struct Settings {
    /// Name of the node; part of a subject.
    pub identity: String,
    /// Collectives to join, at least one.
    pub collectives: Vec<String>,
    /// The collective that stands for the node.
    pub main_collective: String,
    /// The file this was configured by, for `daemon_stats`.
    pub config_file: PathBuf,
    /// Where facts come from.
    pub facts: Facts,
    /// Where classes come from.
    pub classes: Classes,
    /// Configuration keys that peers may ask for.
    pub config_items: ConfigItems,
    /// Who may call what.
    pub authorization: Authorization,
    /// Where requests are recorded, when they are.
    pub audit: Option<Arc<Audit>>,
    /// The status file, when there is to be one.
    pub status: Option<StatusFile>,
    /// What it publishes about itself at intervals; service hosts publish nothing.
    pub registration: Option<registration::Settings>,
    /// Publish lifecycle events without their CloudEvents wrapping.
    pub legacy_lifecycle_format: bool,
    /// Host service agents only.
    pub service_host: bool,
    /// Kept true about the connection.
    pub presence: Presence,
    /// How long a shutdown may take; zero means 10 seconds.
    pub soft_shutdown: Duration,
    /// How much is taken on at once.
    pub limits: Limits,
    /// Where to connect to and how.
    pub connection: client::Options,
    /// Keeps certificate and revocation list fresh, when there is to be somebody who does.
    pub renewal: Option<Renewal>,
    /// Checks requests.
    pub security: Arc<Provider>,
    /// Threads for signature checks and file reading.
    pub workers: Workers,
}

/// The status file and how often it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusFile {
    /// Where it is.
    pub path: PathBuf,
    /// Time between two writes; zero means no status file.
    pub interval: Duration,
}

type Lookup = dyn Fn(&str) -> Option<Value> + Send + Sync;

/// Looks configuration keys up; secrets are to be hidden by whoever makes it.
#[derive(Clone)]
pub struct ConfigItems(Arc<Lookup>);

impl ConfigItems {
    /// Answers by calling `lookup` with the key.
    pub fn new(lookup: impl Fn(&str) -> Option<Value> + Send + Sync + 'static) -> ConfigItems {
        ConfigItems(Arc::new(lookup))
    }

    /// The value of a key, nothing when there is no such key.
    pub fn lookup(&self, key: &str) -> Option<Value> {
        (self.0)(key)
    }
}
