//! The protocol over real sockets, with short timeouts.

mod access;
mod cluster;
mod delivery;
mod lifecycle;
mod modes;
mod protocol;
mod reports;
mod sizes;
pub(super) mod tls;
mod websocket;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Broker, Settings};
use crate::nats::codec::info::ServerInfo;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait for something that must not come.
const SILENCE: Duration = Duration::from_millis(60);

fn settings() -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        server_name: "broker.example".to_owned(),
        threads: 2,
        ..Settings::default()
    }
}

fn start(settings: Settings) -> Broker {
    Broker::start(settings).expect("broker starts")
}

/// A raw connection.
struct Peer {
    socket: TcpStream,
    kept: Vec<u8>,
}

impl Peer {
    /// Connects and reads INFO.
    fn raw(broker: &Broker) -> (Peer, ServerInfo) {
        let socket = TcpStream::connect(broker.local_addr()).expect("connect");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut peer = Peer { socket, kept: Vec::new() };
        let line = peer.line();
        let json = line.strip_prefix("INFO ").expect("INFO comes first");
        assert!(json.ends_with(' '), "there is a blank before the end of INFO");
        (peer, ServerInfo::decode(json.as_bytes()).expect("INFO is JSON"))
    }

    /// Connects quietly, with headers, and waits for the PONG.
    fn open(broker: &Broker) -> Peer {
        Peer::with(broker, "\"headers\":true,\"no_responders\":true")
    }

    /// Connects quietly with more options.
    fn with(broker: &Broker, more: &str) -> Peer {
        let (mut peer, _) = Peer::raw(broker);
        let comma = if more.is_empty() { "" } else { "," };
        peer.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false{comma}{more}}}\r\nPING\r\n"
        ));
        peer.expect("PONG\r\n");
        peer
    }

    fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("send");
    }

    /// Waits until the broker has handled everything that was sent.
    fn sync(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    fn fill(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let count = self.socket.read(&mut buffer).unwrap_or(0);
        self.kept.extend_from_slice(&buffer[..count]);
        count
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.kept.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.kept.drain(..=end).collect();
                return String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            }
            assert!(
                self.fill() > 0,
                "closed in the middle: {:?}",
                String::from_utf8_lossy(&self.kept)
            );
        }
    }

    /// Exactly these bytes come next.
    fn expect(&mut self, text: &str) {
        while self.kept.len() < text.len() && self.fill() > 0 {}
        let got: Vec<u8> = self.kept.drain(..text.len().min(self.kept.len())).collect();
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// Nothing comes for a while.
    fn expect_silence(&mut self) {
        self.socket.set_read_timeout(Some(SILENCE)).expect("timeout");
        self.fill();
        self.socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        assert_eq!(String::from_utf8_lossy(&self.kept), "");
    }

    /// These bytes come, then the end.
    fn expect_end(&mut self, text: &str) {
        while self.fill() > 0 {}
        assert_eq!(String::from_utf8_lossy(&self.kept), text);
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
