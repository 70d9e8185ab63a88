//! One connection as a state machine: operations in, answers and messages staged. It does no I/O.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::end::{End, Reason};
use super::interest::Wanted;
use super::link::Link;
use super::permissions::Permissions;
use super::router::Origin;
use super::shared::Context;
use super::subs::Subs;
use crate::nats::codec::info::ConnectOptions;
use crate::nats::codec::{ClientOp, Decoder, Fault, Limits, Publish};
use crate::nats::subject::{valid_publish, valid_subscribe};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// TLS handshake under way.
    Handshake,
    /// CONNECT is awaited.
    Connecting,
    /// Admitted.
    Open,
    /// It was told why, and what waits for it is sent.
    Closing,
}

/// Who is at the other end, for the log.
#[derive(Debug)]
pub(super) struct Peer {
    pub address: SocketAddr,
    pub client_id: u64,
    /// Name of the verified certificate.
    pub identity: Option<String>,
    /// Name it gave itself.
    pub name: String,
}

/// The protocol state of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub link: Arc<Link>,
    pub peer: Box<Peer>,
    pub phase: Phase,
    decoder: Decoder,
    subs: Subs,
    permissions: Permissions,
    options: Flags,
    /// PINGs without answer.
    pub pings_out: u8,
    /// Something came since the last PING was due.
    pub is_active: bool,
    /// The first PONG was sent, so that anything may be sent now.
    pub is_greeted: bool,
}

/// What CONNECT chose.
#[derive(Debug, Clone, Copy)]
struct Flags {
    verbose: bool,
    pedantic: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    protocol: u8,
}

impl Session {
    pub fn new(link: Arc<Link>, address: SocketAddr, client_id: u64) -> Session {
        let phase = if link.is_tls { Phase::Handshake } else { Phase::Connecting };
        Session {
            link,
            peer: Box::new(Peer { address, client_id, identity: None, name: String::new() }),
            phase,
            decoder: Decoder::new(),
            subs: Subs::default(),
            permissions: Permissions::Full,
            options: Flags {
                verbose: true,
                pedantic: true,
                echo: true,
                headers: false,
                no_responders: false,
                protocol: 0,
            },
            pings_out: 0,
            is_active: false,
            is_greeted: false,
        }
    }

    /// Whether INFO may be sent at any time.
    pub fn takes_info(&self) -> bool {
        self.phase == Phase::Open && self.is_greeted && self.options.protocol >= 1
    }

    /// Handles what was read.
    pub fn feed(&mut self, mut input: &[u8], cx: &mut Context) -> Result<(), End> {
        let shared = cx.shared.clone();
        cx.router.stage.expect(input.len());
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = loop {
            let mut limits = &shared.first_limits;
            if self.phase == Phase::Open {
                limits = &shared.settings.limits;
                if let Err(end) = self.publish_plain(&decoder, &mut input, limits, cx) {
                    break Err(end);
                }
            }
            match decoder.next(&mut input, limits) {
                Ok(Some(ClientOp::Publish(publish))) if self.phase == Phase::Open => {
                    if let Err(end) = self.publish(&publish, cx) {
                        break Err(end);
                    }
                }
                Ok(Some(op)) => {
                    if let Err(end) = self.operate(op, cx) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(self.fault(fault)),
            }
            if cx.router.stage.is_full() {
                cx.flush();
            }
        };
        self.decoder = decoder;
        result
    }

    /// Takes messages in their usual form off the front of the input, as long as there are any.
    #[inline]
    fn publish_plain(
        &mut self,
        decoder: &Decoder,
        input: &mut &[u8],
        limits: &Limits,
        cx: &mut Context,
    ) -> Result<(), End> {
        while let Some(publish) = decoder.next_plain(input, limits) {
            self.publish(&publish, cx)?;
            if cx.router.stage.is_full() {
                cx.flush();
            }
        }
        Ok(())
    }

    fn fault(&self, fault: Fault) -> End {
        match fault {
            Fault::BadArguments { .. } | Fault::PayloadTooLarge { .. }
                if self.phase != Phase::Open =>
            {
                End::refused("something came before CONNECT")
            }
            fault => {
                End { say: fault.answer().map(Cow::Borrowed), reason: Reason::Protocol(fault) }
            }
        }
    }

    fn operate(&mut self, op: ClientOp<'_>, cx: &mut Context) -> Result<(), End> {
        match op {
            ClientOp::Connect(json) => self.connect(json, cx),
            _ if self.phase != Phase::Open => Err(End::refused("something came before CONNECT")),
            ClientOp::Publish(publish) => self.publish(&publish, cx),
            ClientOp::Subscribe { subject, queue, sid } => {
                self.is_active = true;
                self.subscribe(Wanted { subject, queue, sid }, cx)
            }
            ClientOp::Unsubscribe { sid, max } => {
                self.is_active = true;
                self.unsubscribe(sid, max, cx);
                Ok(())
            }
            ClientOp::Ping => {
                self.is_active = true;
                self.pong(cx);
                Ok(())
            }
            ClientOp::Pong => {
                self.pings_out = 0;
                Ok(())
            }
            ClientOp::Ok => Ok(()),
            ClientOp::Info(json) => {
                match serde_json::from_slice::<Option<HashMap<String, IgnoredAny>>>(json) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(End::silent(Reason::BadJson)),
                }
            }
            ClientOp::Err(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                Err(End::silent(Reason::ClientError(text)))
            }
        }
    }

