//! SIGHUP: the configuration and the files it names are read again, and what can change in a running broker does.

use std::fmt;
use std::time::SystemTime;

use crate::broker::Broker;
use crate::cli::changes::Changes;
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
    /// End of the validity of the certificate that is used now.
    pub certificate_expires: Option<SystemTime>,
}

impl Reloader {
    pub fn new(config: Config, certificate_expires: Option<SystemTime>) -> Reloader {
        Reloader { started: config.clone(), current: config, certificate_expires }
    }

    /// Reads everything again and applies it; says in the log what came of it. A mistake changes nothing.
    pub fn reload(&mut self, context: &Context, broker: &Broker) {
        log::info!("broker: reloading the configuration");
        match self.try_reload(context, broker) {
            Ok(changes) => changes.log("broker"),
            Err(failure) => log::error!("broker: reload refused, nothing is changed: {failure}"),
        }
    }

    fn try_reload(&mut self, context: &Context, broker: &Broker) -> Result<Changes, Failure> {
        let mut config =
            context.read_daemon_config("choria broker", |path| Source::Broker { path })?;
        let changes = Changes::between(LIVE, &self.started, &self.current, &config);
        // Certificates are looked for under the name that the broker has.
        config.identity.clone_from(&self.started.identity);
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env);
        let settings = settings::broker(&config, &env, insecure)?;
        let refuse = |error: &dyn fmt::Display| Failure::new(error.to_string());
        broker.reload(&settings).map_err(|error| refuse(&error))?;
        context.start_log_of(&config)?;
        self.current = config;
        self.certificate_expires = settings.certificate_expires;
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
