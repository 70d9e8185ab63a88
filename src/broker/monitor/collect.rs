//! How an event loop answers: it walks over its connections once, ranks what fits by a few figures, and makes reports
//! of those only that end up on the page.

use std::sync::Arc;
use std::time::Duration;

use super::question::{
    ConnectionQuery, ConnectionState, Detail, Figures, Key, PAGE_MAX, Part, SubscriptionQuery,
    keep_first,
};
use super::{
    AccountReport, CertificateReport, Closed, ConnectionReport, Library, Question,
    SubscriptionReport, Traffic,
};
use crate::broker::connection::Connection;
use crate::broker::end::Reason;
use crate::broker::endpoint::Phase;
use crate::broker::interest::Sub;
use crate::broker::listeners::Kind;
use crate::broker::shared::{Context, Shared};
use crate::broker::slab::Slab;
use crate::crypto::hash::sha256_hex;
use crate::crypto::x509::Certificate;
use crate::nats::subject::{matches, overlaps};

/// Subscriptions listed in one answer, over all of its connections.
const LISTED_MAX: usize = 100_000;

/// What an event loop knows.
pub(in crate::broker) struct Sources<'s> {
    pub connections: &'s Slab<Connection>,
    pub closed: &'s Closed,
    pub cx: &'s Context,
}

/// A connection that fits a question.
enum Candidate<'s> {
    Open(&'s Connection),
    Closed(&'s Arc<ConnectionReport>),
}

impl Sources<'_> {
    /// Answers. Whoever asked may be gone; then nobody hears it. Returns the connections whose round-trip time would
    /// have been of interest and is not known yet.
    pub fn answer(&self, question: Question) -> Vec<u64> {
        let mut unmeasured = Vec::new();
        match question {
            Question::Connections { query, answer } => {
                let _ = answer.try_send(self.connections(&query, &mut unmeasured));
            }
            Question::Subscriptions { query, answer } => {
                let _ = answer.try_send(self.subscriptions(&query));
            }
            Question::Accounts { answer } => {
                let _ = answer.try_send(self.accounts());
            }
            Question::Lookups { answer } => {
                let _ = answer.try_send(self.cx.router.lookups());
            }
            Question::Turn { answer } => {
                let _ = answer.try_send(());
            }
        }
        unmeasured
    }

    /// The connections that are shown: not those of this process, nor those that were told to go.
    fn shown(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().filter(|connection| {
            let endpoint = &connection.endpoint;
            endpoint.peer.kind.is_client() && endpoint.phase != Phase::Closing
        })
    }

    fn account_index(&self, name: &str) -> Option<u32> {
        let account = self.cx.shared.accounts.find(name.as_bytes());
        account.map(|account| account.index)
    }

    fn connections(
        &self,
        query: &ConnectionQuery,
        unmeasured: &mut Vec<u64>,
    ) -> Part<ConnectionReport> {
        let account = query.account.as_deref().map(|name| self.account_index(name));
        let mut found: Vec<(Key, Candidate<'_>)> = Vec::new();
        if query.state != ConnectionState::Closed {
            let fits = |connection: &&Connection| {
                let is_in =
                    account.is_none_or(|wanted| wanted == connection.protocol.account_index());
                is_in && fits_open(query, connection)
            };
            found.extend(self.shown().filter(fits).map(|connection| {
                let key = query.order.key(figures(connection));
                (key, Candidate::Open(connection))
            }));
        }
        if query.state != ConnectionState::Open {
            let fits = |report: &&Arc<ConnectionReport>| {
                let is_in = account.is_none_or(|wanted| wanted == Some(report.account));
                let is_user = query.user.as_deref().is_none_or(|user| *user == *report.user);
                let is_cid = query.cid.is_none_or(|cid| cid == report.cid);
                is_in && is_user && is_cid && query.subject.is_none()
            };
            found.extend(self.closed.iter().filter(fits).map(|report| {
                let key = query.order.key(closed_figures(report, &self.cx.shared));
                (key, Candidate::Closed(report))
            }));
        }
        let total = found.len();
        keep_first(&mut found, query.offset.saturating_add(query.limit.min(PAGE_MAX)));
        let mut budget = LISTED_MAX;
        let mut report = |candidate: Candidate<'_>| match candidate {
            Candidate::Closed(report) => ConnectionReport::clone(report),
            Candidate::Open(connection) => {
                let mut report = report(connection, &self.cx.shared, query.detail);
                if report.rtt.is_none() {
                    unmeasured.push(connection.token());
                }
                if query.detail.subscriptions {
                    report.listed =
                        subs(connection).take(budget).map(|sub| detail(sub, report.cid)).collect();
                    budget -= report.listed.len();
                }
                report
            }
        };
        let found = found.into_iter().map(|(key, candidate)| (key, report(candidate))).collect();
        Part { total, found }
    }

    fn subscriptions(&self, query: &SubscriptionQuery) -> Part<SubscriptionReport> {
        let account = query.account.as_deref().map(|name| self.account_index(name));
        let mut connections: Vec<_> = self
            .connections
            .values()
            .filter(|connection| {
                account.is_none_or(|wanted| wanted == connection.protocol.account_index())
            })
            .collect();
        connections.sort_unstable_by_key(|connection| connection.endpoint.peer.client_id);
        let room = query.offset.saturating_add(query.limit).min(LISTED_MAX);
        let mut part = Part { total: 0, found: Vec::new() };
        for connection in connections {
            let cid = connection.endpoint.peer.client_id;
            for sub in subs(connection) {
                let subject = query.subject.as_deref();
                if subject.is_some_and(|subject| !matches(&sub.subject, subject.as_bytes())) {
                    continue;
                }
                let key = Key { rank: cid, text: "", number: part.total as u64 };
                part.total += 1;
                if part.found.len() < room {
                    part.found.push((key, detail(sub, cid)));
                }
            }
        }
        part
    }

    fn accounts(&self) -> Vec<AccountReport> {
        let mut reports = self.cx.account_reports.clone();
        for connection in self.shown().filter(|connection| connection.is_admitted) {
            let index =
                connection.protocol.account_index().and_then(|index| usize::try_from(index).ok());
            if let Some(report) = index.and_then(|index| reports.get_mut(index)) {
                report.connections += 1;
            }
        }
        reports
    }
}

