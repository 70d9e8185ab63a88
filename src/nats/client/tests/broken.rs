//! What goes wrong: brokers that refuse, lie, stall or talk nonsense.

use std::thread;

use super::super::*;
use super::script::{INFO, LIMIT, Peer, Script, event, message, options, with_executor};

/// Connects once to a broker that plays `play` and checks the failure.
fn check_refused(play: impl Fn(Peer) + Send + 'static, kind: ErrorKind, text: &str) {
    let script = Script::new();
    let server = script.server();
    thread::spawn(move || {
        loop {
            play(script.accept());
        }
    });
    let expected = format!("cannot connect to {server}: {text}");
    with_executor(async |executor| {
        let options = Options {
            connect_timeout: Duration::from_millis(400),
            ..options(vec![server], &executor)
        };
        let started = Instant::now();
        let error = Client::connect(options).await.expect_err("refused");
        assert_eq!((error.kind(), error.to_string()), (kind, expected));
        assert!(started.elapsed() < Duration::from_secs(3));
    });
}

#[test]
fn an_authorization_refusal_is_final_at_once() {
    let started = Instant::now();
    check_refused(
        |mut peer| {
            peer.send(INFO);
            peer.line();
            peer.send("-ERR 'Authorization Violation'\r\n");
        },
        ErrorKind::Authorization,
        "the broker says 'Authorization Violation'",
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn tls_demanded_by_the_broker_but_disabled_here_is_final_at_once() {
    let started = Instant::now();
    check_refused(
        |mut peer| {
            peer.send("INFO {\"tls_required\":true}\r\n");
            peer.line();
        },
        ErrorKind::TlsRequired,
        "the broker demands TLS, which is disabled here",
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// A configuration that trusts nobody: enough to want TLS.
fn some_tls() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let roots = rustls::RootCertStore::empty();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Connects with TLS to a broker that says `greeting` and checks that nothing is sent in clear.
fn check_never_in_clear(greeting: &'static str, kind: ErrorKind) {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(move |script| {
        let mut peer = script.accept();
        peer.send(greeting);
        assert_eq!(peer.line(), "");
    });
    with_executor(async |executor| {
        let options = Options {
            tls: Some(some_tls()),
            password: Some(crate::util::secret::Secret::new("secret".into())),
            // One attempt only.
            initial_delays: &[60_000],
            ..options(vec![server], &executor)
        };
        let error = Client::connect(options).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
    });
    broker.join().expect("script");
}

#[test]
fn tls_is_never_given_up_silently() {
    check_never_in_clear(INFO, ErrorKind::TlsNotOffered);
    let injected = "INFO {\"tls_required\":true}\r\nPING\r\n";
    check_never_in_clear(injected, ErrorKind::Protocol);
    let split = "INFO {\"tls_required\":true}\r\nPI";
    check_never_in_clear(split, ErrorKind::Protocol);
}

#[test]
fn a_broker_that_never_sends_info_is_given_up() {
    check_refused(
        |mut peer| {
            peer.line();
        },
        ErrorKind::TimedOut,
        "no INFO came in time",
    );
}

#[test]
fn a_broker_that_never_answers_connect_is_given_up() {
    check_refused(
        |mut peer| {
            peer.send(INFO);
            while !peer.line().is_empty() {}
        },
        ErrorKind::TimedOut,
        "no answer to CONNECT came in time",
    );
}

#[test]
fn another_protocol_is_recognised() {
    check_refused(
        |mut peer| {
            peer.send("SSH-2.0-OpenSSH_9.2\r\n");
            peer.line();
        },
        ErrorKind::Protocol,
        "the broker does not speak NATS: unknown protocol operation",
    );
}

#[test]
fn info_without_end_is_cut_off() {
    check_refused(
        |mut peer| {
            peer.send("INFO {\"server_id\":\"");
            peer.send(&"x".repeat(70_000));
            peer.line();
        },
        ErrorKind::Protocol,
        "the broker does not speak NATS: control line is longer than 65536 bytes",
    );
}

#[test]
fn a_connection_closed_at_once_is_named_so() {
    check_refused(drop, ErrorKind::Io, "the broker closed the connection");
}

#[test]
fn something_else_than_info_at_first_is_refused() {
    check_refused(
        |mut peer| {
            peer.send("PING\r\n");
            peer.line();
        },
        ErrorKind::Protocol,
        "the broker does not start with INFO",
    );
}

#[test]
fn no_broker_at_all_gives_up_within_the_limit() {
    let server = Script::new().server();
    with_executor(async |executor| {
        let started = Instant::now();
        let error = Client::connect(options(vec![server.clone()], &executor)).await;
        let error = error.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::Io);
        let text =
            format!("cannot connect to {server}: connection refused by 127.0.0.1:{}", server.port);
        assert_eq!(error.to_string(), text);
        assert!(started.elapsed() <= Duration::from_millis(1600));
        let error = Client::connect(options(Vec::new(), &executor)).await.expect_err("no brokers");
        assert_eq!(error.kind(), ErrorKind::NoServers);
    });
}

#[test]
fn a_permission_violation_is_an_event_and_the_connection_goes_on() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB secret 1");
        peer.send("-ERR 'Permissions Violation for Subscription to \"secret\"'\r\n");
        peer.send("-ERR 'maximum subscriptions exceeded'\r\n-ERR 'Invalid Subject'\r\n");
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        peer.line();
    });
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let events = client.events();
        let _secret = client.subscribe("secret", None).expect("valid");
        client.flush(LIMIT).await.expect("still connected");
        let Event::PermissionViolation { operation, subject, .. } = event(&events).await else {
            panic!("another event came first");
        };
        assert_eq!((operation, subject.as_str()), (Operation::Subscribe, "secret"));
        assert!(matches!(event(&events).await, Event::SubscriptionLimit { .. }));
        assert!(events.try_recv().is_err());
    });
    broker.join().expect("script");
}

