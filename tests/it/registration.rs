//! Registration of real servers, taken apart by another client: every field of both versions of the protocol.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::KeyPair;
use choria::crypto::rsa;
use choria::crypto::x509::Certificate;
use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::support::{
    Broker, Folder, Organization, Pki, Process, Server, ServerOptions, choria, peers, run, wait_for,
};

const NODE: &str = "n1.example.net";
const AGENT_SUBJECT: &str = "mcollective.broadcast.agent.registration";
const FACTS: &str = "country: mt\nos: {name: Debian, major: 12}\ntext: \"<Grüße & \\\\>\"\n";
const CLASSES: &str = "role::web\nbase\n";

/// nats-py, listening to one subject.
struct Consumer {
    process: Process,
    seen: usize,
}

impl Consumer {
    fn start(folder: &Folder, url: &str, subject: &str, tls: bool) -> Consumer {
        let mut command = Command::new(peers().join("venv/bin/python"));
        let script = "/testdata/interop/nats_py_registration.py";
        command.arg(format!("{}{script}", env!("CARGO_MANIFEST_DIR"))).args([url, subject]);
        if tls {
            let leaf = Pki::shared().leaf("alice.mcollective");
            command.arg(&Pki::shared().ca).arg(leaf.certificate).arg(leaf.key);
        }
        let mut process = Process::start(command, folder.file("consumer.log"));
        process.wait_for_line("ready");
        Consumer { process, seen: 0 }
    }

    /// The next message.
    fn next(&mut self) -> Value {
        let at = self.seen + 1;
        let line = wait_for("a registration message", || {
            let output = self.process.output();
            let (whole, _) = output.rsplit_once('\n')?;
            assert!(!whole.contains("Traceback"), "{output}");
            whole.lines().nth(at).map(str::to_owned)
        });
        self.seen = at;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The next message of a provider.
    fn next_of(&mut self, protocol: &str) -> Value {
        loop {
            let message = self.next();
            if message["body"]["protocol"] == protocol {
                return message;
            }
        }
    }
}

const FILE: &str = "choria:registration:filecontent:1";
const INVENTORY: &str = "choria:registration:inventorycontent:1";

/// Keys that make a server register at once and every second.
fn lines(providers: &str, more: &str) -> String {
    format!("registration = {providers}\nregistration_splay = no\nregisterinterval = 1\n{more}")
}

fn data_line(data: &Path) -> String {
    format!("plugin.choria.registration.file_content.data = {}\n", data.display())
}

/// What both versions have in common: where the message came, and what the file provider says.
fn check_file(message: &Value, broker: &str, path: &Path) {
    assert_eq!(message["subject"], AGENT_SUBJECT);
    assert_eq!((&message["reply"], &message["headers"]), (&json!(""), &Value::Null));
    let hops = json!([[broker, NODE, broker]]);
    let headers = &message["transport"]["headers"];
    assert!(headers["seen-by"] == hops || headers["trace"] == hops, "{headers}");
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).expect("it is there");
    let changed = changed.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let body = &message["body"];
    assert_eq!(body["mtime"], changed);
    assert_eq!((&body["file"], &body["updated"]), (&json!(path), &json!(false)));
    assert_eq!(message["unpacked"], fs::read_to_string(path).expect("text"));
}

