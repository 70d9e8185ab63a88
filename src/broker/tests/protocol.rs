//! Operations and the answers to them.

use super::*;

#[test]
fn the_first_line_after_connect_and_ping_is_pong() {
    let broker = start(settings());
    let (mut peer, info) = Peer::raw(&broker);
    assert_eq!(info.server_name, "broker.example");
    assert_eq!((info.proto, info.headers, info.max_payload), (1, true, 1_048_576));
    assert_eq!(
        (info.client_id, info.client_ip.as_str(), info.cluster.as_str()),
        (1, "127.0.0.1", "CHORIA")
    );
    assert_eq!((info.server_id.len(), info.auth_required, info.tls_required), (56, false, false));
    assert!(info.version.starts_with("2.14."));
    peer.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    peer.expect("PONG\r\n");
    let greeting = peer.line();
    assert!(
        greeting.contains("\"connect_info\":true")
            && greeting.contains("\"remote_account\":\"choria\"")
    );
    peer.expect_silence();
}

#[test]
fn messages_reach_their_subscribers() {
    let broker = start(settings());
    let (mut one, mut two) = (Peer::open(&broker), Peer::open(&broker));
    one.send("SUB foo.* 7\r\nSUB foo.bar 8\r\n");
    one.sync();
    two.send("PUB foo.x reply 5\r\nhello\r\nPUB other 1\r\nx\r\nPUB foo.y 0\r\n\r\n");
    one.expect("MSG foo.x 7 reply 5\r\nhello\r\nMSG foo.y 7 0\r\n\r\n");
    one.send("UNSUB 7\r\nPUB foo.bar 2\r\nme\r\nPING\r\n");
    one.expect("MSG foo.bar 8 2\r\nme\r\nPONG\r\n");
}

#[test]
fn connect_without_options_is_verbose_and_pedantic() {
    let broker = start(settings());
    let (mut peer, _) = Peer::raw(&broker);
    peer.send("CONNECT {}\r\n");
    peer.expect("+OK\r\n");
    // +OK comes before the message it causes; the echo is on.
    peer.send("SUB foo 1\r\nPUB foo 2\r\nhi\r\nPUB foo.* 0\r\n\r\nUNSUB 1\r\nPING\r\n");
    peer.expect("+OK\r\n+OK\r\nMSG foo 1 2\r\nhi\r\n-ERR 'Invalid Publish Subject'\r\n+OK\r\n+OK\r\nPONG\r\n");
    eventually("one connection is admitted", || broker.statistics().admitted == 1);
    peer.send("ZZZ");
    peer.expect_end("-ERR 'Unknown Protocol Operation'\r\n");
}

