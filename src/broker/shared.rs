//! What all event loops share, and what one of them hands to a connection it serves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use data_encoding::BASE32_NOPAD;

use super::Statistics;
use super::access::Access;
use super::account::{Account, Accounts};
use super::cluster::Cluster;
use super::home::{Counters, Home, Mail, add};
use super::link::Link;
use super::listeners::{Incoming, Kind};
use super::login::{BadAccess, Gate, Nonces};
use super::monitor::{AccountReport, Events, Libraries, Traffic};
use super::router::Router;
use super::session::{first_limits, joining_limits};
use super::settings::Settings;
use super::tls::HandshakePool;
use crate::nats::codec::Limits;
use crate::nats::codec::info::{ChoriaInfo, ServerInfo};
use crate::nats::codec::route_info::RouteInfo;

/// The NATS version whose behaviour clients may expect.
const NATS_VERSION: &str = "2.14.2";

/// One broker.
#[derive(Debug)]
pub(super) struct Shared {
    /// Those it was started with. Event loops have their own, which a reload can change.
    pub settings: Arc<Settings>,
    /// Those that hold now, and since when, for reports.
    current: RwLock<(Arc<Settings>, SystemTime)>,
    connections_max: AtomicUsize,
    /// The limits that hold before CONNECT.
    pub first_limits: Limits,
    /// Those of connections that come for a certificate.
    pub joining_limits: Limits,
    pub accounts: Arc<Accounts>,
    gate: RwLock<Arc<Gate>>,
    /// What connections sign that log in with a token.
    pub nonces: Nonces,
    pub homes: Vec<Arc<Home>>,
    pub handshakes: HandshakePool,
    /// The routes; nothing without a cluster.
    pub cluster: Option<Arc<Cluster>>,
    pub started: Instant,
    /// The same moment as other clocks show it.
    pub started_at: SystemTime,
    info: ServerInfo,
    local: SocketAddr,
    next_client_id: AtomicU64,
    admitted: AtomicUsize,
    pub is_lame: AtomicBool,
    /// Event loops that did not handle yet what had come when the broker was stopped.
    pub undrained: AtomicUsize,
    /// Who wants to know what happens to connections.
    pub events: Events,
    /// An event loop ended without being told to.
    pub has_failed: AtomicBool,
}

