use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, CNAME, SRV};

use super::*;

const NAME: &str = "b.example.net";

fn reply(id: u16, name: &'static str, wanted: Wanted) -> Packet<'static> {
    let mut packet = Packet::new_reply(id);
    let kind = QTYPE::TYPE(wanted.record_type());
    let question =
        Question::new(Name::new(name).expect("name"), kind, QCLASS::CLASS(CLASS::IN), false);
    packet.questions.push(question);
    packet
}

fn record(name: &'static str, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(name).expect("name"), CLASS::IN, 60, data)
}

fn alias(name: &'static str) -> RData<'static> {
    RData::CNAME(CNAME(Name::new(name).expect("name")))
}

fn decode_packet(packet: &Packet<'_>, wanted: Wanted) -> Answer {
    decode(&packet.build_bytes_vec().expect("encodes"), 7, NAME, wanted)
}

#[test]
fn a_question_can_be_read_back() {
    let bytes = encode(0x1234, "_mcollective-server._tcp.example.net", Wanted::Srv).expect("ok");
    let packet = Packet::parse(&bytes).expect("parses");
    assert_eq!(packet.id(), 0x1234);
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert!(!packet.has_flags(PacketFlag::RESPONSE));
    assert_eq!(packet.opt().map(|opt| opt.udp_packet_size), Some(1232));
    assert_eq!(packet.questions.len(), 1);
}

#[test]
fn names_that_are_not_names_are_refused() {
    for name in ["", "a b", "a\\b", "ü.example", "a..b", &"a".repeat(64), &"abc.".repeat(70)] {
        assert_eq!(encode(1, name, Wanted::A), None, "{name}");
    }
}

#[test]
fn answers_to_other_questions_are_passed_over() {
    let check = |packet: &Packet<'_>, wanted| {
        assert_eq!(decode_packet(packet, wanted), Answer::NotOurs);
    };
    check(&reply(8, NAME, Wanted::A), Wanted::A);
    check(&reply(7, "c.example.net", Wanted::A), Wanted::A);
    check(&reply(7, NAME, Wanted::Aaaa), Wanted::A);
    check(&Packet::new_reply(7), Wanted::A);
    let mut echo = reply(7, NAME, Wanted::A);
    echo.remove_flags(PacketFlag::RESPONSE);
    check(&echo, Wanted::A);
}

#[test]
fn aliases_are_followed_inside_the_answer_only_as_far_as_allowed() {
    let address = RData::A(A { address: 0x0a00_0001 });
    let mut packet = reply(7, NAME, Wanted::A);
    packet.answers.push(record("other.example.net", address.clone()));
    assert_eq!(decode_packet(&packet, Wanted::A), Answer::Records(Records::Addresses(Vec::new())));
    packet.answers.push(record(NAME, alias("C.example.net")));
    assert_eq!(
        decode_packet(&packet, Wanted::A),
        Answer::Records(Records::Alias("c.example.net".into()))
    );
    packet.answers.push(record("c.example.net", address));
    assert_eq!(
        decode_packet(&packet, Wanted::A),
        Answer::Records(Records::Addresses(vec!["10.0.0.1".parse().expect("ip")]))
    );
    let mut circle = reply(7, NAME, Wanted::A);
    circle.answers.push(record(NAME, alias("c.example.net")));
    circle.answers.push(record("c.example.net", alias(NAME)));
    assert!(matches!(decode_packet(&circle, Wanted::A), Answer::Records(_)));
}

#[test]
fn a_service_that_is_not_offered_and_useless_records_are_left_out() {
    let srv = |port, target: &'static str| {
        RData::SRV(SRV { priority: 1, weight: 2, port, target: Name::new(target).expect("name") })
    };
    let mut packet = reply(7, NAME, Wanted::Srv);
    for data in [srv(1, ""), srv(0, "x.example"), srv(3, "a b.example"), srv(4222, "b1.example")] {
        packet.answers.push(record(NAME, data));
    }
    let expected = Srv { target: "b1.example".into(), port: 4222, priority: 1, weight: 2 };
    assert_eq!(
        decode_packet(&packet, Wanted::Srv),
        Answer::Records(Records::Services(vec![expected]))
    );
}

#[test]
fn damaged_answers_never_panic() {
    let mut packet = reply(7, NAME, Wanted::A);
    packet.answers.push(record(NAME, alias("c.example.net")));
    packet.answers.push(record("c.example.net", RData::A(A { address: 1 })));
    let whole = packet.build_bytes_vec_compressed().expect("encodes");
    for end in 0..whole.len() {
        decode(&whole[..end], 7, NAME, Wanted::A);
    }
    let mut generator = fastrand::Rng::with_seed(11);
    for _ in 0..50_000 {
        let mut bytes = whole.clone();
        for _ in 0..generator.usize(1..6) {
            let at = generator.usize(0..bytes.len());
            bytes[at] = generator.u8(..);
        }
        decode(&bytes, 7, NAME, Wanted::A);
    }
    let noise: Vec<u8> = (0..600).map(|_| generator.u8(..)).collect();
    decode(&noise, 7, NAME, Wanted::Srv);
    assert_eq!(decode(&[0xff; 12], 7, NAME, Wanted::A), Answer::NotOurs);
}
