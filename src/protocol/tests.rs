//! All decoders over damaged captures of the reference implementation.

use super::event::Event;
use super::rpc::{ReplyBody, RequestBody};
use super::v1::{SecureReply, SecureRequest};
use super::*;

fn captures() -> Vec<(String, Vec<u8>)> {
    captures_of("v1")
}

fn captures_of(version: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/testdata/wire/{version}", env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".json") && !name.ends_with(".meta.json") {
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() > 12, "only {} captures", found.len());
    found
}

/// Each capture, its secure envelope, its request or reply, and its body.
fn layers() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, bytes) in captures() {
        if let Ok(transport) = Transport::decode(&bytes) {
            if let Ok(secure) = SecureRequest::decode(&transport.data) {
                let request = Request::decode(Version::V1, secure.message.as_bytes()).unwrap();
                all.push((format!("{name} payload"), request.payload()));
                all.push((format!("{name} request"), secure.message.into_bytes()));
            } else {
                let secure = SecureReply::decode(&transport.data).unwrap();
                let reply = Reply::decode(Version::V1, secure.message.as_bytes()).unwrap();
                all.push((format!("{name} message"), reply.message));
                all.push((format!("{name} reply"), secure.message.into_bytes()));
            }
            all.push((format!("{name} secure"), transport.data));
        }
        all.push((name, bytes));
    }
    all
}

/// The same of version 2.
fn layers_of_v2() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, bytes) in captures_of("v2") {
        let transport = Transport::decode(&bytes).unwrap();
        let inner = match v2::SecureRequest::decode(&transport.data) {
            Ok(secure) => secure.request,
            Err(_) => v2::SecureReply::decode(&transport.data).unwrap().reply,
        };
        all.push((format!("{name} inner"), inner));
        all.push((format!("{name} secure"), transport.data));
        all.push((name, bytes));
    }
    all
}

/// Runs every decoder; what one reads must survive being written and read again.
fn decode_all(bytes: &[u8]) -> usize {
    let mut read = 0;
    if let Ok(value) = Transport::decode(bytes) {
        assert_eq!(Transport::decode(&value.encode()), Ok(value));
        read += 1;
    }
    if let Ok(value) = SecureRequest::decode(bytes) {
        assert_eq!(SecureRequest::decode(&value.encode().unwrap()), Ok(value));
        read += 1;
    }
    if let Ok(value) = SecureReply::decode(bytes) {
        assert_eq!(SecureReply::decode(&value.encode()), Ok(value));
        read += 1;
    }
    if let Ok(value) = Request::decode(Version::V1, bytes) {
        let text = value.encode().unwrap();
        assert_eq!(Request::decode(Version::V1, text.as_bytes()), Ok(value));
        read += 1;
    }
    if let Ok(value) = Reply::decode(Version::V1, bytes) {
        let text = value.encode().unwrap();
        assert_eq!(Reply::decode(Version::V1, text.as_bytes()), Ok(value));
        read += 1;
    }
    if let Ok(value) = v2::SecureRequest::decode(bytes) {
        assert_eq!(v2::SecureRequest::decode(&value.encode().unwrap()), Ok(value));
        read += 1;
    }
    if let Ok(value) = v2::SecureReply::decode(bytes) {
        assert_eq!(v2::SecureReply::decode(&value.encode()), Ok(value));
        read += 1;
    }
    if let Ok(value) = Request::decode(Version::V2, bytes) {
        let text = value.encode().unwrap();
        assert_eq!(Request::decode(Version::V2, text.as_bytes()), Ok(value));
        read += 1;
    }
    if let Ok(value) = Reply::decode(Version::V2, bytes) {
        let text = value.encode().unwrap();
        assert_eq!(Reply::decode(Version::V2, text.as_bytes()), Ok(value));
        read += 1;
    }
    if let Ok(value) = RequestBody::decode(bytes) {
        assert_eq!(RequestBody::decode(&value.encode()), Ok(value));
        read += 1;
    }
    if let Ok(value) = ReplyBody::decode(bytes) {
        assert_eq!(ReplyBody::decode(&value.encode()), Ok(value));
        read += 1;
    }
    if let Ok(value) = Event::decode(bytes) {
        assert_eq!(Event::decode(&value.encode("2026-11-22T16:59:36Z")), Ok(value));
        read += 1;
    }
    read
}

#[test]
fn lifecycle_events_encode_to_the_same_bytes() {
    let mut seen = 0;
    for (name, bytes) in captures().into_iter().filter(|(name, _)| name.starts_with("lifecycle")) {
        let event = Event::decode(&bytes).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let time = value["time"].as_str().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&event.encode(time)),
            String::from_utf8_lossy(&bytes),
            "{name}"
        );
        assert!(name.contains(event.kind.name()));
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn bodies_of_captured_messages() {
    for (name, bytes) in layers() {
        if name.contains("discovery")
            || name.contains("ping.")
            || name.starts_with("federated_ping")
        {
            continue;
        }
        if name.starts_with("rpcutil") && name.ends_with("payload") {
            let body = RequestBody::decode(&bytes).unwrap();
            assert_eq!(body.agent, "rpcutil", "{name}");
            assert_eq!(body.encode(), bytes, "{name}");
        }
        if name.starts_with("rpcutil") && name.ends_with("message") {
            let body = ReplyBody::decode(&bytes).unwrap();
            let failed = name.contains("get_data_error");
            assert_eq!(body.statuscode.is_ok(), !failed, "{name}");
        }
    }
}

#[test]
fn damaged_messages_never_panic() {
    const SEED: u64 = 0x5eed_2026;
    const ROUNDS: usize = 60;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut read = 0;
    for (name, bytes) in layers().into_iter().chain(layers_of_v2()) {
        for _ in 0..ROUNDS {
            let mut damaged = bytes.clone();
            for _ in 0..random.usize(1..4) {
                damage(&mut damaged, &mut random);
            }
            let result = std::panic::catch_unwind(|| decode_all(&damaged));
            read += result.unwrap_or_else(|_| panic!("seed {SEED}: {name}: {damaged:?}"));
        }
    }
    assert!(read > 100, "only {read} damaged messages were read: the damage is too great");
}

#[test]
fn every_cut_is_refused() {
    let (_, bytes) = captures().into_iter().find(|(name, _)| name == "ping.reply.json").unwrap();
    for end in 0..bytes.len() {
        assert!(Transport::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const INSERTS: [&[u8]; 10] =
        [b"\"", b"\\", b"{", b"}", b"[[[[[[[[[[[[", b"null", b"1e999", b"\xff", b"\\ud800", b"-"];
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    match random.u8(..6) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes.truncate(at),
        2 => drop(bytes.remove(at)),
        3 => {
            let insert = INSERTS[random.usize(..INSERTS.len())];
            bytes.splice(at..at, insert.iter().copied());
        }
        4 => bytes[at] = b"0123456789:,\" "[random.usize(..14)],
        _ => {
            let end = (at + random.usize(1..60)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}
