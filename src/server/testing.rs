//! What the tests of this module share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::agent::{ActionFuture, Agent, Call, Failure, Metadata};
use super::agents;
use super::authorization::Authorization;
use super::classes::Classes;
use super::counters::Counters;
use super::facts::Facts;
use super::link::{Link, Publishing, Traffic, Unsent};
use super::node::{Connection, Node};
use super::registry::{Hosted, Registry};
use super::settings::ConfigItems;
use super::workers::Workers;
use crate::ddl;
use crate::policy;
use crate::security::{Kind, Provider, Settings};

/// A folder that is removed with the value.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        let name = format!("choria-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection that keeps what is published.
#[derive(Default)]
pub struct Recorder {
    pub published: Mutex<Vec<(String, Vec<u8>)>>,
    /// Larger messages are refused, when set.
    pub payload_max: Option<usize>,
}

impl Link for Recorder {
    fn publish<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> Publishing<'a> {
        let result = if self.payload_max.is_some_and(|max| payload.len() > max) {
            Err(Unsent::TooLarge)
        } else {
            self.published.lock().unwrap().push((subject.to_owned(), payload.to_vec()));
            Ok(())
        };
        Box::pin(std::future::ready(result))
    }

    fn connected_url(&self) -> Option<String> {
        Some("nats://localhost:4222".to_owned())
    }

    fn traffic(&self) -> Traffic {
        Traffic { in_messages: 3, ..Traffic::default() }
    }
}

/// The facts and classes of the node in `testdata/wire/v1`.
pub fn facts() -> Value {
    json!({
        "country": "mt", "uptime": 86400, "load": 0.75, "virtual": true, "swap": false,
        "fqdn": "node1.example.net",
        "os": {"name": "Debian", "family": "Debian", "release": {"major": 12, "full": "12.5"}},
        "processors": {"count": 4, "models": ["EPYC 7B13", "EPYC 7B13"]},
        "memory": {"total_bytes": 8_589_934_592u64, "used_percent": 37.5},
        "disks": ["sda", "sdb"], "role": null, "dotted.key": "yes", "unicode": "Grüße <&> ✓",
    })
}

/// A provider with certificate and key of `testdata/wire/v1/pki`.
pub fn provider(name: &str) -> Arc<Provider> {
    let pki = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v1/pki"));
    let mut settings = Settings::new(Kind::File, name);
    settings.certificate = pki.join(format!("{name}.pem"));
    settings.key = pki.join(format!("{name}.key"));
    settings.ca = pki.join("ca.pem");
    Arc::new(Provider::open(settings).unwrap())
}

/// Policies that allow nothing, because there are none.
pub fn nobody() -> Authorization {
    let settings = policy::Settings::action_policy("/nonexistent/policies");
    Authorization::Policies(Arc::new(policy::Authorizer::new(settings)))
}

/// One pool for all tests.
pub fn workers() -> Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    WORKERS.get_or_init(|| Workers::start(2).unwrap()).clone()
}

/// The built-in agents and one for what they cannot show.
pub fn registry() -> Registry {
    let mut registry = agents::built_in().unwrap();
    registry.register(Hosted::Rpc(Arc::new(Odd::new()))).unwrap();
    registry
}

/// The node of `testdata/wire/v1`.
pub fn node(link: Arc<Recorder>) -> Node {
    let Value::Object(facts) = facts() else { panic!("facts are an object") };
    let registry = registry();
    let classes = ["apache", "nginx", "role::web", "role::web::frontend", "settings"];
    Node {
        identity: "node1.example.net".to_owned(),
        collectives: vec!["mcollective".to_owned(), "mt_collective".to_owned()],
        main_collective: "mcollective".to_owned(),
        config_file: "/etc/choria/server.conf".into(),
        config_items: ConfigItems::new(|key| match key {
            "loglevel" => Some(json!("info")),
            "plugin.choria.middleware_hosts" => Some(json!(["localhost:4222"])),
            "collectives" => Some(json!(["mcollective", "mt_collective"])),
            _ => None,
        }),
        counters: Counters::default(),
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        connection: Connection {
            name: "node1.example.net".to_owned(),
            is_tls: true,
            is_signed: true,
            connect_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            pings_outstanding_max: 2,
        },
        link,
        authorization: Authorization::Off,
        facts: Facts::fixed(facts),
        classes: Classes::fixed(classes.map(str::to_owned).to_vec()),
        workers: workers(),
        agents: registry.metadata().cloned().collect(),
        agent_names: registry.metadata().map(|metadata| metadata.name.clone()).collect(),
    }
}

/// An agent that counts its calls.
pub struct Probe {
    metadata: Metadata,
    ddl: ddl::Agent,
    calls: AtomicUsize,
}

impl Probe {
    pub fn new() -> Probe {
        let ddl = json!({
            "metadata": {"name": "probe"},
            "actions": [{"action": "run", "input": {
                "text": {"type": "string", "maxlength": 10, "validation": "^[a-z]+$"},
            }}],
        });
        let ddl = ddl::Agent::parse(ddl.to_string().as_bytes()).unwrap();
        let metadata = agents::metadata("probe", "Counts", 5, "http://example.net");
        Probe { metadata, ddl, calls: AtomicUsize::new(0) }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Agent for Probe {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn ddl(&self) -> &ddl::Agent {
        &self.ddl
    }

    fn handle<'a>(&'a self, _: &'a Call) -> ActionFuture<'a> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(json!({}))))
    }
}

/// An agent that misbehaves on request.
pub struct Odd {
    metadata: Metadata,
    ddl: ddl::Agent,
}

impl Odd {
    fn new() -> Odd {
        let ddl = json!({
            "metadata": {"name": "odd"},
            "actions": [
                {"action": "panic"}, {"action": "sleep"}, {"action": "nothing"},
                {"action": "fail"}, {"action": "large"},
                {"action": "defaults", "output": {
                    "given": {"default": "unused"}, "missing": {"default": 7}, "bare": {},
                }},
                {"action": "typed", "input": {
                    "text": {"type": "string", "maxlength": 4, "validation": "^[a-z]+$"},
                    "count": {"type": "integer", "optional": true},
                    "flag": {"type": "boolean", "optional": true},
                }},
            ],
        });
        let ddl = ddl::Agent::parse(ddl.to_string().as_bytes()).unwrap();
        Odd { metadata: agents::metadata("odd", "Misbehaves", 1, "http://example.net"), ddl }
    }
}

impl Agent for Odd {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn ddl(&self) -> &ddl::Agent {
        &self.ddl
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn handle<'a>(&'a self, call: &'a Call) -> ActionFuture<'a> {
        Box::pin(async move {
            match call.action.as_str() {
                "panic" => panic!("on purpose"),
                "sleep" => {
                    smol::Timer::after(Duration::from_secs(600)).await;
                    Ok(Value::Null)
                }
                "fail" => Err(Failure::aborted("it did not work")),
                "large" => Ok(json!({"text": "x".repeat(10_000)})),
                "defaults" => Ok(json!({"given": 1})),
                "typed" => Ok(json!({"seen": call.data})),
                _ => Ok(Value::Null),
            }
        })
    }
}
