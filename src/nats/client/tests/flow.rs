//! What works: messages, requests, reconnection, limits.

use super::super::*;
use super::script::{LIMIT, Script, event, message, options, with_executor};
use crate::net::servers::Server;
use crate::util::secret::Secret;

#[test]
fn the_greeting_carries_name_and_credentials() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, connect) = script.greet();
        let json: serde_json::Value =
            serde_json::from_str(connect.trim_start_matches("CONNECT ")).expect("JSON");
        let expected = serde_json::json!({
            "verbose": false, "pedantic": false, "tls_required": false, "name": "node1",
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "echo": false,
            "headers": true, "no_responders": true, "user": "u", "pass": "p", "auth_token": "t",
        });
        assert_eq!(json, expected);
        assert_eq!(peer.line(), "");
    });
    with_executor(async |executor| {
        let options = Options {
            name: "node1".into(),
            user: Some("u".into()),
            password: Some(Secret::new("p".into())),
            token: Some(Secret::new("t".into())),
            no_echo: true,
            ..options(vec![server.clone()], &executor)
        };
        let client = Client::connect(options).await.expect("connects");
        assert_eq!(client.connected_url(), Some(server.to_string()));
        client.close().await;
        assert_eq!(client.connected_url(), None);
        let error = client.publish("a", b"").await.expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Closed);
        let error = client.subscribe("a", None).expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
    broker.join().expect("script");
}

#[test]
fn messages_go_both_ways_and_subscriptions_end_on_time() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a.* q 1");
        assert_eq!(peer.line(), "SUB b 2");
        assert_eq!(peer.line(), "UNSUB 2 2");
        assert_eq!(peer.line(), "PUB a.b r 2");
        assert_eq!(peer.line(), "hi");
        peer.send(
            "PING\r\nMSG a.b 1 r 2\r\nhi\r\nHMSG a.c 1 18 20\r\nNATS/1.0\r\nK: v\r\n\r\nho\r\n",
        );
        for _ in 0..3 {
            peer.send("MSG b 2 1\r\nx\r\n");
        }
        assert_eq!(peer.line(), "PONG");
        assert_eq!(peer.line(), "UNSUB 1");
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        assert_eq!(peer.line(), "");
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let mut a = client.subscribe("a.*", Some("q")).expect("valid");
        let mut b = client.subscribe("b", None).expect("valid");
        b.unsubscribe_after(2);
        client.publish_with("a.b", Some("r"), None, b"hi").await.expect("published");
        let first = message(&mut a).await.expect("delivered");
        assert_eq!((first.subject.as_str(), first.reply.as_deref()), ("a.b", Some("r")));
        assert_eq!(first.payload, b"hi");
        let second = message(&mut a).await.expect("delivered");
        assert_eq!(second.headers.expect("headers").first("K"), Some("v"));
        assert_eq!(second.payload, b"ho");
        assert!(message(&mut b).await.is_some());
        assert!(message(&mut b).await.is_some());
        assert!(message(&mut b).await.is_none());
        drop(a);
        client.flush(LIMIT).await.expect("answered");
        let statistics = client.statistics();
        assert_eq!((statistics.sent_messages, statistics.sent_bytes), (1, 2));
        assert_eq!(statistics.received_messages, 5);
        drop(client);
        drop(b);
    });
    broker.join().expect("script");
}

