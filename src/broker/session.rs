//! One connection as a state machine: operations in, answers and messages staged. It does no I/O.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::IgnoredAny;

use super::access::ConnectionType;
use super::account::Account;
use super::end::{End, Reason};
use super::endpoint::{Endpoint, Peer, Phase};
use super::interest::Wanted;
use super::listeners::Kind;
use super::login::{Attempt, Entry, Refusal, TlsState, Via};
use super::monitor::{USER_INFO, user_info};
use super::permissions::Permissions;
use super::router::Origin;
use super::run::Run;
use super::shared::Context;
use super::subs::Subs;
use crate::ca::wire;
use crate::nats::codec::info::ConnectOptions;
use crate::nats::codec::{ClientOp, Decoder, Fault, Limits, Publish};
use crate::nats::subject::{valid_publish, valid_subscribe};

/// The protocol state of one connection.
#[derive(Debug)]
pub(super) struct Session {
    /// Where it publishes and subscribes.
    account: Arc<Account>,
    decoder: Decoder,
    subs: Subs,
    permissions: Permissions,
    /// How it came in.
    via: Via,
    options: Flags,
    /// Times it has shown a token.
    logins: u8,
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
    pub fn new(account: Arc<Account>) -> Session {
        Session {
            account,
            decoder: Decoder::new(),
            subs: Subs::default(),
            permissions: Permissions::Full,
            via: Via::Unnamed,
            options: Flags {
                verbose: true,
                pedantic: true,
                echo: true,
                headers: false,
                no_responders: false,
                protocol: 0,
            },
            logins: 0,
        }
    }

    /// Where it publishes and subscribes.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What it is subscribed to.
    pub fn subs(&self) -> &Subs {
        &self.subs
    }

    /// Whether INFO may be sent at any time.
    pub fn takes_info(&self, endpoint: &Endpoint) -> bool {
        endpoint.phase == Phase::Open && endpoint.is_greeted && self.options.protocol >= 1
    }

