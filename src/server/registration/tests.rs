use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64;
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};

use super::payload::{self, Known};
use super::publish::Registrar;
use super::*;
use crate::protocol::{Request, Transport, v1};
use crate::server::node::Node;
use crate::server::status::Expiry;
use crate::server::testing::{self, Recorder, TempDir};
use crate::util::time;

fn settings(provider: Provider) -> Settings {
    Settings {
        providers: vec![provider],
        collective: "mt_collective".to_owned(),
        interval: Duration::from_secs(300),
        has_splay: false,
        size_trigger: Some(SizeTrigger { bytes: 20, interval: Duration::from_secs(30) }),
        ttl_secs: 77,
    }
}

fn of_file(path: PathBuf) -> Provider {
    Provider { source: Source::File(path), target: None, is_compressed: false }
}

fn registrar(provider: Provider, node: Node) -> Registrar {
    let security = testing::provider("node1.example.net");
    Registrar::new(&settings(provider.clone()), &provider, Arc::new(node), security)
}

/// A file as it was changed in the year 2017, as in the tests of the reference.
fn sample(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("sample.json");
    std::fs::write(&path, r#"{"file": true}"#).unwrap();
    set_time(&path, 1_511_865_541);
    path
}

fn set_time(path: &std::path::Path, secs: i64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time::from_unix(secs)).unwrap();
}

fn unpacked(base64: &Value) -> Vec<u8> {
    let packed = BASE64.decode(base64.as_str().unwrap().as_bytes()).unwrap();
    decompress_to_vec(&packed[10..packed.len() - 8]).unwrap()
}

