use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::crypto::issue::{Authority, Issued, KeyKind, LeafRequest};

type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// An authority and what it issued for `b1.example` and 127.0.0.1.
struct Pki {
    authority: Authority,
    leaf: Issued,
}

impl Pki {
    fn new() -> Self {
        let now = SystemTime::now();
        let authority = Authority::new_p256("Test CA", now).expect("authority");
        let request = LeafRequest {
            key: KeyKind::P256,
            ip_addresses: vec!["127.0.0.1".parse().expect("ip")],
            ..LeafRequest::new("b1.example", now, Duration::from_secs(3600))
        };
        let leaf = authority.issue(&request).expect("leaf");
        Self { authority, leaf }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.ca_pem().as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("a CA");
        roots
    }

    fn client(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions");
        Arc::new(builder.with_root_certificates(self.roots()).with_no_client_auth())
    }

    fn server(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        ask: bool,
    ) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("versions");
        let builder = if ask {
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(self.roots()),
                provider(),
            );
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let certificate = CertificateDer::from_pem_slice(self.leaf.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.leaf.key_pem.as_bytes()).expect("key");
        builder.with_single_cert(vec![certificate.expect("PEM")], key).expect("pair")
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Runs `serve` with the first connection to a listener.
#[allow(clippy::disallowed_methods, reason = "a test server with one client")]
fn listen<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (std::net::SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let thread = thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a client comes");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        serve(socket)
    });
    (address, thread)
}

fn tls_server<T: Send + 'static>(
    config: ServerConfig,
    serve: impl FnOnce(ServerStream) -> T + Send + 'static,
) -> (std::net::SocketAddr, JoinHandle<T>) {
    listen(move |socket| {
        let tls = ServerConnection::new(Arc::new(config)).expect("server");
        serve(StreamOwned::new(tls, socket))
    })
}

async fn connect(
    address: std::net::SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<TlsStream, TlsError> {
    let socket = Async::<TcpStream>::connect(address).await.expect("connects");
    TlsStream::connect(config, name, socket).await
}

#[test]
fn both_directions_flow_at_once() {
    const BYTES: usize = 5_000_000;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let pki = Pki::new();
        // The server sends everything before it reads anything: the client must do both at once.
        let (address, server) = tls_server(pki.server(version, false), |mut stream| {
            stream.write_all(&vec![7; BYTES]).expect("the client reads");
            let mut got = vec![0; BYTES];
            stream.read_exact(&mut got).expect("the client writes");
            assert!(got.iter().all(|&byte| byte == 9));
            // close_notify of the client is an end of data.
            assert_eq!(stream.read(&mut got).expect("a clean end"), 0);
        });
        smol::block_on(async {
            let stream = connect(address, pki.client(), "b1.example").await.expect("connects");
            let (mut reader, mut writer) = stream.split();
            let write = async {
                writer.write_all(&vec![9; BYTES]).await.expect("the server reads");
                writer.flush().await.expect("flushed");
            };
            let read = async {
                let mut got = vec![0; BYTES];
                reader.read_exact(&mut got).await.expect("the server writes");
                assert!(got.iter().all(|&byte| byte == 7));
            };
            smol::future::zip(write, read).await;
            writer.close().await.expect("closed");
        });
        server.join().expect("server");
    }
}

#[test]
fn an_end_without_goodbye_is_an_error_and_with_goodbye_is_not() {
    for is_clean in [true, false] {
        let pki = Pki::new();
        let (address, server) =
            tls_server(pki.server(&rustls::version::TLS13, false), move |mut stream| {
                stream.write_all(b"hello").expect("the client reads");
                if is_clean {
                    stream.conn.send_close_notify();
                }
                stream.flush().expect("flushed");
            });
        smol::block_on(async {
            let mut stream = connect(address, pki.client(), "127.0.0.1").await.expect("connects");
            let mut got = Vec::new();
            let outcome = stream.read_to_end(&mut got).await;
            assert_eq!(got, b"hello");
            match is_clean {
                true => assert_eq!(outcome.expect("a clean end"), 5),
                false => {
                    assert_eq!(outcome.expect_err("cut off").kind(), io::ErrorKind::UnexpectedEof)
                }
            }
        });
        server.join().expect("server");
    }
}

/// Connects to a TLS server that is not to be trusted.
fn check_untrusted(pki: &Pki, client: Arc<ClientConfig>, name: &str, expected: &str) {
    let (address, server) = tls_server(pki.server(&rustls::version::TLS13, false), |mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).is_err()
    });
    let error = smol::block_on(connect(address, client, name)).expect_err("not trusted");
    assert!(matches!(error, TlsError::Handshake(rustls::Error::InvalidCertificate(_))));
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(server.join().expect("server"), "the server learns of the refusal");
}

#[test]
fn certificates_of_other_names_and_authorities_are_refused() {
    let pki = Pki::new();
    let text = "TLS handshake: certificate refused: ";
    check_untrusted(&pki, pki.client(), "b2.example", text);
    check_untrusted(&pki, pki.client(), "127.0.0.2", text);
    check_untrusted(&pki, Pki::new().client(), "b1.example", text);
}

#[test]
fn a_demanded_client_certificate_is_missed_at_the_first_read() {
    let pki = Pki::new();
    let (address, server) = tls_server(pki.server(&rustls::version::TLS13, true), |mut stream| {
        let _ = stream.read(&mut [0]);
        let _ = stream.flush();
    });
    smol::block_on(async {
        // TLS 1.3 lets the client finish before the server has looked at its certificate.
        let mut stream = connect(address, pki.client(), "b1.example").await.expect("connects");
        let error = stream.read(&mut [0]).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    });
    server.join().expect("server");
}

#[test]
fn peers_that_do_not_speak_tls_are_told_apart() {
    let pki = Pki::new();
    let (address, _server) = listen(|mut socket| {
        let _ = socket.write_all(b"-ERR 'not TLS at all'\r\n");
        let _ = socket.read(&mut [0; 2000]);
    });
    let error = smol::block_on(connect(address, pki.client(), "b1.example")).expect_err("garbage");
    assert!(matches!(error, TlsError::Handshake(_)), "{error}");
    let (address, _server) = listen(|mut socket| {
        let _ = socket.read(&mut [0; 2000]);
    });
    let error = smol::block_on(connect(address, pki.client(), "b1.example")).expect_err("closed");
    assert_eq!(
        error.to_string(),
        "TLS handshake: the peer closed the connection during the handshake"
    );
    let (address, _server) = listen(drop);
    let error = smol::block_on(connect(address, pki.client(), "not a name")).expect_err("bad name");
    assert!(matches!(error, TlsError::Name(_)), "{error}");
}
