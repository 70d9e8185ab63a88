//! The one table of configuration keys. The parser, `choria tool config` and the value lookup of
//! the `rpcutil` agent all read it; nothing else knows a key's type or default.

mod adapter;
mod choria;
mod core;
mod kafka;
mod network;
mod outlets;
mod roles;
mod security;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

pub use roles::roles;

/// One configuration key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key as it stands in a file. A `*` stands for a name inside the key.
    pub name: &'static str,
    /// How its value is read.
    pub kind: Kind,
    /// The value when no file sets it, in file form; empty for none.
    pub default: &'static str,
    /// The environment variable that wins over every file.
    pub env: Option<&'static str>,
    /// One sentence for a person.
    pub description: &'static str,
    /// Passwords and the like: shown as a mask.
    pub is_secret: bool,
}

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A file or folder; a leading `~` is the home folder.
    Path,
    /// Text whose first letter is upper-cased.
    Title,
    /// A decimal number within these bounds.
    Integer(i64, i64),
    /// `1 yes true y t` or `0 no false n f`, in any case.
    Boolean,
    /// Seconds or a text such as `1h30m`, up to this limit.
    Duration(Option<Duration>),
    /// Words between commas; a later line replaces an earlier one.
    CommaList,
    /// Paths between `:`; a later line adds to an earlier one.
    PathList,
    /// One element a line; a later line adds to an earlier one.
    TextList,
}

impl Kind {
    /// The word for it in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Title => "string",
            Self::Choice(_) => "one of",
            Self::Path => "path",
            Self::Integer(..) => "integer",
            Self::Boolean => "boolean",
            Self::Duration(_) => "duration",
            Self::CommaList => "comma separated list",
            Self::PathList => "path list",
            Self::TextList => "list, one element a line",
        }
    }

    /// Whether a later line adds to an earlier one.
    pub fn adds(self) -> bool {
        matches!(self, Self::PathList | Self::TextList)
    }
}

/// A number that cannot be negative.
const COUNT: Kind = Kind::Integer(0, i64::MAX);
/// A number of seconds; a year is more than anybody needs.
const SECONDS: Kind = Kind::Integer(0, 31_536_000);
/// A port, 0 meaning off or "the system chooses".
const PORT: Kind = Kind::Integer(0, 65_535);
/// Copies of a stream; -1 means the number of peers.
const REPLICAS: Kind = Kind::Integer(-1, 5);
const DURATION: Kind = Kind::Duration(None);

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    description: &'static str,
) -> Key {
    Key { name, kind, default, env: None, description, is_secret: false }
}

