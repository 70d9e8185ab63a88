//! What stands between the bytes of a socket and those of the protocol.

use std::sync::Arc;

use rustls::ServerConfig;

use super::end::{End, Reason};
use super::link::Link;
use super::tls::Tls;
use crate::net;

/// The way bytes travel.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain,
    /// Encrypted, by the event loop of the connection.
    Tls(Box<Tls>),
}

/// What came of bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// More may come.
    Open,
    /// The peer said that nothing follows.
    Ended,
}

impl Transport {
    /// TLS when there is a configuration for it.
    pub fn new(config: Option<Arc<ServerConfig>>) -> Result<Transport, rustls::Error> {
        Ok(match config {
            Some(config) => Transport::Tls(Box::new(Tls::new(config)?)),
            None => Transport::Plain,
        })
    }

    /// Whether the bytes are good as they are.
    pub fn is_plain(&self) -> bool {
        matches!(self, Transport::Plain)
    }

    /// Whether protocol bytes can come and go.
    pub fn is_ready(&self) -> bool {
        match self {
            Transport::Plain => true,
            Transport::Tls(tls) => !tls.is_handshaking(),
        }
    }

    /// Puts what came before and is not complete at the start of a buffer into which more is going to be read; returns
    /// how many bytes that are.
    pub fn put_partial(&self, buffer: &mut [u8]) -> usize {
        match self {
            Transport::Plain => 0,
            Transport::Tls(tls) => tls.put_partial(buffer),
        }
    }

    /// Turns what was read into bytes of the protocol, appended to `plain`. Not for plain connections.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        link: &Link,
        now_ms: u64,
    ) -> Result<Received, End> {
        let Transport::Tls(tls) = self else {
            plain.extend_from_slice(input);
            return Ok(Received::Open);
        };
        let received = tls.receive(input, plain);
        // Also after a failure: the peer is told what was wrong with its handshake.
        if received.is_err() || tls.wants_write() {
            tls.pump(link, now_ms);
        }
        match received {
            Ok(true) => Ok(Received::Ended),
            Ok(false) => Ok(Received::Open),
            Err(error) => Err(End::silent(Reason::Tls(net::tls::describe(&error)))),
        }
    }

    /// Sends what waits in the queue of the link, as far as the socket takes it.
    pub fn send_queue(&mut self, link: &Link, now_ms: u64) {
        match self {
            Transport::Plain => link.drain(now_ms),
            Transport::Tls(tls) => tls.pump(link, now_ms),
        }
    }

    /// Says good-bye once everything was sent; false when something still waits.
    pub fn end(&mut self, link: &Link) -> bool {
        if let Transport::Tls(tls) = self {
            if tls.wants_write() {
                return false;
            }
            tls.end();
            tls.pump(link, 0);
        }
        true
    }

    /// The certificate the peer proved to have, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Transport::Plain => None,
            Transport::Tls(tls) => tls.peer_certificate(),
        }
    }
}
