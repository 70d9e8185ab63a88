//! `rpcutil`: what a server tells about itself (server notes 6.2).

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{VERSION, data, metadata};
use crate::ddl;
use crate::server::agent::{ActionFuture, Agent, Call, Failure, Metadata, Outcome};
use crate::server::node::Node;
use crate::util::{gjson, time};

const NAME: &str = "rpcutil";
const TIMEOUT_SECS: u64 = 2;

/// The agent.
pub struct RpcUtil {
    metadata: Metadata,
    ddl: &'static ddl::Agent,
}

impl RpcUtil {
    /// The agent, if its description is compiled in.
    pub fn new() -> Option<RpcUtil> {
        let ddl = ddl::builtin::agent(NAME)?;
        let metadata = metadata(NAME, "Choria RPC Utilities", TIMEOUT_SECS, "http://choria.io");
        Some(RpcUtil { metadata, ddl })
    }
}

impl Agent for RpcUtil {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn ddl(&self) -> &ddl::Agent {
        self.ddl
    }

    fn handle<'a>(&'a self, call: &'a Call) -> ActionFuture<'a> {
        Box::pin(async move {
            let node = &*call.node;
            match call.action.as_str() {
                "agent_inventory" => agent_inventory(node),
                "collective_info" => Ok(json!({
                    "main_collective": node.main_collective,
                    "collectives": node.collectives,
                })),
                "daemon_stats" => Ok(daemon_stats(node)),
                "get_config_item" => get_config_item(node, call.text("item")),
                "get_data" => data::query(node, call.text("source"), call.text("query")).await,
                "get_fact" => Ok(get_fact(node, call.text("fact")).await),
                "get_facts" => Ok(get_facts(node, call.text("facts")).await),
                "inventory" => Ok(inventory(node).await),
                "ping" => Ok(json!({"pong": time::unix_secs(SystemTime::now())})),
                other => Err(Failure::aborted(format!("{NAME} does not have {other}"))),
            }
        })
    }
}

fn agent_inventory(node: &Node) -> Outcome {
    let agents = node.agents().iter().map(|metadata| {
        let mut entry = json!(metadata);
        entry["agent"] = json!(metadata.name);
        entry
    });
    Ok(json!({"agents": agents.collect::<Vec<_>>()}))
}

fn daemon_stats(node: &Node) -> Value {
    let stats = node.counters.snapshot();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "agents": node.agent_names(),
        "configfile": node.config_file.to_string_lossy(),
        "filtered": stats.filtered,
        "pid": std::process::id(),
        "passed": stats.passed,
        "threads": [format!("choria {VERSION} on {cores} cores")],
        "replies": stats.replies,
        "starttime": time::unix_secs(node.started),
        "ttlexpired": stats.ttl_expired,
        "events": stats.events,
        "times": {"cstime": 0, "cutime": 0, "stime": 0, "utime": 0},
        "total": stats.total,
        "unvalidated": stats.invalid,
        "validated": stats.valid,
        "version": VERSION,
    })
}

fn get_config_item(node: &Node, item: &str) -> Outcome {
    match node.config_items.lookup(item) {
        Some(value) => Ok(json!({"item": item, "value": value})),
        None => Err(Failure::aborted("Unknown key")),
    }
}

async fn get_fact(node: &Node, fact: &str) -> Value {
    let facts = node.facts().await;
    json!({"fact": fact, "value": fact_value(&facts, fact)})
}

async fn get_facts(node: &Node, names: &str) -> Value {
    let facts = node.facts().await;
    let values: Map<String, Value> = names
        .split(',')
        .map(str::trim)
        .map(|name| (name.to_owned(), fact_value(&facts, name)))
        .collect();
    json!({"values": values})
}

/// The value at a path, null when there is none.
fn fact_value(facts: &Value, path: &str) -> Value {
    gjson::lookup(facts, path).map_or(Value::Null, |value| value.into_owned())
}

async fn inventory(node: &Node) -> Value {
    json!({
        "agents": node.agent_names(),
        "classes": *node.classes().await,
        "collectives": node.collectives,
        "data_plugins": data::NAMES,
        "facts": *node.facts().await,
        "machines": [],
        "main_collective": node.main_collective,
        "version": VERSION,
        "upgradable": false,
    })
}

#[cfg(test)]
mod tests;