/// What the inventory provider says of a server with these collectives.
fn check_inventory(message: &Value, broker: &str, collectives: &Value) {
    let text = message["unpacked"].as_str().expect("text");
    let content: Value = serde_json::from_str(text).expect("JSON");
    let agents: Vec<_> = content["agents"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = agents.iter().map(|agent| &agent["name"]).collect();
    assert_eq!(names, ["choria_policy", "choria_util", "discovery", "rpcutil"]);
    for agent in agents {
        let keys: Vec<_> = agent.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["author", "description", "license", "name", "timeout", "url", "version"]);
    }
    let facts =
        json!({"country": "mt", "os": {"name": "Debian", "major": 12}, "text": "<Grüße & \\>"});
    assert_eq!(content["facts"], facts);
    assert_eq!(content["classes"], json!(["base", "role::web"]));
    assert_eq!(content["collectives"], *collectives);
    let status = &content["status"];
    assert_eq!((&status["identity"], &status["connected_server"]), (&json!(NODE), &json!(broker)));
    // An alive event is due at once in one start of thirty.
    assert!(matches!(status["stats"]["events"].as_u64(), Some(1 | 2)), "{status}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(content["build_info"], json!({"version": version, "sha": "unknown"}));
    assert_eq!(content["machines"], json!([]));
    assert_eq!(content.as_object().expect("an object").len(), 7);
}

fn empty_filter() -> Value {
    json!({"fact": [], "cf_class": [], "agent": [], "identity": [], "compound": []})
}

#[test]
fn registration_of_version_1_is_taken_apart() {
    let folder = Folder::new("registration_v1");
    let broker = Broker::start(&folder);
    let url = format!("nats://localhost:{}", broker.port);
    let secured = format!("tls://localhost:{}", broker.port);
    let mut consumer = Consumer::start(&folder, &secured, AGENT_SUBJECT, true);
    let data = folder.write("cmdb.json", "{\"rack\": 7}\n");
    let extra = lines("file_content, inventory_content", &data_line(&data));
    let options = ServerOptions { facts: FACTS, classes: CLASSES, extra: &extra };
    let _server = Server::start(&folder, NODE, broker.port, &options);
    let file = consumer.next_of(FILE);
    check_file(&file, &url, &data);
    assert_eq!(file["keys"], json!(["mtime", "file", "updated", "protocol", "zcontent"]));
    assert_eq!(file["transport"]["headers"]["reply-to"], "dev.null");
    assert_eq!(file["transport"]["headers"]["mc_sender"], NODE);
    check_request_v1(&file);
    check_signature_v1(&file);
    let inventory = consumer.next_of(INVENTORY);
    assert_eq!(inventory["keys"], json!(["protocol", "zcontent"]));
    check_inventory(&inventory, &url, &json!(["mcollective"]));
    check_signature_v1(&inventory);
}

fn check_request_v1(message: &Value) {
    let envelope = &message["request"]["envelope"];
    assert_eq!(message["request"]["protocol"], "choria:request:1");
    for (key, expected) in [
        ("senderid", json!(NODE)),
        ("callerid", json!(format!("choria={NODE}"))),
        ("collective", json!("mcollective")),
        ("agent", json!("registration")),
        ("ttl", json!(60)),
        ("filter", empty_filter()),
    ] {
        assert_eq!(envelope[key], expected, "{key}");
    }
    assert_eq!(envelope["requestid"].as_str().map(str::len), Some(32));
}

fn check_signature_v1(message: &Value) {
    let secure = &message["secure"];
    let pem = secure["pubcert"].as_str().expect("text");
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let certificate = Certificate::from_der(&certificate).expect("a certificate");
    assert_eq!(certificate.common_name(), Some(NODE));
    let signature = BASE64.decode(secure["signature"].as_str().expect("text").as_bytes());
    let signed = message["signed"].as_str().expect("text").as_bytes();
    rsa::verify_pkcs1_sha256(certificate.public_key_der(), signed, &signature.expect("base64"))
        .expect("the node has signed it");
}

#[test]
fn registration_of_version_2_is_taken_apart() {
    let folder = Folder::new("registration_v2");
    let broker = Broker::start_plain(&folder);
    let url = format!("nats://localhost:{}", broker.port);
    let mut consumer = Consumer::start(&folder, &url, AGENT_SUBJECT, false);
    let organization = Organization::new();
    let data = folder.write("cmdb.json", "{\"rack\": 8}\n");
    let security = organization.server_lines(&folder, NODE) + &organization.issuer_lines();
    let more = data_line(&data)
        + &security
        + "collectives = mcollective, eu\n\
           plugin.choria.registration.file_content.compression = false\n\
           plugin.choria.registration.inventory_content.compression = false\n";
    let extra = lines("inventory_content, file_content", &more);
    let options = ServerOptions { facts: FACTS, classes: CLASSES, extra: &extra };
    let _server = start_plain(&folder, broker.port, &options);
    let file = consumer.next_of(FILE);
    check_file(&file, &url, &data);
    assert_eq!(file["keys"], json!(["mtime", "file", "updated", "protocol", "content"]));
    assert_eq!(file["transport"]["headers"]["reply"], "dev.null");
    assert_eq!(file["transport"]["headers"]["sender"], NODE);
    check_request_v2(&file);
    let key = fs::read_to_string(folder.file(&format!("{NODE}.seed"))).expect("a seed");
    check_signature_v2(&file, key.trim());
    let inventory = consumer.next_of(INVENTORY);
    assert_eq!(inventory["keys"], json!(["protocol", "content"]));
    check_inventory(&inventory, &url, &json!(["mcollective", "eu"]));
    check_signature_v2(&inventory, key.trim());
}

/// A server on a broker without TLS.
fn start_plain(folder: &Folder, port: u16, options: &ServerOptions) -> Process {
    let facts = folder.write("facts.yaml", options.facts);
    let classes = folder.write("classes", options.classes);
    let config = folder.write(
        "server.conf",
        &format!(
            "identity = {NODE}\nloglevel = debug\nplugin.choria.use_srv = false\n\
             plugin.choria.middleware_hosts = localhost:{port}\nrpcauthorization = false\n\
             plugin.yaml = {}\nclassesfile = {}\n{}",
            facts.display(),
            classes.display(),
            options.extra
        ),
    );
    let mut command = choria();
    command.args(["server", "run", "--disable-tls", "--config"]).arg(config);
    Process::start(command, folder.file("server.log"))
}

fn check_request_v2(message: &Value) {
    let request = &message["request"];
    for (key, expected) in [
        ("protocol", json!("io.choria.protocol.v2.request")),
        ("sender", json!(NODE)),
        ("caller", json!(NODE)),
        ("collective", json!("mcollective")),
        ("agent", json!("registration")),
        ("ttl", json!(60)),
        ("filter", empty_filter()),
    ] {
        assert_eq!(request[key], expected, "{key}");
    }
    assert_eq!(request["id"].as_str().map(str::len), Some(27));
}

fn check_signature_v2(message: &Value, seed: &str) {
    let signature =
        BASE64.decode(message["secure"]["signature"].as_str().expect("text").as_bytes());
    let signed = message["signed"].as_str().expect("text").as_bytes();
    let pair = KeyPair::from_seed_hex(seed).expect("a seed");
    pair.public_key().verify(signed, &signature.expect("base64")).expect("the node has signed it");
}

#[test]
fn a_change_of_size_and_a_target_of_its_own() {
    let folder = Folder::new("registration_size");
    let broker = Broker::start_plain(&folder);
    let url = format!("nats://localhost:{}", broker.port);
    let mut consumer = Consumer::start(&folder, &url, "cmdb.>", false);
    let data = folder.write("cmdb.json", "small");
    let old = SystemTime::now() - Duration::from_secs(1_000);
    let file = fs::File::options().write(true).open(&data).expect("it is there");
    file.set_modified(old).expect("its time can be set");
    let security = Pki::shared().security_lines(&Pki::shared().leaf(NODE));
    let more = data_line(&data)
        + &security
        + "registerinterval = 300\nplugin.choria.registration.file_content.target = cmdb.in.7\n\
           plugin.choria.registration.file_content.compression = no\n\
           plugin.choria.registration.size_trigger = 100\n\
           plugin.choria.registration.size_interval = 1\n";
    let options = ServerOptions { extra: &lines("file_content", &more), ..Default::default() };
    let mut server = start_plain(&folder, broker.port, &options);
    let first = consumer.next();
    assert_eq!((&first["subject"], &first["unpacked"]), (&json!("cmdb.in.7"), &json!("small")));
    assert_eq!(first["request"]["envelope"]["agent"], "registration");
    server.wait_for_line("registration: not due");
    // Missing and empty data is said, and ends nothing.
    fs::remove_file(&data).expect("it is there");
    server.wait_for_line("err=could not find data file ");
    fs::write(&data, "").expect("it can be written");
    server.wait_for_line(" is empty");
    fs::write(&data, "large".repeat(100)).expect("it can be written");
    let second = consumer.next();
    assert_eq!(second["unpacked"], "large".repeat(100));
    assert_eq!(second["body"]["updated"], true);
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.output());
}

