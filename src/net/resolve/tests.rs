use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use simple_dns::rdata::{A, AAAA, CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::*;

/// A name server on loopback that answers from a script, over UDP and TCP.
struct TestServer {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
}

impl TestServer {
    fn start(ip: &str) -> Self {
        let questions = Arc::new(AtomicUsize::new(0));
        // The TCP port must be the UDP port: retry until both are free.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((ip, 0)).expect("a port is free");
            let address = udp.local_addr().expect("bound");
            if let Ok(tcp) = crate_listen(address) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("bound");
        let counter = questions.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((count, peer)) = udp.recv_from(&mut buffer) {
                counter.fetch_add(1, Ordering::SeqCst);
                for answer in answers(&buffer[..count], false) {
                    let _ = udp.send_to(&answer, peer);
                }
            }
        });
        thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            for mut socket in tcp.incoming().flatten() {
                let mut length = [0; 2];
                socket.read_exact(&mut length).expect("length");
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                socket.read_exact(&mut question).expect("question");
                for answer in answers(&question, true) {
                    let length = u16::try_from(answer.len()).expect("short");
                    let _ = socket.write_all(&[&length.to_be_bytes(), &answer[..]].concat());
                }
            }
        });
        Self { address, questions }
    }

    fn asked(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

#[allow(clippy::disallowed_methods, reason = "a test server with one client")]
fn crate_listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
}

fn answers(question: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    let packet = Packet::parse(question).expect("the resolver sends good questions");
    let asked = packet.questions[0].clone();
    let name = asked.qname.to_string();
    let mut reply = Packet::new_reply(packet.id());
    reply.questions.push(asked.clone());
    let mut add = |owner: &str, data: RData<'static>| {
        let owner = Name::new(owner).expect("name").into_owned();
        reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 60, data));
    };
    let owned = |name: &str| Name::new(name).expect("name").into_owned();
    let srv = |priority, port, target: &str| {
        RData::SRV(SRV { priority, weight: 1, port, target: owned(target) })
    };
    match (name.as_str(), asked.qtype) {
        ("both.example", QTYPE::TYPE(TYPE::A)) => add(&name, RData::A(A { address: 0x0a00_0001 })),
        ("both.example", QTYPE::TYPE(TYPE::AAAA)) => add(&name, RData::AAAA(AAAA { address: 1 })),
        ("short.search.example", QTYPE::TYPE(TYPE::A)) => {
            add(&name, RData::A(A { address: 0x0a00_0002 }));
        }
        ("alias.example", _) => add(&name, RData::CNAME(CNAME(owned("both.example")))),
        ("circle1.example", _) => add(&name, RData::CNAME(CNAME(owned("circle2.example")))),
        ("circle2.example", _) => add(&name, RData::CNAME(CNAME(owned("circle1.example")))),
        ("_s._tcp.example", QTYPE::TYPE(TYPE::SRV)) => {
            add(&name, srv(20, 2, "b2.example."));
            add(&name, srv(10, 1, "b1.example."));
        }
        ("_big._tcp.example", QTYPE::TYPE(TYPE::SRV)) if tcp => {
            (1..=100).for_each(|port| add(&name, srv(1, port, "b1.example")));
        }
        ("_big._tcp.example", _) => reply.set_flags(PacketFlag::TRUNCATION),
        ("fail.example", _) => *reply.rcode_mut() = RCODE::ServerFailure,
        ("silent.example", _) => return Vec::new(),
        ("forged.example", QTYPE::TYPE(TYPE::A)) => {
            let good = ("both.example", RData::A(A { address: 0x0a00_0003 }));
            let mut forged = Packet::new_reply(packet.id().wrapping_add(1));
            forged.questions.push(asked.clone());
            add(&name, good.1);
            return vec![
                forged.build_bytes_vec().expect("encodes"),
                b"\xff\xff noise".to_vec(),
                reply.build_bytes_vec().expect("encodes"),
            ];
        }
        ("both.example" | "forged.example" | "empty.example", _) => {}
        _ => *reply.rcode_mut() = RCODE::NameError,
    }
    vec![reply.build_bytes_vec_compressed().expect("encodes")]
}

