//! What can go wrong between this process and its broker.

use std::fmt;

use crate::net::servers::Server;

/// The kind of an [`Error`], for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No broker is configured or found.
    NoServers,
    /// The host name gave no address.
    Resolve,
    /// No TCP connection, or it broke.
    Io,
    /// The TLS handshake failed, or a certificate was refused by either side.
    Tls,
    /// TLS is wanted here and the broker offers none.
    TlsNotOffered,
    /// The broker demands TLS and none is configured.
    TlsRequired,
    /// The address needs a transport that is not supported.
    Unsupported,
    /// Something did not happen in time.
    TimedOut,
    /// The broker refused our credentials, or they ended.
    Authorization,
    /// There is nothing to log in with: a token is missing or has ended.
    Credentials,
    /// The broker accepts no more connections.
    MaxConnections,
    /// Either side saw no life on the connection.
    Stale,
    /// The broker ended the connection with another `-ERR`.
    Refused,
    /// The broker sent what is not NATS.
    Protocol,
    /// The connection was lost before an answer came.
    Disconnected,
    /// The client was closed.
    Closed,
    /// There is no connection and the buffer for that time is full.
    BufferFull,
    /// The message is larger than the broker takes.
    PayloadTooLarge,
    /// Not a subject that can be used so.
    InvalidSubject,
    /// The broker understands no headers.
    HeadersUnsupported,
    /// Nobody listens for the request.
    NoResponders,
}

/// A failure, with its context in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Puts the broker it happened with in front.
    pub(super) fn connecting_to(self, server: &Server) -> Self {
        Self { kind: self.kind, text: format!("cannot connect to {server}: {}", self.text) }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Trying the same broker again soon will give the same result.
    pub fn is_final(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Authorization
                | ErrorKind::Credentials
                | ErrorKind::Tls
                | ErrorKind::TlsNotOffered
                | ErrorKind::TlsRequired
                | ErrorKind::Unsupported
        )
    }

    /// Reads the text of an `-ERR` that ends a connection.
    pub(super) fn from_broker(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let kind = match lower.as_str() {
            "authorization violation"
            | "authentication timeout"
            | "user authentication expired"
            | "user authentication revoked"
            | "account authentication expired" => ErrorKind::Authorization,
            "maximum connections exceeded" | "maximum account active connections exceeded" => {
                ErrorKind::MaxConnections
            }
            "stale connection" => ErrorKind::Stale,
            "secure connection - tls required" => ErrorKind::TlsRequired,
            _ => ErrorKind::Refused,
        };
        // The text comes from the network and goes to logs.
        let shown = crate::util::text::brief(text, 256);
        Self::new(kind, format!("the broker says '{shown}'"))
    }

    pub(super) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the connection to the broker is closed")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_broker_are_told_apart() {
        let check = |text: &str, kind| assert_eq!(Error::from_broker(text).kind(), kind, "{text}");
        check("Authorization Violation", ErrorKind::Authorization);
        check("User Authentication Expired", ErrorKind::Authorization);
        check("account authentication expired", ErrorKind::Authorization);
        check("Stale Connection", ErrorKind::Stale);
        check("maximum connections exceeded", ErrorKind::MaxConnections);
        check("Unknown Protocol Operation", ErrorKind::Refused);
        check("", ErrorKind::Refused);
        let error = Error::from_broker("a\nb\u{1b}[31m").connecting_to(&Server::nats("b1", 4222));
        assert_eq!(error.to_string(), "cannot connect to nats://b1:4222: the broker says 'ab[31m'");
    }
}