    fn connect(&mut self, json: &[u8], cx: &mut Context) -> Result<(), End> {
        self.drop_subs(cx);
        let mut options = self.stored_options();
        options.merge(json).map_err(|_| End::silent(Reason::BadJson))?;
        if options.asks_for_account {
            return Err(End::refused("an account was asked for"));
        }
        if self.link.is_tls && self.peer.identity.is_none() {
            return Err(End::refused("no verified certificate"));
        }
        let protocol = u8::try_from(options.protocol).ok().filter(|protocol| *protocol <= 1);
        let Some(protocol) = protocol else {
            return Err(End::told(Reason::BadOptions, "invalid client protocol"));
        };
        if options.no_responders && !options.headers {
            let text = "no responders requires headers support";
            return Err(End::told(Reason::BadOptions, text));
        }
        if self.phase != Phase::Open && !cx.shared.admit() {
            return Err(End::told(Reason::TooManyConnections, "maximum connections exceeded"));
        }
        self.phase = Phase::Open;
        self.options = Flags {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers: options.headers,
            no_responders: options.no_responders,
            protocol,
        };
        self.link.set_takes_headers(options.headers);
        self.peer.name = options.name.chars().take(NAME_CHARS_MAX).collect();
        log::debug!("broker: connected {}", self.peer);
        self.acknowledge(cx);
        Ok(())
    }

    /// What an earlier CONNECT said, for the next one to be merged over.
    fn stored_options(&self) -> ConnectOptions {
        ConnectOptions {
            verbose: self.options.verbose,
            pedantic: self.options.pedantic,
            echo: self.options.echo,
            headers: self.options.headers,
            no_responders: self.options.no_responders,
            protocol: i64::from(self.options.protocol),
            name: self.peer.name.clone(),
            ..ConnectOptions::default()
        }
    }

    fn acknowledge(&self, cx: &mut Context) {
        if self.options.verbose {
            cx.router.stage.answer(&self.link, b"+OK\r\n");
        }
    }

    fn complain(&self, text: &str, cx: &mut Context) {
        let line = format!("-ERR '{text}'\r\n");
        cx.router.stage.answer(&self.link, line.as_bytes());
    }

    #[inline]
    fn publish(&mut self, publish: &Publish<'_>, cx: &mut Context) -> Result<(), End> {
        self.is_active = true;
        if publish.is_hpub && !self.options.headers {
            return Err(End::silent(Reason::HeadersNotAgreed));
        }
        if self.options.pedantic && !valid_publish(publish.subject) {
            self.complain("Invalid Publish Subject", cx);
        }
        if let Err(violation) = self.permissions.publish(publish.subject, publish.reply) {
            self.complain(&violation.to_string(), cx);
            return Ok(());
        }
        self.acknowledge(cx);
        let origin = Origin {
            link: &self.link,
            echo: self.options.echo,
            no_responders: self.options.no_responders,
        };
        cx.router.publish(origin, publish);
        Ok(())
    }

    fn subscribe(&mut self, wanted: Wanted<'_>, cx: &mut Context) -> Result<(), End> {
        if !valid_subscribe(wanted.subject) {
            self.complain("Invalid Subject", cx);
            return Ok(());
        }
        if let Err(violation) = self.permissions.subscribe(wanted.subject, wanted.queue) {
            self.complain(&violation.to_string(), cx);
            return Ok(());
        }
        if self.subs.len() >= cx.shared.settings.subscriptions_max {
            self.subs.drop_ended();
            if self.subs.len() >= cx.shared.settings.subscriptions_max {
                self.complain("maximum subscriptions exceeded", cx);
                return Ok(());
            }
        }
        if self.subs.find(wanted.sid).is_none() {
            self.subs.add(cx.router.interest.subscribe(&self.link, wanted));
        }
        self.acknowledge(cx);
        Ok(())
    }

    fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>, cx: &mut Context) {
        if let Some(sub) = self.subs.find(sid).cloned() {
            cx.router.stage.settle(&self.link);
            let stays = max.is_some_and(|max| sub.set_limit(max));
            if !stays {
                self.subs.remove(sid);
                cx.router.interest.unsubscribe(std::iter::once(&sub));
            }
        }
        self.acknowledge(cx);
    }

    fn pong(&mut self, cx: &mut Context) {
        cx.router.stage.answer(&self.link, b"PONG\r\n");
        if !std::mem::replace(&mut self.is_greeted, true) && self.takes_info() {
            let line = cx.shared.connection_info(self.peer.client_id, self.peer.address, true);
            cx.router.stage.answer(&self.link, &line);
        }
    }

    /// Ends every subscription.
    pub fn drop_subs(&mut self, cx: &mut Context) {
        if self.subs.len() > 0 {
            cx.router.interest.unsubscribe(self.subs.iter());
            self.subs = Subs::default();
        }
    }

    /// Stages the reason of an end, if the peer is to be told one.
    pub fn say_why(&self, end: &End, cx: &mut Context) {
        if let Some(text) = &end.say {
            self.complain(text, cx);
        }
    }
}

/// Characters of a client's name that are kept.
const NAME_CHARS_MAX: usize = 128;

/// The limits that hold before a connection is admitted: room for a CONNECT, none for messages.
pub(super) fn first_limits(limits: &Limits) -> Limits {
    Limits { payload_bytes_max: 0, ..limits.clone() }
}
