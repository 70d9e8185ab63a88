//! Keys of features that are not built yet. Ignoring such a key in silence could lose data or open
//! a door, so every one is named at the start, and the worst ones refuse it.

use crate::config::Role;
use crate::config::store::Store;
use crate::config::value::Value;

/// What a key of an absent feature does to the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The process does not start.
    Refuse,
    /// A line in the log.
    Warn,
}

/// A key that asks for something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The key.
    pub key: &'static str,
    /// `file:line` or the environment variable.
    pub place: String,
    /// What it does to the start.
    pub severity: Severity,
    /// What would happen if it were ignored, in one sentence without a full stop.
    pub reason: &'static str,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is not supported yet: {}", self.place, self.key, self.reason)
    }
}

/// When a key asks for the absent feature.
#[derive(Clone, Copy)]
enum When {
    /// Its value is not empty, zero or no.
    On,
    /// Its text is one of these.
    Is(&'static [&'static str]),
}

struct Rule {
    key: &'static str,
    roles: &'static [Role],
    when: When,
    severity: Severity,
    reason: &'static str,
}

const BROKER: &[Role] = &[Role::Broker];
const SERVER: &[Role] = &[Role::Server];
const CLIENT: &[Role] = &[Role::Client];
const NODES: &[Role] = &[Role::Server, Role::Client];
const ALL: &[Role] = &[Role::Broker, Role::Server, Role::Client];

const fn refuse(key: &'static str, roles: &'static [Role], reason: &'static str) -> Rule {
    Rule { key, roles, when: When::On, severity: Severity::Refuse, reason }
}

const fn warn(key: &'static str, roles: &'static [Role], reason: &'static str) -> Rule {
    Rule { key, roles, when: When::On, severity: Severity::Warn, reason }
}

const RULES: &[Rule] = &[
    Rule {
        key: "plugin.security.provider",
        roles: ALL,
        when: When::Is(&["pkcs11"]),
        severity: Severity::Refuse,
        reason: "keys on security tokens cannot be used",
    },
    refuse(
        "plugin.choria.network.stream.store",
        BROKER,
        "there are no streams, so what is published to them would be lost",
    ),
    refuse("plugin.choria.network.leafnode_port", BROKER, "leaf nodes could not connect"),
    refuse(
        "plugin.choria.network.leafnode_remotes",
        BROKER,
        "messages would not reach the upper broker",
    ),
    refuse(
        "plugin.choria.network.gateway_remotes",
        BROKER,
        "messages would not reach other clusters",
    ),
    refuse("plugin.choria.network.gateway_port", BROKER, "other clusters could not connect"),
    refuse(
        "plugin.choria.network.mapping.names",
        BROKER,
        "messages would arrive on subjects nobody listens to",
    ),
    refuse(
        "plugin.choria.server.provision",
        SERVER,
        "this server would wait for a provisioner that never finds it",
    ),
    warn("plugin.choria.machine.store", SERVER, "autonomous agents do not run"),
    warn("plugin.machines.download", SERVER, "autonomous agents are not fetched"),
    warn("plugin.choria.executor.enabled", SERVER, "background jobs are refused"),
    warn("plugin.choria.submission.spool", SERVER, "messages wait in the spool and are not sent"),
    warn("plugin.choria.services.registry.store", SERVER, "the registry service does not run"),
    warn("plugin.choria.agent_provider.mcorpc.agent_shim", SERVER, "Ruby agents are not hosted"),
    warn("plugin.choria.prometheus_textfile_directory", SERVER, "no metrics are written"),
    warn("plugin.scout.overrides", SERVER, "health checks do not run"),
    warn("plugin.scout.tags", SERVER, "health checks do not run"),
    refuse(
        "plugin.nats.credentials",
        NODES,
        "the connection would be made without the credentials",
    ),
    warn(
        "plugin.regopolicy.tracing",
        SERVER,
        "how a Rego policy comes to its answer is not logged",
    ),
    warn(
        "plugin.choria.services.registry.cache",
        CLIENT,
        "agent descriptions are only looked for in libdir",
    ),
    Rule {
        key: "default_discovery_method",
        roles: CLIENT,
        when: When::Is(&["puppetdb", "external", "inventory"]),
        severity: Severity::Refuse,
        reason: "other nodes than the intended ones could be found",
    },
];

/// The rules that fit what is set.
pub(super) fn find(store: &Store, role: Role) -> Vec<Unsupported> {
    let mut found: Vec<_> = RULES
        .iter()
        .filter(|rule| rule.roles.contains(&role) && store.is_set(rule.key))
        .filter(|rule| store.value(rule.key).is_some_and(|value| rule.when.fits(&value)))
        .map(|rule| Unsupported {
            key: rule.key,
            place: store.origin(rule.key).to_string(),
            severity: rule.severity,
            reason: rule.reason,
        })
        .collect();
    found.sort_by_key(|unsupported| unsupported.severity);
    found
}

/// What the manual of a role says about a key of an absent feature.
pub fn about(key: &str, role: Role) -> Option<String> {
    let rule = RULES.iter().find(|rule| rule.key == key && rule.roles.contains(&role))?;
    let what = match rule.when {
        When::On => "Not supported yet".to_owned(),
        When::Is(words) => format!("Not supported yet: {}", words.join(", ")),
    };
    let severity = match rule.severity {
        Severity::Refuse => "refuses the start",
        Severity::Warn => "a warning at the start",
    };
    Some(format!("{what} ({severity}: {})", rule.reason))
}

impl When {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::On => !value.is_off(),
            Self::Is(words) => words.contains(&value.to_text().as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_rule_is_about_a_known_key() {
        for rule in RULES {
            assert!(keys::find(rule.key).is_some(), "{}", rule.key);
            assert!(!rule.reason.ends_with('.'), "{}", rule.key);
        }
    }
}
