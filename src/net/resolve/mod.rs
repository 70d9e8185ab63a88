//! Names to addresses and services to hosts: an asynchronous DNS client after `/etc/resolv.conf`.
//!
//! Addresses come from `/etc/hosts` first. Both files are read again for each look-up, so that a machine that moves
//! between networks needs no restart. SRV answers are kept for [`SRV_CACHE_TIME`], nothing else is.

mod conf;
mod order;
mod query;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use conf::ResolvConf;
use query::{CNAME_STEPS_MAX, Records, Wanted};

/// How long an SRV answer is used again.
pub const SRV_CACHE_TIME: Duration = Duration::from_secs(5);
/// Most SRV answers kept.
const SRV_CACHE_MAX: usize = 256;
/// The port of name servers.
const DNS_PORT: u16 = 53;

/// One SRV record: a host that offers the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Host name without final dot.
    pub target: String,
    /// TCP port.
    pub port: u16,
    /// Lower is used first.
    pub priority: u16,
    /// Share of use among records of one priority.
    pub weight: u16,
}

/// Why a name gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The text is not a DNS name.
    BadName,
    /// The name does not exist.
    NoSuchName,
    /// The name exists and has no record of the wanted type.
    NoRecords,
    /// No name server answered in time.
    TimedOut,
    /// No name server could answer; holds the last one's reason.
    Refused(String),
    /// Aliases lead in a circle or too far.
    AliasChain,
}

/// A look-up that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    /// The name that was looked up.
    pub name: String,
    /// Why it gave nothing.
    pub kind: Kind,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot resolve {:?}: ", self.name)?;
        match &self.kind {
            Kind::BadName => f.write_str("not a DNS name"),
            Kind::NoSuchName => f.write_str("no such name"),
            Kind::NoRecords => f.write_str("it has no usable record"),
            Kind::TimedOut => f.write_str("no name server answered in time"),
            Kind::Refused(reason) => write!(f, "name server {reason}"),
            Kind::AliasChain => f.write_str("its aliases lead too far"),
        }
    }
}

impl std::error::Error for ResolveError {}

/// Where the resolver finds its settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `/etc/resolv.conf`
    pub resolv_conf: PathBuf,
    /// `/etc/hosts`
    pub hosts: PathBuf,
    /// Port of every name server.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: DNS_PORT }
    }
}

type SrvAnswer = Result<Vec<Srv>, Kind>;

/// Looks names up. Clones share the cache of SRV answers.
#[derive(Debug, Clone)]
pub struct Resolver {
    settings: Arc<Settings>,
    cache: Arc<Mutex<HashMap<String, (Instant, SrvAnswer)>>>,
}

impl Resolver {
    /// Uses the files of this machine.
    pub fn from_system() -> Self {
        Self::new(Settings::default())
    }

    /// Uses the files named in `settings`.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), cache: Arc::default() }
    }

    /// The hosts that offer the service `name` (absolute, such as `_mcollective-server._tcp.example.net`):
    /// by priority, within one priority by weighted chance. Never empty.
    pub async fn lookup_srv(&self, name: &str) -> Result<Vec<Srv>, ResolveError> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let answer = match self.cached(&name) {
            Some(answer) => answer,
            None => {
                let conf = self.conf().await;
                let answer = self.ask_srv(&conf, &name).await;
                self.remember(&name, &answer);
                answer
            }
        };
        match answer {
            Ok(records) => Ok(order::sort(records, |max| fastrand::u64(0..=max))),
            Err(kind) => Err(ResolveError { name, kind }),
        }
    }

    async fn ask_srv(&self, conf: &ResolvConf, name: &str) -> SrvAnswer {
        match self.chase(conf, name, Wanted::Srv).await? {
            Records::Services(records) if !records.is_empty() => Ok(records),
            _ => Err(Kind::NoRecords),
        }
    }

    /// The addresses of `host`: an IP literal is its own address, then `/etc/hosts`, then DNS with the search list,
    /// IPv4 before IPv6. Never empty.
    pub async fn lookup_ip(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let listed = conf::hosts_lookup(&read(&self.settings.hosts).await, host);
        if !listed.is_empty() {
            return Ok(listed);
        }
        // RFC 6761: never asked from the network.
        if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let conf = self.conf().await;
        let mut last = Kind::NoSuchName;
        for name in conf.candidates(host) {
            match self.ask_addresses(&conf, &name).await {
                Ok(addresses) => return Ok(addresses),
                Err(kind @ (Kind::NoSuchName | Kind::NoRecords | Kind::BadName)) => last = kind,
                Err(kind) => return Err(ResolveError { name: host.to_owned(), kind }),
            }
        }
        Err(ResolveError { name: host.to_owned(), kind: last })
    }

    /// Asks for both families at once; one that fails does not spoil the other.
    async fn ask_addresses(&self, conf: &ResolvConf, name: &str) -> Result<Vec<IpAddr>, Kind> {
        let (v4, v6) = smol::future::zip(
            self.chase(conf, name, Wanted::A),
            self.chase(conf, name, Wanted::Aaaa),
        )
        .await;
        let mut addresses = Vec::new();
        let mut failure = None;
        for answer in [v4, v6] {
            match answer {
                Ok(Records::Addresses(list)) => addresses.extend(list),
                Ok(_) => {}
                Err(kind) => failure = failure.or(Some(kind)),
            }
        }
        match failure {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(kind) => Err(kind),
            None => Err(Kind::NoRecords),
        }
    }

    /// Asks, and asks again for the alias when the answer stops at one.
    async fn chase(&self, conf: &ResolvConf, name: &str, wanted: Wanted) -> Result<Records, Kind> {
        let mut name = name.to_owned();
        for _ in 0..=CNAME_STEPS_MAX {
            match transport::ask(conf, self.settings.port, &name, wanted).await? {
                Records::Alias(alias) => name = alias,
                records => return Ok(records),
            }
        }
        Err(Kind::AliasChain)
    }

    async fn conf(&self) -> ResolvConf {
        ResolvConf::parse(&read(&self.settings.resolv_conf).await)
    }

    fn cached(&self, name: &str) -> Option<SrvAnswer> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = cache.get(name)?;
        (at.elapsed() < SRV_CACHE_TIME).then(|| answer.clone())
    }

    /// Keeps answers that are final; a server that did not answer is asked again next time.
    fn remember(&self, name: &str, answer: &SrvAnswer) {
        if !matches!(answer, Ok(_) | Err(Kind::NoSuchName | Kind::NoRecords)) {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= SRV_CACHE_MAX {
            cache.retain(|_, (at, _)| at.elapsed() < SRV_CACHE_TIME);
        }
        if cache.len() < SRV_CACHE_MAX {
            cache.insert(name.to_owned(), (Instant::now(), answer.clone()));
        }
    }
}

/// A file's text; a file that cannot be read counts as empty, as for the system resolver.
async fn read(path: &Path) -> String {
    let path = path.to_owned();
    let bytes = smol::unblock(move || std::fs::read(path)).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
