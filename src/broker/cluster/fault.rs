//! Why routes end, besides what ends any connection.

use std::fmt;

/// What was wrong with the other broker, or with having a route to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) enum Fault {
    /// Both ends are this broker: it is among its own peers.
    Own,
    /// There is a route to it already.
    Duplicate,
    /// It belongs to another cluster.
    OtherCluster(String),
    /// A client dialled the port of routes.
    Client,
    /// A gateway dialled it.
    Gateway(String),
    /// It wants a connection for one account.
    AccountRoute(String),
    /// Its certificate is not that of a peer.
    NotAPeer,
    /// It gave no user and password, or others.
    Credentials,
    /// It sent something before CONNECT or INFO.
    Order,
    /// Its INFO or CONNECT cannot be used.
    BadInfo(&'static str),
    /// There are too many routes.
    TooMany,
    /// It wants too many subjects.
    TooMuchInterest,
    /// It reported an error.
    Told(String),
    /// It does not speak TLS.
    PlainText,
    /// It speaks TLS.
    Encrypted,
}

impl Fault {
    /// Nothing is wrong: this happens in every cluster.
    pub fn is_usual(&self) -> bool {
        matches!(self, Fault::Own | Fault::Duplicate)
    }

    /// What nats-server calls it (`server/monitor.go`, ClosedState).
    pub fn words(&self) -> &'static str {
        match self {
            Fault::Own | Fault::Duplicate => "Duplicate Route",
            Fault::OtherCluster(_) => "Cluster Name Conflict",
            Fault::Client | Fault::Gateway(_) => "Incorrect Port",
            Fault::NotAPeer | Fault::Credentials => "Authentication Failure",
            Fault::PlainText | Fault::Encrypted => "TLS Handshake Failure",
            Fault::TooMany => "Maximum Connections Exceeded",
            Fault::TooMuchInterest => "Maximum Subscriptions Exceeded",
            Fault::AccountRoute(_) | Fault::Order | Fault::BadInfo(_) | Fault::Told(_) => {
                "Protocol Violation"
            }
        }
    }

    /// What the peer is told; texts by nats-server `server/errors.go` and `server/route.go`.
    pub fn answer(&self, cluster: &str) -> Option<String> {
        Some(match self {
            Fault::OtherCluster(theirs) => format!(
                "Rejecting connection, cluster name \"{theirs}\" does not match \"{cluster}\""
            ),
            Fault::Client => "attempted to connect to route port".to_owned(),
            Fault::Gateway(name) => {
                format!("Rejecting connection from gateway \"{name}\" on the Route port")
            }
            Fault::AccountRoute(account) => format!(
                "Not possible to have a dedicated route for account \"{account}\" between those servers"
            ),
            Fault::NotAPeer | Fault::Credentials | Fault::Order => {
                "Authorization Violation".to_owned()
            }
            Fault::TooMuchInterest => "maximum subscriptions exceeded".to_owned(),
            Fault::TooMany => "maximum connections exceeded".to_owned(),
            Fault::Own
            | Fault::Duplicate
            | Fault::BadInfo(_)
            | Fault::Told(_)
            | Fault::PlainText
            | Fault::Encrypted => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Own => write!(f, "the route leads back to this broker"),
            Fault::Duplicate => write!(f, "there is a route to this broker already"),
            Fault::OtherCluster(theirs) => write!(f, "it belongs to the cluster {theirs:?}"),
            Fault::Client => write!(f, "a client dialled the port for brokers"),
            Fault::Gateway(name) => write!(f, "the gateway {name:?} dialled the port for brokers"),
            Fault::AccountRoute(account) => {
                write!(f, "it wants a route of its own for the account {account:?}")
            }
            Fault::NotAPeer => write!(
                f,
                "its certificate is not that of a peer: name it in plugin.choria.network.peers, or \
                 set plugin.choria.network.peer_user and peer_password on all brokers"
            ),
            Fault::Credentials => write!(
                f,
                "wrong user or password: plugin.choria.network.peer_user and peer_password must be \
                 the same on all brokers"
            ),
            Fault::Order => write!(f, "something came before CONNECT and INFO"),
            Fault::BadInfo(what) => write!(f, "unusable INFO or CONNECT: {what}"),
            Fault::TooMany => write!(f, "too many routes"),
            Fault::TooMuchInterest => write!(f, "it wants too many subjects"),
            Fault::Told(text) => write!(f, "the other broker reported {text:?}"),
            Fault::PlainText => write!(
                f,
                "the other broker does not use TLS between brokers: set \
                 plugin.choria.network.peer_tls = false here to allow that, as brokers of the \
                 original Choria need it"
            ),
            Fault::Encrypted => write!(
                f,
                "the other broker uses TLS between brokers: plugin.choria.network.peer_tls must be \
                 the same on all brokers"
            ),
        }
    }
}
