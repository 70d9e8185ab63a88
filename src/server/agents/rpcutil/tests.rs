use std::sync::Arc;

use super::*;
use crate::protocol::Request;
use crate::server::testing::{self, Recorder};

fn ask(action: &str, data: Value) -> Outcome {
    let agent = RpcUtil::new().unwrap();
    let Value::Object(data) = data else { panic!("inputs are an object") };
    let now = SystemTime::UNIX_EPOCH;
    let request = Request::new(NAME, "mcollective", "shell", "choria=alice", now);
    let node = Arc::new(testing::node(Arc::new(Recorder::default())));
    let call = Call { action: action.to_owned(), data, request: Arc::new(request), node };
    smol::block_on(agent.handle(&call))
}

fn check(action: &str, data: Value, expected: Value) {
    assert_eq!(ask(action, data), Ok(expected), "{action}");
}

#[test]
fn facts_are_looked_up_by_path() {
    let fact = |path: &str, value: Value| {
        check("get_fact", json!({"fact": path}), json!({"fact": path, "value": value}));
    };
    fact("country", json!("mt"));
    fact("os.release.major", json!(12));
    fact("disks.1", json!("sdb"));
    fact("disks.#", json!(2));
    fact("processors", json!({"count": 4, "models": ["EPYC 7B13", "EPYC 7B13"]}));
    fact("role", Value::Null);
    fact("nosuch.thing", Value::Null);
    fact(r"dotted\.key", json!("yes"));
    check(
        "get_facts",
        json!({"facts": "country, os.family ,nosuch"}),
        json!({"values": {"country": "mt", "os.family": "Debian", "nosuch": null}}),
    );
}

#[test]
fn inventory_tells_all() {
    check(
        "inventory",
        json!({}),
        json!({
            "agents": ["choria_policy", "choria_util", "discovery", "odd", "rpcutil"],
            "classes": ["apache", "nginx", "role::web", "role::web::frontend", "settings"],
            "collectives": ["mcollective", "mt_collective"], "main_collective": "mcollective",
            "data_plugins": ["choria", "config_item"], "facts": testing::facts(),
            "machines": [], "version": VERSION, "upgradable": false,
        }),
    );
    check(
        "collective_info",
        json!({}),
        json!({"main_collective": "mcollective", "collectives": ["mcollective", "mt_collective"]}),
    );
}

#[test]
fn agent_inventory_has_the_metadata_of_each() {
    let reply = ask("agent_inventory", json!({})).unwrap();
    let agents = reply["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 5);
    assert_eq!(
        agents[4],
        json!({
            "agent": "rpcutil", "name": "rpcutil", "description": "Choria RPC Utilities",
            "author": "R.I.Pienaar <rip@devco.net>", "license": "Apache-2.0", "timeout": 2,
            "url": "http://choria.io", "version": VERSION,
        })
    );
}

#[test]
fn daemon_stats_has_every_field() {
    let reply = ask("daemon_stats", json!({})).unwrap();
    let keys: Vec<_> = reply.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "agents",
            "configfile",
            "events",
            "filtered",
            "passed",
            "pid",
            "replies",
            "starttime",
            "threads",
            "times",
            "total",
            "ttlexpired",
            "unvalidated",
            "validated",
            "version",
        ]
    );
    assert_eq!(reply["starttime"], json!(1_700_000_000));
    assert_eq!(reply["times"], json!({"cstime": 0, "cutime": 0, "stime": 0, "utime": 0}));
    assert_eq!(reply["configfile"], json!("/etc/choria/server.conf"));
}

#[test]
fn configuration_and_data() {
    let unknown_key = Err(Failure::aborted("Unknown key"));
    check(
        "get_config_item",
        json!({"item": "loglevel"}),
        json!({"item": "loglevel", "value": "info"}),
    );
    assert_eq!(ask("get_config_item", json!({"item": "nosuch"})), unknown_key);
    let query =
        |source: &str, query: &str| ask("get_data", json!({"source": source, "query": query}));
    assert_eq!(query("nosuch", ""), Err(Failure::aborted("Unknown data plugin")));
    assert_eq!(query("config_item", "loglevel"), Ok(json!({"present": true, "value": "info"})));
    assert_eq!(query("config_item", "x"), Ok(json!({"present": false, "value": null})));
    let choria = query("choria", "").unwrap();
    assert_eq!(choria["agents_count"], json!(5));
    assert_eq!(choria["connected_broker"], json!("nats://localhost:4222"));
}

#[test]
fn every_declared_action_is_there_and_answers_what_it_declares() {
    let agent = RpcUtil::new().unwrap();
    for action in &agent.ddl.actions {
        let inputs =
            json!({"fact": "country", "facts": "country", "item": "loglevel", "source": "choria"});
        let reply = ask(&action.name, inputs).unwrap_or_else(|e| panic!("{}: {e:?}", action.name));
        for output in action.outputs.keys() {
            assert!(reply.get(output).is_some(), "{} has no {output}", action.name);
        }
    }
    let pong = ask("ping", json!({})).unwrap()["pong"].as_i64().unwrap();
    assert!((time::unix_secs(SystemTime::now()) - pong).abs() < 5);
}
