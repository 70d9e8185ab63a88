//! Who says something about itself: what every answer and event in the system account carries.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde::Serialize;

use crate::broker::shared::Shared;
use crate::util::time;

/// The broker that speaks (nats-server `server/events.go`, type ServerInfo).
#[derive(Debug, Clone, Serialize)]
pub struct ServerStamp {
    name: String,
    host: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(rename = "ver")]
    version: String,
    jetstream: bool,
    flags: u64,
    /// Counts what the broker said.
    seq: u64,
    time: String,
}

impl ServerStamp {
    /// The stamp of what is said next.
    pub(in crate::broker) fn next(shared: &Shared) -> ServerStamp {
        let info = shared.info();
        let name = if info.server_name.is_empty() { &info.server_id } else { &info.server_name };
        ServerStamp {
            name: name.clone(),
            host: info.host.clone(),
            id: info.server_id.clone(),
            cluster: info.cluster.clone(),
            version: info.version.clone(),
            jetstream: false,
            flags: 0,
            seq: shared.events.said.fetch_add(1, Ordering::Relaxed) + 1,
            time: time::rfc3339_nano(SystemTime::now()),
        }
    }
}
