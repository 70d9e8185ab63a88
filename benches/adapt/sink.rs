//! Messages a second, and for a CPU-second of the adapter, with any sink.

use crate::peers::{Folder, adapter, free_port, nats_server, transport, with_client};
use crate::throughput::{QUEUE, driven};

/// Measures the sink of these keys, written as below `plugin.choria.adapter.NAME.`; there is no bar for it.
pub fn run(count: u64, keys: &[&str]) -> bool {
    let messages: Vec<Vec<u8>> = (0..2000).map(transport).collect();
    let folder = Folder::new("bench-sink");
    let (_from, source) = nats_server(&folder.0);
    let pages = free_port();
    let lines = keys.iter().map(|key| format!("plugin.choria.adapter.bench.{key}\n"));
    let extra = lines.collect::<String>() + QUEUE;
    let adapter = adapter(&folder.0, source, source, pages, &extra);
    let (cpu, wall) = with_client(source, async |publisher| {
        driven(&publisher, &messages, &adapter, pages, count).await
    });
    let per_second = |time: std::time::Duration| count as f64 / time.as_secs_f64();
    println!(
        "{}: {count} messages, {:.0} a second, {:.0} for a CPU-second of the adapter",
        keys[0],
        per_second(wall),
        per_second(cpu)
    );
    true
}
