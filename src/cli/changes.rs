//! What differs between two configurations of a daemon, and which of it takes effect without a restart.

use crate::config::Config;

/// The keys of a reload.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    done: Vec<String>,
    need_restart: Vec<String>,
}

impl Changes {
    /// What is new since the last reload among keys that take effect at once, which are `live` (a full
    /// stop at the end stands for all that begin so), and what is new since the start among the others.
    pub fn between(live: &[&str], started: &Config, current: &Config, new: &Config) -> Changes {
        let mut changes = Changes { done: Vec::new(), need_restart: Vec::new() };
        let mut keys = new.set_keys();
        keys.extend(started.set_keys());
        keys.extend(current.set_keys());
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let is_live = live.iter().any(|live| match live.ends_with('.') {
                true => key.starts_with(live),
                false => key == *live,
            });
            let value = new.raw(&key);
            if is_live && value != current.raw(&key) {
                changes.done.push(key);
            } else if !is_live && value != started.raw(&key) {
                changes.need_restart.push(key);
            }
        }
        changes
    }

    /// Says in the log what came of a reload.
    pub fn log(&self, component: &str) {
        for key in &self.done {
            log::info!("{component}: reload: {key} is changed");
        }
        for key in &self.need_restart {
            log::warn!("{component}: reload: {key} needs a restart");
        }
        log::info!(
            "{component}: reloaded keys={} need_restart={}",
            self.done.len(),
            self.need_restart.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, Source};

    fn load(name: &str, text: &str) -> Config {
        let file = format!("choria-reload-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let env = Environment::fixed(&[], "b1.example.net");
        let source = Source::Broker { path: path.clone() };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        config
    }

    #[test]
    fn every_changed_key_is_named_once() {
        const LIVE: &[&str] = &["loglevel", "plugin.security.", "plugin.choria.network.system."];
        let start = "plugin.choria.network.client_port = 4222\nloglevel = info\n\
                     plugin.security.file.ca = /a\n";
        let started = load("start", start);
        let mut current = started.clone();
        let cases: [(&str, &[&str], &[&str]); 5] = [
            (start, &[], &[]),
            (
                "plugin.choria.network.client_port = 4333\nloglevel = debug\n",
                &["loglevel", "plugin.security.file.ca"],
                &["plugin.choria.network.client_port"],
            ),
            // What needs a restart is named again, what is done is not.
            (
                "plugin.choria.network.client_port = 4333\nloglevel = debug\n",
                &[],
                &["plugin.choria.network.client_port"],
            ),
            (
                "loglevel = debug\nidentity = b2\nplugin.choria.network.system.user = x\n",
                &["plugin.choria.network.system.user"],
                &["identity"],
            ),
            (
                start,
                &["loglevel", "plugin.choria.network.system.user", "plugin.security.file.ca"],
                &[],
            ),
        ];
        for (number, (text, done, need_restart)) in cases.into_iter().enumerate() {
            let new = load("new", text);
            let changes = Changes::between(LIVE, &started, &current, &new);
            let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
            let expected = Changes { done: owned(done), need_restart: owned(need_restart) };
            assert_eq!(changes, expected, "{number}");
            current = new;
        }
    }
}
