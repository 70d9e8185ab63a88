//! What stands between the bytes of a socket and those of the protocol.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;

use super::cluster::ClientTls;
use super::end::{End, Reason};
use super::link::Link;
use super::tls::{Handshake, Tls};
use super::websocket::Channel;
use crate::net;

/// Encrypted bytes read at once: more would only need more room for what is in them.
const TLS_READ_BYTES: usize = 128 * 1024;

/// The way bytes travel.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain,
    /// To be encrypted, once the peers agree on the keys.
    Handshake(Box<Handshake>),
    /// Encrypted, by the event loop of the connection.
    Tls(Box<Tls>),
    /// In frames, over TLS or not, made by the event loop of the connection.
    WebSocket(Box<Channel>),
    /// The same after this broker dialled.
    ClientTls(Box<ClientTls>),
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
    /// TLS when there is a configuration for it. `limit_ms`: when a handshake must have had its turn.
    pub fn new(config: Option<Arc<ServerConfig>>, limit_ms: u64) -> Transport {
        match config {
            Some(config) => Transport::Handshake(Box::new(Handshake::new(config, limit_ms))),
            None => Transport::Plain,
        }
    }

    /// The handshake that is under way.
    pub fn handshake(&mut self) -> Option<&mut Handshake> {
        match self {
            Transport::Handshake(handshake) => Some(handshake),
            Transport::Plain
            | Transport::Tls(_)
            | Transport::ClientTls(_)
            | Transport::WebSocket(_) => None,
        }
    }

    /// The TLS session, if there is one and nobody else works on it.
    fn tls(&mut self) -> Option<&mut Tls> {
        match self {
            Transport::Plain | Transport::ClientTls(_) => None,
            Transport::Handshake(handshake) => handshake.session(),
            Transport::Tls(tls) => Some(tls),
            Transport::WebSocket(channel) => channel.tls.as_deref_mut(),
        }
    }

    /// Whether the bytes are good as they are.
    pub fn is_plain(&self) -> bool {
        matches!(self, Transport::Plain)
    }

    /// Puts what came before and is not complete at the start of a buffer into which more is going to be read; returns
    /// how many bytes that are.
    pub fn put_partial(&self, buffer: &mut [u8]) -> usize {
        match self {
            Transport::Plain | Transport::Handshake(_) | Transport::ClientTls(_) => 0,
            Transport::Tls(tls) => tls.put_partial(buffer),
            Transport::WebSocket(channel) => {
                channel.tls.as_ref().map_or(0, |tls| tls.put_partial(buffer))
            }
        }
    }

    /// Bytes that may be read at once.
    pub fn read_bytes_max(&self) -> usize {
        match self {
            Transport::Plain => usize::MAX,
            Transport::WebSocket(channel) => channel.read_bytes_max(),
            Transport::Handshake(_) | Transport::Tls(_) | Transport::ClientTls(_) => TLS_READ_BYTES,
        }
    }

    /// Decrypts what was read and appends it to `plain`: bytes of the protocol, or those of a WebSocket. Not for plain
    /// connections, and not during a handshake.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        link: &Link,
        now_ms: u64,
    ) -> Result<Received, End> {
        if self.handshake().is_some() {
            return Ok(Received::Open);
        }
        let (received, has_more) = if let Transport::ClientTls(tls) = self {
            (tls.receive(input, plain), tls.wants_write())
        } else if let Some(tls) = self.tls() {
            (tls.receive(input, plain), tls.wants_write())
        } else {
            plain.extend_from_slice(input);
            return Ok(Received::Open);
        };
        // Also after a failure: the peer is told what was wrong with its handshake.
        if received.is_err() || has_more {
            self.send_queue(link, now_ms);
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
            Transport::WebSocket(channel) => channel.pump(link, now_ms),
            Transport::ClientTls(tls) => tls.pump(link, now_ms),
            _ => {
                if let Some(tls) = self.tls() {
                    tls.pump(link, now_ms);
                }
            }
        }
    }

    /// Notes why the connection is going to end, where the peer is told in a way of the transport.
    pub fn will_end(&mut self, reason: &Reason) {
        if let Transport::WebSocket(channel) = self {
            channel.will_end(reason);
        }
    }

    /// Sends what it can, and says good-bye, to a peer that ended the session or is given up.
    pub fn farewell(&mut self, link: &Link) {
        if let Some(tls) = self.tls() {
            tls.pump(link, 0);
            tls.end();
            tls.pump(link, 0);
        }
    }

    /// Says good-bye once everything was sent; false when something still waits.
    pub fn end(&mut self, link: &Link) -> bool {
        if let Transport::WebSocket(channel) = self {
            return channel.end(link);
        }
        if let Some(tls) = self.tls() {
            if tls.wants_write() {
                return false;
            }
            tls.end();
            tls.pump(link, 0);
        } else if let Transport::ClientTls(tls) = self {
            if tls.wants_write() {
                return false;
            }
            tls.end();
            tls.pump(link, 0);
        }
        true
    }

    /// Version and cipher suite of TLS as Go names them, once they are agreed on.
    pub fn tls_names(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Transport::Plain | Transport::Handshake(_) | Transport::ClientTls(_) => None,
            Transport::Tls(tls) => tls.names(),
            Transport::WebSocket(channel) => channel.tls.as_ref()?.names(),
        }
    }

    /// The certificates the peer has shown, its own first, in DER.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Transport::Plain | Transport::Handshake(_) => &[],
            Transport::ClientTls(tls) => tls.peer_chain(),
            Transport::Tls(tls) => tls.peer_chain(),
            Transport::WebSocket(channel) => {
                channel.tls.as_ref().map_or(&[], |tls| tls.peer_chain())
            }
        }
    }
}
