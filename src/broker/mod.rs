//! The message router: NATS client protocol over per-core event loops.
//!
//! # The life of a message
//!
//! `shard` is one event loop. It reads a `connection` into a buffer that all its connections share, `transport` takes
//! the encryption off, `protocol` says what is spoken on it, `session` decodes the operations of a client and `cluster` those
//! of another broker, `router` finds the receivers, `stage` collects bytes for each receiver, and at the end of the turn `link`
//! writes them to the receivers' sockets, whichever loop these belong to. What a socket does not take waits in the link's
//! queue, and the owner of the connection goes on when there is room. Two short cuts go from the router straight to the
//! link: `run` for many messages on one subject, `letter` for one message to many receivers; when those are very many, all
//! loops send it together (`cast`).
//!
//! # Rules
//!
//! * A connection is read, decoded and closed by its own loop only. Others touch its `Link` and nothing else.
//! * A link's lock guards state, never a system call. It may be taken while the tables of interest or the list of routes
//!   are locked, which happens only for lines about interest and brokers on routes; nothing is locked while a link is,
//!   but the mail of its loop.
//! * Nothing outlives its connection by raw pointer: what is staged holds the link, and a closed link takes no bytes.
//! * TLS connections are encrypted by their own loop: others append plain text to the queue and leave mail. The same way is
//!   used for plain connections when a message goes to many, so that all loops share the writing.
//! * A TLS session belongs to its loop or, while its handshake is worked on, to a thread of the handshake pool; never to
//!   both. These threads touch no sockets.
//! * An idle connection owns no buffer: decoder, queue and stage give theirs back.
//! * Counters are written by one loop only and added up by whoever asks.
//! * Results of look-ups are kept per loop and compared with a stamp of the interest before use.
//! * Producers whose receivers cannot follow are not read for a while, those that only answer never are.
//! * A panic while a connection is served costs that connection.
//!
//! Order is kept from each publishing connection to each receiving one: a publisher is read by one loop, which stages
//! in order, and a link is written by one writer at a time. What is sent without being staged is so only if nothing is
//! staged for that receiver, and a loop that was helped goes on when its helpers are done.

pub mod access;
mod account;
mod cast;
mod cluster;
mod connection;
mod end;
mod endpoint;
mod groups;
mod hash;
mod home;
mod interest;
mod letter;
mod link;
mod listeners;
mod login;
mod monitor;
mod permissions;
mod pool;
mod protocol;
mod router;
mod run;
mod session;
mod settings;
mod shard;
mod shared;
mod slab;
mod stage;
mod subs;
mod terms;
mod timers;
mod tls;
mod transport;
mod waiting;
pub mod websocket;
mod word;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use cluster::{ClusterSettings, RouteReport};
pub use login::BadAccess;
pub use monitor::{
    AccountReport, CertificateReport, ConnectionQuery, ConnectionReport, ConnectionState, Detail,
    Event, Library, Lookups, Observer, Order, Page, ServerStamp, SubscriptionQuery,
    SubscriptionReport, Traffic,
};
pub use settings::{Import, Settings, TlsFirst, WebSocket};

use crate::sys;
use access::Access;
use cluster::Dialler;
use home::{Bounds, Home, Indexes, Mail};
use listeners::{Kind, Listeners};
use pool::Pool;
use shard::Shard;
use shared::Shared;
use waiting::Waiting;

/// Why a broker cannot start.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread or no event queue.
    System(io::Error),
    /// The settings about who may come in contradict themselves.
    Access(BadAccess),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Error::Access(source) => write!(f, "cannot decide who may come in: {source}"),
            Error::System(source) => write!(f, "cannot start the event loops: {source}"),
        }
    }
}

impl std::error::Error for Error {}

/// A running broker. Dropping it stops it without waiting for connections.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    local: SocketAddr,
    websocket: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    dialler: Option<Dialler>,
}

/// What a broker did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that are open, admitted or not.
    pub connections: u64,
    /// Connections that authenticated.
    pub admitted: u64,
    /// Connections since the start.
    pub total_connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Messages from clients.
    pub in_messages: u64,
    /// Bytes of their headers and payloads.
    pub in_bytes: u64,
    /// Messages to clients.
    pub out_messages: u64,
    /// Bytes of their headers and payloads.
    pub out_bytes: u64,
    /// Bytes that wait for receivers now.
    pub waiting_bytes: u64,
    /// Connections closed because they did not keep up.
    pub slow_consumers: u64,
    /// Connections closed because they did not answer PINGs.
    pub stale_connections: u64,
    /// Connections that were not let in.
    pub refused: u64,
    /// Connections closed by a fault of ours.
    pub panics: u64,
}

