//! Everything that can be set about a broker.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::access::Access;
use super::cluster::ClusterSettings;
use crate::nats::codec::Limits;
use crate::security::Authority;
use crate::sys;

/// What a broker listens on, what it says about itself, and every limit it has. Start from [`Settings::default`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the client port; `[::]` takes IPv4 as well, port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Connections the kernel keeps for us until they are accepted.
    pub backlog: i32,
    /// Event loops; 0 means one per core.
    pub threads: usize,
    /// Name in INFO: the identity of the broker.
    pub server_name: String,
    /// Host and port that INFO shows instead of the listening address.
    pub advertise: Option<(String, u16)>,
    /// The other brokers of a cluster; nothing for a broker that stands alone.
    pub cluster: Option<ClusterSettings>,
    /// Cluster name in INFO; never empty in Choria.
    pub cluster_name: String,
    /// Names of the accounts. Connections are in the first unless something else is said about them; they are told
    /// after their first PONG.
    pub accounts: Vec<String>,
    /// Messages that leave their account.
    pub imports: Vec<Import>,
    /// Who may come in, and what they may do.
    pub access: Access,
    /// With it every connection is upgraded to TLS. Without it, and without a list of users, every connection is
    /// admitted: a laboratory.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who vouches for certificates: live connections whose certificate it has revoked are closed when the broker looks at
    /// its connections again.
    pub authority: Option<Arc<Authority>>,
    /// End of the validity of the certificate in it.
    pub certificate_expires: Option<SystemTime>,
    /// Connections whose TLS handshake shows no certificate end with it, and INFO says so.
    pub tls_verify: bool,
    /// Whether INFO comes before or after the TLS handshake.
    pub tls_first: TlsFirst,
    /// The port for WebSockets, with the same TLS.
    pub websocket: Option<WebSocket>,
    /// Sizes of control lines and messages.
    pub limits: Limits,
    /// Admitted connections.
    pub connections_max: usize,
    /// Connections that did not authenticate yet; above it the oldest of them is dropped.
    pub unadmitted_max: usize,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Bytes waiting for one receiver; one more message and it is closed as a slow consumer.
    pub pending_bytes_max: usize,
    /// Bytes that may wait for all connections together before those are closed for which most waits.
    pub waiting_bytes_max: usize,
    /// Bytes waiting for one receiver at which connections that send much to it are no longer read.
    pub pause_bytes: usize,
    /// Longest time such a connection is not read before it may send another piece.
    pub pause_max: Duration,
    /// Time a peer has for each of its steps of the TLS handshake. The time it waits for us does not count.
    pub tls_timeout: Duration,
    /// Time within which a TLS handshake must have had its turn, from the moment it is accepted.
    pub handshake_wait: Duration,
    /// Threads for TLS handshakes; 0 means one per core.
    pub handshake_threads: usize,
    /// TLS handshakes that may wait for their turn; above it no connections are accepted for a while.
    pub handshakes_waiting_max: usize,
    /// Time from then to CONNECT.
    pub auth_timeout: Duration,
    /// Time between PINGs to a quiet connection.
    pub ping_interval: Duration,
    /// Time to the first PING.
    pub first_ping: Duration,
    /// Unanswered PINGs after which a connection is stale.
    pub pings_max: u8,
    /// Time a receiver may take no byte while some are waiting for it.
    pub write_deadline: Duration,
    /// Time a connection that is being closed has to read what it was told.
    pub linger: Duration,
    /// Time between the announcement of a lame duck and the first connection it closes.
    pub lame_duck_grace: Duration,
    /// Time from the announcement to the last connection it closes.
    pub lame_duck_duration: Duration,
}

impl Settings {
    /// These, with what can change while a broker runs taken from `new`: who may come in, certificates, times, and
    /// numbers of connections and subscriptions. TLS is neither switched on nor off.
    pub fn reloaded(&self, new: &Settings) -> Settings {
        let origins = new.websocket.as_ref().map(|websocket| websocket.origins.clone());
        let websocket = self.websocket.clone().map(|websocket| WebSocket {
            origins: origins.unwrap_or_else(|| websocket.origins.clone()),
            ..websocket
        });
        Settings {
            access: new.access.clone(),
            authority: new.authority.clone(),
            tls: self.tls.as_ref().map(|old| new.tls.as_ref().unwrap_or(old).clone()),
            tls_first: new.tls_first,
            websocket,
            connections_max: new.connections_max,
            subscriptions_max: new.subscriptions_max,
            tls_timeout: new.tls_timeout,
            auth_timeout: new.auth_timeout,
            ping_interval: new.ping_interval,
            pings_max: new.pings_max,
            write_deadline: new.write_deadline,
            lame_duck_grace: new.lame_duck_grace,
            lame_duck_duration: new.lame_duck_duration,
            ..self.clone()
        }
    }
}

/// When INFO is sent to a connection that is upgraded to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFirst {
    /// At once and in clear, as all NATS clients expect it.
    No,
    /// After the handshake; nothing is ever sent in clear.
    Yes,
    /// In clear when nothing came for this time, else after the handshake.
    Unless(Duration),
}

/// Messages of one account that subscribers of another get as well, under the same subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The account they are published in.
    pub from: String,
    /// The account of the subscribers.
    pub to: String,
    /// Their subjects.
    pub subject: String,
}

/// Where WebSockets are accepted.
#[derive(Clone, Debug)]
pub struct WebSocket {
    /// Address of the port.
    pub listen: SocketAddr,
    /// Host and port that clients behind it are told.
    pub advertise: Option<(String, u16)>,
    /// Web sites whose pages may connect, as `scheme://host[:port]`; none means all of them.
    pub origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 4222)),
            backlog: 8192,
            threads: 0,
            server_name: String::new(),
            advertise: None,
            cluster: None,
            cluster_name: "CHORIA".to_owned(),
            accounts: ["choria", "system", "provisioning"].map(str::to_owned).to_vec(),
            imports: Vec::new(),
            access: Access::default(),
            tls: None,
            authority: None,
            certificate_expires: None,
            tls_verify: false,
            tls_first: TlsFirst::No,
            websocket: None,
            limits: Limits::default(),
            connections_max: 50_000,
            unadmitted_max: 16_384,
            subscriptions_max: 1_000_000,
            pending_bytes_max: 64 * 1024 * 1024,
            waiting_bytes_max: default_waiting_bytes(),
            pause_bytes: 1024 * 1024,
            pause_max: Duration::from_millis(100),
            tls_timeout: Duration::from_secs(2),
            handshake_wait: Duration::from_secs(60),
            handshake_threads: 0,
            handshakes_waiting_max: 8192,
            auth_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            first_ping: Duration::from_secs(2),
            pings_max: 2,
            write_deadline: Duration::from_secs(10),
            linger: Duration::from_millis(250),
            lame_duck_grace: Duration::from_secs(10),
            lame_duck_duration: Duration::from_secs(120),
        }
    }
}

/// A quarter of the memory of the host, or of what this process may use of it.
fn default_waiting_bytes() -> usize {
    usize::try_from(sys::memory_total() / 4).unwrap_or(usize::MAX)
}
