//! Where connections come from: the listening sockets, and this process itself.

use std::net::{SocketAddr, TcpListener, TcpStream};

use super::home::{Home, LISTENERS};
use crate::sys::{self, Interest};

/// What a connection speaks, and what it is subject to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The NATS client protocol from the network.
    Client,
    /// The same in the frames of a WebSocket.
    WebSocket,
    /// The protocol of another broker of the cluster.
    Route,
    /// The NATS client protocol from this process, with full rights in an account. No socket that was accepted is ever
    /// of this kind.
    Internal {
        /// Index of the account.
        account: u32,
    },
}

impl Kind {
    /// Whether it is a client from the network, over whatever it comes.
    pub fn is_client(self) -> bool {
        matches!(self, Kind::Client | Kind::WebSocket)
    }
}

/// A connection that no event loop serves yet.
#[derive(Debug)]
pub(super) struct Incoming {
    pub socket: TcpStream,
    pub address: SocketAddr,
    pub kind: Kind,
}

/// The listening sockets of a broker; its first event loop has them all.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    list: Vec<(TcpListener, Kind)>,
}

impl Listeners {
    /// Adds a socket whose connections are of this kind.
    pub fn add(&mut self, listener: TcpListener, kind: Kind) {
        self.list.push((listener, kind));
    }

    /// Adds a socket while the event loop runs.
    pub fn add_watched(
        &mut self,
        listener: TcpListener,
        kind: Kind,
        home: &Home,
    ) -> std::io::Result<()> {
        let token = LISTENERS.start + self.list.len() as u64;
        home.epoll.add(&listener, token, Interest::READ)?;
        self.add(listener, kind);
        Ok(())
    }

    /// Begins to watch all of them.
    pub fn register(&self, home: &Home) -> std::io::Result<()> {
        for (token, (listener, _)) in LISTENERS.zip(&self.list) {
            home.epoll.add(listener, token, Interest::READ)?;
        }
        Ok(())
    }

    /// Watches them, or does not for a while.
    pub fn watch(&self, home: &Home, wanted: bool) {
        let interest = Interest { read: wanted, write: false };
        for (token, (listener, _)) in LISTENERS.zip(&self.list) {
            if let Err(error) = home.epoll.modify(listener, token, interest) {
                log::error!("broker: cannot watch a listener err={error}");
            }
        }
    }

    /// Accepts one connection at the listener of this token; nothing when no such listener is left.
    pub fn accept(&self, token: u64) -> Option<std::io::Result<Incoming>> {
        let (listener, kind) = self.list.get(token.checked_sub(LISTENERS.start)? as usize)?;
        let incoming = |(socket, address)| Incoming { socket, address, kind: *kind };
        Some(sys::accept(listener).map(incoming))
    }

    /// Whether the listener of this token is for other brokers.
    pub fn is_for_routes(&self, token: u64) -> bool {
        let listener = token.checked_sub(LISTENERS.start).and_then(|at| self.list.get(at as usize));
        listener.is_some_and(|(_, kind)| *kind == Kind::Route)
    }

    /// Stops listening.
    pub fn close(&mut self) {
        self.list.clear();
    }
}
