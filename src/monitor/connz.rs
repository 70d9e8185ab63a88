//! `/connz`: the connections of clients.

use std::time::SystemTime;

use serde::Serialize;

use super::Monitor;
use super::options::{BadOption, ConnzOptions};
use super::subsz::SubDetail;
use super::text::{Stamp, uptime};
use super::varz::since;
use crate::broker::{
    ConnectionQuery, ConnectionReport, ConnectionState, Detail, Order, Page, SubscriptionReport,
};
use crate::util::duration;

/// Connections on a page unless another number is asked for.
const LIMIT: usize = 1024;

/// A page of connections.
#[derive(Debug, Serialize)]
pub(super) struct Connz {
    server_id: String,
    now: Stamp,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Vec<ConnInfo>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct ConnInfo {
    cid: u64,
    kind: &'static str,
    #[serde(rename = "type")]
    transport: &'static str,
    ip: String,
    port: u16,
    start: Stamp,
    last_activity: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Stamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<String>,
    uptime: String,
    idle: String,
    pending_bytes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_version: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_cipher_suite: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_peer_certs: Vec<PeerCert>,
    #[serde(skip_serializing_if = "str::is_empty")]
    authorized_user: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubDetail>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name_tag: String,
}

/// The certificate of a client.
#[derive(Debug, Serialize)]
struct PeerCert {
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    spki_sha256: String,
    cert_sha256: String,
}

impl Monitor {
    pub(super) async fn connz(&self, options: &ConnzOptions) -> Result<Connz, BadOption> {
        let query = query(options)?;
        let limit = query.limit;
        let page = match options.mqtt_client.is_empty() {
            true => self.observer.connections(query).await,
            // Nobody speaks MQTT here.
            false => Page { total: 0, offset: 0, limit, entries: Vec::new() },
        };
        let now = SystemTime::now();
        let entries = page.entries.into_iter();
        let connections: Vec<_> =
            entries.map(|report| self.connection(report, options, now)).collect();
        Ok(Connz {
            server_id: self.server_id().to_owned(),
            now: Stamp(now),
            num_connections: connections.len(),
            total: page.total,
            offset: page.offset,
            limit: page.limit,
            connections,
        })
    }

