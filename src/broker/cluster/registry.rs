//! Which brokers there are routes to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Fault;
use crate::broker::link::Link;
use crate::nats::codec::route_info::RouteInfo;

/// Names of other brokers that are remembered.
const NAMES_MAX: usize = 1024;
/// Characters of one of them; host names are shorter.
const NAME_CHARS_MAX: usize = 255;
/// Addresses for clients that one other broker may add, and the bytes of one of them.
const URLS_MAX: usize = 16;
const URL_BYTES_MAX: usize = 280;

/// A route that is up.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Known {
    pub info: Arc<RouteInfo>,
    pub link: Arc<Link>,
    pub address: SocketAddr,
    /// Number of the connection.
    pub client_id: u64,
    /// It was dialled here.
    pub is_solicited: bool,
    /// It leads to a broker that stands in the configuration.
    pub is_configured: bool,
    pub counts: Arc<Counts>,
    /// It is not a place for clients any more.
    pub is_lame: bool,
}

/// What a route counts; written by its own event loop only.
#[derive(Debug, Default)]
pub(in crate::broker) struct Counts {
    pub in_messages: AtomicU64,
    pub in_bytes: AtomicU64,
    /// What the other broker wants.
    pub interests: AtomicU64,
    /// Time of the last PING to its PONG, in milliseconds.
    pub round_trip_ms: AtomicU64,
    /// When the route came up, in milliseconds of the broker's clock.
    pub since_ms: AtomicU64,
}

/// All routes, and the names that peers may have.
#[derive(Debug, Default)]
pub(super) struct Registry {
    list: Vec<Known>,
    /// Hosts of the configuration, in lower case.
    peers: Vec<String>,
    /// Names that admitted brokers told, the oldest first.
    told: VecDeque<String>,
}

impl Registry {
    pub fn list(&self) -> &[Known] {
        &self.list
    }

    pub fn find(&self, server_id: &str) -> Option<&Known> {
        self.list.iter().find(|known| known.info.server_id == server_id)
    }

    /// Adds a route and tells all others of it. `both_ways`: it is told of all others too.
    pub fn add(&mut self, known: Known, routes_max: usize, both_ways: bool) -> Result<(), Fault> {
        if self.find(&known.info.server_id).is_some() {
            return Err(Fault::Duplicate);
        }
        if self.list.len() >= routes_max {
            return Err(Fault::TooMany);
        }
        let line = gossip(&known);
        for other in &self.list {
            other.link.append(&line);
            if both_ways {
                known.link.append(&gossip(other));
            }
        }
        self.list.push(known);
        Ok(())
    }

    pub fn remove(&mut self, server_id: &str) {
        self.list.retain(|known| known.info.server_id != server_id);
    }

    /// A route said something new about its broker; true when clients should know.
    pub fn update(&mut self, info: &RouteInfo) -> bool {
        let same = |known: &&mut Known| known.info.server_id == info.server_id;
        let Some(known) = self.list.iter_mut().find(same) else { return false };
        let is_news = known.is_lame != info.ldm || known.info.connect_urls != info.connect_urls;
        known.is_lame = info.ldm;
        let mut changed = (*known.info).clone();
        changed.connect_urls.clone_from(&info.connect_urls);
        known.info = Arc::new(changed);
        is_news
    }

    pub fn client_urls(&self) -> Vec<String> {
        let open = self.list.iter().filter(|known| !known.is_lame);
        let mut urls: Vec<String> =
            open.flat_map(|known| usable(&known.info.connect_urls).cloned()).collect();
        urls.sort_unstable();
        urls.dedup();
        urls
    }

    pub fn set_peer_names(&mut self, hosts: Vec<String>) {
        self.peers = hosts;
    }

    /// An admitted broker told of one with this name.
    pub fn allow_name(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > NAME_CHARS_MAX {
            return;
        }
        if !self.told.contains(&name) {
            if self.told.len() >= NAMES_MAX {
                self.told.pop_front();
            }
            self.told.push_back(name);
        }
    }

    /// Names that the certificate of a peer may be for.
    pub fn peer_names(&self) -> Vec<String> {
        self.peers.iter().chain(&self.told).cloned().collect()
    }
}

/// As many of a broker's addresses for clients as are told to clients.
fn usable(urls: &[String]) -> impl Iterator<Item = &String> {
    urls.iter().filter(|url| url.len() <= URL_BYTES_MAX).take(URLS_MAX)
}

/// The line that tells others of a broker: what it said, and where it is.
fn gossip(known: &Known) -> Vec<u8> {
    let mut info = (*known.info).clone();
    info.nonce = String::new();
    if info.ip.is_empty() {
        let address = SocketAddr::new(known.address.ip(), info.port);
        info.ip = format!("nats-route://{address}/");
    }
    info.encode_line()
}
