//! One route as a state machine: operations of another broker in, interest and messages to this one. It does no I/O.
//!
//! Whoever was dialled sends INFO at once; whoever dialled sends CONNECT and INFO. With the INFO of the other side the
//! route is up: both tell all they want, and from then on every change of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::learned::Learned;
use super::registry::{Counts, Known};
use super::{Cluster, Fault, Outcome, Ticket};
use crate::broker::account::Account;
use crate::broker::end::{End, Reason};
use crate::broker::endpoint::{Endpoint, Phase};
use crate::broker::home::add;
use crate::broker::interest::Elsewhere;
use crate::broker::router::Origin;
use crate::broker::session::first_limits;
use crate::broker::shared::Context;
use crate::nats::codec::route_info::{RouteConnect, RouteInfo};
use crate::nats::codec::{Publish, RouteDecoder, RouteMessage, RouteOp};
use crate::nats::subject::valid_subscribe;

/// Names of accounts and brokers are cut to this for the log.
const NAME_CHARS_MAX: usize = 128;

/// The protocol state of one route.
#[derive(Debug)]
pub(in crate::broker) struct Route {
    cluster: Arc<Cluster>,
    /// The dialler waits for what becomes of it; nothing when the other side dialled.
    ticket: Option<Ticket>,
    decoder: RouteDecoder,
    /// CONNECT came, or none is expected.
    is_connected: bool,
    /// What the other broker said about itself, from when the route is up.
    info: Option<Arc<RouteInfo>>,
    learned: Learned,
    counts: Arc<Counts>,
    /// The account of the last operation.
    account: Option<Arc<Account>>,
    /// When the last PING was sent.
    pub pinged_ms: u64,
}

impl Route {
    pub fn new(cluster: Arc<Cluster>, ticket: Option<Ticket>) -> Route {
        Route {
            cluster,
            is_connected: ticket.is_some(),
            ticket,
            decoder: RouteDecoder::new(),
            info: None,
            learned: Learned::default(),
            counts: Arc::default(),
            account: None,
            pinged_ms: 0,
        }
    }

    /// Begins to talk, as soon as bytes can go. The certificate is that of a broker that dialled.
    pub fn greet(
        &mut self,
        endpoint: &Endpoint,
        certificate: Option<&[u8]>,
        cx: &mut Context,
    ) -> Result<(), End> {
        if self.ticket.is_some() {
            cx.router.stage.answer(&endpoint.link, &self.cluster.connect_line());
        } else if endpoint.peer.is_tls {
            // Any certificate will do when a password is asked for as well.
            let has_password = !self.cluster.settings.user.is_empty();
            if !certificate.is_some_and(|it| has_password || self.cluster.is_peer(it)) {
                return Err(self.end(Fault::NotAPeer));
            }
        }
        self.say_info(endpoint, cx);
        Ok(())
    }

    /// Says what is to be known about this broker.
    pub fn say_info(&self, endpoint: &Endpoint, cx: &mut Context) {
        let is_lame = cx.shared.is_lame.load(Ordering::Relaxed);
        cx.router.stage.answer(&endpoint.link, &self.cluster.info_line(is_lame));
    }

    /// Time between PINGs.
    pub fn ping_interval(&self) -> Duration {
        self.cluster.settings.ping_interval
    }

    fn end(&self, fault: Fault) -> End {
        let say = fault.answer(&self.cluster.name).map(Into::into);
        End { reason: Reason::Route(fault), say }
    }

