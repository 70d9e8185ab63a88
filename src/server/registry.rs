//! The agents a server hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::agent::{Agent, Metadata};

/// An agent and what its requests look like.
#[derive(Clone)]
pub enum Hosted {
    /// Answers `pong` to anything that holds `ping`; no RPC, no authorization.
    Discovery(Arc<Metadata>),
    /// Answers RPC requests.
    Rpc(Arc<dyn Agent>),
}

/// The agents of one server by name. Fixed once the server runs.
#[derive(Clone, Default)]
pub struct Registry {
    agents: BTreeMap<String, Hosted>,
}

/// Why an agent is not hosted.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is one of that name already.
    Duplicate(String),
    /// It has no name, or a name that cannot be part of a subject.
    Name(String),
    /// Its actions would end before they start.
    Timeout(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Duplicate(name) => write!(f, "agent {name} is already registered"),
            Unfit::Name(name) => write!(f, "invalid agent name '{name}'"),
            Unfit::Timeout(name) => write!(f, "agent {name} has a timeout below 1 second"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Hosted {
    /// Who the agent is.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Hosted::Discovery(metadata) => metadata,
            Hosted::Rpc(agent) => agent.metadata(),
        }
    }
}

impl Registry {
    /// Adds an agent.
    ///
    /// # Errors
    /// When it cannot be hosted beside the others.
    pub fn register(&mut self, agent: Hosted) -> Result<(), Unfit> {
        let metadata = agent.metadata();
        let name = metadata.name.clone();
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Unfit::Name(name));
        }
        if metadata.timeout < 1 {
            return Err(Unfit::Timeout(name));
        }
        if self.agents.contains_key(&name) {
            return Err(Unfit::Duplicate(name));
        }
        self.agents.insert(name, agent);
        Ok(())
    }

    /// The agent of that name.
    pub fn get(&self, name: &str) -> Option<&Hosted> {
        self.agents.get(name)
    }

    /// What is known of each agent, by name in order.
    pub fn metadata(&self) -> impl Iterator<Item = &Metadata> {
        self.agents.values().map(Hosted::metadata)
    }

    /// Whether there is no agent at all.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Keeps only agents of which one instance answers for all.
    pub fn retain_services(&mut self) {
        self.agents.retain(|_, agent| agent.metadata().service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, timeout: u64) -> Hosted {
        let metadata = crate::server::agents::metadata(name, "x", timeout, "x");
        Hosted::Discovery(Arc::new(metadata))
    }

    #[test]
    fn agents_that_cannot_be_hosted_are_refused() {
        let mut registry = Registry::default();
        assert_eq!(registry.register(named("one", 2)), Ok(()));
        let text = |name: &str| name.to_owned();
        assert_eq!(registry.register(named("one", 2)), Err(Unfit::Duplicate(text("one"))));
        assert_eq!(registry.register(named("two", 0)), Err(Unfit::Timeout(text("two"))));
        for bad in ["", "a.b", "a b", "*", ">"] {
            assert_eq!(registry.register(named(bad, 2)), Err(Unfit::Name(text(bad))));
        }
        assert_eq!(registry.register(named("a-B_2", 1)), Ok(()));
        let names: Vec<_> = registry.metadata().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["a-B_2", "one"]);
        registry.retain_services();
        assert!(registry.is_empty());
    }
}
