//! The client library over a stock nats-server, against a scripted fleet: what arrives decides what it reports.

#![allow(clippy::unwrap_used)] // helpers of tests end at the first thing that is wrong

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use choria::Choria;
use choria::crypto::issue::{Authority, LeafRequest};
use choria::ddl::builtin;
use choria::nats::client::{Client as Nats, Message, Options};
use choria::net::servers::{Server, ServerList};
use choria::protocol::rpc::{ReplyBody, RequestBody, StatusCode};
use choria::protocol::v1::{SecureReply, SecureRequest};
use choria::protocol::{Filter, Request, Transport, Version};
use choria::rpc::{
    Client, ClientOptions, Discovery, Limit, LimitMethod, LimitSize, RequestOptions, Stats, Targets,
};
use choria::security::{Kind, Provider, Settings};
use choria::util::shutdown::Shutdown;
use serde_json::{Map, Value, json};
use smol::Executor;

const DEADLINE: Duration = Duration::from_secs(30);

/// What one scripted node does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Answer,
    Fail,
    StaySilent,
    AnswerTwice,
    AnswerAnotherRequest,
    AnswerWithBadHash,
    AnswerAsStranger,
    SendGarbage,
}

type Script = BTreeMap<String, Does>;

fn answering(count: usize) -> Script {
    (0..count).map(|n| (format!("n{n}"), Does::Answer)).collect()
}

struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With mutual TLS from the files in `folder`.
    fn start_tls(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        let (cert, key, ca) = (file("localhost.pem"), file("localhost.key"), file("ca.pem"));
        Self::start_with(&[
            "--tls",
            "--tlsverify",
            "--tlscert",
            &cert,
            "--tlskey",
            &key,
            "--tlscacert",
            &ca,
        ])
    }

    fn start_with(more: &[&str]) -> Self {
        let installed =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop/nats-server"));
        let program =
            if installed.exists() { installed } else { Path::new("/usr/sbin/nats-server") };
        let port = free_port();
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts: run scripts/test-peers once");
        let broker = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < DEADLINE, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    #[allow(clippy::disallowed_methods)] // its backlog does not matter: it accepts nothing
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The nodes of a test, played by one connection.
struct Fleet {
    nats: Nats,
    script: Script,
    /// Checks every request when there is one.
    verifier: Option<Arc<Provider>>,
    /// Subject and request of everything that arrived.
    seen: Mutex<Vec<(String, Request)>>,
}

impl Fleet {
    async fn start(
        options: Options,
        verifier: Option<Arc<Provider>>,
        executor: &Arc<Executor<'static>>,
        script: Script,
    ) -> Arc<Self> {
        let nats = Nats::connect(options).await.unwrap();
        let fleet = Arc::new(Self { nats, script, verifier, seen: Mutex::new(Vec::new()) });
        for subject in
            ["mcollective.broadcast.>", "mcollective.node.>", "choria.federation.*.federation"]
        {
            let mut subscription = fleet.nats.subscribe(subject, None).unwrap();
            let fleet = Arc::clone(&fleet);
            executor
                .spawn(async move {
                    while let Some(message) = subscription.next().await {
                        fleet.handle(&message).await;
                    }
                })
                .detach();
        }
        fleet.nats.flush(DEADLINE).await.unwrap();
        fleet
    }

    async fn handle(&self, message: &Message) {
        let transport = Transport::decode(&message.payload).unwrap();
        let secure = SecureRequest::decode(&transport.data).unwrap();
        let request = match &self.verifier {
            Some(verifier) => {
                verifier.decode_request(&transport, SystemTime::now()).unwrap().request
            }
            None => Request::decode(Version::V1, secure.message.as_bytes()).unwrap(),
        };
        self.seen.lock().unwrap().push((message.subject.clone(), request.clone()));
        let targets = match &transport.federation {
            Some(federation) => federation.targets.clone(),
            None => vec![message.subject.clone()],
        };
        let reply_to = transport.reply_to.unwrap();
        for target in targets {
            for (node, does) in self.receivers(&target) {
                for reply in replies(node, does, &request) {
                    self.nats.publish(&reply_to, &reply).await.unwrap();
                }
            }
        }
    }

    fn receivers<'a>(&'a self, subject: &str) -> Vec<(&'a String, Does)> {
        let all = self.script.iter().map(|(node, does)| (node, *does));
        match subject.strip_prefix("mcollective.node.") {
            Some(name) => self
                .script
                .get_key_value(name)
                .map(|(node, does)| (node, *does))
                .into_iter()
                .collect(),
            None if subject.contains(".service.") => all.take(2).collect(),
            None => all.collect(),
        }
    }

    fn seen(&self) -> Vec<(String, Request)> {
        self.seen.lock().unwrap().clone()
    }
}

