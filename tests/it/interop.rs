//! Foreign NATS clients against our broker: they must not notice that it is not a nats-server.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::support::{Broker, Folder, Pki, peers};

#[test]
fn nats_py_runs_its_flows_over_tls() {
    let folder = Folder::new("nats_py_tls");
    let broker = Broker::start(&folder);
    let mut command = python();
    command.arg(format!("tls://localhost:{}", broker.port));
    command.args(tls_files());
    run_flows(command, broker, |broker| broker.restart(&folder));
}

#[test]
fn nats_js_runs_its_flows_over_tls() {
    let folder = Folder::new("nats_js_tls");
    let broker = Broker::start(&folder);
    let mut command = Command::new("node");
    command
        .arg(script("nats_js_flows.mjs"))
        .arg(peers())
        .arg(format!("tls://localhost:{}", broker.port));
    command.args(tls_files());
    run_flows(command, broker, |broker| broker.restart(&folder));
}

fn python() -> Command {
    let mut command = Command::new(peers().join("venv/bin/python"));
    command.arg(script("nats_py_flows.py"));
    command
}

fn script(name: &str) -> String {
    format!("{}/testdata/interop/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn tls_files() -> [std::path::PathBuf; 3] {
    let leaf = Pki::shared().leaf("alice.mcollective");
    [Pki::shared().ca.clone(), leaf.certificate, leaf.key]
}

/// Runs a script of flows; restarts the broker when the script asks for it.
fn run_flows(mut command: Command, broker: Broker, restart: impl FnOnce(Broker) -> Broker) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot start: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let mut seen = Vec::new();
    let mut first = Some((broker, restart));
    let mut second = None;
    for line in lines {
        let line = line.expect("output is text");
        if line == "restart"
            && let Some((broker, restart)) = first.take()
        {
            second = Some(restart(broker));
            writeln!(stdin, "restarted").expect("the script reads");
        }
        seen.push(line);
    }
    let status = child.wait().expect("script can be waited for");
    assert!(
        status.success() && seen.last().is_some_and(|line| line == "all flows passed"),
        "{status}: {seen:#?}"
    );
    assert!(second.is_some(), "the script never asked for a restart: {seen:#?}");
}