#[test]
fn requests_are_answered_time_out_or_have_no_responders() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        let subscription = peer.line();
        assert!(subscription.starts_with("SUB x.reply."), "{subscription}");
        for answer in ["MSG {r} 1 2\r\nok\r\n", "HMSG {r} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", ""]
        {
            let publish = peer.line();
            let reply = publish.split(' ').nth(2).expect("has a reply").to_owned();
            assert_eq!(peer.line(), "?");
            peer.send(&answer.replace("{r}", &reply));
        }
        peer.line();
    });
    with_executor(async |executor| {
        let options =
            Options { inbox_prefix: "x.reply".into(), ..options(vec![server], &executor) };
        let client = Client::connect(options).await.expect("connects");
        let answer = client.request("s", b"?", LIMIT).await.expect("answered");
        assert_eq!(answer.payload, b"ok");
        let error = client.request("s", b"?", LIMIT).await.expect_err("nobody there");
        assert_eq!(error.kind(), ErrorKind::NoResponders);
        assert_eq!(error.to_string(), "nobody listens on s");
        let error = client.request("s", b"?", Duration::from_millis(50)).await.expect_err("late");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
    broker.join().expect("script");
}

#[test]
fn a_lost_connection_comes_back_with_its_subscriptions_and_pending_publishes() {
    let script = Script::new();
    let server = script.server();
    let (go, wait) = flume::bounded::<()>(0);
    let broker = script.play(move |script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a 1");
        assert_eq!(peer.line(), "SUB b 2");
        assert_eq!(peer.line(), "UNSUB 2 5");
        peer.send("MSG b 2 0\r\n\r\nMSG b 2 0\r\n\r\n");
        wait.recv().expect("told to go on");
        drop(peer);
        wait.recv().expect("told to go on");
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a 1");
        assert_eq!(peer.line(), "SUB b 2");
        assert_eq!(peer.line(), "UNSUB 2 3");
        assert_eq!(peer.line(), "PUB offline 2");
        assert_eq!(peer.line(), "hi");
        peer.send("MSG a 1 4\r\nback\r\n");
        let mut line = peer.line();
        while !line.starts_with("UNSUB") {
            line = peer.line();
        }
        assert_eq!(line, "UNSUB 2 4");
        peer.line();
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let events = client.events();
        let mut a = client.subscribe("a", None).expect("valid");
        let mut b = client.subscribe("b", None).expect("valid");
        b.unsubscribe_after(5);
        message(&mut b).await.expect("delivered");
        message(&mut b).await.expect("delivered");
        go.send_async(()).await.expect("script runs");
        assert!(matches!(event(&events).await, Event::Disconnected { .. }));
        assert!(!client.is_connected());
        client.publish("offline", b"hi").await.expect("kept");
        let mut outcome = Ok(());
        for _ in 0..20 {
            outcome = client.publish("offline", &[0; 900]).await;
        }
        assert_eq!(outcome.expect_err("buffer is full").kind(), ErrorKind::BufferFull);
        let error = client.flush(LIMIT).await.expect_err("not connected");
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        go.send_async(()).await.expect("script runs");
        assert!(matches!(event(&events).await, Event::Reconnected { .. }));
        assert_eq!(message(&mut a).await.expect("delivered").payload, b"back");
        b.unsubscribe_after(6);
        assert_eq!(client.statistics().reconnects, 1);
        client.close().await;
        assert!(matches!(event(&events).await, Event::Closed { .. }));
        assert!(message(&mut a).await.is_none());
    });
    broker.join().expect("script");
}

#[test]
fn the_next_broker_is_tried_when_one_is_not_there() {
    let script = Script::new();
    let good = script.server();
    let gone = Script::new().server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        peer.line();
    });
    with_executor(async |executor| {
        let options = options(vec![gone, good.clone()], &executor);
        let client = Client::connect(options).await.expect("connects");
        assert_eq!(client.connected_url(), Some(good.to_string()));
    });
    broker.join().expect("script");
}

#[test]
fn a_slow_subscriber_loses_messages_and_that_is_reported_once() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a 1");
        peer.send(&"MSG a 1 1\r\nx\r\n".repeat(10));
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        peer.line();
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let events = client.events();
        let a = client.subscribe_with("a", None, 3).expect("valid");
        client.flush(LIMIT).await.expect("answered");
        assert_eq!((a.waiting(), a.dropped()), (3, 7));
        assert_eq!(event(&events).await, Event::SlowConsumer { subject: "a".into() });
        assert!(events.try_recv().is_err());
        assert_eq!(client.statistics().dropped_messages, 7);
    });
    broker.join().expect("script");
}

#[test]
fn drains_deliver_what_was_sent() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a 1");
        assert_eq!(peer.line(), "SUB b 2");
        assert_eq!(peer.line(), "UNSUB 1");
        peer.send("MSG a 1 1\r\nx\r\n");
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        // Once more, for a connection that might have been made meanwhile.
        assert_eq!(peer.line(), "UNSUB 1");
        assert_eq!(peer.line(), "UNSUB 2");
        assert_eq!(peer.line(), "PING");
        peer.send("MSG b 2 1\r\nx\r\nPONG\r\n");
        assert_eq!(peer.line(), "PUB last 0");
        assert_eq!(peer.line(), "");
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        assert_eq!(peer.line(), "");
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let mut a = client.subscribe("a", None).expect("valid");
        let mut b = client.subscribe("b", None).expect("valid");
        a.drain(LIMIT).await.expect("drained");
        assert!(message(&mut a).await.is_some());
        assert!(message(&mut a).await.is_none());
        let sender = client.clone();
        let consumer = executor.spawn(async move {
            let message = b.next().await;
            sender.publish("last", b"").await.expect("published");
            (message.is_some(), b.next().await.is_none())
        });
        client.drain(LIMIT).await.expect("drained");
        assert_eq!(consumer.await, (true, true));
    });
    broker.join().expect("script");
}

