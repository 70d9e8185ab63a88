//! Federation: networks that clients of another one reach through federation brokers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use choria::nats::client::{Client as Nats, Options, Subscription};
use choria::net::servers::{Server as Address, ServerList};
use choria::protocol::{Federation, Transport, Version};
use choria::security::{Kind, Provider, Settings};
use serde_json::Value;
use smol::Executor;
use smol::future::FutureExt as _;

use super::support::{
    Broker, Client, DEADLINE, Finished, Folder, NatsServer, Organization, Pki, Process, Server,
    ServerOptions, choria, free_port, run, wait_for,
};

/// Time in which a message that does come has come.
const SILENCE: Duration = Duration::from_millis(300);

/// The lines of a federation broker between two ports of loopback.
fn lines(identity: &str, cluster: &str, federation: u16, collective: u16) -> String {
    format!(
        "identity = {identity}\nloglevel = debug\nplugin.choria.use_srv = false\n\
         plugin.choria.federation.cluster = {cluster}\n\
         plugin.choria.federation_middleware_hosts = localhost:{federation}\n\
         plugin.choria.middleware_hosts = localhost:{collective}\n\
         plugin.choria.network.soft_shutdown_timeout = 2\n"
    )
}

fn secured(lines: &str, identity: &str) -> String {
    format!("{lines}{}", Pki::shared().security_lines(&Pki::shared().leaf(identity)))
}

/// Starts `choria federate` and waits until it takes messages of both sides.
fn federate(folder: &Folder, name: &str, lines: &str) -> Process {
    let mut process = federate_unready(folder, name, lines);
    process.wait_for_line("taking messages subject=choria.federation.");
    wait_for("both sides", || {
        (process.output().matches("taking messages subject").count() >= 2).then_some(())
    });
    process
}

fn federate_unready(folder: &Folder, name: &str, lines: &str) -> Process {
    let config = folder.write(&format!("{name}.conf"), lines);
    let mut command = choria();
    command.args(["federate", "--config"]).arg(config);
    Process::start(command, folder.file(&format!("{name}.log")))
}

/// A client of the federation.
fn client(folder: &Folder, port: u16, federations: &str) -> FederatedClient {
    let lines = format!(
        "identity = shell.example.net\nplugin.choria.use_srv = false\nloglevel = warn\n\
         plugin.choria.federation.collectives = {federations}\n\
         plugin.choria.federation_middleware_hosts = localhost:{port}\n\
         plugin.choria.middleware_hosts = localhost:1\n"
    );
    let config = folder.write("federated.conf", &secured(&lines, "alice.mcollective"));
    FederatedClient { config }
}

struct FederatedClient {
    config: PathBuf,
}

impl FederatedClient {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = choria();
        command.args(args).arg("--config").arg(&self.config);
        command.env("MCOLLECTIVE_CERTNAME", "alice.mcollective");
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        run(self.command(args), "")
    }

    fn found(&self, args: &[&str]) -> Vec<String> {
        let done = self.run(&[&["find"], args].concat());
        assert_eq!(done.code, 0, "{done:?}");
        let mut names: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Asks everybody, who must be so many and all answer.
    fn ask(&self, count: usize) {
        let done = self.run(&["rpc", "rpcutil", "ping", "--json"]);
        assert_eq!(done.code, 0, "{done:?}");
        let document: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!(document["request_stats"]["ok"], count, "{document}");
        assert_eq!(document["request_stats"]["unexpected_responses"], serde_json::json!([]));
    }
}

/// The body of a status page.
fn page(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("pages are served");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("text");
    text
}

fn start_server(folder: &Folder, identity: &str, port: u16) -> Server {
    Server::start(folder, identity, port, &ServerOptions::default())
}

