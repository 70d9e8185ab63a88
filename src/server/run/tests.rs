use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::*;
use crate::nats::client::{Initial, Options};
use crate::net::servers::{Server, ServerList};
use crate::protocol::event;
use crate::protocol::{Reply, Request, Transport, v1};
use crate::server::Presence;
use crate::server::authorization::Authorization;
use crate::server::gate::Limits;
use crate::server::settings::ConfigItems;
use crate::server::testing;
use crate::server::{classes::Classes, facts::Facts};

/// What a server did to its broker.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Subscribe(String),
    Unsubscribe,
    Publish(String, Vec<u8>),
}

/// On a port the system chooses.
fn listener() -> TcpListener {
    let listener = crate::sys::listen("127.0.0.1:0".parse().unwrap(), 8).unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

const PATIENCE: Duration = Duration::from_secs(10);

/// A broker for one connection: greets, answers pings, tells what it sees.
struct FakeBroker {
    port: u16,
    seen: flume::Receiver<Seen>,
    socket: flume::Receiver<TcpStream>,
}

impl FakeBroker {
    fn start() -> FakeBroker {
        let listener = listener();
        let port = listener.local_addr().unwrap().port();
        let (tell, seen) = flume::unbounded();
        let (hand_over, socket) = flume::unbounded();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {\"server_id\":\"x\",\"version\":\"2.14.0\",\"max_payload\":1048576,\"headers\":true}\r\n").unwrap();
            hand_over.send(stream.try_clone().unwrap()).unwrap();
            converse(stream, &tell);
        });
        FakeBroker { port, seen, socket }
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).unwrap()
    }

    /// Subject and payload of the next publish, whatever else comes before it. Alive events do not count: the first
    /// one is due at once in one start of thirty.
    fn next_publish(&self) -> (String, Vec<u8>) {
        loop {
            match self.next() {
                Seen::Publish(subject, payload) if !subject.contains(".alive.") => {
                    return (subject, payload);
                }
                _ => {}
            }
        }
    }
}

fn converse(mut stream: TcpStream, tell: &flume::Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => stream.write_all(b"PONG\r\n").unwrap(),
            ["SUB", subject, .., _sid] => {
                tell.send(Seen::Subscribe((*subject).to_owned())).unwrap()
            }
            ["UNSUB", ..] => tell.send(Seen::Unsubscribe).unwrap(),
            ["PUB", subject, .., length] => {
                let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).unwrap();
                payload.truncate(payload.len() - 2);
                tell.send(Seen::Publish((*subject).to_owned(), payload)).unwrap();
            }
            _ => {}
        }
        line.clear();
    }
}

fn settings(port: u16, executor: &Arc<Executor<'static>>) -> Settings {
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", port)]);
    let mut connection = Options::new(servers, executor.clone());
    connection.initial = Initial::Forever;
    // The broker here takes one connection: a slow machine must not need a second attempt.
    connection.connect_timeout = PATIENCE;
    Settings {
        identity: "node1.example.net".to_owned(),
        collectives: ["one", "two", "one"].map(str::to_owned).to_vec(),
        main_collective: "one".to_owned(),
        config_file: "server.conf".into(),
        facts: Facts::from_files(Vec::new()),
        classes: Classes::fixed(Vec::new()),
        config_items: ConfigItems::new(|_| None),
        authorization: Authorization::Off,
        audit: None,
        status: None,
        registration: None,
        legacy_lifecycle_format: false,
        presence: Presence::default(),
        service_host: false,
        renewal: None,
        soft_shutdown: Duration::from_secs(2),
        limits: Limits::default(),
        connection,
        security: testing::provider("node1.example.net"),
        workers: testing::workers(),
    }
}

