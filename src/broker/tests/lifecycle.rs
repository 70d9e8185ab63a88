//! Coming, staying and going.

use std::net::Shutdown;

use super::*;

const SHORT: Duration = Duration::from_millis(80);

#[test]
fn those_who_do_not_authenticate_are_closed() {
    let broker = start(Settings { auth_timeout: SHORT, ..settings() });
    let (mut peer, _) = Peer::raw(&broker);
    peer.expect_end("-ERR 'Authentication Timeout'\r\n");
    let mut admitted = Peer::open(&broker);
    std::thread::sleep(SHORT * 2);
    admitted.sync();
}

#[test]
fn half_open_connections_make_room() {
    let broker = start(Settings { unadmitted_max: 8, threads: 1, ..settings() });
    let mut silent: Vec<_> = (0..30).map(|_| Peer::raw(&broker).0).collect();
    let mut served = Peer::open(&broker);
    eventually("the oldest are dropped", || broker.statistics().connections <= 9);
    silent[0].expect_end("");
    served.sync();
}

#[test]
fn connections_have_a_limit() {
    let broker = start(Settings { connections_max: 2, ..settings() });
    let (first, mut second) = (Peer::open(&broker), Peer::open(&broker));
    let (mut third, _) = Peer::raw(&broker);
    third.expect_end("-ERR 'maximum connections exceeded'\r\n");
    drop(first);
    eventually("there is room again", || broker.statistics().admitted == 1);
    Peer::open(&broker).sync();
    second.sync();
}

#[test]
fn stale_connections_are_closed() {
    let broker = start(Settings { ping_interval: SHORT, first_ping: SHORT, ..settings() });
    let mut stale = Peer::open(&broker);
    stale.expect_end("PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    assert_eq!(broker.statistics().stale_connections, 1);
    let mut alive = Peer::open(&broker);
    for _ in 0..4 {
        alive.expect("PING\r\n");
        alive.send("PONG\r\n");
    }
}

#[test]
fn busy_connections_get_no_ping() {
    let broker = start(Settings { ping_interval: SHORT, first_ping: SHORT, ..settings() });
    let mut busy = Peer::open(&broker);
    for _ in 0..20 {
        std::thread::sleep(SHORT / 8);
        busy.sync();
    }
}

#[test]
fn the_answer_to_the_last_words_of_a_half_closed_connection_arrives() {
    let broker = start(settings());
    let mut peer = Peer::open(&broker);
    peer.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n");
    peer.socket.shutdown(Shutdown::Write).expect("shutdown");
    peer.expect_end("MSG a 1 2\r\nhi\r\nPONG\r\n");
    eventually("nothing is left of it", || {
        let statistics = broker.statistics();
        (statistics.connections, statistics.admitted, statistics.subscriptions) == (0, 0, 0)
    });
}

#[test]
fn an_error_is_readable_although_more_was_sent() {
    let broker = start(settings());
    let mut peer = Peer::open(&broker);
    let mut text = "ZZZ".to_owned();
    text.push_str(&"x".repeat(300_000));
    peer.send(&text);
    peer.expect_end("-ERR 'Unknown Protocol Operation'\r\n");
}

#[test]
fn a_lame_duck_says_so_and_closes_slowly() {
    let broker = start(Settings {
        lame_duck_grace: SHORT,
        lame_duck_duration: SHORT * 4,
        write_deadline: SHORT,
        ..settings()
    });
    let mut new = Peer::open(&broker);
    new.send("CONNECT {\"protocol\":1}\r\nPING\r\n");
    new.expect("PONG\r\n");
    let mut old = Peer::open(&broker);
    broker.lame_duck();
    assert!(new.line().contains("\"ldm\":true"));
    new.expect_end("");
    old.expect_end("");
    eventually("all are gone", || broker.statistics().connections == 0);
    assert!(TcpStream::connect(broker.local_addr()).is_err());
}

#[test]
fn a_shutdown_sends_what_waits() {
    let broker = start(settings());
    let (mut receiver, mut producer) = (Peer::open(&broker), Peer::open(&broker));
    receiver.send("SUB a 1\r\n");
    receiver.sync();
    let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
    producer.send(&message.repeat(60));
    producer.sync();
    let start = Instant::now();
    let stopping = std::thread::spawn(move || broker.shutdown(Duration::from_secs(5)));
    let mut got = 0;
    while let Ok(count @ 1..) = receiver.socket.read(&mut vec![0; 1 << 20]) {
        got += count;
    }
    assert_eq!(got, 60 * (100_000 + "MSG a 1 100000\r\n\r\n".len()));
    stopping.join().expect("stops");
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Reads for ever and counts the messages.
fn counting(mut peer: Peer) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = peer.socket.read_to_end(&mut text);
        text.windows(6).filter(|bytes| bytes == b"MSG a ").count()
    })
}

