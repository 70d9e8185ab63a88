use super::*;
use crate::protocol::filter::Operator;

const REPLY_TEXT: &str = r#"{"protocol":"io.choria.protocol.v2.reply","message":"cG9uZw==","request":"0ujtsYcgvSTl8PAuAdqWYSMnLOv","sender":"node1.example.net","agent":"discovery","time":1700000000000000000}"#;
const REQUEST_TEXT: &str = r#"{"protocol":"io.choria.protocol.v2.request","message":"Y0dsdVp3PT0=","id":"0ujtsYcgvSTl8PAuAdqWYSMnLOv","sender":"shell.example.net","caller":"up=alice","collective":"choria","agent":"discovery","ttl":60,"time":1700000000000000005,"filter":{"fact":[],"cf_class":[],"agent":["discovery"],"identity":[],"compound":[]}}"#;

fn decode(text: &str) -> Result<Request, Fault> {
    Request::decode(Version::V2, text.as_bytes())
}

#[test]
fn fixed_reply_vector() {
    let reply = Reply::decode(Version::V2, REPLY_TEXT.as_bytes()).unwrap();
    assert_eq!(
        (reply.message.as_slice(), reply.sender.as_str()),
        (&b"pong"[..], "node1.example.net")
    );
    assert_eq!(reply.encode().unwrap(), REPLY_TEXT);
    let sealed = SecureReply::seal(REPLY_TEXT.into());
    assert_eq!(sealed.hash, "ygb/oYA0icnWdTCiuVnRqsO0JTFQZ7yU8hNc/QkgLdI=");
    let text = sealed.encode();
    assert_eq!(SecureReply::decode(&text), Ok(sealed.clone()));
    let mut altered = sealed.clone();
    altered.reply.push(b' ');
    assert_eq!(SecureReply::decode(&altered.encode()), Err(Fault::Hash));
    let signed =
        SecureReply { signature: Some(vec![7; 64]), sender: Some("a.b.c".to_owned()), ..sealed };
    assert_eq!(SecureReply::decode(&signed.encode()), Ok(signed));
}

#[test]
fn fixed_request_example() {
    let request = decode(REQUEST_TEXT).unwrap();
    assert_eq!((request.caller.as_str(), request.id.len()), ("up=alice", 27));
    assert_eq!(
        (request.message.as_slice(), request.payload().as_slice()),
        (&b"cGluZw=="[..], &b"ping"[..])
    );
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_005);
    assert_eq!(request.time, time);
    assert_eq!(request.encode().unwrap(), REQUEST_TEXT);
}

