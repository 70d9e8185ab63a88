//! The list of brokers: host lists as they stand in the configuration, SRV records, the fall-back.
//!
//! [`ServerList::find`] is called for each new attempt to connect, so a list that comes from DNS follows DNS.

use std::fmt;
use std::str::FromStr;

use crate::net::resolve::{ResolveError, Resolver};

/// SRV names of the brokers, first that resolves.
pub const SRV_BROKERS: &[&str] = &["_mcollective-server._tcp", "_x-puppet-mcollective._tcp"];
/// SRV names of the brokers of a cluster.
pub const SRV_PEERS: &[&str] = &["_mcollective-broker._tcp"];
/// SRV names of the federation's brokers.
pub const SRV_FEDERATION: &[&str] =
    &["_mcollective-federation_server._tcp", "_x-puppet-mcollective_federation._tcp"];
/// Where a broker is expected when nothing says otherwise.
pub const FALLBACK_HOST: &str = "puppet";
/// The port of [`FALLBACK_HOST`].
pub const FALLBACK_PORT: u16 = 4222;

/// How a broker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// NATS; TLS when the settings say so.
    Nats,
    /// NATS, always over TLS.
    Tls,
    /// NATS over a secure web socket.
    Wss,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nats => "nats",
            Self::Tls => "tls",
            Self::Wss => "wss",
        })
    }
}

/// One broker's address. `Display` is its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Server {
    /// A broker spoken to with plain NATS or TLS, whatever the settings say.
    pub fn nats(host: impl Into<String>, port: u16) -> Self {
        Self { scheme: Scheme::Nats, host: host.into(), port }
    }

    /// `host:port`, with an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address())
    }
}

/// An element of a host list that is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    /// The element, without credentials.
    pub element: String,
    /// What is wrong with it.
    pub fault: HostFault,
}

/// What is wrong with an element of a host list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostFault {
    /// Nothing between two commas.
    Empty,
    /// A scheme this program does not speak.
    Scheme(String),
    /// No host before the port.
    Host,
    /// No `:port`.
    MissingPort,
    /// The port is no number from 1 to 65535.
    Port(String),
    /// An IPv6 address must stand in brackets.
    Brackets,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid host {:?}: ", self.element)?;
        match &self.fault {
            HostFault::Empty => f.write_str("it is empty"),
            HostFault::Scheme(scheme) => {
                write!(f, "scheme {scheme:?} is none of nats, tls and wss")
            }
            HostFault::Host => f.write_str("it names no host"),
            HostFault::MissingPort => f.write_str("it has no port, write host:port"),
            HostFault::Port(port) => write!(f, "{port:?} is no port number"),
            HostFault::Brackets => f.write_str("write an IPv6 address as [address]:port"),
        }
    }
}

impl std::error::Error for HostError {}

impl FromStr for Server {
    type Err = HostError;

    /// Reads `host:port` or `scheme://host:port`; credentials and a path are dropped.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let shown = scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"));
        let fail = |fault| HostError { element: shown.clone(), fault };
        if text.is_empty() {
            return Err(fail(HostFault::Empty));
        }
        let scheme = parse_scheme(scheme).map_err(fail)?;
        let (host, port) = split_port(rest).map_err(fail)?;
        Ok(Self { scheme, host, port })
    }
}

fn parse_scheme(text: Option<&str>) -> Result<Scheme, HostFault> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("nats") => Ok(Scheme::Nats),
        Some("tls") => Ok(Scheme::Tls),
        Some("wss") => Ok(Scheme::Wss),
        Some(other) => Err(HostFault::Scheme(other.to_owned())),
    }
}

fn split_port(text: &str) -> Result<(String, u16), HostFault> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(HostFault::Brackets)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| HostFault::Brackets)?;
        (host, after.strip_prefix(':').ok_or(HostFault::MissingPort)?)
    } else {
        let (host, port) = text.rsplit_once(':').ok_or(HostFault::MissingPort)?;
        if host.contains(':') {
            return Err(HostFault::Brackets);
        }
        (host, port)
    };
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err(HostFault::Host);
    }
    if port.is_empty() {
        return Err(HostFault::MissingPort);
    }
    // `parse` would take a sign.
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host.to_owned(), number))
        }
        _ => Err(HostFault::Port(port.to_owned())),
    }
}