fn fits_open(query: &ConnectionQuery, connection: &Connection) -> bool {
    let peer = &connection.endpoint.peer;
    let is_cid = query.cid.is_none_or(|cid| cid == peer.client_id);
    let is_user = query.user.as_deref().is_none_or(|user| user == user_of(connection));
    let has_subject = query.subject.as_deref().is_none_or(|subject| {
        subs(connection).any(|sub| overlaps(&sub.subject, subject.as_bytes()))
    });
    is_cid && is_user && has_subject
}

fn subs(connection: &Connection) -> impl Iterator<Item = &Arc<Sub>> {
    connection.protocol.session().into_iter().flat_map(|session| session.subs().iter())
}

/// Who it is; empty while that is not known.
fn user_of(connection: &Connection) -> &str {
    let session = connection.protocol.session();
    session.map_or("", |session| session.user(&connection.endpoint))
}

fn subs_count(connection: &Connection) -> usize {
    connection.protocol.session().map_or(0, |session| session.subs().len())
}

fn traffic(connection: &Connection) -> Traffic {
    let record = &connection.endpoint.record;
    let session = connection.protocol.session();
    Traffic {
        in_messages: record.in_messages,
        in_bytes: record.in_bytes,
        out_messages: session.map_or(0, |session| session.subs().delivered()),
        out_bytes: connection.endpoint.link.amounts().1,
    }
}

fn figures(connection: &Connection) -> Figures {
    let endpoint = &connection.endpoint;
    Figures {
        cid: endpoint.peer.client_id,
        subscriptions: subs_count(connection) as u64,
        pending_bytes: endpoint.link.amounts().0 as u64,
        traffic: traffic(connection),
        active_ms: endpoint.record.active_ms,
        closed_ms: 0,
        reason: "",
        rtt_us: endpoint.record.rtt().unwrap_or_default().as_micros() as u64,
    }
}

fn closed_figures(report: &ConnectionReport, shared: &Shared) -> Figures {
    let since = |time: std::time::SystemTime| {
        time.duration_since(shared.started_at).unwrap_or_default().as_millis() as u64
    };
    Figures {
        cid: report.cid,
        subscriptions: report.subscriptions as u64,
        pending_bytes: report.pending_bytes,
        traffic: report.traffic,
        active_ms: since(report.active),
        closed_ms: report.closed.map_or(0, |(time, _)| since(time)),
        reason: report.closed.map_or("", |(_, reason)| reason),
        rtt_us: report.rtt.unwrap_or_default().as_micros() as u64,
    }
}

/// What is known about a connection.
pub(in crate::broker) fn report(
    connection: &Connection,
    shared: &Shared,
    detail: Detail,
) -> ConnectionReport {
    let endpoint = &connection.endpoint;
    let (peer, record) = (&endpoint.peer, &endpoint.record);
    let at = |ms: u64| shared.started_at + Duration::from_millis(ms);
    let certificate = connection.transport().peer_chain().first().filter(|_| detail.certificate);
    ConnectionReport {
        cid: peer.client_id,
        transport: if peer.kind == Kind::WebSocket { "websocket" } else { "nats" },
        address: peer.address,
        opened: at(record.opened_ms),
        active: at(record.active_ms),
        closed: None,
        rtt: record.rtt(),
        pending_bytes: endpoint.link.amounts().0 as u64,
        traffic: traffic(connection),
        subscriptions: subs_count(connection),
        name: peer.name.as_str().into(),
        library: peer.library.clone().unwrap_or_else(no_library),
        user: user_of(connection).into(),
        account: connection.protocol.account_index().unwrap_or_default(),
        tls: connection.transport().tls_names(),
        certificate: certificate.map(|der| Box::new(describe(der))),
        listed: Vec::new(),
    }
}

/// What is kept of a connection that ends now.
pub(in crate::broker) fn last_report(
    connection: &Connection,
    cx: &Context,
    reason: &Reason,
) -> Arc<ConnectionReport> {
    let mut report = report(connection, &cx.shared, Detail::default());
    let now = cx.shared.started_at + Duration::from_millis(cx.now_ms);
    report.closed = Some((now, reason.words()));
    Arc::new(report)
}

fn no_library() -> Arc<Library> {
    static NONE: std::sync::OnceLock<Arc<Library>> = std::sync::OnceLock::new();
    NONE.get_or_init(Arc::default).clone()
}

fn detail(sub: &Arc<Sub>, cid: u64) -> SubscriptionReport {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    SubscriptionReport {
        account: sub.account,
        subject: text(&sub.subject),
        queue: sub.queue().map(|name| &**name).map(text).unwrap_or_default(),
        sid: text(sub.sid()),
        delivered: sub.delivered(),
        max: sub.limit(),
        cid,
    }
}

fn describe(der: &[u8]) -> CertificateReport {
    let certificate = Certificate::from_der(der).ok();
    let name = certificate.as_ref().and_then(Certificate::common_name);
    let key = certificate.as_ref().map(|certificate| sha256_hex(certificate.public_key_der()));
    CertificateReport {
        subject: name.map(|name| format!("CN={name}")).unwrap_or_default(),
        spki_sha256: key.unwrap_or_default(),
        cert_sha256: sha256_hex(der),
    }
}