/// What comes after CONNECT, what the broker answers, and whether it closes then.
const DIALOGUES: &[(&str, &str, bool)] = &[
    ("ping\r\nPING hello\nPING\r\n", "PONG\r\nPONG\r\nPONG\r\n", false),
    ("+OK\r\nPONG\r\nINFO {\"a\":1}\r\nPING\r\n", "PONG\r\n", false),
    ("sub \t a.b  9\r\npub\ta.b   2\nhi\r\nPING\r\n", "MSG a.b 9 2\r\nhi\r\nPONG\r\n", false),
    (
        "SUB a..b 1\r\nSUB a. 2\r\nSUB >.a 3\r\n",
        "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\n",
        false,
    ),
    (
        "SUB foo* 1\r\nPUB foo* 0\r\n\r\nPUB fooo 0\r\n\r\nPING\r\n",
        "MSG foo* 1 0\r\n\r\nPONG\r\n",
        false,
    ),
    (
        "SUB foo.> 1\r\nPUB foo 0\r\n\r\nPUB foo.* 0\r\n\r\nPING\r\n",
        "MSG foo.* 1 0\r\n\r\nPONG\r\n",
        false,
    ),
    ("UNSUB 77\r\nUNSUB 77 5\r\nPING\r\n", "PONG\r\n", false),
    // The first subscription of a name stays.
    (
        "SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n",
        "MSG a 1 0\r\n\r\nPONG\r\n",
        false,
    ),
    // Counting starts with SUB; the last message is still delivered.
    (
        "SUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1 3\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n",
        "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\nPONG\r\n",
        false,
    ),
    (
        "SUB a 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPING\r\n",
        "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\nPONG\r\n",
        false,
    ),
    (
        "SUB a 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n",
        "MSG a 1 0\r\n\r\nMSG a 1 1\r\nx\r\nPONG\r\n",
        false,
    ),
    // One copy for each subscription.
    (
        "SUB a 1\r\nSUB a 2\r\nUNSUB 1\r\nPUB a 0\r\n\r\nPING\r\n",
        "MSG a 2 0\r\n\r\nPONG\r\n",
        false,
    ),
    (
        "PUB _GR_.x 0\r\n\r\nPING\r\n",
        "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\nPONG\r\n",
        false,
    ),
    (
        "PUB a $JS.ACK.x 0\r\n\r\nPING\r\n",
        "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\nPONG\r\n",
        false,
    ),
    (
        "SUB a _sys_ 1\r\nPING\r\n",
        "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\nPONG\r\n",
        false,
    ),
    ("PING\r\nZZZ", "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n", true),
    ("MSG a 1 0\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true),
    ("RS+ a b\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true),
    ("PUBS foo 1\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true),
    ("PUB foo 2\r\nokXX", "-ERR 'Unknown Protocol Operation'\r\n", true),
    ("PUB foo 1048577\r\n", "-ERR 'Maximum Payload Violation'\r\n", true),
    ("PING\r\nPUB foo\r\n", "PONG\r\n", true),
    ("PUB foo -1\r\n", "", true),
    ("PUB foo 0000000001\r\n", "", true),
    ("HPUB foo 5 4\r\n", "", true),
    ("SUB foo\r\n", "", true),
    ("UNSUB \r\n", "", true),
    ("INFO {bad\r\n", "", true),
    ("INFO []\r\n", "", true),
    ("CONNECT null\r\nPING\r\n", "PONG\r\n", false),
    ("-ERR 'I leave'\r\n", "", true),
    ("CONNECT {\"verbose\":1}\r\n", "", true),
    ("CONNECT {\"account\":\"x\"}\r\n", "-ERR 'Authorization Violation'\r\n", true),
    ("CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\n", true),
    ("CONNECT {\"headers\":false}\r\n", "-ERR 'no responders requires headers support'\r\n", true),
];

fn check_dialogues(send: fn(&mut Peer, &str)) {
    let broker = start(settings());
    for (input, answer, closes) in DIALOGUES {
        let mut peer = Peer::open(&broker);
        send(&mut peer, input);
        match closes {
            true => peer.expect_end(answer),
            false => {
                peer.expect(answer);
                peer.sync();
            }
        }
    }
    assert_eq!(broker.statistics().panics, 0);
}

#[test]
fn answers() {
    check_dialogues(|peer, input| peer.send(input));
}

#[test]
fn answers_to_one_byte_at_a_time() {
    check_dialogues(|peer, input| {
        peer.socket.set_nodelay(true).expect("option");
        for byte in input.bytes() {
            // The broker may close before the last byte.
            if peer.socket.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}

#[test]
fn lines_have_a_limit_even_without_end() {
    let broker = start(settings());
    for line in [
        format!("SUB {} 1\r\n", "x".repeat(4096)),
        format!("SUB {}", "x".repeat(9000)),
        format!("PING {}", "x".repeat(9000)),
    ] {
        let mut peer = Peer::open(&broker);
        peer.send(&line);
        peer.expect_end("-ERR 'maximum control line exceeded'\r\n");
    }
    let token = "x".repeat(20_000);
    let mut peer = Peer::with(&broker, &format!("\"auth_token\":\"{token}\""));
    peer.send(&format!("SUB {} 1\r\n", "x".repeat(4000)));
    peer.sync();
    let (mut peer, _) = Peer::raw(&broker);
    peer.send(&format!("CONNECT {{\"auth_token\":\"{}", "x".repeat(40_000)));
    peer.expect_end("-ERR 'maximum control line exceeded'\r\n");
}

#[test]
fn connect_comes_first() {
    let broker = start(settings());
    for input in [
        "PING\r\n",
        "SUB a 1\r\n",
        "PUB a 5\r\nhello\r\n",
        "PUB a 999999999\r\n",
        "PUB a\r\n",
        "INFO {}\r\n",
        "+OK\r\n",
    ] {
        let (mut peer, _) = Peer::raw(&broker);
        peer.send(input);
        peer.expect_end("-ERR 'Authorization Violation'\r\n");
    }
    eventually("all are counted as refused", || broker.statistics().refused == 7);
    assert_eq!(broker.statistics().admitted, 0);
}

#[test]
fn a_second_connect_changes_options_and_drops_subscriptions() {
    let broker = start(settings());
    let mut peer = Peer::open(&broker);
    peer.send("SUB a 1\r\nCONNECT {\"verbose\":true}\r\nPUB a 0\r\n\r\n");
    peer.expect("+OK\r\n+OK\r\n");
    peer.send("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nPING\r\n");
    peer.expect("PONG\r\n");
    assert_eq!((broker.statistics().admitted, broker.statistics().subscriptions), (1, 1));
}

#[test]
fn subscriptions_have_a_limit() {
    let broker = start(Settings { subscriptions_max: 2, ..settings() });
    let mut peer = Peer::open(&broker);
    peer.send("SUB a 1\r\nSUB a 2\r\nSUB a 3\r\nUNSUB 1\r\nSUB b 4\r\n");
    peer.expect("-ERR 'maximum subscriptions exceeded'\r\n");
    peer.sync();
}