/// Plays `ruin` on the first connection, which must lead to a second one.
fn check_reconnects(ruin: impl FnOnce(&mut Peer) + Send + 'static, reason: &str) {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        assert_eq!(peer.line(), "SUB a 1");
        ruin(&mut peer);
        let (mut second, _) = script.greet();
        assert_eq!(second.line(), "SUB a 1");
        second.send("MSG a 1 2\r\nok\r\n");
        second.line();
    });
    with_executor(async |executor| {
        let options = Options {
            ping_interval: Duration::from_millis(100),
            ..options(vec![server], &executor)
        };
        let client = Client::connect(options).await.expect("connects");
        let events = client.events();
        let mut a = client.subscribe("a", None).expect("valid");
        assert_eq!(event(&events).await, Event::Disconnected { reason: reason.to_owned() });
        assert!(matches!(event(&events).await, Event::Reconnected { .. }));
        assert_eq!(message(&mut a).await.expect("delivered").payload, b"ok");
    });
    broker.join().expect("script");
}

#[test]
fn a_broker_that_answers_no_ping_is_stale() {
    // Half open: it stays connected and reads, but says nothing.
    check_reconnects(
        |peer| {
            for _ in 0..2 {
                assert_eq!(peer.line(), "PING");
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!(peer.line(), "");
        },
        "the broker does not answer: the connection is stale",
    );
}

#[test]
fn garbage_ends_the_connection_and_a_new_one_is_made() {
    check_reconnects(
        |peer| peer.send("MSG a 1 99999999999\r\n"),
        "the broker does not speak NATS: bad arguments of MSG",
    );
}

#[test]
fn an_unreadable_info_ends_the_connection() {
    check_reconnects(
        |peer| peer.send("INFO {\"port\":-1}\r\n"),
        "the broker's INFO cannot be read: invalid value: integer `-1`, expected u16 at line 1 column 10",
    );
}

#[test]
fn errors_that_end_the_connection_lead_to_a_new_one() {
    check_reconnects(
        |peer| peer.send("-ERR 'Stale Connection'\r\n"),
        "the broker says 'Stale Connection'",
    );
    check_reconnects(
        |peer| peer.send("-ERR 'User Authentication Expired'\r\n"),
        "the broker says 'User Authentication Expired'",
    );
    check_reconnects(
        |peer| peer.send("-ERR 'Something New'\r\n"),
        "the broker says 'Something New'",
    );
}

#[test]
fn messages_for_nobody_are_harmless() {
    let script = Script::new();
    let server = script.server();
    let broker = script.play(|script| {
        let (mut peer, _) = script.greet();
        peer.send("MSG a 99 1\r\nx\r\nMSG a nonsense 1\r\nx\r\n+OK\r\nPONG\r\nPONG\r\n");
        assert_eq!(peer.line(), "PONG");
        peer.send("PING\r\n");
    });
    // The script above waits for an answer to a PING it never sent: the client has nothing to say.
    drop(broker);
    with_executor(async |executor| {
        let client = Client::connect(options(vec![server], &executor)).await.expect("connects");
        let deadline = Instant::now() + LIMIT;
        while client.statistics().received_messages < 2 {
            assert!(Instant::now() < deadline, "messages are counted");
            Timer::after(Duration::from_millis(5)).await;
        }
        assert!(client.is_connected());
    });
}
