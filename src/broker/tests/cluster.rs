//! Brokers with routes to each other, and routes by hand.

use super::tls::Pki;
use super::*;
use crate::broker::ClusterSettings;
use crate::net::servers::{Server, ServerList};

/// A broker of a cluster that dials the others. They need not be there yet.
fn member(name: &str, peers: &[SocketAddr]) -> Broker {
    let mut settings = settings();
    settings.server_name = name.to_owned();
    settings.cluster = Some(cluster_settings(peers));
    start(settings)
}

fn cluster_settings(peers: &[SocketAddr]) -> ClusterSettings {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = |address: &SocketAddr| Server::nats(address.ip().to_string(), address.port());
    let peers = ServerList::fixed(peers.iter().map(server).collect());
    let retry = Duration::from_millis(50);
    ClusterSettings { retry, ..ClusterSettings::new(listen, peers) }
}

/// An address that is known before the broker is there.
fn free_address() -> SocketAddr {
    let reserved = crate::sys::listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("listen");
    reserved.local_addr().expect("address")
}

fn routes_of(broker: &Broker) -> SocketAddr {
    broker.cluster_addr().expect("it listens for others")
}

fn wait_for_routes(broker: &Broker, count: usize) {
    eventually("routes", || broker.routes().len() == count);
}

/// Waits until others want so much.
fn wait_for_interest(broker: &Broker, count: u64) {
    let sum = || broker.routes().iter().map(|route| route.subscriptions).sum::<u64>();
    eventually("interest", || sum() == count);
}

