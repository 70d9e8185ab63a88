//! A NATS client that sends exactly what a test says, over TLS, from a chosen loopback address.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{DEADLINE, Leaf, Pki};

/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(150);

/// A connection to a broker of the shared authority.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
    kept: Vec<u8>,
    info: String,
}

impl Raw {
    /// Connects from `127.0.0.source`, reads INFO and upgrades to TLS, with a certificate or without.
    pub fn connect(port: u16, source: u8, leaf: Option<&Leaf>) -> Raw {
        Raw::connect_with(port, source, tls(leaf, &Pki::shared().ca))
    }

    /// The same without a certificate, to a broker of another authority.
    pub fn connect_anonymous(port: u16, ca: &Path) -> Raw {
        Raw::connect_with(port, 1, tls(None, ca))
    }

    fn connect_with(port: u16, source: u8, config: Arc<ClientConfig>) -> Raw {
        let mut socket = socket_from(Ipv4Addr::new(127, 0, 0, source), port);
        socket.set_read_timeout(Some(DEADLINE)).expect("timeout");
        let mut info = Vec::new();
        while !info.ends_with(b"\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("INFO comes first");
            info.push(byte[0]);
        }
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(config, name).expect("TLS");
        let info = String::from_utf8(info).expect("text");
        Raw { stream: StreamOwned::new(connection, socket), kept: Vec::new(), info }
    }

    /// What INFO told to sign; empty when it did not.
    pub fn nonce(&self) -> &str {
        let nonce = self.info.split_once("\"nonce\":\"").map(|(_, rest)| rest);
        nonce.and_then(|rest| rest.split('"').next()).unwrap_or_default()
    }

    /// Connects and logs in with further CONNECT fields, such as `"user":"ann"`.
    pub fn open(port: u16, source: u8, leaf: &Leaf, fields: &str) -> Raw {
        let mut peer = Raw::connect(port, source, Some(leaf));
        peer.log_in(fields);
        peer.expect("PONG\r\n");
        peer
    }

    /// Sends CONNECT and PING.
    pub fn log_in(&mut self, fields: &str) {
        let comma = if fields.is_empty() { "" } else { "," };
        self.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false{comma}{fields}}}\r\nPING\r\n"
        ));
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it is sent");
    }

    /// Waits until the broker has handled what was sent.
    pub fn sync(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    /// Exactly this comes next.
    pub fn expect(&mut self, text: &str) {
        while self.kept.len() < text.len() && self.fill() {}
        let length = text.len().min(self.kept.len());
        let got: Vec<u8> = self.kept.drain(..length).collect();
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// This comes at some time; what comes before it is thrown away.
    pub fn expect_within(&mut self, text: &str) {
        loop {
            let found = self.kept.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.kept.drain(..at + text.len());
                return;
            }
            let more = self.fill();
            assert!(more, "no {text:?} in {:?}", String::from_utf8_lossy(&self.kept));
        }
    }

    /// These come next, in any order.
    pub fn expect_any_order(&mut self, texts: &[&str]) {
        let length = texts.concat().len();
        while self.kept.len() < length && self.fill() {}
        let got = String::from_utf8(self.kept.drain(..length.min(self.kept.len())).collect());
        let got = got.expect("text");
        texts.iter().for_each(|text| assert!(got.contains(text), "{text:?} in {got:?}"));
    }

    /// This comes, then the end.
    pub fn expect_end(&mut self, text: &str) {
        while self.fill() {}
        assert_eq!(String::from_utf8_lossy(&self.kept), text);
    }

    /// The first line to come that holds a text.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            while !self.kept.contains(&b'\n') {
                assert!(self.fill(), "the connection ended before {text:?}");
            }
            let end = self.kept.iter().position(|byte| *byte == b'\n').unwrap_or_default();
            let line: Vec<u8> = self.kept.drain(..=end).collect();
            let line = String::from_utf8(line).expect("text");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self) {
        let wait = |raw: &Raw, time| raw.stream.sock.set_read_timeout(Some(time)).expect("timeout");
        wait(self, SILENCE);
        self.fill();
        wait(self, DEADLINE);
        assert_eq!(String::from_utf8_lossy(&self.kept), "");
    }

    /// Reads what comes next; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.kept.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

fn socket_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(source, 0)).expect("address");
    rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).expect("connect");
    TcpStream::from(socket)
}

fn tls(leaf: Option<&Leaf>, ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).expect("a certificate");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match leaf {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let certificate =
                CertificateDer::from_pem_file(&leaf.certificate).expect("certificate");
            let key = PrivateKeyDer::from_pem_file(&leaf.key).expect("key");
            builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
        }
    })
}
