//! Connections over TLS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

use super::*;
use crate::broker::TlsFirst;
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(in crate::broker) struct Pki {
    authority: Authority,
    roots: Arc<RootCertStore>,
}

pub(in crate::broker) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Pki {
    pub fn new() -> Pki {
        let authority = Authority::new_p256("test CA", SystemTime::now()).expect("authority");
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).expect("pem");
        roots.add(der).expect("root");
        Pki { authority, roots: Arc::new(roots) }
    }

    pub fn issue(&self, name: &str) -> Identity {
        self.issue_from(name, SystemTime::now())
    }

    /// A certificate for the year from `start`.
    fn issue_from(&self, name: &str, start: SystemTime) -> Identity {
        let mut request = LeafRequest::new(name, start, YEAR);
        request.key = KeyKind::P256;
        self.issue_request(&request)
    }

    fn issue_request(&self, request: &LeafRequest) -> Identity {
        let issued = self.authority.issue(request).expect("certificate");
        let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes());
        (vec![certificate.expect("pem")], key.expect("pem"))
    }

    /// A certificate for a name and an address.
    pub fn issue_for(&self, name: &str, ip: IpAddr) -> Identity {
        let mut request = LeafRequest::new(name, SystemTime::now(), YEAR);
        request.key = KeyKind::P256;
        request.ip_addresses.push(ip);
        self.issue_request(&request)
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_as(self.issue("localhost"))
    }

    pub fn server_as(&self, (chain, key): Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.roots.clone();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().expect("verifier"))
            .with_single_cert(chain, key);
        Arc::new(config.expect("config"))
    }

    pub fn client(&self, identity: Option<Identity>) -> Arc<ClientConfig> {
        Arc::new(self.client_of_version(identity, &rustls::version::TLS13))
    }

    pub fn client_of_version(
        &self,
        identity: Option<Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("config"),
            None => config.with_no_client_auth(),
        }
    }
}

fn tls_settings(pki: &Pki) -> Settings {
    Settings { tls: Some(pki.server()), ..settings() }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn upgrade(broker: &Broker, config: Arc<ClientConfig>) -> Stream {
    let (peer, info) = Peer::raw(broker);
    assert!(info.tls_required && peer.kept.is_empty());
    let name = ServerName::try_from("localhost").expect("name");
    StreamOwned::new(ClientConnection::new(config, name).expect("client"), peer.socket)
}

fn expect(stream: &mut impl Read, text: &str) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).expect("answer");
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[test]
fn messages_over_tls() {
    let pki = Pki::new();
    let broker = start(tls_settings(&pki));
    let mut streams: Vec<_> = (0..4)
        .map(|number| upgrade(&broker, pki.client(Some(pki.issue(&format!("node{number}"))))))
        .collect();
    for stream in &mut streams {
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n").expect("send");
        expect(stream, "PONG\r\n");
    }
    for size in [0, 5, 5000, 40_000, 1_048_576] {
        let payload = "x".repeat(size);
        streams[0].write_all(format!("PUB a r {size}\r\n{payload}\r\n").as_bytes()).expect("send");
        for stream in &mut streams {
            expect(stream, &format!("MSG a 1 r {size}\r\n{payload}\r\n"));
        }
    }
    streams[1].write_all(b"ZZZ").expect("send");
    let mut rest = String::new();
    streams[1].read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "-ERR 'Unknown Protocol Operation'\r\n");
}

#[test]
fn nobody_is_admitted_without_a_certificate() {
    let pki = Pki::new();
    let broker = start(tls_settings(&pki));
    let mut stream = upgrade(&broker, pki.client(None));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "-ERR 'Authorization Violation'\r\n");
    // A certificate of somebody else's authority does not even get that far.
    let stranger = Pki::new().issue("node");
    let mut stream = upgrade(&broker, pki.client(Some(stranger)));
    let result = stream.write_all(b"CONNECT {}\r\n").and_then(|()| stream.read(&mut [0; 10]));
    assert!(result.is_err());
    assert_eq!(broker.statistics().admitted, 0);
}

