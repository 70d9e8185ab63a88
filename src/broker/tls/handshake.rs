//! A TLS handshake as its event loop sees it: bytes are collected here and worked on elsewhere.

use std::sync::Arc;

use rustls::ServerConfig;

use super::flight::Flight;
use super::pool::{HandshakePool, Job, Session, Ticket};
use super::{PARTIAL_BYTES_MAX, Tls};
use crate::broker::link::Link;

/// A session that is being set up.
#[derive(Debug)]
pub(in crate::broker) struct Handshake {
    /// Nothing while it is worked on.
    session: Option<Session>,
    /// What came and was not handed over.
    arrived: Vec<u8>,
    flight: Flight,
    work: Option<Arc<Ticket>>,
    /// When it has had its turn or is given up, in milliseconds of the broker's clock.
    limit_ms: u64,
    /// It does not queue behind others.
    is_urgent: bool,
    /// Reading was stopped, because much came before its turn.
    is_paused: bool,
}

impl Handshake {
    pub fn new(config: Arc<ServerConfig>, limit_ms: u64) -> Handshake {
        Handshake {
            session: Some(Session::New(config)),
            arrived: Vec::new(),
            flight: Flight::default(),
            work: None,
            limit_ms,
            is_urgent: false,
            is_paused: false,
        }
    }

    /// Puts it before those of others that have not begun.
    pub fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Whether it waits for us and not for the peer.
    pub fn is_worked_on(&self) -> bool {
        self.work.is_some()
    }

    /// How long it may go on although its time is over: until its turn has come when it waits for us, and a little while
    /// the broker is busy with others, because then its peer is slowed down too.
    pub fn patience_ms(&self, now_ms: u64, pool: &HandshakePool, timeout_ms: u64) -> u64 {
        if self.is_worked_on() {
            self.limit_ms
        } else if pool.waiting() > 0 {
            self.limit_ms.min(now_ms + timeout_ms)
        } else {
            now_ms
        }
    }

    /// The session, unless it is worked on or does not exist yet.
    pub fn session(&mut self) -> Option<&mut Tls> {
        match &mut self.session {
            Some(Session::Begun(tls)) => Some(tls),
            _ => None,
        }
    }

    /// Bytes that may still come before something of it is worked on.
    pub fn room(&self) -> usize {
        PARTIAL_BYTES_MAX.saturating_sub(self.arrived.len())
    }

    /// Stops reading until the present work is done.
    pub fn pause(&mut self, link: &Link) {
        self.is_paused = true;
        link.watch_read(false);
    }

    /// Takes bytes that came, and hands over what is ready.
    pub fn receive(&mut self, bytes: &[u8], link: &Link, pool: &HandshakePool) {
        self.arrived.extend_from_slice(bytes);
        let Some(session) = self.session.take() else { return };
        let ready = self.flight.ready(&self.arrived);
        if ready == 0 {
            self.session = Some(session);
            return;
        }
        self.flight.taken();
        let later = self.arrived.split_off(ready);
        let input = std::mem::replace(&mut self.arrived, later);
        let ticket = pool.ticket();
        self.work = Some(ticket.clone());
        pool.submit(Job {
            home: link.home.clone(),
            token: link.token,
            ticket,
            session,
            input,
            is_urgent: self.is_urgent,
        });
    }

    /// The work was done.
    pub fn resume(&mut self, link: &Link) {
        self.work = None;
        if std::mem::take(&mut self.is_paused) {
            link.watch_read(true);
        }
    }

    /// Goes on with the session that came back.
    pub fn put_back(&mut self, tls: Box<Tls>, link: &Link, pool: &HandshakePool) {
        self.session = Some(Session::Begun(tls));
        self.receive(&[], link, pool);
    }

    /// Keeps a session that failed, for what it has to say.
    pub fn keep(&mut self, tls: Box<Tls>) {
        self.session = Some(Session::Begun(tls));
    }

    /// What came and was not worked on.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.arrived)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(ticket) = &self.work {
            ticket.cancel();
        }
    }
}
