//! One connection: socket, transport, deadlines, around the state of its protocol.

mod handshake;
mod websocket;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::SystemTime;

use super::cluster::{Route, Ticket};
use super::end::{End, Reason};
use super::endpoint::{Endpoint, Peer, Phase};
use super::link::Link;
use super::listeners::{Incoming, Kind};
use super::protocol::Protocol;
use super::session::Session;
use super::settings::TlsFirst;
use super::shard::Buffers;
use super::shared::Context;
use super::transport::{Received, Transport};
use super::websocket::Channel;
use crate::sys::{Interest, Ready};

/// A connection of one event loop.
#[derive(Debug)]
pub(super) struct Connection {
    pub endpoint: Endpoint,
    pub protocol: Protocol,
    transport: Transport,
    socket: Arc<TcpStream>,
    /// End of the time for the present phase.
    deadline_ms: u64,
    next_ping_ms: u64,
    /// INFO is not sent yet, and will be in clear at this time unless the handshake begins before.
    info_due_ms: Option<u64>,
    /// Reading pauses until then at most.
    pub paused_until_ms: Option<u64>,
    /// When the timer wheel will call.
    pub armed_ms: u64,
    /// It counts among the admitted.
    pub is_admitted: bool,
    /// Nothing is left but to drop it.
    pub is_gone: bool,
    /// Our side was shut after everything was sent.
    is_shut: bool,
}

const NEVER: u64 = u64::MAX;
/// Time to the first PING on a route, which tells the time of a round trip.
const FIRST_ROUTE_PING_MS: u64 = 1000;

impl Connection {
    /// Greets a new connection and watches it.
    pub fn open(incoming: Incoming, token: u64, cx: &mut Context) -> io::Result<Connection> {
        let Incoming { socket, address, kind } = incoming;
        if kind == Kind::Route {
            let limit_ms = cx.now_ms + cx.settings.handshake_wait.as_millis() as u64;
            let mut transport = Transport::new(cx.shared.route_tls(&cx.settings), limit_ms);
            if let Some(handshake) = transport.handshake() {
                // A crowd of clients does not keep a cluster apart.
                handshake.hurry();
            }
            let incoming = Incoming { socket, address, kind };
            return Connection::open_route(incoming, None, transport, token, cx);
        }
        let settings = &cx.settings;
        let client_id = cx.shared.next_client_id();
        let config = match kind {
            Kind::Client | Kind::WebSocket => settings.tls.clone(),
            Kind::Route | Kind::Internal { .. } => None,
        };
        let session = Session::new(cx.shared.accounts.usual().clone());
        let limit_ms = cx.now_ms + settings.handshake_wait.as_millis() as u64;
        let mut transport = Transport::new(config, limit_ms);
        let is_tls = !transport.is_plain();
        let info_due_ms = match kind {
            Kind::WebSocket => Some(NEVER),
            _ if is_tls => info_due_ms(settings.tls_first, cx.now_ms),
            _ => None,
        };
        if kind == Kind::WebSocket && !is_tls {
            transport = Transport::WebSocket(Box::new(Channel::new(
                None,
                settings.limits.payload_bytes_max,
            )));
        }
        if info_due_ms.is_none() {
            let line = cx.shared.connection_info(client_id, address, None);
            // The buffer of a new socket takes a line; one that does not is of no use.
            (&socket).write_all(&line)?;
        }
        let timeout = if is_tls || info_due_ms.is_some() {
            settings.tls_timeout
        } else {
            settings.auth_timeout
        };
        let socket = Arc::new(socket);
        cx.home.epoll.add(&socket, token, Interest::READ)?;
        let link = Link::new(token, cx.home.clone(), !transport.is_plain(), socket.clone());
        let first_ping = settings.first_ping.min(settings.ping_interval).as_millis() as u64;
        let peer = Peer::new(address, kind, client_id, is_tls);
        Ok(Connection {
            endpoint: Endpoint::new(link, peer, cx.now_ms),
            protocol: Protocol::Client(session),
            transport,
            socket,
            deadline_ms: cx.now_ms + timeout.as_millis() as u64,
            next_ping_ms: cx.now_ms + first_ping + fastrand::u64(..=first_ping / 5),
            info_due_ms,
            paused_until_ms: None,
            armed_ms: NEVER,
            is_admitted: false,
            is_gone: false,
            is_shut: false,
        })
    }