fn replies(node: &str, does: Does, request: &Request) -> Vec<Vec<u8>> {
    if request.agent == "discovery" {
        return vec![sealed(node, request, "pong")];
    }
    let body = RequestBody::decode(&request.message).unwrap();
    let ok = String::from_utf8(
        ReplyBody::ok(&body.action, json!({"pong": 1, "inputs": body.data})).encode(),
    )
    .unwrap();
    let failed = ReplyBody::failed(&body.action, StatusCode::Aborted, "out of order").encode();
    match does {
        Does::Answer => vec![sealed(node, request, &ok)],
        Does::Fail => vec![sealed(node, request, &String::from_utf8(failed).unwrap())],
        Does::StaySilent => vec![],
        Does::AnswerTwice => vec![sealed(node, request, &ok), sealed(node, request, &ok)],
        Does::AnswerAnotherRequest => {
            let other = Request { id: "0".repeat(32), ..request.clone() };
            vec![sealed(node, &other, &ok)]
        }
        Does::AnswerWithBadHash => {
            let text = request.reply(node, ok.into_bytes(), SystemTime::now()).encode().unwrap();
            let secure = SecureReply { message: text, hash: "AAAA".into() };
            vec![Transport::new(Version::V1, secure.encode(), node).encode()]
        }
        Does::AnswerAsStranger => vec![sealed("stranger", request, &ok)],
        Does::SendGarbage => vec![b"{".to_vec()],
    }
}

fn sealed(node: &str, request: &Request, message: &str) -> Vec<u8> {
    let text =
        request.reply(node, message.as_bytes().to_vec(), SystemTime::now()).encode().unwrap();
    Transport::new(Version::V1, SecureReply::seal(text).encode(), node).encode()
}

/// Neither TLS nor signatures: what envelopes carry is the business of other tests.
fn security() -> Arc<Provider> {
    let settings = Settings {
        security_on: false,
        tls: false,
        ..Settings::new(Kind::File, "alice.mcollective")
    };
    Arc::new(Provider::open(settings).unwrap())
}

fn nats_options(broker: &Broker, executor: &Arc<Executor<'static>>) -> Options {
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", broker.port)]);
    Options::new(servers, Arc::clone(executor))
}

/// Runs one test with its own broker, fleet and client.
fn with_fleet<F>(script: Script, change: impl FnOnce(&mut ClientOptions), test: F)
where
    F: AsyncFnOnce(Client, Arc<Fleet>),
{
    let broker = Broker::start();
    let executor = Arc::new(Executor::new());
    let fleet_executor = Arc::new(Executor::new());
    let over = Shutdown::new();
    let fleet_thread = std::thread::spawn({
        let (executor, over) = (Arc::clone(&fleet_executor), over.clone());
        move || smol::block_on(executor.run(over.wait()))
    });
    smol::block_on(executor.run(async {
        let fleet =
            Fleet::start(nats_options(&broker, &fleet_executor), None, &fleet_executor, script)
                .await;
        let mut options = ClientOptions {
            nats: nats_options(&broker, &executor),
            security: security(),
            identity: "shell.example.net".into(),
            collectives: vec!["mcollective".into()],
            main_collective: "mcollective".into(),
            ttl: Duration::from_secs(60),
            discovery_timeout: Duration::from_secs(2),
            windowed_discovery: true,
            require_filter: false,
            federations: Vec::new(),
            signer: None,
            executor: Arc::clone(&executor),
        };
        change(&mut options);
        let client = Client::connect(options).await.unwrap();
        test(client, fleet).await;
    }));
    over.trigger();
    fleet_thread.join().unwrap();
}