#[test]
fn a_shutdown_delivers_what_had_arrived() {
    let broker = start(settings());
    let mut receivers: Vec<_> = (0..4).map(|_| Peer::open(&broker)).collect();
    for receiver in &mut receivers {
        receiver.send("SUB a 1\r\n");
        receiver.sync();
    }
    let counts: Vec<_> = receivers.into_iter().map(counting).collect();
    let mut producers: Vec<_> = (0..4).map(|_| Peer::open(&broker)).collect();
    for producer in &mut producers {
        producer.send(
            &"PUB a 64\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
                .repeat(1000),
        );
    }
    broker.shutdown(PATIENCE);
    for count in counts {
        assert_eq!(count.join().expect("counts"), 4000);
    }
}

#[test]
fn a_shutdown_waits_for_slow_readers() {
    let broker = start(Settings { linger: SHORT, ..settings() });
    let (mut receiver, mut producer) = (Peer::open(&broker), Peer::open(&broker));
    receiver.send("SUB a 1\r\n");
    receiver.sync();
    let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
    producer.send(&message.repeat(100));
    producer.sync();
    let stopping = std::thread::spawn(move || broker.shutdown(PATIENCE));
    std::thread::sleep(SHORT * 4);
    let mut got = Vec::new();
    receiver.socket.read_to_end(&mut got).expect("everything");
    assert_eq!(got.len(), 100 * (100_000 + "MSG a 1 100000\r\n\r\n".len()));
    stopping.join().expect("stops");
}

#[test]
fn a_shutdown_does_not_wait_for_those_who_do_not_read() {
    let broker = start(settings());
    let (mut receiver, mut producer) = (Peer::open(&broker), Peer::open(&broker));
    receiver.send("SUB a 1\r\n");
    receiver.sync();
    let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
    producer.send(&message.repeat(60));
    let start = Instant::now();
    broker.shutdown(SHORT);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_broker_with_a_loop_that_failed_says_so() {
    for index in 0..2 {
        let broker = start(settings());
        let mut peer = Peer::open(&broker);
        peer.sync();
        assert!(!broker.has_failed());
        broker.shared.homes[index].post(crate::broker::home::Mail::Break);
        let started = Instant::now();
        while !broker.has_failed() {
            assert!(started.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        broker.shutdown(Duration::ZERO);
    }
    let broker = start(settings());
    let shared = broker.shared.clone();
    broker.shutdown(Duration::ZERO);
    assert!(!shared.has_failed.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn this_process_can_join_an_account() {
    let broker = start(Settings { connections_max: 1, ..settings() });
    let mut inside = broker.attach("system").expect("the account exists");
    inside.set_read_timeout(Some(super::PATIENCE)).expect("timeout");
    let mut exchange = |send: &str, until: &str| {
        inside.write_all(send.as_bytes()).expect("send");
        let mut got = String::new();
        while !got.ends_with(until) {
            let mut buffer = [0; 4096];
            let count = inside.read(&mut buffer).expect("it stays open");
            assert!(count > 0, "closed after {got:?}");
            got.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        }
        got
    };
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB x 1\r\nPING\r\n";
    let info = exchange("", "\r\n");
    assert!(info.starts_with("INFO ") && !info.contains("tls_required"), "{info}");
    assert_eq!(exchange(connect, "PONG\r\n"), "PONG\r\n");
    // It is in another account than those who come over the network.
    let mut outside = Peer::open(&broker);
    outside.send("PUB x 3\r\nbad\r\n");
    outside.sync();
    assert_eq!(exchange("PUB x 4\r\ngood\r\n", "good\r\n"), "MSG x 1 4\r\ngood\r\n");
    assert!(broker.attach("nobody").is_err());
}
