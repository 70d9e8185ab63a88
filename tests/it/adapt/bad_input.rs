//! Messages that are not what they should be: counted, and others are not affected.

use std::time::Duration;

use choria::protocol::{Transport, Version};

use super::super::support::{Folder, wait_for};
use super::world::{
    Running, Streams, TOPIC, adapter, make_stream, registration, until, with_client,
};

#[test]
fn malformed_messages_are_counted_and_others_pass() {
    let folder = Folder::new("adapt_malformed");
    let streams = Streams::start(&folder, "both", false);
    make_stream(streams.port, false);
    let raw = format!(
        "type = jetstream\ningest.topic = raw.in\ningest.protocol = raw\nstream.servers = 127.0.0.1:{}\nstream.topic = choria.data.raw\n",
        streams.port
    );
    let raw: String =
        raw.lines().map(|line| format!("plugin.choria.adapter.raw.{line}\n")).collect();
    let lines = format!(
        "plugin.choria.middleware_hosts = 127.0.0.1:{}\nplugin.choria.adapters = inv, raw\n{}{raw}",
        streams.port,
        adapter("inv", streams.port, "")
    );
    let adapter = Running::start(&folder, false, &lines);
    wait_for("both adapters", || {
        (adapter.process.output().matches("adapt: reading ").count() == 2).then_some(())
    });
    let (good, _) = registration(1, b"{}");
    let good = good.encode();
    let large = vec![b'x'; 1024 * 1024];
    let reply =
        Transport::new(Version::V1, br#"{"protocol":"choria:secure:reply:1"}"#.to_vec(), "n");
    let mut empty_sender = registration(2, b"{}").1;
    empty_sender.sender = "a b\r\nX: 1".to_owned();
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{}".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        good[..good.len() / 2].to_vec(),
        large.clone(),
        reply.encode(),
        br#"{"protocol":"choria:transport:9","data":""}"#.to_vec(),
    ];
    with_client(streams.port, async |client| {
        for message in &bad {
            client.publish(TOPIC, message).await.expect("is published");
            client.publish(TOPIC, &good).await.expect("is published");
        }
        // As data it is text; but the output is larger than the target's servers take.
        client.publish("raw.in", &large).await.expect("is published");
        client.publish("raw.in", b"small").await.expect("is published");
        client.flush(Duration::from_secs(10)).await.expect("is flushed");
    });
    until("good messages", bad.len() as u64, || adapter.delivered("inv"));
    assert_eq!(adapter.errors("inv", "input"), bad.len() as u64);
    assert_eq!(adapter.received("inv", "input"), 2 * bad.len() as u64);
    until("the small one", 1, || adapter.delivered("raw"));
    let refused =
        "choria_adapter_dropped_msgs{name=\"raw\",identity=\"localhost\",reason=\"refused\"}";
    until("the large one", 1, || adapter.figure(refused));
    assert_eq!(adapter.errors("raw", "output"), 1);
    let said = adapter.process.output();
    assert!(said.contains("message not used adapter=inv"), "{said}");
    assert!(said.contains("messages dropped adapter=raw count=1 reason=refused"), "{said}");
}
