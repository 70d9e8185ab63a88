//! Adapters that write to files and post to webhooks: real processes, nothing lost whatever the other side does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use choria::crypto::mac::{Hash, mac};
use choria::protocol::{Request, Transport, Version, v1};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::support::{Broker, Folder, Pki, Process, choria, run, wait_for};

const SUBJECT: &str = "mcollective.broadcast.agent.registration";

/// A message as its receiver has to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    id: String,
    sender: String,
    data: String,
    time: SystemTime,
}

/// Publishes messages of these senders to a laboratory broker, and waits until it has them.
fn publish(port: u16, senders: &[&str], data: impl Fn(usize) -> String, count: usize) -> Vec<Sent> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let mut text = b"CONNECT {\"verbose\":false}\r\n".to_vec();
    let mut sent = Vec::new();
    for number in 0..count {
        let sender = senders[number % senders.len()];
        let now = SystemTime::now();
        let mut request = Request::new("registration", "mcollective", sender, "choria=x", now);
        request.message = data(number).into_bytes();
        let secure = v1::SecureRequest {
            message: request.encode().expect("a request"),
            signature: "eA==".to_owned(),
            pubcert: "x".to_owned(),
        };
        let mut transport =
            Transport::new(Version::V1, secure.encode().expect("a secure request"), sender);
        transport.reply_to = Some("dev.null".to_owned());
        let bytes = transport.encode();
        text.extend_from_slice(format!("PUB {SUBJECT} {}\r\n", bytes.len()).as_bytes());
        text.extend_from_slice(&bytes);
        text.extend_from_slice(b"\r\n");
        sent.push(Sent {
            id: request.id,
            sender: sender.to_owned(),
            data: data(number),
            time: now,
        });
    }
    text.extend_from_slice(b"PING\r\n");
    stream.write_all(&text).expect("it is sent");
    let mut seen = String::new();
    let mut part = [0; 4096];
    while !seen.contains("PONG") {
        let length = stream.read(&mut part).expect("it answers");
        assert!(length > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    sent
}

/// A configuration of one adapter `out`.
fn configuration(folder: &Folder, port: u16, lines: &str) -> std::path::PathBuf {
    folder.write(
        "adapt.conf",
        &format!(
            "identity = adapter.example.net\nplugin.choria.use_srv = false\nloglevel = debug\n\
             plugin.choria.middleware_hosts = localhost:{port}\nplugin.choria.adapters = out\n\
             plugin.choria.adapter.out.ingest.topic = {SUBJECT}\n\
             plugin.choria.adapter.out.ingest.protocol = request\n{}{lines}",
            Pki::shared().security_lines(&Pki::shared().leaf("localhost"))
        ),
    )
}

fn adapt(folder: &Folder, port: u16, lines: &str) -> Process {
    let mut command = choria();
    command.args(["adapt", "--disable-tls", "--config"]).arg(configuration(folder, port, lines));
    let log = folder.file("adapt.log");
    let _ = fs::remove_file(&log);
    let mut process = Process::start(command, log);
    process.wait_for_line("adapt: reading");
    process
}

/// Compares every field of what arrived with what was sent.
fn check_output(output: &Value, sent: &BTreeMap<&str, &Sent>) {
    let id = output["requestid"].as_str().expect("text");
    let sent = sent.get(id).unwrap_or_else(|| panic!("nobody sent {id}"));
    assert_eq!(output["protocol"], "choria:adapters:choria_streams:output:1");
    assert_eq!((&output["sender"], &output["data"]), (&json!(sent.sender), &json!(sent.data)));
    let seconds = sent.time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let time = choria::util::time::parse_rfc3339(output["time"].as_str().expect("text"));
    let time = time.expect("a time").duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(time.expect("after 1970").as_secs(), seconds);
    assert_eq!(output.as_object().expect("an object").len(), 5);
}

fn by_id(sent: &[Sent]) -> BTreeMap<&str, &Sent> {
    sent.iter().map(|sent| (sent.id.as_str(), sent)).collect()
}

/// Lines of all files in a folder, while files get other names there.
fn lines_in(folder: &Path) -> usize {
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let entries = fs::read_dir(folder).expect("it is there");
    entries.map(|entry| lines(&entry.expect("readable").path())).sum()
}

/// The names of all files below a folder, and the records in them.
fn read_all(folder: &Path) -> (BTreeSet<String>, Vec<Value>) {
    let (mut names, mut records) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("readable").path();
        assert!(path.is_file(), "{path:?}");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        names.insert(name.split('~').next().unwrap_or_default().to_owned());
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "{path:?} ends in the middle of a line");
        records.extend(text.lines().map(|line| serde_json::from_str(line).expect("JSON")));
    }
    (names, records)
}

