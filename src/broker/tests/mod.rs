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

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Broker, Settings};
use crate::nats::codec::info::ServerInfo;

/// Longest wait for something that must come: a bound for failures, so that a machine with much else to do is none.
const PATIENCE: Duration = Duration::from_secs(60);
/// Wait for something that must not come.
const SILENCE: Duration = Duration::from_millis(60);

/// Nothing happens by the clock: a test that is about a time sets it.
fn settings() -> Settings {
    const NEVER: Duration = Duration::from_secs(3600);
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        server_name: "broker.example".to_owned(),
        threads: 2,
        auth_timeout: NEVER,
        tls_timeout: NEVER,
        ping_interval: NEVER,
        first_ping: NEVER,
        write_deadline: NEVER,
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

    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 65536];
        let count = self.socket.read(&mut buffer)?;
        self.kept.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn fill(&mut self) -> usize {
        self.read().unwrap_or(0)
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
        loop {
            match self.read() {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("still open"),
                // Closed with something unread.
                Err(_) => break,
                Ok(_) => {}
            }
        }
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