impl Shared {
    pub fn new(
        settings: Settings,
        local: SocketAddr,
        homes: Vec<Arc<Home>>,
    ) -> Result<Shared, BadAccess> {
        let accounts = Accounts::new(&settings.accounts, &settings.imports);
        let gate = Gate::new(&settings.access, settings.tls.is_some(), &accounts.names())?;
        let handshakes =
            HandshakePool::new(settings.handshake_threads, settings.handshakes_waiting_max);
        let info = server_info(&settings, local);
        let about_us = RouteInfo {
            server_id: info.server_id.clone(),
            server_name: info.server_name.clone(),
            version: info.version.clone(),
            go: info.go.clone(),
            max_payload: info.max_payload,
            cluster: info.cluster.clone(),
            connect_urls: vec![client_url(&info)],
            ..RouteInfo::default()
        };
        let cluster = settings.cluster.clone();
        let settings = Arc::new(settings);
        Ok(Shared {
            handshakes,
            first_limits: first_limits(&settings.limits),
            joining_limits: joining_limits(&settings.limits),
            info,
            cluster: cluster.map(|settings| Arc::new(Cluster::new(settings, about_us))),
            local,
            accounts: Arc::new(accounts),
            gate: RwLock::new(Arc::new(gate)),
            nonces: Nonces::new(),
            connections_max: AtomicUsize::new(settings.connections_max),
            current: RwLock::new((settings.clone(), SystemTime::now())),
            settings,
            undrained: AtomicUsize::new(homes.len()),
            homes,
            started: Instant::now(),
            started_at: SystemTime::now(),
            next_client_id: AtomicU64::new(1),
            admitted: AtomicUsize::new(0),
            is_lame: AtomicBool::new(false),
            events: Events::default(),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Who may come in, as it is at the moment.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings that hold now, and since when.
    pub fn current(&self) -> (Arc<Settings>, SystemTime) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings after a reload: those that can change while the broker runs are the new ones.
    pub fn reloaded(&self, new: &Settings) -> Arc<Settings> {
        self.connections_max.store(new.connections_max, Ordering::Relaxed);
        if let (Some(cluster), Some(new)) = (&self.cluster, &new.cluster) {
            cluster.reload(new);
        }
        let settings = Arc::new(self.settings.reloaded(new));
        let current = (settings.clone(), SystemTime::now());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        settings
    }

    /// Decides by other settings from now on. Live connections are not looked at.
    pub fn set_access(&self, access: &Access) -> Result<(), BadAccess> {
        let gate = Gate::new(access, self.settings.tls.is_some(), &self.accounts.names())?;
        let mut current = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(gate.after(&current));
        Ok(())
    }

    /// Milliseconds since the broker started.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn next_client_id(&self) -> u64 {
        self.next_client_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a connection as admitted, if there is room.
    pub fn admit(&self) -> bool {
        let max = self.connections_max.load(Ordering::Relaxed);
        let has_room = |count: usize| (count < max).then_some(count + 1);
        self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok()
    }

    pub fn dismiss(&self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether one more connection would be admitted.
    pub fn has_room(&self) -> bool {
        self.admitted.load(Ordering::Relaxed) < self.connections_max.load(Ordering::Relaxed)
    }

    pub fn admitted(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// A connection of this process with full rights in an account, which speaks the client protocol from INFO on.
    /// Fails when there is no such account.
    pub fn attach(&self, account: &str) -> io::Result<UnixStream> {
        let account = self.accounts.find(account.as_bytes());
        let account = account.ok_or_else(|| io::Error::other("there is no such account"))?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let kind = Kind::Internal { account: account.index };
        // Reading and writing work on any stream socket, and nothing else is done with it.
        let socket = TcpStream::from(OwnedFd::from(ours));
        let incoming = Incoming { socket, address: self.local, kind };
        if let Some(home) = self.homes.get(fastrand::usize(..self.homes.len())) {
            home.post(Mail::Accepted(vec![incoming]));
        }
        Ok(theirs)
    }

    /// What is told to everybody.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// What all event loops counted.
    pub fn statistics(&self) -> Statistics {
        let sum = |counter: fn(&Counters) -> &AtomicU64| -> u64 {
            let counters = self.homes.iter().map(|home| &home.counters);
            counters.map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
        };
        Statistics {
            connections: sum(|counters| &counters.connections),
            admitted: self.admitted() as u64,
            total_connections: sum(|counters| &counters.accepted),
            subscriptions: self.accounts.subscriptions() as u64,
            in_messages: sum(|counters| &counters.in_messages),
            in_bytes: sum(|counters| &counters.in_bytes),
            out_messages: sum(|counters| &counters.out_messages),
            out_bytes: sum(|counters| &counters.out_bytes),
            waiting_bytes: self.homes.first().map_or(0, |home| home.waiting.bytes() as u64),
            slow_consumers: sum(|counters| &counters.slow_consumers),
            stale_connections: sum(|counters| &counters.stale),
            refused: sum(|counters| &counters.refused),
            panics: sum(|counters| &counters.panics),
        }
    }

    /// The first INFO line for a WebSocket.
    pub fn web_socket_info(&self, client_id: u64, address: SocketAddr) -> Vec<u8> {
        let mut info = self.info_for(client_id, address);
        let advertised = self.settings.websocket.as_ref().and_then(|port| port.advertise.as_ref());
        info.connect_urls =
            advertised.map(|(host, port)| format!("{host}:{port}")).into_iter().collect();
        info.encode_line()
    }

    fn info_for(&self, client_id: u64, address: SocketAddr) -> ServerInfo {
        let mut info = self.info.clone();
        info.client_id = client_id;
        info.client_ip = address.ip().to_string();
        let gate = self.gate();
        info.auth_required = gate.demands_login();
        if gate.takes_tokens() {
            info.nonce = self.nonces.of(client_id);
        }
        info.ldm = self.is_lame.load(Ordering::Relaxed);
        info
    }

    /// What clients are told about other places to connect to: nothing unless there are others.
    fn client_urls(&self) -> Vec<String> {
        let told = self.cluster.as_ref().filter(|cluster| cluster.settings.advertise_clients);
        let mut urls = told.map(|cluster| cluster.client_urls()).unwrap_or_default();
        if !urls.is_empty() && !self.is_lame.load(Ordering::Relaxed) {
            urls.insert(0, client_url(&self.info));
        }
        urls
    }

    /// Tells clients, if they are told at all, that brokers came or went.
    pub fn clients_need_info(&self) {
        if self.cluster.as_ref().is_some_and(|cluster| cluster.settings.advertise_clients) {
            self.homes.iter().for_each(|home| home.post(Mail::Info));
        }
    }

    /// How routes that others dial are encrypted.
    pub fn route_tls(&self, settings: &Settings) -> Option<Arc<rustls::ServerConfig>> {
        let is_on = self.cluster.as_ref().is_some_and(|cluster| cluster.settings.tls.is_some());
        settings.tls.clone().filter(|_| is_on)
    }

    /// The INFO line for one connection. With its account it is the one after the first PONG.
    pub fn connection_info(
        &self,
        client_id: u64,
        address: SocketAddr,
        account: Option<&Account>,
    ) -> Vec<u8> {
        let mut info = self.info_for(client_id, address);
        info.connect_urls = self.client_urls();
        if let Some(account) = account {
            info.connect_info = true;
            info.remote_account = account.name.clone();
        }
        info.encode_line()
    }
}

/// Where clients of other brokers may come to.
fn client_url(info: &ServerInfo) -> String {
    let is_any = info.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    match own_address().filter(|_| is_any) {
        Some(ip) => host_port(&ip.to_string(), info.port),
        None => host_port(&info.host, info.port),
    }
}

/// The address this computer has towards others. Nothing is sent to find out.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for examples (RFC 5737), any port.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// A host and a port in one word.
fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn server_info(settings: &Settings, local: SocketAddr) -> ServerInfo {
    let (host, port) =
        settings.advertise.clone().unwrap_or_else(|| (local.ip().to_string(), local.port()));
    ServerInfo {
        server_id: server_id(),
        server_name: settings.server_name.clone(),
        version: NATS_VERSION.to_owned(),
        proto: 1,
        go: "rust".to_owned(),
        host,
        port,
        headers: true,
        tls_required: settings.tls.is_some(),
        tls_verify: settings.tls.is_some() && settings.tls_verify,
        max_payload: settings.limits.payload_bytes_max as i64,
        cluster: settings.cluster_name.clone(),
        choria: Some(ChoriaInfo { version: env!("CARGO_PKG_VERSION").to_owned() }),
        ..ServerInfo::default()
    }
}

/// A new name of 56 characters in the form of a NATS server key.
fn server_id() -> String {
    let mut bytes = [0u8; 35];
    crate::crypto::random::fill(&mut bytes);
    let mut id = BASE32_NOPAD.encode(&bytes);
    id.replace_range(..1, "N");
    id
}

/// One event loop's means for the time it serves a connection.
#[derive(Debug)]
pub(super) struct Context {
    pub shared: Arc<Shared>,
    pub settings: Arc<Settings>,
    pub home: Arc<Home>,
    pub router: Router,
    /// The client libraries its connections have.
    pub libraries: Libraries,
    /// What its connections did, by index of the account.
    pub account_reports: Vec<AccountReport>,
    pub now_ms: u64,
    /// Receivers of this turn that have too much waiting.
    pub crowded: Vec<Arc<Link>>,
    /// Own connections whose queues are to be encrypted and sent.
    pub to_pump: Vec<u64>,
}

impl Context {
    pub fn new(shared: Arc<Shared>, home: Arc<Home>) -> Context {
        Context {
            libraries: Libraries::default(),
            account_reports: vec![AccountReport::default(); shared.accounts.iter().count()],
            router: Router::new(shared.accounts.clone(), home.clone(), &shared.homes),
            now_ms: shared.now_ms(),
            settings: shared.settings.clone(),
            shared,
            home,
            crowded: Vec::new(),
            to_pump: Vec::new(),
        }
    }

    /// Sends what is staged, and tells other loops what they must send.
    pub fn flush(&mut self) {
        self.router.stage.flush(self.now_ms);
        let notices = self.router.stage.notices();
        self.crowded.append(&mut notices.crowded);
        self.to_pump.append(&mut notices.to_pump);
    }

    /// What was counted in this turn so far.
    pub fn counted(&self) -> Traffic {
        let tally = &self.router.tally;
        Traffic {
            in_messages: tally.in_messages,
            in_bytes: tally.in_bytes,
            out_messages: tally.out_messages,
            out_bytes: tally.out_bytes,
        }
    }

    /// Makes what was counted visible.
    pub fn publish_counts(&mut self) {
        let tally = std::mem::take(&mut self.router.tally);
        let counters = &self.home.counters;
        add(&counters.in_messages, tally.in_messages);
        add(&counters.in_bytes, tally.in_bytes);
        add(&counters.out_messages, tally.out_messages);
        add(&counters.out_bytes, tally.out_bytes);
    }
}
