//! One question as bytes, and what an answer to it says. Pure; answers come from anybody and are trusted in nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::net::resolve::Srv;

/// The largest UDP answer asked for: fits any path without fragments (DNS flag day 2020).
pub(super) const UDP_BYTES_MAX: usize = 1232;
/// Most CNAME steps followed inside one answer, and most further questions they may cause.
pub(super) const CNAME_STEPS_MAX: usize = 8;
/// Most records used of one answer.
const RECORDS_MAX: usize = 256;
/// Bytes of a DNS header; smallest question and record.
const HEADER_BYTES: usize = 12;
const QUESTION_BYTES_MIN: usize = 5;
const RECORD_BYTES_MIN: usize = 11;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    A,
    Aaaa,
    Srv,
}

impl Wanted {
    fn record_type(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Srv => TYPE::SRV,
        }
    }
}

/// The useful content of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Records {
    Addresses(Vec<IpAddr>),
    Services(Vec<Srv>),
    /// The name is another name for this one, about which the answer says nothing.
    Alias(String),
}

/// What a packet that came back means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not an answer to our question: keep waiting.
    NotOurs,
    /// Ask again over TCP.
    Truncated,
    /// The name does not exist.
    NoSuchName,
    /// The server cannot or will not answer: ask another. Holds its reason.
    Unable(String),
    Records(Records),
}

/// The bytes of a question, `None` when `name` cannot be a DNS name.
pub(super) fn encode(id: u16, name: &str, wanted: Wanted) -> Option<Vec<u8>> {
    if name.split('.').any(str::is_empty) || !name.bytes().all(is_plain) {
        return None;
    }
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    let kind = QTYPE::TYPE(wanted.record_type());
    packet.questions.push(Question::new(name, kind, QCLASS::CLASS(CLASS::IN), false));
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: u16::try_from(UDP_BYTES_MAX).unwrap_or(512),
        version: 0,
    });
    packet.build_bytes_vec().ok()
}

/// Letters, digits, and what service names and sloppy host names use.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Reads `bytes` as the answer to the question `(id, name, wanted)`.
pub(super) fn decode(bytes: &[u8], id: u16, name: &str, wanted: Wanted) -> Answer {
    if !counts_are_possible(bytes) {
        return Answer::NotOurs;
    }
    // A cut answer may end in the middle of a record, so its header is looked at first.
    let truncated = bytes.get(2).is_some_and(|flags| flags & 0x02 != 0);
    let Ok(packet) = Packet::parse(bytes) else {
        let same_id = bytes.get(..2).is_some_and(|raw| raw == id.to_be_bytes());
        return if truncated && same_id { Answer::Truncated } else { Answer::NotOurs };
    };
    if !answers_question(&packet, id, name, wanted) {
        return Answer::NotOurs;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Answer::Truncated;
    }
    match packet.rcode() {
        RCODE::NoError => Answer::Records(collect(&packet, name, wanted)),
        RCODE::NameError => Answer::NoSuchName,
        other => Answer::Unable(format!("{other:?}")),
    }
}

/// Whether the record counts of the header can be true: they decide how much the parser reserves.
fn counts_are_possible(bytes: &[u8]) -> bool {
    let count = |at: usize| match bytes.get(at..at + 2) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let records = count(6) + count(8) + count(10);
    bytes.len() >= HEADER_BYTES + count(4) * QUESTION_BYTES_MIN + records * RECORD_BYTES_MIN
}

fn answers_question(packet: &Packet<'_>, id: u16, name: &str, wanted: Wanted) -> bool {
    packet.id() == id
        && packet.has_flags(PacketFlag::RESPONSE)
        && packet.questions.len() == 1
        && packet.questions.first().is_some_and(|question| {
            question.qtype == QTYPE::TYPE(wanted.record_type())
                && question.qclass == QCLASS::CLASS(CLASS::IN)
                && text_of(&question.qname).is_some_and(|text| text.eq_ignore_ascii_case(name))
        })
}

/// Follows aliases inside the answer and takes what was asked for at the end of the chain.
fn collect(packet: &Packet<'_>, name: &str, wanted: Wanted) -> Records {
    let mut current = name.to_ascii_lowercase();
    for _ in 0..CNAME_STEPS_MAX {
        let next = packet.answers.iter().take(RECORDS_MAX).find_map(|record| match &record.rdata {
            RData::CNAME(alias) if is_named(&record.name, &current) => text_of(&alias.0),
            _ => None,
        });
        match next {
            Some(next) => current = next.to_ascii_lowercase(),
            None => break,
        }
    }
    let records: Vec<&RData<'_>> = packet
        .answers
        .iter()
        .take(RECORDS_MAX)
        .filter(|record| record.class == CLASS::IN && is_named(&record.name, &current))
        .map(|record| &record.rdata)
        .collect();
    let found = of_type(&records, wanted);
    let empty = match &found {
        Records::Addresses(list) => list.is_empty(),
        Records::Services(list) => list.is_empty(),
        Records::Alias(_) => false,
    };
    if empty && !current.eq_ignore_ascii_case(name) { Records::Alias(current) } else { found }
}

fn of_type(records: &[&RData<'_>], wanted: Wanted) -> Records {
    match wanted {
        Wanted::Srv => Records::Services(records.iter().filter_map(|data| service(data)).collect()),
        Wanted::A | Wanted::Aaaa => Records::Addresses(
            records
                .iter()
                .filter_map(|data| match (data, wanted) {
                    (RData::A(a), Wanted::A) => Some(Ipv4Addr::from(a.address).into()),
                    (RData::AAAA(aaaa), Wanted::Aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
                    _ => None,
                })
                .collect(),
        ),
    }
}

/// An SRV record that names a host; target `.` says that the service is not offered.
fn service(data: &RData<'_>) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    let target = text_of(&srv.target).filter(|target| !target.is_empty())?;
    (srv.port != 0).then_some(Srv {
        target,
        port: srv.port,
        priority: srv.priority,
        weight: srv.weight,
    })
}

fn is_named(name: &Name<'_>, expected: &str) -> bool {
    text_of(name).is_some_and(|text| text.eq_ignore_ascii_case(expected))
}

/// A name as text without final dot; `None` when a label holds bytes that no host or service name uses.
fn text_of(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.iter() {
        let bytes = label.as_ref();
        if bytes.contains(&b'.') || !bytes.iter().copied().all(is_plain) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(bytes).ok()?);
    }
    Some(text)
}

#[cfg(test)]
mod tests;