/// A server on its own thread; `change` is applied to its settings.
fn start(
    port: u16,
    change: impl FnOnce(&mut Settings),
) -> (Shutdown, std::thread::JoinHandle<Result<(), Error>>) {
    let executor = Arc::new(Executor::new());
    let mut settings = settings(port, &executor);
    change(&mut settings);
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let thread = std::thread::spawn(move || {
        smol::block_on(executor.run(run(settings, executor.clone(), stop)))
    });
    (shutdown, thread)
}

#[test]
fn a_server_subscribes_answers_and_says_goodbye() {
    let broker = FakeBroker::start();
    let (shutdown, thread) = start(broker.port, |_| {});
    let mut subjects = Vec::new();
    let startup = loop {
        match broker.next() {
            Seen::Subscribe(subject) => subjects.push(subject),
            Seen::Publish(subject, payload) => break (subject, payload),
            Seen::Unsubscribe => panic!("unsubscribed while starting"),
        }
    };
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "one.broadcast.agent.choria_policy",
            "one.broadcast.agent.choria_util",
            "one.broadcast.agent.discovery",
            "one.broadcast.agent.rpcutil",
            "one.node.node1.example.net",
            "two.broadcast.agent.choria_policy",
            "two.broadcast.agent.choria_util",
            "two.broadcast.agent.discovery",
            "two.broadcast.agent.rpcutil",
            "two.node.node1.example.net",
        ]
    );
    assert_eq!(startup.0, "choria.lifecycle.event.startup.server");
    assert_eq!(event::Event::decode(&startup.1).unwrap().version, VERSION);

    let caller = "choria=alice.mcollective";
    let mut request = Request::new("rpcutil", "two", "shell", caller, SystemTime::now());
    request.message = json!({"agent": "rpcutil", "action": "ping"}).to_string().into_bytes();
    let alice = testing::provider("alice.mcollective");
    let message = alice.encode_request(&request, "two.reply.x.1").unwrap().encode();
    let mut socket = broker.socket.recv_timeout(PATIENCE).unwrap();
    let head = format!("MSG two.node.node1.example.net 1 {}\r\n", message.len());
    socket.write_all(&[head.as_bytes(), &message, b"\r\n"].concat()).unwrap();
    let (subject, reply) = broker.next_publish();
    assert_eq!(subject, "two.reply.x.1");
    let transport = Transport::decode(&reply).unwrap();
    let secure = v1::SecureReply::decode(&transport.data).unwrap();
    let reply = Reply::decode(transport.version, secure.message.as_bytes()).unwrap();
    assert_eq!(reply.request_id, request.id);

    shutdown.trigger();
    assert_eq!(broker.next_publish().0, "choria.lifecycle.event.shutdown.server");
    assert!(thread.join().unwrap().is_ok());
    let rest = std::iter::from_fn(|| broker.seen.recv_timeout(PATIENCE).ok());
    let left = rest.filter(|seen| *seen == Seen::Unsubscribe).count();
    assert_eq!(left, 10);
}

#[test]
fn what_cannot_work_is_refused_before_connecting() {
    let check = |change: fn(&mut Settings), text: &str| {
        let (_, thread) = start(1, change);
        assert_eq!(thread.join().unwrap().unwrap_err().to_string(), text);
    };
    check(|s| s.collectives.clear(), "cannot start: no collectives are configured");
    check(
        |s| s.identity = "a b".to_owned(),
        "cannot start: identity \"a b\" cannot be part of a subject",
    );
    check(
        |s| s.collectives.push("x.*".to_owned()),
        "cannot start: collective \"x.*\" cannot be part of a subject",
    );
    check(|s| s.service_host = true, "cannot start as service host: there are no service agents");
}

#[test]
fn a_server_that_finds_no_broker_can_be_stopped() {
    // A port that nobody listens on: bound, then released.
    let port = listener().local_addr().unwrap().port();
    let (shutdown, thread) = start(port, |_| {});
    std::thread::sleep(Duration::from_millis(50));
    shutdown.trigger();
    assert!(thread.join().unwrap().is_ok());
}
