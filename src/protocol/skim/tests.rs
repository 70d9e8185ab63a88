use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::protocol::{Filter, Transport, Version};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_750_000_000)
}

fn request(message: &[u8]) -> Request {
    let mut request =
        Request::new("registration", "mcollective", "n1.example.net", "choria=n1", now());
    request.message = message.to_vec();
    request
}

/// A transport around the text of a secure request.
fn wrapped(secure: Vec<u8>) -> Vec<u8> {
    let mut transport = Transport::new(Version::V1, secure, "n1.example.net");
    transport.reply_to = Some("dev.null".to_owned());
    transport.encode()
}

fn secured(text: &str) -> Vec<u8> {
    let secure = v1::SecureRequest {
        message: text.to_owned(),
        signature: "c2ln".to_owned(),
        pubcert: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned(),
    };
    secure.encode().expect("valid")
}

fn sealed(request: &Request) -> Vec<u8> {
    wrapped(secured(&request.encode().expect("valid")))
}

/// What the decoders of the envelopes read.
fn decoded(transport: &[u8]) -> Option<Request> {
    let transport = Transport::decode(transport).ok()?;
    let secure = v1::SecureRequest::decode(&transport.data).ok()?;
    Request::decode(Version::V1, secure.message.as_bytes()).ok()
}

/// Says whether it was skimmed; what is must be what the decoders read.
fn check(transport: &[u8]) -> bool {
    let mut skimmer = Skimmer::default();
    let Some(skimmed) = skimmer.request(transport) else { return false };
    let expected = decoded(transport).expect("what is skimmed is good");
    let text = std::str::from_utf8(&expected.message).expect("text");
    let message = String::from_utf8_lossy(skimmed.message).into_owned();
    assert_eq!(format!("\"{message}\""), json::encode_string(&text));
    assert_eq!(Request { message: expected.message.clone(), ..skimmed.request }, expected);
    true
}

#[test]
fn the_usual_form_is_read_as_the_decoders_read_it() {
    for message in [
        r#"{"n":1,"a":"b"}"#,
        "x",
        "ping\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}",
        r#"C:\path\"quoted" \\ \u0041"#,
        "<b>&amp;</b> \u{2028}\u{2029}",
        "Grüße \u{1f600}",
        r"\",
        r#"""""""#,
        r"\\\\",
    ] {
        assert!(check(&sealed(&request(message.as_bytes()))), "{message}");
    }
    let long = "\"x\" ".repeat(100_000);
    assert!(check(&sealed(&request(long.as_bytes()))));
    let mut filtered = request(b"{}");
    filtered.filter = Filter::default();
    filtered.filter.add_class("/we\"b\\/");
    assert!(check(&sealed(&filtered)));
}

#[test]
fn every_length_is_read() {
    for size in 1..100 {
        for fill in ["a", "\"", "\\", "\n", "ü"] {
            assert!(check(&sealed(&request(fill.repeat(size).as_bytes()))), "{size} {fill}");
        }
    }
}

#[test]
fn other_forms_are_left_to_the_decoders() {
    let text = request(b"{}").encode().expect("valid");
    let secure = String::from_utf8(secured(&text)).expect("text");
    assert!(check(&wrapped(secure.clone().into_bytes())));
    for (from, to) in [
        // Good, and different.
        (r#"\"message\":\"{}"#, r#"\"message\":\"\u0041"#),
        (r#"\"message\":\"{}"#, r#"\"message\":\"\\u0041"#),
        (r#"\"message\":\"{}"#, r#"\"message\":\"\\/"#),
        (r#"\"message\":\"{}"#, r#"\"message\":\"<"#),
        (r#"{\"protocol"#, r#"{ \"protocol"#),
        (r#"\"envelope\""#, r#"\"x\":1,\"envelope\""#),
        (r#","signature""#, r#" ,"signature""#),
        (r#","signature""#, r#","x":1,"signature""#),
        // Bad.
        (r#"\"message\":\"{}"#, r#"\"message\":\""#),
        (r#"\"message\":\"{}"#, "\\\"message\\\":\\\"\u{1}"),
        (r#"\"envelope\":"#, "\\\"envelope\\\":\n"),
        (r#"\"envelope\""#, r#"\"message\":\"x\",\"envelope\""#),
        (r#","signature""#, r#","message":"x","signature""#),
        (r#""signature":"c2ln""#, r#""signature":"""#),
        (r#"\"ttl\":60"#, r#"\"ttl\":1"#),
        (r#"\"agent\":\"registration\""#, r#"\"agent\":\"\""#),
    ] {
        assert!(secure.contains(from), "{from} in {secure}");
        assert!(!check(&wrapped(secure.replacen(from, to, 1).into_bytes())), "{to}");
    }
    let transport = String::from_utf8(wrapped(secure.into_bytes())).expect("text");
    for (from, to) in [
        (r#""data":"#, r#""x":1,"data":"#),
        (r#""data":"#, r#""data":"","data":"#),
        (r#","headers":"#, r#"=","headers":"#),
        (r#","headers":{"#, r#","headers":["#),
        (r#"}}"#, "}} "),
        (r#"}}"#, r#"},"data":""}"#),
        ("choria:transport:1", "choria:transport:2"),
    ] {
        assert!(!check(transport.replacen(from, to, 1).as_bytes()), "{to}");
    }
}

#[test]
fn what_is_skimmed_is_always_what_the_decoders_read() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let good = secured(&request(br#"{"a":"b\\","c":[1,"<>"]}"#).encode().expect("valid"));
    let bytes = br#"\"ntu08{}<:,x"#;
    let mut skimmed = 0;
    for _ in 0..20_000 {
        let mut text = good.clone();
        for _ in 0..random.usize(0..3) {
            let at = random.usize(..text.len());
            match random.u8(..3) {
                0 => text[at] = random.u8(..),
                1 => text[at] = bytes[random.usize(..bytes.len())],
                _ => text.insert(at, bytes[random.usize(..bytes.len())]),
            }
        }
        skimmed += usize::from(check(&wrapped(text)));
    }
    assert!(skimmed > 5_000, "{skimmed}");
}
