use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::UNIX_EPOCH;

use super::*;
use crate::util::secret::Secret;

/// What was asked: the line, the headers in lower case, the body.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// A server on loopback that gives these answers, one a connection, the last of them for ever.
#[allow(clippy::disallowed_methods, reason = "a test server with one client at a time")]
fn serve(answers: Vec<(u16, &'static str)>) -> (String, flume::Receiver<Asked>) {
    let listener = crate::sys::listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
    listener.set_nonblocking(false).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = flume::unbounded();
    std::thread::spawn(move || {
        for (number, mut socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut headers = HashMap::new();
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim().split_once(':') else { break };
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            let length = headers.get("content-length").and_then(|text| text.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            // Before the answer: whoever has that may look for what was asked.
            if sender.send(Asked { line: line.trim().to_owned(), headers, body }).is_err() {
                break;
            }
            let (status, text) = answers[number.min(answers.len() - 1)];
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = socket.write_all(format!("{head}{text}").as_bytes());
        }
    });
    (url, seen)
}

fn fixed() -> Source {
    Source::Fixed(Keys {
        id: "AKID".to_owned(),
        secret: Secret::new("secret".to_owned()),
        token: Some(Secret::new("session".to_owned())),
    })
}

fn sink(endpoint: &str, credentials: Source) -> KinesisSink {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    KinesisSink::new(Settings {
        region: "eu-west-1".to_owned(),
        endpoint: endpoint.to_owned(),
        stream: Stream::Name("nodes".to_owned()),
        key: Template::parse("{sender}").unwrap(),
        credentials,
        tls: Arc::new(tls),
        is_clear: true,
        batch: BatchLimits { records_max: 500, bytes_max: 5 << 20, age_max: Duration::ZERO },
        record_bytes_max: 1000,
        timeout: Duration::from_secs(5),
    })
}

fn record(sender: &str, body: &[u8]) -> Record {
    Record {
        id: format!("r-{sender}"),
        sender: sender.to_owned(),
        agent: String::new(),
        collective: String::new(),
        time: UNIX_EPOCH,
        request_id: "r".to_owned(),
        subject: "s".to_owned(),
        body: body.into(),
    }
}

const TWO: &str = r#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"ErrorCode":"InternalFailure","ErrorMessage":"m"}]}"#;

#[test]
fn records_are_put_signed_and_each_has_its_verdict() {
    let (url, seen) = serve(vec![(200, TWO)]);
    let long = "x".repeat(257);
    let batch = [
        record("n\"1", b"{}"),
        record(&long, b"{}"),
        record("n2", &[b'x'; 1000]),
        record("", b"\xff"),
    ];
    let got = smol::block_on(sink(&url, fixed()).deliver(&batch)).unwrap();
    assert_eq!(got[0], Verdict::Delivered);
    assert!(
        matches!(&got[1], Verdict::Refused(text) if text.contains("257 characters")),
        "{got:?}"
    );
    assert!(matches!(&got[2], Verdict::Refused(text) if text.contains("1002 bytes")), "{got:?}");
    assert_eq!(got[3], Verdict::Retry("InternalFailure: m".to_owned()));
    let asked = seen.recv().unwrap();
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(
        asked.body,
        r#"{"StreamName":"nodes","Records":[{"Data":"e30=","PartitionKey":"n\"1"},{"Data":"/w==","PartitionKey":"r-"}]}"#
    );
    let header = |name: &str| asked.headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("x-amz-target"), "Kinesis_20131202.PutRecords");
    assert_eq!(header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(header("x-amz-security-token"), "session");
    assert_eq!(Some(header("host")), url.strip_prefix("http://"));
    let authorization = header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
    assert!(
        authorization.contains("/eu-west-1/kinesis/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="),
        "{authorization}"
    );
}

#[test]
fn refusals_of_a_request_are_said() {
    for (status, body, expected, has_hint) in [
        (
            400,
            r#"{"__type":"ResourceNotFoundException","message":"no"}"#,
            "ResourceNotFoundException: no",
            true,
        ),
        (
            400,
            r#"{"__type":"AccessDeniedException","Message":"no"}"#,
            "AccessDeniedException: no",
            true,
        ),
        (400, r#"{"__type":"LimitExceededException"}"#, "LimitExceededException", false),
        (503, "<html>busy</html>", "status 503 <html>busy</html>", false),
        (200, "{}", "cannot be read", false),
        (200, TWO, "speaks of 2 records and 1 were sent", false),
    ] {
        let (url, _seen) = serve(vec![(status, body)]);
        let got = smol::block_on(sink(&url, fixed()).deliver(&[record("n", b"{}")])).unwrap_err();
        assert!(got.text.contains(expected), "{got}");
        assert_eq!(got.hint.is_some(), has_hint, "{got}");
    }
    let body =
        r#"{"__type":"ValidationException","message":"Value at 'records.2.member.data' failed"}"#;
    let (url, _seen) = serve(vec![(400, body)]);
    let batch = [record("a", b"1"), record("b", b"2"), record("c", b"3")];
    let got = smol::block_on(sink(&url, fixed()).deliver(&batch)).unwrap();
    assert!(matches!(got.as_slice(), [Verdict::Retry(_), Verdict::Refused(_), Verdict::Retry(_)]));
}

#[test]
fn a_check_describes_the_stream() {
    let body = r#"{"StreamDescriptionSummary":{"StreamStatus":"ACTIVE","OpenShardCount":3}}"#;
    let (url, seen) = serve(vec![(200, body)]);
    let got = smol::block_on(sink(&url, fixed()).check(&record("n", b""))).unwrap();
    assert_eq!(got, "stream nodes is ACTIVE and has 3 shards");
    let asked = seen.recv().unwrap();
    assert_eq!(asked.body, r#"{"StreamName":"nodes"}"#);
    let body = r#"{"StreamDescriptionSummary":{"StreamStatus":"DELETING","OpenShardCount":3}}"#;
    let (url, _seen) = serve(vec![(200, body)]);
    assert!(smol::block_on(sink(&url, fixed()).check(&record("n", b""))).is_err());
}

const GIVEN: &str = r#"{"AccessKeyId":"ASIA","SecretAccessKey":"S","Token":"T","Expiration":"2999-01-01T00:00:00Z"}"#;

#[test]
fn machines_and_containers_have_their_own_keys() {
    let (service, asked) = serve(vec![(200, "imds-token"), (200, "role-a\n"), (200, GIVEN)]);
    let (url, seen) = serve(vec![(200, TWO), (400, r#"{"__type":"ExpiredTokenException"}"#)]);
    let mut kinesis = sink(&url, Source::Instance { endpoint: service });
    let batch = [record("a", b"1"), record("b", b"2")];
    assert!(smol::block_on(kinesis.deliver(&batch)).is_ok());
    let lines: Vec<Asked> = asked.try_iter().collect();
    assert!(lines[0].line.starts_with("PUT /latest/api/token "), "{lines:?}");
    assert_eq!(lines[2].line, "GET /latest/meta-data/iam/security-credentials/role-a HTTP/1.1");
    assert_eq!(lines[2].headers["x-aws-ec2-metadata-token"], "imds-token");
    let put = seen.recv().unwrap();
    assert!(put.headers["authorization"].contains("Credential=ASIA/"));
    assert_eq!(put.headers["x-amz-security-token"], "T");
    // They are kept until they end or are not believed.
    assert!(smol::block_on(kinesis.deliver(&batch)).is_err());
    assert!(asked.is_empty());
    let _ = smol::block_on(kinesis.deliver(&batch));
    assert!(!asked.is_empty());

    let (service, asked) = serve(vec![(200, GIVEN)]);
    let (url, _seen) = serve(vec![(200, TWO)]);
    let source = Source::Service {
        url: format!("{service}/v2/credentials/x"),
        token_file: None,
        token: Some(Secret::new("shown".to_owned())),
    };
    assert!(smol::block_on(sink(&url, source).deliver(&batch)).is_ok());
    let line = asked.recv().unwrap();
    assert_eq!(
        (line.line.as_str(), line.headers["authorization"].as_str()),
        ("GET /v2/credentials/x HTTP/1.1", "shown")
    );
}

#[test]
fn without_keys_nothing_is_sent() {
    let (url, seen) = serve(vec![(200, TWO)]);
    let source =
        Source::File { path: "/nonexistent/credentials".into(), profile: "default".to_owned() };
    let got = smol::block_on(sink(&url, source).deliver(&[record("n", b"{}")])).unwrap_err();
    assert!(got.text.starts_with("no AWS credentials: /nonexistent/credentials: "), "{got}");
    assert!(seen.is_empty());
}
