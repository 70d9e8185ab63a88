use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::protocol::filter::Operator;
use crate::protocol::rpc::DISCOVERY_PING;
use crate::protocol::{Federation, Reply, v1};
use crate::server::counters::Snapshot;
use crate::server::testing::{self, Recorder};

/// The time that tests run at; certificates of `testdata/wire/v1/pki` are valid then.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_366_991)
}

struct Harness {
    pipeline: Arc<Pipeline>,
    link: Arc<Recorder>,
    executor: Arc<Executor<'static>>,
}

impl Harness {
    fn new() -> Harness {
        Harness::with(Authorization::Off, Limits::default(), Recorder::default())
    }

    fn with(authorization: Authorization, limits: Limits, link: Recorder) -> Harness {
        let link = Arc::new(link);
        let executor = Arc::new(Executor::new());
        let pipeline = Pipeline::new(Parts {
            node: Arc::new(testing::node(link.clone())),
            agents: testing::registry(),
            authorization,
            audit: None,
            security: testing::provider("node1.example.net"),
            workers: testing::workers(),
            executor: executor.clone(),
            limits,
        });
        Harness { pipeline, link, executor }
    }

    /// Feeds one message and runs until nothing is left to do.
    fn feed(&self, raw: Vec<u8>, now: SystemTime) {
        smol::block_on(self.executor.run(async {
            self.pipeline.accept(raw, now).await;
            while !self.executor.is_empty() {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        }));
    }

    /// What was published since the last call.
    fn sent(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.link.published.lock().unwrap())
    }

    /// The one reply sent since the last call: subject, envelope, reply.
    fn reply(&self) -> (String, Transport, Reply) {
        let sent = self.sent();
        let [(subject, raw)] = sent.as_slice() else { panic!("{} replies", sent.len()) };
        let transport = Transport::decode(raw).unwrap();
        let secure = v1::SecureReply::decode(&transport.data).unwrap();
        let reply = Reply::decode(transport.version, secure.message.as_bytes()).unwrap();
        (subject.clone(), transport, reply)
    }

    fn body(&self) -> Value {
        serde_json::from_slice(&self.reply().2.message).unwrap()
    }

    /// Total, valid, invalid, passed, filtered, replies, expired.
    fn counts(&self) -> [u64; 7] {
        let Snapshot { total, valid, invalid, passed, filtered, replies, ttl_expired, .. } =
            self.pipeline.parts.node.counters.snapshot();
        [total, valid, invalid, passed, filtered, replies, ttl_expired]
    }
}

fn request(agent: &str, message: &[u8]) -> Request {
    let caller = "choria=alice.mcollective";
    let mut request = Request::new(agent, "mcollective", "shell.example.net", caller, now());
    request.message = message.to_vec();
    request
}

fn rpc(agent: &str, action: &str) -> Request {
    request(agent, json!({"agent": agent, "action": action, "data": {}}).to_string().as_bytes())
}

const REPLY_TO: &str = "mcollective.reply.x.y";

fn transport(request: &Request) -> Transport {
    let provider = testing::provider("alice.mcollective");
    provider.encode_request(request, REPLY_TO).unwrap()
}

fn raw(request: &Request) -> Vec<u8> {
    transport(request).encode()
}

/// A capture of `testdata/wire/v1`: its bytes and the time it was made at.
fn capture(name: &str) -> (Vec<u8>, SystemTime) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v1");
    let read = |suffix: &str| std::fs::read(format!("{folder}/{name}.{suffix}.json")).unwrap();
    let meta: Value = serde_json::from_slice(&read("meta")).unwrap();
    let secs = meta["time"].as_u64().unwrap();
    (read("request"), SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
}

