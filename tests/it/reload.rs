//! Signals of `choria broker`: SIGHUP reads the configuration again, SIGUSR2 sends clients elsewhere, SIGTERM ends it
//! without losing what it had taken.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::support::{Broker, DEADLINE, Folder, Leaf, Pki, free_port, wait_for};

/// A connection without TLS that has seen INFO.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect(port: u16) -> Peer {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        socket.set_read_timeout(Some(DEADLINE)).expect("timeout");
        let mut peer = Peer(BufReader::new(socket));
        assert!(peer.line().starts_with("INFO "));
        peer
    }

    /// Connects, subscribes to `a`, and waits until that is done.
    fn subscribed(port: u16) -> Peer {
        let mut peer = Peer::connect(port);
        peer.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nSUB a 1\r\n");
        peer.sync();
        // What comes after the first PONG.
        assert!(peer.line().starts_with("INFO "));
        peer
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("it reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("text");
        line
    }

    fn sync(&mut self) {
        self.send("PING\r\n");
        assert_eq!(self.line(), "PONG\r\n");
    }
}

/// Sends SIGHUP and waits until the log says `count` times what came of one.
fn reload(broker: &Broker, result: &str, count: usize) {
    broker.process.signal("HUP");
    wait_for(result, || (broker.process.output().matches(result).count() >= count).then_some(()));
}

/// The certificate that a new connection is shown.
fn shown_certificate(port: u16) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&Pki::shared().ca).expect("pem")).expect("root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("name");
    let client = ClientConnection::new(Arc::new(config), name).expect("client");
    let socket = Peer::connect(port).0.into_inner();
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(b"PING\r\n").expect("handshake");
    stream.flush().expect("handshake");
    let _ = stream.read(&mut [0; 100]);
    stream.conn.peer_certificates().expect("shown").first().expect("one").to_vec()
}

fn der(path: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(path).expect("pem").to_vec()
}

fn copy(folder: &Folder, leaf: &Leaf) -> Leaf {
    let to = Leaf { certificate: folder.file("broker.pem"), key: folder.file("broker.key") };
    fs::copy(&leaf.certificate, &to.certificate).expect("copied");
    fs::copy(&leaf.key, &to.key).expect("copied");
    to
}

#[test]
fn new_certificates_are_shown_after_sighup_and_unfit_ones_are_refused() {
    let folder = Folder::new("reload_certificates");
    let pki = Pki::shared();
    let (first, second) = (pki.leaf("localhost"), pki.second_leaf("localhost"));
    let own = copy(&folder, &first);
    let mut broker = Broker::start_with(&folder, &pki.security_lines(&own));
    assert_eq!(shown_certificate(broker.port), der(&first.certificate));
    copy(&folder, &second);
    assert_eq!(shown_certificate(broker.port), der(&first.certificate));
    reload(&broker, "broker: reloaded keys=0", 1);
    assert_eq!(shown_certificate(broker.port), der(&second.certificate));
    // A key that does not belong to the certificate.
    fs::copy(&first.key, &own.key).expect("copied");
    reload(&broker, "broker: reload refused, nothing is changed: ", 1);
    assert_eq!(shown_certificate(broker.port), der(&second.certificate));
    fs::remove_file(&own.certificate).expect("removed");
    reload(&broker, "broker: reload refused, nothing is changed: ", 2);
    assert_eq!(shown_certificate(broker.port), der(&second.certificate));
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0);
}

#[test]
fn sighup_applies_what_it_can_and_names_the_rest() {
    let folder = Folder::new("reload_keys");
    let mut broker = Broker::start_plain(&folder);
    let mut peer = Peer::subscribed(broker.port);
    let path = folder.file("plain-broker.conf");
    let text = fs::read_to_string(&path).expect("configuration");
    fs::write(
        &path,
        format!("{text}loglevel = debug\nplugin.choria.network.max_payload = 2000000\n"),
    )
    .expect("written");
    reload(&broker, "broker: reloaded keys=1 need_restart=1", 1);
    let output = broker.process.output();
    assert!(output.contains("broker: reload: loglevel is changed"), "{output}");
    assert!(
        output.contains("broker: reload: plugin.choria.network.max_payload needs a restart"),
        "{output}"
    );
    peer.sync();
    let mut second = Peer::subscribed(broker.port);
    assert!(broker.process.output().contains("broker: connected "), "debug lines are logged now");

    fs::write(&path, format!("{text}plugin.choria.network.client_port = many\n")).expect("written");
    reload(&broker, "broker: reload refused, nothing is changed: ", 1);
    assert!(
        broker.process.output().contains("plugin.choria.network.client_port = many is not allowed")
    );
    fs::write(&path, format!("{text}plugin.choria.network.stream.store = /x\n")).expect("written");
    reload(&broker, "broker: reload refused, nothing is changed: ", 2);
    fs::remove_file(&path).expect("removed");
    reload(&broker, "broker: reload refused, nothing is changed: ", 3);
    fs::write(&path, format!("{text}plugin.choria.network.max_connections = 2\n"))
        .expect("written");
    reload(&broker, "broker: reloaded keys=2 need_restart=0", 1);
    let mut third = Peer::connect(broker.port);
    assert_eq!(third.line(), "-ERR 'maximum connections exceeded'\r\n");
    for _ in 0..20 {
        broker.process.signal("HUP");
    }
    peer.sync();
    second.sync();
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0);
}

