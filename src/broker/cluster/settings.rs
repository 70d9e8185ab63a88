//! Everything that can be set about the routes of a broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::nats::codec::Limits;
use crate::net::servers::ServerList;
use crate::util::secret::Secret;

/// How a broker finds the others of its cluster, and what it takes from them. Start from [`ClusterSettings::new`].
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Address other brokers dial; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The configured brokers. This one may be among them.
    pub peers: ServerList,
    /// Whether there is a cluster at all is known only when `peers` were looked up: nothing is listened on before.
    pub only_with_peers: bool,
    /// Host and port that other brokers are told to dial instead of where the connection came from.
    pub advertise: Option<(String, u16)>,
    /// User name that is demanded and given; none is demanded when it is empty.
    pub user: String,
    /// Password for it.
    pub password: Secret<String>,
    /// With it every route is encrypted, and both ends prove who they are. The certificate of the one who dials must be
    /// that of a peer, unless a password is demanded.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Clients are told the addresses of all brokers of the cluster.
    pub advertise_clients: bool,
    /// Sizes of control lines and messages of other brokers.
    pub limits: Limits,
    /// Subjects, each with or without a queue group, that one other broker may want.
    pub interests_max: usize,
    /// Brokers that this one is connected to.
    pub routes_max: usize,
    /// Brokers that are dialled because another one told of them.
    pub told_max: usize,
    /// Time to connect.
    pub dial_timeout: Duration,
    /// Time between attempts to connect.
    pub retry: Duration,
    /// Time between PINGs.
    pub ping_interval: Duration,
}

impl ClusterSettings {
    /// Routes in clear with these peers, which listen at `listen`.
    pub fn new(listen: SocketAddr, peers: ServerList) -> ClusterSettings {
        ClusterSettings {
            listen,
            peers,
            only_with_peers: false,
            advertise: None,
            user: String::new(),
            password: Secret::default(),
            tls: None,
            advertise_clients: false,
            limits: Limits {
                // 16 times what a client may send, as in nats-server.
                control_line_bytes_max: 16 * 4096,
                json_line_bytes_max: 64 * 1024,
                // What nats-server advises as the largest message.
                payload_bytes_max: 8 * 1024 * 1024,
            },
            interests_max: 2_000_000,
            routes_max: 64,
            told_max: 64,
            dial_timeout: Duration::from_secs(1),
            retry: Duration::from_secs(1),
            ping_interval: Duration::from_secs(30),
        }
    }
}
