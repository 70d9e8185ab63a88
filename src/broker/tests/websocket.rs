//! Connections over WebSockets.

use miniz_oxide::deflate::compress_to_vec;

use super::*;
use crate::broker::WebSocket;
use crate::broker::websocket::frame::{Decoder, Event, Opcode, Rules, append_head};

/// The settings of a broker with a port for WebSockets.
fn with_port() -> Settings {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let websocket = WebSocket {
        listen,
        advertise: Some(("ws.example".to_owned(), 443)),
        origins: vec!["https://app.example".to_owned()],
    };
    Settings { websocket: Some(websocket), ..settings() }
}

/// A peer that speaks HTTP, then frames.
struct Socket {
    peer: Peer,
    data: Vec<u8>,
    /// Deflated frames that came.
    deflated: usize,
}

/// Something other than data.
type Control = (u8, Vec<u8>);

impl Socket {
    fn connect(broker: &Broker) -> Peer {
        let address = broker.websocket_addr().expect("there is a port");
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Peer { socket, kept: Vec::new() }
    }

    /// Upgrades, and leaves INFO to be read.
    fn open(broker: &Broker, fields: &str) -> Socket {
        let mut peer = Socket::connect(broker);
        peer.send(&request(fields));
        assert_eq!(peer.line(), "HTTP/1.1 101 Switching Protocols");
        while !peer.line().is_empty() {}
        Socket { peer, data: Vec::new(), deflated: 0 }
    }

