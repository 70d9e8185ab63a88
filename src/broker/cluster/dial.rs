//! The thread that connects to other brokers.
//!
//! A configured broker is dialled for ever, its name looked up each time. One that somebody told of is dialled for a
//! while after it was lost. A socket goes to an event loop together with a [`Ticket`], by which this thread learns what
//! became of it.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_io::Async;
use smol::future::FutureExt as _;
use smol::{LocalExecutor, Task, Timer};

use super::{ClientTls, Cluster, Fault};
use crate::broker::home::{Mail, lock};
use crate::broker::listeners::{Incoming, Kind};
use crate::broker::shared::Shared;
use crate::net::dial::{DialError, dial, dial_address};
use crate::net::servers::Server;
use crate::net::tls::TlsError;
use crate::sys;

/// Time after which a broker that turned out to be this one is dialled again: its name may lead elsewhere by then.
const OWN_PAUSE: Duration = Duration::from_secs(60);
/// Time between looks whether there still is another route to the same broker.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Longest random time before a route is dialled again, so that two brokers that dial each other do not do it together.
const SPREAD_MS: u64 = 100;
/// A broker that does not agree is dialled less and less often, up to this many times the usual pause.
const REFUSALS_MAX: u32 = 10;
/// Time between lines about a broker that cannot be reached.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);
/// Attempts to reach a broker that somebody told of; each waits longer, up to [`TOLD_PAUSE_MAX`].
const TOLD_ATTEMPTS: u32 = 60;
/// Longest time between such attempts.
const TOLD_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Attempts to look up the peers of a broker that may have none.
const LOOKUPS: u32 = 5;

/// A broker that somebody told of.
#[derive(Debug)]
pub(super) struct Order {
    pub address: SocketAddr,
    pub name: String,
    pub id: String,
}

/// What became of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a route to the broker of this id.
    Up(String),
    /// There is another route to the broker of this id.
    Duplicate(String),
    /// It leads to this broker.
    Own,
    /// The peers do not agree.
    Refused,
}

/// The way back to the dialler. When it is dropped the route is gone.
#[derive(Debug)]
pub(in crate::broker) struct Ticket {
    outcome: flume::Sender<Outcome>,
    /// The broker stands in the configuration.
    pub is_configured: bool,
}

impl Ticket {
    pub(super) fn report(&self, outcome: Outcome) {
        // There is room for the only report, and a dialler that is gone does not care.
        let _ = self.outcome.try_send(outcome);
    }
}

/// A socket to another broker, for an event loop.
#[derive(Debug)]
pub(in crate::broker) struct Dialled {
    pub incoming: Incoming,
    pub ticket: Ticket,
    /// The encryption they agreed on.
    pub tls: Option<Box<ClientTls>>,
}

/// The running thread. Dropping it ends it.
#[derive(Debug)]
pub(in crate::broker) struct Dialler {
    stop: Option<flume::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dialler {
    pub fn start(shared: Arc<Shared>, cluster: Arc<Cluster>) -> std::io::Result<Dialler> {
        let (stop, stopped) = flume::bounded::<()>(0);
        let thread =
            std::thread::Builder::new().name("broker-dial".to_owned()).spawn(move || {
                let executor = LocalExecutor::new();
                let work = async {
                    serve(&executor, &shared, &cluster).await;
                    std::future::pending::<()>().await;
                };
                // Its only message is the end of the channel.
                let end = async { _ = stopped.recv_async().await };
                smol::block_on(executor.run(work.or(end)));
            })?;
        Ok(Dialler { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("cluster: the dialling thread had failed");
        }
    }
}

/// Looks up the peers, dials each, and goes on with those that others tell of.
async fn serve(executor: &LocalExecutor<'_>, shared: &Arc<Shared>, cluster: &Arc<Cluster>) {
    let dial_peers = async {
        let peers = find_peers(shared, cluster).await;
        let names = peers.iter().map(|peer| peer.host.clone()).collect();
        lock(&cluster.registry).set_peer_names(names);
        for peer in peers {
            executor.spawn(keep_dialling(shared.clone(), cluster.clone(), peer)).detach();
        }
    };
    smol::future::zip(dial_peers, dial_those_told_of(executor, shared, cluster)).await;
}

async fn dial_those_told_of(
    executor: &LocalExecutor<'_>,
    shared: &Arc<Shared>,
    cluster: &Arc<Cluster>,
) {
    let mut told: HashMap<SocketAddr, Task<()>> = HashMap::new();
    while let Ok(order) = cluster.taken_orders.recv_async().await {
        told.retain(|_, task| !task.is_finished());
        if told.len() >= cluster.settings.told_max || told.contains_key(&order.address) {
            continue;
        }
        let address = order.address;
        let task = executor.spawn(dial_told(shared.clone(), cluster.clone(), order));
        told.insert(address, task);
    }
}

/// The peers, once they are known.
async fn find_peers(shared: &Shared, cluster: &Cluster) -> Vec<Server> {
    let mut attempts = 0;
    loop {
        match cluster.settings.peers.find().await {
            Ok(found) => {
                if cluster.settings.only_with_peers && !listen(shared, cluster) {
                    return Vec::new();
                }
                return found.servers;
            }
            Err(error) => {
                attempts += 1;
                let is_alone = cluster.settings.only_with_peers && attempts >= LOOKUPS;
                if is_alone || error.lookup.is_none() {
                    log::debug!("cluster: this broker has no peers: {error}");
                    return Vec::new();
                }
                log::debug!("cluster: cannot find the other brokers: {error}");
                Timer::after(cluster.settings.retry * attempts.min(30)).await;
            }
        }
    }
}

/// Begins to listen for other brokers; false when that is not possible.
fn listen(shared: &Shared, cluster: &Cluster) -> bool {
    let address = cluster.settings.listen;
    let listener = match sys::listen(address, shared.settings.backlog) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("cluster: cannot listen for other brokers on {address}: {error}");
            return false;
        }
    };
    let local = listener.local_addr().unwrap_or(address);
    cluster.set_local(local);
    log::info!("cluster: listening for other brokers on {local}");
    if cluster.settings.tls.is_none() {
        log::warn!("cluster: routes are not encrypted");
    }
    if let Some(home) = shared.homes.first() {
        home.post(Mail::Listen(listener, Kind::Route));
    }
    true
}

