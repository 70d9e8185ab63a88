//! Who gets what, in which form and order.

use std::collections::HashMap;
use std::thread;

use super::*;

#[test]
fn headers_go_to_those_who_understand_them() {
    let broker = start(settings());
    let (mut with, mut without) = (Peer::open(&broker), Peer::with(&broker, ""));
    with.send("SUB a 1\r\n");
    without.send("SUB a 2\r\n");
    with.sync();
    without.sync();
    with.send("HPUB a 12 14\r\nNATS/1.0\r\n\r\nok\r\nHPUB  a r 12 14\r\nNATS/1.0\r\n\r\nok\r\nHPUB a 0 2\r\nok\r\nPUB a 0\r\n\r\n");
    let full = "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nok\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nok\r\nMSG a 1 2\r\nok\r\nMSG a 1 0\r\n\r\n";
    with.expect(full);
    without.expect("MSG a 2 2\r\nok\r\nMSG a 2 r 2\r\nok\r\nMSG a 2 2\r\nok\r\nMSG a 2 0\r\n\r\n");
    without.send("HPUB a 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
    without.expect_end("");
}

#[test]
fn own_messages_come_only_with_echo() {
    let broker = start(settings());
    let (mut quiet, mut other) = (Peer::with(&broker, "\"echo\":false"), Peer::open(&broker));
    quiet.send("SUB a 1\r\nSUB b q 2\r\n");
    quiet.sync();
    other.send("SUB b q 3\r\n");
    other.sync();
    for _ in 0..20 {
        quiet.send("PUB a 0\r\n\r\nPUB b 0\r\n\r\n");
        quiet.sync();
        other.expect("MSG b 3 0\r\n\r\n");
    }
    other.send("PUB a 0\r\n\r\n");
    quiet.expect("MSG a 1 0\r\n\r\n");
}

#[test]
fn one_member_of_a_group_gets_a_message_whatever_its_subject() {
    let broker = start(settings());
    let (mut one, mut two, mut plain) =
        (Peer::open(&broker), Peer::open(&broker), Peer::open(&broker));
    one.send("SUB foo q 1\r\n");
    two.send("SUB * q 2\r\n");
    plain.send("SUB foo 3\r\nSUB foo other 4\r\n");
    for peer in [&mut one, &mut two, &mut plain] {
        peer.sync();
    }
    plain.send(&"PUB foo 0\r\n\r\n".repeat(100));
    plain.expect(&"MSG foo 3 0\r\n\r\nMSG foo 4 0\r\n\r\n".repeat(100));
    plain.sync();
    let count = |peer: &mut Peer| {
        peer.send("PING\r\n");
        let mut messages = 0;
        while peer.line() != "PONG" {
            messages += 1;
        }
        messages / 2
    };
    let (first, second) = (count(&mut one), count(&mut two));
    assert_eq!(first + second, 100);
    assert!(first >= 20 && second >= 20, "{first} and {second}");
}

#[test]
fn a_request_nobody_hears_is_answered() {
    let broker = start(settings());
    let mut peer = Peer::open(&broker);
    let answer = "HMSG in.1 7 37 37\r\nNATS/1.0 503\r\nNats-Subject: nobod\r\n\r\n\r\n";
    peer.send("SUB in.* 7\r\nPUB nobod in.1 0\r\n\r\n");
    peer.expect(answer);
    // Not for those who did not ask, not to groups, not to others, not without reply, not when somebody heard it.
    peer.send("PUB nobod 0\r\n\r\nPUB nobod other 0\r\n\r\nSUB gr q 8\r\nPUB nobod gr 0\r\n\r\nSUB here 9\r\nPUB here in.1 0\r\n\r\n");
    peer.expect("MSG here 9 in.1 0\r\n\r\n");
    peer.send("PUB a..b in.1 0\r\n\r\nPING\r\n");
    peer.expect("HMSG in.1 7 36 36\r\nNATS/1.0 503\r\nNats-Subject: a..b\r\n\r\n\r\nPONG\r\n");
    let mut plain = Peer::with(&broker, "\"headers\":true");
    plain.send("SUB in.* 7\r\nPUB nobod in.1 0\r\n\r\n");
    plain.sync();
}

#[test]
fn the_limit_of_a_subscription_is_exact_whoever_publishes() {
    let broker = start(settings());
    let mut receiver = Peer::open(&broker);
    receiver.send("SUB a 1\r\nUNSUB 1 500\r\n");
    receiver.sync();
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let mut peer = Peer::open(&broker);
            thread::spawn(move || {
                peer.send(&"PUB a 0\r\n\r\n".repeat(400));
                peer.sync();
            })
        })
        .collect();
    publishers.into_iter().for_each(|thread| thread.join().expect("publisher"));
    receiver.expect(&"MSG a 1 0\r\n\r\n".repeat(500));
    receiver.sync();
    assert_eq!(broker.statistics().subscriptions, 0);
}