    /// Upgrades, connects and waits for the PONG.
    fn client(broker: &Broker, fields: &str) -> Socket {
        let mut socket = Socket::open(broker, fields);
        assert!(socket.line().starts_with("INFO "));
        socket.send("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        socket.expect("PONG\r\n");
        socket
    }

    fn send(&mut self, text: &str) {
        self.peer.socket.write_all(&masked(0x82, text.as_bytes())).expect("send");
    }

    fn sync(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    /// Reads one frame; what is not data is returned.
    fn frame(&mut self) -> Option<Control> {
        self.need(2);
        let [first, second] = [self.peer.kept[0], self.peer.kept[1]];
        assert_eq!(second & 0x80, 0, "not masked");
        let (head, length) = match second {
            126 => (4, self.number(2)),
            127 => (10, self.number(8)),
            short => (2, usize::from(short)),
        };
        self.need(head + length);
        let payload: Vec<u8> = self.peer.kept.drain(..head + length).skip(head).collect();
        if first == 0xc2 {
            self.data.extend(inflated(&payload));
            self.deflated += 1;
            return None;
        }
        if first == 0x82 {
            self.data.extend_from_slice(&payload);
            return None;
        }
        Some((first, payload))
    }

    fn number(&mut self, bytes: usize) -> usize {
        self.need(2 + bytes);
        self.peer.kept[2..2 + bytes].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    fn need(&mut self, count: usize) {
        while self.peer.kept.len() < count {
            assert!(self.peer.fill() > 0, "closed in the middle");
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.data.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.data.drain(..=end).collect();
                return String::from_utf8_lossy(&line).into_owned();
            }
            assert_eq!(self.frame(), None);
        }
    }

    /// Exactly these bytes come next.
    fn expect(&mut self, text: &str) {
        while self.data.len() < text.len() {
            assert_eq!(self.frame(), None);
        }
        let got: Vec<u8> = self.data.drain(..text.len()).collect();
        assert!(got == text.as_bytes(), "{:?}", String::from_utf8_lossy(&got));
    }

    /// Some text, a close frame with this status, and the end.
    fn expect_end(&mut self, text: &str, status: u16) {
        let control = loop {
            if let Some(control) = self.frame() {
                break control;
            }
        };
        assert_eq!(String::from_utf8_lossy(&self.data), text);
        assert_eq!(control, (0x88, status.to_be_bytes().to_vec()));
        self.peer.expect_end("");
    }
}

fn request(fields: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let rules = Rules { takes_deflated: true, inflated_bytes_max: u64::MAX };
    let (mut decoder, mut scratch) = (Decoder::new(), vec![0; 1 << 20]);
    let mut frame = masked(0xc2, payload);
    let (mut input, mut data) = (frame.as_mut_slice(), Vec::new());
    while let Some(event) = decoder.next(&mut input, &mut scratch, &rules).expect("good") {
        if let Event::Data(bytes) = event {
            data.extend_from_slice(bytes);
        }
    }
    data
}

/// A frame as clients send it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 20, 90, 255];
    let mut out = Vec::new();
    append_head(&mut out, Opcode::Binary, false, payload.len());
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

#[test]
fn messages_cross_between_both_kinds_of_connections() {
    let broker = start(with_port());
    let mut plain = Peer::open(&broker);
    plain.send("SUB a 1\r\n");
    plain.sync();
    let mut socket = Socket::client(&broker, "");
    socket.send("SUB a 2\r\n");
    socket.sync();
    for size in [0, 5, 126, 5000, 70_000, 1_048_576] {
        let payload = "x".repeat(size);
        let text = format!("PUB a {size}\r\n{payload}\r\n");
        socket.send(&text);
        plain.expect(&format!("MSG a 1 {size}\r\n{payload}\r\n"));
        socket.expect(&format!("MSG a 2 {size}\r\n{payload}\r\n"));
        plain.send(&text);
        socket.expect(&format!("MSG a 2 {size}\r\n{payload}\r\n"));
        plain.expect(&format!("MSG a 1 {size}\r\n{payload}\r\n"));
    }
    let statistics = broker.statistics();
    assert_eq!((statistics.admitted, statistics.in_messages, statistics.out_messages), (2, 12, 24));
}

#[test]
fn info_comes_in_the_first_frame() {
    let broker = start(with_port());
    let mut socket = Socket::open(&broker, "");
    let line = socket.line();
    let info = ServerInfo::decode(line.strip_prefix("INFO ").expect("INFO").as_bytes());
    let info = info.expect("INFO is JSON");
    assert_eq!((info.tls_required, info.connect_urls), (false, vec!["ws.example:443".to_owned()]));
}

#[test]
fn what_is_no_websocket_is_told_so() {
    let broker = start(with_port());
    let cases = [
        ("CONNECT {}\r\nPING\r\n".to_owned(), "400 Bad Request", "not an HTTP request"),
        (request("").replace("GET", "POST"), "405 Method", "the request method has to be GET"),
        (request("Origin: https://evil.example\r\n"), "403 Forbidden", "the origin is not allowed"),
    ];
    for (text, status, reason) in cases {
        let mut peer = Socket::connect(&broker);
        peer.send(&text);
        assert!(peer.line().starts_with(&format!("HTTP/1.1 {status}")));
        while !peer.line().is_empty() {}
        peer.expect_end(&format!("{reason}\n"));
    }
    Socket::client(&broker, "Origin: https://app.example\r\n");
}

#[test]
fn those_who_ask_for_nothing_are_closed() {
    let short = Duration::from_millis(100);
    let broker = start(Settings { tls_timeout: short, auth_timeout: short, ..with_port() });
    let mut silent = Socket::connect(&broker);
    silent.send("GET / HTTP/1.1\r\n");
    silent.expect_end("");
    let mut socket = Socket::open(&broker, "");
    assert!(socket.line().starts_with("INFO "));
    socket.expect_end("-ERR 'Authentication Timeout'\r\n", 1008);
}

#[test]
fn frames_may_be_cut_anywhere() {
    let broker = start(with_port());
    let mut socket = Socket::client(&broker, "");
    let bytes = [
        masked(0x01, b"SUB a"),
        masked(0x89, b"are you there"),
        masked(0x80, b" 1\r\nPUB a 2\r"),
        masked(0x82, b"\nhi\r\n"),
    ]
    .concat();
    for byte in bytes {
        socket.peer.socket.write_all(&[byte]).expect("send");
    }
    assert_eq!(socket.frame(), Some((0x8a, b"are you there".to_vec())));
    socket.expect("MSG a 1 2\r\nhi\r\n");
}

#[test]
fn both_sides_can_end_it() {
    let broker = start(with_port());
    let mut socket = Socket::client(&broker, "");
    let last = [masked(0x82, b"SUB a 1\r\nPUB a 2\r\nhi\r\n"), masked(0x88, &[3, 233])].concat();
    socket.peer.socket.write_all(&last).expect("send");
    socket.expect_end("MSG a 1 2\r\nhi\r\n", 1001);
    let mut socket = Socket::client(&broker, "");
    socket.send("ZZZ");
    socket.expect_end("-ERR 'Unknown Protocol Operation'\r\n", 1002);
    let mut socket = Socket::client(&broker, "");
    socket.peer.socket.write_all(b"\x82\x01x").expect("send");
    socket.expect_end("", 1002);
    eventually("nobody is left", || broker.statistics().admitted == 0);
    let mut socket = Socket::client(&broker, "");
    let stopping = std::thread::spawn(move || broker.shutdown(PATIENCE));
    socket.expect_end("", 1001);
    stopping.join().expect("stops");
}

#[test]
fn messages_are_deflated_both_ways_when_that_was_asked_for() {
    let mut settings = Settings { linger: PATIENCE, ..with_port() };
    settings.limits.payload_bytes_max = 100_000;
    let broker = start(settings);
    let mut socket = Socket::client(&broker, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let before = socket.deflated;
    let payload = "x".repeat(50_000);
    let squeezed =
        compress_to_vec(format!("SUB a 1\r\nPUB a 50000\r\n{payload}\r\n").as_bytes(), 1);
    assert!(squeezed.len() < 1000);
    socket.peer.socket.write_all(&masked(0xc2, &squeezed)).expect("send");
    socket.expect(&format!("MSG a 1 50000\r\n{payload}\r\n"));
    assert_eq!(socket.deflated, before + 1);
    socket.sync();
    assert_eq!(socket.deflated, before + 1, "a short frame is not deflated");
    let bomb = compress_to_vec(&b"PING\r\n".repeat(200_000), 1);
    socket.peer.socket.write_all(&masked(0xc2, &bomb)).expect("send");
    let control = loop {
        if let Some(control) = socket.frame() {
            break control;
        }
    };
    assert_eq!(control, (0x88, 1009_u16.to_be_bytes().to_vec()));
    assert!(socket.data.len() <= 8 * 100_000);
}

#[test]
fn a_browser_gets_small_frames() {
    let broker = start(with_port());
    let mut socket = Socket::client(&broker, "User-Agent: Mozilla/5.0\r\n");
    socket.send(&format!("SUB a 1\r\nPUB a 10000\r\n{}\r\n", "x".repeat(10_000)));
    assert_eq!(socket.frame(), None);
    assert_eq!(socket.data.len(), 4096);
}

#[test]
fn one_who_does_not_read_is_a_slow_consumer() {
    let broker = start(Settings {
        pending_bytes_max: 2 << 20,
        write_deadline: Duration::from_millis(300),
        ..with_port()
    });
    let mut slow = Socket::client(&broker, "");
    slow.send("SUB a 1\r\n");
    slow.sync();
    let mut producer = Peer::open(&broker);
    let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
    for _ in 0..200 {
        producer.send(&message);
    }
    producer.sync();
    eventually("it is closed", || broker.statistics().slow_consumers == 1);
}

#[test]
fn a_late_reader_gets_everything_in_order() {
    let broker = start(with_port());
    let mut late = Socket::client(&broker, "");
    late.send("SUB a 1\r\n");
    late.sync();
    let mut producer = Peer::open(&broker);
    let mut expected = String::new();
    for number in 0..300 {
        let payload = format!("{number:05}").repeat(5000);
        producer.send(&format!("PUB a 25000\r\n{payload}\r\n"));
        expected.push_str(&format!("MSG a 1 25000\r\n{payload}\r\n"));
    }
    producer.sync();
    late.expect(&expected);
}
