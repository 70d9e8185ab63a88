use super::*;
use crate::protocol::filter::Operator;

const REPLY_TEXT: &str = r#"{"protocol":"choria:reply:1","message":"pong","envelope":{"requestid":"a36cb9ba0e1c4b5a8f4d2c6e7f809112","senderid":"node1.example.net","agent":"discovery","time":1700000000}}"#;
const REQUEST_TEXT: &str = r#"{"protocol":"choria:request:1","message":"{\"agent\":\"rpcutil\",\"action\":\"ping\",\"data\":{}}","envelope":{"requestid":"a36cb9ba0e1c4b5a8f4d2c6e7f809112","senderid":"shell1.example.net","callerid":"choria=alice.mcollective","collective":"mcollective","agent":"rpcutil","ttl":60,"time":1700000000,"filter":{"fact":[],"cf_class":[],"agent":["rpcutil"],"identity":[],"compound":[]}}}"#;

fn decode(text: &str) -> Result<Request, Fault> {
    Request::decode(Version::V1, text.as_bytes())
}

#[test]
fn fixed_reply_vector() {
    let reply = Reply::decode(Version::V1, REPLY_TEXT.as_bytes()).unwrap();
    assert_eq!(reply.message, b"pong");
    assert_eq!(reply.encode().unwrap(), REPLY_TEXT);
    let sealed = SecureReply::seal(REPLY_TEXT.to_owned());
    assert_eq!(sealed.hash, "3RjsRRxmOpqxbUMbG7awoRubCNkXeJjvQ6n8sQxzxmg=");
    let text = sealed.encode();
    assert_eq!(SecureReply::decode(&text).unwrap(), sealed);
    let altered = String::from_utf8(text).unwrap().replace("pong", "Pong");
    assert_eq!(SecureReply::decode(altered.as_bytes()), Err(Fault::Hash));
}

#[test]
fn fixed_request_example() {
    let request = decode(REQUEST_TEXT).unwrap();
    assert_eq!(request.caller, "choria=alice.mcollective");
    assert_eq!(request.filter.agents, ["rpcutil"]);
    assert_eq!(request.time, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!(request.encode().unwrap(), REQUEST_TEXT);
}

#[test]
fn schema_limits_hold_when_reading() {
    type Expect = fn(&Fault) -> bool;
    let cases: &[(&str, &str, Expect)] = &[
        ("a36cb9ba0e1c4b5a8f4d2c6e7f809112", "a36cb9ba0e1c4b5a8f4d2c6e7f80911", |f| {
            *f == Fault::RequestId { chars: 31 }
        }),
        ("a36cb9ba0e1c4b5a8f4d2c6e7f809112", "a36cb9ba0e1c4b5a8f4d2c6e7f8091123", |f| {
            *f == Fault::RequestId { chars: 33 }
        }),
        ("\"ttl\":60", "\"ttl\":29", |f| *f == Fault::Ttl { secs: 29, least: 30 }),
        ("\"ttl\":60", "\"ttl\":-60", json_fault),
        ("\"ttl\":60", "\"ttl\":\"60\"", json_fault),
        ("\"ttl\":60,", "", json_fault),
        ("\"ttl\":60,", "\"ttl\":60,\"ttl\":90,", json_fault),
        ("\"time\":1700000000", "\"time\":99999999999999999999", json_fault),
        ("\"fact\":[],", "", json_fault),
        ("\"fact\":[]", "\"fact\":null", json_fault),
        ("\"compound\":[]", "\"compound\":[\"x\"]", json_fault),
        ("\"filter\":{", "\"filter\":[[],[],[],[],[]],\"x\":{", json_fault),
        ("choria=alice.mcollective", "", |f| matches!(f, Fault::Empty { field: "callerid", .. })),
        ("\"collective\":\"mcollective\"", "\"collective\":\"\"", |f| {
            matches!(f, Fault::Empty { field: "collective", .. })
        }),
        ("\"agent\":\"rpcutil\",\"ttl\"", "\"agent\":\"\",\"ttl\"", |f| {
            matches!(f, Fault::Empty { field: "agent", .. })
        }),
        (r#""{\"agent\":\"rpcutil\",\"action\":\"ping\",\"data\":{}}""#, "\"\"", |f| {
            matches!(f, Fault::Empty { field: "message", .. })
        }),
        ("choria:request:1", "choria:request:2", |f| matches!(f, Fault::Protocol { .. })),
        ("\"fact\":[]", r#""fact":[{"fact":"a","operator":"=","value":"b"}]"#, |f| {
            matches!(f, Fault::Json { .. })
        }),
        ("\"fact\":[]", r#""fact":[{"fact":"a","operator":"==","value":""}]"#, |f| {
            matches!(f, Fault::Empty { field: "filter.fact.value", .. })
        }),
        ("\"fact\":[]", r#""fact":[{"fact":"","operator":"==","value":"b"}]"#, |f| {
            matches!(f, Fault::Empty { field: "filter.fact.fact", .. })
        }),
    ];
    for (from, to, expected) in cases {
        assert!(REQUEST_TEXT.contains(from), "{from}");
        let fault = decode(&REQUEST_TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(expected(&fault), "{from} -> {to}: {fault:?}");
    }
}

