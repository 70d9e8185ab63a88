//! A small fleet over TLS: discovery, filters, requests and their output as a user sees them.

use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;

use super::support::{Broker, Client, Folder, NatsServer, Server, ServerOptions};

const NODES: [(&str, &str, &str); 3] = [
    (
        "web1.example.net",
        "country: mt\nos:\n  family: Debian\n  cores: 4\nload: 0.5\nvirtual: true\n",
        "apache\nrole::web\n",
    ),
    (
        "web2.example.net",
        "country: de\nos:\n  family: Debian\n  cores: 8\nload: 1.5\nvirtual: false\n",
        "apache\nrole::web\n",
    ),
    (
        "db1.example.net",
        "country: mt\nos:\n  family: RedHat\n  cores: 16\nload: 2.5\nvirtual: true\n",
        "postgres\nrole::db\n",
    ),
];

/// A broker and the three nodes, shared by the tests of this file: they only ask.
struct Fleet {
    client: Client,
    port: u16,
    // Dropped in this order: servers, broker, then the folder they write to.
    _servers: Vec<Server>,
    _broker: Broker,
    folder: Folder,
}

/// The fleet, started by the first test that needs it and stopped with the last that holds it.
fn fleet() -> Arc<Fleet> {
    static RUNNING: Mutex<Weak<Fleet>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(fleet) = running.upgrade() {
        return fleet;
    }
    let folder = Folder::new("fleet");
    let broker = Broker::start(&folder);
    let _servers = start_nodes(&folder, broker.port);
    let client = Client::alice(&folder, broker.port);
    let fleet = Arc::new(Fleet { client, port: broker.port, _servers, _broker: broker, folder });
    *running = Arc::downgrade(&fleet);
    fleet
}

fn start_nodes(folder: &Folder, port: u16) -> Vec<Server> {
    NODES
        .iter()
        .map(|(identity, facts, classes)| {
            Server::start(folder, identity, port, &ServerOptions { facts, classes, extra: "" })
        })
        .collect()
}

/// The identities `choria find ARGS` prints, sorted.
fn found(client: &Client, args: &[&str]) -> Vec<String> {
    let done = client.run(&[&["find"], args].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let mut names: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn filters_choose_nodes() {
    let fleet = fleet();
    let all = ["db1.example.net", "web1.example.net", "web2.example.net"];
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &all),
        (&["-F", "country=mt"], &["db1.example.net", "web1.example.net"]),
        (&["-F", "os.family=redhat"], &["db1.example.net"]),
        (&["-F", "os.cores>=8"], &["db1.example.net", "web2.example.net"]),
        (&["-F", "os.cores<8"], &["web1.example.net"]),
        (&["-F", "load>1.5"], &["db1.example.net"]),
        (&["-F", "load>=1.5"], &["db1.example.net", "web2.example.net"]),
        (&["-F", "virtual!=true"], &["web2.example.net"]),
        (&["-F", "country!=mt"], &["web2.example.net"]),
        (&["-F", "os.family=~/^deb/"], &["web1.example.net", "web2.example.net"]),
        (&["-F", "country=mt", "-F", "os.family=Debian"], &["web1.example.net"]),
        (&["-F", "absent!=x"], &[]),
        (&["-C", "apache"], &["web1.example.net", "web2.example.net"]),
        (&["-C", "/^role::/"], &all),
        (&["-C", "apache", "-C", "postgres"], &[]),
        (&["-A", "rpcutil"], &all),
        (&["-A", "absent"], &[]),
        (&["-I", "/^web/"], &["web1.example.net", "web2.example.net"]),
        (&["-I", "db1.example.net", "-I", "/web2/"], &["db1.example.net", "web2.example.net"]),
        (&["-W", "apache country=mt"], &["web1.example.net"]),
        (&["--wf=country=de"], &["web2.example.net"]),
    ];
    for (args, wanted) in cases {
        assert_eq!(found(&fleet.client, args), *wanted, "choria find {args:?}");
    }
}

#[test]
fn ping_shows_each_node_and_statistics() {
    let fleet = fleet();
    let done = fleet.client.run(&["ping", "--expect", "3"]);
    assert_eq!(done.code, 0, "{done:?}");
    for (node, ..) in NODES {
        assert!(done.stdout.contains(&format!("{node:<40} time=")), "{done:?}");
    }
    assert!(done.stdout.contains("---- ping statistics ----\n3 replies max: "), "{done:?}");
}