impl Key {
    const fn env(mut self, name: &'static str) -> Self {
        self.env = Some(name);
        self
    }

    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Whether `name` is this key, a `*` standing for one or more characters without a dot.
    fn is(&self, name: &str) -> bool {
        if !self.name.contains('*') {
            return self.name == name;
        }
        let mut pattern = self.name.split('.');
        let mut parts = name.split('.');
        loop {
            match (pattern.next(), parts.next()) {
                (None, None) => return true,
                (Some("*"), Some(part)) if !part.is_empty() => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

/// Every key by topic, in the order of the listing.
pub const TOPICS: [(&str, &[Key]); 7] = [
    ("The node, its log, its policies", core::KEYS),
    ("Networks and services", choria::KEYS),
    ("Data adapters", adapter::KEYS),
    ("Data adapters to Kafka and Kinesis", kafka::KEYS),
    ("The network of brokers", network::KEYS),
    ("Identities, certificates and tokens", security::KEYS),
    ("Data adapters to files and web services", outlets::KEYS),
];

/// Every key, in the order of the listing.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TOPICS.iter().flat_map(|(_, keys)| keys.iter())
}

/// The keys by name, and those with a name inside, which are few.
static INDEX: LazyLock<(HashMap<&'static str, &'static Key>, Vec<&'static Key>)> =
    LazyLock::new(|| {
        let (patterns, plain): (Vec<&Key>, Vec<&Key>) =
            all().partition(|key| key.name.contains('*'));
        (plain.into_iter().map(|key| (key.name, key)).collect(), patterns)
    });

/// The key that `name` is, keys with a name inside included.
pub fn find(name: &str) -> Option<&'static Key> {
    let (plain, patterns) = &*INDEX;
    plain.get(name).or_else(|| patterns.iter().find(|key| key.is(name))).copied()
}

/// Whether the value of a key is shown as a mask: those the table says, and those of plugins
/// that sound like it.
pub fn is_secret(name: &str) -> bool {
    match find(name) {
        Some(key) => key.is_secret,
        None => ["pass", "secret", "token"].iter().any(|word| name.contains(word)),
    }
}

/// Keys that older versions and the Ruby predecessor knew: accepted and without effect.
pub fn is_gone(name: &str) -> bool {
    GONE.contains(&name)
}

/// Whether a `plugin.` key belongs to an agent or plugin and not to us.
pub fn belongs_to_a_plugin(name: &str) -> bool {
    name.strip_prefix("plugin.").is_some_and(|rest| {
        rest.split_once('.').is_some_and(|(family, _)| !FAMILIES.contains(&family))
    })
}

const FAMILIES: &[&str] = &["choria", "security", "nats", "login", "scout", "rpcaudit", "machines"];

const GONE: &[&str] = &[
    "plugin.security.always_overwrite_cache",
    "plugin.security.file.cache",
    "plugin.choria.network.monitor_port",
    "plugin.choria.federation.instance",
    "securityprovider",
    "connector",
    "activate_agents",
    "connection_timeout",
    "daemonize",
    "default_batch_size",
    "default_batch_sleep_time",
    "direct_addressing",
    "direct_addressing_threshold",
    "fact_cache_time",
    "factsource",
    "helptemplatedir",
    "keeplogs",
    "logfacility",
    "logger_type",
    "max_log_size",
    "mode",
    "publish_timeout",
    "queueprefix",
    "rpcauditprovider",
    "rpchelptemplate",
    "ssl_cipher",
    "threaded",
    "topicprefix",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_stands_once_and_is_described() {
        let mut names = BTreeSet::new();
        for key in all() {
            assert!(names.insert(key.name), "{} stands twice", key.name);
            assert!(!is_gone(key.name), "{} is gone", key.name);
            assert!(key.description.len() > 10, "{} has no description", key.name);
            assert!(!key.description.ends_with('.'), "{}", key.name);
        }
        assert!(names.len() > 150, "only {} keys", names.len());
    }

    #[test]
    fn every_key_is_found_by_its_own_name() {
        for key in all() {
            assert_eq!(find(key.name).map(|found| found.name), Some(key.name));
            let is_like = |other: &Key| other.name != key.name && other.is(key.name);
            assert!(!all().any(is_like), "{} may be two keys", key.name);
        }
    }

    #[test]
    fn names_inside_keys_are_found() {
        let cases = [
            ("plugin.security.issuer.acme.public", true),
            ("plugin.security.issuer.names", true),
            ("plugin.security.issuer..public", false),
            ("plugin.choria.network.leafnode_remote.eu.tls.verify", true),
            ("plugin.choria.network.leafnode_remote.eu", false),
            ("plugin.choria.adapter.stations.ingest.topic", true),
            ("plugin.choria.adapter.stations.ingest.topic.x", false),
            ("plugin.choria.nothing", false),
        ];
        for (name, known) in cases {
            assert_eq!(find(name).is_some(), known, "{name}");
        }
    }

    #[test]
    fn keys_of_agents_are_told_from_ours() {
        assert!(belongs_to_a_plugin("plugin.puppet.splay"));
        assert!(!belongs_to_a_plugin("plugin.choria.middelware_hosts"));
        assert!(!belongs_to_a_plugin("colectives"));
        assert!(!belongs_to_a_plugin("plugin.yaml"));
    }
}