    /// Handles what was read.
    pub fn feed(
        &mut self,
        endpoint: &mut Endpoint,
        mut input: &[u8],
        cx: &mut Context,
    ) -> Result<(), End> {
        let cluster = self.cluster.clone();
        let first_limits = first_limits(&cluster.settings.limits);
        cx.router.stage.expect(input.len(), cx.now_ms);
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = loop {
            let limits = if self.info.is_some() { &cluster.settings.limits } else { &first_limits };
            match decoder.next(&mut input, limits) {
                Ok(Some(RouteOp::Message(message))) if self.info.is_some() => {
                    self.message(&message, input.is_empty(), endpoint, cx);
                }
                Ok(Some(op)) => {
                    if let Err(end) = self.operate(op, endpoint, cx) {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(_) if self.info.is_none() && input.first() == Some(&TLS_HANDSHAKE) => {
                    break Err(self.end(Fault::Encrypted));
                }
                Err(fault) => {
                    let say = fault.answer().map(Into::into);
                    break Err(End { say, reason: Reason::Protocol(fault) });
                }
            }
            if self.info.as_ref().is_some_and(|info| info.lnocu) {
                decoder.expect_leaf_origin();
            }
            if cx.router.stage.is_full() {
                cx.flush();
            }
        };
        self.decoder = decoder;
        self.counts.interests.store(self.learned.len() as u64, Ordering::Relaxed);
        result
    }

    fn operate(
        &mut self,
        op: RouteOp<'_>,
        endpoint: &mut Endpoint,
        cx: &mut Context,
    ) -> Result<(), End> {
        match op {
            RouteOp::Connect(json) => self.connect(json, endpoint),
            RouteOp::Err(text) => {
                let text = String::from_utf8_lossy(text).chars().take(NAME_CHARS_MAX).collect();
                Err(self.end(Fault::Told(text)))
            }
            _ if !self.is_connected => Err(self.end(Fault::Order)),
            RouteOp::Info(json) => self.info(json, endpoint, cx),
            RouteOp::Ping => {
                cx.router.stage.answer(&endpoint.link, b"PONG\r\n");
                Ok(())
            }
            RouteOp::Pong => {
                endpoint.pings_out = 0;
                let took = cx.now_ms.saturating_sub(self.pinged_ms);
                self.counts.round_trip_ms.store(took, Ordering::Relaxed);
                Ok(())
            }
            RouteOp::Ok => Ok(()),
            // Messages of a route that is up never come here.
            RouteOp::Message(_) => Err(self.end(Fault::Order)),
            _ if self.info.is_none() => Err(self.end(Fault::Order)),
            RouteOp::Interested { account, subject, queue } => {
                let (queue, weight) =
                    queue.map_or((None, 1), |(name, weight)| (Some(name), weight));
                self.interested(account, Elsewhere { subject, queue }, weight, endpoint, cx)
            }
            RouteOp::Uninterested { account, subject, queue } => {
                if let Some(account) = self.account(account, cx) {
                    let unwanted = Elsewhere { subject, queue };
                    self.learned.drop_one(&endpoint.link, &account, unwanted);
                }
                Ok(())
            }
        }
    }

    fn connect(&mut self, json: &[u8], endpoint: &mut Endpoint) -> Result<(), End> {
        if self.is_connected {
            // It means nothing the second time.
            return Ok(());
        }
        let connect = RouteConnect::decode(json)
            .map_err(|_| self.end(Fault::BadInfo("CONNECT is not the JSON it should be")))?;
        if !connect.lang.is_empty() {
            return Err(self.end(Fault::Client));
        }
        if !connect.gateway.is_empty() {
            return Err(self.end(Fault::Gateway(cut(&connect.gateway))));
        }
        if !self.cluster.is_welcome(&connect) {
            return Err(self.end(Fault::Credentials));
        }
        self.check_cluster(&connect.cluster)?;
        endpoint.peer.name = cut(&connect.name);
        self.is_connected = true;
        Ok(())
    }

    /// Old brokers do not name their cluster.
    fn check_cluster(&self, theirs: &str) -> Result<(), End> {
        if theirs.is_empty() || theirs == self.cluster.name {
            return Ok(());
        }
        Err(self.end(Fault::OtherCluster(cut(theirs))))
    }

    fn info(&mut self, json: &[u8], endpoint: &mut Endpoint, cx: &mut Context) -> Result<(), End> {
        let info = RouteInfo::decode(json)
            .map_err(|_| self.end(Fault::BadInfo("INFO is not the JSON it should be")))?;
        match &self.info {
            None => self.come_up(info, endpoint, cx),
            Some(own) if own.server_id == info.server_id => {
                if self.cluster.update(&info) {
                    cx.shared.clients_need_info();
                }
                Ok(())
            }
            Some(_) => {
                self.cluster.hear_of(&info);
                Ok(())
            }
        }
    }

    /// The other broker introduced itself.
    fn come_up(
        &mut self,
        info: RouteInfo,
        endpoint: &mut Endpoint,
        cx: &mut Context,
    ) -> Result<(), End> {
        // What is staged, our CONNECT and INFO above all, goes out before anything about others.
        cx.flush();
        let outcome = self.check(&info).and_then(|()| {
            let known = Known {
                info: Arc::new(info.clone()),
                link: endpoint.link.clone(),
                address: endpoint.peer.address,
                client_id: endpoint.peer.client_id,
                is_solicited: self.ticket.is_some(),
                is_configured: self.ticket.as_ref().is_some_and(|ticket| ticket.is_configured),
                counts: self.counts.clone(),
                is_lame: info.ldm,
            };
            self.cluster.register(known)
        });
        let report = match &outcome {
            Ok(()) => Outcome::Up(info.server_id.clone()),
            Err(Fault::Own) => Outcome::Own,
            Err(Fault::Duplicate) => Outcome::Duplicate(info.server_id.clone()),
            Err(_) => Outcome::Refused,
        };
        if let Some(ticket) = &self.ticket {
            ticket.report(report);
        }
        outcome.map_err(|fault| self.end(fault))?;
        self.counts.since_ms.store(cx.now_ms, Ordering::Relaxed);
        endpoint.phase = Phase::Open;
        endpoint.is_greeted = true;
        endpoint.peer.name = cut(&info.server_name);
        log::info!(
            "cluster: route is up {} id={:?} version={:?}",
            endpoint.peer,
            cut(&info.server_id),
            cut(&info.version)
        );
        let has_urls = !info.connect_urls.is_empty();
        self.info = Some(Arc::new(info));
        cx.router.accounts.iter().for_each(|account| account.interest.tell(&endpoint.link));
        if has_urls {
            cx.shared.clients_need_info();
        }
        Ok(())
    }

    fn check(&self, info: &RouteInfo) -> Result<(), Fault> {
        if info.server_id.is_empty() {
            return Err(Fault::BadInfo("it has no server_id"));
        }
        if info.server_id == self.cluster.id() {
            return Err(Fault::Own);
        }
        if !info.route_account.is_empty() {
            return Err(Fault::AccountRoute(cut(&info.route_account)));
        }
        if !info.headers {
            return Err(Fault::BadInfo("it has no headers"));
        }
        if !info.cluster.is_empty() && info.cluster != self.cluster.name {
            return Err(Fault::OtherCluster(cut(&info.cluster)));
        }
        Ok(())
    }

    /// The account of this name; nothing, and a line in the log, when there is none.
    fn account(&mut self, name: &[u8], cx: &Context) -> Option<Arc<Account>> {
        if let Some(account) = &self.account
            && account.name.as_bytes() == name
        {
            return Some(account.clone());
        }
        let account = cx.router.accounts.find(name).cloned();
        match &account {
            Some(_) => self.account.clone_from(&account),
            None => {
                let name = cut(&String::from_utf8_lossy(name));
                let text = format_args!("cluster: other broker uses unknown account={name:?}");
                self.cluster.log.log(log::Level::Debug, text);
            }
        }
        account
    }

    fn interested(
        &mut self,
        account: &[u8],
        wanted: Elsewhere<'_>,
        weight: u32,
        endpoint: &Endpoint,
        cx: &Context,
    ) -> Result<(), End> {
        let Some(account) = self.account(account, cx) else { return Ok(()) };
        if !valid_subscribe(wanted.subject) {
            return Ok(());
        }
        let max = self.cluster.settings.interests_max;
        let added = self.learned.add(&endpoint.link, &account, wanted, weight, max);
        added.map_err(|_| self.end(Fault::TooMuchInterest))
    }

    fn message(
        &mut self,
        message: &RouteMessage<'_>,
        is_last: bool,
        endpoint: &Endpoint,
        cx: &mut Context,
    ) {
        add(&self.counts.in_messages, 1);
        add(&self.counts.in_bytes, (message.headers.len() + message.payload.len()) as u64);
        let Some(account) = self.account(message.account, cx) else { return };
        let publish = Publish {
            subject: message.subject,
            reply: message.reply,
            is_hpub: message.has_header_size,
            headers: message.headers,
            payload: message.payload,
            tail: message.tail,
        };
        let origin = Origin {
            link: &endpoint.link,
            account: &account,
            echo: true,
            no_responders: false,
            is_last,
        };
        cx.router.publish_routed(origin, &publish, message.queues);
    }

    /// Takes back all that the other broker wants.
    pub fn withdraw(&mut self, endpoint: &Endpoint, cx: &mut Context) {
        let Some(info) = self.info.take() else { return };
        let link = &endpoint.link;
        self.cluster.remove(&info.server_id);
        cx.router.accounts.iter().for_each(|account| account.interest.stop_telling(link));
        self.learned.drop_all(link, &cx.router.accounts);
        log::info!("cluster: route is down {}", endpoint.peer);
        if !info.connect_urls.is_empty() {
            cx.shared.clients_need_info();
        }
    }
}

/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// A text of a peer, short enough for the log.
fn cut(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}
