//! What a broker tells about itself: status pages, metrics, the system account. Fields are compared with those of a
//! real nats-server that went through the same.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use choria::nats::client::{Client, Options, Subscription};
use choria::net::servers::{Server, ServerList};
use choria::util::secret::Secret;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use smol::future::FutureExt as _;

use super::support::{
    Broker, DEADLINE, Folder, NatsServer, Pki, Process, choria, free_port, peers, run, wait_for,
};

/// Answers are awaited for this long.
const LIMIT: Duration = Duration::from_secs(10);

/// A broker of one of two makes, with its status pages.
struct Watched {
    _process: Process,
    port: u16,
    pages: u16,
}

const SYSTEM: &str = "plugin.choria.network.system.user = watcher\n\
                      plugin.choria.network.system.password = secret\n";

impl Watched {
    fn ours(folder: &Folder, extra: &str) -> Watched {
        let pages = free_port();
        let lines = format!("plugin.choria.stats_port = {pages}\n{SYSTEM}{extra}");
        let broker = Broker::start_with(folder, &lines);
        Watched { _process: broker.process, port: broker.port, pages }
    }

    /// A current nats-server with the accounts of Choria.
    fn theirs(folder: &Folder) -> Watched {
        let leaf = Pki::shared().leaf("localhost");
        let (port, pages) = (free_port(), free_port());
        let config = folder.write(
            "nats.conf",
            &format!(
                "server_name: localhost\nlisten: 127.0.0.1:{port}\nhttp: 127.0.0.1:{pages}\n\
                 tls {{\n cert_file: \"{}\"\n key_file: \"{}\"\n ca_file: \"{}\"\n verify: true\n}}\n\
                 accounts {{\n choria: {{ users: [ {{ user: node, password: x }} ] }}\n\
                 system: {{ users: [ {{ user: watcher, password: secret }} ] }}\n}}\n\
                 system_account: system\nno_auth_user: node\n",
                leaf.certificate.display(),
                leaf.key.display(),
                Pki::shared().ca.display()
            ),
        );
        let mut command = Command::new(peers().join(NatsServer::CURRENT));
        command.arg("-c").arg(config);
        let mut process = Process::start(command, folder.file("nats-server.log"));
        process.wait_for_line("Server is ready");
        Watched { _process: process, port, pages }
    }

    /// Status, headers in lower case, and body of a page.
    fn page(&self, path: &str) -> (u16, String, String) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.pages)).expect("pages are served");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        (status, head, body)
    }

    fn json(&self, path: &str) -> Value {
        let (status, head, body) = self.page(path);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(head.contains("content-type: application/json"), "{path}: {head}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    async fn connect(&self, executor: &Arc<smol::Executor<'static>>, user: Option<&str>) -> Client {
        let servers = ServerList::fixed(vec![Server::nats("localhost", self.port)]);
        let options = Options {
            name: user.unwrap_or("node").to_owned(),
            tls: Some(client_tls()),
            user: user.map(str::to_owned),
            password: user.map(|_| Secret::new("secret".to_owned())),
            ..Options::new(servers, executor.clone())
        };
        Client::connect(options).await.expect("connects")
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

fn client_tls() -> Arc<rustls::ClientConfig> {
    let leaf = Pki::shared().leaf("node1.example.net");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&Pki::shared().ca).expect("a CA")).expect("fits");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&leaf.certificate).expect("a certificate")],
            PrivateKeyDer::from_pem_file(&leaf.key).expect("a key"),
        )
        .expect("they fit");
    Arc::new(config)
}

