//! The bare publish loop: the sink of the adapter with records that lie ready, in a process of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::adapt::sinks::jetstream::{JetStream, JetStreamSettings};
use choria::adapt::{Form, Input, Record, Sink as _, Template, Transformer, Verdict};
use choria::nats::client::Options;
use choria::net::servers::{Server, ServerList};
use choria::sys;

use crate::peers::{TOPIC, transport};

/// Records that lie ready.
const READY: u64 = 2000;

/// Publishes, and prints the CPU seconds it took.
pub fn run(port: u16, count: u64, in_flight_max: usize) {
    let executor = Arc::new(smol::Executor::new());
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", port)]);
    let mut sink = JetStream::new(JetStreamSettings {
        connection: Options::new(servers, executor.clone()),
        servers: "bench".to_owned(),
        subject: Template::parse("bench.data").expect("a template"),
        stream: None,
        in_flight_max,
        timeout: Duration::from_secs(30),
    });
    let mut transformer = Transformer::new(Form::Request, "bench", None);
    let now = SystemTime::now();
    let mut records: Vec<Record> = (0..READY)
        .map(|number| {
            let payload = transport(number);
            let input = Input { subject: TOPIC, payload: &payload, message_id: None };
            transformer.record(&input, now).expect("a record")
        })
        .collect();
    smol::block_on(executor.run(async {
        sink.deliver(&records[..1]).await.expect("is delivered");
        let before = sys::cpu_time();
        let mut done = 0;
        while done < count {
            // Other ids, or the stream would drop them.
            for (index, record) in records.iter_mut().enumerate() {
                record.id.clear();
                record.id.push_str(&format!("bare-{}-{}", std::process::id(), done + index as u64));
            }
            let verdicts = sink.deliver(&records).await.expect("is delivered");
            assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Delivered));
            done += READY;
        }
        println!("{} {}", done, (sys::cpu_time() - before).as_secs_f64());
    }));
}