#[test]
fn mistakes_in_the_keys_of_registration_end_the_start() {
    let folder = Folder::new("registration_mistakes");
    for (lines, expected) in [
        (
            "registration = agentlist",
            ":1: registration = \"agentlist\" is not a provider of data\nhint: allowed are file_content and inventory_content",
        ),
        (
            "registration = file_content",
            "registration = file_content needs plugin.choria.registration.file_content.data",
        ),
        (
            "registration = inventory_content\nplugin.choria.registration.inventory_content.target = a.*.b",
            ":2: plugin.choria.registration.inventory_content.target = \"a.*.b\" cannot be published to",
        ),
        (
            "registration = inventory_content\nregisterinterval = 0",
            ":2: registerinterval = 0 is no time between two registrations",
        ),
        (
            "registration = inventory_content\nregistration_collective = other",
            ":2: registration_collective = \"other\" is not a collective of this server\nhint: allowed are mcollective",
        ),
    ] {
        let text = format!(
            "{lines}\nidentity = {NODE}\nplugin.choria.use_srv = false\n\
             plugin.choria.middleware_hosts = localhost:1\n{}",
            Pki::shared().security_lines(&Pki::shared().leaf(NODE))
        );
        let mut command = choria();
        command.args(["server", "run", "--config"]).arg(folder.write("server.conf", &text));
        let done = run(command, "");
        assert!(done.code == 1 && done.stderr.contains(expected), "{lines}: {done:?}");
    }
}