    /// Handles what was read.
    pub fn feed(
        &mut self,
        endpoint: &mut Endpoint,
        mut input: &[u8],
        cx: &mut Context,
    ) -> Result<(), End> {
        let shared = cx.shared.clone();
        cx.router.stage.expect(input.len(), cx.now_ms);
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = loop {
            let mut limits = &shared.first_limits;
            if endpoint.phase == Phase::Open {
                limits = match self.via {
                    Via::Joining(_) => &shared.joining_limits,
                    _ => &shared.settings.limits,
                };
                if let Err(end) = self.publish_plain(endpoint, &decoder, &mut input, limits, cx) {
                    break Err(end);
                }
            }
            match decoder.next(&mut input, limits) {
                Ok(Some(ClientOp::Publish(publish))) if endpoint.phase == Phase::Open => {
                    if let Err(end) = self.publish(endpoint, &publish, input.is_empty(), cx) {
                        break Err(end);
                    }
                }
                Ok(Some(op)) => {
                    if let Err(end) = self.operate(endpoint, op, cx) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(end_of(fault, endpoint.phase)),
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
    fn publish_plain<'i>(
        &mut self,
        endpoint: &mut Endpoint,
        decoder: &Decoder,
        input: &mut &'i [u8],
        limits: &Limits,
        cx: &mut Context,
    ) -> Result<(), End> {
        let mut before: &'i [u8] = input;
        while let Some(publish) = decoder.next_plain(input, limits) {
            let tail_bytes = publish.tail.map_or(0, <[u8]>::len);
            let start = before.len().saturating_sub(input.len() + tail_bytes);
            let (start, tail) = before.split_at(start);
            let run = match input.starts_with(start) {
                true => self.open_run(endpoint, &publish, tail, cx),
                false => None,
            };
            if let Some(mut run) = run {
                run.add(&publish, tail);
                self.extend_run(&mut run, start, input, limits, cx);
                cx.router.close_run(self.origin(endpoint, input.is_empty()), run, start.len());
            } else {
                self.publish(endpoint, &publish, input.is_empty(), cx)?;
            }
            before = input;
            if cx.router.stage.is_full() {
                cx.flush();
            }
        }
        Ok(())
    }

    /// Begins a run with a message if those behind it can be handled like it.
    fn open_run<'i>(
        &mut self,
        endpoint: &mut Endpoint,
        first: &Publish<'_>,
        input: &'i [u8],
        cx: &mut Context,
    ) -> Option<Run<'i>> {
        let answers_each = self.options.verbose || self.options.pedantic;
        // Some subjects of the system are answered here.
        let may_differ = matches!(self.permissions, Permissions::Answering(_))
            || first.subject.first() == Some(&b'$');
        if answers_each || may_differ || (first.is_hpub && !self.options.headers) {
            return None;
        }
        self.permissions.publish(first.subject, first.reply, &mut cx.router.memo).ok()?;
        endpoint.is_active = true;
        cx.router.open_run(self.origin(endpoint, false), first, input)
    }

    /// Adds the messages that begin like the first one.
    #[inline]
    fn extend_run(
        &self,
        run: &mut Run<'_>,
        start: &[u8],
        input: &mut &[u8],
        limits: &Limits,
        cx: &mut Context,
    ) {
        while !run.is_full() {
            let mut rest: &[u8] = input;
            let Some(publish) = Decoder::next_same(start, &mut rest, limits) else { return };
            let memo = &mut cx.router.memo;
            let may_ask = publish.reply.is_none()
                || self.permissions.publish(publish.subject, publish.reply, memo).is_ok();
            if !may_ask || !run.takes(&publish) {
                return;
            }
            run.add(&publish, input.get(start.len()..).unwrap_or_default());
            *input = rest;
        }
    }

    fn origin<'o>(&'o self, endpoint: &'o Endpoint, is_last: bool) -> Origin<'o> {
        Origin {
            link: &endpoint.link,
            account: &self.account,
            echo: self.options.echo,
            no_responders: self.options.no_responders,
            is_last,
        }
    }

    fn operate(
        &mut self,
        endpoint: &mut Endpoint,
        op: ClientOp<'_>,
        cx: &mut Context,
    ) -> Result<(), End> {
        match op {
            ClientOp::Connect(json) => self.connect(endpoint, json, cx),
            _ if endpoint.phase != Phase::Open => {
                Err(End::refused("something came before CONNECT"))
            }
            ClientOp::Publish(publish) => self.publish(endpoint, &publish, true, cx),
            ClientOp::Subscribe { subject, queue, sid } => {
                endpoint.is_active = true;
                self.subscribe(endpoint, Wanted { subject, queue, sid }, cx)
            }
            ClientOp::Unsubscribe { sid, max } => {
                endpoint.is_active = true;
                self.unsubscribe(endpoint, sid, max, cx);
                Ok(())
            }
            ClientOp::Ping => {
                endpoint.is_active = true;
                self.pong(endpoint, cx);
                Ok(())
            }
            ClientOp::Pong => {
                endpoint.pings_out = 0;
                endpoint.record.ponged(cx.shared.started.elapsed());
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

    fn connect(
        &mut self,
        endpoint: &mut Endpoint,
        json: &[u8],
        cx: &mut Context,
    ) -> Result<(), End> {
        self.drop_subs(cx);
        let mut options = self.stored_options(endpoint);
        options.merge(json).map_err(|_| End::silent(Reason::BadJson))?;
        if options.asks_for_account {
            return Err(End::refused("an account was asked for"));
        }
        endpoint.peer.name = options.name.chars().take(NAME_CHARS_MAX).collect();
        self.count_login(&options)?;
        let entry = enter(&endpoint.peer, &options, cx)?;
        let protocol = u8::try_from(options.protocol).ok().filter(|protocol| *protocol <= 1);
        let Some(protocol) = protocol else {
            return Err(End::told(Reason::BadOptions, "invalid client protocol"));
        };
        if options.no_responders && !options.headers {
            let text = "no responders requires headers support";
            return Err(End::told(Reason::BadOptions, text));
        }
        let is_internal = matches!(endpoint.peer.kind, Kind::Internal { .. });
        if endpoint.phase != Phase::Open && !is_internal && !cx.shared.admit() {
            return Err(End::told(Reason::TooManyConnections, "maximum connections exceeded"));
        }
        endpoint.phase = Phase::Open;
        self.account = cx.shared.accounts.at(entry.account).clone();
        self.permissions = entry.permissions;
        self.via = entry.via;
        self.options = Flags {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers: options.headers,
            no_responders: options.no_responders,
            protocol,
        };
        endpoint.link.set_takes_headers(options.headers);
        endpoint.peer.library = Some(cx.libraries.share(&options.lang, &options.version));
        let user = self.via.user().unwrap_or_default();
        let account = &self.account.name;
        log::debug!("broker: connected {} account={account} user={user:?}", endpoint.peer);
        self.acknowledge(endpoint, cx);
        Ok(())
    }

    /// Signatures cost an event loop time. Clients log in once, and nobody needs to do so again and again.
    fn count_login(&mut self, options: &ConnectOptions) -> Result<(), End> {
        if !options.auth_token.is_empty() {
            self.logins = self.logins.saturating_add(1);
        }
        match self.logins > TOKEN_LOGINS_MAX {
            true => Err(End::refused("too many logins by token")),
            false => Ok(()),
        }
    }

    /// What an earlier CONNECT said, for the next one to be merged over.
    fn stored_options(&self, endpoint: &Endpoint) -> ConnectOptions {
        ConnectOptions {
            verbose: self.options.verbose,
            pedantic: self.options.pedantic,
            echo: self.options.echo,
            headers: self.options.headers,
            no_responders: self.options.no_responders,
            protocol: i64::from(self.options.protocol),
            name: endpoint.peer.name.clone(),
            ..ConnectOptions::default()
        }
    }

    fn acknowledge(&self, endpoint: &Endpoint, cx: &mut Context) {
        if self.options.verbose {
            cx.router.stage.answer(&endpoint.link, b"+OK\r\n");
        }
    }

    #[inline]
    fn publish(
        &mut self,
        endpoint: &mut Endpoint,
        publish: &Publish<'_>,
        is_last: bool,
        cx: &mut Context,
    ) -> Result<(), End> {
        endpoint.is_active = true;
        if publish.is_hpub && !self.options.headers {
            return Err(End::silent(Reason::HeadersNotAgreed));
        }
        if self.options.pedantic && !valid_publish(publish.subject) {
            endpoint.complain("Invalid Publish Subject", cx);
        }
        let memo = &mut cx.router.memo;
        if let Err(violation) = self.permissions.publish(publish.subject, publish.reply, memo) {
            endpoint.complain(&violation.to_string(), cx);
            return Ok(());
        }
        self.acknowledge(endpoint, cx);
        if *publish.subject == *USER_INFO
            && let Some(reply) = publish.reply
        {
            self.tell_who_it_is(endpoint, reply, cx);
            return Ok(());
        }
        let origin = self.origin(endpoint, is_last);
        cx.router.publish(origin, publish);
        Ok(())
    }

    /// Answers a question of the connection about itself.
    fn tell_who_it_is(&self, endpoint: &Endpoint, reply: &[u8], cx: &mut Context) {
        let user = self.user(endpoint);
        let left = self.expires_ms().map(|at| Duration::from_millis(at.saturating_sub(cx.now_ms)));
        let account = &self.account.name;
        let payload = user_info(&cx.shared, user, account, &self.permissions, left);
        let (link, account) = (&endpoint.link, &self.account);
        let origin = Origin { link, account, echo: true, no_responders: false, is_last: false };
        let (subject, headers) = (reply, &[][..]);
        let answer = Publish {
            subject,
            reply: None,
            is_hpub: false,
            headers,
            payload: &payload,
            tail: None,
        };
        cx.router.publish(origin, &answer);
    }

    /// Who it is: the user, or the name in its certificate.
    pub fn user<'a>(&'a self, endpoint: &'a Endpoint) -> &'a str {
        let user = self.via.user().or(endpoint.peer.identity.as_deref());
        user.unwrap_or_default()
    }

    fn subscribe(
        &mut self,
        endpoint: &mut Endpoint,
        wanted: Wanted<'_>,
        cx: &mut Context,
    ) -> Result<(), End> {
        if !valid_subscribe(wanted.subject) {
            endpoint.complain("Invalid Subject", cx);
            return Ok(());
        }
        if let Err(violation) = self.permissions.subscribe(wanted.subject, wanted.queue) {
            endpoint.complain(&violation.to_string(), cx);
            return Ok(());
        }
        let subs_max = self.via.subscriptions_max().unwrap_or(cx.settings.subscriptions_max);
        if self.subs.len() >= subs_max {
            self.subs.drop_ended();
            if self.subs.len() >= subs_max {
                endpoint.complain("maximum subscriptions exceeded", cx);
                return Ok(());
            }
        }
        if self.subs.find(wanted.sid).is_none() {
            let terms = self.permissions.terms(wanted.subject, wanted.queue);
            let accounts = &cx.router.accounts;
            self.subs.add(accounts.subscribe(&self.account, &endpoint.link, wanted, terms));
        }
        self.acknowledge(endpoint, cx);
        Ok(())
    }

    fn unsubscribe(&mut self, endpoint: &Endpoint, sid: &[u8], max: Option<u64>, cx: &mut Context) {
        if let Some(sub) = self.subs.find(sid).cloned() {
            cx.router.stage.settle(&endpoint.link);
            let stays = max.is_some_and(|max| sub.set_limit(max));
            if !stays {
                self.subs.remove(sid);
                cx.router.accounts.unsubscribe(std::iter::once(&sub));
            }
        }
        self.acknowledge(endpoint, cx);
    }

    fn pong(&mut self, endpoint: &mut Endpoint, cx: &mut Context) {
        cx.router.stage.answer(&endpoint.link, b"PONG\r\n");
        if !std::mem::replace(&mut endpoint.is_greeted, true) && self.takes_info(endpoint) {
            let peer = &endpoint.peer;
            let account = Some(&*self.account);
            let line = cx.shared.connection_info(peer.client_id, peer.address, account);
            cx.router.stage.answer(&endpoint.link, &line);
        }
    }

    /// When the token ends that it came in with.
    pub fn expires_ms(&self) -> Option<u64> {
        self.via.expires_ms()
    }

    /// Decides again whether it may stay and what it may do, after settings have changed.
    pub fn readmit(&mut self, endpoint: &mut Endpoint, cx: &mut Context) -> Result<(), End> {
        if endpoint.phase != Phase::Open {
            return Ok(());
        }
        let blank = ConnectOptions::default();
        let attempt = attempt(&endpoint.peer, &blank, "", cx);
        let entry = cx.shared.gate().readmit(&self.via, &attempt);
        let Some(entry) = entry.map_err(|refusal| End::refused(refusal.to_string()))? else {
            return Ok(());
        };
        if entry.account != self.account.index {
            return Err(End::refused(Refusal::AccountChanged.to_string()));
        }
        self.via = entry.via;
        if !self.permissions.is_like(&entry.permissions) {
            self.permissions = entry.permissions;
            self.review_subs(endpoint, cx);
        }
        Ok(())
    }

    /// Drops the subscriptions it may not have any more, and puts the others under their new terms.
    fn review_subs(&mut self, endpoint: &Endpoint, cx: &mut Context) {
        cx.router.stage.settle(&endpoint.link);
        let subs = std::mem::take(&mut self.subs);
        for sub in subs.iter().filter(|sub| !sub.is_ended()) {
            let queue = sub.queue().map(|name| &**name);
            if let Err(violation) = self.permissions.subscribe(&sub.subject, queue) {
                endpoint.complain(&violation.to_string(), cx);
                cx.router.accounts.unsubscribe(std::iter::once(sub));
                continue;
            }
            let terms = self.permissions.terms(&sub.subject, queue);
            if terms.is_none() && sub.terms().is_none() {
                self.subs.add(sub.clone());
            } else if let Some(sub) = cx.router.accounts.replace(sub, terms) {
                self.subs.add(sub);
            }
        }
    }

    /// Ends every subscription.
    pub fn drop_subs(&mut self, cx: &mut Context) {
        if self.subs.len() > 0 {
            cx.router.accounts.unsubscribe(self.subs.iter());
            self.subs = Subs::default();
        }
    }
}

/// What a connection shows of itself.
fn attempt<'a>(
    peer: &Peer,
    options: &'a ConnectOptions,
    nonce: &'a str,
    cx: &Context,
) -> Attempt<'a> {
    let tls = match (peer.is_tls, &peer.identity) {
        (false, _) => TlsState::Off,
        (true, None) => TlsState::Anonymous,
        (true, Some(_)) => TlsState::Verified,
    };
    let kind = match peer.kind {
        // No route has a session of a client.
        Kind::Client | Kind::Route => ConnectionType::Standard,
        Kind::WebSocket => ConnectionType::Websocket,
        Kind::Internal { .. } => ConnectionType::InProcess,
    };
    Attempt {
        address: peer.address.ip(),
        tls,
        kind,
        user: &options.user,
        password: &options.pass,
        token: &options.auth_token,
        nonce,
        signature: &options.sig,
        now: SystemTime::now(),
        now_ms: cx.now_ms,
    }
}

/// The place of a connection, unless it is refused.
fn enter(peer: &Peer, options: &ConnectOptions, cx: &Context) -> Result<Entry, End> {
    let gate = cx.shared.gate();
    if let Kind::Internal { account } = peer.kind {
        return Ok(gate.internal(account));
    }
    let nonce = match options.auth_token.is_empty() || !gate.takes_tokens() {
        true => String::new(),
        false => cx.shared.nonces.of(peer.client_id),
    };
    let attempt = attempt(peer, options, &nonce, cx);
    gate.admit(&attempt).map_err(|refusal| End::refused(refusal.to_string()))
}

/// The end of a connection that broke the protocol.
fn end_of(fault: Fault, phase: Phase) -> End {
    match fault {
        Fault::BadArguments { .. } | Fault::PayloadTooLarge { .. } if phase != Phase::Open => {
            End::refused("something came before CONNECT")
        }
        fault => End { say: fault.answer().map(Cow::Borrowed), reason: Reason::Protocol(fault) },
    }
}

/// Times one connection may log in with a token.
const TOKEN_LOGINS_MAX: u8 = 10;

/// Characters of a client's name that are kept.
const NAME_CHARS_MAX: usize = 128;

/// The limits that hold before a connection is admitted: room for a CONNECT, none for messages.
pub(super) fn first_limits(limits: &Limits) -> Limits {
    Limits { payload_bytes_max: 0, ..limits.clone() }
}

/// The limits of connections that come for a certificate: room for one question.
pub(super) fn joining_limits(limits: &Limits) -> Limits {
    let payload_bytes_max = limits.payload_bytes_max.min(wire::QUESTION_BYTES_MAX);
    Limits { payload_bytes_max, ..limits.clone() }
}
