//! SIGHUP: the configuration and the files it names are read again, and what can change in a running broker does.

use std::fmt;

use crate::broker::Broker;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::config::{Config, Source};
use crate::settings;

/// Keys that take effect without a restart; those that end with a full stop stand for all that begin with them.
const LIVE: &[&str] = &[
    "logfile",
    "loglevel",
    "plugin.choria.log_format",
    "plugin.choria.ssldir",
    "plugin.choria.network.auth_timeout",
    "plugin.choria.network.client_hosts",
    "plugin.choria.network.client_signer_cert",
    "plugin.choria.network.deny_server_connections",
    "plugin.choria.network.lame_duck_duration",
    "plugin.choria.network.lame_duck_grace",
    "plugin.choria.network.max_connections",
    "plugin.choria.network.max_subscriptions",
    "plugin.choria.network.ping_interval",
    "plugin.choria.network.ping_max",
    "plugin.choria.network.provisioning.provisioner_without_token",
    "plugin.choria.network.provisioning.signer_cert",
    "plugin.choria.network.server_signer_cert",
    "plugin.choria.network.soft_shutdown_timeout",
    "plugin.choria.network.system.",
    "plugin.choria.network.tls_handshake_first",
    "plugin.choria.network.tls_timeout",
    "plugin.choria.network.users",
    "plugin.choria.network.websocket_origins",
    "plugin.choria.network.write_deadline",
    "plugin.choria.security.revoked_tokens",
    "plugin.security.",
];

/// The configuration of a running broker.
#[derive(Debug)]
pub struct Reloader {
    /// As it was when the broker started, for what stays as it was then.
    started: Config,
    /// As it is now.
    pub current: Config,
}

/// What a reload came to.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    done: Vec<String>,
    need_restart: Vec<String>,
}

impl Reloader {
    pub fn new(config: Config) -> Reloader {
        Reloader { started: config.clone(), current: config }
    }

    /// Reads everything again and applies it; says in the log what came of it. A mistake changes nothing.
    pub fn reload(&mut self, context: &Context, broker: &Broker) {
        log::info!("broker: reloading the configuration");
        match self.try_reload(context, broker) {
            Ok(changes) => changes.log(),
            Err(failure) => log::error!("broker: reload refused, nothing is changed: {failure}"),
        }
    }

    fn try_reload(&mut self, context: &Context, broker: &Broker) -> Result<Changes, Failure> {
        let mut config =
            context.read_daemon_config("choria broker", |path| Source::Broker { path })?;
        let changes = self.changes(&config);
        // Certificates are looked for under the name that the broker has.
        config.identity.clone_from(&self.started.identity);
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env)?;
        let settings = settings::broker(&config, &env, insecure)?;
        let refuse = |error: &dyn fmt::Display| Failure::new(error.to_string());
        broker.reload(&settings).map_err(|error| refuse(&error))?;
        context.start_log_of(&config)?;
        self.current = config;
        Ok(changes)
    }

    fn changes(&self, new: &Config) -> Changes {
        let mut changes = Changes { done: Vec::new(), need_restart: Vec::new() };
        let mut keys = new.set_keys();
        keys.extend(self.started.set_keys());
        keys.extend(self.current.set_keys());
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let is_live = LIVE.iter().any(|live| match live.ends_with('.') {
                true => key.starts_with(live),
                false => key == *live,
            });
            let value = new.raw(&key);
            if is_live && value != self.current.raw(&key) {
                changes.done.push(key);
            } else if !is_live && value != self.started.raw(&key) {
                changes.need_restart.push(key);
            }
        }
        changes
    }
}

impl Changes {
    fn log(&self) {
        for key in &self.done {
            log::info!("broker: reload: {key} is changed");
        }
        for key in &self.need_restart {
            log::warn!("broker: reload: {key} needs a restart");
        }
        log::info!(
            "broker: reloaded keys={} need_restart={}",
            self.done.len(),
            self.need_restart.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

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
        let start = "plugin.choria.network.client_port = 4222\nloglevel = info\n\
                     plugin.security.file.ca = /a\n";
        let mut reloader = Reloader::new(load("start", start));
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
            let changes = reloader.changes(&new);
            assert_eq!(
                (changes.done, changes.need_restart),
                (
                    done.iter().map(|key| (*key).to_owned()).collect(),
                    need_restart.iter().map(|key| (*key).to_owned()).collect()
                ),
                "{number}"
            );
            reloader.current = new;
        }
    }

    #[test]
    fn live_keys_exist() {
        for live in LIVE {
            let is_known = crate::config::keys::all().any(|key| match live.ends_with('.') {
                true => key.name.starts_with(live),
                false => key.name == *live,
            });
            assert!(is_known, "{live}");
        }
    }
}