#[test]
fn rights_change_for_those_who_are_connected() {
    let folder = Folder::new("reload_users");
    let users = |publish: &str| {
        let text = format!(
            "{{\"users\":[{{\"user\":\"a\",\"password\":\"p\",\
             \"permissions\":{{\"publish\":{{\"deny\":[\"{publish}\"]}}}}}}]}}"
        );
        let path = folder.write("users.json", &text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("private");
        path
    };
    let line = format!("plugin.choria.network.users = {}\n", users("nothing").display());
    let broker = Broker::start_plain_with(&folder, &line);
    let mut peer = Peer::connect(broker.port);
    peer.send(
        "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\nSUB a 1\r\nPUB a 0\r\n\r\n",
    );
    assert_eq!(peer.line(), "MSG a 1 0\r\n");
    peer.line();
    users("a");
    reload(&broker, "broker: reloaded keys=0", 1);
    wait_for("the new rights", || {
        peer.send("PUB a 0\r\n\r\n");
        let line = peer.line();
        if line.starts_with("MSG ") {
            peer.line();
        }
        line.starts_with("-ERR 'Permissions Violation").then_some(())
    });
}

#[test]
fn sigterm_delivers_what_was_sent_before() {
    let folder = Folder::new("drain");
    let mut broker = Broker::start_plain(&folder);
    let receivers: Vec<_> = (0..3).map(|_| Peer::subscribed(broker.port)).collect();
    let counts: Vec<_> = receivers
        .into_iter()
        .map(|mut peer| {
            std::thread::spawn(move || {
                let mut count = 0;
                while let Some(line) = Some(peer.line()).filter(|line| !line.is_empty()) {
                    count += usize::from(line.starts_with("MSG a "));
                }
                count
            })
        })
        .collect();
    let mut producers: Vec<_> = (0..3).map(|_| Peer::connect(broker.port)).collect();
    for producer in &mut producers {
        producer.send("CONNECT {\"verbose\":false}\r\n");
        producer.send(&format!("PUB a 100\r\n{}\r\n", "x".repeat(100)).repeat(2000));
    }
    for producer in &mut producers {
        producer.sync();
    }
    broker.process.signal("TERM");
    for count in counts {
        assert_eq!(count.join().expect("counts"), 6000);
    }
    assert_eq!(broker.process.wait(), 0);
}

#[test]
fn the_end_waits_no_longer_than_it_is_told() {
    let folder = Folder::new("soft_shutdown");
    let lines = "plugin.choria.network.soft_shutdown_timeout = 1\n\
                 plugin.choria.network.write_deadline = 1m\n";
    let mut broker = Broker::start_plain_with(&folder, lines);
    let _stuck = Peer::subscribed(broker.port);
    let mut producer = Peer::connect(broker.port);
    producer.send("CONNECT {\"verbose\":false}\r\n");
    producer.send(&format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000)).repeat(100));
    producer.sync();
    let start = Instant::now();
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_lame_duck_tells_everybody_and_takes_nobody() {
    let folder = Folder::new("lame_duck");
    let port = free_port();
    let lines = format!(
        "plugin.choria.network.websocket_port = {port}\n\
         plugin.choria.network.lame_duck_grace = 1s\nplugin.choria.network.lame_duck_duration = 3s\n"
    );
    let mut broker = Broker::start_plain_with(&folder, &lines);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::subscribed(broker.port)).collect();
    let start = Instant::now();
    broker.process.signal("USR2");
    for peer in &mut peers {
        let line = peer.line();
        assert!(line.starts_with("INFO ") && line.contains("\"ldm\":true"), "{line}");
    }
    for port in [broker.port, port] {
        wait_for("no more connections", || TcpStream::connect(("127.0.0.1", port)).err());
    }
    // Who is still there is served.
    if start.elapsed() < Duration::from_millis(700) {
        peers[0].sync();
    }
    for peer in &mut peers {
        assert_eq!(peer.line(), "");
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "nobody is closed at once");
    assert_eq!(broker.process.wait(), 0);
}
