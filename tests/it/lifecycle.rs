//! Daemons: start, stop, signals, status, what they tell the network about themselves.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Broker, Client, Folder, Server, ServerOptions, wait_for};

#[test]
fn daemons_end_cleanly_on_sigterm() {
    let folder = Folder::new("sigterm");
    let mut broker = Broker::start(&folder);
    let mut server =
        Server::start(&folder, "n1.example.net", broker.port, &ServerOptions::default());
    let start = Instant::now();
    server.process.signal("TERM");
    assert_eq!(server.process.wait(), 0, "{}", server.process.output());
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0, "{}", broker.process.output());
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}

#[test]
fn a_broker_ends_within_five_seconds_with_stuck_clients() {
    let folder = Folder::new("sigterm_stuck");
    let mut broker = Broker::start(&folder);
    // Half-open sockets: one silent before TLS, one that reads nothing.
    let silent: Vec<_> =
        (0..5).map(|_| TcpStream::connect(("127.0.0.1", broker.port)).expect("connects")).collect();
    let start = Instant::now();
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0, "{}", broker.process.output());
    assert!(start.elapsed() < Duration::from_secs(6), "took {:?}", start.elapsed());
    drop(silent);
}

#[test]
fn lame_duck_mode_tells_clients_and_takes_no_new_ones() {
    let folder = Folder::new("lame_duck");
    let broker = Broker::start_plain(&folder);
    let mut client = TcpStream::connect(("127.0.0.1", broker.port)).expect("connects");
    std::io::Write::write_all(
        &mut client,
        b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n",
    )
    .expect("writes");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout can be set");
    let mut text = String::new();
    read_until(&mut client, &mut text, "PONG\r\n");
    broker.process.signal("USR2");
    read_until(&mut client, &mut text, "\"ldm\":true");
    wait_for("new connections to be refused", || {
        TcpStream::connect(("127.0.0.1", broker.port)).is_err().then_some(())
    });
}

fn read_until(stream: &mut TcpStream, text: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !text.contains(wanted) {
        let count = stream
            .read(&mut buffer)
            .unwrap_or_else(|error| panic!("no {wanted} in {text}: {error}"));
        assert!(count > 0, "closed before {wanted}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn a_server_returns_after_its_broker_did() {
    let folder = Folder::new("broker_returns");
    let broker = Broker::start(&folder);
    let _server = Server::start(&folder, "n1.example.net", broker.port, &ServerOptions::default());
    let client = Client::alice(&folder, broker.port);
    assert_eq!(client.run(&["find"]).stdout, "n1.example.net\n");
    let broker = broker.restart(&folder);
    wait_for("the server to answer again", || {
        (client.run(&["find"]).stdout == "n1.example.net\n").then_some(())
    });
    drop(broker);
}

#[test]
fn a_server_waits_for_its_broker() {
    let folder = Folder::new("broker_later");
    let first = Broker::start(&folder);
    let port = first.port;
    drop(first);
    let mut server = Server::spawn(&folder, "n1.example.net", port, &ServerOptions::default());
    server.process.wait_for_line("cannot connect");
    fs::remove_file(folder.file("broker.log")).expect("log can be removed");
    let _broker =
        Broker::start_with(&folder, &format!("plugin.choria.network.client_port = {port}\n"));
    server.process.wait_for_line("server: started");
}

#[test]
fn the_status_file_tells_how_a_server_does() {
    let folder = Folder::new("status_file");
    let broker = Broker::start(&folder);
    let options = ServerOptions {
        extra: "plugin.choria.status_update_interval = 1\n",
        ..ServerOptions::default()
    };
    let _server = Server::start(&folder, "n1.example.net", broker.port, &options);
    let client = Client::alice(&folder, broker.port);
    assert_eq!(client.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code, 0);
    let status = folder.file("n1.example.net.status.json");
    let value = wait_for("the request to be counted", || {
        let value: Value = serde_json::from_str(&fs::read_to_string(&status).ok()?).ok()?;
        (value["stats"]["replies"].as_i64()? >= 1).then_some(value)
    });
    assert_eq!(value["identity"], "n1.example.net");
    assert_eq!(value["provisioning_mode"], false);
    assert!(
        value["connected_server"]
            .as_str()
            .is_some_and(|url| url.contains(&broker.port.to_string())),
        "{value}"
    );
    let path = status.to_str().expect("path is text");
    let done = client.run(&["tool", "status", "--status-file", path, "--certificate-age", "1h"]);
    assert_eq!((done.code, done.stdout.contains("OK")), (0, true), "{done:?}");
}
