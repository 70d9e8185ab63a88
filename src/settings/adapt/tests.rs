use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::Source;
use crate::settings::Switches;

/// The adapters of a configuration without TLS: names, and what is wrong with them.
fn load(text: &str) -> Vec<(String, Result<Settings, Problem>)> {
    // Tests run at once: each call has a file of its own.
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "choria-adapt-{}-{}.conf",
        std::process::id(),
        CALLS.fetch_add(1, Ordering::Relaxed)
    );
    let path = std::env::temp_dir().join(name);
    let text = format!(
        "identity = b1\nplugin.choria.use_srv = no\nplugin.security.provider = file\n\
         plugin.security.file.certificate = /nosuch\nplugin.security.file.key = /nosuch\n\
         plugin.security.file.ca = /nosuch\n{text}"
    );
    std::fs::write(&path, text).expect("can be written");
    let env = Environment::fixed(&[], "h");
    let source = Source::Broker { path: path.clone() };
    let (config, _) = Config::load(&source, &env, Path::new("/")).expect("can be read");
    std::fs::remove_file(&path).expect("is there");
    let switches = Switches { disable_tls: true, ..Switches::default() };
    let insecure = Insecure::of(switches, &env);
    let around = Around {
        config: &config,
        env: &env,
        insecure,
        security: crate::settings::opened(&config, &env, insecure),
        inside: None,
        flush_limit: Duration::from_secs(1),
    };
    adapters(&around)
}

/// What is wrong with the only adapter, called `a`.
fn wrong(text: &str) -> String {
    let mut made = load(&format!("plugin.choria.adapters = a\n{}", prefixed(text)));
    let (_, settings) = made.remove(0);
    settings.err().map(|problem| problem.to_string()).unwrap_or_default()
}

fn prefixed(text: &str) -> String {
    text.lines().map(|line| format!("plugin.choria.adapter.a.{line}\n")).collect()
}

#[test]
fn the_keys_of_the_reference_make_an_adapter() {
    let text = "plugin.choria.adapters = a, b\nplugin.choria.adapter.b.type = choria_streams\n\
                plugin.choria.adapter.b.ingest.topic = x.>\n";
    let own = prefixed(
        "type = jetstream\nqueue_len = 7\ningest.topic = mcollective.broadcast.agent.registration\ningest.protocol = request\ningest.workers = 3\nstream.servers = js1:4222, js2:4222\nstream.topic = nodes.%s\nstream.workers = 2\nspool.dir = /var/spool/x\nspool.drop = oldest",
    );
    let mut made = load(&format!("{text}{own}"));
    let (_, second) = made.pop().expect("two");
    let (_, first) = made.pop().expect("two");
    let first = first.expect("good");
    assert_eq!(first.queue.records_max, 7);
    assert_eq!(first.sink.describe(), "jetstream js1:4222,js2:4222 nodes.%s");
    let spool = first.spool.expect("has one");
    assert_eq!((spool.bytes_max, spool.rule), (536_870_912, DropRule::Oldest));
    assert_eq!(
        (first.attempts_max, first.ingest.topic.as_str()),
        (None, "mcollective.broadcast.agent.registration")
    );
    let second = second.expect("good");
    assert_eq!(second.sink.describe(), "jetstream (usual brokers) b");
    assert_eq!((second.queue.records_max, second.spool), (1000, None));
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_allowed() {
    for (text, expected) in [
        (
            "ingest.topic = x",
            ".conf: plugin.choria.adapter.a.type is not set: it has to be one of choria_streams, jetstream, nats",
        ),
        (
            "type = kafak\ningest.topic = x",
            ".conf:8: plugin.choria.adapter.a.type = kafak has to be one of choria_streams,",
        ),
        (
            "type = nats_stream",
            ".conf:8: plugin.choria.adapter.a.type = nats_stream: that server is gone, use jetstream",
        ),
        ("type = nats", ".conf: plugin.choria.adapter.a.ingest.topic is not set: "),
        (
            "type = nats\ningest.topic = a b",
            ".conf:9: plugin.choria.adapter.a.ingest.topic = a b is no subject",
        ),
        (
            "type = nats\ningest.topic = a\nstream.topic = x.{y}",
            "stream.topic = x.{y}: {y} means nothing",
        ),
        (
            "type = nats\ningest.topic = a\nstream.topic = x.*",
            "stream.topic = x.*: it is no subject",
        ),
        ("type = nats\ningest.topic = a\nstream.servers = x", "stream.servers = x: invalid host"),
        (
            "type = jetstream\ningest.topic = a\nstream.name = a.b",
            "stream.name = a.b is no name of a stream",
        ),
        (
            "type = nats\ningest.topic = a\ningest.protocol = raw\ningest.verify = yes",
            "ingest.verify = true is not possible with ingest.protocol = raw",
        ),
        (
            "type = nats\ningest.topic = a\ningest.protocol = request\ningest.verify = yes",
            "ingest.verify = true: there is no CA certificate to verify requests with",
        ),
    ] {
        let wrong = wrong(text);
        assert!(wrong.contains(expected), "{text}: {wrong}");
    }
}

#[test]
fn one_broken_adapter_leaves_the_others_alone() {
    let good = |name: &str| {
        format!(
            "plugin.choria.adapter.{name}.type = nats\nplugin.choria.adapter.{name}.ingest.topic = x\nplugin.choria.adapter.{name}.spool.dir = /s\n"
        )
    };
    let text = format!("plugin.choria.adapters = a, b/c, b, d, a\n{}{}", good("a"), good("d"));
    let made = load(&text);
    let problems: Vec<_> = made
        .iter()
        .map(|(name, made)| {
            (name.as_str(), made.as_ref().err().map(ToString::to_string).unwrap_or_default())
        })
        .collect();
    assert_eq!(problems[0], ("a", String::new()));
    assert!(problems[1].1.contains("cannot be the name of an adapter"), "{problems:?}");
    assert!(problems[2].1.contains("type is not set"), "{problems:?}");
    assert!(problems[3].1.contains("is the folder of another adapter"), "{problems:?}");
    assert_eq!(problems[4].1, "the adapter a is listed twice");
}

/// What is wrong with a Kafka adapter of these keys.
#[cfg(feature = "kafka")]
fn wrong_kafka(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("kafka.{line}\n")).collect();
    wrong(&format!("type = kafka\ningest.topic = x\n{keys}"))
}