/// Runs a test with connections to brokers of the shared authority.
fn with_connections<F: AsyncFnOnce(Vec<Nats>)>(ports: &[u16], test: F) {
    let executor = Arc::new(Executor::new());
    let leaf = Pki::shared().leaf("alice.mcollective");
    let mut settings = Settings::new(Kind::File, "alice.mcollective");
    settings.certificate.clone_from(&leaf.certificate);
    settings.key.clone_from(&leaf.key);
    settings.ca.clone_from(&Pki::shared().ca);
    let provider = Provider::open(settings).expect("certificates are there");
    let tls = provider.client_tls().expect("TLS");
    smol::block_on(executor.run(async {
        let mut clients = Vec::new();
        for port in ports {
            let brokers = ServerList::fixed(vec![Address::nats("localhost", *port)]);
            let mut options = Options::new(brokers, executor.clone());
            options.tls = Some(tls.clone());
            clients.push(Nats::connect(options).await.expect("connects"));
        }
        test(clients).await;
    }));
}

/// The next message within a time.
async fn next(subscription: &mut Subscription, limit: Duration) -> Option<(String, Vec<u8>)> {
    let message = async { subscription.next().await };
    let late = async {
        smol::Timer::after(limit).await;
        None
    };
    message.or(late).await.map(|message| (message.subject, message.payload))
}

#[test]
fn a_client_reaches_every_node_of_three_networks() {
    let folders = ["top", "a", "b", "c"].map(|name| Folder::new(&format!("federation_{name}")));
    let [top, a, b, c] = &folders;
    let federation = Broker::start(top);
    let first = Broker::start(a);
    let second = NatsServer::start(b, NatsServer::SYSTEM);
    // The third network has its federation broker inside its broker.
    let pages = free_port();
    let third = Broker::start_with(
        c,
        &format!(
            "plugin.choria.broker_federation = true\nplugin.choria.federation.cluster = c\n\
             plugin.choria.federation_middleware_hosts = localhost:{}\n\
             plugin.choria.stats_port = {pages}\n",
            federation.port
        ),
    );
    let join = |folder: &Folder, name: &str, port: u16| {
        let identity = format!("fed-{name}.example.net");
        let lines = lines(&identity, name, federation.port, port);
        federate(folder, &identity, &secured(&lines, &identity))
    };
    let _brokers = [join(a, "a", first.port), join(b, "b", second.port)];
    let _servers = [
        start_server(a, "n1.a.example.net", first.port),
        start_server(b, "n1.b.example.net", second.port),
        start_server(b, "n2.b.example.net", second.port),
        start_server(c, "n1.c.example.net", third.port),
    ];
    wait_for("the third to take part", || {
        let healthy = page(pages, "/metrics").matches("choria_federation_connected").count() >= 4;
        healthy.then_some(())
    });

    // A name that stands there twice does not double requests.
    let client = client(top, federation.port, "a, b,c,a");
    let all = ["n1.a.example.net", "n1.b.example.net", "n1.c.example.net", "n2.b.example.net"];
    assert_eq!(client.found(&[]), all);
    assert_eq!(client.found(&["--federations", "b"]), ["n1.b.example.net", "n2.b.example.net"]);
    let mut command = client.command(&["find", "--federations", "b"]);
    command.env("CHORIA_FED_COLLECTIVE", "c, a");
    let mut names: Vec<_> = run(command, "").stdout.lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["n1.a.example.net", "n1.c.example.net"], "the environment wins");
    client.ask(4);
    let done = client.run(&["ping", "--expect", "4"]);
    assert_eq!(done.code, 0, "{done:?}");
    for args in [
        &["inventory", "n1.c.example.net"][..],
        &["facts", "absent"],
        &["rpc", "rpcutil", "ping", "-I", "n2.b.example.net"],
    ] {
        let done = client.run(args);
        assert_eq!(done.code, 0, "{done:?}");
    }
    check_trace(&client);
    let figures = page(pages, "/metrics");
    for part in [
        "choria_federation_published_msgs{cluster=\"c\",connected_to=\"collective\",identity=\"localhost\",name=\"nats_egest\",worker=\"0\"} ",
        "choria_federation_received_msgs{cluster=\"c\",connected_to=\"unconnected\",identity=\"localhost\",name=\"choria_reply_transformer\",worker=\"0\"} ",
        "choria_federation_time_count{",
        "choria_federation_errors{",
        "choria_network_connections{",
    ] {
        assert!(figures.contains(part), "no {part} in {figures}");
    }
}

