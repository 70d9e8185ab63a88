//! What callers say about a discovery or a request.

use std::path::PathBuf;
use std::time::Duration;

use super::discovery::Found;
use super::flatfile::Format;
use super::limit::Limit;
use crate::protocol::Filter;

/// Pause between batches when the caller does not say.
pub const BATCH_SLEEP_DEFAULT: Duration = Duration::from_secs(1);

/// How the set of nodes is found.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoveryMethod {
    /// Ask every node of the collective; those the filter matches answer.
    Broadcast,
    /// Read names from a file.
    FlatFile {
        /// The file.
        path: PathBuf,
        /// How it is written; by its extension when missing.
        format: Option<Format>,
        /// Where in a JSON or YAML document the array of names is.
        filter: Option<String>,
    },
    /// The caller knows the names.
    Fixed(Vec<String>),
}

impl DiscoveryMethod {
    /// The word users know the method by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::FlatFile { .. } => "flatfile",
            Self::Fixed(_) => "fixed",
        }
    }
}

/// One discovery.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// How nodes are found.
    pub method: DiscoveryMethod,
    /// Which nodes are wanted. Lists of names can be narrowed by identity only.
    pub filter: Filter,
    /// Collective to ask, the main one when missing.
    pub collective: Option<String>,
    /// How long to wait for answers, the configured time when missing.
    pub timeout: Option<Duration>,
    /// Whether to stop early once answers cease; as configured when missing, never for pings when missing.
    pub window: Option<bool>,
}

impl Discovery {
    /// Asks the network for the nodes a filter matches.
    pub fn broadcast(filter: Filter) -> Self {
        Self::by(DiscoveryMethod::Broadcast, filter)
    }

    /// Takes the names in a file.
    pub fn flat_file(path: impl Into<PathBuf>) -> Self {
        let method = DiscoveryMethod::FlatFile { path: path.into(), format: None, filter: None };
        Self::by(method, Filter::default())
    }

    /// Takes names the caller knows.
    pub fn fixed(nodes: Vec<String>) -> Self {
        Self::by(DiscoveryMethod::Fixed(nodes), Filter::default())
    }

    fn by(method: DiscoveryMethod, filter: Filter) -> Self {
        Self { method, filter, collective: None, timeout: None, window: None }
    }
}

/// Who gets a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// These nodes, each on its own subject.
    Nodes(Vec<String>),
    /// Every node the filter matches, in one message. Ends when the expected nodes have answered, or at the timeout
    /// when none are named.
    Broadcast {
        /// Nodes that should answer, when known.
        expected: Vec<String>,
    },
    /// Any one instance of a service agent; ends at the first reply.
    Service,
}

/// How a request is sent and how long its replies are waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestOptions {
    /// Who gets it.
    pub targets: Targets,
    /// Which nodes act on it; broadcasts only, as a directed request carries its agent alone.
    pub filter: Filter,
    /// Collective to publish in, the main one when missing.
    pub collective: Option<String>,
    /// Ask only some of the nodes.
    pub limit: Option<Limit>,
    /// Ask so many nodes at a time.
    pub batch: Option<usize>,
    /// Pause between batches.
    pub batch_sleep: Duration,
    /// How long each batch is waited for; discovery timeout plus the agent's own timeout when missing.
    pub timeout: Option<Duration>,
    /// How long servers may act on the request; as configured when missing.
    pub ttl: Option<Duration>,
    /// How long finding the nodes took, for the statistics.
    pub discovery: Duration,
}

impl RequestOptions {
    /// A request to these nodes.
    pub fn nodes(nodes: Vec<String>) -> Self {
        Self::to(Targets::Nodes(nodes), Filter::default())
    }

    /// A request to every node a filter matches.
    pub fn broadcast(filter: Filter) -> Self {
        Self::to(Targets::Broadcast { expected: Vec::new() }, filter)
    }

    /// A request to a service agent.
    pub fn service() -> Self {
        Self::to(Targets::Service, Filter::default())
    }

    fn to(targets: Targets, filter: Filter) -> Self {
        Self {
            targets,
            filter,
            collective: None,
            limit: None,
            batch: None,
            batch_sleep: BATCH_SLEEP_DEFAULT,
            timeout: None,
            ttl: None,
            discovery: Duration::ZERO,
        }
    }
}

impl From<Found> for RequestOptions {
    fn from(found: Found) -> Self {
        Self { discovery: found.elapsed, ..Self::nodes(found.nodes) }
    }
}
