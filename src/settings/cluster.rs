//! The settings of the routes between brokers.

use std::net::{IpAddr, SocketAddr};

use super::Problem;
use crate::broker::ClusterSettings;
use crate::config::Config;
use crate::net::resolve::Resolver;
use crate::net::servers::{self, Server, ServerList};
use crate::security::Provider;

/// The port for other brokers when none is configured.
const PORT: u16 = 5222;

/// The routes that the configuration asks for: nothing for a broker that stands alone. `security` is there when TLS is.
pub(super) fn cluster(
    config: &Config,
    address: IpAddr,
    security: Option<&Provider>,
) -> Result<Option<ClusterSettings>, Problem> {
    let network = &config.network;
    let peers = peers(config)?;
    let is_alone = peers.is_empty() && network.peer_port == 0;
    let domain = srv_domain(config).filter(|_| peers.is_empty());
    if is_alone && domain.is_none() {
        return Ok(None);
    }
    let port = if network.peer_port == 0 { PORT } else { network.peer_port };
    // With a port of its own it waits for others, whoever they are.
    let only_with_peers = is_alone;
    let peers = ServerList::peers(peers, domain, Resolver::from_system()).in_order();
    let mut settings = ClusterSettings {
        only_with_peers,
        advertise: advertise(config)?,
        user: network.peer_user.clone().unwrap_or_default(),
        password: network.peer_password.clone().unwrap_or_default(),
        advertise_clients: network.advertise_peers,
        ..ClusterSettings::new(SocketAddr::new(address, port), peers)
    };
    settings.limits.payload_bytes_max = settings.limits.payload_bytes_max.max(network.max_payload);
    check_login(config)?;
    match security.filter(|_| network.peer_tls) {
        Some(provider) => {
            let tls = provider
                .client_tls()
                .map_err(|error| Problem::new(format!("TLS is not set up: {error}")))?;
            settings.tls = Some(tls);
        }
        None if !only_with_peers => warn_of_clear_text(&settings),
        None => {}
    }
    Ok(Some(settings))
}

fn warn_of_clear_text(settings: &ClusterSettings) {
    let address = settings.listen;
    if settings.user.is_empty() {
        log::warn!(
            "cluster: routes are not encrypted, and any broker that reaches {address} may join"
        );
    } else {
        log::warn!("cluster: routes are not encrypted, the password reaches {address} in clear");
    }
}

fn peers(config: &Config) -> Result<Vec<Server>, Problem> {
    const KEY: &str = "plugin.choria.network.peers";
    let named = config.network.peers.iter().filter(|peer| !peer.trim().is_empty());
    servers::parse_hosts(&named.collect::<Vec<_>>())
        .map_err(|error| Problem::new(format!("{}: {KEY}: {error}", config.origin(KEY))))
}

/// Where SRV records name the peers. Not asked from Facter: a broker has to be up quickly.
fn srv_domain(config: &Config) -> Option<String> {
    let choria = &config.choria;
    if !choria.use_srv {
        return None;
    }
    let of_identity = || config.identity.split_once('.').map(|(_, domain)| domain.to_owned());
    choria.srv_domain.clone().or_else(of_identity).filter(|domain| !domain.is_empty())
}

/// A user without a password, or the other way round, is a mistake that would open a door.
fn check_login(config: &Config) -> Result<(), Problem> {
    let network = &config.network;
    let (set, missing) = match (&network.peer_user, &network.peer_password) {
        (Some(_), None) => ("peer_user", "peer_password"),
        (None, Some(_)) => ("peer_password", "peer_user"),
        _ => return Ok(()),
    };
    let key = format!("plugin.choria.network.{set}");
    Err(Problem::new(format!("{}: {key} is of no use without {missing}", config.origin(&key))))
}

fn advertise(config: &Config) -> Result<Option<(String, u16)>, Problem> {
    const KEY: &str = "plugin.choria.network.peer_advertise";
    let Some(text) = &config.network.peer_advertise else { return Ok(None) };
    let server: Server = text
        .parse()
        .map_err(|error| Problem::new(format!("{}: {KEY}: {error}", config.origin(KEY))))?;
    Ok(Some((server.host, server.port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source};
    use std::path::Path;

    fn read(name: &str, text: &str) -> Result<Option<ClusterSettings>, Problem> {
        let env = Environment::fixed(&[], "b1.example.net");
        let file = format!("choria-cluster-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let source = Source::Broker { path: path.clone() };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        cluster(&config, IpAddr::from([127, 0, 0, 1]), None)
    }

    #[test]
    fn a_broker_is_part_of_a_cluster_when_something_says_so() {
        const PREFIX: &str = "plugin.choria.network.";
        let cases = [
            ("", Some("127.0.0.1:5222 srv")),
            ("plugin.choria.use_srv = no\n", None),
            ("identity = alone\n", None),
            ("identity = alone\nplugin.choria.srv_domain = a.b\n", Some("127.0.0.1:5222 srv")),
            ("{}peers = nats://b2:5222, b3:4223\n", Some("127.0.0.1:5222")),
            ("{}peers = b2:5222\n{}peer_port = 4223\n", Some("127.0.0.1:4223")),
            ("{}peer_port = 4223\n", Some("127.0.0.1:4223")),
            ("{}peers = \nplugin.choria.use_srv = no\n", None),
        ];
        for (index, (text, expected)) in cases.into_iter().enumerate() {
            let got = read(&format!("on{index}"), &text.replace("{}", PREFIX)).unwrap();
            let shown = got.map(|settings| {
                let srv = if settings.only_with_peers { " srv" } else { "" };
                format!("{}{srv}", settings.listen)
            });
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
        for text in [
            "{}peers = b2\n",
            "{}peers = b2:1\n{}peer_user = u\n",
            "{}peer_port = 1\n{}peer_password = p\n",
        ] {
            assert!(read("bad", &text.replace("{}", PREFIX)).is_err(), "{text}");
        }
    }
}