/// A resolver that asks `server` only, with its files in a fresh directory.
fn resolver(test: &str, port: u16, conf: &str) -> Resolver {
    let folder = std::env::temp_dir().join(format!("choria-resolve-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("folder");
    let settings =
        Settings { resolv_conf: folder.join("resolv.conf"), hosts: folder.join("hosts"), port };
    std::fs::write(&settings.resolv_conf, conf).expect("written");
    std::fs::write(&settings.hosts, "192.0.2.7 listed.example listed\n").expect("written");
    Resolver::new(settings)
}

const CONF: &str = "nameserver 127.0.0.1\nsearch search.example\noptions timeout:1 attempts:1\n";

#[test]
fn addresses_come_from_literals_hosts_and_both_families() {
    let server = TestServer::start("127.0.0.1");
    let resolver = resolver("addresses", server.address.port(), CONF);
    let check = |name: &str, expected: Result<&[&str], Kind>| {
        let found = smol::block_on(resolver.lookup_ip(name)).map_err(|error| error.kind);
        let found = found.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(found, expected.map(|list| list.iter().map(ToString::to_string).collect()));
    };
    check("192.0.2.1", Ok(&["192.0.2.1"]));
    check("[::1]", Ok(&["::1"]));
    check("localhost", Ok(&["127.0.0.1", "::1"]));
    check("LISTED", Ok(&["192.0.2.7"]));
    assert_eq!(server.asked(), 0);
    check("both.example", Ok(&["10.0.0.1", "::1"]));
    check("both.example.", Ok(&["10.0.0.1", "::1"]));
    check("short", Ok(&["10.0.0.2"]));
    check("alias.example", Ok(&["10.0.0.1", "::1"]));
    check("forged.example", Ok(&["10.0.0.3"]));
    check("missing.example", Err(Kind::NoSuchName));
    check("empty.example.", Err(Kind::NoRecords));
    check("circle1.example", Err(Kind::AliasChain));
    check("a b", Err(Kind::BadName));
}

#[test]
fn srv_records_are_sorted_cached_and_read_over_tcp_when_cut() {
    let server = TestServer::start("127.0.0.1");
    let resolver = resolver("srv", server.address.port(), CONF);
    let lookup = |name: &str| smol::block_on(resolver.lookup_srv(name));
    for _ in 0..3 {
        let found = lookup("_s._tcp.example").expect("found");
        assert_eq!(
            found.iter().map(|srv| srv.target.as_str()).collect::<Vec<_>>(),
            ["b1.example", "b2.example"]
        );
    }
    assert_eq!(server.asked(), 1, "answers are cached");
    assert_eq!(lookup("_big._tcp.example.").expect("found").len(), 100);
    assert_eq!(lookup("_none._tcp.example").expect_err("missing").kind, Kind::NoSuchName);
    let asked = server.asked();
    assert!(lookup("_none._tcp.example").is_err());
    assert_eq!(server.asked(), asked, "negative answers are cached");
}

#[test]
fn the_next_server_is_asked_when_one_fails_or_is_silent() {
    let good = TestServer::start("127.0.0.1");
    let port = good.address.port();
    // Nobody listens on 127.0.0.9: refused at once.
    let conf = "nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    let found = smol::block_on(resolver("next", port, conf).lookup_ip("both.example"));
    assert_eq!(found.expect("second server answers").len(), 2);
    let failing = smol::block_on(resolver("next", port, CONF).lookup_ip("fail.example"));
    assert_eq!(
        failing.expect_err("fails").to_string(),
        "cannot resolve \"fail.example\": name server 127.0.0.1 says ServerFailure"
    );
    let started = Instant::now();
    let silent = smol::block_on(resolver("next", port, CONF).lookup_ip("silent.example"));
    assert_eq!(silent.expect_err("no answer").kind, Kind::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(4));
}