#[test]
fn messages_cross_one_route_in_both_directions() {
    let one = member("one", &[]);
    let mut early = Peer::open(&one);
    early.send("SUB early.* 1\r\n");
    early.sync();
    let two = member("two", &[routes_of(&one)]);
    wait_for_routes(&one, 1);
    wait_for_interest(&two, 1);
    let mut other = Peer::open(&two);
    other.send("SUB late 7\r\nPUB early.bird r 5\r\nhello\r\nHPUB early.hat 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
    early.expect("MSG early.bird 1 r 5\r\nhello\r\n");
    early.expect("HMSG early.hat 1 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
    wait_for_interest(&one, 1);
    early.send("PUB late 2\r\nhi\r\nPUB early.own 0\r\n\r\n");
    other.expect("MSG late 7 2\r\nhi\r\n");
    early.expect("MSG early.own 1 0\r\n\r\n");
    other.expect_silence();
    other.send("UNSUB 7\r\n");
    wait_for_interest(&one, 0);
    early.send("PUB late r 0\r\n\r\n");
    early.expect_silence();
    let route = one.routes().remove(0);
    assert_eq!((route.remote_name.as_str(), route.did_solicit), ("two", false));
    assert!(two.routes()[0].did_solicit && two.routes()[0].is_configured);
}

#[test]
fn requests_are_answered_from_elsewhere_or_refused_at_once() {
    let one = member("one", &[]);
    let two = member("two", &[routes_of(&one)]);
    wait_for_routes(&one, 1);
    let mut service = Peer::open(&one);
    service.send("SUB service q 1\r\n");
    wait_for_interest(&two, 1);
    let mut client = Peer::open(&two);
    client.send("SUB inbox.* 1\r\nPUB service inbox.1 3\r\nask\r\n");
    service.expect("MSG service 1 inbox.1 3\r\nask\r\n");
    // The interest in the inbox came before the request.
    service.send("PUB inbox.1 6\r\nanswer\r\n");
    client.expect("MSG inbox.1 1 6\r\nanswer\r\n");
    client.send("PUB nobody inbox.2 0\r\n\r\n");
    let text = "NATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n";
    client.expect(&format!("HMSG inbox.2 1 {0} {0}\r\n{text}\r\n", text.len()));
}

#[test]
fn a_chain_becomes_a_mesh_and_nothing_comes_twice() {
    let first = member("first", &[]);
    let second = member("second", &[routes_of(&first)]);
    let third = member("third", &[routes_of(&second)]);
    let all = [&first, &second, &third];
    all.iter().for_each(|broker| wait_for_routes(broker, 2));
    let mut peers: Vec<Peer> = all.iter().map(|broker| Peer::open(broker)).collect();
    peers.iter_mut().for_each(|peer| peer.send("SUB news 1\r\nPING\r\n"));
    peers.iter_mut().for_each(|peer| peer.expect("PONG\r\n"));
    all.iter().for_each(|broker| wait_for_interest(broker, 2));
    for at in 0..3 {
        peers[at].send("PUB news 1\r\nx\r\n");
        peers.iter_mut().for_each(|peer| peer.expect("MSG news 1 1\r\nx\r\n"));
    }
    peers.iter_mut().for_each(Peer::expect_silence);
}

#[test]
fn groups_are_served_by_weight_and_once() {
    let one = member("one", &[]);
    let two = member("two", &[routes_of(&one)]);
    wait_for_routes(&one, 1);
    let mut here = Peer::open(&one);
    let mut there = Peer::open(&two);
    here.send("SUB work q 1\r\n");
    there.send("SUB work q 1\r\nSUB work q 2\r\nSUB * q 3\r\nSUB work other 4\r\nSUB work 5\r\n");
    here.sync();
    there.sync();
    wait_for_interest(&one, 4);
    const COUNT: usize = 1000;
    here.send(&"PUB work r 2\r\nhi\r\n".repeat(COUNT));
    here.send("PUB work 4\r\nlast\r\nPING\r\n");
    let mut got = [0; 6];
    while got[5] <= COUNT {
        let line = there.line();
        if let Some(rest) = line.strip_prefix("MSG work ") {
            let sid = usize::from(rest.as_bytes()[0] - b'0');
            got[sid] += 1;
        }
    }
    eventually("all of them", || {
        let mut mine = 0;
        loop {
            match here.line().as_str() {
                "PONG" => break,
                line => mine += usize::from(line.starts_with("MSG work 1 ")),
            }
        }
        got[0] = mine;
        true
    });
    // The rest of the last message's deliveries.
    there.send("PING\r\n");
    loop {
        match there.line().as_str() {
            "PONG" => break,
            line => {
                if let Some(rest) = line.strip_prefix("MSG work ") {
                    got[usize::from(rest.as_bytes()[0] - b'0')] += 1;
                }
            }
        }
    }
    assert_eq!((got[5], got[4]), (COUNT + 1, COUNT + 1));
    assert_eq!(got[0] + got[1] + got[2] + got[3], COUNT + 1, "{got:?}");
    for share in &got[..4] {
        assert!((COUNT / 6..COUNT / 3).contains(share), "{got:?}");
    }
}

#[test]
fn a_lost_broker_takes_its_interest_along_and_returns() {
    let one = member("one", &[]);
    let address = routes_of(&one);
    let two = member("two", &[address]);
    wait_for_routes(&one, 1);
    let mut there = Peer::open(&two);
    there.send("SUB a 1\r\nSUB b q 2\r\nSUB c.> 3\r\n");
    wait_for_interest(&one, 3);
    drop(two);
    wait_for_routes(&one, 0);
    let mut here = Peer::open(&one);
    here.send("SUB r 1\r\nPUB a r 0\r\n\r\nPUB b r 0\r\n\r\nPUB c.d r 0\r\n\r\n");
    for _ in 0..3 {
        assert!(here.line().starts_with("HMSG r 1 "));
        for _ in 0..4 {
            here.line();
        }
    }
    let again = member("two", &[address]);
    wait_for_routes(&one, 1);
    wait_for_interest(&again, 1);
    let mut there = Peer::open(&again);
    there.send("SUB a 9\r\n");
    wait_for_interest(&one, 1);
    here.send("PUB a 0\r\n\r\n");
    there.expect("MSG a 9 0\r\n\r\n");
}

#[test]
fn a_broker_among_its_own_peers_is_no_trouble() {
    let address = free_address();
    let mut settings = settings();
    let mut cluster = cluster_settings(&[address]);
    cluster.listen = address;
    settings.cluster = Some(cluster);
    let one = start(settings);
    let two = member("two", &[address, address]);
    wait_for_routes(&one, 1);
    wait_for_routes(&two, 1);
    std::thread::sleep(SILENCE);
    assert_eq!((one.routes().len(), two.routes().len()), (1, 1));
}

#[test]
fn two_that_dial_each_other_agree_on_one_route() {
    let first = member("first", &[]);
    let mut settings = settings();
    settings.server_name = "second".to_owned();
    let address = free_address();
    let mut cluster = cluster_settings(&[routes_of(&first)]);
    cluster.listen = address;
    settings.cluster = Some(cluster);
    let third = member("third", &[address, routes_of(&first)]);
    let second = start(settings);
    let all = [&first, &second, &third];
    eventually("a mesh that stays", || {
        let is_mesh = || all.iter().all(|broker| broker.routes().len() == 2);
        is_mesh() && {
            std::thread::sleep(SILENCE);
            is_mesh()
        }
    });
}

/// A route by hand.
fn route(broker: &Broker) -> Peer {
    let mut peer = route_socket(broker);
    assert!(peer.line().starts_with("INFO {"));
    peer
}

fn route_socket(broker: &Broker) -> Peer {
    let socket = TcpStream::connect(routes_of(broker)).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    Peer { socket, kept: Vec::new() }
}

const CONNECT: &str = "CONNECT {\"verbose\":false,\"headers\":true,\"cluster\":\"CHORIA\"}\r\n";
const INFO: &str = "INFO {\"server_id\":\"X\",\"server_name\":\"x\",\"version\":\"2.9.0\",\"proto\":1,\"host\":\"h\",\
    \"port\":1,\"headers\":true,\"max_payload\":1048576,\"cluster\":\"CHORIA\"}\r\n";

#[test]
fn who_is_not_a_broker_of_this_cluster_is_told_so() {
    let broker = member("one", &[]);
    let info = |field: &str| format!("{CONNECT}{}", INFO.replace("\"proto\":1", field));
    for (sent, expected) in [
        (
            "CONNECT {\"lang\":\"go\"}\r\n".to_owned(),
            "-ERR 'attempted to connect to route port'\r\n",
        ),
        (
            "CONNECT {\"gateway\":\"G\"}\r\n".to_owned(),
            "-ERR 'Rejecting connection from gateway \"G\" on the Route port'\r\n",
        ),
        (
            "CONNECT {\"cluster\":\"C\"}\r\n".to_owned(),
            "-ERR 'Rejecting connection, cluster name \"C\" does not match \"CHORIA\"'\r\n",
        ),
        ("PING\r\n".to_owned(), "-ERR 'Authorization Violation'\r\n"),
        (INFO.to_owned(), "-ERR 'Authorization Violation'\r\n"),
        (format!("{CONNECT}RS+ choria a\r\n"), "-ERR 'Authorization Violation'\r\n"),
        (
            info("\"route_account\":\"choria\""),
            "-ERR 'Not possible to have a dedicated route for account \"choria\" between those servers'\r\n",
        ),
        (info("\"headers\":false"), ""),
        (format!("{CONNECT}INFO []\r\n"), ""),
        (format!("{CONNECT}INFO {{}}\r\n"), ""),
        ("PUB a 0\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'\r\n"),
    ] {
        let mut peer = route(&broker);
        peer.send(&sent);
        peer.expect_end(expected);
    }
    assert_eq!(broker.routes(), []);
}

#[test]
fn messages_of_a_route_reach_whom_they_name() {
    let broker = member("one", &[]);
    let mut client = Peer::open(&broker);
    client.send("SUB s 1\r\nSUB s q 2\r\nSUB s p 3\r\n");
    client.sync();
    let mut peer = route(&broker);
    peer.send(&format!("{CONNECT}{INFO}PING\r\n"));
    let mut told: Vec<String> = (0..3).map(|_| peer.line()).collect();
    if told.contains(&"PONG".to_owned()) {
        told.retain(|line| line != "PONG");
        told.push(peer.line());
    } else {
        peer.expect("PONG\r\n");
    }
    told.sort_unstable();
    assert_eq!(told, ["RS+ choria s", "RS+ choria s p 1", "RS+ choria s q 1"]);
    peer.send(
        "RMSG choria s 2\r\nhi\r\nRMSG choria s | q 2\r\nhi\r\nRMSG choria s + r p x 2\r\nhi\r\n",
    );
    client.expect("MSG s 1 2\r\nhi\r\n");
    client.expect("MSG s 1 2\r\nhi\r\nMSG s 2 2\r\nhi\r\n");
    client.expect("MSG s 1 r 2\r\nhi\r\nMSG s 3 r 2\r\nhi\r\n");
    peer.send("LMSG o choria s 0 2\r\nhi\r\nRMSG nowhere s 2\r\nhi\r\nHMSG choria s r 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    client.expect("MSG s 1 2\r\nhi\r\nHMSG s 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    peer.send("RS+ choria t q 1\r\nRS+ choria t p 1\r\nRS+ choria t\r\nRS+ nowhere t\r\nPING\r\n");
    peer.expect("PONG\r\n");
    client.send("PUB t r 2\r\nhi\r\nHPUB t 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    let line = peer.line();
    assert!(
        ["RMSG choria t + r q p 2", "RMSG choria t + r p q 2"].contains(&line.as_str()),
        "{line}"
    );
    peer.expect("hi\r\n");
    let line = peer.line();
    assert!(
        ["HMSG choria t | q p 12 14", "HMSG choria t | p q 12 14"].contains(&line.as_str()),
        "{line}"
    );
    peer.expect("NATS/1.0\r\n\r\nhi\r\n");
    peer.send("RS- choria t q\r\nRS- choria t p\r\nPING\r\n");
    peer.expect("PONG\r\n");
    client.send("PUB t r 2\r\nhi\r\nPUB u 2\r\nhi\r\n");
    peer.expect("RMSG choria t r 2\r\nhi\r\n");
    peer.expect_silence();
    client.expect_silence();
    // One hop only: the other broker has told everybody itself.
    peer.send("RMSG choria t 2\r\nhi\r\n");
    peer.expect_silence();
}

/// A broker at 127.0.0.NUMBER that encrypts its routes and has a certificate for that address and for its name.
fn encrypted(pki: &Pki, number: u8, peers: &[SocketAddr]) -> Broker {
    let (name, ip) = (format!("b{number}.example"), [127, 0, 0, number]);
    let issue = || pki.issue_for(&name, ip.into());
    let (server, client) = (pki.server_as(issue()), pki.client(Some(issue())));
    let mut settings = settings();
    settings.server_name.clone_from(&name);
    settings.tls = Some(server);
    let mut cluster = cluster_settings(peers);
    cluster.listen = SocketAddr::from((ip, 0));
    cluster.tls = Some(client);
    settings.cluster = Some(cluster);
    start(settings)
}

#[test]
fn brokers_of_an_encrypted_chain_learn_whom_they_may_let_in() {
    let pki = Pki::new();
    // The addresses are known before the brokers are, for each knows only its neighbours.
    let first = encrypted(&pki, 1, &[SocketAddr::from(([127, 0, 0, 2], 1))]);
    let second = encrypted(&pki, 2, &[routes_of(&first), SocketAddr::from(([127, 0, 0, 3], 1))]);
    let third = encrypted(&pki, 3, &[routes_of(&second)]);
    let all = [&first, &second, &third];
    all.iter().for_each(|broker| wait_for_routes(broker, 2));
    // Its certificate is good, but nobody knows its name.
    let stranger = encrypted(&pki, 4, &[routes_of(&first)]);
    std::thread::sleep(SILENCE * 5);
    assert_eq!(stranger.routes(), []);
    all.iter().for_each(|broker| assert_eq!(broker.routes().len(), 2));
}

#[test]
fn who_encrypts_and_who_does_not_have_no_route() {
    let pki = Pki::new();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let encrypted = encrypted(&pki, 1, &[address]);
    let plain = member("plain", &[routes_of(&encrypted)]);
    let mut peer = route_socket(&encrypted);
    peer.send(CONNECT);
    peer.expect_end("");
    std::thread::sleep(SILENCE * 5);
    assert_eq!((encrypted.routes(), plain.routes()), (vec![], vec![]));
}

#[test]
fn clients_hear_of_brokers_that_come_and_go() {
    let advertising = |name: &str, peers: &[SocketAddr]| {
        let mut settings = settings();
        settings.server_name = name.to_owned();
        settings.advertise = Some((format!("{name}.example"), 4222));
        let cluster = ClusterSettings { advertise_clients: true, ..cluster_settings(peers) };
        settings.cluster = Some(cluster);
        start(settings)
    };
    let one = advertising("one", &[]);
    let mut client = Peer::with(&one, "\"protocol\":1");
    let urls = |peer: &mut Peer| {
        let line = peer.line();
        let json = line.strip_prefix("INFO ").expect("INFO");
        ServerInfo::decode(json.as_bytes()).expect("JSON").connect_urls
    };
    assert_eq!(urls(&mut client), Vec::<String>::new());
    let two = advertising("two", &[routes_of(&one)]);
    assert_eq!(urls(&mut client), ["one.example:4222", "two.example:4222"]);
    // The other side of the route may be known a moment later.
    let both = ["two.example:4222", "one.example:4222"];
    eventually("addresses", || Peer::raw(&two).1.connect_urls == both);
    two.lame_duck();
    assert_eq!(urls(&mut client), Vec::<String>::new());
    drop(two);
    assert_eq!(urls(&mut client), Vec::<String>::new());
}

#[test]
fn credentials_are_given_and_demanded() {
    let with = |user: &str, password: &str, peers: &[SocketAddr]| {
        let mut settings = settings();
        let mut cluster = cluster_settings(peers);
        cluster.user = user.to_owned();
        cluster.password = crate::util::secret::Secret::new(password.to_owned());
        settings.cluster = Some(cluster);
        start(settings)
    };
    let one = with("u", "secret", &[]);
    let stranger = with("u", "other", &[routes_of(&one)]);
    let friend = with("u", "secret", &[routes_of(&one)]);
    wait_for_routes(&friend, 1);
    // It asks again and again, and has a route until the refusal comes.
    wait_for_routes(&stranger, 0);
    wait_for_routes(&one, 1);
    let mut peer = route(&one);
    peer.send(CONNECT);
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
}

#[test]
fn a_hostile_broker_is_bounded() {
    let mut settings = settings();
    let mut cluster = cluster_settings(&[]);
    cluster.interests_max = 10;
    cluster.limits.payload_bytes_max = 100;
    settings.cluster = Some(cluster);
    let broker = start(settings);
    let up = || {
        let mut peer = route(&broker);
        peer.send(&format!("{CONNECT}{INFO}PING\r\n"));
        peer.expect("PONG\r\n");
        peer
    };
    let mut peer = up();
    for subject in 0..11 {
        peer.send(&format!("RS+ choria s.{subject}\r\nRS+ choria s.{subject}\r\n"));
    }
    peer.expect_end("-ERR 'maximum subscriptions exceeded'\r\n");
    wait_for_routes(&broker, 0);
    let mut peer = up();
    peer.send("RMSG choria s 101\r\n");
    peer.expect_end("-ERR 'Maximum Payload Violation'\r\n");
    wait_for_routes(&broker, 0);
    let mut peer = up();
    peer.send(&format!("RS+ choria {}", "s".repeat(70_000)));
    peer.expect_end("-ERR 'maximum control line exceeded'\r\n");
    wait_for_routes(&broker, 0);
    let mut peer = up();
    peer.send("RS+ choria a..b\r\nRS+ choria >.a\r\nRS- choria a\r\nPING\r\n");
    peer.expect("PONG\r\n");
    assert_eq!(broker.routes()[0].subscriptions, 0);
}
