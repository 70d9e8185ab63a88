//! A small HTTPS server that remembers what it was asked: authorities and services of others in tests.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// A server on a port of its own. It ends with the process.
pub struct Https {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Https {
    /// Answers every request with what `answer` gives: status and body.
    pub fn start(
        certificate_pem: &str,
        key_pem: &str,
        answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Https {
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<_, _>>()
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key fit");
        let config = Arc::new(config);
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = choria::sys::listen(address, 128).expect("loopback can be listened on");
        listener.set_nonblocking(false).expect("it can wait");
        let port = listener.local_addr().expect("it is bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let tls = ServerConnection::new(config.clone()).expect("a session");
                let mut stream = StreamOwned::new(tls, socket);
                let Some(asked) = read(&mut stream) else { continue };
                seen.lock().expect("no panic").push(asked.clone());
                let (status, body) = answer(&asked);
                let text = format!(
                    "HTTP/1.1 {status} It\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(text.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Https { port, asked }
    }

    /// Everything that was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The same as `METHOD target` lines.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(ToString::to_string).collect()
    }
}

fn read(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut part) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        match stream.read(&mut part) {
            Ok(count) if count > 0 => body.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
    Some(Asked { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
