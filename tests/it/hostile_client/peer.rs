//! A raw connection to a broker, with TLS or without.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use choria::security::{Kind, Provider, Settings};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::{DEADLINE, Pki};

/// What can be read and written.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// Where a broker is, and how to speak to it.
#[derive(Clone)]
pub struct Door {
    pub port: u16,
    pub tls: Option<Arc<ClientConfig>>,
}

impl Door {
    /// A broker without TLS.
    pub fn plain(port: u16) -> Door {
        Door { port, tls: None }
    }

    /// A broker with the certificates of the tests.
    pub fn tls(port: u16) -> Door {
        let leaf = Pki::shared().leaf("node.example.net");
        let mut settings = Settings::new(Kind::File, "node.example.net");
        settings.certificate = leaf.certificate;
        settings.key = leaf.key;
        settings.ca = Pki::shared().ca.clone();
        let provider = Provider::open(settings).expect("files can be read");
        Door { port, tls: Some(provider.client_tls().expect("TLS settings")) }
    }

    /// A socket that the broker has taken, without a word said.
    pub fn socket(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the broker accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        stream
    }

    /// A connection that was introduced to the broker and admitted.
    pub fn enter(&self) -> Peer {
        let mut socket = self.socket();
        let mut byte = [0];
        while byte != *b"\n" {
            socket.read_exact(&mut byte).expect("the broker sends INFO");
        }
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = "localhost".try_into().expect("a name");
                let session = ClientConnection::new(config.clone(), name).expect("TLS settings");
                Box::new(StreamOwned::new(session, socket))
            }
        };
        let mut peer = Peer { stream, unread: Vec::new() };
        peer.send(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nPING\r\n");
        peer.wait_for("PONG\r\n");
        peer
    }
}

/// An admitted connection.
pub struct Peer {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Peer {
    /// Sends bytes; a broker that has closed the connection takes them as well as any.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Reads until this text has come, and gives all up to its end.
    pub fn wait_for(&mut self, text: &str) -> Vec<u8> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(at) = find(&self.unread, text.as_bytes()) {
                return self.unread.drain(..at + text.len()).collect();
            }
            let count = self.stream.read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "closed before {text:?}: {}", self.seen());
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits until the broker has acted on all that was sent.
    pub fn settle(&mut self) {
        self.send(b"PING\r\n");
        self.wait_for("PONG\r\n");
    }

    /// Reads to the end of the connection.
    pub fn read_to_end(mut self) -> String {
        match self.stream.read_to_end(&mut self.unread) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("not closed: {}", self.seen())
            }
            _ => self.seen(),
        }
    }

    fn seen(&self) -> String {
        let tail = &self.unread[self.unread.len().saturating_sub(300)..];
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// Where a text begins.
pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, text)
}

/// A while in which something is to happen that cannot be waited for.
pub fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