/// Runs `test` with an executor whose tasks run on a thread of their own.
fn with_executor<T>(test: impl AsyncFnOnce(Arc<smol::Executor<'static>>) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let (stop, stopped) = flume::bounded::<()>(0);
    let runner = executor.clone();
    let thread = std::thread::spawn(move || {
        smol::block_on(runner.run(async {
            let _ = stopped.recv_async().await;
        }));
    });
    let outcome = smol::block_on(test(executor));
    drop(stop);
    thread.join().expect("the executor does not panic");
    outcome
}

/// The next message as JSON.
async fn next(subscription: &mut Subscription, what: &str) -> Value {
    let late = async {
        async_io::Timer::after(DEADLINE).await;
        panic!("{what} did not come")
    };
    let message = subscription.next().or(late).await.expect("a message");
    serde_json::from_slice(&message.payload).expect("JSON")
}

async fn ask(client: &Client, subject: &str, payload: &str) -> Value {
    let answer = client.request(subject, payload.as_bytes(), LIMIT).await;
    let answer = answer.unwrap_or_else(|error| panic!("{subject}: {error}"));
    serde_json::from_slice(&answer.payload).unwrap_or_else(|error| panic!("{subject}: {error}"))
}

/// Every field of a report, as a path, with its type.
fn shape(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            list.iter().for_each(|entry| shape(entry, &format!("{path}[]"), found));
            "array"
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                shape(field, &format!("{path}.{name}"), found);
            }
            "object"
        }
    };
    found.insert(path.to_owned(), kind);
}

/// Fails for fields of `theirs` that `ours` does not have, or has with another type. `absent` are the beginnings of
/// paths that are left out on purpose.
fn check_shape(what: &str, theirs: &Value, ours: &Value, absent: &[&str]) {
    let (mut wanted, mut have) = (BTreeMap::new(), BTreeMap::new());
    shape(theirs, "", &mut wanted);
    shape(ours, "", &mut have);
    let faults: Vec<_> = wanted
        .iter()
        .filter(|(path, _)| !absent.iter().any(|left_out| path.starts_with(left_out)))
        .filter(|(path, kind)| have.get(*path) != Some(kind))
        .map(|(path, kind)| format!("{path}: {kind}, here {:?}", have.get(path)))
        .collect();
    assert!(faults.is_empty(), "{what}:\n{}\nours: {ours:#}", faults.join("\n"));
}

/// Fields of nats-server that make no sense here, by page.
const VARZ_ABSENT: &[&str] = &[
    ".git_commit",
    // Here nobody is asked for a name: the certificate is enough.
    ".auth_required",
    ".tls_verify",
    // Where the broker stands with JWT, storage and experiments that are not there.
    ".feature_flags",
    ".disk_io_wait_stats",
    ".tls_cert_not_after",
];
/// Services of the system account are not imported one by one here: they are subscriptions.
const ACCOUNTZ_ABSENT: &[&str] = &[".account_detail.imports", ".account_detail.exports"];
/// Traffic is not kept apart by kind of peer in an account.
const STATZ_ABSENT: &[&str] = &[
    ".account_statz[].sent.gateways",
    ".account_statz[].sent.routes",
    ".account_statz[].sent.leafs",
    ".account_statz[].received.gateways",
    ".account_statz[].received.routes",
    ".account_statz[].received.leafs",
];

/// Nobody asked for the round-trip time of a connection that ended soon.
const UNMEASURED: &[&str] = &[".connections[].rtt"];

/// What both went through before they are looked at: two clients, messages, a client that left.
async fn scenario(watched: &Watched, executor: &Arc<smol::Executor<'static>>) -> (Client, Client) {
    let node = watched.connect(executor, None).await;
    let mut inbox = node.subscribe("orders.*", Some("workers")).expect("valid");
    node.flush(LIMIT).await.expect("flushed");
    let system = watched.connect(executor, Some("watcher")).await;
    let guest = watched.connect(executor, None).await;
    for _ in 0..5 {
        guest.publish("orders.new", b"12345").await.expect("sent");
    }
    guest.flush(LIMIT).await.expect("flushed");
    for _ in 0..5 {
        let late = async {
            async_io::Timer::after(DEADLINE).await;
            None
        };
        inbox.next().or(late).await.expect("a message");
    }
    guest.close().await;
    wait_for("the end of a connection", || {
        (watched.json("/varz")["connections"] == 2).then_some(())
    });
    // The subscription has to stay.
    std::mem::forget(inbox);
    (node, system)
}