async fn ping(client: &Client, options: RequestOptions) -> (Vec<String>, Stats) {
    let agent = builtin::agent("rpcutil").unwrap();
    let mut stream = client.request(agent, "ping", Map::new(), options).await.unwrap();
    let mut senders = Vec::new();
    while let Some(reply) = stream.next().await {
        assert_eq!(reply.action, "ping");
        senders.push(reply.sender);
    }
    senders.sort();
    (senders, stream.finish().await)
}

fn names(script: &Script) -> Vec<String> {
    script.keys().cloned().collect()
}

fn short(targets: Vec<String>) -> RequestOptions {
    RequestOptions { timeout: Some(Duration::from_secs(2)), ..RequestOptions::nodes(targets) }
}

#[test]
fn discover_and_ask() {
    let script = answering(5);
    with_fleet(
        script.clone(),
        |_| (),
        async |client, fleet| {
            let mut filter = Filter::default();
            filter.add_agent("rpcutil");
            let found = client.discover(&Discovery::broadcast(filter)).await.unwrap();
            assert_eq!(found.nodes.len(), 5);
            assert!(
                found.elapsed < Duration::from_millis(1500),
                "the window did not close: {:?}",
                found.elapsed
            );
            let discovery = found.elapsed;
            let (senders, stats) = ping(&client, found.into()).await;
            assert_eq!(senders, names(&script));
            assert_eq!((stats.discovered, stats.responses, stats.ok, stats.failed), (5, 5, 5, 0));
            assert_eq!(
                (stats.discovery, stats.cancelled, stats.failure.as_deref()),
                (discovery, false, None)
            );
            assert!(
                stats.request < Duration::from_secs(4),
                "it did not end with the last reply: {:?}",
                stats.request
            );
            let seen = fleet.seen();
            assert_eq!(seen[0].1.message, b"cGluZw==");
            let directed: Vec<_> =
                seen.iter().filter(|(subject, _)| subject.contains(".node.")).collect();
            assert_eq!(directed.len(), 5);
            assert!(
                directed.iter().all(|(_, request)| *request == directed[0].1),
                "each node got other bytes"
            );
            assert_eq!(directed[0].1.filter.agents, ["rpcutil"]);
            assert_eq!(stats.request_id, directed[0].1.id);
        },
    );
}

#[test]
fn nodes_that_are_named_are_not_asked() {
    with_fleet(
        answering(1),
        |_| (),
        async |client, fleet| {
            let mut filter = Filter::default();
            filter.add_identity("n7");
            filter.add_agent("rpcutil");
            let found = client.discover(&Discovery::broadcast(filter)).await.unwrap();
            assert_eq!(found.nodes, ["n7"]);
            assert!(fleet.seen().is_empty());
        },
    );
}

#[test]
fn pings_report_each_node_with_its_delay() {
    with_fleet(
        answering(3),
        |_| (),
        async |client, _| {
            let discovery = Discovery {
                timeout: Some(Duration::from_secs(2)),
                ..Discovery::broadcast(Filter::default())
            };
            let started = Instant::now();
            let mut pings = client.ping(&discovery).await.unwrap();
            let mut count = 0;
            while let Some(pong) = pings.next().await {
                assert!(pong.delay < Duration::from_secs(2));
                count += 1;
            }
            assert_eq!(count, 3);
            assert!(started.elapsed() >= Duration::from_secs(2), "pings wait for the whole time");
        },
    );
}

