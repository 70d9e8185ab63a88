//! Peers that send garbage, too much, too little or nothing to a broker, while another client works on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::support::{Broker, Folder};

fn open(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("broker accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout can be set");
    stream
}

/// Sends `input` after CONNECT and gives all that comes back until the broker closes.
fn answer_until_closed(port: u16, input: &[u8]) -> String {
    let mut stream = open(port);
    stream
        .write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n")
        .expect("writes");
    let _ = stream.write_all(input);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n").map_or_else(String::new, |(_info, rest)| rest.to_owned())
}

/// A client that sees its own message come back.
fn broker_works(port: u16) {
    let mut stream = open(port);
    stream
        .write_all(b"CONNECT {\"verbose\":false}\r\nSUB works 1\r\nPUB works 2\r\nok\r\nPING\r\n")
        .expect("writes");
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("PONG\r\n") {
        let count = stream.read(&mut buffer).expect("broker answers");
        assert!(count > 0, "closed: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(seen.contains("MSG works 1 2\r\nok\r\n"), "{seen}");
}

#[test]
fn malformed_lines_get_their_answer_and_cost_only_their_connection() {
    let folder = Folder::new("malformed_lines");
    let broker = Broker::start_plain(&folder);
    let long_line = format!("SUB {} 1\r\n", "x".repeat(5000));
    let cases: &[(&[u8], &str)] = &[
        (b"ZZZ", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"\x16\x03\x01\x02\x00\x01", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUBS foo 2\r\nok\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"MSG foo 1 2\r\nok\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUB foo 2\r\nokay\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUB foo 99999999\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
        (b"PUB foo -1\r\n", ""),
        (b"PUB foo 0000000001\r\n", ""),
        (b"PUB foo bar baz 2\r\nok\r\n", ""),
        (b"SUB foo\r\n", ""),
        (b"HPUB foo 9 3\r\nabc\r\n", ""),
        (b"CONNECT {\"verbose\":\r\n", ""),
        (long_line.as_bytes(), "-ERR 'maximum control line exceeded'\r\n"),
    ];
    for (input, wanted) in cases {
        let answer = answer_until_closed(broker.port, input);
        assert_eq!(
            answer,
            *wanted,
            "for {:?}",
            String::from_utf8_lossy(&input[..input.len().min(60)])
        );
    }
    broker_works(broker.port);
}

#[test]
fn half_open_and_slow_peers_do_not_stop_others() {
    let folder = Folder::new("half_open");
    let broker = Broker::start_plain(&folder);
    let silent: Vec<_> = (0..50).map(|_| open(broker.port)).collect();
    let mut half = open(broker.port);
    half.write_all(b"CONNECT {\"verbose\":false}\r\nSUB works 1\r\nPUB wor").expect("writes");
    half.shutdown(Shutdown::Write).expect("half can be closed");
    let mut slow = open(broker.port);
    for byte in b"CONNECT {\"verbose\":false}\r\nPING\r\n" {
        slow.write_all(&[*byte]).expect("writes");
    }
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("PONG\r\n") {
        let count = slow.read(&mut buffer).expect("broker answers");
        assert!(count > 0, "closed: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    broker_works(broker.port);
    drop(silent);
}

#[test]
fn subjects_and_payloads_need_not_be_text() {
    let folder = Folder::new("binary");
    let broker = Broker::start_plain(&folder);
    let mut stream = open(broker.port);
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB a.\xff\xfe 1\r\nPUB a.\xff\xfe 3\r\n\x00\xff\n\r\nPING\r\n").expect("writes");
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"PONG\r\n") {
        let count = stream.read(&mut buffer).expect("broker answers");
        assert!(count > 0, "closed: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    let wanted = b"MSG a.\xff\xfe 1 3\r\n\x00\xff\n\r\n";
    assert!(
        seen.windows(wanted.len()).any(|window| window == wanted),
        "{}",
        String::from_utf8_lossy(&seen)
    );
}

#[test]
fn who_does_not_introduce_itself_is_sent_away() {
    let folder = Folder::new("no_connect");
    let broker = Broker::start_plain(&folder);
    let mut stream = open(broker.port);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("broker closes");
    assert!(answer.ends_with("-ERR 'Authentication Timeout'\r\n"), "{answer}");
    let mut stream = open(broker.port);
    stream.write_all(b"SUB foo 1\r\n").expect("writes");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.ends_with("-ERR 'Authorization Violation'\r\n"), "{answer}");
}

#[test]
fn a_flood_of_refused_connections_does_not_flood_the_log() {
    let folder = Folder::new("log_flood");
    let broker = Broker::start_plain(&folder);
    let loops = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..loops * 150 {
        let mut stream = open(broker.port);
        stream.write_all(b"ZZZ\r\n").expect("writes");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    broker_works(broker.port);
    let output = broker.process.output();
    let lines = output.matches("broker: closed").count();
    assert!(lines >= 100, "{lines}: {output}");
    // A busy machine may need more than one window.
    assert!(lines <= loops * 110 || output.contains("suppressed="), "{lines}");
}
