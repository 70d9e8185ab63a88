//! Tells the system account what happens.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::broker::{ConnectionReport, Event, RouteReport, ServerStamp};
use crate::monitor::Monitor;
use crate::monitor::accounts::{AccountStat, DataStats};
use crate::monitor::text::{Float, Stamp, nanos};
use crate::monitor::varz::{ByKind, cores};
use crate::monitor::wire::{Wire, at_most};
use crate::sys;

/// Time between reports about the broker. It begins with more, as in nats-server.
const STATSZ_MAX: Duration = Duration::from_secs(10);
const STATSZ_FIRST: Duration = Duration::from_millis(250);
/// Time between reports about the connections of accounts.
const ACCOUNTS: Duration = Duration::from_secs(30);

/// The sender of events.
#[derive(Debug)]
pub(super) struct Events {
    monitor: Arc<Monitor>,
    /// The present connection to the system account.
    wire: Mutex<Option<Wire>>,
}

impl Events {
    pub fn new(monitor: Arc<Monitor>) -> Events {
        Events { monitor, wire: Mutex::default() }
    }

    /// From now on events go this way.
    pub fn use_wire(&self, wire: Wire) {
        *self.wire.lock().unwrap_or_else(PoisonError::into_inner) = Some(wire);
    }

    fn wire(&self) -> Option<Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_wanted(&self, subject: &str) -> bool {
        let account = self.monitor.system_account().unwrap_or_default();
        self.monitor.observer.is_wanted(account, subject)
    }