#[test]
fn what_nodes_do_wrong_is_counted() {
    let script: Script = [
        ("a-good", Does::Answer),
        ("b-fails", Does::Fail),
        ("c-silent", Does::StaySilent),
        ("d-twice", Does::AnswerTwice),
        ("e-other-id", Does::AnswerAnotherRequest),
        ("f-bad-hash", Does::AnswerWithBadHash),
        ("g-stranger", Does::AnswerAsStranger),
        ("h-garbage", Does::SendGarbage),
    ]
    .into_iter()
    .map(|(name, does)| (name.to_owned(), does))
    .collect();
    with_fleet(
        script.clone(),
        |_| (),
        async |client, _| {
            let (senders, stats) = ping(&client, short(names(&script))).await;
            assert_eq!(senders, ["a-good", "b-fails", "d-twice"]);
            assert_eq!((stats.discovered, stats.responses), (8, 3));
            // One node failed; three messages could not be used.
            assert_eq!((stats.ok, stats.failed), (2, 4));
            assert_eq!(
                stats.no_responses,
                ["c-silent", "e-other-id", "f-bad-hash", "g-stranger", "h-garbage"]
            );
            assert_eq!(stats.unexpected, ["d-twice", "stranger"]);
            assert!(!stats.is_complete());
        },
    );
}

#[test]
fn batches_share_the_id_and_carry_their_own_time() {
    let script = answering(5);
    with_fleet(
        script.clone(),
        |_| (),
        async |client, fleet| {
            let options = RequestOptions {
                batch: Some(2),
                batch_sleep: Duration::from_millis(1100),
                ..RequestOptions::nodes(names(&script))
            };
            let (senders, stats) = ping(&client, options).await;
            assert_eq!(senders, names(&script));
            assert!(
                stats.request >= Duration::from_millis(2200),
                "two pauses: {:?}",
                stats.request
            );
            assert!(stats.is_complete());
            let seen = fleet.seen();
            assert!(seen.iter().all(|(_, request)| request.id == stats.request_id));
            let subjects: Vec<_> = seen.iter().map(|(subject, _)| subject.as_str()).collect();
            assert_eq!(
                subjects,
                ["n0", "n1", "n2", "n3", "n4"].map(|n| format!("mcollective.node.{n}"))
            );
            assert!(seen[0].1.time < seen[4].1.time);
        },
    );
}

#[test]
fn a_limit_asks_some_only() {
    let script = answering(9);
    with_fleet(
        script.clone(),
        |_| (),
        async |client, fleet| {
            let limit = Some(Limit { size: LimitSize::Percent(50), method: LimitMethod::First });
            let (senders, stats) =
                ping(&client, RequestOptions { limit, ..short(names(&script)) }).await;
            assert_eq!(senders, ["n0", "n1", "n2", "n3"]);
            assert_eq!(stats.discovered, 4);
            assert_eq!(fleet.seen().len(), 4);
        },
    );
}

#[test]
fn cancelling_keeps_what_has_arrived() {
    let script: Script =
        [("n1".to_owned(), Does::Answer), ("n2".to_owned(), Does::StaySilent)].into();
    with_fleet(
        script,
        |_| (),
        async |client, _| {
            let agent = builtin::agent("rpcutil").unwrap();
            let options = RequestOptions {
                timeout: Some(Duration::from_secs(60)),
                batch: Some(2),
                ..RequestOptions::nodes(vec!["n1".into(), "n2".into(), "n3".into()])
            };
            let mut stream = client.request(agent, "ping", Map::new(), options).await.unwrap();
            assert_eq!(stream.next().await.unwrap().sender, "n1");
            assert_eq!(stream.progress(), (1, 3));
            let started = Instant::now();
            stream.cancel();
            assert_eq!(stream.next().await, None);
            let stats = stream.finish().await;
            assert!(started.elapsed() < Duration::from_secs(5));
            assert!(stats.cancelled);
            assert_eq!(
                (stats.responses, stats.no_responses),
                (1, vec!["n2".to_owned(), "n3".to_owned()])
            );
        },
    );
}

