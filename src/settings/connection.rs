//! How a process connects to its broker.

use std::sync::Arc;
use std::time::SystemTime;

use super::Problem;
use crate::config::{Config, Environment, Role};
use crate::nats::client::{Credentials, Initial, Options, Presented};
use crate::net::resolve::Resolver;
use crate::net::servers::{self, Server, ServerList};
use crate::protocol::subject;
use crate::security::Provider;

/// The options of the connection of this role. Daemons try for ever, commands for a few seconds.
pub fn connection(
    config: &Config,
    env: &Environment,
    security: &Arc<Provider>,
    executor: Arc<smol::Executor<'static>>,
) -> Result<Options, Problem> {
    connection_to(usual(config), config, env, security, executor)
}

/// Which brokers are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brokers {
    /// Those that servers connect to.
    Collective,
    /// Those that federated clients connect to.
    Federation,
}

/// Federated clients have brokers of their own. Servers stay in their collective, whatever their file says of
/// federations.
fn usual(config: &Config) -> Brokers {
    let is_federated =
        config.role == Role::Client && !config.choria.federation_collectives.is_empty();
    if is_federated { Brokers::Federation } else { Brokers::Collective }
}

/// The options of a connection to some brokers.
pub(super) fn connection_to(
    which: Brokers,
    config: &Config,
    env: &Environment,
    security: &Arc<Provider>,
    executor: Arc<smol::Executor<'static>>,
) -> Result<Options, Problem> {
    let mut options = Options::new(brokers(which, config, env)?, executor);
    options.name = match config.role {
        Role::Client => security.certname().to_owned(),
        Role::Server | Role::Broker => config.identity.clone(),
    };
    if security.settings().tls {
        let tls = security
            .client_tls()
            .map_err(|error| Problem::new(format!("TLS is not set up: {error}")))?;
        options.tls = Some(tls);
    }
    // A user name without a password is no login.
    if let (Some(user), Some(password)) = (&config.nats.user, &config.nats.pass) {
        options.user = Some(user.clone());
        options.password = Some(password.clone());
    }
    options.inbox_prefix = inboxes(config);
    if security.has_login() {
        options.inbox_prefix =
            subject::inbox_prefix(&config.main_collective, Some(&security.caller()));
        options.credentials = Some(Arc::new(TokenLogin(security.clone())));
    }
    options.connect_timeout = config.network.connect_timeout;
    options.initial = match config.role {
        Role::Client => Initial::Once,
        Role::Server | Role::Broker => Initial::Forever,
    };
    Ok(options)
}

/// Shows the token of a provider to brokers.
#[derive(Debug)]
pub struct TokenLogin(pub Arc<Provider>);

impl Credentials for TokenLogin {
    fn present(&self, nonce: &str) -> Result<Presented, String> {
        let greeting = self.0.greet(nonce, SystemTime::now()).map_err(|error| error.to_string())?;
        Ok(Presented { token: greeting.token, signature: greeting.signature })
    }
}

/// What the inboxes of a connection with a certificate begin with.
pub fn inboxes(config: &Config) -> String {
    subject::inbox_prefix(&config.main_collective, None)
}

/// Where brokers are.
fn brokers(which: Brokers, config: &Config, env: &Environment) -> Result<ServerList, Problem> {
    let choria = &config.choria;
    let (key, hosts) = match which {
        Brokers::Federation => {
            ("plugin.choria.federation_middleware_hosts", &choria.federation_middleware_hosts)
        }
        Brokers::Collective => ("plugin.choria.middleware_hosts", &choria.middleware_hosts),
    };
    let configured: Vec<Server> = servers::parse_hosts(hosts)
        .map_err(|error| Problem::new(format!("{}: {key}: {error}", config.origin(key))))?;
    // Finding the domain may run facter: only when somebody needs it.
    let domain = (configured.is_empty() && choria.use_srv)
        .then(|| choria.srv_domain.clone().or_else(|| env.domain()))
        .flatten();
    let resolver = Resolver::from_system();
    Ok(match which {
        Brokers::Federation => ServerList::federation(configured, domain, resolver),
        Brokers::Collective => ServerList::brokers(configured, domain, resolver),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use std::path::Path;

    fn found(name: &str, text: &str) -> Result<String, Problem> {
        let env = Environment::fixed(&[], "n1.nowhere.invalid");
        let file = format!("choria-brokers-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let source = Source::Client { path: Some(path.clone()) };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        let found = smol::block_on(brokers(usual(&config), &config, &env)?.find());
        Ok(match found {
            Ok(found) => found.servers.iter().map(ToString::to_string).collect(),
            Err(error) => error.to_string(),
        })
    }

    #[test]
    fn brokers_are_found_in_the_documented_order() {
        let hosts = "plugin.choria.middleware_hosts = b1:4222\n";
        let federated = "plugin.choria.federation.collectives = eu\nplugin.choria.use_srv = no\n";
        let cases = [
            ("hosts", hosts.to_owned(), "nats://b1:4222"),
            ("none", "plugin.choria.use_srv = no\n".to_owned(), "nats://puppet:4222"),
            ("federated", format!("{hosts}{federated}"), "no brokers are configured"),
            (
                "both",
                format!("{federated}plugin.choria.federation_middleware_hosts = f1:4222\n"),
                "nats://f1:4222",
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(found(name, &text).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_host_without_a_port_is_refused_with_its_place() {
        let failure = found("port", "plugin.choria.middleware_hosts = b1\n").unwrap_err();
        assert!(failure.message.contains(".conf:1: plugin.choria.middleware_hosts: "), "{failure}");
    }
}