    /// Watches a connection to another broker, and begins to talk when it is not encrypted.
    pub fn open_route(
        incoming: Incoming,
        ticket: Option<Ticket>,
        transport: Transport,
        token: u64,
        cx: &mut Context,
    ) -> io::Result<Connection> {
        let Incoming { socket, address, kind } = incoming;
        let settings = &cx.settings;
        let Some(cluster) = cx.shared.cluster.clone() else {
            return Err(io::Error::other("there is no cluster"));
        };
        socket.set_nonblocking(true)?;
        let client_id = cx.shared.next_client_id();
        let is_tls = !transport.is_plain();
        let timeout = if is_tls { settings.tls_timeout } else { settings.auth_timeout };
        let socket = Arc::new(socket);
        cx.home.epoll.add(&socket, token, Interest::READ)?;
        let link = Link::for_route(token, cx.home.clone(), is_tls, socket.clone());
        let peer = Peer::new(address, kind, client_id, is_tls);
        let mut connection = Connection {
            endpoint: Endpoint::new(link, peer, cx.now_ms),
            protocol: Protocol::Route(Box::new(Route::new(cluster, ticket))),
            transport,
            socket,
            deadline_ms: cx.now_ms + timeout.as_millis() as u64,
            info_due_ms: None,
            next_ping_ms: cx.now_ms
                + FIRST_ROUTE_PING_MS
                + fastrand::u64(..FIRST_ROUTE_PING_MS / 5),
            paused_until_ms: None,
            armed_ms: NEVER,
            is_admitted: false,
            is_gone: false,
            is_shut: false,
        };
        if connection.transport.handshake().is_none() {
            connection.endpoint.phase = Phase::Connecting;
            // Only those who dialled by TLS are ever refused here.
            let _ = connection.greet(None, cx);
        }
        Ok(connection)
    }

    /// Begins to talk to another broker, which dialled and proved to have this certificate.
    fn greet(&mut self, certificate: Option<&[u8]>, cx: &mut Context) -> Result<(), End> {
        let Protocol::Route(route) = &mut self.protocol else { return Ok(()) };
        route.greet(&self.endpoint, certificate, cx)
    }

    /// Handles what came with the end of the handshake of a connection that was dialled.
    pub fn take_early(&mut self, buffers: &mut Buffers, cx: &mut Context) -> Result<(), End> {
        if self.transport.is_plain() {
            return Ok(());
        }
        buffers.plain.clear();
        let link = &self.endpoint.link;
        self.transport.receive(&mut [], &mut buffers.plain, link, cx.now_ms)?;
        self.protocol.feed(&mut self.endpoint, &buffers.plain, cx)
    }

    pub fn token(&self) -> u64 {
        self.endpoint.link.token
    }

    /// When it wants to be called next.
    pub fn next_due_ms(&self) -> u64 {
        let phase = match self.endpoint.phase {
            Phase::Open => self.next_ping_ms.min(self.protocol.expires_ms().unwrap_or(NEVER)),
            Phase::Handshake => self.deadline_ms.min(self.info_due_ms.unwrap_or(NEVER)),
            _ => self.deadline_ms,
        };
        phase.min(self.paused_until_ms.unwrap_or(NEVER))
    }

    /// Reads once and handles what came; returns how many bytes that were.
    pub fn read(&mut self, buffers: &mut Buffers, cx: &mut Context) -> Result<usize, End> {
        if self.endpoint.phase == Phase::Handshake {
            return self.read_handshake(buffers, cx);
        }
        let kept = self.transport.put_partial(&mut buffers.read);
        let most = self.transport.read_bytes_max().min(buffers.read_bytes_max);
        let end = kept.saturating_add(most).min(buffers.read.len());
        let room = buffers.read.get_mut(kept..end).unwrap_or_default();
        let count = match (&*self.socket).read(room) {
            Ok(0) => return Err(End::silent(Reason::ClientClosed)),
            Ok(count) => count,
            Err(error) => return not_now(&error).map(|()| 0),
        };
        let input = buffers.read.get_mut(..kept + count).unwrap_or_default();
        if self.transport.is_plain() {
            self.feed(input, cx)?;
            return Ok(count);
        }
        buffers.plain.clear();
        let link = &self.endpoint.link;
        let received = self.transport.receive(input, &mut buffers.plain, link, cx.now_ms)?;
        self.take_plain(&mut buffers.plain, cx)?;
        match received {
            Received::Ended => Err(End::silent(Reason::ClientClosed)),
            Received::Open => Ok(count),
        }
    }