#[test]
fn schema_limits_hold_when_reading() {
    type Expect = fn(&Fault) -> bool;
    let cases: &[(&str, &str, Expect)] = &[
        ("\"ttl\":60", "\"ttl\":0", |f| *f == Fault::Ttl { secs: 0, least: 1 }),
        ("\"ttl\":60", "\"ttl\":-1", json_fault),
        ("\"ttl\":60,", "", json_fault),
        ("\"ttl\":60,", "\"ttl\":60,\"ttl\":60,", json_fault),
        ("1700000000000000005", "0", |f| matches!(f, Fault::Time { value: 0, .. })),
        ("1700000000000000005", "-5", |f| matches!(f, Fault::Time { value: -5, .. })),
        ("1700000000000000005", "9223372036854775808", json_fault),
        ("Y0dsdVp3PT0=", "", |f| matches!(f, Fault::Empty { field: "message", .. })),
        ("Y0dsdVp3PT0=", "Y0dsdVp3PT0", |f| matches!(f, Fault::Base64 { field: "message", .. })),
        ("0ujtsYcgvSTl8PAuAdqWYSMnLOv", "", |f| matches!(f, Fault::Empty { field: "id", .. })),
        ("shell.example.net", "", |f| matches!(f, Fault::Empty { field: "sender", .. })),
        ("up=alice", "", |f| matches!(f, Fault::Empty { field: "caller", .. })),
        ("\"choria\"", "\"\"", |f| matches!(f, Fault::Empty { field: "collective", .. })),
        ("\"agent\":\"discovery\"", "\"agent\":\"\"", |f| {
            matches!(f, Fault::Empty { field: "agent", .. })
        }),
        ("v2.request", "v2.reply", |f| matches!(f, Fault::Protocol { .. })),
        ("\"fact\":[],", "", json_fault),
        ("\"filter\":{", "\"filter\":null,\"x\":{", json_fault),
        ("\"fact\":[]", r#""fact":[{"fact":"a","operator":"=","value":"b"}]"#, json_fault),
    ];
    for (from, to, expected) in cases {
        assert!(REQUEST_TEXT.contains(from), "{from}");
        let fault = decode(&REQUEST_TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(expected(&fault), "{from} -> {to}: {fault:?}");
    }
    assert!(Request::decode(Version::V1, REQUEST_TEXT.as_bytes()).is_err());
}

fn json_fault(fault: &Fault) -> bool {
    matches!(fault, Fault::Json { layer: Layer::Request, .. })
}

#[test]
fn what_the_schema_leaves_open_is_read() {
    for (from, to) in [
        ("\"agent\":[\"discovery\"],", ""),
        ("\"ttl\":60", "\"ttl\":1"),
        ("0ujtsYcgvSTl8PAuAdqWYSMnLOv", "x"),
        ("\"ttl\":60", "\"ttl\":60,\"later\":{\"a\":[1]}"),
        ("1700000000000000005", "9223372036854775807"),
        (
            r#","filter":{"fact":[],"cf_class":[],"agent":["discovery"],"identity":[],"compound":[]}"#,
            "",
        ),
    ] {
        assert!(REQUEST_TEXT.contains(from), "{from}");
        let text = REQUEST_TEXT.replacen(from, to, 1);
        assert!(decode(&text).is_ok(), "{from} -> {to}: {:?}", decode(&text));
    }
    let bare =
        r#"{"protocol":"io.choria.protocol.v2.reply","message":null,"request":"r","sender":"n"}"#;
    assert!(Reply::decode(Version::V2, bare.as_bytes()).unwrap().message.is_empty());
}

#[test]
fn schema_limits_hold_when_writing() {
    let good = decode(REQUEST_TEXT).unwrap();
    let fault = |change: fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        request.encode().unwrap_err()
    };
    assert_eq!(fault(|r| r.ttl_secs = 0), Fault::Ttl { secs: 0, least: 1 });
    assert!(matches!(fault(|r| r.time = SystemTime::UNIX_EPOCH), Fault::Time { .. }));
    assert!(matches!(fault(|r| r.message.clear()), Fault::Empty { .. }));
    assert!(matches!(fault(|r| r.id.clear()), Fault::Empty { field: "id", .. }));
    assert!(matches!(fault(|r| r.caller = "x".repeat(9_000)), Fault::TooLarge { .. }));
    assert!(matches!(fault(|r| r.filter.add_fact("", Operator::Equal, "x")), Fault::Empty { .. }));
    // A payload may be any bytes.
    let binary = Request { message: vec![0xff, 0], ..good };
    assert_eq!(decode(&binary.encode().unwrap()), Ok(binary));
}

#[test]
fn secure_request_round_trip_and_limits() {
    let secure = SecureRequest {
        request: REQUEST_TEXT.into(),
        signature: b"insecure".to_vec(),
        caller: "a.b.c".to_owned(),
        signer: None,
    };
    let text = secure.encode().unwrap();
    assert!(
        String::from_utf8_lossy(&text).ends_with(r#""signature":"aW5zZWN1cmU=","caller":"a.b.c"}"#)
    );
    assert_eq!(SecureRequest::decode(&text).as_ref(), Ok(&secure));
    let delegated = SecureRequest { signer: Some("d.e.f".to_owned()), ..secure.clone() };
    assert_eq!(SecureRequest::decode(&delegated.encode().unwrap()), Ok(delegated));
    for field in ["request", "signature", "caller"] {
        let mut empty = secure.clone();
        match field {
            "request" => empty.request.clear(),
            "signature" => empty.signature.clear(),
            _ => empty.caller.clear(),
        }
        let expected = Fault::Empty { layer: Layer::SecureRequest, field };
        assert_eq!(empty.encode(), Err(expected.clone()));
        let part = |name| if field == name { "" } else { "AAAA" };
        let text = format!(
            r#"{{"protocol":"{SECURE_REQUEST}","request":"{}","signature":"{}","caller":"{}"}}"#,
            part("request"),
            part("signature"),
            part("caller"),
        );
        assert_eq!(SecureRequest::decode(text.as_bytes()), Err(expected));
    }
    let huge = SecureRequest { caller: "x".repeat(70_000), ..secure.clone() };
    assert!(matches!(huge.encode(), Err(Fault::TooLarge { field: "caller", .. })));
    let huge = SecureRequest { signer: Some("x".repeat(70_000)), ..secure };
    assert!(matches!(huge.encode(), Err(Fault::TooLarge { field: "signer", .. })));
    assert!(SecureRequest::decode(&text[..text.len() - 2]).is_err());
}

#[test]
fn ids_carry_the_moment_they_were_made() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (first, second) = (request_id(now), request_id(now));
    assert_ne!(first, second);
    assert_eq!(Ksuid::parse(&first).unwrap().unix_secs(), 1_700_000_000);
}

#[test]
fn times_keep_their_nanoseconds() {
    for value in [i64::MIN + 1, -1, 0, 1, 1_700_000_000_123_456_789, i64::MAX] {
        assert_eq!(nanos(from_nanos(value)), value);
    }
    assert_eq!(nanos(from_nanos(i64::MIN)), -i64::MAX);
    assert_eq!(nanos(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)), i64::MAX);
}