#[test]
fn what_cannot_be_sent_is_refused_here() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        peer.line();
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        for subject in ["", "a b", "a\r\nPUB b 0", "a..b", ".a", "a.", "a.*", ">"] {
            let error = client.publish(subject, b"").await.expect_err(subject);
            assert_eq!(error.kind(), ErrorKind::InvalidSubject, "{subject:?}");
        }
        let error = client.publish_with("a", Some("b c"), None, b"").await.expect_err("bad reply");
        assert_eq!(error.kind(), ErrorKind::InvalidSubject);
        for (subject, queue) in [("a b", None), ("", None), ("a", Some("q q")), ("a", Some(""))] {
            let error = client.subscribe(subject, queue).expect_err(subject);
            assert_eq!(error.kind(), ErrorKind::InvalidSubject);
        }
        let error = client.publish("a", &[0; 1001]).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
        let headers = Headers::with_status(100, None);
        let error = client.publish_with("a", None, Some(&headers), &[0; 990]).await;
        assert_eq!(error.expect_err("too large").kind(), ErrorKind::PayloadTooLarge);
    });
    broker.join().expect("script");
}

#[test]
fn news_of_the_broker_are_taken_over() {
    let script = Script::new();
    let server = script.server();
    let other = Script::new();
    let named = other.server();
    let port = other.address.port();
    let second = other.play(|script| {
        let (mut peer, _) = script.greet();
        peer.line();
    });
    let broker = script.play(move |script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "PING");
        peer.send(&format!(
            "INFO {{\"proto\":1,\"max_payload\":5,\"ldm\":true,\"connect_urls\":[\"127.0.0.1:{port}\"]}} \r\nPONG\r\n"
        ));
        assert_eq!(peer.line(), "PUB a 1");
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let events = client.events();
        client.flush(LIMIT).await.expect("answered");
        assert_eq!(event(&events).await, Event::LameDuck);
        let error = client.publish("a", b"123456").await.expect_err("limit was lowered");
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
        let error = client.publish_with("a", None, Some(&Headers::new()), b"").await;
        assert_eq!(error.expect_err("no headers").kind(), ErrorKind::HeadersUnsupported);
        client.publish("a", b"1").await.expect("published");
        assert!(matches!(event(&events).await, Event::Disconnected { .. }));
        assert_eq!(event(&events).await, Event::Reconnected { url: named.to_string() });
    });
    broker.join().expect("script");
    second.join().expect("script");
}

#[test]
fn publishers_wait_for_a_broker_that_does_not_read() {
    let script = Script::new();
    let server = script.server();
    let (go, wait) = flume::bounded::<()>(0);
    let broker = script.play(move |script| {
        let (mut peer, _) = script.greet();
        wait.recv().expect("told to go on");
        let mut lines = 0;
        while lines < 2 * 30_000 {
            assert!(!peer.line().is_empty());
            lines += 1;
        }
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let payload = [b'x'; 900];
        let publisher = client.clone();
        let task = executor.spawn(async move {
            for _ in 0..30_000 {
                publisher.publish("a", &payload).await.expect("published");
            }
        });
        Timer::after(Duration::from_millis(500)).await;
        assert!(!task.is_finished(), "27 MB cannot be in the socket's buffers");
        assert!(client.pending_bytes() < 2 * 1024 * 1024);
        go.send_async(()).await.expect("script runs");
        task.await;
        client.close().await;
    });
    broker.join().expect("script");
}

#[test]
fn connecting_for_ever_waits_for_the_broker_to_come() {
    let reserved = Script::new();
    let port = reserved.address.port();
    drop(reserved);
    with_executor(async |executor| {
        let options = Options {
            initial: Initial::Forever,
            ..options(vec![Server::nats("127.0.0.1", port)], &executor)
        };
        let connecting = executor.spawn(Client::connect(options));
        Timer::after(Duration::from_millis(300)).await;
        assert!(!connecting.is_finished());
        // The port may be taken by another test in the meantime, so nothing is started on it.
        connecting.cancel().await;
    });
}
