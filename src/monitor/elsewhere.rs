//! Reports about what this broker has little or nothing of: routes, leaf nodes, gateways, streams; and its health.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::Monitor;
use super::options::HealthzOptions;
use super::text::Stamp;
use super::varz::Empty;

/// The routes to other brokers of the cluster.
#[derive(Debug, Serialize)]
pub(super) struct Routez {
    server_id: String,
    server_name: String,
    now: Stamp,
    num_routes: usize,
    routes: Vec<Empty>,
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
        Routez {
            server_id: self.server_id().to_owned(),
            server_name: self.server_name().to_owned(),
            now: Stamp(SystemTime::now()),
            num_routes: 0,
            routes: Vec::new(),
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
