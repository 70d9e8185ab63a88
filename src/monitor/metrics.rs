//! The figures for Prometheus, under the names Choria has given them (go-choria `broker/network/stats.go`).
//!
//! Totals are gauges there, and so they are here: rules and dashboards name the type.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Monitor;
use super::varz::cores;
use crate::sys;
use crate::util::exposition::{Exposition, Figures, escaped as label};

/// The media type of the text format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Figures as text. All but those of the process carry the identity.
struct Text {
    text: String,
    identity: String,
}

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.text, "{name}{{identity=\"{}\"}} {value}", self.identity);
    }

    fn of_process(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn build(&mut self, version: &str) {
        const NAME: &str = "choria_build_info";
        self.head(NAME, "counter", "Build information about the running program");
        let (identity, version) = (&self.identity, label(version));
        let labels = format!("identity=\"{identity}\",sha=\"unknown\",version=\"{version}\"");
        let _ = writeln!(self.text, "{NAME}{{{labels}}} 1");
    }

    fn process(&mut self, started: SystemTime) {
        let (resident, mapped) = sys::memory_bytes();
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        for (name, kind, help, value) in [
            ("cpu_seconds_total", "counter", "Processor time", sys::cpu_time().as_secs_f64()),
            ("resident_memory_bytes", "gauge", "Memory in RAM", resident as f64),
            ("virtual_memory_bytes", "gauge", "Memory that is mapped", mapped as f64),
            ("open_fds", "gauge", "Open files and sockets", sys::open_files() as f64),
            ("max_fds", "gauge", "Most files and sockets", sys::nofile_limit() as f64),
            ("start_time_seconds", "gauge", "Start in seconds since 1970", started.as_secs_f64()),
            ("cores", "gauge", "Processors that may be used", cores() as f64),
        ] {
            self.of_process(&format!("process_{name}"), kind, help, value);
        }
    }
}

/// The figures of roles that run without a router.
pub(super) fn of_roles(
    identity: &str,
    version: &str,
    started: SystemTime,
    roles: &[Arc<dyn Figures>],
) -> String {
    let mut text = Text { text: String::new(), identity: label(identity) };
    text.build(version);
    text.process(started);
    text.text + &shown(roles)
}

fn shown(roles: &[Arc<dyn Figures>]) -> String {
    let mut text = Exposition::default();
    roles.iter().for_each(|role| role.write(&mut text));
    text.finish()
}

impl Monitor {
    /// Everything, in the text format.
    pub(super) fn metrics(&self) -> String {
        let mut text = Text { text: String::new(), identity: label(&self.around.identity) };
        self.write_network(&mut text);
        write_streams(&mut text);
        text.build(&self.around.version);
        text.process(self.observer.started_at());
        text.text + &shown(&self.figures())
    }

    fn write_network(&self, text: &mut Text) {
        let counts = self.observer.statistics();
        let routes = self.observer.routes().len() as u64;
        for (name, help, value) in [
            ("connections", "Connections on the broker now", counts.connections),
            ("total_connections", "Connections since the start", counts.total_connections),
            ("routes", "Routes to other brokers now", routes),
            ("remotes", "Other brokers that are connected now", routes),
            ("leafnode_remotes", "Leaf nodes that are connected now", 0),
            ("in_msgs", "Messages received", counts.in_messages),
            ("out_msgs", "Messages sent", counts.out_messages),
            ("in_bytes", "Bytes of messages received", counts.in_bytes),
            ("out_bytes", "Bytes of messages sent", counts.out_bytes),
            (
                "slow_consumers",
                "Clients closed because they did not keep up",
                counts.slow_consumers,
            ),
            ("pending_bytes", "Bytes that wait for receivers now", counts.waiting_bytes),
            ("subscriptions", "Subscriptions now", counts.subscriptions),
            ("admitted", "Authenticated connections now", counts.admitted),
            (
                "stale_connections",
                "Clients closed without a sign of life",
                counts.stale_connections,
            ),
            ("refused", "Connections that were not let in", counts.refused),
            ("panics", "Connections closed by a fault of the broker", counts.panics),
            ("lost_events", "Events nobody took in time", self.observer.lost_events()),
        ] {
            text.gauge(&format!("choria_network_{name}"), help, value);
        }
    }
}

/// There are no streams, which is not the same as no figures: alarms on absent ones stay quiet.
fn write_streams(text: &mut Text) {
    for (name, help) in [
        ("memorystore_max", "Memory for streams"),
        ("filestore_max", "Bytes of files for streams"),
        ("memorystore_used", "Memory that streams take"),
        ("filestore_used", "Bytes of files that streams take"),
        ("streams", "Streams"),
        ("consumers", "Consumers of streams"),
        ("messages", "Messages in streams"),
        ("message_bytes", "Bytes of messages in streams"),
    ] {
        text.gauge(&format!("choria_network_stream_{name}"), help, 0);
    }
}
