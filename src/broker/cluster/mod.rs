//! Routes to the other brokers of a cluster, by the protocol of nats-server (`server/route.go`).
//!
//! * `route` is what is spoken on one route, as a state machine without I/O: a route is a connection of an event loop
//!   like any other.
//! * `dial` is a thread that connects to the configured brokers and to those that others tell of, and hands the sockets
//!   to the event loops.
//! * [`Cluster`] is what all of them share: which brokers there are routes to.
//!
//! A message goes over one route at most, so every broker has a route to every other one. What is wanted elsewhere lies
//! in the tables of interest (`interest::remote`) and is found together with what is wanted here.
//!
//! The lock of the registry may be held while a link is locked, never the other way round, and never together with the
//! tables of interest. A peer may be hostile: what it can make this broker keep, dial and log is bounded.

mod dial;
mod fault;
mod learned;
mod registry;
mod report;
mod route;
mod settings;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use crate::crypto::hash::equal_secrets;
use crate::nats::codec::route_info::{RouteConnect, RouteInfo};
use crate::net;
use crate::util::throttle::Throttle;

pub(super) use dial::{Dialled, Dialler, Ticket};
pub(super) use fault::Fault;
pub(super) use registry::Known;
pub use report::RouteReport;
pub(super) use route::Route;
pub use settings::ClusterSettings;
pub(super) use tls::ClientTls;

use super::home::lock;
use dial::{Order, Outcome};
use registry::Registry;

/// Lines about other brokers that are logged in ten seconds.
const LOG_LINES_MAX: u32 = 50;
/// Orders that may wait for the dialler.
const ORDERS_MAX: usize = 256;

/// What the routes of a broker share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub settings: ClusterSettings,
    /// TLS of the routes that are dialled from now on.
    tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
    /// Name of the cluster.
    name: String,
    /// What this broker says about itself, but for the port.
    info: RouteInfo,
    local: OnceLock<SocketAddr>,
    registry: Mutex<Registry>,
    orders: flume::Sender<Order>,
    taken_orders: flume::Receiver<Order>,
    log: Throttle,
}

impl Cluster {
    /// No routes yet. `info` is what there is to say about this broker.
    pub fn new(settings: ClusterSettings, info: RouteInfo) -> Cluster {
        let (orders, taken_orders) = flume::bounded(ORDERS_MAX);
        let info = RouteInfo {
            proto: 2,
            headers: true,
            auth_required: !settings.user.is_empty(),
            tls_required: settings.tls.is_some(),
            tls_verify: settings.tls.is_some(),
            lnoc: true,
            lnocu: true,
            ..info
        };
        Cluster {
            name: info.cluster.clone(),
            info,
            tls: Mutex::new(settings.tls.clone()),
            settings,
            local: OnceLock::new(),
            registry: Mutex::default(),
            orders,
            taken_orders,
            log: Throttle::new(LOG_LINES_MAX),
        }
    }

    /// Dials with other certificates from now on. Encryption is neither switched on nor off.
    pub fn reload(&self, settings: &ClusterSettings) {
        let mut tls = lock(&self.tls);
        if let (Some(tls), Some(new)) = (&mut *tls, &settings.tls) {
            tls.clone_from(new);
        }
    }

    /// How routes are encrypted that this broker dials.
    fn client_tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        lock(&self.tls).clone()
    }

    /// Tells where the routes listen.
    pub fn set_local(&self, address: SocketAddr) {
        // Only the first listener counts, and there is one.
        let _ = self.local.set(address);
    }

    /// Where the routes listen.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local.get().copied()
    }

    /// Id of this broker.
    fn id(&self) -> &str {
        &self.info.server_id
    }

    /// The INFO line that begins a route.
    fn info_line(&self, is_lame: bool) -> Vec<u8> {
        let mut info = self.info.clone();
        if let Some(local) = self.local.get() {
            (info.host, info.port) = (local.ip().to_string(), local.port());
        }
        if let Some((host, port)) = &self.settings.advertise {
            (info.host, info.port) = (host.clone(), *port);
            info.ip = format!("nats-route://{host}:{port}/");
        }
        if !self.settings.advertise_clients {
            info.connect_urls = Vec::new();
        }
        if is_lame {
            info.ldm = true;
            info.connect_urls = Vec::new();
        }
        info.encode_line()
    }

    /// The CONNECT line of the one who dials.
    fn connect_line(&self) -> Vec<u8> {
        RouteConnect {
            echo: true,
            user: self.settings.user.clone(),
            pass: self.settings.password.expose().clone(),
            tls_required: self.settings.tls.is_some(),
            name: self.id().to_owned(),
            headers: true,
            cluster: self.name.clone(),
            lnoc: true,
            lnocu: true,
            ..RouteConnect::default()
        }
        .encode_line()
    }

    /// Whether these are the credentials that are demanded.
    fn is_welcome(&self, connect: &RouteConnect) -> bool {
        let settings = &self.settings;
        settings.user.is_empty()
            || (equal_secrets(&settings.user, &connect.user)
                & equal_secrets(settings.password.expose(), &connect.pass))
    }

    /// Whether a certificate is that of a broker of this cluster.
    fn is_peer(&self, certificate: &[u8]) -> bool {
        let names = lock(&self.registry).peer_names();
        names.iter().any(|name| net::tls::is_for(certificate, name))
    }

    /// Adds a route; everybody else hears of the new broker.
    fn register(&self, known: Known) -> Result<(), Fault> {
        let mut registry = lock(&self.registry);
        // With TLS both must know each other's names before one lets the other in. A nats-server tells the old ones only.
        registry.add(known, self.settings.routes_max, self.settings.tls.is_some())
    }

    /// Removes a route.
    fn remove(&self, server_id: &str) {
        lock(&self.registry).remove(server_id);
    }

    /// A route said something new about its broker; true when clients should know.
    fn update(&self, info: &RouteInfo) -> bool {
        lock(&self.registry).update(info)
    }

    /// Whether there is a route to this broker.
    fn is_connected(&self, server_id: &str) -> bool {
        lock(&self.registry).find(server_id).is_some()
    }

    /// Addresses of the other brokers for clients.
    pub fn client_urls(&self) -> Vec<String> {
        lock(&self.registry).client_urls()
    }

    fn routes(&self) -> Vec<Known> {
        lock(&self.registry).list().to_vec()
    }

    /// Another broker told of a third one.
    fn hear_of(&self, info: &RouteInfo) {
        let is_known = info.server_id == self.id() || self.is_connected(&info.server_id);
        let address = info.ip.trim_start_matches("nats-route://").trim_end_matches('/');
        let Ok(address) = address.parse::<SocketAddr>() else {
            log::debug!("cluster: told of a broker without usable address={:?}", info.ip);
            return;
        };
        if is_known || info.server_id.is_empty() {
            return;
        }
        lock(&self.registry).allow_name(&info.server_name);
        let order = Order { address, name: info.server_name.clone(), id: info.server_id.clone() };
        // A full queue means that there is more to dial than is allowed.
        let _ = self.orders.try_send(order);
    }
}
