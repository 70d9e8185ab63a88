//! The WebSocket port of `choria broker`, with foreign clients.

use std::path::PathBuf;
use std::process::Command;

use super::support::{Broker, Folder, Pki, free_port, peers};

/// A broker with a port for WebSockets, and the URL of that.
fn start(folder: &Folder, is_tls: bool) -> (Broker, String) {
    let port = free_port();
    let line = format!("plugin.choria.network.websocket_port = {port}\n");
    let (mut broker, scheme) = match is_tls {
        true => (Broker::start_with(folder, &line), "wss"),
        false => (Broker::start_plain_with(folder, &line), "ws"),
    };
    broker.process.wait_for_line(&format!("broker: listening for WebSockets on 127.0.0.1:{port}"));
    (broker, format!("{scheme}://localhost:{port}"))
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/interop")).join(name)
}

/// Runs flows of a foreign client.
fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.trim_end().ends_with("all flows passed"),
        "{text}\n{errors}"
    );
}

fn node(url: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script("nats_js_websocket.mjs")).arg(peers()).arg(url);
    command
}

fn python(url: &str) -> Command {
    let mut command = Command::new(peers().join("venv/bin/python"));
    command.arg(script("nats_py_websocket.py")).arg(url);
    command
}

#[test]
fn nats_js_works_over_a_web_socket() {
    let folder = Folder::new("nats_js_ws");
    let (_broker, url) = start(&folder, false);
    run(node(&url));
}

#[test]
fn nats_js_works_over_a_web_socket_with_tls() {
    let folder = Folder::new("nats_js_wss");
    let (_broker, url) = start(&folder, true);
    let leaf = Pki::shared().leaf("alice.mcollective");
    let mut command = node(&url);
    command.arg(&Pki::shared().ca).arg(&leaf.certificate).arg(&leaf.key);
    run(command);
}

#[test]
fn nats_py_works_over_a_web_socket() {
    let folder = Folder::new("nats_py_ws");
    let (_broker, url) = start(&folder, false);
    run(python(&url));
}

#[test]
fn nats_py_works_over_a_web_socket_with_tls() {
    let folder = Folder::new("nats_py_wss");
    let (_broker, url) = start(&folder, true);
    let leaf = Pki::shared().leaf("alice.mcollective");
    let mut command = python(&url);
    command.arg(&Pki::shared().ca).arg(&leaf.certificate).arg(&leaf.key);
    run(command);
}