    /// Handles protocol bytes, and writes down what they came to.
    fn feed(&mut self, input: &[u8], cx: &mut Context) -> Result<(), End> {
        let before = cx.counted();
        let result = self.protocol.feed(&mut self.endpoint, input, cx);
        let done = cx.counted().since(before);
        let record = &mut self.endpoint.record;
        record.active_ms = cx.now_ms;
        record.in_messages += done.in_messages;
        record.in_bytes += done.in_bytes;
        let account = self.protocol.account_index();
        if let Some(report) = account.and_then(|index| cx.account_reports.get_mut(index as usize)) {
            report.traffic.add(done);
        }
        result
    }

    /// The way its bytes travel.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Handles what was decrypted: bytes of the protocol, or those of a WebSocket.
    fn take_plain(&mut self, plain: &mut [u8], cx: &mut Context) -> Result<(), End> {
        match self.transport {
            Transport::WebSocket(_) => self.read_web_socket(plain, cx),
            _ => self.feed(plain, cx),
        }
    }

    /// INFO comes now, and CONNECT is awaited.
    fn await_connect(&mut self, cx: &mut Context) {
        self.endpoint.phase = Phase::Connecting;
        self.deadline_ms = cx.now_ms + cx.settings.auth_timeout.as_millis() as u64;
        if self.info_due_ms.take().is_some() {
            let peer = &self.endpoint.peer;
            let line = match peer.kind {
                Kind::WebSocket => cx.shared.web_socket_info(peer.client_id, peer.address),
                _ => cx.shared.connection_info(peer.client_id, peer.address, None),
            };
            cx.router.stage.answer(&self.endpoint.link, &line);
        }
    }

    /// Sends INFO in clear to a peer that did not begin with TLS.
    fn greet_in_clear(&mut self, cx: &Context) -> Result<(), End> {
        self.info_due_ms = None;
        let peer = &self.endpoint.peer;
        let line = cx.shared.connection_info(peer.client_id, peer.address, None);
        let written = (&*self.socket).write_all(&line);
        written.map_err(|error| End::silent(Reason::Socket(error.kind())))
    }

    /// Goes on with the queue of its link.
    pub fn send_queue(&mut self, cx: &Context) {
        self.transport.send_queue(&self.endpoint.link, cx.now_ms);
        if self.endpoint.phase == Phase::Closing {
            self.shut_when_flushed(cx);
        }
    }

    /// Does what is due.
    pub fn on_time(&mut self, cx: &mut Context) -> Result<(), End> {
        if self.paused_until_ms.is_some_and(|until| until <= cx.now_ms) {
            self.paused_until_ms = None;
            self.endpoint.link.watch_read(true);
        }
        match self.endpoint.phase {
            Phase::Open if self.protocol.expires_ms().is_some_and(|at| at <= cx.now_ms) => {
                Err(End::expired())
            }
            Phase::Open => self.ping_when_due(cx),
            Phase::Handshake if self.info_due_ms.is_some_and(|at| at <= cx.now_ms) => {
                self.greet_in_clear(cx)
            }
            _ if self.deadline_ms > cx.now_ms => Ok(()),
            Phase::Handshake => self.handshake_when_late(cx),
            Phase::Upgrading => Err(End::silent(Reason::UpgradeTimeout)),
            Phase::Connecting => Err(End::told(Reason::AuthTimeout, "Authentication Timeout")),
            Phase::Closing => {
                self.is_gone = true;
                Ok(())
            }
        }
    }

