//! Memory and spool of an adapter whose target takes nothing.

use std::fs;
use std::time::{Duration, Instant};

use async_io::Timer;

use crate::peers::{
    Folder, TOPIC, adapter, figure, free_port, make_stream, nats_server, transport, with_client,
};

/// What may be resident.
const RSS_KIB_MAX: u64 = 64 * 1024;
const SPOOL_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Messages a second.
const RATE: u64 = 5_000;
/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// Publishes for a while with a target that is stopped; says whether memory and spool stay within their limits and the
/// target gets everything that was not dropped afterwards.
pub fn run(seconds: u64) -> bool {
    let messages: Vec<Vec<u8>> = (0..2000).map(transport).collect();
    let folder = Folder::new("bench-stalled");
    let ((_from, source), (to, target)) = (nats_server(&folder.0), nats_server(&folder.0));
    let pages = free_port();
    with_client(target, async |client| make_stream(&client).await);
    let spool = folder.0.join("spool");
    let extra = format!(
        "plugin.choria.adapter.bench.spool.dir = {}\nplugin.choria.adapter.bench.spool.max_bytes = {SPOOL_BYTES_MAX}\n\
         plugin.choria.adapter.bench.spool.drop = oldest\n",
        spool.display()
    );
    let adapter = adapter(&folder.0, source, target, pages, &extra);
    let (mut rss, mut on_disk, mut sent) = (0, 0, 0_u64);
    with_client(source, async |publisher| {
        while figure(pages, "choria_adapter_published_msgs{name=\"bench.0\",role=\"output\"") == 0 {
            publisher.publish(TOPIC, &messages[0]).await.expect("is published");
            sent += 1;
            Timer::after(Duration::from_millis(100)).await;
        }
        to.signal("STOP");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(seconds) {
            let due = RATE * started.elapsed().as_millis() as u64 / 1000;
            while sent < due {
                let index = usize::try_from(sent).unwrap_or(0) % messages.len();
                publisher.publish(TOPIC, &messages[index]).await.expect("is published");
                sent += 1;
            }
            rss = rss.max(adapter.rss_kib());
            on_disk = on_disk.max(size(&spool));
            Timer::after(TICK).await;
        }
        to.signal("CONT");
        let recovered = Instant::now();
        while figure(pages, "choria_adapter_spooled_msgs") > 0 {
            assert!(recovered.elapsed() < Duration::from_secs(600), "the spool does not empty");
            rss = rss.max(adapter.rss_kib());
            Timer::after(Duration::from_millis(500)).await;
        }
        println!("the spool was empty {:?} after the target went on", recovered.elapsed());
    });
    let received = figure(pages, "choria_adapter_received_msgs{name=\"bench.0\",role=\"input\"");
    let delivered = figure(pages, "choria_adapter_published_msgs{name=\"bench.0\",role=\"output\"");
    let dropped = figure(pages, "choria_adapter_dropped_msgs");
    let of_spool = figure(
        pages,
        "choria_adapter_dropped_msgs{name=\"bench\",identity=\"adapter.example.net\",reason=\"spool_full\"",
    );
    println!(
        "sent {sent}, received {received}, delivered {delivered}, dropped {dropped} (oldest of the spool {of_spool})"
    );
    println!(
        "largest RSS {rss} KiB (bar {RSS_KIB_MAX}), largest spool {on_disk} bytes (limit {SPOOL_BYTES_MAX})"
    );
    let is_whole = received == delivered + dropped;
    if !is_whole {
        println!("messages are missing");
    }
    rss <= RSS_KIB_MAX && on_disk <= SPOOL_BYTES_MAX && is_whole
}

/// Bytes of the segments of a spool.
fn size(folder: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|data| data.len()).sum()
}
