use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Ask, Bounds, FetchError, Fetcher, Verb};
use crate::crypto::issue::{Authority as Issuer, KeyKind, LeafRequest};
use crate::security::{Authority, tls};

/// An authority, and a server that it vouches for.
struct Peer {
    issuer: Issuer,
    address: SocketAddr,
}

/// Answers each connection with `answer`, after it has read a request that it leaves in `seen`.
#[allow(clippy::disallowed_methods, reason = "a test server with one client at a time")]
fn serve(answer: &'static str, seen: Option<flume::Sender<String>>) -> Peer {
    let now = SystemTime::now();
    let issuer = Issuer::new_p256("Fetch CA", now).unwrap();
    let mut request = LeafRequest::new("localhost", now, Duration::from_secs(60));
    request.key = KeyKind::P256;
    let issued = issuer.issue(&request).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = crate::sys::listen("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    listener.set_nonblocking(false).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let tls = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(tls, socket);
            let Ok(text) = whole_request(&mut stream) else { continue };
            if let Some(seen) = &seen {
                let _ = seen.send(text);
            }
            if answer == "silence" {
                std::thread::sleep(Duration::from_secs(5));
            }
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    Peer { issuer, address }
}

/// One whole request. A socket that is closed with something unread resets the connection, and what was answered is lost
/// with it.
fn whole_request(stream: &mut impl Read) -> io::Result<String> {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = String::from_utf8_lossy(&text).to_ascii_lowercase();
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => text.extend_from_slice(&piece[..count]),
        }
    }
}

fn fetcher(issuer: &Issuer, bounds: Bounds) -> Fetcher {
    let authority = Arc::new(Authority::from_pem(issuer.ca_pem().as_bytes()).unwrap());
    Fetcher::new(tls::client_of(authority, &[], &[], false).unwrap(), bounds)
}

fn get(peer: &Peer, bounds: Bounds) -> Result<super::Answered, FetchError> {
    let url = format!("https://localhost:{}/a?b=c", peer.address.port());
    smol::block_on(fetcher(&peer.issuer, bounds).send(Ask::new(Verb::Get, url)))
}

#[test]
fn an_answer_of_any_status_is_an_answer() {
    for (answer, status, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", 404, "none"),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n",
            302,
            "",
        ),
        ("HTTP/1.1 500 No\r\nConnection: close\r\n\r\n", 500, ""),
    ] {
        let got = get(&serve(answer, None), Bounds::default()).unwrap();
        assert_eq!((got.status, got.body.as_slice()), (status, body.as_bytes()), "{answer}");
    }
}

#[test]
fn what_is_sent_is_what_was_asked() {
    let (sender, seen) = flume::unbounded();
    let peer = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some(sender));
    let url = format!("https://localhost:{}/x", peer.address.port());
    let ask = Ask::new(Verb::Put, url)
        .header("Content-Type", "text/plain")
        .header("Host", "ca.example.net")
        .body("text");
    assert!(!format!("{ask:?}").contains("text"));
    let got = smol::block_on(fetcher(&peer.issuer, Bounds::default()).send(ask)).unwrap();
    assert_eq!(got.status, 200);
    let request = seen.recv().unwrap();
    assert!(request.ends_with("\r\n\r\ntext"), "{request}");
    let head = request.to_ascii_lowercase();
    assert!(head.starts_with("put /x http/1.1\r\n"), "{head}");
    for line in ["content-type: text/plain", "host: ca.example.net", "content-length: 4"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
}

#[test]
fn bounds_hold_and_faults_are_told_apart() {
    let small = Bounds { body_bytes_max: 3, ..Bounds::default() };
    let fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour";
    assert!(matches!(get(&serve(fine, None), small), Err(FetchError::TooLarge(3))));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n";
    assert!(matches!(get(&serve(chunked, None), small), Err(FetchError::TooLarge(3))));
    let quick = Bounds { time: Duration::from_millis(300), ..Bounds::default() };
    assert!(matches!(get(&serve("silence", None), quick), Err(FetchError::Late(_))));
    assert!(matches!(
        get(&serve("what?\r\n\r\n", None), Bounds::default()),
        Err(FetchError::Protocol(_))
    ));
    let mut peer = serve(fine, None);
    peer.issuer = Issuer::new_p256("Other CA", SystemTime::now()).unwrap();
    let error = get(&peer, Bounds::default()).unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
    assert!(error.to_string().contains("not issued by the CA"), "{error}");
}

#[test]
fn clear_text_has_to_be_wanted() {
    let issuer = Issuer::new_p256("Any CA", SystemTime::now()).unwrap();
    let fetcher = fetcher(&issuer, Bounds::default());
    let error = fetcher.send_now(Ask::new(Verb::Get, "http://localhost:1/")).unwrap_err();
    assert!(matches!(error, FetchError::Address(_)), "{error:?}");
    let error = fetcher.send_now(Ask::new(Verb::Get, "https://localhost:1/")).unwrap_err();
    assert!(matches!(error, FetchError::Io(_)), "{error:?}");
}
