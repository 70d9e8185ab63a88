//! Reports about what is elsewhere: routes to other brokers; leaf nodes, gateways and streams, of which there are none;
//! and whether all is well.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::Monitor;
use super::options::HealthzOptions;
use super::text::{Stamp, uptime};
use super::varz::Empty;
use crate::broker::RouteReport;
use crate::util::duration;

/// The routes to other brokers of the cluster.
#[derive(Debug, Serialize)]
pub(super) struct Routez {
    server_id: String,
    server_name: String,
    now: Stamp,
    num_routes: usize,
    routes: Vec<RouteInfo>,
}

/// One of them. How many messages were sent there is not counted one by one.
#[derive(Debug, Serialize)]
struct RouteInfo {
    rid: u64,
    remote_id: String,
    remote_name: String,
    did_solicit: bool,
    is_configured: bool,
    ip: String,
    port: u16,
    start: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<String>,
    uptime: String,
    pending_size: usize,
    in_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: u64,
}

impl RouteInfo {
    fn of(report: RouteReport, now: SystemTime) -> RouteInfo {
        let rtt = report.round_trip;
        RouteInfo {
            rid: report.rid,
            remote_id: report.remote_id,
            remote_name: report.remote_name,
            did_solicit: report.did_solicit,
            is_configured: report.is_configured,
            ip: report.address.ip().to_canonical().to_string(),
            port: report.address.port(),
            start: Stamp(now.checked_sub(report.uptime).unwrap_or(now)),
            rtt: (!rtt.is_zero()).then(|| duration::go(rtt)),
            uptime: uptime(report.uptime),
            pending_size: report.pending_bytes,
            in_msgs: report.in_messages,
            in_bytes: report.in_bytes,
            out_bytes: report.out_bytes,
            subscriptions: report.subscriptions,
        }
    }
}

/// The leaf nodes.
#[derive(Debug, Serialize)]
pub(super) struct Leafz {
    server_id: String,
    now: Stamp,
    leafnodes: usize,
    leafs: Vec<Empty>,
}

/// The gateways.
#[derive(Debug, Serialize)]
pub(super) struct Gatewayz {
    server_id: String,
    now: Stamp,
    outbound_gateways: BTreeMap<String, Empty>,
    inbound_gateways: BTreeMap<String, Empty>,
}

/// The streams.
#[derive(Debug, Serialize)]
pub(super) struct Jsz {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: Api,
    server_id: String,
    now: Stamp,
    disabled: bool,
    config: JszConfig,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    total: u64,
}

#[derive(Debug, Default, Serialize)]
struct Api {
    level: u64,
    total: u64,
    errors: u64,
}

#[derive(Debug, Default, Serialize)]
struct JszConfig {
    max_memory: u64,
    max_storage: u64,
}

/// Whether all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Health {
    pub status: &'static str,
    /// The HTTP status; not shown over HTTP, where it stands elsewhere.
    #[serde(skip_serializing_if = "is_unset")]
    pub status_code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub error: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<HealthError>,
}

/// One thing that is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct HealthError {
    #[serde(rename = "type")]
    kind: u8,
    error: &'static str,
}

fn is_unset(code: &u16) -> bool {
    *code == 0
}

const CONNECTION: u8 = 0;
const BAD_REQUEST: u8 = 1;

impl Health {
    fn bad(
        status: &'static str,
        code: u16,
        kind: u8,
        error: &'static str,
        details: bool,
    ) -> Health {
        match details {
            true => {
                let errors = vec![HealthError { kind, error }];
                Health { status: "error", status_code: code, error: "", errors }
            }
            false => Health { status, status_code: code, error, errors: Vec::new() },
        }
    }
}

impl Monitor {
    pub(super) fn routez(&self) -> Routez {
        let (now, reports) = (SystemTime::now(), self.observer.routes());
        Routez {
            server_id: self.server_id().to_owned(),
            server_name: self.server_name().to_owned(),
            now: Stamp(now),
            num_routes: reports.len(),
            routes: reports.into_iter().map(|report| RouteInfo::of(report, now)).collect(),
        }
    }

    pub(super) fn leafz(&self) -> Leafz {
        let (server_id, now) = (self.server_id().to_owned(), Stamp(SystemTime::now()));
        Leafz { server_id, now, leafnodes: 0, leafs: Vec::new() }
    }

    pub(super) fn gatewayz(&self) -> Gatewayz {
        Gatewayz {
            server_id: self.server_id().to_owned(),
            now: Stamp(SystemTime::now()),
            outbound_gateways: BTreeMap::new(),
            inbound_gateways: BTreeMap::new(),
        }
    }

    pub(super) fn jsz(&self) -> Jsz {
        Jsz {
            memory: 0,
            storage: 0,
            reserved_memory: 0,
            reserved_storage: 0,
            accounts: 0,
            ha_assets: 0,
            api: Api::default(),
            server_id: self.server_id().to_owned(),
            now: Stamp(SystemTime::now()),
            disabled: true,
            config: JszConfig::default(),
            streams: 0,
            consumers: 0,
            messages: 0,
            bytes: 0,
            total: 0,
        }
    }

    /// Streams are not there, and whoever asks about one is not told that it is well.
    pub(super) fn healthz(&self, options: &HealthzOptions) -> Health {
        let details = options.details;
        if options.account.is_empty() && !options.stream.is_empty() {
            let text = "\"account\" must not be empty when checking stream health";
            return Health::bad("error", 400, BAD_REQUEST, text, details);
        }
        if options.stream.is_empty() && !options.consumer.is_empty() {
            let text = "\"stream\" must not be empty when checking consumer health";
            return Health::bad("error", 400, BAD_REQUEST, text, details);
        }
        if self.observer.has_failed() {
            return Health::bad("unavailable", 503, CONNECTION, "an event loop failed", details);
        }
        Health { status: "ok", status_code: 200, error: "", errors: Vec::new() }
    }
}
