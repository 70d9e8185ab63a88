use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::*;
use crate::crypto::mac::{self, Hash};

/// One request as it came.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A service in clear on loopback that says what `answer` makes of a request: status line and headers, without the end.
struct Service {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Service {
        let listener = crate::sys::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
        listener.set_nonblocking(false).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || converse(stream, &seen, &*answer));
            }
        });
        Service { port, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn converse(stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(asked) = read(&mut reader) {
        let text = answer(&asked);
        seen.lock().unwrap().push(asked);
        if text == "hang" {
            std::thread::sleep(Duration::from_secs(5));
            return;
        }
        if text == "close" {
            return;
        }
        let text = format!("HTTP/1.1 {text}\r\nContent-Length: 3\r\n\r\nwhy");
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut asked = Asked { line: line.trim_end().to_owned(), headers, body: String::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

fn settings(port: u16, format: Format) -> Settings {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Settings {
        url: format!("http://127.0.0.1:{port}/in?key=secret"),
        format,
        source: "io.choria.adapter/cmdb".to_owned(),
        tls: Arc::new(tls),
        is_clear: true,
        login: Login::None,
        signature: None,
        batch: BatchLimits { records_max: 10, bytes_max: 10_000, age_max: Duration::ZERO },
        timeout: Duration::from_millis(1_500),
    }
}

fn record(number: usize) -> Record {
    Record {
        id: format!("r{number}-n{number}"),
        sender: format!("n{number}"),
        agent: "registration".to_owned(),
        collective: "mcollective".to_owned(),
        time: UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
        request_id: format!("r{number}"),
        subject: "s".to_owned(),
        body: format!("{{\"n\":\n{number}}}").into_bytes().into(),
    }
}

fn records(count: usize) -> Vec<Record> {
    (0..count).map(record).collect()
}

fn deliver(sink: &mut WebhookSink, batch: &[Record]) -> Vec<Verdict> {
    smol::block_on(sink.deliver(batch)).unwrap()
}

/// A file that is removed with the value.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> File {
        let name = format!("choria-webhook-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_batch_is_one_request_in_every_form_but_one() {
    let event = |number: u8| {
        json!({
            "specversion": "1.0", "id": format!("r{number}-n{number}"), "source": "io.choria.adapter/cmdb",
            "type": "io.choria.adapter.v1.output", "subject": format!("n{number}"),
            "time": "2023-11-14T22:13:20.25Z", "datacontenttype": "application/json", "data": {"n": number},
        })
    };
    for (format, media, expected) in [
        (Format::Lines, "application/x-ndjson", json!([{"n": 0}, {"n": 1}])),
        (Format::Array, "application/json", json!([{"n": 0}, {"n": 1}])),
        (Format::CloudEvents, "application/cloudevents-batch+json", json!([event(0), event(1)])),
        (Format::CloudEvent, "application/cloudevents+json", json!([event(0), event(1)])),
    ] {
        let service = Service::start(|_| "202 Accepted".to_owned());
        let mut sink = WebhookSink::new(settings(service.port, format));
        assert_eq!(deliver(&mut sink, &records(2)), vec![Verdict::Delivered; 2]);
        let mut asked = service.asked();
        asked.sort_by(|a, b| a.body.cmp(&b.body));
        let bodies: Vec<Value> = match format {
            Format::Lines => {
                asked[0].body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
            }
            Format::CloudEvent => {
                asked.iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
            }
            _ => serde_json::from_str(&asked[0].body).unwrap(),
        };
        assert_eq!(json!(bodies), expected, "{format:?}");
        assert_eq!(asked.len(), if format == Format::CloudEvent { 2 } else { 1 });
        for asked in asked {
            assert_eq!(asked.line, "POST /in?key=secret HTTP/1.1");
            assert_eq!(asked.header("content-type"), media);
            assert!(asked.header("user-agent").starts_with("choria/"), "{asked:?}");
            assert_eq!(
                (asked.header("authorization"), asked.header("x-choria-signature")),
                ("", "")
            );
        }
    }
}

#[test]
fn bodies_that_are_no_json_are_still_events() {
    let strange = Record { body: b"\xff\n".as_slice().into(), ..record(1) };
    let body = Format::CloudEvent.body("s", &[strange]);
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["data_base64"], "/wo=");
    assert_eq!(event["datacontenttype"], "application/octet-stream");
}

#[test]
fn the_same_records_have_the_same_key() {
    assert_eq!(body::key(&records(1)), "r0-n0");
    assert_eq!(body::key(&records(3)), body::key(&records(3)));
    assert_ne!(body::key(&records(3)), body::key(&records(2)));
    for id in ["", "a\r\nX-Header: 1", "ü", &"x".repeat(256)] {
        let key = body::key(&[Record { id: id.to_owned(), ..record(1) }]);
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
}

#[test]
fn who_posts_is_proven_by_what_is_in_files_now() {
    let service = Service::start(|_| "200 OK".to_owned());
    let (token, password, key) =
        (File::new("t0ken\n"), File::new("pass word\r\n"), File::new("key"));
    let base = settings(service.port, Format::Lines);
    let signature = Signature { header: "x-choria-signature", key: key.0.clone() };
    let mut sink = WebhookSink::new(Settings {
        login: Login::Bearer(token.0.clone()),
        signature: Some(signature),
        ..base.clone()
    });
    deliver(&mut sink, &records(1));
    std::fs::write(&token.0, "another").unwrap();
    deliver(&mut sink, &records(1));
    let login = Login::Basic { user: "u".to_owned(), password: password.0.clone() };
    deliver(&mut WebhookSink::new(Settings { login, ..base.clone() }), &records(1));
    let asked = service.asked();
    let logins: Vec<_> = asked.iter().map(|asked| asked.header("authorization")).collect();
    assert_eq!(logins, ["Bearer t0ken", "Bearer another", "Basic dTpwYXNzIHdvcmQ="]);
    let expected = mac::mac(Hash::Sha256, b"key", asked[0].body.as_bytes());
    let expected = format!("sha256={}", data_encoding::HEXLOWER.encode(&expected));
    assert_eq!(asked[0].header("x-choria-signature"), expected);

    for (text, part) in
        [("", "there is no secret in"), ("a\nb", "is not one line"), ("\u{1}", "is not one line")]
    {
        std::fs::write(&token.0, text).unwrap();
        let error = smol::block_on(sink.deliver(&records(1))).unwrap_err();
        assert!(error.text.contains(part), "{text:?}: {error}");
    }
    assert_eq!(service.asked().len(), 3, "a request was made without its proof");
}

#[test]
fn answers_decide_over_the_records() {
    for (answer, expected) in [
        ("204 No Content", Verdict::Delivered),
        ("500 Broken", Verdict::Retry("status 500: why".to_owned())),
        ("408 Late", Verdict::Retry("status 408: why".to_owned())),
        (
            "302 Found\r\nLocation: /other",
            Verdict::Retry("status 302: why, not followed".to_owned()),
        ),
        ("403 No", Verdict::Refused("status 403: why".to_owned())),
        ("400 Bad", Verdict::Refused("status 400: why".to_owned())),
    ] {
        let service = Service::start(move |_| answer.to_owned());
        let mut sink = WebhookSink::new(settings(service.port, Format::Array));
        assert_eq!(deliver(&mut sink, &records(1)), [expected], "{answer}");
        assert_eq!(service.asked().len(), 1, "{answer}");
    }
}

#[test]
fn a_peer_that_hangs_or_leaves_costs_an_attempt() {
    for (answer, part) in [("hang", "no answer within 1.5 s"), ("close", "")] {
        let service = Service::start(move |_| answer.to_owned());
        let mut sink = WebhookSink::new(settings(service.port, Format::CloudEvent));
        let start = Instant::now();
        for verdict in deliver(&mut sink, &records(20)) {
            assert!(
                matches!(&verdict, Verdict::Retry(reason) if reason.contains(part) || reason.contains("turn")),
                "{verdict:?}"
            );
        }
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
    let mut nobody = WebhookSink::new(settings(1, Format::Lines));
    assert!(matches!(deliver(&mut nobody, &records(1))[0], Verdict::Retry(_)));
}

#[test]
fn a_pause_that_is_asked_for_is_kept() {
    let service = Service::start(|_| "429 Slow\r\nRetry-After: 1".to_owned());
    let mut sink = WebhookSink::new(settings(service.port, Format::CloudEvent));
    let verdicts = deliver(&mut sink, &records(20));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Retry(_))), "{verdicts:?}");
    let count = service.asked().len();
    assert!(count <= REQUESTS_MAX, "{count} requests after the first refusal");
    let error = smol::block_on(sink.deliver(&records(1))).unwrap_err();
    assert_eq!(error.text, "the service wants no request for another 1 s");
    assert_eq!(service.asked().len(), count);
    std::thread::sleep(Duration::from_millis(1_050));
    deliver(&mut sink, &records(1));
    assert_eq!(service.asked().len(), count + 1);
}

#[test]
fn a_batch_is_divided_until_the_bad_records_are_alone() {
    let service = Service::start(|asked| {
        let is_bad = asked.body.contains('3') || asked.body.contains('7');
        if is_bad { "422 Bad" } else { "200 OK" }.to_owned()
    });
    let mut sink = WebhookSink::new(settings(service.port, Format::Lines));
    let verdicts = deliver(&mut sink, &records(10));
    for (number, verdict) in verdicts.iter().enumerate() {
        let expected = match number {
            3 | 7 => Verdict::Refused("status 422: why".to_owned()),
            _ => Verdict::Delivered,
        };
        assert_eq!(*verdict, expected, "{number}");
    }
}

#[test]
fn a_check_posts_nothing() {
    for (answer, expected) in [
        ("204 No Content", Ok("the service answers OPTIONS with status 204")),
        ("405 No", Ok("the service answers OPTIONS with status 405")),
        ("401 Who", Err("the service answers with status 401: why")),
        ("503 Busy", Err("the service answers with status 503: why")),
    ] {
        let service = Service::start(move |_| answer.to_owned());
        let mut sink = WebhookSink::new(settings(service.port, Format::Lines));
        let found = smol::block_on(sink.check(&record(1))).map_err(|error| error.text);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
        let asked = service.asked();
        assert_eq!((asked.len(), asked[0].line.as_str()), (1, "OPTIONS /in?key=secret HTTP/1.1"));
        assert!(
            !sink.describe().contains("secret")
                && !sink.place(&record(1)).unwrap().contains("secret")
        );
    }
}
