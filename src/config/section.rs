//! The keys of one named thing, such as an adapter: all that begin with the same words.

use std::fmt;
use std::time::Duration;

use crate::config::{Config, Value};
use crate::util::secret::Secret;

/// A view on the keys below `plugin.choria.adapter.<name>.` and the like.
#[derive(Debug, Clone)]
pub struct Section<'c> {
    config: &'c Config,
    prefix: String,
}

/// Why a value of such a key cannot be used, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// `file:line`, `default` or the environment variable.
    pub place: String,
    /// The whole key.
    pub key: String,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.place, self.key, self.reason)
    }
}

impl std::error::Error for BadSetting {}

impl Config {
    /// The keys that begin with `prefix`, which ends with a full stop.
    pub fn section(&self, prefix: &str) -> Section<'_> {
        Section { config: self, prefix: prefix.to_owned() }
    }
}

impl<'c> Section<'c> {
    /// The keys further below: `section.below("kafka.")`.
    pub fn below(&self, prefix: &str) -> Section<'c> {
        Section { config: self.config, prefix: format!("{}{prefix}", self.prefix) }
    }

    /// The whole name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The whole configuration.
    pub fn config(&self) -> &'c Config {
        self.config
    }

    /// Whether a file or the environment sets the key.
    pub fn is_set(&self, name: &str) -> bool {
        self.config.is_set(&self.key(name))
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.config.value(&self.key(name))
    }

    /// A text; nothing when it is empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_text()).filter(|text| !text.is_empty())
    }

    /// A text that must not be seen.
    pub fn secret(&self, name: &str) -> Option<Secret<String>> {
        self.text(name).map(Secret::new)
    }

    /// A list; empty when it is not set.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(elements)) => elements,
            _ => Vec::new(),
        }
    }

    /// Yes or no.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    /// A number; the table of keys has bounds and default.
    pub fn count(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Integer(number)) => u64::try_from(number).unwrap_or(0),
            _ => 0,
        }
    }

    /// The same as a size in memory.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    /// A length of time.
    pub fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Duration(length)) => length,
            _ => Duration::ZERO,
        }
    }

    /// Says that a key has a value that cannot be used: `reason` follows the key, as in `has to be one of a, b`.
    pub fn refuse(&self, name: &str, reason: impl fmt::Display) -> BadSetting {
        let key = self.key(name);
        let place = self.config.origin(&key).to_string();
        BadSetting { place, reason: reason.to_string(), key }
    }

    /// Says that a key has to be set.
    pub fn missing(&self, name: &str, why: impl fmt::Display) -> BadSetting {
        let file = self.config.file.as_ref().map(|path| path.display().to_string());
        BadSetting {
            place: file.unwrap_or_else(|| "configuration".to_owned()),
            key: self.key(name),
            reason: format!("is not set: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Source};

    #[test]
    fn keys_of_a_name_are_read_typed() {
        let path = std::env::temp_dir().join(format!("choria-section-{}.conf", std::process::id()));
        let text = "plugin.choria.adapter.a.queue_len = 5\nplugin.choria.adapter.a.stream.servers = x:1, y:2\n";
        std::fs::write(&path, text).expect("can be written");
        let env = Environment::fixed(&[], "h");
        let (config, _) =
            Config::load(&Source::Broker { path: path.clone() }, &env, Path::new("/"))
                .expect("good");
        std::fs::remove_file(&path).expect("is there");
        let section = config.section("plugin.choria.adapter.a.");
        assert_eq!((section.count("queue_len"), section.is_set("type")), (5, false));
        assert_eq!(section.below("stream.").list("servers"), ["x:1", "y:2"]);
        assert_eq!(section.text("ingest.protocol").as_deref(), Some("reply"));
        assert_eq!(section.text("ingest.topic"), None);
        let refused = section.refuse("queue_len", "has to be 7").to_string();
        assert!(
            refused.ends_with(".conf:1: plugin.choria.adapter.a.queue_len has to be 7"),
            "{refused}"
        );
        let missing = section.missing("ingest.topic", "what is read").to_string();
        assert!(
            missing
                .ends_with(".conf: plugin.choria.adapter.a.ingest.topic is not set: what is read"),
            "{missing}"
        );
    }
}