#[test]
fn a_request_reports_every_node_in_json() {
    let fleet = fleet();
    let done = fleet.client.run(&["rpc", "rpcutil", "ping", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one JSON document");
    assert_eq!(document["agent"], "rpcutil");
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(3));
    assert_eq!(document["request_stats"]["ok"], 3);
    assert_eq!(document["request_stats"]["no_responses"], serde_json::json!([]));
    for reply in document["replies"].as_array().expect("replies is a list") {
        assert_eq!(reply["statuscode"], 0);
        assert!(reply["data"]["pong"].as_i64().is_some_and(|pong| pong > 1_600_000_000), "{reply}");
    }
}

#[test]
fn a_request_shows_replies_by_the_description_of_its_action() {
    let fleet = fleet();
    let done =
        fleet.client.run(&["rpc", "rpcutil", "get_fact", "fact=os.family", "-F", "country=mt"]);
    assert_eq!(done.code, 0, "{done:?}");
    for text in [
        "web1.example.net",
        "db1.example.net",
        "Fact: os.family",
        "Value: Debian",
        "Value: RedHat",
        "Summary of Value:",
    ] {
        assert!(done.stdout.contains(text), "no `{text}` in {done:?}");
    }
    assert!(!done.stdout.contains("web2.example.net"), "{done:?}");
}

#[test]
fn facts_groups_nodes_by_value() {
    let fleet = fleet();
    let done = fleet.client.run(&["facts", "country", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one JSON document");
    assert_eq!(document["mt"]["count"], 2);
    assert_eq!(document["de"]["identities"], serde_json::json!(["web2.example.net"]));
}

#[test]
fn inventory_shows_one_node() {
    let fleet = fleet();
    let done = fleet.client.run(&["inventory", "db1.example.net"]);
    assert_eq!(done.code, 0, "{done:?}");
    for text in ["db1.example.net", "postgres", "role::db", "rpcutil", "RedHat"] {
        assert!(done.stdout.contains(text), "no `{text}` in {done:?}");
    }
}

#[test]
fn nodes_come_from_a_file_or_standard_input() {
    let fleet = fleet();
    let list = fleet.folder.write("nodes.txt", "web1.example.net\ndb1.example.net\n");
    let list = list.to_str().expect("path is text");
    let done = fleet.client.run(&["rpc", "rpcutil", "ping", "--nodes", list, "--senders"]);
    let mut senders: Vec<_> = done.stdout.lines().collect();
    senders.sort_unstable();
    assert_eq!(senders, ["db1.example.net", "web1.example.net"], "{done:?}");

    let done = fleet.client.run_with_input(
        &["rpc", "rpcutil", "ping", "--nodes", "-", "--senders"],
        "web2.example.net\n",
    );
    assert_eq!(done.stdout, "web2.example.net\n", "{done:?}");
}

#[test]
fn a_silent_node_is_named_and_changes_the_exit_code() {
    let fleet = fleet();
    let list = fleet.folder.write("silent.txt", "web1.example.net\ngone.example.net\n");
    let done = fleet.client.run(&[
        "rpc",
        "rpcutil",
        "ping",
        "--nodes",
        list.to_str().expect("path is text"),
        "--timeout",
        "2",
    ]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.stdout.contains("gone.example.net") || done.stderr.contains("gone.example.net"),
        "{done:?}"
    );
    let list = fleet.folder.write("gone.txt", "gone.example.net\n");
    let done = fleet.client.run(&[
        "rpc",
        "rpcutil",
        "ping",
        "--nodes",
        list.to_str().expect("path is text"),
        "--timeout",
        "1",
    ]);
    assert_eq!(done.code, 4, "nothing was discovered, the list was given: {done:?}");
    let done = fleet.client.run(&["rpc", "rpcutil", "ping", "-F", "country=none"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.contains("did not discover any nodes"), "{done:?}");
}

#[test]
fn limits_and_batches_keep_their_count() {
    let fleet = fleet();
    let done = fleet.client.run(&["rpc", "rpcutil", "ping", "--limit", "2", "--json"]);
    let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one JSON document");
    assert_eq!(document["request_stats"]["discovered"], 2, "{done:?}");
    let done = fleet.client.run(&[
        "rpc",
        "rpcutil",
        "ping",
        "--batch",
        "1",
        "--batch-sleep",
        "1",
        "--json",
    ]);
    let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one JSON document");
    assert_eq!(document["request_stats"]["ok"], 3, "{done:?}");
    assert!(done.took.as_secs() >= 2, "two pauses of a second: {:?}", done.took);
}

#[test]
fn the_fleet_works_over_stock_nats_servers() {
    for program in [NatsServer::SYSTEM, NatsServer::CURRENT] {
        let folder = Folder::new("stock_nats");
        let nats = NatsServer::start(&folder, program);
        let servers = start_nodes(&folder, nats.port);
        let client = Client::alice(&folder, nats.port);
        let wanted = ["db1.example.net", "web1.example.net"];
        assert_eq!(found(&client, &["-F", "country=mt"]), wanted, "over {program}");
        let done = client.run(&["rpc", "rpcutil", "inventory", "--json"]);
        assert_eq!(done.code, 0, "over {program}: {done:?}");
        let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one document");
        assert_eq!(document["request_stats"]["ok"], servers.len(), "over {program}");
    }
}

#[test]
fn the_port_is_the_one_the_broker_said() {
    let fleet = fleet();
    assert_ne!(fleet.port, 0);
}
