use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_714_558_272)
}

fn request(version: Version, message: &[u8]) -> Transport {
    let mut request =
        Request::new("registration", "mcollective", "n1.example.net", "choria=n1", now());
    request = request.in_version(version);
    request.message = message.to_vec();
    let text = request.encode().expect("valid");
    let data = match version {
        Version::V1 => v1::SecureRequest {
            message: text,
            signature: "insecure registration".to_owned(),
            pubcert: "insecure registration".to_owned(),
        }
        .encode(),
        Version::V2 => v2::SecureRequest {
            request: text.into_bytes(),
            signature: b"insecure".to_vec(),
            caller: "x".to_owned(),
            signer: None,
        }
        .encode(),
    };
    Transport::new(version, data.expect("valid"), "n1.example.net")
}

fn input<'a>(subject: &'a str, payload: &'a [u8]) -> Input<'a> {
    Input { subject, payload, message_id: None }
}

fn transformer(form: Form) -> Transformer {
    Transformer::new(form, "broker.example.net", None)
}

fn body(record: &Record) -> Value {
    serde_json::from_slice(&record.body).expect("JSON")
}

#[test]
fn requests_of_both_versions_give_the_same_output() {
    for version in [Version::V1, Version::V2] {
        let bytes = request(version, br#"{"a":"<&>"}"#).encode();
        let subject = "mcollective.broadcast.agent.registration";
        let record =
            transformer(Form::Request).record(&input(subject, &bytes), now()).expect("good");
        assert_eq!(record.id, format!("{}-n1.example.net", record.request_id));
        assert_eq!(
            (record.agent.as_str(), record.collective.as_str()),
            ("registration", "mcollective")
        );
        assert_eq!((record.subject.as_str(), record.time), (subject, now()));
        let body = body(&record);
        assert_eq!(body["protocol"], "choria:adapters:choria_streams:output:1");
        assert_eq!(body["data"], r#"{"a":"<&>"}"#);
        assert_eq!(body["sender"], "n1.example.net");
        assert_eq!(body["time"], "2024-05-01T10:11:12Z");
        assert_eq!(body["requestid"], record.request_id.as_str());
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(5));
    }
}

#[test]
fn replies_of_both_versions_give_the_same_output() {
    for version in [Version::V1, Version::V2] {
        let made =
            Request::new("rpcutil", "mcollective", "c", "choria=c", now()).in_version(version);
        let reply = made.reply("n1", b"{\"statuscode\":0}".to_vec(), now());
        let text = reply.encode().expect("text");
        let data = match version {
            Version::V1 => v1::SecureReply::seal(text).encode(),
            Version::V2 => v2::SecureReply::seal(text.into_bytes()).encode(),
        };
        let bytes = Transport::new(version, data, "n1").encode();
        let record =
            transformer(Form::Reply).record(&input("eu.reply.x.1", &bytes), now()).expect("good");
        assert_eq!((record.collective.as_str(), record.agent.as_str()), ("eu", "rpcutil"));
        assert_eq!(body(&record)["data"], "{\"statuscode\":0}");
        assert_eq!(record.request_id, made.id);
        assert!(transformer(Form::Request).record(&input("eu.reply.x.1", &bytes), now()).is_err());
    }
}

#[test]
fn events_and_anything_else() {
    let event = Event {
        kind: crate::protocol::event::Kind::Startup,
        id: "e1".to_owned(),
        identity: "n1".to_owned(),
        component: "server".to_owned(),
        timestamp: 1_714_558_272,
        version: "1".to_owned(),
        new_version: String::new(),
    };
    for bytes in [event.encode("2024-05-01T10:11:12Z"), event.encode_bare()] {
        let record =
            transformer(Form::Lifecycle).record(&input("choria.x", &bytes), now()).expect("good");
        assert_eq!((record.id.as_str(), record.agent.as_str()), ("e1-n1", "server"));
        assert_eq!(body(&record)["data"].as_str().map(str::as_bytes), Some(bytes.as_slice()));
        assert_eq!(body(&record)["time"], "2024-05-01T10:11:12Z");
    }
    let mut given = input("any.thing", b"\xffx");
    given.message_id = Some("m 1");
    let record = transformer(Form::Raw).record(&given, now()).expect("good");
    assert_eq!((record.sender.as_str(), record.request_id.as_str()), ("broker.example.net", "m 1"));
    assert_eq!(record.id, "m_1-broker.example.net");
    assert_eq!(body(&record)["data"], "\u{fffd}x");
    let record = transformer(Form::Raw).record(&input("a", b""), now()).expect("good");
    assert_eq!(record.request_id.len(), 32);
}

#[test]
fn bad_messages_are_refused() {
    let good = request(Version::V1, b"x").encode();
    let mut cases: Vec<Vec<u8>> =
        vec![Vec::new(), b"{}".to_vec(), b"\xff\xfe".to_vec(), vec![b'['; 1 << 20]];
    cases.extend((1..good.len()).step_by(7).map(|end| good[..end].to_vec()));
    for bytes in cases {
        for form in [Form::Request, Form::Reply, Form::Lifecycle] {
            let got = transformer(form).record(&input("s", &bytes), now());
            assert!(matches!(got, Err(BadMessage::Malformed(_))), "{form:?} {bytes:?}");
        }
    }
    let large = vec![b' '; TRANSPORT_BYTES_MAX + 1];
    let got = transformer(Form::Raw).record(&input("s", &large), now());
    assert_eq!(got, Err(BadMessage::TooLarge { bytes: TRANSPORT_BYTES_MAX + 1 }));
}