#[test]
fn connections_that_a_revoked_intermediate_vouches_for_end_at_a_reload() {
    use crate::crypto::crl::{self, Entry, Reason};
    let pki = Pki::new();
    let below = pki.authority.intermediate("Below", SystemTime::now()).expect("authority");
    let mut request = LeafRequest::new("n1", SystemTime::now(), YEAR);
    request.key = KeyKind::P256;
    let issued = below.issue(&request).expect("certificate");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("pem");
    assert_eq!(chain.len(), 2);
    let read = crate::crypto::x509::Certificate::from_der(&chain[1]).expect("certificate");
    let entry = Entry {
        serial: read.serial().to_vec(),
        since: SystemTime::now(),
        reason: Reason::KeyCompromise,
    };
    let path = std::env::temp_dir().join(format!("choria-revoked-{}.pem", std::process::id()));
    let with = |entries: &[Entry]| {
        let list = |issuer, entries: &[Entry]| {
            crl::sign(issuer, entries, 1, SystemTime::now(), YEAR).expect("list")
        };
        let text = list(&pki.authority, entries) + &list(&below, &[]);
        std::fs::write(&path, text).expect("written");
        let authority = crate::security::Authority::from_pem(pki.authority.ca_pem().as_bytes());
        let authority = authority.expect("authority").with_revocation(&path).expect("lists");
        Settings { authority: Some(Arc::new(authority)), ..tls_settings(&pki) }
    };
    let broker = start(with(&[]));
    let key = || PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("pem");
    let mut behind = upgrade(&broker, pki.client(Some((chain.clone(), key()))));
    let mut other = upgrade(&broker, pki.client(Some(pki.issue("n2"))));
    for stream in [&mut behind, &mut other] {
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
        expect(stream, "PONG\r\n");
    }
    broker.reload(&with(&[])).expect("reload");
    for stream in [&mut behind, &mut other] {
        stream.write_all(b"PING\r\n").expect("send");
        expect(stream, "PONG\r\n");
    }
    broker.reload(&with(&[entry])).expect("reload");
    let mut rest = String::new();
    behind.read_to_string(&mut rest).expect("a clean end");
    assert_eq!(rest, "-ERR 'Authorization Violation'\r\n");
    other.write_all(b"PING\r\n").expect("send");
    expect(&mut other, "PONG\r\n");
    let _ = std::fs::remove_file(path);
}

#[test]
fn plain_text_is_refused() {
    let pki = Pki::new();
    let broker = start(tls_settings(&pki));
    let (mut peer, _) = Peer::raw(&broker);
    peer.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
    while peer.fill() > 0 {}
    assert!(!String::from_utf8_lossy(&peer.kept).contains("PONG"));
}

#[test]
fn stalled_handshakes_end_and_hold_nobody_up() {
    let pki = Pki::new();
    let broker = start(Settings { tls_timeout: Duration::from_millis(300), ..tls_settings(&pki) });
    let mut stalled: Vec<_> = (0..50).map(|_| Peer::raw(&broker).0).collect();
    stalled.iter_mut().for_each(|peer| peer.send("\u{16}\u{3}\u{1}"));
    let mut stream = upgrade(&broker, pki.client(Some(pki.issue("node"))));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
    stalled.iter_mut().for_each(|peer| peer.expect_end(""));
    stream.write_all(b"PING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
}

/// Begins TLS without waiting for INFO, and reads INFO afterwards.
fn upgrade_first(broker: &Broker, config: Arc<ClientConfig>) -> (Stream, String) {
    let socket = TcpStream::connect(broker.local_addr()).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let name = ServerName::try_from("localhost").expect("name");
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).expect("client"), socket);
    let mut info = String::new();
    while !info.ends_with("\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("INFO");
        info.push(char::from(byte[0]));
    }
    (stream, info)
}

#[test]
fn info_may_come_after_the_handshake() {
    let pki = Pki::new();
    let wait = Duration::from_millis(100);
    for tls_first in [TlsFirst::Yes, TlsFirst::Unless(PATIENCE), TlsFirst::Unless(wait)] {
        let broker = start(Settings { tls_first, ..tls_settings(&pki) });
        let (mut stream, info) = upgrade_first(&broker, pki.client(Some(pki.issue("node"))));
        assert!(info.starts_with("INFO ") && info.contains("\"tls_required\":true"), "{info}");
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
        expect(&mut stream, "PONG\r\n");
    }
    // Whoever waits for INFO gets it after a while.
    let broker = start(Settings { tls_first: TlsFirst::Unless(wait), ..tls_settings(&pki) });
    let mut stream = upgrade(&broker, pki.client(Some(pki.issue("node"))));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
    // Nothing goes out in clear where TLS always comes first.
    let settings = Settings { tls_timeout: wait, tls_first: TlsFirst::Yes, ..tls_settings(&pki) };
    let broker = start(settings);
    let mut socket = TcpStream::connect(broker.local_addr()).expect("connect");
    let mut got = Vec::new();
    socket.read_to_end(&mut got).expect("end");
    assert_eq!(got, b"");
}

