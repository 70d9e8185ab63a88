//! `/varz`: the broker as a whole.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Monitor;
use super::text::{Float, Stamp, nanos, seconds, uptime};
use crate::broker::{RouteReport, Settings};
use crate::sys;

/// Everything about the broker that is not about single connections.
#[derive(Debug, Serialize)]
pub(super) struct Varz {
    server_id: String,
    server_name: String,
    version: String,
    proto: i64,
    go: String,
    host: String,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connect_urls: Vec<String>,
    max_connections: usize,
    ping_interval: u64,
    ping_max: u8,
    http_host: String,
    http_port: u16,
    http_base_path: &'static str,
    https_port: u16,
    auth_timeout: Float,
    max_control_line: usize,
    max_payload: i64,
    max_pending: usize,
    cluster: Cluster,
    gateway: Empty,
    leaf: Empty,
    mqtt: Empty,
    websocket: WebSocket,
    jetstream: Empty,
    tls_timeout: Float,
    write_deadline: u64,
    start: Stamp,
    now: Stamp,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: Float,
    connections: u64,
    total_connections: u64,
    routes: usize,
    remotes: usize,
    leafnodes: usize,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: u64,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: Stamp,
    config_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_account: Option<String>,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    choria: Choria,
}

/// A block of a feature that is not there.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Empty {}

/// The cluster that the broker belongs to.
#[derive(Debug, Serialize)]
struct Cluster {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<Float>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<Float>,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
}

/// The port for WebSockets.
#[derive(Debug, Default, Serialize)]
struct WebSocket {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    no_tls: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_origins: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    compression: bool,
}

/// A count by kind of connection.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    pub fn clients(clients: u64) -> ByKind {
        ByKind { clients, ..ByKind::default() }
    }
}

/// What only we say.
#[derive(Debug, Serialize)]
struct Choria {
    version: String,
    identity: String,
    admitted: u64,
    refused: u64,
    panics: u64,
    lost_events: u64,
    lame_duck: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Monitor {
    pub(super) fn varz(&self) -> Varz {
        let info = self.observer.info();
        let (settings, loaded) = self.observer.settings();
        let counts = self.observer.statistics();
        let routes = self.observer.routes();
        let from_routes = |count: fn(&RouteReport) -> u64| routes.iter().map(count).sum::<u64>();
        let in_routed = from_routes(|route| route.in_messages);
        let in_routed_bytes = from_routes(|route| route.in_bytes);
        let out_routed_bytes = from_routes(|route| route.out_bytes);
        let now = SystemTime::now();
        let started = self.observer.started_at();
        Varz {
            server_id: info.server_id.clone(),
            server_name: self.server_name().to_owned(),
            version: info.version.clone(),
            proto: info.proto,
            go: info.go.clone(),
            host: settings.listen.ip().to_string(),
            port: info.port,
            auth_required: info.auth_required,
            tls_required: info.tls_required,
            tls_verify: info.tls_verify,
            connect_urls: info.connect_urls.clone(),
            max_connections: settings.connections_max,
            ping_interval: nanos(settings.ping_interval),
            ping_max: settings.pings_max,
            http_host: self.around.http.map(|http| http.ip().to_string()).unwrap_or_default(),
            http_port: self.around.http.map_or(0, |http| http.port()),
            http_base_path: "",
            https_port: 0,
            auth_timeout: seconds(settings.auth_timeout),
            max_control_line: settings.limits.control_line_bytes_max,
            max_payload: info.max_payload,
            max_pending: settings.pending_bytes_max,
            cluster: self.cluster(),
            gateway: Empty {},
            leaf: Empty {},
            mqtt: Empty {},
            websocket: web_socket(&settings),
            jetstream: Empty {},
            tls_timeout: seconds(settings.tls_timeout),
            write_deadline: nanos(settings.write_deadline),
            start: Stamp(started),
            now: Stamp(now),
            uptime: uptime(since(started, now)),
            mem: sys::memory_bytes().0,
            cores: cores(),
            gomaxprocs: cores(),
            cpu: Float(self.sampler.cpu_percent()),
            connections: counts.connections,
            total_connections: counts.total_connections,
            routes: routes.len(),
            // One route leads to each of them.
            remotes: routes.len(),
            leafnodes: 0,
            in_msgs: counts.in_messages,
            in_bytes: counts.in_bytes,
            in_client_msgs: counts.in_messages.saturating_sub(in_routed),
            in_client_bytes: counts.in_bytes.saturating_sub(in_routed_bytes),
            out_msgs: counts.out_messages,
            out_bytes: counts.out_bytes,
            out_client_msgs: counts.out_messages,
            out_client_bytes: counts.out_bytes.saturating_sub(out_routed_bytes),
            slow_consumers: counts.slow_consumers,
            stale_connections: counts.stale_connections,
            stalled_clients: 0,
            subscriptions: counts.subscriptions,
            http_req_stats: self.requests(),
            config_load_time: Stamp(loaded),
            config_digest: self.config_digest(loaded),
            system_account: self.system_account().map(str::to_owned),
            slow_consumer_stats: ByKind::clients(counts.slow_consumers),
            stale_connection_stats: ByKind::clients(counts.stale_connections),
            choria: Choria {
                version: self.around.version.clone(),
                identity: self.around.identity.clone(),
                admitted: counts.admitted,
                refused: counts.refused,
                panics: counts.panics,
                lost_events: self.observer.lost_events(),
                lame_duck: self.observer.is_lame(),
            },
        }
    }
}

impl Monitor {
    fn cluster(&self) -> Cluster {
        let (settings, _) = self.observer.settings();
        let on = settings.cluster.as_ref();
        let address = self.observer.cluster_addr().or(on.map(|cluster| cluster.listen));
        let timeout = on.map(|_| seconds(settings.auth_timeout));
        let is_tls = on.is_some_and(|cluster| cluster.tls.is_some());
        Cluster {
            name: settings.cluster_name.clone(),
            addr: address.map(|address| address.ip().to_string()),
            cluster_port: address.map(|address| address.port()),
            auth_timeout: timeout,
            tls_timeout: timeout,
            tls_required: is_tls,
            tls_verify: is_tls,
        }
    }
}

fn web_socket(settings: &Settings) -> WebSocket {
    let Some(websocket) = &settings.websocket else { return WebSocket::default() };
    WebSocket {
        host: Some(websocket.listen.ip().to_string()),
        port: Some(websocket.listen.port()),
        advertise: websocket.advertise.as_ref().map(|(host, port)| format!("{host}:{port}")),
        no_tls: settings.tls.is_none(),
        allowed_origins: websocket.origins.clone(),
        compression: true,
    }
}

/// Processors that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Time that passed, none when a clock was set back.
pub(super) fn since(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}