#[test]
fn services_answer_once_and_broadcasts_until_the_time_is_over() {
    with_fleet(
        answering(3),
        |_| (),
        async |client, fleet| {
            let (senders, stats) = ping(&client, RequestOptions::service()).await;
            assert_eq!(senders.len(), 1);
            assert_eq!((stats.discovered, stats.responses), (1, 1));
            assert_eq!(fleet.seen()[0].0, "mcollective.broadcast.service.rpcutil");

            let everybody = RequestOptions {
                timeout: Some(Duration::from_secs(2)),
                ..RequestOptions::broadcast(Filter::default())
            };
            let (senders, stats) = ping(&client, everybody.clone()).await;
            assert_eq!(senders.len(), 3);
            assert_eq!((stats.discovered, stats.responses, stats.is_complete()), (3, 3, true));
            assert!(stats.request >= Duration::from_secs(2));

            let targets =
                Targets::Broadcast { expected: vec!["n0".into(), "n1".into(), "n2".into()] };
            let known = RequestOptions { targets, timeout: Some(DEADLINE), ..everybody };
            let (_, stats) = ping(&client, known).await;
            assert!(stats.is_complete() && stats.request < Duration::from_secs(5));
        },
    );
}

#[test]
fn federations_get_groups_of_targets() {
    let script = answering(450);
    let federate = |options: &mut ClientOptions| options.federations = vec!["eu".into()];
    with_fleet(script.clone(), federate, async |client, fleet| {
        let (senders, stats) = ping(&client, RequestOptions::nodes(names(&script))).await;
        assert_eq!(senders.len(), 450);
        assert!(stats.is_complete());
        let subjects: Vec<_> = fleet.seen().into_iter().map(|(subject, _)| subject).collect();
        assert_eq!(subjects, ["choria.federation.eu.federation"; 3]);
    });
}

#[test]
fn replies_can_go_elsewhere() {
    with_fleet(
        answering(2),
        |_| (),
        async |client, fleet| {
            let mut elsewhere = fleet.nats.subscribe("my.own.subject", None).unwrap();
            fleet.nats.flush(DEADLINE).await.unwrap();
            let agent = builtin::agent("rpcutil").unwrap();
            let options = RequestOptions::nodes(vec!["n0".into(), "n1".into()]);
            let id =
                client.send(agent, "ping", Map::new(), options, "my.own.subject").await.unwrap();
            for _ in 0..2 {
                let message = elsewhere.next().await.unwrap();
                let transport = Transport::decode(&message.payload).unwrap();
                assert!(String::from_utf8_lossy(&transport.data).contains(&id));
            }
        },
    );
}

#[test]
fn requests_that_cannot_be_made_say_why() {
    with_fleet(
        answering(1),
        |options| options.require_filter = true,
        async |client, fleet| {
            let agent = builtin::agent("rpcutil").unwrap();
            let refused = async |action: &str, options: RequestOptions| {
                client
                    .request(agent, action, Map::new(), options)
                    .await
                    .err()
                    .map(|err| err.to_string())
                    .unwrap()
            };
            let nodes = || RequestOptions::nodes(vec!["n0".into()]);
            assert_eq!(refused("pnig", nodes()).await, "unknown action rpcutil#pnig");
            let other = RequestOptions { collective: Some("other".into()), ..nodes() };
            assert_eq!(
                refused("ping", other).await,
                "'other' is not on the list of known collectives"
            );
            let bad = RequestOptions::nodes(vec!["n0 n1".into()]);
            assert_eq!(refused("ping", bad).await, "\"n0 n1\" cannot be the name of a node");
            assert_eq!(
                refused("ping", RequestOptions::nodes(Vec::new())).await,
                "did not discover any nodes"
            );
            let unfiltered =
                client.discover(&Discovery::broadcast(Filter::default())).await.unwrap_err();
            assert_eq!(unfiltered.to_string(), "requests without filters have been disabled");
            assert!(fleet.seen().is_empty());
        },
    );
}

#[test]
fn fifteen_thousand_nodes_in_one_request() {
    let script = answering(15_000);
    with_fleet(
        script.clone(),
        |_| (),
        async |client, _| {
            let options =
                RequestOptions { timeout: Some(DEADLINE), ..RequestOptions::nodes(names(&script)) };
            let (senders, stats) = ping(&client, options).await;
            assert_eq!(senders.len(), 15_000);
            assert_eq!(
                (stats.ok, stats.no_responses.len(), stats.unexpected.len()),
                (15_000, 0, 0)
            );
            println!("15000 nodes: {:?} publishing, {:?} in all", stats.publish, stats.request);
        },
    );
}