#[test]
fn many_messages_on_one_subject_are_like_each_alone() {
    const MESSAGES: usize = 1500;
    let broker = start(settings());
    let mut publisher = Peer::with(&broker, "\"headers\":true,\"echo\":false");
    publisher.send("SUB a.subject 9\r\n");
    let mut receivers = ["1", "1", "22", &"x".repeat(100)].map(|sid| {
        let mut peer = Peer::open(&broker);
        peer.send(&format!("SUB a.subject {sid}\r\n"));
        peer.sync();
        (peer, sid.to_owned())
    });
    let mut limited = Peer::open(&broker);
    let (mut published, mut tails) = (String::new(), Vec::new());
    for number in 0..MESSAGES {
        let long = if (600..640).contains(&(number % 700)) { 1500 } else { 0 };
        let payload = format!("{number}{}", "y".repeat(number % 200 + long));
        let reply = if number % 7 == 0 { "_INBOX.x " } else { "" };
        // Runs of each kind, some of them short.
        let (verb, sizes, headers) = match number / 3 % 50 {
            0..5 => ("H", format!("12 {}", 12 + payload.len()), "NATS/1.0\r\n\r\n"),
            _ => ("", payload.len().to_string(), ""),
        };
        let tail = format!("{reply}{sizes}\r\n{headers}{payload}\r\n");
        published.push_str(&format!("{verb}PUB a.subject {tail}"));
        tails.push((verb, tail));
    }
    for round in 0..3 {
        limited.send(&format!("SUB a.subject 7{round}\r\nUNSUB 7{round} 700\r\n"));
        limited.sync();
        publisher.send(&published);
        let expected = |sid: &str, count: usize| {
            let message =
                |(verb, tail): &(&str, String)| format!("{verb}MSG a.subject {sid} {tail}");
            tails.iter().take(count).map(message).collect::<String>()
        };
        receivers.iter_mut().for_each(|(peer, sid)| peer.expect(&expected(sid, MESSAGES)));
        limited.expect(&expected(&format!("7{round}"), 700));
        limited.sync();
        publisher.sync();
    }
    assert_eq!(broker.statistics().in_messages, 3 * MESSAGES as u64);
    assert_eq!(broker.statistics().out_messages, 3 * (4 * MESSAGES + 700) as u64);
    let kept: usize = receivers.iter().map(|(peer, _)| peer.kept.len()).sum();
    assert_eq!(kept, 0);
}

/// Sizes of messages in the order test: copied, shared, and larger than one read.
const SIZES: [usize; 4] = [10, 700, 6000, 200_000];

#[test]
fn order_holds_from_every_publisher_to_every_receiver() {
    const ROUNDS: usize = 60;
    let broker = start(settings());
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = Peer::open(&broker);
            peer.send("SUB order.* 1\r\n");
            peer.sync();
            thread::spawn(move || check_order(&mut peer, 3 * ROUNDS * SIZES.len()))
        })
        .collect();
    for publisher in 0..3 {
        let mut peer = Peer::open(&broker);
        thread::spawn(move || {
            for number in 0..ROUNDS * SIZES.len() {
                let mut payload = format!("{number} ");
                payload.push_str(&"x".repeat(SIZES[number % SIZES.len()]));
                peer.send(&format!("PUB order.{publisher} {}\r\n{payload}\r\n", payload.len()));
            }
            peer.sync();
        });
    }
    receivers.into_iter().for_each(|receiver| receiver.join().expect("order is kept"));
    assert_eq!(broker.statistics().slow_consumers, 0);
}

