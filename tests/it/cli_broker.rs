//! `choria broker`: how it starts, what it refuses, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::cli_usage::command;

/// A configuration file of its own for one test, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("choria-it-broker-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        fs::write(&path, text).expect("file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const LABORATORY: &str = "plugin.choria.broker_network = true\n\
                          plugin.choria.network.client_port = 0\nidentity = b1.example.net\n";

/// A broker that is ended with the test.
struct Running(Child);

impl Running {
    fn end(&mut self, name: &str) -> Option<i32> {
        signal(&self.0, name);
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a broker and reads its log up to its address.
fn start(words: &[&str]) -> (Running, SocketAddr) {
    let child = command(words).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut running = Running(child);
    let mut log = BufReader::new(running.0.stdout.take().expect("piped"));
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("text"), 0, "the broker ended");
        if let Some((_, rest)) = line.split_once("broker: listening for clients on ") {
            let address = rest.trim_end_matches(['"', '\n']).parse().expect("an address");
            // Keeps the pipe open: a daemon must not care, but the test is not about that.
            std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
            return (running, address);
        }
    }
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

/// The exit code and both outputs of a broker that does not start.
fn refused(name: &str, text: &str, words: &[&str]) -> (Option<i32>, String) {
    let file = File::new(name, text);
    let words = [&["broker", "run", "--config", file.path()], words].concat();
    let output = command(&words).output().expect("the program starts");
    let errors = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), errors.replace(file.path(), "FILE"))
}

#[test]
fn both_spellings_start_a_broker_that_ends_at_a_signal() {
    let file = File::new("spellings", LABORATORY);
    let config = format!("--config={}", file.path());
    for words in [
        &["broker", &config, "--disable-tls"][..],
        &["broker", "run", &config, "--disable-tls"],
        &["broker", "--disable-tls", &config, "run"],
    ] {
        for name in ["TERM", "INT", "USR2"] {
            let (mut running, address) = start(words);
            assert!(address.ip().is_loopback());
            assert_eq!(running.end(name), Some(0), "{words:?} {name}");
        }
    }
}

#[test]
fn a_laboratory_broker_speaks_nats() {
    let file = File::new("nats", LABORATORY);
    let (mut running, address) = start(&["broker", "--config", file.path(), "--disable-tls"]);
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("it reads");
    let mut lines = BufReader::new(socket);
    let mut text = String::new();
    lines.read_line(&mut text).expect("text");
    assert!(text.starts_with("INFO {") && text.contains("b1.example.net"), "{text}");
    while !text.ends_with("PONG\r\n") {
        assert_ne!(lines.read_line(&mut text).expect("text"), 0, "{text}");
    }
    assert_eq!(running.end("TERM"), Some(0));
}

#[test]
fn a_broker_that_must_not_start_says_why() {
    let cases = [
        (
            "off",
            "identity = x\n",
            "choria: all broker features are disabled\n\
             hint: set plugin.choria.broker_network = true to route messages\n\
             hint: set plugin.choria.broker_federation = true to join networks\n\
             hint: set plugin.choria.adapters to copy data to other systems\n",
        ),
        (
            "streams",
            "plugin.choria.broker_network = 1\nplugin.choria.network.stream.store = /data\n",
            "choria: FILE:2: plugin.choria.network.stream.store is not supported yet: there are \
             no streams, so what is published to them would be lost\n\
             hint: remove the key to start without the feature\n",
        ),
        (
            "public",
            "plugin.choria.broker_network = 1\nplugin.choria.network.listen_address = 192.0.2.1\n",
            "choria: FILE:2: plugin.choria.network.listen_address = 192.0.2.1 is not allowed \
             without TLS, which works on loopback only\n\
             hint: listen on 127.0.0.1, or set INSECURE_YES_REALLY=true in a laboratory\n",
        ),
        (
            "value",
            "plugin.choria.network.client_port = many\n",
            "choria: FILE:1: plugin.choria.network.client_port = many is not allowed, it has to \
             be a number from 0 to 65535\n",
        ),
    ];
    for (name, text, expected) in cases {
        let got = refused(name, text, &["--disable-tls"]);
        assert_eq!(got, (Some(1), expected.to_owned()), "{name}");
    }
}

#[test]
fn a_broker_without_certificates_does_not_start() {
    let text = "plugin.choria.broker_network = 1\nplugin.security.provider = file\n";
    let (code, errors) = refused("certificates", text, &[]);
    assert_eq!(code, Some(1));
    assert!(errors.starts_with("choria: security is not set up: "), "{errors}");
    assert!(errors.contains("plugin.security.file.certificate"), "{errors}");
}