#[test]
fn pages_have_the_fields_of_nats_server() {
    let folder = Folder::new("monitoring-pages");
    with_executor(async |executor| {
        let (theirs, ours) = (Watched::theirs(&folder), Watched::ours(&folder, ""));
        let their_clients = scenario(&theirs, &executor).await;
        let our_clients = scenario(&ours, &executor).await;
        // A round trip is measured when somebody asks.
        wait_for("a round-trip time", || ours.json("/connz")["connections"][0].get("rtt").cloned());
        for (page, absent) in [
            ("/varz", VARZ_ABSENT),
            ("/connz?subs=detail&auth=1", &[]),
            ("/connz?subs=1", &[]),
            ("/connz?state=closed&auth=1", UNMEASURED),
            ("/connz?state=any&sort=bytes_to", UNMEASURED),
            ("/routez", &[]),
            ("/subsz?subs=1", &[]),
            ("/subscriptionsz", &[]),
            ("/accountz", &[]),
            ("/accountz?acc=choria", ACCOUNTZ_ABSENT),
            ("/accountz?acc=system", ACCOUNTZ_ABSENT),
            ("/accstatz?unused=1", STATZ_ABSENT),
            ("/leafz", &[]),
            ("/gatewayz", &[]),
            ("/jsz", &[]),
            ("/healthz", &[]),
        ] {
            check_shape(page, &theirs.json(page), &ours.json(page), absent);
        }
        for page in [
            "/connz?limit=x",
            "/connz?auth=perhaps",
            "/connz?sort=size",
            "/connz?sort=stop",
            "/connz?cid=-1",
            "/connz?state=gone",
            "/subsz?test=a.*",
            "/subsz?offset=1.5",
            "/healthz?stream=a",
        ] {
            let (their, our) = (theirs.page(page), ours.page(page));
            assert_eq!((our.0, our.2), (their.0, their.2), "{page}");
        }
        assert_eq!(ours.page("/nothing").0, 404);
        drop((their_clients, our_clients));
    });
}

#[test]
fn pages_tell_what_happened() {
    let folder = Folder::new("monitoring-figures");
    with_executor(async |executor| {
        let ours = Watched::ours(&folder, "");
        let (node, _system) = scenario(&ours, &executor).await;
        let varz = ours.json("/varz");
        assert_eq!((&varz["connections"], &varz["total_connections"]), (&2.into(), &3.into()));
        assert_eq!((&varz["in_msgs"], &varz["in_bytes"]), (&5.into(), &25.into()));
        assert_eq!(
            (&varz["system_account"], &varz["http_port"]),
            (&"system".into(), &ours.pages.into())
        );
        assert!(varz["mem"].as_u64().expect("a number") > 1 << 20);

        let open = ours.json("/connz?auth=1&subs=1&acc=choria");
        assert_eq!((&open["total"], &open["num_connections"]), (&1.into(), &1.into()));
        let first = &open["connections"][0];
        assert_eq!(first["authorized_user"], "node1.example.net");
        assert_eq!((&first["account"], &first["name"]), (&"choria".into(), &"node".into()));
        assert_eq!((&first["out_msgs"], &first["in_msgs"]), (&5.into(), &0.into()));
        assert_eq!(first["subscriptions_list"], serde_json::json!(["orders.*"]));
        assert_eq!(first["tls_peer_certs"][0]["subject"], "CN=node1.example.net");
        assert!(ours.json("/connz")["connections"][0].get("account").is_none());

        let closed = ours.json("/connz?state=closed&sort=stop");
        let last = &closed["connections"][0];
        assert_eq!((&last["reason"], &last["in_msgs"]), (&"Client Closed".into(), &5.into()));
        assert_eq!(ours.json("/connz?state=all")["total"], 3);
        let one = ours.json(&format!("/connz?cid={}", first["cid"]));
        assert_eq!((&one["connections"][0]["cid"], &one["limit"]), (&first["cid"], &1.into()));
        assert_eq!(ours.json("/connz?cid=999")["connections"], serde_json::json!([]));
        let page = ours.json("/connz?limit=1&offset=1&sort=uptime");
        assert_eq!((&page["num_connections"], &page["total"]), (&1.into(), &2.into()));
        assert_eq!(page["connections"][0]["cid"], first["cid"]);

        let listed = ours.json("/subsz?subs=1&acc=choria&test=orders.old");
        assert_eq!(listed["total"], 1);
        let sub = &listed["subscriptions_list"][0];
        assert_eq!((&sub["subject"], &sub["qgroup"]), (&"orders.*".into(), &"workers".into()));
        assert_eq!((&sub["msgs"], &sub["account"]), (&5.into(), &"choria".into()));

        let accounts = ours.json("/accstatz");
        let choria = accounts["account_statz"].as_array().expect("a list").iter();
        let choria = choria.filter(|account| account["acc"] == "choria").collect::<Vec<_>>();
        assert_eq!((&choria[0]["conns"], &choria[0]["received"]["msgs"]), (&1.into(), &5.into()));
        assert_eq!(ours.page("/accountz?acc=nobody").0, 400);
        assert_eq!(ours.page("/healthz").2, "{\"status\":\"ok\"}");
        drop(node);
    });
}

