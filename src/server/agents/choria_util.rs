//! `choria_util`: the connection of a server, and its autonomous agents (server notes 6.3).
//!
//! No autonomous agents are hosted yet: there are none to list and none to find.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{VERSION, metadata};
use crate::ddl;
use crate::net::servers::{Server, parse_hosts};
use crate::protocol::rpc::StatusCode;
use crate::server::agent::{ActionFuture, Agent, Call, Failure, Metadata, Outcome};
use crate::server::node::Node;

const NAME: &str = "choria_util";
const TIMEOUT_SECS: u64 = 10;
const CLIENT_FLAVOUR: &str = "choria";

/// The agent.
pub struct ChoriaUtil {
    metadata: Metadata,
    ddl: &'static ddl::Agent,
}

impl ChoriaUtil {
    /// The agent, if its description is compiled in.
    pub fn new() -> Option<ChoriaUtil> {
        let ddl = ddl::builtin::agent(NAME)?;
        let metadata = metadata(NAME, "Choria Utilities", TIMEOUT_SECS, "https://choria.io");
        Some(ChoriaUtil { metadata, ddl })
    }
}

impl Agent for ChoriaUtil {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn ddl(&self) -> &ddl::Agent {
        self.ddl
    }

    fn handle<'a>(&'a self, call: &'a Call) -> ActionFuture<'a> {
        let outcome = match call.action.as_str() {
            "info" => Ok(info(&call.node)),
            "machine_states" => Ok(json!({"machine_names": [], "machine_ids": [], "states": {}})),
            "machine_state" => machine_state(call),
            "machine_transition" => machine_transition(call),
            other => Err(Failure::aborted(format!("{NAME} does not have {other}"))),
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn info(node: &Node) -> Value {
    let config = |key: &str| node.config_items.lookup(key);
    let traffic = node.link.traffic();
    let connection = &node.connection;
    let servers = brokers(config("plugin.choria.middleware_hosts"));
    let urls: Vec<_> = servers.iter().map(Server::to_string).collect();
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    json!({
        "security": "choria",
        "secure_protocol": connection.is_signed,
        "connector": "choria",
        "connector_tls": connection.is_tls,
        "path": std::env::var("PATH").unwrap_or_default(),
        "choria_version": format!("choria {VERSION}"),
        "client_version": VERSION,
        "client_flavour": CLIENT_FLAVOUR,
        "client_options": {
            "servers": urls,
            "dont_randomize_servers": false,
            "name": connection.name,
            "pedantic": false,
            "secure": connection.is_tls,
            "allow_reconnect": true,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.0,
            "connect_timeout": secs(connection.connect_timeout),
            "ping_interval": secs(connection.ping_interval),
            "max_outstanding_pings": connection.pings_outstanding_max,
        },
        "connected_server": node.link.connected_url().unwrap_or_default(),
        "client_stats": {
            "in_msgs": traffic.in_messages,
            "out_msgs": traffic.out_messages,
            "in_bytes": traffic.in_bytes,
            "out_bytes": traffic.out_bytes,
            "reconnects": traffic.reconnects,
        },
        "facter_domain": "",
        "facter_command": "",
        "srv_domain": config("plugin.choria.srv_domain").filter(Value::is_string).unwrap_or_else(|| json!("")),
        "using_srv": config("plugin.choria.use_srv").is_some_and(|value| value == json!(true)),
        "middleware_servers": addresses,
    })
}

/// The configured brokers, without credentials. What is not a list of hosts is none.
fn brokers(configured: Option<Value>) -> Vec<Server> {
    let items = configured.and_then(|value| serde_json::from_value::<Vec<String>>(value).ok());
    parse_hosts(&items.unwrap_or_default()).unwrap_or_default()
}

fn secs(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn machine_state(call: &Call) -> Outcome {
    let is_searched = ["instance", "name", "path"].iter().any(|name| !call.text(name).is_empty());
    let message = if is_searched { "No running machines" } else { "No search criteria given" };
    let data = ["name", "state", "version"].map(|key| (key.to_owned(), json!("unknown machine")));
    let (code, message) = (StatusCode::Aborted, message.to_owned());
    Err(Failure { code, message, data: Map::from_iter(data) })
}

fn machine_transition(call: &Call) -> Outcome {
    let transition = call.text("transition");
    let message = format!(
        "Could not perform {transition} transition: this server hosts no autonomous agents"
    );
    let data = Map::from_iter([("success".to_owned(), json!(false))]);
    Err(Failure { code: StatusCode::Aborted, message, data })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::protocol::Request;
    use crate::server::testing::{self, Recorder};

    fn ask(action: &str, data: Value) -> Outcome {
        let agent = ChoriaUtil::new().unwrap();
        let Value::Object(data) = data else { panic!("inputs are an object") };
        let now = SystemTime::UNIX_EPOCH;
        let request = Request::new(NAME, "mcollective", "shell", "choria=alice", now);
        let node = Arc::new(testing::node(Arc::new(Recorder::default())));
        let call = Call { action: action.to_owned(), data, request: Arc::new(request), node };
        smol::block_on(agent.handle(&call))
    }

    #[test]
    fn info_has_every_declared_output() {
        let info = ask("info", json!({})).unwrap();
        let agent = ChoriaUtil::new().unwrap();
        let declared: Vec<_> = agent.ddl.action("info").unwrap().outputs.keys().collect();
        assert_eq!(info.as_object().unwrap().keys().collect::<Vec<_>>(), declared);
        assert_eq!(info["connected_server"], json!("nats://localhost:4222"));
        assert_eq!(info["middleware_servers"], json!(["localhost:4222"]));
        assert_eq!(info["client_options"]["servers"], json!(["nats://localhost:4222"]));
        assert_eq!(info["client_stats"]["in_msgs"], json!(3));
    }

    #[test]
    fn brokers_are_told_without_credentials() {
        let servers = brokers(Some(json!(["nats://u:secret@b1:4222", "[::1]:4223"])));
        let urls: Vec<_> = servers.iter().map(Server::to_string).collect();
        assert_eq!(urls, ["nats://b1:4222", "nats://[::1]:4223"]);
        let addresses: Vec<_> = servers.iter().map(Server::address).collect();
        assert_eq!(addresses, ["b1:4222", "[::1]:4223"]);
        assert!(brokers(None).is_empty());
        assert!(brokers(Some(json!("b1:4222"))).is_empty());
    }

    #[test]
    fn there_are_no_machines() {
        let states = ask("machine_states", json!({})).unwrap();
        assert_eq!(states, json!({"machine_names": [], "machine_ids": [], "states": {}}));
        for (data, text) in [
            (json!({}), "No search criteria given"),
            (json!({"name": "x"}), "No running machines"),
            (json!({"instance": "a-b-c-d-e"}), "No running machines"),
        ] {
            let failure = ask("machine_state", data).unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (StatusCode::Aborted, text));
            assert_eq!(failure.data["state"], json!("unknown machine"));
        }
        let failure = ask("machine_transition", json!({"transition": "GO"})).unwrap_err();
        assert!(failure.message.starts_with("Could not perform GO transition: "));
        assert_eq!(failure.data["success"], json!(false));
    }
}
