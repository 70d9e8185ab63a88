//! The server over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::util::shutdown::Shutdown;

struct Echo;

impl Handler for Echo {
    fn answer(&self, request: Request) -> Answer {
        Box::pin(async move {
            match request.path.as_str() {
                "/panic" => panic!("on purpose"),
                "/never" => smol::future::pending().await,
                "/large" => Response::text(200, "x".repeat(8 << 20)),
                path => Response::text(200, format!("{path} {}", request.query.value("a"))),
            }
        })
    }
}

/// A server that runs until it is dropped.
struct Running {
    address: SocketAddr,
    stop: Shutdown,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

fn quick() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(600),
        write_timeout: Duration::from_millis(300),
        answer_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

fn start(limits: Limits) -> Running {
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), limits).expect("listen");
    let address = server.local_addr().expect("address");
    let stop = Shutdown::new();
    let told = stop.clone();
    std::thread::spawn(move || {
        smol::block_on(smol::future::or(server.serve(Arc::new(Echo)), told.wait()));
    });
    Running { address, stop }
}

fn connect(server: &Running) -> TcpStream {
    let socket = TcpStream::connect(server.address).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    socket
}

/// Everything the server says until it closes.
fn talk(server: &Running, text: &[u8]) -> String {
    let mut socket = connect(server);
    socket.write_all(text).expect("write");
    let mut all = Vec::new();
    // It may be reset when more was sent than is ever read.
    let _ = socket.read_to_end(&mut all);
    String::from_utf8(all).expect("text")
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let server = start(quick());
    let text = talk(
        &server,
        b"GET /a?a=1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n\
          GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /d HTTP/1.1\r\n\r\n",
    );
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{text}");
    assert!(text.contains("\r\n\r\n/a 1HTTP/1.1 200 OK"), "{text}");
    assert!(!text.contains("/b ") && !text.contains("/d"), "{text}");
    assert!(text.ends_with("Connection: close\r\n\r\n/c "), "{text}");
}

#[test]
fn refusals() {
    let server = start(quick());
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(20_000));
    for (text, expected) in [
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 "),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 413 "),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
        (long.as_str(), "HTTP/1.1 431 "),
        ("GET / HT", "HTTP/1.1 408 "),
        ("", ""),
        ("GET /panic HTTP/1.0\r\n\r\n", "HTTP/1.1 500 "),
        ("GET /never HTTP/1.0\r\n\r\n", "HTTP/1.1 504 "),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "),
    ] {
        let answer = talk(&server, text.as_bytes());
        assert!(answer.starts_with(expected), "{text:.40} {answer}");
        assert!(answer.is_empty() == expected.is_empty());
    }
}

#[test]
fn a_trickle_does_not_outlast_the_deadline() {
    let server = start(quick());
    let mut socket = connect(&server);
    let started = Instant::now();
    let mut ended = false;
    for byte in b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
        ended = socket.write_all(&[*byte]).is_err();
        if ended || started.elapsed() > Duration::from_secs(8) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ended, "the server still reads after {:?}", started.elapsed());
}

#[test]
fn who_takes_nothing_is_closed() {
    let server = start(quick());
    let mut socket = connect(&server);
    socket.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").expect("write");
    std::thread::sleep(Duration::from_millis(800));
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
    assert!(all.len() < 8 << 20, "{} bytes", all.len());
}

#[test]
fn connections_and_their_requests_are_bounded() {
    let server = start(Limits { connections_max: 2, requests_max: 3, ..quick() });
    let held: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    // Proves that both are accepted.
    for mut socket in &held {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("write");
        assert!(socket.read(&mut [0; 512]).expect("an answer") > 0);
    }
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(5);
    assert!(talk(&server, &request).starts_with("HTTP/1.1 503 "));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = talk(&server, &request);
        if text.starts_with("HTTP/1.1 200 ") {
            assert_eq!(text.matches("HTTP/1.1 200 ").count(), 3, "{text}");
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}