#[test]
fn metrics_have_the_names_of_choria() {
    let folder = Folder::new("monitoring-metrics");
    with_executor(async |executor| {
        let ours = Watched::ours(&folder, "");
        let clients = scenario(&ours, &executor).await;
        for page in ["/metrics", "/choria/prometheus", "/choria/metrics"] {
            let (status, head, text) = ours.page(page);
            assert_eq!(status, 200);
            assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
            for line in [
                "# TYPE choria_network_connections gauge",
                "choria_network_connections{identity=\"localhost\"} 2",
                "choria_network_total_connections{identity=\"localhost\"} 3",
                "choria_network_in_msgs{identity=\"localhost\"} 5",
                "choria_network_routes{identity=\"localhost\"} 0",
                "choria_network_stream_streams{identity=\"localhost\"} 0",
                "# TYPE choria_build_info counter",
                "# TYPE process_cpu_seconds_total counter",
            ] {
                assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
            }
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (_, value) = line.rsplit_once(' ').expect("a name and a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        let about = ours.json("/choria/");
        assert_eq!(
            (&about["identity"], &about["build"]["tls"]),
            (&"localhost".into(), &true.into())
        );
        assert!(about["system"]["rss"].as_u64().expect("a number") > 0);
        drop(clients);
    });
}

/// Services and whether a request for one account is meant.
const SERVICES: &[(&str, &[&str])] = &[
    ("SERVER.PING", &[]),
    ("SERVER.PING.IDZ", &[]),
    ("SERVER.PING.STATSZ", &[]),
    ("SERVER.PING.HEALTHZ", &[]),
    ("SERVER.PING.ROUTEZ", &[]),
    ("SERVER.PING.LEAFZ", &[]),
    ("SERVER.PING.GATEWAYZ", &[]),
    ("SERVER.PING.ACCOUNTZ", &[]),
    ("SERVER.PING.SUBSZ", &[]),
    ("SERVER.PING.CONNZ", &[]),
    ("SERVER.PING.JSZ", &[]),
    ("SERVER.PING.VARZ", VARZ_ABSENT),
    ("ACCOUNT.choria.CONNZ", &[]),
    ("ACCOUNT.choria.SUBSZ", &[]),
    ("ACCOUNT.choria.LEAFZ", &[]),
    ("ACCOUNT.choria.INFO", &[".account_detail.imports", ".imports"]),
    ("ACCOUNT.choria.STATZ", STATZ_ABSENT),
    ("ACCOUNT.choria.CONNS", &[".sent.", ".received."]),
    ("ACCOUNT.PING.STATZ", STATZ_ABSENT),
];

#[test]
fn the_system_account_answers_like_nats_server() {
    let folder = Folder::new("monitoring-services");
    with_executor(async |executor| {
        let (theirs, ours) = (Watched::theirs(&folder), Watched::ours(&folder, ""));
        let (their_node, their_system) = scenario(&theirs, &executor).await;
        let (our_node, our_system) = scenario(&ours, &executor).await;
        wait_for("a round-trip time", || ours.json("/connz")["connections"][0].get("rtt").cloned());
        for (service, absent) in SERVICES {
            let subject = format!("$SYS.REQ.{service}");
            let (their, our) =
                (ask(&their_system, &subject, "").await, ask(&our_system, &subject, "").await);
            let absent: Vec<_> = absent
                .iter()
                .flat_map(|path| [format!(".data{path}"), (*path).to_owned()])
                .collect();
            let mut absent: Vec<_> = absent.iter().map(String::as_str).collect();
            absent.push(".server.feature_flags");
            check_shape(service, &their, &our, &absent);
        }
        for (subject, absent) in [
            ("$SYS.REQ.USER.INFO", &[][..]),
            ("$SYS.REQ.ACCOUNT.PING.CONNZ", &[]),
            ("$SYS.REQ.SERVER.PING.CONNZ", &[]),
            (
                "$SYS.REQ.ACCOUNT.PING.STATZ",
                &[".data.account_statz[].sent.", ".data.account_statz[].received."],
            ),
        ] {
            let (their, our) =
                (ask(&their_node, subject, "").await, ask(&our_node, subject, "").await);
            let absent = [absent, &[".server.feature_flags"]].concat();
            check_shape(subject, &their, &our, &absent);
        }
        let own = ask(&our_node, "$SYS.REQ.USER.INFO", "").await;
        assert_eq!(own["data"]["user"], "node1.example.net");
        assert_eq!(own["data"]["account"], "choria");
        // An account sees its own connections only.
        let own = ask(&our_node, "$SYS.REQ.SERVER.PING.CONNZ", r#"{"acc":"system","auth":true}"#);
        let own = own.await;
        assert_eq!(
            (&own["data"]["total"], &own["data"]["connections"][0]["account"]),
            (&1.into(), &"choria".into())
        );
        let id = ours.json("/varz")["server_id"].as_str().expect("text").to_owned();
        let direct = format!("$SYS.REQ.SERVER.{id}.VARZ");
        assert_eq!(ask(&our_system, &direct, "{}").await["data"]["server_id"], id);
        let absent = ask(&our_system, "$SYS.REQ.SERVER.PING.RAFTZ", "").await;
        assert_eq!(absent["error"]["code"], 501);
        let bad = ask(&our_system, "$SYS.REQ.SERVER.PING.CONNZ", "{\"limit\":\"x\"}").await;
        assert_eq!(bad["error"]["code"], 400);
        let bad = ask(&our_system, "$SYS.REQ.SERVER.PING.CONNZ", "{\"sort\":\"x\"}").await;
        assert_eq!(bad["error"]["description"], "invalid sorting option: x");
        // Who is not in the system account is not answered.
        let refused = our_node.request("$SYS.REQ.SERVER.PING.VARZ", b"", LIMIT).await;
        assert!(refused.is_err(), "{refused:?}");
        drop((their_node, their_system));
    });
}

#[test]
fn the_system_account_hears_of_connections() {
    let folder = Folder::new("monitoring-events");
    with_executor(async |executor| {
        let mut told: Vec<Vec<Value>> = Vec::new();
        for watched in [Watched::theirs(&folder), Watched::ours(&folder, "")] {
            let system = watched.connect(&executor, Some("watcher")).await;
            let mut coming = system.subscribe("$SYS.ACCOUNT.choria.CONNECT", None).expect("valid");
            let mut going =
                system.subscribe("$SYS.ACCOUNT.choria.DISCONNECT", None).expect("valid");
            let mut health = system.subscribe("$SYS.SERVER.*.STATSZ", None).expect("valid");
            system.flush(LIMIT).await.expect("flushed");
            let node = watched.connect(&executor, None).await;
            let connected = next(&mut coming, "CONNECT").await;
            node.publish("a", b"123").await.expect("sent");
            node.close().await;
            let disconnected = next(&mut going, "DISCONNECT").await;
            assert_eq!(disconnected["sent"]["msgs"], 1);
            assert_eq!(disconnected["sent"]["bytes"], 3);
            assert_eq!(disconnected["reason"], "Client Closed");
            assert_eq!(connected["client"]["id"], disconnected["client"]["id"]);
            let statsz = next(&mut health, "STATSZ").await;
            told.push(vec![connected, disconnected, statsz]);
        }
        let absent = [".server.feature_flags", ".client.rtt", ".client.user", ".client.name_tag"];
        for (what, index) in [("CONNECT", 0), ("DISCONNECT", 1), ("STATSZ", 2)] {
            check_shape(what, &told[0][index], &told[1][index], &absent);
            assert_eq!(told[0][index].get("type"), told[1][index].get("type"));
        }
    });
}

#[test]
fn the_system_account_hears_the_last_words() {
    let folder = Folder::new("monitoring-farewell");
    with_executor(async |executor| {
        let ours = Watched::ours(&folder, "");
        let system = ours.connect(&executor, Some("watcher")).await;
        let mut refused = system.subscribe("$SYS.SERVER.*.CLIENT.AUTH.ERR", None).expect("valid");
        let mut end = system.subscribe("$SYS.SERVER.*.SHUTDOWN", None).expect("valid");
        system.flush(LIMIT).await.expect("flushed");
        let servers = ServerList::fixed(vec![Server::nats("localhost", ours.port)]);
        let options = Options {
            tls: Some(client_tls()),
            user: Some("watcher".to_owned()),
            password: Some(Secret::new("wrong".to_owned())),
            ..Options::new(servers, executor.clone())
        };
        assert!(Client::connect(options).await.is_err());
        let told = next(&mut refused, "AUTH.ERR").await;
        assert_eq!(told["reason"], "Authentication Failure");
        ours._process.signal("TERM");
        let last = next(&mut end, "SHUTDOWN").await;
        assert_eq!(last["name"], "localhost");
    });
}

#[test]
fn pages_that_cannot_be_served_keep_the_broker_from_starting() {
    let folder = Folder::new("monitoring-taken");
    let ours = Watched::ours(&folder, "");
    let config = folder.write(
        "second.conf",
        &format!(
            "identity = second\nplugin.choria.broker_network = true\n\
             plugin.choria.network.client_port = 0\nplugin.choria.stats_port = {}\n",
            ours.pages
        ),
    );
    let mut command = choria();
    command.args(["broker", "--disable-tls", "--config"]).arg(config);
    let finished = run(command, "");
    assert_eq!(finished.code, 1);
    let expected = format!("cannot serve status pages on 127.0.0.1:{}: ", ours.pages);
    assert!(finished.stderr.contains(&expected), "{}", finished.stderr);
    assert!(finished.stderr.contains("plugin.choria.stats_port"), "{}", finished.stderr);
}

/// Output and exit code of a check.
fn check(words: &[&str]) -> (String, i32) {
    let mut command = choria();
    command.args(["broker", "status"]).args(words);
    let finished = run(command, "");
    (finished.stdout, finished.code)
}

#[test]
fn a_check_tells_whether_a_broker_is_well() {
    let folder = Folder::new("monitoring-check");
    let theirs = Watched::theirs(&folder);
    let ours = Watched::ours(&folder, "");
    let config = folder.file("broker.conf");
    let config = config.to_str().expect("text");
    let url = format!("http://127.0.0.1:{}", ours.pages);
    let fine = (format!("{url} OK\n"), 0);
    assert_eq!(check(&["--config", config]), fine);
    assert_eq!(check(&["--url", &url, "--connections", "0", "--routes", "0"]), fine);
    let (text, code) = check(&["--url", &url, "--routes", "1"]);
    let reason = "connected to 0 other brokers instead of 1";
    assert_eq!((text, code), (format!("{url} {reason}\n"), 1));
    let (text, code) = check(&["--url", &url, "--uptime", "1d", "--json"]);
    let verdict: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &verdict["healthy"]), (1, &false.into()));
    assert_eq!(verdict["broker"]["server_name"], "localhost");
    // A nats-server can be judged as well.
    let other = format!("http://127.0.0.1:{}", theirs.pages);
    assert_eq!(check(&["--url", &other]), (format!("{other} OK\n"), 0));
    drop(theirs);
    let (text, code) = check(&["--url", &other]);
    assert_eq!(code, 1);
    assert!(text.starts_with(&format!("{other} cannot be asked: ")), "{text}");
}

/// Two brokers that are connected to each other without TLS between them.
fn cluster(folder: [&Folder; 2]) -> [Watched; 2] {
    let ports = [free_port(), free_port()];
    let lines = |index: usize| {
        format!(
            "identity = b{index}.example.net\nplugin.choria.network.peer_tls = false\n\
             plugin.choria.network.peer_port = {}\n\
             plugin.choria.network.peers = 127.0.0.1:{}\n",
            ports[index],
            ports[1 - index]
        )
    };
    [0, 1].map(|index| Watched::ours(folder[index], &lines(index)))
}

#[test]
fn a_cluster_answers_together() {
    let folders = [Folder::new("monitoring-b0"), Folder::new("monitoring-b1")];
    let brokers = cluster([&folders[0], &folders[1]]);
    for broker in &brokers {
        wait_for("a route", || (broker.json("/varz")["routes"] == 1).then_some(()));
    }
    let routes = brokers[0].json("/routez");
    assert_eq!(routes["num_routes"], 1);
    assert_eq!(routes["routes"][0]["remote_name"], "b1.example.net");
    let metrics = brokers[0].page("/metrics").2;
    assert!(
        metrics.contains("choria_network_remotes{identity=\"b0.example.net\"} 1\n"),
        "{metrics}"
    );
    let url = format!("http://127.0.0.1:{}", brokers[0].pages);
    assert_eq!(check(&["--url", &url, "--routes", "1"]), (format!("{url} OK\n"), 0));
    with_executor(async |executor| {
        let node = brokers[1].connect(&executor, None).await;
        let system = brokers[0].connect(&executor, Some("watcher")).await;
        let inbox = system.new_inbox();
        let mut answers = system.subscribe(&inbox, None).expect("valid");
        let payload = br#"{"auth":true}"#;
        let sent = system.publish_with("$SYS.REQ.SERVER.PING.CONNZ", Some(&inbox), None, payload);
        sent.await.expect("sent");
        let both = [next(&mut answers, "an answer").await, next(&mut answers, "another").await];
        let names: Vec<_> = both.iter().map(|answer| answer["server"]["name"].as_str()).collect();
        assert!(names.contains(&Some("b0.example.net")) && names.contains(&Some("b1.example.net")));
        let users = both.iter().map(|answer| &answer["data"]["connections"][0]["authorized_user"]);
        assert!(users.clone().any(|user| user == "node1.example.net"));
        assert!(users.clone().any(|user| user == "watcher"));
        // One of them, by its number, from the other side.
        let id = brokers[1].json("/varz")["server_id"].as_str().expect("text").to_owned();
        let one = ask(&system, &format!("$SYS.REQ.SERVER.{id}.ROUTEZ"), "").await;
        assert_eq!(one["data"]["routes"][0]["remote_name"], "b0.example.net");
        drop(node);
    });
}