fn json_fault(fault: &Fault) -> bool {
    matches!(fault, Fault::Json { layer: Layer::Request, .. })
}

#[test]
fn what_the_schema_leaves_open_is_read() {
    for (from, to) in [
        ("\"agent\":[\"rpcutil\"],", ""),
        ("\"ttl\":60", "\"ttl\":30"),
        ("\"ttl\":60", "\"ttl\":60,\"later\":{\"a\":[1]}"),
        ("\"time\":1700000000", "\"time\":-5"),
        ("\"senderid\":\"shell1.example.net\"", "\"senderid\":\"\""),
        ("choria=alice", "choria=\\u0061lice"),
    ] {
        assert!(REQUEST_TEXT.contains(from), "{from}");
        let text = REQUEST_TEXT.replacen(from, to, 1);
        assert!(decode(&text).is_ok(), "{from} -> {to}: {:?}", decode(&text));
    }
}

#[test]
fn schema_limits_hold_when_writing() {
    let good = decode(REQUEST_TEXT).unwrap();
    let fault = |change: fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        request.encode().unwrap_err()
    };
    assert_eq!(fault(|r| r.ttl_secs = 29), Fault::Ttl { secs: 29, least: 30 });
    assert_eq!(fault(|r| r.id.push('x')), Fault::RequestId { chars: 33 });
    assert_eq!(fault(|r| r.message = vec![0xff]), Fault::Payload { layer: Layer::Request });
    assert!(matches!(fault(|r| r.message.clear()), Fault::Empty { .. }));
    assert!(matches!(fault(|r| r.caller = "x".repeat(9_000)), Fault::TooLarge { .. }));
    assert!(matches!(fault(|r| r.filter.add_fact("", Operator::Equal, "x")), Fault::Empty { .. }));
}

#[test]
fn secure_request_round_trip_and_limits() {
    let secure = SecureRequest {
        message: REQUEST_TEXT.to_owned(),
        signature: "c2ln".to_owned(),
        pubcert: "-----BEGIN CERTIFICATE-----\n<&>".to_owned(),
    };
    let text = secure.encode().unwrap();
    assert!(String::from_utf8_lossy(&text).contains(r"\n\u003c\u0026\u003e"));
    assert_eq!(SecureRequest::decode(&text).unwrap(), secure);
    for field in ["message", "signature", "pubcert"] {
        let mut empty = secure.clone();
        match field {
            "message" => empty.message.clear(),
            "signature" => empty.signature.clear(),
            _ => empty.pubcert.clear(),
        }
        let expected = Fault::Empty { layer: Layer::SecureRequest, field };
        assert_eq!(empty.encode(), Err(expected.clone()));
        let text = format!(
            r#"{{"protocol":"choria:secure:request:1","message":"{}","signature":"{}","pubcert":"{}"}}"#,
            if field == "message" { "" } else { "m" },
            if field == "signature" { "" } else { "s" },
            if field == "pubcert" { "" } else { "p" },
        );
        assert_eq!(SecureRequest::decode(text.as_bytes()), Err(expected));
    }
    let huge = SecureRequest { signature: "x".repeat(5_000), ..secure.clone() };
    assert!(matches!(huge.encode(), Err(Fault::TooLarge { field: "signature", .. })));
    assert!(SecureRequest::decode(&text[..text.len() - 2]).is_err());
}

#[test]
fn times_round_down_and_stay_in_range() {
    for secs in [-5_000_000_000_i64, -1, 0, 1, 1_700_000_000] {
        assert_eq!(unix_secs(from_unix(Layer::Reply, secs).unwrap()), secs);
    }
    let half = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
    assert_eq!(unix_secs(half), -1);
    for secs in [i64::MIN, i64::MAX] {
        // Refused or read, but never a panic.
        let _ = from_unix(Layer::Reply, secs);
    }
}