/// Every hop of a request and its reply, with times.
fn check_trace(client: &FederatedClient) {
    let done = client.run(&["federate", "trace", "n1.b.example.net", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let document: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let node = &document["nodes"][0];
    assert_eq!(node["sender"], "n1.b.example.net");
    let hops = node["hops"].as_array().expect("hops");
    let names: Vec<_> = hops.iter().map(|hop| hop["by"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        names,
        ["shell.example.net", "fed-b.example.net", "n1.b.example.net", "fed-b.example.net"]
    );
    let via = hops[1]["via"].as_array().expect("steps");
    for (step, name) in
        via.iter().zip(["choria_nats_ingest:", "choria_request_transformer:", "choria_nats_egest:"])
    {
        assert!(step.as_str().is_some_and(|step| step.starts_with(name)), "{hops:?}");
    }
    for hop in &hops[1..] {
        assert!(hop["took_us"].is_u64() && hop["at_us"].is_i64(), "{hops:?}");
    }
    let done = client.run(&["federate", "trace", "-A", "rpcutil", "--limit", "4"]);
    assert_eq!((done.code, done.stdout.matches("-> server").count()), (0, 4), "{done:?}");
}

#[test]
fn an_instance_that_is_killed_is_not_missed() {
    let (top, bottom) = (Folder::new("federation_kill"), Folder::new("federation_kill_nodes"));
    let (federation, collective) = (Broker::start(&top), Broker::start(&bottom));
    let start = |number: usize| {
        let identity = format!("fed{number}.example.net");
        let lines = lines(&identity, "eu", federation.port, collective.port);
        federate(&top, &identity, &secured(&lines, &identity))
    };
    let mut first = start(1);
    let mut second = start(2);
    let nodes: Vec<String> = (1..=3).map(|number| format!("n{number}.example.net")).collect();
    let _servers: Vec<_> =
        nodes.iter().map(|name| start_server(&bottom, name, collective.port)).collect();
    let client = client(&top, federation.port, "eu");
    client.ask(3);
    // One request that lasts, and an end without a word in the middle of it.
    thread::scope(|scope| {
        let lasting = scope.spawn(|| {
            client.run(&[
                "rpc",
                "rpcutil",
                "ping",
                "--batch",
                "1",
                "--batch-sleep",
                "1",
                "--timeout",
                "5",
            ])
        });
        thread::sleep(Duration::from_millis(700));
        first.signal("KILL");
        first.wait();
        let done = lasting.join().expect("it ends");
        assert!(done.took < DEADLINE, "{done:?}");
    });
    for _ in 0..5 {
        client.ask(3);
    }
    // Both sides are shared: a new instance takes its part, and the old one may end in peace.
    let mut third = start(3);
    client.ask(3);
    second.signal("TERM");
    assert_eq!(second.wait(), 0, "{}", second.output());
    assert!(second.output().contains("federation: stopped"), "{}", second.output());
    for _ in 0..3 {
        client.ask(3);
    }
    third.signal("TERM");
    assert_eq!(third.wait(), 0);
}

#[test]
fn a_reply_that_is_under_way_at_the_end_arrives() {
    let (top, bottom) = (Folder::new("federation_end"), Folder::new("federation_end_nodes"));
    let (federation, collective) = (Broker::start(&top), Broker::start(&bottom));
    // The only one, so that nobody else carries the reply.
    let text = lines("fed1.example.net", "eu", federation.port, collective.port)
        + "plugin.choria.network.soft_shutdown_timeout = 12\n";
    let mut lone = federate(&top, "fed1", &secured(&text, "fed1.example.net"));
    let server = start_server(&bottom, "n1.example.net", collective.port);
    let client = client(&top, federation.port, "eu");
    let nodes = top.write("nodes.txt", "n1.example.net\n").display().to_string();
    let ask = |timeout: &str| {
        client.run(&["rpc", "rpcutil", "ping", "--nodes", &nodes, "--timeout", timeout])
    };
    // A node that takes its time.
    server.process.signal("STOP");
    thread::scope(|scope| {
        let asked = scope.spawn(|| ask("20"));
        lone.wait_for_line("federation: passing request=");
        lone.signal("TERM");
        lone.wait_for_line("federation: taking no more requests, carrying replies for ");
        server.process.signal("CONT");
        let done = asked.join().expect("it ends");
        assert_eq!(done.code, 0, "{done:?}");
    });
    assert_ne!(ask("1").code, 0, "{}", lone.output());
    assert_eq!(lone.wait(), 0, "{}", lone.output());
    assert!(lone.output().contains("federation: stopped"), "{}", lone.output());
    assert_eq!(lone.output().matches("federation: passing request=").count(), 2);
}

#[test]
fn a_side_that_is_lost_is_left_to_others_and_found_again() {
    let (top, bottom) = (Folder::new("federation_lost"), Folder::new("federation_lost_nodes"));
    let federation = Broker::start(&top);
    let (port, pages) = (free_port(), free_port());
    // Before there is a broker on that side: it goes on trying.
    let text = lines("fed1.example.net", "eu", federation.port, port)
        + &format!("plugin.choria.stats_port = {pages}\n");
    let mut waiting = federate_unready(&top, "waiting", &secured(&text, "fed1.example.net"));
    waiting.wait_for_line("connected side=federation");
    waiting.wait_for_line("no connection try=");
    assert!(page(pages, "/healthz").contains("no connection to its collective side"));
    let collective =
        Broker::start_with(&bottom, &format!("plugin.choria.network.client_port = {port}\n"));
    wait_for("both sides", || {
        (waiting.output().matches("taking messages subject").count() == 2).then_some(())
    });
    let server = start_server(&bottom, "n1.example.net", port);
    let client = client(&top, federation.port, "eu");
    client.ask(1);
    assert!(page(pages, "/healthz").contains("\"ok\""));
    waiting.signal("HUP");
    waiting.wait_for_line("federation: reloading the configuration");
    client.ask(1);
    drop(collective);
    waiting.wait_for_line(
        "leaving messages to others subject=choria.federation.eu.federation lost=collective",
    );
    let _collective =
        Broker::start_with(&bottom, &format!("plugin.choria.network.client_port = {port}\n"));
    wait_for("it to come back", || {
        (waiting.output().matches("taking messages subject").count() == 3).then_some(())
    });
    wait_for("the server to come back", || {
        server.process.output().contains("nats: reconnected").then_some(())
    });
    client.ask(1);
}

#[test]
fn a_request_to_450_nodes_is_three_messages_a_collective() {
    let folder = Folder::new("federation_groups");
    let broker = Broker::start(&folder);
    let names: String = (0..450).map(|number| format!("n{number}.example.net\n")).collect();
    let list = folder.write("nodes.txt", &names);
    let client = client(&folder, broker.port, "eu,us");
    with_connections(&[broker.port], async |clients| {
        let mut asked =
            clients[0].subscribe("choria.federation.*.federation", None).expect("subscribes");
        clients[0].flush(DEADLINE).await.expect("flushes");
        let list = list.to_str().expect("text").to_owned();
        let done = smol::unblock(move || {
            client.run(&["rpc", "rpcutil", "ping", "--nodes", &list, "--timeout", "1"])
        });
        // None of them is there.
        assert_ne!(done.await.code, 0);
        let mut seen = Vec::new();
        while let Some((subject, payload)) = next(&mut asked, SILENCE).await {
            let transport = Transport::decode(&payload).expect("a transport");
            let headers = transport.federation.expect("federated");
            assert!(headers.targets[0].starts_with("mcollective.node.n"), "{headers:?}");
            seen.push((subject, headers.targets.len()));
        }
        let size = |name: &str| -> Vec<usize> {
            let subject = format!("choria.federation.{name}.federation");
            seen.iter().filter(|(to, _)| *to == subject).map(|(_, size)| *size).collect()
        };
        assert_eq!((size("eu"), size("us")), (vec![200, 200, 50], vec![200, 200, 50]));
    });
}

/// A federated request as a client would send it, with changes.
fn request(version: Version, change: impl FnOnce(&mut Transport)) -> Vec<u8> {
    let mut transport = Transport::new(version, b"signed".to_vec(), "shell.example.net");
    transport.reply_to = Some("mcollective.reply.0f.1".to_owned());
    transport.federation = Some(Federation {
        request_id: "a1".to_owned(),
        targets: vec!["mcollective.node.n1".to_owned()],
        ..Federation::default()
    });
    change(&mut transport);
    transport.encode()
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_the_rest_passes() {
    let folders = ["federation_drop", "federation_drop_nodes"].map(Folder::new);
    let (top, bottom) = (Broker::start(&folders[0]), Broker::start(&folders[1]));
    let pages = free_port();
    let text = lines("fed1.example.net", "eu", top.port, bottom.port)
        + &format!("plugin.choria.stats_port = {pages}\n");
    let _broker = federate(&folders[0], "fed1", &secured(&text, "fed1.example.net"));
    let to = "choria.federation.eu.federation";
    let from = "choria.federation.eu.collective";
    let targets = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|&target| target.to_owned()).collect();
        move |transport: &mut Transport| {
            let headers = transport.federation.get_or_insert_default();
            headers.targets = list;
        }
    };
    let saved = |reply: &'static str| {
        move |transport: &mut Transport| {
            transport.reply_to = None;
            transport.federation.get_or_insert_default().reply_to = reply.to_owned();
        }
    };
    with_connections(&[top.port, bottom.port], async |clients| {
        let mut above = clients[0].subscribe(">", None).expect("subscribes");
        let mut below = clients[1].subscribe(">", None).expect("subscribes");
        for client in &clients {
            client.flush(DEADLINE).await.expect("flushes");
        }
        let bad = [
            (0, to, b"nonsense".to_vec()),
            (0, to, request(Version::V1, |transport| transport.federation = None)),
            (0, to, request(Version::V2, targets(&[]))),
            (0, to, request(Version::V1, |transport| transport.reply_to = None)),
            (0, to, request(Version::V1, targets(&["mcollective.node.>", to, "$SYS.node.x"]))),
            (0, to, request(Version::V2, |transport| transport.reply_to = Some(to.to_owned()))),
            (1, from, b"{}".to_vec()),
            (1, from, request(Version::V1, |transport| transport.federation = None)),
            (1, from, request(Version::V2, saved(""))),
            (1, from, request(Version::V1, saved("mcollective.broadcast.agent.x"))),
        ];
        for (side, subject, bytes) in bad {
            clients[side].publish(subject, &bytes).await.expect("publishes");
        }
        // Behind all that is bad comes something good, which is all that passes.
        for version in [Version::V1, Version::V2] {
            let good = request(version, targets(&["mcollective.node.n1", "x.broadcast.agent.y"]));
            clients[0].publish(to, &good).await.expect("publishes");
            let reply = request(version, saved("mcollective.reply.0f.2"));
            clients[1].publish(from, &reply).await.expect("publishes");
        }
        let mut passed = [Vec::new(), Vec::new()];
        for (index, subscription) in [&mut above, &mut below].into_iter().enumerate() {
            while let Some((subject, payload)) = next(subscription, SILENCE).await {
                if subject != to && subject != from {
                    let transport = Transport::decode(&payload).expect("a transport");
                    assert_eq!(transport.data, b"signed");
                    passed[index].push((subject, transport.version, transport.reply_to));
                }
            }
            passed[index]
                .sort_by_key(|(subject, version, _)| (subject.clone(), *version == Version::V2));
        }
        let versions = [Version::V1, Version::V2];
        let reply = Some(from.to_owned());
        let below =
            |subject: &str| versions.map(|version| (subject.to_owned(), version, reply.clone()));
        assert_eq!(
            passed[1],
            [below("mcollective.node.n1"), below("x.broadcast.agent.y")].concat()
        );
        let above =
            versions.map(|version| ("mcollective.reply.0f.2".to_owned(), version, None)).to_vec();
        assert_eq!(passed[0], above);
    });
    let figures = page(pages, "/metrics");
    for (side, reason, count) in [
        ("federation", "unreadable", 1),
        ("federation", "not_federated", 1),
        ("federation", "no_targets", 1),
        ("federation", "no_reply", 1),
        ("federation", "target", 3),
        ("federation", "reply", 1),
        ("collective", "unreadable", 1),
        ("collective", "not_federated", 1),
        ("collective", "no_reply", 1),
        ("collective", "reply", 1),
        ("collective", "unsent", 0),
    ] {
        let line = format!(
            "choria_federation_dropped_msgs{{cluster=\"eu\",connected_to=\"{side}\",identity=\"fed1.example.net\",reason=\"{reason}\"}} {count}\n"
        );
        assert!(figures.contains(&line), "no {line} in {figures}");
    }
}

#[test]
fn networks_with_tokens_are_joined() {
    let folders = ["federation_tokens", "federation_tokens_nodes"].map(Folder::new);
    let [top, bottom] = &folders;
    let organization = Organization::new();
    let federation = organization.broker(top);
    let collective = organization.broker(bottom);
    let login = organization.client_lines(top, "fed=eu", |claims| {
        claims.permissions.fleet_management = false;
        claims.publish = ["*.reply.>", "*.broadcast.>", "*.node.>"].map(str::to_owned).to_vec();
        claims.subscribe = vec!["choria.federation.choria.>".to_owned()];
    });
    let text = lines("fed1.example.net", "choria", federation.port, collective.port) + &login;
    let _broker = federate(top, "fed1", &text);
    let _server = organization.server(bottom, "n1.example.net", collective.port, "country: mt\n");
    let lines = organization.client_lines(top, "up=ann", |_| ()) + &organization.issuer_lines();
    let lines = format!(
        "plugin.choria.federation.collectives = choria\n\
         plugin.choria.federation_middleware_hosts = localhost:{}\n{lines}",
        federation.port
    );
    let client = Client::with_lines(top, 1, "up=ann", &lines);
    let done = client.run(&["rpc", "rpcutil", "inventory", "--json"]);
    let document: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(document["replies"][0]["data"]["facts"]["country"], "mt", "{document}");
    let done = client.run(&["federate", "trace", "n1.example.net"]);
    assert_eq!((done.code, done.stdout.matches("federation broker").count()), (0, 2), "{done:?}");
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let folder = Folder::new("federation_refused");
    let good = secured(&lines("fed1.example.net", "eu", 1, 2), "fed1.example.net");
    let check = |command: &str, text: &str, parts: &[&str]| {
        let config = folder.write("refused.conf", text);
        let mut line = choria();
        line.args([command, "--config"]).arg(&config);
        let done = run(line, "");
        assert_eq!(done.code, 1, "{done:?}");
        for part in parts {
            assert!(done.stderr.contains(part), "no {part} in {done:?}");
        }
    };
    let circle = format!("{good}plugin.choria.federation.collectives = eu\n");
    let parts = ["plugin.choria.federation.collectives is for clients", "in a circle"];
    check("federate", &circle, &parts);
    check("broker", &format!("{circle}plugin.choria.broker_federation = yes\n"), &parts);
    check("broker", &good, &["all broker features are disabled", "broker_federation = true"]);
    check(
        "federate",
        &format!("{good}plugin.choria.federation.cluster = a b\n"),
        &["plugin.choria.federation.cluster"],
    );
    check(
        "federate",
        &format!("{good}plugin.choria.federation_middleware_hosts = f1\n"),
        &["plugin.choria.federation_middleware_hosts"],
    );
    check(
        "federate",
        "identity = x\nplugin.choria.use_srv = no\n",
        &["federation_middleware_hosts"],
    );
    // A client that is in no federation is told so, or reaches nobody.
    let broker = Broker::start(&folder);
    let alice = Client::alice(&folder, broker.port);
    let started = Instant::now();
    let done = alice.run(&["federate", "trace", "n1.example.net", "--timeout", "1"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.contains("this client is in no federation"), "{done:?}");
    assert!(started.elapsed() < DEADLINE);
}
