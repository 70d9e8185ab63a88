//! Clients that try to wear the broker out. Beside every one of them a well-behaved pair exchanges messages: it must not
//! notice, and the broker's memory and CPU time stay within bounds.

mod peer;
mod witness;

use std::io::{Read, Write};

use super::support::{Broker, Folder, wait_for};
use peer::{Door, Peer, pause};
use witness::unaffected;

fn plain(name: &str) -> (Folder, Broker, Door) {
    let folder = Folder::new(name);
    let broker = Broker::start_plain(&folder);
    let door = Door::plain(broker.port);
    (folder, broker, door)
}

fn with_tls(name: &str) -> (Folder, Broker, Door) {
    let folder = Folder::new(name);
    let broker = Broker::start(&folder);
    let door = Door::tls(broker.port);
    (folder, broker, door)
}

/// A connection comes in and goes.
fn still_admits(door: &Door) {
    door.enter().settle();
}

#[test]
fn one_byte_at_a_time() {
    let (_folder, broker, door) = plain("hostile_bytes");
    unaffected(&broker, &door, 16, |door| {
        let mut slow: Vec<_> = (0..40).map(|_| door.socket()).collect();
        let session = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB a.* q 1\r\n\
            HPUB a.b r 12 14\r\nNATS/1.0\r\n\r\nok\r\nUNSUB 1\r\nPING\r\n";
        for byte in session {
            for stream in &mut slow {
                stream.write_all(&[*byte]).expect("the broker reads");
            }
        }
        let mut messages = 0;
        for stream in &mut slow {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while peer::find(&seen, b"PONG\r\n").is_none() {
                let count = stream.read(&mut buffer).expect("the broker answers");
                assert!(count > 0, "closed: {}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&buffer[..count]);
            }
            messages += seen.windows(5).filter(|window| *window == b"HMSG ").count();
        }
        // Every message goes to one of the group.
        assert_eq!(messages, slow.len());
    });
}

#[test]
fn who_never_reads_is_left_behind() {
    let (_folder, broker, door) = plain("hostile_never_reading");
    unaffected(&broker, &door, 400, |door| {
        let mut deaf: Vec<Peer> = (0..4).map(|_| door.enter()).collect();
        for peer in &mut deaf {
            peer.send(b"SUB flood 1\r\n");
            peer.settle();
        }
        let mut publisher = door.enter();
        let payload = "x".repeat(256 * 1024);
        let message = format!("PUB flood {}\r\n{payload}\r\n", payload.len());
        // 100 MiB, more than the sockets and the queue of a receiver hold.
        for _ in 0..400 {
            publisher.send(message.as_bytes());
        }
        publisher.settle();
        wait_for("slow consumers to be closed", || {
            (broker.process.output().matches("slow consumer").count() >= 4).then_some(())
        });
    });
}

#[test]
fn control_lines_without_end() {
    let (_folder, broker, door) = plain("hostile_lines");
    unaffected(&broker, &door, 32, |door| {
        let megabyte = vec![b'x'; 1024 * 1024];
        for start in
            ["SUB ", "PUB ", "UNSUB ", "PING", "-ERR ", "CONNECT {\"user\":\"", "", "HPUB a "]
        {
            for _ in 0..8 {
                let mut peer = door.enter();
                peer.send(start.as_bytes());
                peer.send(&megabyte);
                let answer = peer.read_to_end();
                let is_refused = answer.is_empty() || answer.contains("-ERR");
                assert!(is_refused, "{start:?}: {answer}");
            }
        }
        // Many at once, each a little below the limit.
        let half_lines: Vec<Peer> = (0..200)
            .map(|_| {
                let mut peer = door.enter();
                peer.send(&megabyte[..4000]);
                peer
            })
            .collect();
        pause(300);
        drop(half_lines);
        still_admits(door);
    });
}

#[test]
fn a_hundred_thousand_subscriptions_of_one_connection() {
    let (_folder, broker, door) = plain("hostile_subscriptions");
    unaffected(&broker, &door, 128, |door| {
        let mut after = Vec::new();
        for _ in 0..5 {
            let mut peer = door.enter();
            for block in 0..100 {
                let lines = (0..1000).map(|place| {
                    let number = block * 1000 + place;
                    format!("SUB mcollective.node.{number}.*.{} {number}\r\n", number % 7)
                });
                peer.send(lines.collect::<String>().as_bytes());
            }
            peer.settle();
            // Half of them are taken back, the others go with the connection.
            let lines = (0..50_000).map(|number| format!("UNSUB {number}\r\n"));
            peer.send(lines.collect::<String>().as_bytes());
            peer.settle();
            drop(peer);
            pause(500);
            after.push(broker.process.usage().1);
        }
        // Each event loop keeps some of the memory it had once, and another one may come later.
        assert!(after[4] < after[2] + 16 * 1024, "memory grows: {after:?} KiB");
    });
}

#[test]
fn wildcards_that_make_matching_long() {
    const TOKENS: u32 = 12;
    let (_folder, broker, door) = plain("hostile_wildcards");
    unaffected(&broker, &door, 64, |door| {
        let mut peer = door.enter();
        // Every pattern of `a` and `*`, with an end that the published subject does not have.
        for pattern in 0..1_u32 << TOKENS {
            let tokens =
                (0..TOKENS).map(|place| if pattern >> place & 1 == 1 { "*." } else { "a." });
            let subject = tokens.collect::<String>();
            peer.send(format!("SUB {subject}z {pattern}\r\n").as_bytes());
        }
        peer.settle();
        let path = "a.".repeat(TOKENS as usize);
        for round in 0..200 {
            peer.send(format!("PUB {path}y{round} 0\r\n\r\n").as_bytes());
        }
        peer.settle();
        let deep = format!("SUB {}> 1\r\n", "*.".repeat(1900));
        peer.send(deep.as_bytes());
        peer.send(format!("PUB {}a 0\r\n\r\n", "a.".repeat(1900)).as_bytes());
        peer.settle();
    });
}

#[test]
fn headers_that_lie() {
    let (_folder, broker, door) = plain("hostile_headers");
    unaffected(&broker, &door, 16, |door| {
        let mut subscriber = door.enter();
        subscriber.send(b"SUB lies 1\r\n");
        subscriber.settle();
        for (lie, is_closed) in [
            ("HPUB lies 99 14\r\nNATS/1.0\r\n\r\nok\r\n", true),
            ("HPUB lies -1 14\r\nNATS/1.0\r\n\r\nok\r\n", true),
            ("HPUB lies 12 -14\r\nNATS/1.0\r\n\r\nok\r\n", true),
            ("HPUB lies 12 99999999999999999999\r\nNATS/1.0\r\n\r\nok\r\n", true),
            ("HPUB lies 12 2000000\r\n", true),
            ("HPUB lies 12\r\nNATS/1.0\r\n\r\n\r\n", true),
            ("HPUB lies 12 14\r\nNATS/1.0\r\n\r\nok and more\r\n", true),
        ] {
            let mut peer = door.enter();
            peer.send(lie.as_bytes());
            if is_closed {
                let answer = peer.read_to_end();
                assert!(!answer.contains("MSG"), "{lie:?}: {answer}");
            }
        }
        subscriber.send(b"PING\r\n");
        let came = subscriber.wait_for("PONG\r\n");
        let came = String::from_utf8_lossy(&came).replace("PING\r\n", "");
        assert_eq!(came, "PONG\r\n", "a lie was delivered");
    });
}

#[test]
fn taking_back_what_was_never_asked_for() {
    let (_folder, broker, door) = plain("hostile_unsub");
    unaffected(&broker, &door, 16, |door| {
        let mut peer = door.enter();
        for block in 0..200 {
            let lines = (0..1000).map(|place| format!("UNSUB {} 5\r\n", block * 1000 + place));
            peer.send(lines.collect::<String>().as_bytes());
        }
        peer.settle();
        // The same identifier again and again.
        for _ in 0..100 {
            peer.send(&b"SUB a.b 1\r\nUNSUB 1\r\n".repeat(1000));
        }
        peer.settle();
    });
}

#[test]
fn names_that_are_not_for_clients() {
    let (_folder, broker, door) = plain("hostile_names");
    unaffected(&broker, &door, 16, |door| {
        let mut peer = door.enter();
        let cases = [
            ("PUB _GR_.a.b 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.a.b\"'"),
            ("PUB $NRG.V.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"$NRG.V.x\"'"),
            (
                "PUB a _R_.b 0\r\n\r\n",
                "-ERR 'Permissions Violation for Publish with Reply of \"_R_.b\"'",
            ),
            (
                "SUB a _sys_ 9\r\n",
                "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'",
            ),
        ];
        for (attempt, answer) in cases {
            peer.send(attempt.as_bytes());
            peer.wait_for(answer);
        }
        // A flood of them costs nobody else anything.
        for _ in 0..100 {
            peer.send(&b"PUB _GR_.a.b 0\r\n\r\n".repeat(100));
            for _ in 0..100 {
                peer.wait_for("\"_GR_.a.b\"'\r\n");
            }
        }
        peer.settle();
    });
}

#[test]
fn a_flood_of_silent_connections() {
    let (_folder, broker, door) = plain("hostile_silent");
    unaffected(&broker, &door, 64, |door| {
        let silent: Vec<_> = (0..2000).map(|_| door.socket()).collect();
        still_admits(door);
        // The broker sends them away on its own.
        for mut stream in silent {
            let mut seen = Vec::new();
            let _ = stream.read_to_end(&mut seen);
            assert!(peer::find(&seen, b"-ERR 'Authentication Timeout'").is_some());
        }
    });
}

#[test]
fn handshakes_that_never_end() {
    let (_folder, broker, door) = with_tls("hostile_handshakes");
    unaffected(&broker, &door, 64, |door| {
        // The begin of a ClientHello, which promises 512 bytes.
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        let mut slow: Vec<_> = (0..500).map(|_| door.socket()).collect();
        for byte in hello {
            for stream in &mut slow {
                let _ = stream.write_all(&[byte]);
            }
            pause(20);
        }
        still_admits(door);
        for stream in &mut slow {
            let mut seen = Vec::new();
            let _ = stream.read_to_end(&mut seen);
        }
        still_admits(door);
    });
}

#[test]
fn garbage_in_place_of_a_handshake() {
    let (_folder, broker, door) = with_tls("hostile_garbage");
    unaffected(&broker, &door, 64, |door| {
        let random = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            std::iter::repeat_with(move || random.u8(..)).take(20_000).collect::<Vec<_>>()
        };
        for seed in 0..200 {
            let mut stream = door.socket();
            // Half of them look like a record of TLS.
            let mut bytes = random(seed);
            if seed % 2 == 0 {
                bytes[..5].copy_from_slice(&[0x16, 3, 1, 0x3f, 0xff]);
            }
            let _ = stream.write_all(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        still_admits(door);
    });
}