#[test]
fn a_certificate_may_be_demanded_in_the_handshake() {
    let pki = Pki::new();
    let broker = start(Settings { tls_verify: true, ..tls_settings(&pki) });
    let (_, info) = Peer::raw(&broker);
    assert!(info.tls_verify && info.tls_required);
    let mut stream = upgrade(&broker, pki.client(None));
    let result = stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
    let mut rest = String::new();
    let _ = result.and_then(|()| stream.read_to_string(&mut rest));
    assert_eq!(rest, "");
    let mut stream = upgrade(&broker, pki.client(Some(pki.issue("node"))));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
}

/// A socket that sends one byte at a time.
struct Dripping(TcpStream);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dripping {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn slow_handshakes_hold_no_thread() {
    let pki = Pki::new();
    let broker = start(Settings { handshake_threads: 1, ..tls_settings(&pki) });
    let config = pki.client(Some(pki.issue("slow")));
    let mut slow: Vec<_> = (0..20)
        .map(|_| {
            let stream = upgrade(&broker, config.clone());
            let mut wire = Vec::new();
            let (mut client, mut socket) = stream.into_parts();
            client.write_tls(&mut wire).expect("memory");
            let (most, rest) = wire.split_at(wire.len() - 20);
            for byte in most {
                socket.write_all(&[*byte]).expect("send");
            }
            (StreamOwned::new(client, Dripping(socket)), rest.to_vec())
        })
        .collect();
    let mut quick = upgrade(&broker, config.clone());
    quick.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut quick, "PONG\r\n");
    for (stream, rest) in &mut slow {
        stream.sock.0.write_all(rest).expect("send");
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).expect("answer");
        assert_eq!(&answer, b"PONG\r\n");
    }
}

#[test]
fn a_crowd_waits_for_its_turn() {
    let pki = Pki::new();
    let settings =
        Settings { handshake_threads: 1, handshakes_waiting_max: 2, ..tls_settings(&pki) };
    let broker = start(settings);
    let config = pki.client(Some(pki.issue("node")));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (address, config) = (broker.local_addr(), config.clone());
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let mut socket = TcpStream::connect(address).expect("connect");
                    let mut byte = [0];
                    while byte != *b"\n" {
                        socket.read_exact(&mut byte).expect("INFO");
                    }
                    let name = ServerName::try_from("localhost").expect("name");
                    let client = ClientConnection::new(config.clone(), name).expect("client");
                    let mut stream = StreamOwned::new(client, socket);
                    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
                    expect(&mut stream, "PONG\r\n");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("every client is served"));
    eventually("all are counted", || broker.statistics().total_connections == 80);
}

#[test]
fn refused_clients_learn_why() {
    let pki = Pki::new();
    let broker = start(tls_settings(&pki));
    let long_ago = SystemTime::now() - 2 * YEAR;
    let cases = [
        (pki.issue_from("node", long_ago), "CertificateExpired"),
        // Of an authority with the same name.
        (Pki::new().issue("node"), "DecryptError"),
    ];
    for (identity, alert) in cases {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config =
                pki.client_of_version(Some((identity.0.clone(), identity.1.clone_key())), version);
            let mut stream = upgrade(&broker, Arc::new(config));
            let sent = stream.write_all(b"CONNECT {}\r\n");
            let error = sent.and_then(|()| stream.read(&mut [0; 10])).expect_err("refused");
            assert!(error.to_string().contains(alert), "{error}");
        }
    }
    eventually("they are gone", || broker.statistics().connections == 0);
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let pki = Pki::new();
    let broker = start(tls_settings(&pki));
    let mut stream = upgrade(&broker, pki.client(Some(pki.issue("node"))));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
    stream.conn.writer().write_all(b"PING\r\n").expect("memory");
    stream.conn.send_close_notify();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("a clean end");
    assert!(rest.ends_with("PONG\r\n"), "{rest}");
    eventually("it is gone", || broker.statistics().connections == 0);
}

#[test]
fn peers_that_leave_while_they_wait_cost_nothing() {
    let pki = Pki::new();
    let broker = start(Settings { handshake_threads: 1, ..tls_settings(&pki) });
    let config = pki.client(None);
    for _ in 0..300 {
        let (mut client, mut socket) = upgrade(&broker, config.clone()).into_parts();
        client.write_tls(&mut socket).expect("send");
    }
    let mut stream = upgrade(&broker, pki.client(Some(pki.issue("node"))));
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("send");
    expect(&mut stream, "PONG\r\n");
    eventually("they are gone", || broker.statistics().connections == 1);
    assert_eq!(broker.shared.handshakes.waiting(), 0);
}
