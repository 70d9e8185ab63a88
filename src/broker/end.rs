//! Why connections end.

use std::borrow::Cow;
use std::fmt;

use super::cluster;
use super::link::Failure;
use super::websocket;
use crate::nats::codec::Fault;

/// The end of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub reason: Reason,
    /// What the peer is told before; clients know these texts and act on them.
    pub say: Option<Cow<'static, str>>,
}

/// Why a connection ended, for the log and the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    ClientClosed,
    ClientError(String),
    Socket(std::io::ErrorKind),
    SlowConsumer(Failure),
    Protocol(Fault),
    BadJson,
    BadOptions,
    HeadersNotAgreed,
    Refused(Cow<'static, str>),
    /// Its token has expired.
    LoginExpired,
    TooManyConnections,
    AuthTimeout,
    TlsTimeout,
    /// Too many others were before it.
    TlsWait,
    Tls(String),
    /// It did not ask for a WebSocket in time.
    UpgradeTimeout,
    /// It asked for something else.
    Upgrade(&'static str),
    WebSocket(websocket::frame::Fault),
    Stale,
    /// It did not authenticate, and newer connections need the room.
    Displaced,
    /// What only routes end by.
    Route(cluster::Fault),
    LameDuck,
    Shutdown,
    Panic,
}

impl Reason {
    /// What nats-server calls it (`server/monitor.go`, ClosedState); tools compare these words.
    pub fn words(&self) -> &'static str {
        match self {
            Reason::ClientClosed | Reason::ClientError(_) => "Client Closed",
            Reason::Socket(_) => "Read Error",
            Reason::SlowConsumer(Failure::PendingBytes) => "Slow Consumer (Pending Bytes)",
            Reason::SlowConsumer(Failure::WriteDeadline) => "Slow Consumer (Write Deadline)",
            Reason::SlowConsumer(Failure::Socket(_)) => "Write Error",
            Reason::Protocol(Fault::ControlLineTooLong { .. }) => "Maximum Control Line Exceeded",
            Reason::Protocol(Fault::PayloadTooLarge { .. }) => "Maximum Message Payload Exceeded",
            Reason::Protocol(_) => "Parse Error",
            Reason::BadJson => "Protocol Violation",
            Reason::BadOptions => "Bad Client Protocol Version",
            Reason::HeadersNotAgreed => "Message Header Violation",
            Reason::Refused(_) => "Authentication Failure",
            Reason::LoginExpired => "Authentication Expired",
            Reason::Route(fault) => fault.words(),
            Reason::TooManyConnections => "Maximum Connections Exceeded",
            Reason::AuthTimeout | Reason::Displaced => "Authentication Timeout",
            Reason::TlsTimeout | Reason::TlsWait | Reason::Tls(_) => "TLS Handshake Failure",
            Reason::UpgradeTimeout | Reason::Upgrade(_) | Reason::WebSocket(_) => {
                "Protocol Violation"
            }
            Reason::Stale => "Stale Connection",
            Reason::LameDuck | Reason::Shutdown => "Server Shutdown",
            Reason::Panic => "Internal Client",
        }
    }
}

impl End {
    pub fn silent(reason: Reason) -> End {
        End { reason, say: None }
    }

    pub fn told(reason: Reason, text: &'static str) -> End {
        End { reason, say: Some(Cow::Borrowed(text)) }
    }

    pub fn refused(why: impl Into<Cow<'static, str>>) -> End {
        End::told(Reason::Refused(why.into()), "Authorization Violation")
    }

    /// The end of a connection whose token has expired; clients connect again with the token they have then.
    pub fn expired() -> End {
        End::told(Reason::LoginExpired, "User Authentication Expired")
    }

    /// The end of a connection whose sending side failed.
    pub fn failed(failure: Failure) -> End {
        End::silent(match failure {
            Failure::Socket(kind) => Reason::Socket(kind),
            Failure::PendingBytes | Failure::WriteDeadline => Reason::SlowConsumer(failure),
        })
    }

    /// Whether the peer gets the time to read what was sent to it.
    pub fn is_graceful(&self) -> bool {
        !matches!(
            self.reason,
            Reason::ClientClosed
                | Reason::Socket(_)
                | Reason::SlowConsumer(_)
                | Reason::TlsTimeout
                | Reason::TlsWait
                | Reason::UpgradeTimeout
                | Reason::Displaced
                | Reason::Panic
        )
    }
}

impl From<websocket::frame::Fault> for End {
    fn from(fault: websocket::frame::Fault) -> End {
        End::silent(Reason::WebSocket(fault))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ClientClosed => write!(f, "client closed"),
            Reason::ClientError(text) => write!(f, "client reported an error: {text:?}"),
            Reason::Socket(kind) => write!(f, "connection failed: {kind}"),
            Reason::SlowConsumer(Failure::PendingBytes) => {
                write!(f, "slow consumer: too many bytes wait for it")
            }
            Reason::SlowConsumer(_) => {
                write!(f, "slow consumer: it took nothing within the write deadline")
            }
            Reason::Protocol(fault) => write!(f, "protocol violation: {fault}"),
            Reason::BadJson => write!(f, "protocol violation: bad JSON"),
            Reason::BadOptions => write!(f, "unusable CONNECT options"),
            Reason::HeadersNotAgreed => write!(f, "headers were sent without being agreed on"),
            Reason::Refused(why) => write!(f, "authorization violation: {why}"),
            Reason::LoginExpired => write!(f, "its token has expired"),
            Reason::TooManyConnections => write!(f, "maximum connections exceeded"),
            Reason::AuthTimeout => write!(f, "authentication timeout"),
            Reason::TlsTimeout => write!(f, "TLS handshake timeout"),
            Reason::TlsWait => write!(f, "no turn for its TLS handshake in time"),
            Reason::Tls(error) => write!(f, "TLS failed: {error}"),
            Reason::UpgradeTimeout => write!(f, "WebSocket handshake timeout"),
            Reason::Upgrade(why) => write!(f, "WebSocket refused: {why}"),
            Reason::WebSocket(fault) => write!(f, "WebSocket protocol violation: {fault}"),
            Reason::Stale => write!(f, "stale connection"),
            Reason::Displaced => write!(f, "not authenticated while newer connections waited"),
            Reason::Route(fault) => fault.fmt(f),
            Reason::LameDuck => write!(f, "broker is in lame duck mode"),
            Reason::Shutdown => write!(f, "broker stops"),
            Reason::Panic => write!(f, "internal error"),
        }
    }
}