#[cfg(feature = "kafka")]
#[test]
fn keys_of_kafka_are_checked() {
    for (keys, expected) in [
        ("topic = t", "a.kafka.servers is not set: write host:port"),
        ("servers = k1", "a.kafka.servers = k1: invalid host \"k1\": it has no port"),
        ("servers = tls://k1:9092", "without a scheme"),
        ("servers = k1:9092\ntopic = a b", "a.kafka.topic = a b: a topic has letters"),
        ("servers = k1:9092\ntopic = {node}", "{node} means nothing"),
        ("servers = k1:9092\nkey = {", "a.kafka.key = {: a brace has no counterpart"),
        ("servers = k1:9092\nheaders = x", "a.kafka.headers = x: a header is name=template"),
        ("servers = k1:9092\ntimeout = 0", "a.kafka.timeout = 0 leaves no time"),
        ("servers = k1:9092\ncertificate = /x", "a.kafka.private_key is not set"),
        ("servers = k1:9092\nca = /nosuch", "/nosuch"),
        ("servers = k1:9092\ntls = no\nsasl = plain", "a.kafka.sasl = plain needs TLS"),
        ("servers = k1:9092\ntls = no\nsasl = scram-sha-512", "a.kafka.user is not set"),
        (
            "servers = k1:9092\ntls = no\nsasl = scram-sha-512\nuser = u\npassword_file = /nosuch",
            "a.kafka.password_file = /nosuch: No such file",
        ),
        ("servers = k1:9092, [::1]:9093\ntls = no", ""),
        ("servers = k1:9092", ""),
    ] {
        let got = wrong_kafka(keys);
        assert!(got.contains(expected) && got.is_empty() == expected.is_empty(), "{keys}: {got}");
    }
}

#[test]
fn keys_of_kinesis_are_checked() {
    for (keys, expected) in [
        ("", "a.kinesis.region is not set"),
        ("region = Mars!", "a.kinesis.region = Mars! is no region"),
        (
            "region = eu-west-1",
            "a.kinesis.credentials needs the environment variable AWS_ACCESS_KEY_ID",
        ),
        ("region = eu-west-1\ncredentials = container", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ("region = eu-west-1\ncredentials = file", "a.kinesis.credentials_file is not set"),
        ("region = eu-west-1\nendpoint = localhost", "write https://host"),
        ("region = eu-west-1\nendpoint = https://h/path", "without a path"),
        ("region = eu-west-1\nendpoint = http://localhost:1", "is in clear"),
        (
            "region = eu-west-1\nendpoint = http://example.net\ninsecure = yes",
            "has to be on this machine",
        ),
        ("region = eu-west-1\nstream = a b", "a.kinesis.stream = a b is no name"),
        ("region = eu-west-1\npartition_key = {x}", "{x} means nothing"),
        (
            "region = eu-west-1\ncredentials = instance\nendpoint = http://[::1]:4567/\ninsecure = yes",
            "",
        ),
        ("region = eu-west-1\ncredentials = instance", ""),
    ] {
        let lines: String = keys.lines().map(|line| format!("kinesis.{line}\n")).collect();
        let got = wrong(&format!("type = kinesis\ningest.topic = x\n{lines}"));
        assert!(got.contains(expected) && got.is_empty() == expected.is_empty(), "{keys}: {got}");
    }
}
