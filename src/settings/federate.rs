//! The settings of the federation broker, and the federations of a client.

use std::sync::Arc;

use super::connection::{Brokers, connection_to};
use super::{Insecure, Problem, outgoing};
use crate::config::{Config, Environment};
use crate::federate::Settings;
use crate::nats::client::{Initial, Inside, Options};
use crate::nats::subject;
use crate::net::servers::{Server, ServerList};
use crate::security::{Provider, Use};

const CLUSTER: &str = "plugin.choria.federation.cluster";
const COLLECTIVES: &str = "plugin.choria.federation.collectives";
const FEDERATION_HOSTS: &str = "plugin.choria.federation_middleware_hosts";
const COLLECTIVE_HOSTS: &str = "plugin.choria.middleware_hosts";

/// Bytes that wait while a connection is sought anew: what was taken before the loss was known.
const OFFLINE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that wait to be passed on, for one direction.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The federation broker that the configuration asks for. Where [`is_collective_local`], its side of the collective is
/// still to be turned to the router of this process. Beside it what its connections show, to be renewed.
///
/// # Errors
/// When it cannot be told what it is to connect to, or how, or when it would carry messages in a circle.
pub fn federation(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
    executor: &Arc<smol::Executor<'static>>,
) -> Result<(Settings, Arc<Provider>), Problem> {
    check(config)?;
    let security = outgoing(config, env, insecure)?;
    super::warn_of_doubts(&security, Use::Client, &config.identity);
    let side = |which| -> Result<_, Problem> {
        let mut options = connection_to(which, config, env, &security, executor.clone())?;
        options.initial = Initial::Forever;
        options.reconnect_buffer_bytes = OFFLINE_BYTES;
        options.subscription_bytes_max = WAITING_BYTES_MAX;
        options.queued_bytes_max = WAITING_BYTES_MAX;
        options.name =
            format!("{} federation {}", config.identity, config.choria.federation_cluster);
        Ok(options)
    };
    let federation = side(Brokers::Federation)?;
    let collective = side(Brokers::Collective)?;
    let settings = Settings {
        cluster: config.choria.federation_cluster.clone(),
        identity: config.identity.clone(),
        federation,
        collective,
    };
    Ok((settings, security))
}

/// Turns a connection to the router of this process, which has a name among brokers.
pub fn connect_inside(options: &mut Options, inside: Inside, name: Server) {
    options.servers = ServerList::fixed(vec![name]);
    options.inside = Some(inside);
    options.tls = None;
    options.credentials = None;
    (options.user, options.password) = (None, None);
}

/// Whether the network of the collective is that of the router in this process: unless
/// `plugin.choria.middleware_hosts` names another.
pub fn is_collective_local(config: &Config) -> bool {
    config.choria.broker_network && config.choria.middleware_hosts.is_empty()
}

fn check(config: &Config) -> Result<(), Problem> {
    let choria = &config.choria;
    let refuse =
        |key: &str, reason: &str| Problem::new(format!("{}: {key} {reason}", config.origin(key)));
    if !choria.federation_collectives.is_empty() {
        return Err(refuse(
            COLLECTIVES,
            "is for clients and does not go together with a federation broker",
        )
        .hint("with it, the side of the collective would be the federation again: messages could go in a circle")
        .hint(format!("remove it here; the name of this federation broker is {CLUSTER}")));
    }
    if !is_token(&choria.federation_cluster) {
        let name = &choria.federation_cluster;
        return Err(refuse(CLUSTER, &format!("= {name:?} cannot be part of a subject")));
    }
    if choria.federation_middleware_hosts.is_empty() && !choria.use_srv {
        return Err(refuse(FEDERATION_HOSTS, "is not set, and SRV records are not looked up")
            .hint("set it to the brokers that federated clients connect to, each host:port"));
    }
    let same = !choria.federation_middleware_hosts.is_empty()
        && choria.federation_middleware_hosts == choria.middleware_hosts;
    if same {
        log::warn!(
            "federation: both sides are the same network: {FEDERATION_HOSTS} and {COLLECTIVE_HOSTS} are the same"
        );
    }
    Ok(())
}

/// The names of federations, each once, in their order.
///
/// # Errors
/// When one cannot be part of a subject.
pub(super) fn federations(config: &Config) -> Result<Vec<String>, Problem> {
    let mut names: Vec<String> = Vec::new();
    for name in &config.choria.federation_collectives {
        if !is_token(name) {
            let place = config.origin(COLLECTIVES);
            return Err(Problem::new(format!(
                "{place}: {COLLECTIVES}: {name:?} cannot be the name of a federation"
            )));
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

fn is_token(name: &str) -> bool {
    !name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>'))
        && subject::valid_publish(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Source;

    fn load(name: &str, text: &str) -> Config {
        let env = Environment::fixed(&[], "fed1.example.net");
        let file = format!("choria-federation-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let (config, _) =
            Config::load(&Source::Broker { path: path.clone() }, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        config
    }

    #[test]
    fn what_a_federation_broker_cannot_work_with() {
        let hosts = "plugin.choria.federation_middleware_hosts = f:4222\n";
        for (name, text, expected) in [
            ("good", hosts.to_owned(), None),
            ("srv", String::new(), None),
            ("circle", format!("{hosts}{COLLECTIVES} = eu\n"), Some("is for clients")),
            ("name", format!("{hosts}{CLUSTER} = a.b\n"), Some("cannot be part of a subject")),
            ("wild", format!("{hosts}{CLUSTER} = *\n"), Some("cannot be part of a subject")),
            ("none", "plugin.choria.use_srv = no\n".to_owned(), Some("is not set")),
        ] {
            let found = check(&load(name, &text)).err().map(|problem| problem.message);
            assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?}");
            let part = expected.unwrap_or_default();
            assert!(found.unwrap_or_default().contains(part), "{name}");
        }
    }

    #[test]
    fn federations_are_asked_once_each() {
        let config = load("twice", &format!("{COLLECTIVES} = eu, us,eu , asia\n"));
        assert_eq!(federations(&config).unwrap(), ["eu", "us", "asia"]);
        let config = load("bad", &format!("{COLLECTIVES} = eu,u*\n"));
        let problem = federations(&config).unwrap_err().message;
        assert!(problem.contains(":1: ") && problem.contains("u*"), "{problem}");
    }

    #[test]
    fn the_router_of_the_process_is_the_collective_unless_another_is_named() {
        let network = "plugin.choria.broker_network = yes\n";
        let hosts = "plugin.choria.middleware_hosts = b:4222\n";
        for (name, text, expected) in [
            ("alone", String::new(), false),
            ("together", network.to_owned(), true),
            ("elsewhere", format!("{network}{hosts}"), false),
        ] {
            assert_eq!(is_collective_local(&load(name, &text)), expected, "{name}");
        }
    }
}