#[test]
fn the_content_of_a_file_is_that_of_the_reference() {
    let dir = TempDir::new();
    let path = sample(&dir);
    let (message, changed) = payload::of_file(&path, false, None).unwrap();
    let expected = format!(
        r#"{{"mtime":1511865541,"file":"{}","updated":false,"protocol":"choria:registration:filecontent:1","content":"eyJmaWxlIjogdHJ1ZX0="}}"#,
        path.display()
    );
    assert_eq!(String::from_utf8(message).unwrap(), expected);
    assert_eq!(changed, 1_511_865_541);

    let (message, _) = payload::of_file(&path, true, None).unwrap();
    let text = String::from_utf8(message).unwrap();
    let start = format!(
        r#"{{"mtime":1511865541,"file":"{}","updated":false,"protocol":"choria:registration:filecontent:1","zcontent":"H4sI"#,
        path.display()
    );
    assert!(text.starts_with(&start), "{text}");
    let message: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(unpacked(&message["zcontent"]), br#"{"file": true}"#);
}

#[test]
fn a_file_is_updated_when_it_is_younger_than_the_one_before() {
    let dir = TempDir::new();
    let path = sample(&dir);
    let cases = [
        (None, false),
        (Some(1_511_865_541), false),
        (Some(1_511_865_540), true),
        (Some(i64::MAX), false),
    ];
    for (known, expected) in cases {
        let (message, _) = payload::of_file(&path, false, known).unwrap();
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(message["updated"], expected, "{known:?}");
    }
}

#[test]
fn files_without_data_are_named() {
    let dir = TempDir::new();
    let path = dir.path().join("data");
    let fault =
        |path: &std::path::Path| payload::of_file(path, true, None).unwrap_err().to_string();
    let shown = path.display().to_string();
    assert_eq!(fault(&path), format!("could not find data file {shown}"));
    std::fs::write(&path, "").unwrap();
    assert_eq!(fault(&path), format!("data file {shown} is empty"));
    std::fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert_eq!(fault(&path), format!("cannot read data file {shown}: larger than 8388608 bytes"));
    let folder = dir.path().display();
    assert!(fault(dir.path()).starts_with(&format!("cannot read data file {folder}: ")));
}

#[test]
fn the_inventory_is_that_of_the_reference() {
    let node = testing::node(Arc::new(Recorder::default()));
    let known = Known {
        facts: node.facts_blocking(),
        classes: node.classes_blocking(),
        expiry: Expiry::default(),
    };
    let now = node.started + Duration::from_secs(10);
    let plain = payload::of_inventory(&node, &known, false, now).unwrap();
    let text = String::from_utf8(plain).unwrap();
    let start = r#"{"protocol":"choria:registration:inventorycontent:1","content":{"agents":[{"license":"Apache-2.0","author":"#;
    assert!(text.starts_with(start), "{text}");
    let message: Value = serde_json::from_str(&text).unwrap();
    let content = &message["content"];
    let at = |name: &str| text.find(&format!(r#""{name}":"#)).unwrap();
    let order = ["agents", "classes", "facts", "status", "collectives", "build_info", "machines"];
    assert!(order.is_sorted_by_key(|name| at(name)), "{text}");
    assert_eq!(content.as_object().unwrap().len(), order.len());
    let names: Vec<_> =
        content["agents"].as_array().unwrap().iter().map(|agent| &agent["name"]).collect();
    assert_eq!(names, ["choria_policy", "choria_util", "discovery", "odd", "rpcutil"]);
    assert_eq!(content["facts"], testing::facts());
    assert_eq!(content["classes"].as_array().unwrap().len(), 5);
    assert_eq!(content["status"]["uptime"], 10);
    assert_eq!(content["status"]["token_expires"], "0001-01-01T00:00:00Z");
    assert_eq!(content["collectives"], json!(["mcollective", "mt_collective"]));
    let version = crate::server::agents::VERSION;
    assert_eq!(content["build_info"], json!({"version": version, "sha": "unknown"}));
    assert_eq!(content["machines"], json!([]));

    let packed = payload::of_inventory(&node, &known, true, now).unwrap();
    let packed: Value = serde_json::from_slice(&packed).unwrap();
    assert_eq!(packed.as_object().unwrap().len(), 2);
    let unpacked: Value = serde_json::from_slice(&unpacked(&packed["zcontent"])).unwrap();
    assert_eq!(unpacked, *content);

    let nobody = Node { agents: Vec::new(), ..node };
    let text = payload::of_inventory(&nobody, &known, false, now).unwrap();
    let message: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(message["content"]["agents"], Value::Null);
}

#[test]
fn a_message_is_a_signed_request_that_nobody_answers() {
    let dir = TempDir::new();
    let link = Arc::new(Recorder::default());
    let path = sample(&dir);
    let mut registrar = registrar(of_file(path.clone()), testing::node(link.clone()));
    smol::block_on(registrar.look(Instant::now()));
    let (subject, bytes) = link.published.lock().unwrap().pop().unwrap();
    assert_eq!(subject, "mt_collective.broadcast.agent.registration");
    let transport = Transport::decode(&bytes).unwrap();
    assert_eq!(transport.reply_to.as_deref(), Some("dev.null"));
    let broker = "nats://localhost:4222".to_owned();
    assert_eq!(transport.hops, [[broker.clone(), "node1.example.net".to_owned(), broker]]);
    let secure = v1::SecureRequest::decode(&transport.data).unwrap();
    let request = Request::decode(transport.version, secure.message.as_bytes()).unwrap();
    let names = (request.agent.as_str(), request.collective.as_str(), request.ttl_secs);
    assert_eq!(names, ("registration", "mt_collective", 77));
    assert_eq!(request.sender, "node1.example.net");
    assert!(request.filter.is_empty());
    let (expected, _) = payload::of_file(&path, false, None).unwrap();
    assert_eq!(request.message, expected);

    // The certificate of a node is on no list of callers, and the signature is its own.
    let denied = testing::provider("alice.mcollective")
        .decode_request(&transport, SystemTime::now())
        .unwrap_err();
    assert!(denied.to_string().contains("node1.example.net"), "{denied}");
}

#[test]
fn each_look_sends_what_is_due_and_no_more() {
    let dir = TempDir::new();
    let link = Arc::new(Recorder::default());
    let path = sample(&dir);
    let mut registrar = registrar(of_file(path.clone()), testing::node(link.clone()));
    let start = Instant::now();
    let mut look = |after: u64| {
        smol::block_on(registrar.look(start + Duration::from_secs(after)));
        let sent = link.published.lock().unwrap().pop();
        sent.map(|(_, bytes)| {
            let transport = Transport::decode(&bytes).unwrap();
            let secure = v1::SecureRequest::decode(&transport.data).unwrap();
            let request = Request::decode(transport.version, secure.message.as_bytes()).unwrap();
            let message: Value = serde_json::from_slice(&request.message).unwrap();
            message["updated"].as_bool().unwrap()
        })
    };
    assert_eq!(look(0), Some(false));
    assert_eq!(look(30), None);
    // A small change is not worth a message, and not forgotten either.
    std::fs::write(&path, r#"{"file": false}"#).unwrap();
    set_time(&path, 1_600_000_000);
    assert_eq!(look(60), None);
    assert_eq!(look(300), Some(true));
    std::fs::write(&path, "x".repeat(100)).unwrap();
    set_time(&path, 1_600_000_001);
    assert_eq!(look(330), Some(true));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(look(900), None);
    std::fs::write(&path, "y".repeat(100)).unwrap();
    set_time(&path, 1_600_000_001);
    assert_eq!(look(930), Some(false));
}

#[test]
fn a_message_that_the_broker_does_not_take_is_tried_again() {
    let dir = TempDir::new();
    let small = Arc::new(Recorder { payload_max: Some(10), ..Recorder::default() });
    let mut registrar = registrar(of_file(sample(&dir)), testing::node(small.clone()));
    let start = Instant::now();
    smol::block_on(registrar.look(start));
    assert!(small.published.lock().unwrap().is_empty());
    let link = Arc::new(Recorder::default());
    registrar.node = Arc::new(testing::node(link.clone()));
    smol::block_on(registrar.look(start + Duration::from_secs(1)));
    assert_eq!(link.published.lock().unwrap().len(), 1);
}