    fn ping_when_due(&mut self, cx: &mut Context) -> Result<(), End> {
        if self.next_ping_ms > cx.now_ms {
            return Ok(());
        }
        let settings = &cx.settings;
        let endpoint = &mut self.endpoint;
        let mut interval = settings.ping_interval;
        if let Protocol::Route(route) = &mut self.protocol {
            interval = interval.min(route.ping_interval());
            route.pinged_ms = cx.now_ms;
            endpoint.is_active = false;
        }
        self.next_ping_ms = cx.now_ms + interval.as_millis() as u64;
        // Nothing may come before the answer to the first PING, and a busy connection is alive.
        if std::mem::take(&mut endpoint.is_active) && endpoint.pings_out == 0 {
            return Ok(());
        }
        if endpoint.pings_out >= settings.pings_max {
            return Err(End::told(Reason::Stale, "Stale Connection"));
        }
        self.ping(cx);
        Ok(())
    }

    fn ping(&mut self, cx: &mut Context) {
        let endpoint = &mut self.endpoint;
        endpoint.pings_out += 1;
        endpoint.record.pinged(cx.shared.started.elapsed());
        endpoint.is_greeted = true;
        cx.router.stage.answer(&endpoint.link, b"PING\r\n");
    }

    /// Sends a PING for its round-trip time, if that is not known and nobody who types would be surprised.
    pub fn measure(&mut self, cx: &mut Context) {
        let endpoint = &self.endpoint;
        let is_program = endpoint.peer.library.as_ref().is_some_and(|it| !it.language.is_empty());
        let is_quiet = endpoint.record.rtt().is_none() && endpoint.pings_out == 0;
        if endpoint.phase == Phase::Open && endpoint.is_greeted && is_program && is_quiet {
            self.ping(cx);
        }
    }

    /// Ends it when its certificate, or one that vouches for it, was revoked after it was verified.
    pub fn check_revocation(&self, cx: &Context) -> Result<(), End> {
        let Some(authority) = &cx.settings.authority else { return Ok(()) };
        match authority.is_revoked(self.transport.peer_chain(), SystemTime::now()) {
            true => Err(End::refused("its certificate was revoked")),
            false => Ok(()),
        }
    }

    /// From now on it only gets what waits for it, for so long at most, then the end.
    pub fn start_closing(&mut self, patience_ms: u64, cx: &Context) {
        self.deadline_ms = cx.now_ms + patience_ms;
        self.paused_until_ms = None;
        self.endpoint.link.watch_read(true);
        self.send_queue(cx);
    }

    /// Shuts our side once everything is sent. Closing at once would reset a connection whose last bytes were not read
    /// here, and the peer might never see what it was told.
    fn shut_when_flushed(&mut self, cx: &Context) {
        let link = &self.endpoint.link;
        if self.is_shut || !link.is_flushed() || !self.transport.end(link) {
            return;
        }
        self.is_shut = true;
        // Time to read the rest, and to close the other side.
        let linger_ms = cx.settings.linger.as_millis() as u64;
        self.deadline_ms = self.deadline_ms.min(cx.now_ms + linger_ms);
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Throws away what still comes, until the peer closes.
    pub fn on_ready_while_closing(&mut self, ready: Ready, buffer: &mut [u8]) -> Result<(), End> {
        if ready.read || ready.hangup {
            match (&*self.socket).read(buffer) {
                Ok(0) => self.is_gone = true,
                Ok(_) => {}
                Err(error) => self.is_gone = not_now(&error).is_err(),
            }
        }
        Ok(())
    }

    /// Stages the reason of an end, if the peer is to be told one.
    pub fn say_why(&mut self, end: &End, cx: &mut Context) {
        self.transport.will_end(&end.reason);
        if let Some(text) = &end.say {
            self.endpoint.complain(text, cx);
        }
    }

    /// Ends it for good.
    pub fn close(&mut self) {
        // What its own loop has not encrypted yet, as far as the socket takes it.
        self.transport.farewell(&self.endpoint.link);
        self.endpoint.link.close();
    }
}

/// When INFO is due in clear; none for at once.
fn info_due_ms(first: TlsFirst, now_ms: u64) -> Option<u64> {
    match first {
        TlsFirst::No => None,
        TlsFirst::Yes => Some(NEVER),
        TlsFirst::Unless(wait) => Some(now_ms + wait.as_millis() as u64),
    }
}

/// A read that gave nothing is no fault.
fn not_now(error: &io::Error) -> Result<(), End> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        kind => Err(End::silent(Reason::Socket(kind))),
    }
}
