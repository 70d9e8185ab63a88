//! What options of a client and limits of an operator change. The cases follow nats-server's `test/verbose_test.go`,
//! `pedantic_test.go`, `maxpayload_test.go`, `ping_test.go` and `proto_test.go`.

use super::*;
use crate::nats::codec::Limits;

/// Sends each input over a connection of its own, and checks the answer and whether the broker closes.
fn check(broker: &Broker, options: &str, cases: &[(&str, &str, bool)]) {
    for (input, answer, closes) in cases {
        let (mut peer, _) = Peer::raw(broker);
        peer.send(&format!("CONNECT {{{options}}}\r\nPING\r\n"));
        while peer.line() != "PONG" {}
        peer.send(input);
        match closes {
            true => peer.expect_end(answer),
            false => {
                peer.expect(answer);
                peer.sync();
            }
        }
    }
}

#[test]
fn a_verbose_connection_hears_ok_or_why_not() {
    let cases = [
        ("SUB a 1\r\n", "+OK\r\n", false),
        ("SUB a 1\r\nSUB b 1\r\n", "+OK\r\n+OK\r\n", false),
        ("SUB a..b 1\r\nUNSUB 9\r\n", "-ERR 'Invalid Subject'\r\n+OK\r\n", false),
        ("PING\r\nPUB a 0\r\n\r\nPING\r\n", "PONG\r\n+OK\r\nPONG\r\n", false),
        (
            "PUB _GR_.x 0\r\n\r\n",
            "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\n",
            false,
        ),
        (
            "SUB a _sys_ 1\r\n",
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\n",
            false,
        ),
        ("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", "+OK\r\n", false),
        ("PUB a 1\r\n\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n", true),
    ];
    check(&start(settings()), "\"verbose\":true,\"pedantic\":false,\"headers\":true", &cases);
}

#[test]
fn a_pedantic_connection_hears_of_bad_subjects_and_its_messages_are_sent_all_the_same() {
    let cases = [
        ("PUB a.b 0\r\n\r\n", "", false),
        (
            "SUB a.* 1\r\nPUB a.* 0\r\n\r\n",
            "-ERR 'Invalid Publish Subject'\r\nMSG a.* 1 0\r\n\r\n",
            false,
        ),
        ("PUB > 0\r\n\r\n", "-ERR 'Invalid Publish Subject'\r\n", false),
        ("PUB a..b 0\r\n\r\n", "-ERR 'Invalid Publish Subject'\r\n", false),
        ("SUB a.b.c. 1\r\n", "-ERR 'Invalid Subject'\r\n", false),
        ("SUB foo.>.bar 1\r\n", "-ERR 'Invalid Subject'\r\n", false),
    ];
    check(&start(settings()), "\"verbose\":false,\"pedantic\":true", &cases);
}

#[test]
fn the_size_of_a_message_is_refused_before_its_payload() {
    let limits = Limits { payload_bytes_max: 100, ..Limits::default() };
    let broker = start(Settings { limits, ..settings() });
    assert_eq!(Peer::raw(&broker).1.max_payload, 100);
    let exact = format!("SUB a 1\r\nPUB a 100\r\n{}\r\n", "x".repeat(100));
    let delivered = format!("MSG a 1 100\r\n{}\r\n", "x".repeat(100));
    let violation = "-ERR 'Maximum Payload Violation'\r\n";
    let cases = [
        (exact.as_str(), delivered.as_str(), false),
        ("PUB a 101\r\n", violation, true),
        ("HPUB a 12 101\r\n", violation, true),
        ("PUB a 999999999\r\n", violation, true),
        // Sizes that do not fit into a number.
        ("PUB a 18446744073709551600\r\n", "", true),
        ("PUB a 18446744073709551600123456789\r\n", "", true),
        ("HPUB a 0 18446744073709551615\r\n", "", true),
        ("HPUB a 101 12\r\n", "", true),
    ];
    check(&broker, "\"verbose\":false,\"headers\":true", &cases);
}

#[test]
fn the_limit_of_a_line_spares_connect() {
    let limits = Limits { control_line_bytes_max: 256, ..Limits::default() };
    let broker = start(Settings { limits, ..settings() });
    let fits = format!("SUB {} 1\r\n", "x".repeat(250));
    let long = format!("SUB {} 1\r\n", "x".repeat(260));
    let open_end = format!("PUB {}", "x".repeat(600));
    let too_long = "-ERR 'maximum control line exceeded'\r\n";
    let name = format!("\"verbose\":false,\"name\":\"{}\"", "n".repeat(3000));
    check(
        &broker,
        &name,
        &[(&fits, "", false), (&long, too_long, true), (&open_end, too_long, true)],
    );
}

#[test]
fn clients_are_told_the_advertised_address() {
    let advertise = Some(("public.example".to_owned(), 4333));
    let broker = start(Settings { advertise, ..settings() });
    let (_, info) = Peer::raw(&broker);
    assert_eq!((info.host.as_str(), info.port), ("public.example", 4333));
    let broker = start(settings());
    let (_, info) = Peer::raw(&broker);
    assert_eq!((info.host.as_str(), info.port), ("127.0.0.1", broker.local_addr().port()));
}

#[test]
fn pongs_start_the_count_again() {
    let short = Duration::from_millis(200);
    let broker = start(Settings { ping_interval: short, pings_max: 3, ..settings() });
    let mut peer = Peer::open(&broker);
    // A PONG that nobody asked for does no harm.
    peer.send("PONG\r\nPONG\r\n");
    peer.expect("PING\r\nPING\r\n");
    peer.send("PONG\r\n");
    peer.expect_end("PING\r\nPING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
}

#[test]
fn groups_share_and_each_group_gets_its_own() {
    let broker = start(settings());
    let mut members: Vec<_> = (0..2).map(|_| Peer::open(&broker)).collect();
    for member in &mut members {
        member.send("SUB work g1 1\r\nSUB work g2 2\r\nSUB work 3\r\n");
        member.sync();
    }
    let mut producer = Peer::open(&broker);
    producer.send(&"PUB work 0\r\n\r\n".repeat(200));
    producer.sync();
    let mut counts = [[0; 4]; 2];
    for (member, counts) in members.iter_mut().zip(&mut counts) {
        member.send("PING\r\n");
        loop {
            match member.line().as_str() {
                "PONG" => break,
                "" => {}
                line => {
                    let sid = line.split(' ').nth(2).and_then(|sid| sid.parse::<usize>().ok());
                    counts[sid.expect("a message")] += 1;
                }
            }
        }
    }
    for sid in [1, 2] {
        assert_eq!(counts[0][sid] + counts[1][sid], 200, "{counts:?}");
        assert!(counts.iter().all(|counts| counts[sid] >= 60), "{counts:?}");
    }
    assert_eq!((counts[0][3], counts[1][3]), (200, 200));
}