#[test]
fn files_have_every_message_once_after_a_kill() {
    let folder = Folder::new("adapt_file");
    let broker = Broker::start_plain(&folder);
    let target = folder.file("data");
    fs::create_dir(&target).expect("folder");
    let lines = format!(
        "plugin.choria.adapter.out.type = file\nplugin.choria.adapter.out.file.dir = {}\n\
         plugin.choria.adapter.out.file.path = {{sender}}.ndjson\n\
         plugin.choria.adapter.out.file.max_bytes = 8000\nplugin.choria.adapter.out.file.keep = 0\n\
         plugin.choria.adapter.out.file.batch_records = 20\n",
        target.display()
    );
    let senders = ["n1.example.net", "n2.example.net", "../../escape", ".hidden", "a/b\\c"];
    let data = |number: usize| format!("{{\"n\":{number},\"text\":\"<Grüße & \\\\>\"}}");
    let mut process = adapt(&folder, broker.port, &lines);
    let mut sent = publish(broker.port, &senders, data, 300);
    wait_for("the first messages", || (lines_in(&target) >= 300).then_some(()));
    process.signal("KILL");
    process.wait();
    // What a crash of the machine leaves: part of a line.
    let torn = target.join("n1.example.net.ndjson");
    let mut file = fs::File::options().append(true).open(&torn).expect("it is there");
    file.write_all(b"{\"protocol\":\"choria:adap").expect("written");
    let mut process = adapt(&folder, broker.port, &lines);
    sent.extend(publish(broker.port, &senders, data, 200));
    process.wait_for_line("cut off 24 bytes of a line");
    wait_for("the other messages", || (lines_in(&target) >= 500).then_some(()));
    process.signal("TERM");
    assert_eq!(process.wait(), 0, "{}", process.output());
    let (names, records) = read_all(&target);
    let expected = [
        "_.._.._escape.ndjson",
        "_.hidden.ndjson",
        "a_b_c.ndjson",
        "n1.example.net.ndjson",
        "n2.example.net.ndjson",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    let sent = by_id(&sent);
    records.iter().for_each(|record| check_output(record, &sent));
    let ids: BTreeSet<_> = records.iter().map(|record| record["requestid"].as_str()).collect();
    assert_eq!((ids.len(), records.len()), (500, 500), "lost or twice");
    assert!(fs::read_dir(&target).expect("it is there").count() > 10, "nothing was rotated");
}

/// The Python service.
struct Service {
    process: Process,
    port: u16,
}

impl Service {
    fn start(folder: &Folder, script: &str) -> Service {
        let mut command = Command::new("python3");
        let leaf = Pki::shared().leaf("localhost");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/interop/webhook_server.py"))
            .arg(leaf.certificate)
            .arg(leaf.key)
            .arg(&Pki::shared().ca)
            .arg(script);
        let mut process = Process::start(command, folder.file("service.log"));
        let port = process.wait_for_line("listening ").trim().parse().expect("a port");
        Service { process, port }
    }

    /// The requests so far.
    fn asked(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let requests = whole.lines().filter(|line| line.starts_with('{'));
        requests.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn webhook_lines(folder: &Folder, port: u16) -> String {
    let leaf = Pki::shared().leaf("adapter.example.net");
    let key = |name: &str| format!("plugin.choria.adapter.out.webhook.{name}");
    [
        ("url", format!("https://localhost:{port}/in?tenant=7")),
        ("ca", Pki::shared().ca.display().to_string()),
        ("certificate", leaf.certificate.display().to_string()),
        ("private_key", leaf.key.display().to_string()),
        ("bearer_file", folder.write("token", "t0ken\n").display().to_string()),
        ("signature_file", folder.write("key", "secret").display().to_string()),
        ("batch_age", "50ms".to_owned()),
        ("batch_records", "25".to_owned()),
        ("timeout", "1s".to_owned()),
    ]
    .iter()
    .fold("plugin.choria.adapter.out.type = webhook\n".to_owned(), |lines, (name, value)| {
        format!("{lines}{} = {value}\n", key(name))
    })
}

#[test]
fn a_webhook_gets_every_message_from_a_service_that_throttles_errs_and_hangs() {
    let folder = Folder::new("adapt_webhook");
    let broker = Broker::start_plain(&folder);
    let service = Service::start(&folder, "429:1,500,hang,drop");
    let lines = webhook_lines(&folder, service.port)
        + "plugin.choria.adapter.out.webhook.format = cloudevents\n";
    let mut process = adapt(&folder, broker.port, &lines);
    let senders = ["n1.example.net", "n2.example.net"];
    let sent = publish(broker.port, &senders, |number| format!("{{\"n\":{number}}}"), 200);
    let sent = by_id(&sent);
    let delivered = || {
        let mut events = Vec::new();
        for asked in service.asked().iter().filter(|asked| asked["step"] == "200") {
            let body = asked["body"].as_str().expect("text");
            events.extend(serde_json::from_str::<Vec<Value>>(body).expect("JSON"));
        }
        events
    };
    let ids = |events: &[Value]| -> BTreeSet<String> {
        events.iter().map(|event| event["id"].as_str().expect("text").to_owned()).collect()
    };
    wait_for("all messages", || (ids(&delivered()).len() == 200).then_some(()));
    process.signal("TERM");
    assert_eq!(process.wait(), 0, "{}", process.output());
    let events = delivered();
    assert_eq!(events.len(), 200, "some came twice");
    for event in events {
        check_output(&event["data"], &sent);
        let output = &event["data"];
        let id = format!(
            "{}-{}",
            output["requestid"].as_str().expect("text"),
            output["sender"].as_str().expect("text")
        );
        assert_eq!(event["id"], id);
        assert_eq!((&event["subject"], &event["time"]), (&output["sender"], &output["time"]));
        assert_eq!(event["source"], "io.choria.adapter/out");
    }
    check_requests(&service.asked());
}

/// The proofs of each request, and the pauses that were asked for.
fn check_requests(asked: &[Value]) {
    let steps: Vec<_> = asked.iter().map(|asked| asked["step"].as_str().expect("text")).collect();
    let first = ["429:1", "500", "hang", "drop"];
    assert!(
        steps.starts_with(&first) && steps[first.len()..].iter().all(|step| *step == "200"),
        "{steps:?}"
    );
    let time = |index: usize| asked[index]["time"].as_f64().expect("a number");
    assert!(time(1) - time(0) > 0.9, "asked again after {} s", time(1) - time(0));
    let mut keys = BTreeMap::new();
    for asked in asked.iter().filter(|asked| asked["step"] != "drop") {
        let header = |name: &str| asked["headers"][name].as_str().unwrap_or_default();
        let body = asked["body"].as_str().expect("text");
        assert_eq!(
            (&asked["line"], &asked["peer"]),
            (&json!("POST /in?tenant=7 HTTP/1.1"), &json!("adapter.example.net"))
        );
        assert_eq!(header("authorization"), "Bearer t0ken");
        assert_eq!(header("content-type"), "application/cloudevents-batch+json");
        let signature = HEXLOWER.encode(&mac(Hash::Sha256, b"secret", body.as_bytes()));
        assert_eq!(header("x-choria-signature"), format!("sha256={signature}"));
        let other = keys.insert(body.to_owned(), header("idempotency-key").to_owned());
        assert!(
            other.is_none_or(|other| other == header("idempotency-key")),
            "another key for the same batch"
        );
    }
}

#[test]
fn a_message_that_is_refused_costs_no_other() {
    let folder = Folder::new("adapt_webhook_refused");
    let broker = Broker::start_plain(&folder);
    let service = Service::start(&folder, "");
    let mut process = adapt(&folder, broker.port, &webhook_lines(&folder, service.port));
    let data = |number: usize| {
        if number == 17 { "poison".to_owned() } else { format!("{{\"n\":{number}}}") }
    };
    let sent = publish(broker.port, &["n1"], data, 60);
    let delivered = || -> Vec<Value> {
        let asked = service.asked();
        let good = asked.iter().filter(|asked| asked["step"] == "200");
        good.flat_map(|asked| {
            asked["body"]
                .as_str()
                .expect("text")
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect::<Vec<_>>()
        })
        .collect()
    };
    wait_for("all messages but one", || (delivered().len() >= 59).then_some(()));
    process.wait_for_line("said the service");
    let sent = by_id(&sent);
    let all = delivered();
    all.iter().for_each(|output| check_output(output, &sent));
    let ids: BTreeSet<_> = all.iter().map(|output| output["requestid"].as_str()).collect();
    assert_eq!((ids.len(), all.len()), (59, 59));
    assert!(!all.iter().any(|output| output["data"] == "poison"));
}

#[test]
fn a_check_says_what_would_not_work_and_writes_nothing() {
    let folder = Folder::new("adapt_outlets_check");
    let broker = Broker::start_plain(&folder);
    let service = Service::start(&folder, "");
    let target = folder.file("data");
    fs::create_dir(&target).expect("folder");
    let strange = Pki::new("outlets");
    let web = webhook_lines(&folder, service.port);
    let dir = |more: &str| {
        format!(
            "plugin.choria.adapter.out.type = file\nplugin.choria.adapter.out.file.dir = {}\n{more}",
            target.display()
        )
    };
    let key = "plugin.choria.adapter.out";
    for (lines, code, expected) in [
        (dir(""), 0, "can be written to".to_owned()),
        (
            dir(&format!("{key}.file.path = ../{{sender}}\n")),
            1,
            format!("{key}.file.path = ../{{sender}}: \"../sender\" has . or .. as a name"),
        ),
        (
            dir(&format!("{key}.file.mode = 0777\n")),
            1,
            format!("{key}.file.mode = 0777 has to be octal"),
        ),
        (
            dir(&format!("{key}.file.dir = /nonexistent/x\n")),
            1,
            "cannot use the folder /nonexistent/x".to_owned(),
        ),
        (web.clone(), 0, "the service answers OPTIONS with status 204".to_owned()),
        (
            format!("{web}{key}.webhook.ca = {}\n", strange.ca.display()),
            1,
            "its certificate was not issued by the CA".to_owned(),
        ),
        (
            format!("{web}{key}.webhook.url = http://localhost:1/\n"),
            1,
            format!("{key}.webhook.url = http://localhost:1/: is in clear"),
        ),
        (
            format!("{web}{key}.webhook.url = https://u:p@localhost:1/\n"),
            1,
            "an address with a login".to_owned(),
        ),
        (
            format!("{web}{key}.webhook.user = me\n"),
            1,
            format!("{key}.webhook.bearer_file is one login"),
        ),
    ] {
        let mut command = choria();
        command.args(["adapt", "--disable-tls", "--check"]).arg(configuration(
            &folder,
            broker.port,
            &lines,
        ));
        let done = run(command, "");
        assert!(done.code == code && done.stdout.contains(&expected), "{lines}: {done:?}");
    }
    assert_eq!(fs::read_dir(&target).expect("it is there").count(), 0);
    assert!(service.asked().iter().all(|asked| asked["step"] == "options"));
}