impl Broker {
    /// Listens and starts the event loops.
    pub fn start(settings: Settings) -> Result<Broker, Error> {
        let mut listeners = Listeners::default();
        let mut listen = |address, kind| {
            let listener = sys::listen(address, settings.backlog)
                .map_err(|source| Error::Listen { address, source })?;
            let local = listener.local_addr().map_err(Error::System)?;
            listeners.add(listener, kind);
            Ok::<_, Error>(local)
        };
        let local = listen(settings.listen, Kind::Client)?;
        let websocket = match &settings.websocket {
            Some(websocket) => Some(listen(websocket.listen, Kind::WebSocket)?),
            None => None,
        };
        let homes = homes(&settings).map_err(Error::System)?;
        let shared = Shared::new(settings, local, homes).map(Arc::new).map_err(Error::Access)?;
        let mut broker =
            Broker { shared: shared.clone(), local, websocket, threads: Vec::new(), dialler: None };
        if let Some(cluster) = shared.cluster.as_ref().filter(|c| !c.settings.only_with_peers) {
            let address = cluster.settings.listen;
            let listener = sys::listen(address, shared.settings.backlog)
                .map_err(|source| Error::Listen { address, source })?;
            cluster.set_local(listener.local_addr().map_err(Error::System)?);
            listeners.add(listener, Kind::Route);
        }
        for (index, home) in shared.homes.iter().enumerate() {
            let (shared, home) = (shared.clone(), home.clone());
            // The first loop has the listeners.
            let listeners = std::mem::take(&mut listeners);
            listeners.register(&home).map_err(Error::System)?;
            let thread = std::thread::Builder::new()
                .name(format!("broker-{index}"))
                .spawn(move || run_loop(shared, home, listeners))
                .map_err(Error::System)?;
            broker.threads.push(thread);
        }
        if let Some(cluster) = &shared.cluster {
            let dialler = Dialler::start(shared.clone(), cluster.clone());
            broker.dialler = Some(dialler.map_err(Error::System)?);
        }
        log::debug!("broker: listening address={local} threads={}", shared.homes.len());
        Ok(broker)
    }

    /// Whether an event loop ended by a fault of ours. Its connections are lost, and so is a part of all new ones: the
    /// broker should be ended.
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Relaxed)
    }

    /// The address it listens on, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the port for WebSockets, if there is one.
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.websocket
    }

    /// The address it listens on for other brokers, as soon as it does.
    pub fn cluster_addr(&self) -> Option<SocketAddr> {
        self.observer().cluster_addr()
    }

    /// The routes that are up.
    pub fn routes(&self) -> Vec<RouteReport> {
        self.observer().routes()
    }

    /// A connection of this process with full rights in an account, which speaks the client protocol from INFO on.
    /// Fails when there is no such account.
    pub fn attach(&self, account: &str) -> io::Result<UnixStream> {
        self.shared.attach(account)
    }

    /// Lets in by other rules from now on, live connections included: they get their new rights, or are closed when they
    /// would not be let in any more, and lose subscriptions they may not have any more. Accounts cannot be added.
    pub fn reload_access(&self, access: &Access) -> Result<(), BadAccess> {
        self.shared.set_access(access)?;
        self.tell(|| Mail::Readmit);
        Ok(())
    }

    /// Goes on with other settings, as far as they can change while it runs ([`Settings::reloaded`]). Live connections
    /// get their new rights as with [`Broker::reload_access`]; certificates and the time for logging in count for new
    /// ones. With an error nothing is changed.
    pub fn reload(&self, settings: &Settings) -> Result<(), BadAccess> {
        self.shared.set_access(&settings.access)?;
        let settings = self.shared.reloaded(settings);
        self.tell(|| Mail::Reload(settings.clone()));
        Ok(())
    }

    /// Stops accepting, tells clients to go elsewhere, and closes their connections little by little.
    pub fn lame_duck(&self) {
        log::info!("broker: entering lame duck mode");
        self.shared.is_lame.store(true, Ordering::Relaxed);
        self.tell(|| Mail::LameDuck);
    }

    /// Stops accepting, sends what waits, closes every connection and ends the threads, all `within` the given time.
    pub fn shutdown(mut self, within: Duration) {
        self.stop(within);
        log::info!("broker: stopped");
    }

    fn stop(&mut self, within: Duration) {
        let within_ms = within.as_millis() as u64;
        self.dialler = None;
        self.tell(|| Mail::Stop { within_ms });
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("broker: an event loop had failed");
            }
        }
        self.shared.handshakes.stop();
    }

    fn tell(&self, mail: impl Fn() -> Mail) {
        for home in &self.shared.homes {
            home.post(mail());
        }
    }

    /// What it did so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// A view on it for those that report.
    pub fn observer(&self) -> Observer {
        Observer::new(self.shared.clone())
    }
}

/// Runs one event loop; a loop that ends too early is made known.
fn run_loop(shared: Arc<Shared>, home: Arc<Home>, listeners: Listeners) {
    let own = shared.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| Shard::new(own, home, listeners).run()));
    if !matches!(outcome, Ok(true)) {
        shared.has_failed.store(true, Ordering::Relaxed);
        log::error!("broker: an event loop failed");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn homes(settings: &Settings) -> io::Result<Vec<Arc<Home>>> {
    let threads = match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let bounds =
        Bounds { pending_bytes_max: settings.pending_bytes_max, pause_bytes: settings.pause_bytes };
    let (indexes, pool) = (Arc::new(Indexes::default()), Arc::new(Pool::default()));
    let waiting = Arc::new(Waiting::new(settings.waiting_bytes_max));
    let home = || Home::new(bounds, indexes.clone(), pool.clone(), waiting.clone());
    (0..threads).map(|_| home().map(Arc::new)).collect()
}
