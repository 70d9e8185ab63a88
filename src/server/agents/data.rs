//! Data sources: what `rpcutil#get_data` can ask a node.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::VERSION;
use crate::server::agent::{Failure, Outcome};
use crate::server::node::Node;

/// The sources there are, in order.
pub const NAMES: &[&str] = &["choria", "config_item"];

/// Asks a source; `query` matters to those that take one.
pub async fn query(node: &Node, source: &str, query: &str) -> Outcome {
    match source {
        "choria" => Ok(choria(node).await),
        "config_item" => {
            let value = node.config_items.lookup(query);
            Ok(json!({"present": value.is_some(), "value": value}))
        }
        _ => Err(Failure::aborted("Unknown data plugin")),
    }
}

async fn choria(node: &Node) -> Value {
    let stats = node.counters.snapshot();
    let classes = node.classes().await;
    let mut about = json!({
        "agents": node.agent_names(),
        "agents_count": node.agent_names().len(),
        "classes": *classes,
        "classes_count": classes.len(),
        "configfile": node.config_file.to_string_lossy(),
        "connected_broker": node.link.connected_url().unwrap_or_default(),
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "license": super::LICENSE,
        "machines": [],
        "machines_count": 0,
        "pid": std::process::id(),
        "provisioning": false,
        "uptime": node.uptime_secs(SystemTime::now()),
        "version": VERSION,
    });
    for (name, value) in [
        ("events", stats.events),
        ("filtered", stats.filtered),
        ("passed", stats.passed),
        ("replies", stats.replies),
        ("total", stats.total),
        ("ttlexpired", stats.ttl_expired),
        ("unvalidated", stats.invalid),
        ("validated", stats.valid),
    ] {
        about[name] = json!(value);
    }
    about
}