#[test]
fn a_request_is_answered_and_counted() {
    let harness = Harness::new();
    let request = rpc("rpcutil", "collective_info");
    harness.feed(raw(&request), now());
    let (subject, transport, reply) = harness.reply();
    assert_eq!(subject, REPLY_TO);
    assert_eq!(transport.sender.as_deref(), Some("node1.example.net"));
    assert_eq!((transport.reply_to, transport.federation), (None, None));
    let url = "nats://localhost:4222";
    assert_eq!(transport.hops, [[url, "node1.example.net", url].map(str::to_owned)]);
    assert_eq!((reply.request_id, reply.agent.as_str()), (request.id, "rpcutil"));
    assert_eq!(reply.sender, "node1.example.net");
    let body: Value = serde_json::from_slice(&reply.message).unwrap();
    assert_eq!(body["data"]["main_collective"], json!("mcollective"));
    assert_eq!(harness.counts(), [1, 1, 0, 1, 0, 1, 0]);
    assert_eq!(harness.pipeline.parts.node.counters.last_message(), 1_795_366_991);
}

/// What never gets an answer: the message, then the counters it leaves.
fn silent(name: &str, raw: Vec<u8>, counts: [u64; 7]) {
    let harness = Harness::new();
    harness.feed(raw, now());
    assert_eq!(harness.sent(), [], "{name} was answered");
    assert_eq!(harness.counts(), counts, "{name}");
}

const INVALID: [u64; 7] = [1, 0, 1, 0, 0, 0, 0];
const INVALID_AFTER_FILTER: [u64; 7] = [1, 0, 1, 1, 0, 0, 0];
const FILTERED: [u64; 7] = [1, 0, 0, 0, 1, 0, 0];
const EXPIRED: [u64; 7] = [1, 0, 0, 1, 0, 0, 1];
const VALID_WITHOUT_REPLY: [u64; 7] = [1, 1, 0, 1, 0, 0, 0];

#[test]
fn what_is_no_transport_is_dropped() {
    for raw in ["", "{}", "ping", "\u{0}", r#"{"protocol":"io.choria.protocol.v2.transport"}"#] {
        silent(raw, raw.as_bytes().to_vec(), INVALID);
    }
}

#[test]
fn what_is_not_proven_is_dropped() {
    let good = transport(&rpc("rpcutil", "ping"));
    let secure = v1::SecureRequest::decode(&good.data).unwrap();
    let with = |change: &dyn Fn(&mut v1::SecureRequest)| {
        let mut changed = secure.clone();
        change(&mut changed);
        Transport { data: changed.encode().unwrap(), ..good.clone() }.encode()
    };
    silent(
        "no secure request",
        Transport { data: b"{}".to_vec(), ..good.clone() }.encode(),
        INVALID,
    );
    silent("changed message", with(&|s| s.message = s.message.replace("ping", "pong")), INVALID);
    silent("no base64", with(&|s| s.signature = "?".to_owned()), INVALID);
    silent("unsigned", with(&|s| s.signature = "insecure".to_owned()), INVALID);
    silent("no certificate", with(&|s| s.pubcert = "insecure".to_owned()), INVALID);
    for name in ["untrusted_ca", "expired", "caller_mismatch", "not_allowed"] {
        let harness = Harness::new();
        let (raw, time) = capture(&format!("rejected_{name}"));
        harness.feed(raw, time);
        assert_eq!((harness.sent().len(), harness.counts()), (0, INVALID), "{name}");
    }
}

#[test]
fn what_is_meant_for_others_is_skipped() {
    let filtered = |change: &dyn Fn(&mut Request)| {
        let mut request = rpc("rpcutil", "ping");
        change(&mut request);
        silent("filtered", raw(&request), FILTERED);
    };
    filtered(&|r| r.filter.add_identity("node2.example.net"));
    filtered(&|r| r.filter.add_class("mysql"));
    filtered(&|r| r.filter.add_agent("puppet"));
    filtered(&|r| r.filter.add_fact("country", Operator::Equal, "de"));
    filtered(&|r| r.filter.add_compound("with('apache')"));
    // The filter comes before everything else about the request.
    filtered(&|r| {
        r.filter.add_class("mysql");
        r.collective = "other".to_owned();
        r.time = now() - Duration::from_secs(1000);
    });
}