#[test]
fn many_receivers_get_every_message_in_order() {
    const LONE: usize = 20;
    let broker = start(settings());
    let long = "x".repeat(100);
    let mut receivers: Vec<_> = (0..150)
        .map(|number| {
            let mut peer = Peer::open(&broker);
            let sid = if number % 10 == 0 { &long } else { "1" };
            peer.send(&format!("SUB order.* {sid}\r\nUNSUB 1 {}\r\n", 3 * LONE + 1000));
            peer.sync();
            peer
        })
        .collect();
    let mut publisher = Peer::open(&broker);
    for number in 0..LONE {
        // Alone, then two that come together.
        let message = |number: usize| {
            let payload = format!("{number} {}", "x".repeat(SIZES[number % 3]));
            format!("PUB order.one {}\r\n{payload}\r\n", payload.len())
        };
        publisher.send(&message(number * 3));
        publisher.sync();
        publisher.send(&[message(number * 3 + 1), message(number * 3 + 2)].concat());
    }
    publisher.sync();
    receivers.iter_mut().for_each(|peer| check_order(peer, 3 * LONE));
    assert_eq!(broker.statistics().out_messages, (receivers.len() * 3 * LONE) as u64);
}

#[test]
fn all_loops_together_send_every_message_once_and_in_order() {
    const SUBS: usize = 70;
    const MESSAGES: usize = 40;
    let broker = start(settings());
    let long = "x".repeat(100);
    // Enough for all loops to help. Some have to be handled in another way: a long name, a limit.
    let mut receivers: Vec<_> = (0..10)
        .map(|_| {
            let mut peer = Peer::open(&broker);
            (1..SUBS).for_each(|sid| peer.send(&format!("SUB wide {sid}\r\n")));
            peer.send(&format!("SUB wide {long}\r\nUNSUB 7 3\r\nUNSUB 8 {}\r\n", MESSAGES + 9));
            peer.sync();
            peer
        })
        .collect();
    let mut publisher = Peer::with(&broker, "\"echo\":false");
    publisher.send("SUB wide 1\r\n");
    for number in 0..MESSAGES {
        publisher.send(&format!("PUB wide {}\r\n{number}\r\n", number.to_string().len()));
        if number % 4 != 0 {
            publisher.sync();
        }
    }
    publisher.sync();
    for peer in &mut receivers {
        peer.send("PING\r\n");
        let mut next: HashMap<String, usize> = HashMap::new();
        loop {
            let line = peer.line();
            if line == "PONG" {
                break;
            }
            let sid = line.split(' ').nth(2).expect("a message").to_owned();
            let number = next.entry(sid).or_default();
            assert_eq!(peer.line(), number.to_string(), "{line}");
            *number += 1;
        }
        assert_eq!((next.len(), next.remove("7")), (SUBS, Some(3)));
        assert!(next.values().all(|count| *count == MESSAGES), "{next:?}");
    }
    let digits: usize = (0..MESSAGES).map(|number| number.to_string().len()).sum();
    let bytes = receivers.len() * (digits * (SUBS - 1) + 3);
    assert_eq!(broker.statistics().out_bytes, bytes as u64);
}

fn check_order(peer: &mut Peer, messages: usize) {
    let mut next: HashMap<String, usize> = HashMap::new();
    for _ in 0..messages {
        let line = peer.line();
        let subject = line.split(' ').nth(1).expect("subject").to_owned();
        let payload = peer.line();
        let number: usize =
            payload.split(' ').next().and_then(|text| text.parse().ok()).expect("number");
        let expected = next.entry(subject).or_default();
        assert_eq!(number, *expected);
        *expected += 1;
    }
}

#[test]
fn a_fast_producer_waits_for_a_slow_receiver() {
    const MESSAGES: usize = 3000;
    let broker =
        start(Settings { pause_bytes: 256 << 10, pending_bytes_max: 8 << 20, ..settings() });
    let mut receiver = Peer::open(&broker);
    receiver.send("SUB a 1\r\n");
    receiver.sync();
    let mut producer = Peer::open(&broker);
    let sender = thread::spawn(move || {
        let message = format!("PUB a 10000\r\n{}\r\n", "x".repeat(10_000));
        (0..MESSAGES).for_each(|_| producer.send(&message));
        producer.sync();
    });
    thread::sleep(Duration::from_millis(300));
    let total = MESSAGES * (10_000 + "MSG a 1 10000\r\n\r\n".len());
    let mut buffer = vec![0; 1 << 20];
    let mut got = 0;
    while got < total {
        let count = receiver.socket.read(&mut buffer).expect("everything arrives");
        assert!(count > 0, "closed as a slow consumer");
        got += count;
    }
    sender.join().expect("producer");
    assert_eq!(broker.statistics().slow_consumers, 0);
}

