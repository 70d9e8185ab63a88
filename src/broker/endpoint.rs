//! The far end of a connection of any kind: the link to it, who it is, and how far it has come.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::link::Link;
use super::listeners::Kind;
use super::monitor::{Library, Record};
use super::shared::Context;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// TLS handshake under way.
    Handshake,
    /// The request for a WebSocket is awaited.
    Upgrading,
    /// CONNECT is awaited.
    Connecting,
    /// Admitted.
    Open,
    /// It was told why, and what waits for it is sent.
    Closing,
}

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Peer {
    pub address: SocketAddr,
    pub kind: Kind,
    pub client_id: u64,
    /// The connection is encrypted.
    pub is_tls: bool,
    /// Name of the verified certificate.
    pub identity: Option<String>,
    /// Name it gave itself.
    pub name: String,
    /// What it is written with.
    pub library: Option<Arc<Library>>,
    /// Address of the client, as a proxy says.
    pub forwarded_for: Option<IpAddr>,
}

impl Peer {
    /// Somebody who has not said anything yet.
    pub fn new(address: SocketAddr, kind: Kind, client_id: u64, is_tls: bool) -> Peer {
        Peer {
            address,
            kind,
            client_id,
            is_tls,
            identity: None,
            name: String::new(),
            library: None,
            forwarded_for: None,
        }
    }
}

/// What every kind of connection has besides its socket and its protocol.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub link: Arc<Link>,
    pub peer: Box<Peer>,
    pub phase: Phase,
    /// What it did.
    pub record: Record,
    /// PINGs without answer.
    pub pings_out: u8,
    /// Something came since the last PING was due.
    pub is_active: bool,
    /// The first PONG was sent, so that anything may be sent now.
    pub is_greeted: bool,
}

impl Endpoint {
    pub fn new(link: Arc<Link>, peer: Peer, now_ms: u64) -> Endpoint {
        let phase = match peer.kind {
            _ if peer.is_tls => Phase::Handshake,
            Kind::WebSocket => Phase::Upgrading,
            _ => Phase::Connecting,
        };
        Endpoint {
            link,
            peer: Box::new(peer),
            phase,
            record: Record::new(now_ms),
            pings_out: 0,
            is_active: false,
            is_greeted: false,
        }
    }

    /// Stages an error for the peer.
    pub fn complain(&self, text: &str, cx: &mut Context) {
        let line = format!("-ERR '{text}'\r\n");
        cx.router.stage.answer(&self.link, line.as_bytes());
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Internal { .. } => write!(f, "remote=pipe client_id={}", self.client_id)?,
            _ => write!(f, "remote={} client_id={}", self.address, self.client_id)?,
        }
        if let Some(address) = self.forwarded_for {
            write!(f, " forwarded_for={address}")?;
        }
        if let Some(identity) = &self.identity {
            write!(f, " identity={identity:?}")?;
        }
        if !self.name.is_empty() {
            write!(f, " name={:?}", self.name)?;
        }
        Ok(())
    }
}