/// Reads a list of hosts; each item may itself be separated by commas.
pub fn parse_hosts<S: AsRef<str>>(items: &[S]) -> Result<Vec<Server>, HostError> {
    items.iter().flat_map(|item| item.as_ref().split(',')).map(str::parse).collect()
}

/// Where brokers are found.
#[derive(Debug, Clone)]
pub enum Source {
    /// The configured ones.
    Fixed(Vec<Server>),
    /// The first of `names` that has SRV records in `domain`.
    Srv {
        /// Such as [`SRV_BROKERS`].
        names: Vec<String>,
        /// Such as `example.net`.
        domain: String,
    },
}

/// No broker is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoServers {
    /// The last SRV look-up that failed, when one was made.
    pub lookup: Option<ResolveError>,
}

impl fmt::Display for NoServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lookup {
            Some(error) => write!(f, "no brokers are known: {error}"),
            None => f.write_str("no brokers are configured"),
        }
    }
}

impl std::error::Error for NoServers {}

/// Brokers found by [`ServerList::find`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order in which to try them. Never empty.
    pub servers: Vec<Server>,
    /// Nothing was configured or found: this is only where a broker usually is.
    pub is_fallback: bool,
}

/// How to find the brokers: the sources in order, then the fall-back.
#[derive(Debug, Clone)]
pub struct ServerList {
    sources: Vec<Source>,
    fallback: Option<Server>,
    /// Whether configured brokers are tried in random order; SRV records have their own order.
    randomize: bool,
    resolver: Resolver,
}

impl ServerList {
    /// Only these brokers, tried in random order.
    pub fn fixed(servers: Vec<Server>) -> Self {
        Self::new(vec![Source::Fixed(servers)], None, Resolver::from_system())
    }

    /// The first source that gives brokers, else `fallback`.
    pub fn new(sources: Vec<Source>, fallback: Option<Server>, resolver: Resolver) -> Self {
        Self { sources, fallback, randomize: true, resolver }
    }

    /// Tries configured brokers in the order in which they are written.
    pub fn in_order(mut self) -> Self {
        self.randomize = false;
        self
    }

    /// The usual brokers of a collective: configured hosts, SRV records when `srv_domain` is given, `puppet:4222`.
    pub fn brokers(
        configured: Vec<Server>,
        srv_domain: Option<String>,
        resolver: Resolver,
    ) -> Self {
        let fallback = Server::nats(FALLBACK_HOST, FALLBACK_PORT);
        Self::new(usual(configured, SRV_BROKERS, srv_domain), Some(fallback), resolver)
    }

    /// The brokers of a federation: configured hosts, SRV records when `srv_domain` is given, no fall-back.
    pub fn federation(
        configured: Vec<Server>,
        srv_domain: Option<String>,
        resolver: Resolver,
    ) -> Self {
        Self::new(usual(configured, SRV_FEDERATION, srv_domain), None, resolver)
    }

    /// The brokers of a cluster: configured hosts, SRV records when `srv_domain` is given, no fall-back.
    pub fn peers(configured: Vec<Server>, srv_domain: Option<String>, resolver: Resolver) -> Self {
        Self::new(usual(configured, SRV_PEERS, srv_domain), None, resolver)
    }

    /// The resolver for the hosts of the list.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Finds the brokers now.
    pub async fn find(&self) -> Result<Found, NoServers> {
        let mut lookup = None;
        for source in &self.sources {
            match source {
                Source::Fixed(servers) if !servers.is_empty() => {
                    let mut servers = servers.clone();
                    if self.randomize {
                        fastrand::shuffle(&mut servers);
                    }
                    return Ok(Found { servers, is_fallback: false });
                }
                Source::Fixed(_) => {}
                Source::Srv { names, domain } => match self.srv_brokers(names, domain).await {
                    Ok(servers) => return Ok(Found { servers, is_fallback: false }),
                    Err(error) => lookup = error.or(lookup),
                },
            }
        }
        match &self.fallback {
            Some(server) => Ok(Found { servers: vec![server.clone()], is_fallback: true }),
            None => Err(NoServers { lookup }),
        }
    }