#[test]
fn a_connection_that_sends_to_itself_is_read_no_faster_than_it_reads() {
    const MESSAGES: usize = 3000;
    let broker =
        start(Settings { pause_bytes: 256 << 10, pending_bytes_max: 8 << 20, ..settings() });
    let mut peer = Peer::open(&broker);
    peer.send("SUB a 1\r\n");
    peer.sync();
    let mut output = peer.socket.try_clone().expect("second handle");
    let sender = thread::spawn(move || {
        let message = format!("PUB a 10000\r\n{}\r\n", "x".repeat(10_000));
        (0..MESSAGES).try_for_each(|_| output.write_all(message.as_bytes()))
    });
    thread::sleep(Duration::from_millis(300));
    let total = MESSAGES * (10_000 + "MSG a 1 10000\r\n\r\n".len());
    let mut buffer = vec![0; 1 << 20];
    let mut got = 0;
    while got < total {
        let count = peer.socket.read(&mut buffer).expect("everything arrives");
        assert!(count > 0, "closed as a slow consumer");
        got += count;
    }
    sender.join().expect("producer").expect("everything is taken");
    assert_eq!(broker.statistics().slow_consumers, 0);
}

/// Many clients that never read, each below its own bound, do not fill the memory; those that read a little, and those
/// for which little waits, stay.
#[test]
fn all_receivers_together_have_a_bound() {
    const WAITING_MAX: u64 = 16 << 20;
    let settings = Settings {
        waiting_bytes_max: WAITING_MAX as usize,
        pause_bytes: usize::MAX,
        // The bound may be passed by what one turn brings.
        ..settings()
    };
    let broker = start(settings);
    let mut hostile: Vec<_> = (0..12).map(|_| Peer::open(&broker)).collect();
    for peer in &mut hostile {
        peer.send("SUB big 1\r\n");
        peer.sync();
    }
    // Something small waits for this one all the time.
    let mut modest = Peer::open(&broker);
    modest.send("SUB small 1\r\nSUB big 2\r\nUNSUB 2 1\r\n");
    modest.sync();
    let mut producer = Peer::open(&broker);
    let big = format!("PUB big 1000000\r\n{}\r\n", "x".repeat(1_000_000));
    let mut highest = 0;
    for _ in 0..60 {
        producer.send(&big);
        producer.send("PUB small 2\r\nok\r\n");
        producer.sync();
        highest = highest.max(broker.statistics().waiting_bytes);
    }
    assert!(highest > WAITING_MAX / 2, "{highest}");
    assert!(highest <= WAITING_MAX + 13 * 1_000_100, "{highest} bytes waited");
    let closed = broker.statistics().slow_consumers;
    assert!(closed >= 10, "{closed} were closed");
    modest.expect(&format!("MSG big 2 1000000\r\n{}\r\n", "x".repeat(1_000_000)));
    modest.expect(&"MSG small 1 2\r\nok\r\n".repeat(60));
    modest.sync();
    eventually("nothing waits", || broker.statistics().waiting_bytes < WAITING_MAX);
    drop(hostile);
    eventually("nothing is left", || broker.statistics().waiting_bytes == 0);
}

#[test]
fn a_receiver_that_does_not_read_is_closed() {
    for settings in [
        Settings { pending_bytes_max: 2 << 20, pause_bytes: usize::MAX, ..settings() },
        Settings { write_deadline: Duration::from_millis(200), ..settings() },
    ] {
        let broker = start(settings);
        let (mut receiver, mut producer) = (Peer::open(&broker), Peer::open(&broker));
        receiver.send("SUB a 1\r\n");
        receiver.sync();
        let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
        let sender = thread::spawn(move || {
            (0..200).for_each(|_| producer.send(&message));
            // Others go on as if nothing had happened.
            producer.sync();
        });
        eventually("the receiver is closed", || broker.statistics().slow_consumers == 1);
        sender.join().expect("producer");
        eventually("it is gone", || {
            broker.statistics().connections == 1 || broker.statistics().connections == 0
        });
        assert_eq!(broker.statistics().subscriptions, 0);
    }
}
