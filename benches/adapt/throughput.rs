//! Messages for a CPU-second of the adapter, beside the bare publish loop.

use std::process::Command;
use std::time::{Duration, Instant};

use async_io::Timer;

use choria::nats::client::Client;

use crate::peers::{
    Folder, LIMIT, Peer, TOPIC, WIRE_BYTES, adapter, figure, free_port, make_stream, nats_server,
    stored, transport, with_client,
};

/// What has to be reached.
const PER_CPU_SECOND_MIN: f64 = 50_000.0;
/// The part of the bare loop's figure that is wanted. It is out of reach, see docs/adapters.md, so missing it is said only.
const RATIO_WANTED: f64 = 0.6;
const IN_FLIGHT: u64 = 500;
/// The key for as many messages in memory as may be on their way.
pub const QUEUE: &str = "plugin.choria.adapter.bench.queue_len = 10000\n";
/// Messages that may be on their way to the stream: below what makes anybody drop any.
const AHEAD_MAX: u64 = 8_000;
/// Time between two looks at what was delivered.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Measures in alternating rounds; says whether there are enough messages for a CPU-second.
pub fn run(rounds: u64, count: u64) -> bool {
    let messages: Vec<Vec<u8>> = (0..2000).map(transport).collect();
    let bytes = messages.iter().map(Vec::len).sum::<usize>() / messages.len();
    println!(
        "messages of {bytes} bytes on the wire (at most {WIRE_BYTES}), {count} a round, {IN_FLIGHT} in flight"
    );
    let (mut best_adapter, mut best_bare) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let bare = bare(count);
        let adapter = adapted(&messages, count);
        println!(
            "round {round}: adapter {adapter:.0}, bare loop {bare:.0} messages/CPU s, ratio {:.2}",
            adapter / bare
        );
        best_adapter.push(adapter);
        best_bare.push(bare);
    }
    let (adapter, bare) = (median(best_adapter), median(best_bare));
    let ratio = adapter / bare;
    println!("median: adapter {adapter:.0}, bare loop {bare:.0}, ratio {ratio:.2}");
    println!("wanted: {PER_CPU_SECOND_MIN:.0} and a ratio of {RATIO_WANTED}");
    adapter >= PER_CPU_SECOND_MIN
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The bare loop in a process of its own.
fn bare(count: u64) -> f64 {
    let folder = Folder::new("bench-bare");
    let (_server, port) = nats_server(&folder.0);
    with_client(port, async |client| make_stream(&client).await);
    let own = std::env::current_exe().expect("a path");
    let words = ["bare".to_owned(), port.to_string(), count.to_string(), IN_FLIGHT.to_string()];
    let output = Command::new(own).args(words).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace().map(|word| word.parse::<f64>().expect("a number"));
    let (done, seconds) = (figures.next().expect("a figure"), figures.next().expect("a figure"));
    done / seconds
}

/// The adapter between two servers.
fn adapted(messages: &[Vec<u8>], count: u64) -> f64 {
    let folder = Folder::new("bench-adapt");
    let ((_from, source), (_to, target)) = (nats_server(&folder.0), nats_server(&folder.0));
    let pages = free_port();
    with_client(target, async |client| make_stream(&client).await);
    let adapter = adapter(&folder.0, source, target, pages, QUEUE);
    let (spent, _) = with_client(source, async |publisher| {
        driven(&publisher, messages, &adapter, pages, count).await
    });
    with_client(target, async |client| {
        assert!(stored(&client).await > 0, "the stream has nothing");
    });
    count as f64 / spent.as_secs_f64()
}

/// Has an adapter deliver so many messages; the CPU time it needed, and the time by the clock.
pub async fn driven(
    publisher: &Client,
    messages: &[Vec<u8>],
    adapter: &Peer,
    pages: u16,
    count: u64,
) -> (Duration, Duration) {
    // The first one that gets through shows that it listens.
    let started = Instant::now();
    let mut through = 0;
    while through == 0 {
        assert!(started.elapsed() < LIMIT, "the adapter does not deliver");
        publisher.publish(TOPIC, &messages[0]).await.expect("is published");
        Timer::after(Duration::from_millis(100)).await;
        through = published(pages);
    }
    let (before, started) = (adapter.cpu(), Instant::now());
    let mut sent = 0;
    while sent < count {
        let done = published(pages).saturating_sub(through);
        let room = AHEAD_MAX.saturating_sub(sent.saturating_sub(done)).min(count - sent);
        for _ in 0..room {
            publish_unique(publisher, messages, sent).await;
            sent += 1;
        }
        Timer::after(LOOK_EVERY).await;
    }
    let waiting = Instant::now();
    while published(pages) < through + count {
        let done = published(pages);
        assert!(waiting.elapsed() < LIMIT, "{done} of {count} were delivered");
        Timer::after(LOOK_EVERY).await;
    }
    let spent = (adapter.cpu() - before, started.elapsed());
    assert_eq!(figure(pages, "choria_adapter_dropped_msgs"), 0, "messages were dropped");
    spent
}

fn published(pages: u16) -> u64 {
    figure(pages, "choria_adapter_published_msgs{name=\"bench.0\",role=\"output\"")
}

/// Messages repeat after a while, and the stream takes a repeated one for a duplicate: it costs the adapter the same.
async fn publish_unique(publisher: &Client, messages: &[Vec<u8>], number: u64) {
    let index = usize::try_from(number).unwrap_or(0) % messages.len();
    publisher.publish(TOPIC, &messages[index]).await.expect("is published");
}