/// The name that a process of this user has in certificates.
fn certificate_name() -> String {
    let user = std::env::var("USER").ok().filter(|_| !rustix::process::geteuid().is_root());
    let named = std::env::var("MCOLLECTIVE_CERTNAME").ok();
    named
        .or(user.map(|user| format!("{user}.mcollective")))
        .unwrap_or_else(|| "alice.mcollective".into())
}

fn write_certificates(folder: &Path, name: &str) {
    let now = SystemTime::now();
    let authority = Authority::new_p256("Test CA", now).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.ca_pem()).unwrap();
    for (file, name) in [("client", name), ("localhost", "localhost")] {
        let mut request = LeafRequest::new(name, now, Duration::from_secs(3600));
        request.ip_addresses.push("127.0.0.1".parse().unwrap());
        let issued = authority.issue(&request).unwrap();
        std::fs::write(folder.join(format!("{file}.pem")), issued.certificate_pem).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), issued.key_pem).unwrap();
    }
}

#[test]
fn a_program_signs_its_requests_and_uses_tls() {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rpc-program-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = certificate_name();
    write_certificates(&folder, &name);
    let broker = Broker::start_tls(&folder);
    let provider = Arc::new(
        Provider::open(Settings {
            certificate: folder.join("client.pem"),
            key: folder.join("client.key"),
            ca: folder.join("ca.pem"),
            ..Settings::new(Kind::File, &name)
        })
        .unwrap(),
    );
    let path = folder.display();
    let config = format!(
        "identity = {name}\nplugin.security.provider = file\nplugin.security.file.certificate = {path}/client.pem\n\
         plugin.security.file.key = {path}/client.key\nplugin.security.file.ca = {path}/ca.pem\n\
         plugin.choria.middleware_hosts = 127.0.0.1:{}\n",
        broker.port
    );
    std::fs::write(folder.join("client.conf"), config).unwrap();
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let options = Options {
            tls: Some(provider.client_tls().unwrap()),
            ..nats_options(&broker, &executor)
        };
        let fleet = Fleet::start(options, Some(provider), &executor, answering(3)).await;
        let choria = Choria::from_config(Some(&folder.join("client.conf"))).await.unwrap();
        let found = choria.discover(&Discovery::broadcast(Filter::default())).await.unwrap();
        let missing =
            choria.request("rpcutil", "get_fact", json!({}), found.clone()).await.err().unwrap();
        assert_eq!(missing.to_string(), "invalid input: input 'fact' is required");
        let mut replies =
            choria.request("rpcutil", "get_fact", json!({"fact": "os"}), found).await.unwrap();
        let mut count = 0;
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.data["inputs"]["fact"], "os");
            count += 1;
        }
        let stats = replies.finish().await;
        assert_eq!((count, stats.ok, stats.is_complete()), (3, 3, true));
        assert!(fleet.seen().iter().all(|(_, request)| request.caller == format!("choria={name}")));
        choria.close().await;
    }));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn statistics_have_their_machine_form() {
    with_fleet(
        answering(1),
        |_| (),
        async |client, _| {
            let (_, stats) = ping(&client, RequestOptions::nodes(vec!["n0".into()])).await;
            let form = stats.json();
            let keys: Vec<&str> = form.as_object().unwrap().keys().map(String::as_str).collect();
            let expected = [
                "discover_time",
                "discovered",
                "failed",
                "no_responses",
                "ok",
                "publish_time",
                "request_time",
                "requestid",
                "responses",
                "start_time_utc",
                "unexpected_responses",
            ];
            assert_eq!(keys, expected);
            assert!(form["request_time"].as_u64().unwrap() > 0);
            assert_eq!(form["no_responses"], Value::Array(Vec::new()));
        },
    );
}
