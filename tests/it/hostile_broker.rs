//! Brokers that lie, flood or try to keep a client from TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use choria::nats::client::{Client, Options};
use choria::net::servers::{Server, ServerList};
use choria::security::{Kind, Provider, Settings};

/// A broker that sends `first` to each connection and, when something came from it, `second`.
fn lying_broker(first: Vec<u8>, second: Vec<u8>) -> u16 {
    #[allow(clippy::disallowed_methods)] // its backlog does not matter: one client comes
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("address").port();
    // It ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (first, second) = (first.clone(), second.clone());
            thread::spawn(move || {
                let mut stream = stream;
                let mut buffer = [0; 4096];
                let sent = stream.write_all(&first);
                if sent.is_ok() && stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(&second);
                    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
                }
            });
        }
    });
    port
}

fn verifying_nobody() -> Provider {
    let settings = Settings { tls: false, verify_tls: false, ..Settings::new(Kind::File, "x") };
    Provider::open(settings).expect("needs no file")
}

/// What a client says that connects to such a broker.
fn attempt(tls: bool, first: Vec<u8>, second: Vec<u8>) -> String {
    let port = lying_broker(first, second);
    let executor = Arc::new(smol::Executor::new());
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", port)]);
    let options = Options {
        tls: tls.then(|| verifying_nobody().client_tls().expect("TLS settings")),
        connect_timeout: Duration::from_secs(10),
        once_limit: Duration::from_millis(300),
        ..Options::new(servers, executor.clone())
    };
    let started = Instant::now();
    let outcome = smol::block_on(executor.run(Client::connect(options)));
    assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
    outcome.map_or_else(|error| error.to_string(), |_| "connected".to_owned())
}

fn info(json: &str) -> Vec<u8> {
    format!("INFO {json}\r\n").into_bytes()
}

#[test]
fn there_is_no_way_around_tls() {
    let plain = r#"{"server_id":"X","max_payload":1024}"#;
    let secure = r#"{"server_id":"X","max_payload":1024,"tls_required":true}"#;
    let with = |more: &str| [info(secure), more.as_bytes().to_vec()].concat();
    for (what, first, second, wanted) in [
        ("no offer", info(plain), b"PONG\r\n".to_vec(), "offers no TLS"),
        ("data in clear", with("PONG\r\n"), Vec::new(), "between INFO and the TLS handshake"),
        ("half a line", with("INFO {"), Vec::new(), "between INFO and the TLS handshake"),
        ("clear answer", info(secure), b"PONG\r\n".repeat(20), "TLS handshake"),
        ("PONG first", b"PONG\r\n".to_vec(), Vec::new(), "does not start with INFO"),
    ] {
        let said = attempt(true, first, second);
        assert!(said.contains(wanted), "{what}: {said}");
    }
}

#[test]
fn floods_before_the_connection_is_ready_end_it() {
    let plain = r#"{"server_id":"X","max_payload":1024}"#;
    let urls = vec!["\"a:1\""; 100_000].join(",");
    let large = |verb: &str| [verb.as_bytes(), &vec![b'x'; 8 << 20]].concat();
    let message = large("MSG a 1 8388608\r\n");
    for (what, first, second, wanted) in [
        ("endless INFO", large("INFO {"), Vec::new(), "does not speak NATS"),
        ("endless line", large("+OK"), Vec::new(), "does not speak NATS"),
        ("no protocol", large(""), Vec::new(), "does not speak NATS"),
        (
            "many names",
            info(&format!("{{\"connect_urls\":[{urls}]}}")),
            Vec::new(),
            "does not speak",
        ),
        ("deep JSON", info(&"[".repeat(60_000)), Vec::new(), "INFO cannot be read"),
        ("negative size", b"MSG a 1 -1\r\n\r\n".to_vec(), Vec::new(), "does not speak NATS"),
        ("message first", message.clone(), Vec::new(), "does not speak NATS"),
        ("message in place of PONG", info(plain), message, "does not speak NATS"),
        ("chatter", info(plain), b"+OK\r\n".repeat(100), "does not answer CONNECT"),
        ("refusal", info(plain), b"-ERR '\x1b[2Jgo away'\r\n".to_vec(), "says '[2Jgo away'"),
    ] {
        let said = attempt(false, first, second);
        assert!(said.contains(wanted), "{what}: {said}");
    }
}