#[test]
fn what_fits_is_answered() {
    let harness = Harness::new();
    let mut request = rpc("rpcutil", "ping");
    request.filter.add_identity("/^node\\d+/");
    request.filter.add_class("/^ROLE::/");
    request.filter.add_class("apache");
    request.filter.add_agent("discovery");
    request.filter.add_fact("os.release.major", Operator::GreaterOrEqual, "12");
    harness.feed(raw(&request), now());
    assert_eq!(harness.body()["statusmsg"], json!("OK"));
}

#[test]
fn only_members_of_the_collective_are_asked() {
    let mut request = rpc("rpcutil", "ping");
    request.collective = "other".to_owned();
    silent("other collective", raw(&request), INVALID_AFTER_FILTER);
    request.collective = "mt_collective".to_owned();
    let harness = Harness::new();
    harness.feed(raw(&request), now());
    assert_eq!(harness.reply().0, REPLY_TO);
}

#[test]
fn replies_go_to_real_subjects_only() {
    for bad in ["", "a b", "a.*", "a.>", ".a", "a..b", "a."] {
        let mut transport = transport(&rpc("rpcutil", "ping"));
        transport.reply_to = Some(bad.to_owned());
        silent(bad, transport.encode(), INVALID_AFTER_FILTER);
    }
}

#[test]
fn only_the_time_to_live_is_accepted() {
    for (offset, counts) in [(-60, EXPIRED), (60, EXPIRED), (-1000, EXPIRED)] {
        let mut request = rpc("rpcutil", "ping");
        let distance = Duration::from_secs(i64::unsigned_abs(offset));
        request.time = if offset < 0 { now() - distance } else { now() + distance };
        silent("expired", raw(&request), counts);
    }
    let harness = Harness::new();
    for offset in [-59, 0, 59] {
        let mut request = rpc("rpcutil", "ping");
        let distance = Duration::from_secs(i64::unsigned_abs(offset));
        request.time = if offset < 0 { now() - distance } else { now() + distance };
        harness.feed(raw(&request), now());
    }
    assert_eq!(harness.sent().len(), 3);
}

#[test]
fn a_replay_is_refused() {
    let harness = Harness::new();
    let message = raw(&rpc("rpcutil", "ping"));
    for _ in 0..3 {
        harness.feed(message.clone(), now());
    }
    assert_eq!(harness.sent().len(), 1);
    assert_eq!(harness.counts(), [3, 1, 2, 3, 0, 1, 0]);
}

#[test]
fn agents_that_are_not_there_and_late_ones_are_silent() {
    silent("no agent", raw(&rpc("nosuch", "ping")), VALID_WITHOUT_REPLY);
    silent("late", raw(&rpc("odd", "sleep")), VALID_WITHOUT_REPLY);
    silent("no ping", raw(&request("discovery", b"hello")), VALID_WITHOUT_REPLY);
}

#[test]
fn discovery_answers_without_authorization() {
    let harness = Harness::with(testing::nobody(), Limits::default(), Recorder::default());
    harness.feed(raw(&request("discovery", DISCOVERY_PING)), now());
    assert_eq!(harness.reply().2.message, b"pong");
    harness.feed(raw(&rpc("rpcutil", "ping")), now());
    let body = harness.body();
    assert_eq!(body["statuscode"], json!(1));
    assert_eq!(body["statusmsg"], json!("You are not authorized to call this agent or action"));
    assert_eq!(harness.counts(), [2, 2, 0, 2, 0, 2, 0]);
}

#[test]
fn federation_headers_and_hops_come_back() {
    let harness = Harness::new();
    let mut federated = transport(&rpc("rpcutil", "ping"));
    let federation = Federation {
        request_id: "r".to_owned(),
        reply_to: "mcollective.reply.a.b".to_owned(),
        targets: Vec::new(),
    };
    federated.federation = Some(federation.clone());
    federated.append_hop("in", "fed", "out");
    harness.feed(federated.encode(), now());
    let (subject, transport, _) = harness.reply();
    assert_eq!(subject, REPLY_TO);
    assert_eq!(transport.federation, Some(federation));
    assert_eq!(transport.hops.len(), 2);
    assert_eq!(transport.hops[0], ["in", "fed", "out"].map(str::to_owned));
}

