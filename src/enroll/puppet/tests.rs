use std::net::UdpSocket;
use std::thread;

use simple_dns::rdata::{RData, SRV};
use simple_dns::{CLASS, Name, Packet, RCODE, ResourceRecord};

use super::*;
use crate::enroll::tests::Folder;
use crate::net::resolve;

/// A name server that knows where the CA of two domains is: one by Choria's name, one by Puppet's.
fn name_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut room = [0; 2048];
        while let Ok((count, peer)) = socket.recv_from(&mut room) {
            let asked = Packet::parse(&room[..count]).unwrap();
            let name = asked.questions[0].qname.to_string();
            let mut reply = Packet::new_reply(asked.id());
            reply.questions.push(asked.questions[0].clone());
            let found: &[(u16, &str, u16)] = match name.as_str() {
                "_x-puppet-ca._tcp.one.example" => {
                    &[(20, "second.one.example", 8142), (10, "ca.one.example", 8141)]
                }
                "_x-puppet._tcp.one.example" => &[(1, "puppet.one.example", 8140)],
                "_x-puppet._tcp.two.example" => &[(1, "puppet.two.example", 8143)],
                _ => &[],
            };
            for (priority, target, port) in found.iter().copied() {
                let target = Name::new(target).unwrap().into_owned();
                let data = RData::SRV(SRV { priority, weight: 1, port, target });
                let owner = Name::new(&name).unwrap().into_owned();
                reply.answers.push(ResourceRecord::new(owner, CLASS::IN, 60, data));
            }
            if found.is_empty() {
                *reply.rcode_mut() = RCODE::NameError;
            }
            let _ = socket.send_to(&reply.build_bytes_vec().unwrap(), peer);
        }
    });
    port
}

#[test]
fn the_ca_is_where_the_first_name_that_resolves_says() {
    let folder = Folder::new();
    let conf = folder.path("resolv.conf");
    std::fs::write(&conf, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let hosts = folder.path("hosts");
    std::fs::write(&hosts, "").unwrap();
    let port = name_server();
    let resolver = Resolver::new(resolve::Settings { resolv_conf: conf, hosts, port });
    for (domain, host, port) in [
        (Some("one.example"), "ca.one.example", 8141),
        (Some(".one.example."), "ca.one.example", 8141),
        (Some("two.example"), "puppet.two.example", 8143),
        (Some("three.example"), "configured", 8140),
        (None, "configured", 8140),
    ] {
        let location = Location {
            host: "configured".to_owned(),
            port: 8140,
            srv_domain: domain.map(str::to_owned),
            resolver: resolver.clone(),
        };
        assert_eq!(smol::block_on(location.find()), (host.to_owned(), port), "{domain:?}");
    }
}