    async fn srv_brokers(
        &self,
        names: &[String],
        domain: &str,
    ) -> Result<Vec<Server>, Option<ResolveError>> {
        let mut last = None;
        for name in names {
            let name = format!("{name}.{}", domain.trim_matches('.'));
            match self.resolver.lookup_srv(&name).await {
                Ok(records) => {
                    return Ok(records
                        .into_iter()
                        .map(|record| Server::nats(record.target, record.port))
                        .collect());
                }
                Err(error) => {
                    log::debug!("servers: SRV look-up gave nothing err={error}");
                    last = Some(error);
                }
            }
        }
        Err(last)
    }
}

fn usual(configured: Vec<Server>, names: &[&str], srv_domain: Option<String>) -> Vec<Source> {
    let mut sources = vec![Source::Fixed(configured)];
    if let Some(domain) = srv_domain {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        sources.push(Source::Srv { names, domain });
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_every_form() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Server>().expect(text).to_string(), expected, "{text}");
        };
        check("b1:4222", "nats://b1:4222");
        check(" b1.example.net:1 ", "nats://b1.example.net:1");
        check("nats://b1:4222", "nats://b1:4222");
        check("TLS://b1:4222", "tls://b1:4222");
        check("wss://b1:443/path?x", "wss://b1:443");
        check("nats://user:secret@b1:4222", "nats://b1:4222");
        check("[::1]:4222", "nats://[::1]:4222");
        check("tls://[fe80::2]:4222", "tls://[fe80::2]:4222");
        check("10.1.2.3:65535", "nats://10.1.2.3:65535");
    }

    #[test]
    fn a_bad_element_is_named_without_its_credentials() {
        let check = |text: &str, fault: HostFault| {
            let error = text.parse::<Server>().expect_err(text);
            assert_eq!(error.fault, fault, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        };
        check("", HostFault::Empty);
        check("b1", HostFault::MissingPort);
        check("b1:", HostFault::MissingPort);
        check("[::1]", HostFault::MissingPort);
        check("user:secret@b1", HostFault::MissingPort);
        check("http://user:secret@b1:80", HostFault::Scheme("http".into()));
        check(":4222", HostFault::Host);
        check("a b:4222", HostFault::Host);
        check("b1:0", HostFault::Port("0".into()));
        check("b1:+1", HostFault::Port("+1".into()));
        check("b1:65536", HostFault::Port("65536".into()));
        check("::1:4222", HostFault::Brackets);
        check("[::1:4222", HostFault::Brackets);
        check("[b1]:4222", HostFault::Brackets);
        let error = parse_hosts(&["b1:4222, b2", "b3:1"]).expect_err("b2 has no port");
        assert_eq!(error.to_string(), "invalid host \"b2\": it has no port, write host:port");
        assert_eq!(parse_hosts(&["b1:4222, b2:4223", "b3:1"]).map(|list| list.len()), Ok(3));
    }

    #[test]
    fn configured_hosts_win_and_the_fallback_is_last() {
        let resolver = Resolver::from_system();
        let list = |hosts: &[&str]| {
            ServerList::brokers(parse_hosts(hosts).expect("good"), None, resolver.clone())
        };
        let found = smol::block_on(list(&["b1:1"]).find()).expect("found");
        assert_eq!(found, Found { servers: vec![Server::nats("b1", 1)], is_fallback: false });
        let found = smol::block_on(list(&[]).find()).expect("found");
        assert_eq!(found, Found { servers: vec![Server::nats("puppet", 4222)], is_fallback: true });
        let federation = ServerList::federation(Vec::new(), None, resolver);
        let error = smol::block_on(federation.find()).expect_err("no fall-back");
        assert_eq!(error.to_string(), "no brokers are configured");
    }
}
