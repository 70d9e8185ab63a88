//! What there is to say about routes.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Cluster, Known};

/// One route that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReport {
    /// Number of the connection.
    pub rid: u64,
    /// Id of the other broker.
    pub remote_id: String,
    /// Its name.
    pub remote_name: String,
    /// NATS version it reports.
    pub remote_version: String,
    /// Where it is.
    pub address: SocketAddr,
    /// It was dialled here.
    pub did_solicit: bool,
    /// It stands in the configuration.
    pub is_configured: bool,
    /// Time of the last PING to its PONG.
    pub round_trip: Duration,
    /// Since when the route is up.
    pub uptime: Duration,
    /// Messages from there.
    pub in_messages: u64,
    /// Bytes of their headers and payloads.
    pub in_bytes: u64,
    /// Bytes that were sent there, of whole operations.
    pub out_bytes: u64,
    /// Subjects and queue groups that are wanted there.
    pub subscriptions: u64,
    /// Bytes that wait to be sent there.
    pub pending_bytes: usize,
}

impl Cluster {
    /// All routes; `now_ms` is the broker's clock.
    pub fn reports(&self, now_ms: u64) -> Vec<RouteReport> {
        self.routes().iter().map(|known| report(known, now_ms)).collect()
    }
}

fn report(known: &Known, now_ms: u64) -> RouteReport {
    let counts = &known.counts;
    let (pending_bytes, out_bytes) = known.link.amounts();
    let since_ms = counts.since_ms.load(Ordering::Relaxed);
    RouteReport {
        rid: known.client_id,
        remote_id: known.info.server_id.clone(),
        remote_name: known.info.server_name.clone(),
        remote_version: known.info.version.clone(),
        address: known.address,
        did_solicit: known.is_solicited,
        is_configured: known.is_configured,
        round_trip: Duration::from_millis(counts.round_trip_ms.load(Ordering::Relaxed)),
        uptime: Duration::from_millis(now_ms.saturating_sub(since_ms)),
        in_messages: counts.in_messages.load(Ordering::Relaxed),
        in_bytes: counts.in_bytes.load(Ordering::Relaxed),
        subscriptions: counts.interests.load(Ordering::Relaxed),
        out_bytes,
        pending_bytes,
    }
}
