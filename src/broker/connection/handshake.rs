//! A connection while its TLS handshake is under way: bytes go to the pool of threads, and sessions come back.

use std::io::Read;

use super::{Connection, NEVER, not_now};
use crate::broker::cluster::Fault;
use crate::broker::end::{End, Reason};
use crate::broker::endpoint::Phase;
use crate::broker::home::add;
use crate::broker::listeners::Kind;
use crate::broker::shard::Buffers;
use crate::broker::shared::Context;
use crate::broker::tls::{Outcome, Tls};
use crate::broker::transport::{Received, Transport};
use crate::broker::websocket::Channel;
use crate::crypto::hash::sha256_hex;
use crate::crypto::x509::Certificate;
use crate::net;

impl Connection {
    /// Reads once and hands over what is complete; returns how many bytes that were.
    pub(super) fn read_handshake(
        &mut self,
        buffers: &mut Buffers,
        cx: &mut Context,
    ) -> Result<usize, End> {
        let link = &self.endpoint.link;
        let Some(handshake) = self.transport.handshake() else { return Ok(0) };
        let room = handshake.room();
        if room == 0 {
            if !handshake.is_worked_on() {
                let text = "handshake message too large".to_owned();
                return Err(End::silent(Reason::Tls(text)));
            }
            handshake.pause(link);
            return Ok(0);
        }
        let room = buffers.read.get_mut(..room).unwrap_or_default();
        let count = match (&*self.socket).read(room) {
            Ok(0) => return Err(End::silent(Reason::ClientClosed)),
            Ok(count) => count,
            Err(error) => return not_now(&error).map(|()| 0),
        };
        // It begins with TLS, so INFO comes after the handshake.
        self.info_due_ms = self.info_due_ms.map(|_| NEVER);
        let input = buffers.read.get(..count).unwrap_or_default();
        if self.endpoint.peer.kind == Kind::Route && input.first() == Some(&b'C') {
            return Err(End::silent(Reason::Route(Fault::PlainText)));
        }
        handshake.receive(input, link, &cx.shared.handshakes);
        Ok(count)
    }

    /// Goes on with a handshake that was worked on.
    pub fn on_handshake(
        &mut self,
        outcome: Outcome,
        buffers: &mut Buffers,
        cx: &mut Context,
    ) -> Result<(), End> {
        let link = &self.endpoint.link;
        let Some(handshake) = self.transport.handshake() else { return Ok(()) };
        if self.endpoint.phase != Phase::Handshake {
            return Ok(());
        }
        handshake.resume(link);
        let (mut tls, plain, is_ended) = match outcome {
            Outcome::Good { tls, plain, is_ended } => (tls, plain, is_ended),
            Outcome::Failed { tls, error } => {
                if let Some(mut tls) = tls {
                    // The peer is told what was wrong with its handshake.
                    tls.pump(link, cx.now_ms);
                    handshake.keep(tls);
                }
                return Err(End::silent(Reason::Tls(net::tls::describe(&error))));
            }
            Outcome::Panicked => {
                add(&cx.home.counters.panics, 1);
                return Err(End::silent(Reason::Panic));
            }
        };
        tls.pump(link, cx.now_ms);
        if tls.is_handshaking() {
            self.deadline_ms = cx.now_ms + cx.settings.tls_timeout.as_millis() as u64;
            handshake.put_back(tls, link, &cx.shared.handshakes);
        } else {
            let rest = handshake.take_rest();
            self.finish_handshake(tls, cx)?;
            self.take_first(plain, &rest, buffers, cx)?;
        }
        if is_ended { Err(End::silent(Reason::ClientClosed)) } else { Ok(()) }
    }

    fn finish_handshake(&mut self, tls: Box<Tls>, cx: &mut Context) -> Result<(), End> {
        self.endpoint.peer.identity = tls.peer_certificate().map(identity_of);
        let settings = &cx.settings;
        let kind = self.endpoint.peer.kind;
        let certificate =
            tls.peer_certificate().filter(|_| kind == Kind::Route).map(<[u8]>::to_vec);
        self.transport = match kind {
            Kind::WebSocket => {
                let channel = Channel::new(Some(tls), settings.limits.payload_bytes_max);
                Transport::WebSocket(Box::new(channel))
            }
            _ => Transport::Tls(tls),
        };
        if settings.tls_verify && self.endpoint.peer.identity.is_none() {
            return Err(End::silent(Reason::Tls("the peer has no certificate".to_owned())));
        }
        if kind == Kind::WebSocket {
            self.endpoint.phase = Phase::Upgrading;
            self.deadline_ms = cx.now_ms + settings.tls_timeout.as_millis() as u64;
        } else if kind == Kind::Route {
            self.endpoint.phase = Phase::Connecting;
            self.deadline_ms = cx.now_ms + settings.auth_timeout.as_millis() as u64;
            return self.greet(certificate.as_deref(), cx);
        } else {
            self.await_connect(cx);
        }
        Ok(())
    }

    /// Handles what came with the end of the handshake, and after it.
    fn take_first(
        &mut self,
        mut plain: Vec<u8>,
        rest: &[u8],
        buffers: &mut Buffers,
        cx: &mut Context,
    ) -> Result<(), End> {
        let mut received = Received::Open;
        if !rest.is_empty() {
            let kept = self.transport.put_partial(&mut buffers.read);
            let end = kept + rest.len();
            if let Some(room) = buffers.read.get_mut(kept..end) {
                room.copy_from_slice(rest);
            }
            let input = buffers.read.get_mut(..end).unwrap_or_default();
            let link = &self.endpoint.link;
            received = self.transport.receive(input, &mut plain, link, cx.now_ms)?;
        }
        self.take_plain(&mut plain, cx)?;
        match received {
            Received::Ended => Err(End::silent(Reason::ClientClosed)),
            Received::Open => Ok(()),
        }
    }

    /// Its time is over: whether it may go on all the same.
    pub(super) fn handshake_when_late(&mut self, cx: &mut Context) -> Result<(), End> {
        let timeout = cx.settings.tls_timeout.as_millis() as u64;
        let Some(handshake) = self.transport.handshake() else { return Ok(()) };
        let until = handshake.patience_ms(cx.now_ms, &cx.shared.handshakes, timeout);
        if until > cx.now_ms {
            self.deadline_ms = until;
            return Ok(());
        }
        Err(End::silent(match handshake.is_worked_on() {
            true => Reason::TlsWait,
            false => Reason::TlsTimeout,
        }))
    }

    /// Whether it waits for the pool of threads, and not for its peer.
    pub fn waits_for_us(&mut self) -> bool {
        self.transport.handshake().is_some_and(|handshake| handshake.is_worked_on())
    }
}

/// The name of a certificate for the log: its common name, else its first DNS name, else its fingerprint.
fn identity_of(der: &[u8]) -> String {
    let certificate = Certificate::from_der(der).ok();
    let name = certificate.as_ref().and_then(|certificate| {
        certificate.common_name().or_else(|| certificate.dns_names().first().map(String::as_str))
    });
    name.map_or_else(|| sha256_hex(der), str::to_owned)
}