/// Keeps a route to a configured broker.
async fn keep_dialling(shared: Arc<Shared>, cluster: Arc<Cluster>, peer: Server) {
    let mut complaint: Option<Instant> = None;
    let mut failures = 0;
    let resolver = cluster.settings.peers.resolver().clone();
    loop {
        let deadline = Instant::now() + cluster.settings.dial_timeout;
        let socket = dial(&resolver, &peer.host, peer.port, deadline).await;
        let pause = match encrypt(&shared, &cluster, socket, &peer.host).await {
            Ok(socket) => {
                failures += 1;
                let up = |_: &str| (complaint, failures) = (None, 0);
                let pause = hand_over(&shared, &cluster, socket, true, up).await;
                pause.max(cluster.settings.retry * failures.min(REFUSALS_MAX))
            }
            Err(error) => {
                if complaint.is_none_or(|at| at.elapsed() >= COMPLAINT_PAUSE) {
                    log::warn!("cluster: cannot reach peer={} err={error}", peer.address());
                    complaint = Some(Instant::now());
                }
                cluster.settings.retry
            }
        };
        Timer::after(pause + Duration::from_millis(fastrand::u64(..SPREAD_MS))).await;
    }
}

/// Dials a broker that somebody told of, for as long as that makes sense.
async fn dial_told(shared: Arc<Shared>, cluster: Arc<Cluster>, order: Order) {
    let mut attempts = 0;
    while attempts < TOLD_ATTEMPTS && !cluster.is_connected(&order.id) {
        attempts += 1;
        let mut was_up = false;
        let mut pause = (cluster.settings.retry * attempts).min(TOLD_PAUSE_MAX);
        let socket = dial_address(order.address, cluster.settings.dial_timeout).await;
        match encrypt(&shared, &cluster, socket, &order.name).await {
            Ok(socket) => {
                let up = |_: &str| was_up = true;
                let own_pause = hand_over(&shared, &cluster, socket, false, up).await;
                if own_pause >= OWN_PAUSE {
                    return;
                }
                pause = pause.max(own_pause);
            }
            Err(error) => {
                log::debug!("cluster: cannot reach address={} err={error}", order.address);
            }
        }
        if was_up {
            attempts = 0;
            pause = Duration::ZERO;
        }
        Timer::after(pause + Duration::from_millis(fastrand::u64(..SPREAD_MS))).await;
    }
}

/// A socket, and its encryption when there is one.
type Encrypted = (Async<TcpStream>, Option<Box<ClientTls>>);

/// Shakes hands on a socket, when routes are encrypted; the other side must be the broker of this name.
async fn encrypt(
    shared: &Shared,
    cluster: &Cluster,
    socket: Result<Async<TcpStream>, DialError>,
    name: &str,
) -> Result<Encrypted, String> {
    let socket = socket.map_err(|error| error.to_string())?;
    let Some(config) = cluster.client_tls() else { return Ok((socket, None)) };
    let handshake = ClientTls::connect(config, name, &socket);
    let expire = async {
        Timer::after(shared.settings.tls_timeout).await;
        Err(TlsError::Io(std::io::ErrorKind::TimedOut.into()))
    };
    match handshake.or(expire).await {
        Ok(tls) => Ok((socket, Some(Box::new(tls)))),
        Err(TlsError::Handshake(rustls::Error::InvalidMessage(_))) => {
            Err(Fault::PlainText.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Gives a socket to an event loop and waits until the route is gone; returns how long to wait before the next attempt.
async fn hand_over(
    shared: &Shared,
    cluster: &Cluster,
    (socket, tls): Encrypted,
    is_configured: bool,
    mut up: impl FnMut(&str),
) -> Duration {
    let retry = cluster.settings.retry;
    let Ok(socket) = socket.into_inner() else { return retry };
    let Ok(address) = socket.peer_addr() else { return retry };
    let (outcome, became) = flume::bounded(1);
    let ticket = Ticket { outcome, is_configured };
    let incoming = Incoming { socket, address, kind: Kind::Route };
    let dialled = Dialled { incoming, ticket, tls };
    let homes = &shared.homes;
    let Some(home) = homes.get(fastrand::usize(..homes.len())) else { return retry };
    home.post(Mail::Dialled(Box::new(dialled)));
    match became.recv_async().await {
        Ok(Outcome::Up(id)) => {
            up(&id);
            // Nothing more is reported: this ends with the route.
            let _ = became.recv_async().await;
            Duration::ZERO
        }
        Ok(Outcome::Duplicate(id)) => {
            up(&id);
            while cluster.is_connected(&id) {
                Timer::after(LOOK_PAUSE).await;
            }
            Duration::ZERO
        }
        Ok(Outcome::Own) => OWN_PAUSE,
        Ok(Outcome::Refused) | Err(_) => retry,
    }
}
