//! The NATS client against nats-server, the program the network already knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use async_io::Timer;
use choria::crypto::issue::{Authority, Issued, KeyKind, LeafRequest};
use choria::nats::client::{Client, ErrorKind, Event, Initial, Operation, Options, Subscription};
use choria::nats::codec::headers::Headers;
use choria::net::servers::{Server, ServerList};
use choria::util::secret::Secret;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use smol::future::FutureExt as _;

const NATS_SERVER: &str = "/usr/sbin/nats-server";
/// Longest a test waits for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// A nats-server on loopback, with a folder of its own.
struct NatsServer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl NatsServer {
    /// Starts the program on a free port; `None`, with a printed reason, when it is not installed.
    fn start(test: &str, config: &str) -> Option<Self> {
        if !std::path::Path::new(NATS_SERVER).exists() {
            println!("skipped: {NATS_SERVER} is not installed");
            return None;
        }
        let folder =
            std::env::temp_dir().join(format!("choria-nats-client-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder is made");
        std::fs::write(folder.join("nats.conf"), config).expect("configuration is written");
        let child = Self::spawn(&folder, -1);
        let mut server = Self { child, folder, port: 0 };
        server.port = server.wait_for_port();
        Some(server)
    }

    fn spawn(folder: &std::path::Path, port: i32) -> Child {
        Command::new(NATS_SERVER)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "--ports_file_dir"])
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nats.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts")
    }

    /// The port stands in a file that the program writes when it is ready.
    fn wait_for_port(&self) -> u16 {
        let file = self.folder.join(format!("nats-server_{}.ports", self.child.id()));
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text)
                && let Some(url) = ports["nats"][0].as_str()
            {
                let address = url.rsplit('/').next().expect("has an address");
                return address.parse::<SocketAddr>().expect("is an address").port();
            }
            assert!(Instant::now() < deadline, "nats-server does not get ready");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again on the same port.
    fn restart(&mut self) {
        self.child = Self::spawn(&self.folder, i32::from(self.port));
        self.wait_for_port();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("not 0");
        kill_process(pid, signal).expect("our own child");
    }

    fn server(&self) -> Server {
        Server::nats("127.0.0.1", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs `test` with an executor whose tasks run on a thread of their own.
fn with_executor<T>(test: impl AsyncFnOnce(Arc<smol::Executor<'static>>) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let (stop, stopped) = flume::bounded::<()>(0);
    let runner = executor.clone();
    let thread = thread::spawn(move || {
        smol::block_on(runner.run(async {
            let _ = stopped.recv_async().await;
        }));
    });
    let outcome = smol::block_on(test(executor));
    drop(stop);
    thread.join().expect("the executor does not panic");
    outcome
}

fn options(server: &Server, executor: &Arc<smol::Executor<'static>>) -> Options {
    let servers = ServerList::fixed(vec![server.clone()]);
    Options { reconnect_delays: &[50], ..Options::new(servers, executor.clone()) }
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    work.or(async {
        Timer::after(LIMIT).await;
        panic!("{what} did not happen in time")
    })
    .await
}

async fn event(events: &flume::Receiver<Event>) -> Event {
    within("an event", events.recv_async()).await.expect("events go on")
}

async fn payload(subscription: &mut Subscription) -> Vec<u8> {
    within("a message", subscription.next()).await.expect("a message").payload
}

#[test]
fn publish_subscribe_request_and_headers() {
    let Some(server) = NatsServer::start("basics", "") else { return };
    with_executor(async |executor| {
        let client = Client::connect(options(&server.server(), &executor)).await.expect("connects");
        assert!(client.server_info().headers);
        let mut wild = client.subscribe("t.>", None).expect("valid");
        let mut headers = Headers::new();
        headers.append("Case-Kept", "yes");
        client.publish_with("t.a", Some("r"), Some(&headers), b"\0\xff").await.expect("sent");
        let message = within("a message", wild.next()).await.expect("delivered");
        assert_eq!((message.subject.as_str(), message.reply.as_deref()), ("t.a", Some("r")));
        assert_eq!(message.headers.expect("headers").first("Case-Kept"), Some("yes"));
        assert_eq!(message.payload, b"\0\xff");

        let mut service = client.subscribe("echo", Some("workers")).expect("valid");
        let answers = client.clone();
        executor
            .spawn(async move {
                while let Some(message) = service.next().await {
                    let reply = message.reply.expect("a request");
                    answers.publish(&reply, &message.payload).await.expect("sent");
                }
            })
            .detach();
        let answer = client.request("echo", b"hello", LIMIT).await.expect("answered");
        assert_eq!(answer.payload, b"hello");
        let error = client.request("nobody", b"", LIMIT).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::NoResponders);
        client.drain(LIMIT).await.expect("drained");
    });
}

#[test]
fn queue_groups_share_and_limits_end_subscriptions() {
    let Some(server) = NatsServer::start("queues", "") else { return };
    with_executor(async |executor| {
        let client = Client::connect(options(&server.server(), &executor)).await.expect("connects");
        let one = client.subscribe("work", Some("q")).expect("valid");
        let two = client.subscribe("work", Some("q")).expect("valid");
        let mut few = client.subscribe("work", None).expect("valid");
        few.unsubscribe_after(3);
        for _ in 0..100 {
            client.publish("work", b"x").await.expect("sent");
        }
        client.flush(LIMIT).await.expect("flushed");
        assert_eq!(one.waiting() + two.waiting(), 100);
        assert!(one.waiting() > 10 && two.waiting() > 10);
        for _ in 0..3 {
            payload(&mut few).await;
        }
        assert!(within("the end", few.next()).await.is_none());
        client.close().await;
    });
}

#[test]
fn credentials_are_checked_and_a_refusal_is_final_at_once() {
    let Some(server) = NatsServer::start("auth", "authorization { user: u, password: p }") else {
        return;
    };
    with_executor(async |executor| {
        let with = |password: &str| Options {
            user: Some("u".into()),
            password: Some(Secret::new(password.into())),
            ..options(&server.server(), &executor)
        };
        Client::connect(with("p")).await.expect("connects").close().await;
        let started = Instant::now();
        let error = Client::connect(with("wrong")).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Authorization);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot connect to {}: the broker says 'Authorization Violation'",
                server.server()
            )
        );
        assert!(started.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn permission_violations_are_events() {
    let config = "authorization { users: [ { user: u, password: p, permissions: {
        publish: { deny: [\"secret.>\"] }, subscribe: { deny: [\"secret.>\"] } } } ] }";
    let Some(server) = NatsServer::start("permissions", config) else { return };
    with_executor(async |executor| {
        let options = Options {
            user: Some("u".into()),
            password: Some(Secret::new("p".into())),
            ..options(&server.server(), &executor)
        };
        let client = Client::connect(options).await.expect("connects");
        let events = client.events();
        let _refused = client.subscribe("secret.a", None).expect("valid");
        client.publish("secret.b", b"").await.expect("sent");
        for (operation, subject) in
            [(Operation::Subscribe, "secret.a"), (Operation::Publish, "secret.b")]
        {
            let Event::PermissionViolation { operation: got, subject: about, .. } =
                event(&events).await
            else {
                panic!("another event came first");
            };
            assert_eq!((got, about.as_str()), (operation, subject));
        }
        client.flush(LIMIT).await.expect("still connected");
        client.close().await;
    });
}

#[test]
fn a_restarted_broker_gets_subscriptions_and_pending_publishes_back() {
    let Some(mut server) = NatsServer::start("restart", "") else { return };
    with_executor(async |executor| {
        let client = Client::connect(options(&server.server(), &executor)).await.expect("connects");
        let events = client.events();
        let mut a = client.subscribe("a", None).expect("valid");
        client.flush(LIMIT).await.expect("flushed");
        server.stop();
        assert!(matches!(event(&events).await, Event::Disconnected { .. }));
        client.publish("a", b"while away").await.expect("kept");
        let mut late = client.subscribe("late", None).expect("valid");
        client.publish("late", b"too").await.expect("kept");
        server.restart();
        assert_eq!(event(&events).await, Event::Reconnected { url: server.server().to_string() });
        assert_eq!(payload(&mut a).await, b"while away");
        assert_eq!(payload(&mut late).await, b"too");
        client.close().await;
    });
}

#[test]
fn a_daemon_waits_for_its_broker() {
    let Some(mut server) = NatsServer::start("daemon", "") else { return };
    server.stop();
    with_executor(async |executor| {
        let options = Options {
            initial: Initial::Forever,
            initial_delays: &[50],
            ..options(&server.server(), &executor)
        };
        let connecting = executor.spawn(Client::connect(options));
        Timer::after(Duration::from_millis(200)).await;
        assert!(!connecting.is_finished());
        server.restart();
        within("the connection", connecting).await.expect("connects").close().await;
    });
}

#[test]
fn a_frozen_broker_is_noticed() {
    let Some(server) = NatsServer::start("frozen", "") else { return };
    with_executor(async |executor| {
        let options = Options {
            ping_interval: Duration::from_millis(100),
            connect_timeout: Duration::from_millis(300),
            ..options(&server.server(), &executor)
        };
        let client = Client::connect(options).await.expect("connects");
        let events = client.events();
        let mut a = client.subscribe("a", None).expect("valid");
        server.signal(Signal::STOP);
        let reason = "the broker does not answer: the connection is stale".to_owned();
        assert_eq!(event(&events).await, Event::Disconnected { reason });
        server.signal(Signal::CONT);
        assert!(matches!(event(&events).await, Event::Reconnected { .. }));
        client.publish("a", b"alive").await.expect("sent");
        assert_eq!(payload(&mut a).await, b"alive");
        client.close().await;
    });
}

#[test]
fn a_broker_that_is_about_to_stop_says_so() {
    let Some(server) = NatsServer::start("lame-duck", "") else { return };
    with_executor(async |executor| {
        let client = Client::connect(options(&server.server(), &executor)).await.expect("connects");
        let events = client.events();
        client.flush(LIMIT).await.expect("flushed");
        server.signal(Signal::USR2);
        assert_eq!(event(&events).await, Event::LameDuck);
        client.close().await;
    });
}

#[test]
fn a_large_load_arrives_complete_and_in_order() {
    const MESSAGES: u32 = 300_000;
    let Some(server) = NatsServer::start("load", "") else { return };
    with_executor(async |executor| {
        let publisher =
            Client::connect(options(&server.server(), &executor)).await.expect("connects");
        let consumer =
            Client::connect(options(&server.server(), &executor)).await.expect("connects");
        let mut load = consumer.subscribe_with("load", None, 400_000).expect("valid");
        consumer.flush(LIMIT).await.expect("flushed");
        let started = Instant::now();
        let sender = publisher.clone();
        let task = executor.spawn(async move {
            let mut payload = [b'x'; 128];
            for number in 0..MESSAGES {
                payload[..4].copy_from_slice(&number.to_be_bytes());
                sender.publish("load", &payload).await.expect("sent");
            }
            sender.flush(LIMIT).await.expect("flushed");
            started.elapsed()
        });
        for number in 0..MESSAGES {
            let message = payload(&mut load).await;
            assert_eq!(message[..4], number.to_be_bytes());
        }
        let received = started.elapsed();
        let sent = task.await;
        println!(
            "load: {MESSAGES} messages of 128 bytes sent in {sent:?}, received in {received:?}"
        );
        assert_eq!(load.dropped(), 0);
        publisher.close().await;
        consumer.close().await;
    });
}

#[test]
fn thousands_of_subscriptions_survive_a_burst_within_bounds() {
    const SUBSCRIPTIONS: usize = 5_000;
    const BURST: usize = 40;
    let Some(server) = NatsServer::start("many", "") else { return };
    with_executor(async |executor| {
        let options =
            Options { queued_bytes_max: 8_000_000, ..options(&server.server(), &executor) };
        let client = Client::connect(options).await.expect("connects");
        let mut all: Vec<Subscription> =
            (0..SUBSCRIPTIONS).map(|_| client.subscribe("burst", None).expect("valid")).collect();
        for _ in 0..BURST {
            client.publish("burst", &[b'x'; 200]).await.expect("sent");
        }
        client.flush(LIMIT).await.expect("flushed");
        let waiting: usize = all.iter().map(Subscription::waiting).sum();
        let dropped: u64 = all.iter().map(Subscription::dropped).sum();
        assert_eq!(waiting + dropped as usize, SUBSCRIPTIONS * BURST);
        assert!(waiting * 200 <= 8_000_000, "{waiting} wait");
        assert_eq!(client.statistics().dropped_messages, dropped);
        for subscription in &mut all {
            while subscription.try_next().is_some() {}
        }
        client.publish("burst", b"after").await.expect("sent");
        for subscription in &mut all {
            assert_eq!(payload(subscription).await, b"after");
        }
        client.close().await;
    });
}

/// An authority with a certificate for a broker and one for a client.
struct Pki {
    authority: Authority,
    broker: Issued,
    client: Issued,
}

impl Pki {
    fn new() -> Self {
        let now = SystemTime::now();
        let authority = Authority::new_p256("Test CA", now).expect("authority");
        let issue = |name: &str| {
            let request = LeafRequest {
                key: KeyKind::P256,
                ip_addresses: vec!["127.0.0.1".parse().expect("ip")],
                ..LeafRequest::new(name, now, Duration::from_secs(3600))
            };
            authority.issue(&request).expect("issued")
        };
        let (broker, client) = (issue("broker.example"), issue("client.example"));
        Self { authority, broker, client }
    }

    /// Writes the broker's files and gives nats-server's configuration for them.
    fn nats_config(&self, test: &str) -> String {
        let folder =
            std::env::temp_dir().join(format!("choria-nats-pki-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder is made");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
            write("cert.pem", &self.broker.certificate_pem),
            write("key.pem", &self.broker.key_pem),
            write("ca.pem", self.authority.ca_pem()),
        )
    }

    fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        let pem = self.authority.ca_pem().as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("a CA");
        roots
    }

    fn client_tls(&self, with_certificate: bool) -> Arc<rustls::ClientConfig> {
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots());
        Arc::new(if with_certificate {
            let (certificate, key) = pair(&self.client);
            builder.with_client_auth_cert(certificate, key).expect("pair")
        } else {
            builder.with_no_client_auth()
        })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn pair(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes());
    (vec![certificate.expect("PEM")], key.expect("PEM"))
}

#[test]
fn mutual_tls_carries_a_load_and_refusals_are_named() {
    const MESSAGES: u32 = 100_000;
    let pki = Pki::new();
    let Some(server) = NatsServer::start("tls", &pki.nats_config("tls")) else { return };
    with_executor(async |executor| {
        let with = |tls| Options { tls, ..options(&server.server(), &executor) };
        let client = Client::connect(with(Some(pki.client_tls(true)))).await.expect("connects");
        let mut load = client.subscribe_with("load", None, 200_000).expect("valid");
        let started = Instant::now();
        let sender = client.clone();
        let task = executor.spawn(async move {
            for number in 0..MESSAGES {
                sender.publish("load", &number.to_be_bytes()).await.expect("sent");
            }
        });
        for number in 0..MESSAGES {
            assert_eq!(payload(&mut load).await, number.to_be_bytes());
        }
        task.await;
        println!("load over TLS: {MESSAGES} messages sent and received in {:?}", started.elapsed());
        client.publish("load", &vec![b'x'; 900_000]).await.expect("sent");
        assert_eq!(payload(&mut load).await.len(), 900_000);
        client.close().await;

        let check = async |tls, kind, text: &str| {
            let started = Instant::now();
            let error = Client::connect(with(tls)).await.expect_err("refused");
            assert_eq!(error.kind(), kind, "{error}");
            let expected = format!("cannot connect to {}: {text}", server.server());
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert!(started.elapsed() < Duration::from_secs(3));
        };
        let text = "the broker demands TLS, which is disabled here";
        check(None, ErrorKind::TlsRequired, text).await;
        let text = "TLS handshake: certificate refused: ";
        check(Some(Pki::new().client_tls(true)), ErrorKind::Tls, text).await;
        check(Some(pki.client_tls(false)), ErrorKind::Tls, "TLS: the peer refused").await;
    });
}

#[test]
fn our_broker_serves_our_client_over_tls() {
    const MESSAGES: u32 = 100_000;
    let pki = Pki::new();
    let (certificate, key) = pair(&pki.broker);
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(pki.roots()),
        provider(),
    );
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().expect("verifier"))
        .with_single_cert(certificate, key)
        .expect("pair");
    let settings = choria::broker::Settings {
        listen: "127.0.0.1:0".parse().expect("address"),
        threads: 2,
        tls: Some(Arc::new(tls)),
        ..Default::default()
    };
    let broker = choria::broker::Broker::start(settings).expect("starts");
    let server = Server::nats("127.0.0.1", broker.local_addr().port());
    with_executor(async |executor| {
        let with = |with_certificate| Options {
            tls: Some(pki.client_tls(with_certificate)),
            ..options(&server, &executor)
        };
        let error = Client::connect(with(false)).await.expect_err("no certificate, no token");
        assert_eq!(error.kind(), ErrorKind::Authorization);
        let client = Client::connect(with(true)).await.expect("connects");
        let error = client.request("nobody", b"", LIMIT).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::NoResponders);
        let mut load = client.subscribe_with("load.*", None, 200_000).expect("valid");
        let started = Instant::now();
        let sender = client.clone();
        let task = executor.spawn(async move {
            for number in 0..MESSAGES {
                sender.publish("load.a", &number.to_be_bytes()).await.expect("sent");
            }
        });
        for number in 0..MESSAGES {
            assert_eq!(payload(&mut load).await, number.to_be_bytes());
        }
        task.await;
        println!("our broker, TLS: {MESSAGES} messages in {:?}", started.elapsed());
        let mut headers = Headers::new();
        headers.append("K", "v");
        client.publish_with("load.b", Some("r"), Some(&headers), b"h").await.expect("sent");
        let message = within("a message", load.next()).await.expect("delivered");
        assert_eq!(message.headers.expect("headers").first("K"), Some("v"));
        client.drain(LIMIT).await.expect("drained");
    });
    broker.shutdown(Duration::from_secs(1));
}