    fn connection(
        &self,
        report: ConnectionReport,
        options: &ConnzOptions,
        now: SystemTime,
    ) -> ConnInfo {
        let until = report.closed.map_or(now, |(time, _)| time);
        let (tls_version, tls_cipher_suite) = report.tls.unwrap_or_default();
        let account = self.observer.account_name(report.account);
        let shown_account = if options.auth { account } else { "" };
        let (names, details) = listed(report.listed, options.subscriptions_detail);
        let certificates = report.certificate.into_iter().map(|certificate| PeerCert {
            subject: certificate.subject,
            spki_sha256: certificate.spki_sha256,
            cert_sha256: certificate.cert_sha256,
        });
        ConnInfo {
            cid: report.cid,
            kind: "Client",
            transport: report.transport,
            ip: report.address.ip().to_canonical().to_string(),
            port: report.address.port(),
            start: Stamp(report.opened),
            last_activity: Stamp(report.active),
            stop: report.closed.map(|(time, _)| Stamp(time)),
            reason: report.closed.map_or("", |(_, reason)| reason),
            rtt: report.rtt.map(duration::go),
            uptime: uptime(since(report.opened, until)),
            idle: uptime(since(report.active, until)),
            pending_bytes: report.pending_bytes,
            in_msgs: report.traffic.in_messages,
            out_msgs: report.traffic.out_messages,
            in_bytes: report.traffic.in_bytes,
            out_bytes: report.traffic.out_bytes,
            subscriptions: report.subscriptions,
            name: report.name,
            lang: report.library.language.clone(),
            version: report.library.version.clone(),
            tls_version,
            tls_cipher_suite,
            tls_peer_certs: certificates.collect(),
            authorized_user: if options.auth { report.user } else { Box::default() },
            account: shown_account.to_owned(),
            subscriptions_list: names,
            subscriptions_list_detail: details,
            name_tag: shown_account.to_owned(),
        }
    }
}

/// Subscriptions as names, or with everything about them.
fn listed(list: Vec<SubscriptionReport>, in_detail: bool) -> (Vec<String>, Vec<SubDetail>) {
    let list = list.into_iter();
    match in_detail {
        true => (Vec::new(), list.map(|sub| SubDetail::of(sub, "")).collect()),
        false => (list.map(|sub| sub.subject).collect(), Vec::new()),
    }
}

fn query(options: &ConnzOptions) -> Result<ConnectionQuery, BadOption> {
    let order = order(&options.sort)?;
    let state = match options.state {
        1 => ConnectionState::Closed,
        2 => ConnectionState::Any,
        _ => ConnectionState::Open,
    };
    if matches!(order, Order::Stop | Order::Reason) && state != ConnectionState::Closed {
        let sort = &options.sort;
        return Err(BadOption(format!("sort by {sort} only valid on closed connections")));
    }
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let subject = given(&options.filter_subject).filter(|subject| subject != ">");
    if subject.is_some() && options.acc.is_empty() {
        return Err(BadOption("filter by subject only valid with account filtering".to_owned()));
    }
    Ok(ConnectionQuery {
        state,
        cid: Some(options.cid).filter(|cid| *cid > 0),
        account: given(&options.acc),
        user: given(&options.user),
        subject,
        detail: Detail {
            subscriptions: options.subscriptions || options.subscriptions_detail,
            certificate: options.auth,
        },
        order,
        offset: usize::try_from(options.offset).unwrap_or(0),
        limit: match (options.cid, usize::try_from(options.limit)) {
            (1.., _) => 1,
            (0, Ok(limit @ 1..)) => limit,
            _ => LIMIT,
        },
    })
}

fn order(sort: &str) -> Result<Order, BadOption> {
    Ok(match sort {
        "" | "cid" | "start" => Order::Cid,
        "subs" => Order::Subscriptions,
        "pending" => Order::Pending,
        "msgs_to" => Order::MessagesTo,
        "msgs_from" => Order::MessagesFrom,
        "bytes_to" => Order::BytesTo,
        "bytes_from" => Order::BytesFrom,
        "last" => Order::Active,
        "idle" => Order::Idle,
        "uptime" => Order::Uptime,
        "stop" => Order::Stop,
        "reason" => Order::Reason,
        "rtt" => Order::Rtt,
        _ => return Err(BadOption(format!("invalid sorting option: {sort}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_questions() {
        let options = ConnzOptions { offset: -1, limit: -1, ..ConnzOptions::default() };
        let plain = query(&options).expect("fine");
        assert_eq!((plain.offset, plain.limit, plain.order), (0, LIMIT, Order::Cid));
        let options = ConnzOptions { cid: 5, limit: 9, ..ConnzOptions::default() };
        let one = query(&options).expect("fine");
        assert_eq!((one.cid, one.limit), (Some(5), 1));
        let with = |sort: &str, state, filter: &str| {
            let options = ConnzOptions {
                sort: sort.into(),
                state,
                filter_subject: filter.into(),
                ..ConnzOptions::default()
            };
            query(&options).map(drop)
        };
        assert_eq!((with("stop", 1, ""), with("cid", 0, ">")), (Ok(()), Ok(())));
        for (sort, state, filter, expected) in [
            ("size", 0, "", "invalid sorting option: size"),
            ("stop", 0, "", "sort by stop only valid on closed connections"),
            ("reason", 2, "", "sort by reason only valid on closed connections"),
            ("", 0, "foo", "filter by subject only valid with account filtering"),
        ] {
            assert_eq!(with(sort, state, filter), Err(BadOption(expected.to_owned())));
        }
    }
}
