//! Connections over TLS.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::*;
use crate::broker::TlsFirst;
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

struct Pki {
    authority: Authority,
    roots: Arc<RootCertStore>,
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Pki {
    fn new() -> Pki {
        let authority = Authority::new_p256("test CA", SystemTime::now()).expect("authority");
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).expect("pem");
        roots.add(der).expect("root");
        Pki { authority, roots: Arc::new(roots) }
    }

    fn issue(&self, name: &str) -> Identity {
        let mut request = LeafRequest::new(name, SystemTime::now(), YEAR);
        request.key = KeyKind::P256;
        let issued = self.authority.issue(&request).expect("certificate");
        let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes());
        (vec![certificate.expect("pem")], key.expect("pem"))
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.roots.clone();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let (chain, key) = self.issue("localhost");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().expect("verifier"))
            .with_single_cert(chain, key);
        Arc::new(config.expect("config"))
    }

    fn client(&self, identity: Option<Identity>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        Arc::new(match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("config"),
            None => config.with_no_client_auth(),
        })
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

fn expect(stream: &mut Stream, text: &str) {
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