#[test]
fn a_panic_costs_only_its_own_request() {
    let harness = Harness::new();
    harness.feed(raw(&rpc("odd", "panic")), now());
    assert_eq!(harness.body()["statuscode"], json!(5));
    assert_eq!(harness.pipeline.parts.node.counters.panics.value(), 1);
    harness.feed(raw(&rpc("rpcutil", "ping")), now());
    assert_eq!(harness.body()["statuscode"], json!(0));
}

#[test]
fn too_much_at_once_is_dropped_and_discovery_still_answers() {
    let limits = Limits { per_agent: 0, bytes: 1 << 20 };
    let harness = Harness::with(Authorization::Off, limits, Recorder::default());
    harness.feed(raw(&rpc("rpcutil", "ping")), now());
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.pipeline.parts.node.counters.overloaded.value(), 1);
    harness.feed(raw(&request("discovery", DISCOVERY_PING)), now());
    assert_eq!(harness.sent().len(), 1);
}

#[test]
fn a_reply_too_large_is_told() {
    let link = Recorder { payload_max: Some(4096), ..Recorder::default() };
    let harness = Harness::with(Authorization::Off, Limits::default(), link);
    harness.feed(raw(&rpc("odd", "large")), now());
    let body = harness.body();
    assert_eq!(body["statuscode"], json!(5));
    assert_eq!(body["statusmsg"], json!("The reply is too large to be sent"));
    assert_eq!(harness.counts(), [1, 1, 0, 1, 0, 1, 0]);
}

/// The answer to a captured request is that of the reference, apart from `except`.
fn check_capture(name: &str, except: &[&str]) {
    let harness = Harness::new();
    let (raw, time) = capture(name);
    harness.feed(raw, time);
    let path = format!("{}/testdata/wire/v1/{name}.reply.json", env!("CARGO_MANIFEST_DIR"));
    let theirs = Transport::decode(&std::fs::read(path).unwrap()).unwrap();
    let secure = v1::SecureReply::decode(&theirs.data).unwrap();
    let expected = Reply::decode(theirs.version, secure.message.as_bytes()).unwrap();
    let (_, ours, reply) = harness.reply();
    assert_eq!(ours.sender, theirs.sender, "{name}");
    assert_eq!(ours.federation, theirs.federation, "{name}");
    assert_eq!(ours.hops.len(), theirs.hops.len(), "{name}");
    let mut left = parse(&reply.message);
    let mut right = parse(&expected.message);
    for field in except {
        left["data"][*field] = Value::Null;
        right["data"][*field] = Value::Null;
    }
    assert_eq!(left, right, "{name}");
    assert_eq!(
        (reply.request_id, reply.agent, reply.sender),
        (expected.request_id, expected.agent, expected.sender)
    );
}

fn parse(message: &[u8]) -> Value {
    serde_json::from_slice(message)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(message).into_owned()))
}

#[test]
fn captured_requests_get_the_answers_of_the_reference() {
    for name in ["ping", "rpcutil_discovery", "filtered", "federated_ping_collective"] {
        check_capture(name, &[]);
    }
    check_capture("rpcutil_get_fact", &[]);
    check_capture("rpcutil_get_data_error", &[]);
    check_capture("rpcutil_ping", &["pong"]);
    check_capture("filtered_direct", &["pong"]);
    check_capture("privileged", &["pong"]);
    check_capture("privileged_other_caller", &["pong"]);
    let ours = ["agents", "collectives", "data_plugins", "version"];
    check_capture("rpcutil_inventory", &ours);
    check_capture("federated_collective", &ours);
}

#[test]
fn damaged_messages_never_panic() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let harness = Harness::new();
    let (good, time) = capture("federated_collective");
    for round in 0..300 {
        let mut raw = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..raw.len());
            match random.u8(..3) {
                0 => raw[at] ^= 1 << random.u8(..8),
                1 => raw.truncate(at.max(1)),
                _ => raw[at] = b'"',
            }
        }
        harness.feed(raw, time);
        let counters = &harness.pipeline.parts.node.counters;
        assert_eq!(counters.panics.value(), 0, "seed {seed} round {round}");
    }
    assert_eq!(harness.counts()[0], 300);
}