    async fn publish(&self, subject: &str, event: &impl Serialize) -> io::Result<()> {
        let Some(wire) = self.wire() else { return Ok(()) };
        match serde_json::to_vec(event) {
            Ok(payload) => wire.publish(subject, &payload).await,
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn publish_if_wanted(&self, subject: &str, event: impl Fn() -> Told) {
        if self.is_wanted(subject)
            && let Err(error) = self.publish(subject, &event()).await
        {
            log::debug!("monitor: cannot tell of a connection err={error}");
        }
    }

    /// Tells of connections that come, go and are refused.
    pub async fn tell_of_connections(&self) {
        let Some(events) = self.monitor.observer.events() else { return };
        while let Ok(event) = events.recv_async().await {
            match event {
                Event::Connected(report) => {
                    let account = self.monitor.observer.account_name(report.account);
                    let subject = format!("$SYS.ACCOUNT.{account}.CONNECT");
                    self.publish_if_wanted(&subject, || self.connected(&report)).await;
                }
                Event::Disconnected(report) => {
                    let account = self.monitor.observer.account_name(report.account);
                    let subject = format!("$SYS.ACCOUNT.{account}.DISCONNECT");
                    self.publish_if_wanted(&subject, || self.disconnected(&report)).await;
                }
                Event::Refused(report) => {
                    let id = self.monitor.server_id();
                    let subject = format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR");
                    self.publish_if_wanted(&subject, || self.disconnected(&report)).await;
                }
            }
        }
    }

    /// Tells how the broker and its accounts are, from time to time.
    pub async fn tell_regularly(&self) {
        let subject = format!("$SYS.SERVER.{}.STATSZ", self.monitor.server_id());
        let mut pause = STATSZ_FIRST;
        let mut since_accounts = Duration::ZERO;
        loop {
            smol::Timer::after(pause).await;
            since_accounts += pause;
            pause = (pause * 2).min(STATSZ_MAX);
            if self.is_wanted(&subject) {
                self.log_failure(self.publish(&subject, &self.monitor.statsz().await).await);
            }
            if since_accounts >= ACCOUNTS {
                since_accounts = Duration::ZERO;
                self.tell_of_accounts().await;
            }
        }
    }

    async fn tell_of_accounts(&self) {
        for account in self.monitor.observer.account_names() {
            let new = format!("$SYS.ACCOUNT.{account}.SERVER.CONNS");
            let old = format!("$SYS.SERVER.ACCOUNT.{account}.CONNS");
            let wanted: Vec<_> =
                [new, old].into_iter().filter(|subject| self.is_wanted(subject)).collect();
            if wanted.is_empty() {
                continue;
            }
            let Some(event) = self.monitor.account_connections(&account).await else { continue };
            for subject in wanted {
                self.log_failure(self.publish(&subject, &event).await);
            }
        }
    }

    fn log_failure(&self, result: io::Result<()>) {
        if let Err(error) = result {
            log::debug!("monitor: cannot tell how the broker is err={error}");
        }
    }

    /// Says a last word, within a limit.
    pub async fn say_farewell(&self, word: &str, limit: Duration) {
        let subject = format!("$SYS.SERVER.{}.{word}", self.monitor.server_id());
        at_most(limit, self.publish(&subject, &self.monitor.observer.stamp())).await;
    }

    fn connected(&self, report: &ConnectionReport) -> Told {
        let client = self.client(report);
        Told::new(
            "io.nats.server.advisory.v1.client_connect",
            self.monitor.observer.stamp(),
            client,
        )
    }

    fn disconnected(&self, report: &ConnectionReport) -> Told {
        let client = self.client(report);
        let kind = "io.nats.server.advisory.v1.client_disconnect";
        let mut told = Told::new(kind, self.monitor.observer.stamp(), client);
        // What the client sent is what it received from here, and the other way round.
        told.sent = Some(DataStats::received(report.traffic));
        told.received = Some(DataStats::sent(report.traffic));
        told.reason = report.closed.map(|(_, reason)| reason);
        told
    }

    fn client(&self, report: &ConnectionReport) -> ClientInfo {
        let is_closed = report.closed.is_some();
        ClientInfo {
            start: Stamp(report.opened),
            host: report.address.ip().to_canonical().to_string(),
            id: report.cid,
            acc: self.monitor.observer.account_name(report.account).to_owned(),
            user: report.user.clone(),
            name: report.name.clone(),
            lang: report.library.language.clone(),
            ver: report.library.version.clone(),
            rtt: report.rtt.filter(|_| is_closed).map(nanos),
            stop: report.closed.map(|(time, _)| Stamp(time)),
            kind: "Client",
            client_type: report.transport,
        }
    }
}

/// An event about a connection.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    head: Head,
    server: ServerStamp,
    client: ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<DataStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<DataStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// What all advisories begin with.
#[derive(Debug, Serialize)]
struct Head {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: Stamp,
}

impl Head {
    fn new(kind: &'static str) -> Head {
        Head { kind, id: event_id(), timestamp: Stamp(SystemTime::now()) }
    }
}

impl Told {
    fn new(kind: &'static str, server: ServerStamp, client: ClientInfo) -> Told {
        let head = Head::new(kind);
        Told { head, server, client, sent: None, received: None, reason: None }
    }
}

/// 22 characters that no other event has.
fn event_id() -> String {
    (0..22).map(|_| fastrand::alphanumeric()).collect()
}

/// A client in an event.
#[derive(Debug, Serialize)]
struct ClientInfo {
    start: Stamp,
    host: String,
    id: u64,
    acc: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Stamp>,
    kind: &'static str,
    client_type: &'static str,
}

/// The connections of an account.
#[derive(Debug, Serialize)]
pub(super) struct AccountConnections {
    #[serde(flatten)]
    head: Head,
    server: ServerStamp,
    #[serde(flatten)]
    stat: AccountStat,
}

/// Who a broker is.
#[derive(Debug, Serialize)]
pub(super) struct Idz {
    name: String,
    host: String,
    id: String,
}

/// How a broker is.
#[derive(Debug, Serialize)]
pub(super) struct Statsz {
    server: ServerStamp,
    statsz: Stats,
}

#[derive(Debug, Serialize)]
struct Stats {
    start: Stamp,
    mem: u64,
    cores: usize,
    cpu: Float,
    connections: u64,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: u64,
    sent: DataStats,
    sent_to_clients: DataStats,
    received: DataStats,
    received_from_clients: DataStats,
    slow_consumers: u64,
    slow_consumer_stats: ByKind,
    stale_connections: u64,
    stale_connection_stats: ByKind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteStat>,
    active_servers: usize,
    gomaxprocs: usize,
}

/// One route.
#[derive(Debug, Serialize)]
struct RouteStat {
    rid: u64,
    name: String,
    sent: DataStats,
    received: DataStats,
    pending: usize,
}

impl RouteStat {
    fn of(report: RouteReport) -> RouteStat {
        RouteStat {
            rid: report.rid,
            name: report.remote_name,
            sent: DataStats { msgs: 0, bytes: report.out_bytes },
            received: DataStats { msgs: report.in_messages, bytes: report.in_bytes },
            pending: report.pending_bytes,
        }
    }
}

impl Monitor {
    /// The connections of an account; nothing without any.
    pub(super) async fn account_connections(&self, account: &str) -> Option<AccountConnections> {
        let accounts = self.observer.accounts().await.into_iter();
        let report =
            accounts.filter(|report| report.connections > 0).find(|it| it.name == account)?;
        let head = Head::new("io.nats.server.advisory.v1.account_connections");
        Some(AccountConnections {
            head,
            server: self.observer.stamp(),
            stat: AccountStat::of(report),
        })
    }

    pub(super) fn idz(&self) -> Idz {
        let (name, host) = (self.server_name().to_owned(), self.observer.info().host.clone());
        Idz { name, host, id: self.server_id().to_owned() }
    }

    pub(super) async fn statsz(&self) -> Statsz {
        let counts = self.observer.statistics();
        let accounts = self.observer.accounts().await;
        let routes: Vec<_> = self.observer.routes().into_iter().map(RouteStat::of).collect();
        let sent = DataStats { msgs: counts.out_messages, bytes: counts.out_bytes };
        let received = DataStats { msgs: counts.in_messages, bytes: counts.in_bytes };
        Statsz {
            server: self.observer.stamp(),
            statsz: Stats {
                start: Stamp(self.observer.started_at()),
                mem: sys::memory_bytes().0,
                cores: cores(),
                cpu: Float(self.sampler.cpu_percent()),
                connections: counts.connections,
                total_connections: counts.total_connections,
                active_accounts: accounts.iter().filter(|it| it.connections > 0).count(),
                subscriptions: counts.subscriptions,
                sent,
                sent_to_clients: sent,
                received,
                received_from_clients: received,
                slow_consumers: counts.slow_consumers,
                slow_consumer_stats: ByKind::clients(counts.slow_consumers),
                stale_connections: counts.stale_connections,
                stale_connection_stats: ByKind::clients(counts.stale_connections),
                active_servers: routes.len() + 1,
                routes,
                gomaxprocs: cores(),
            },
        }
    }

    /// Whether a request is for this broker.
    pub(super) fn is_meant(&self, filter: &super::requests::Filter) -> bool {
        let info = self.observer.info();
        filter.fits(self.server_name(), &info.cluster, &info.host)
    }
}
