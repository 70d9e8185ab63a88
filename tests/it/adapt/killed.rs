//! Servers and adapters that are killed: nothing that the adapter had taken is lost.

use std::time::{Duration, Instant};

use async_io::Timer;

use super::super::support::Folder;
use super::world::{
    Running, Streams, TOPIC, adapter, make_stream, reader, registration, url, with_client,
};

/// How often the target is killed.
const KILLS: u64 = 3;

/// Publishes a part of the messages, not faster than the adapter takes them.
fn publish(port: u16, numbers: std::ops::Range<u64>, adapter: &Running, taken_before: u64) {
    const AHEAD_MAX: u64 = 4000;
    with_client(port, async |client| {
        let start = numbers.start;
        for number in numbers {
            let data = format!(r#"{{"n":{number},"fill":"{}"}}"#, "x".repeat(600));
            let (transport, _) = registration(number, data.as_bytes());
            client.publish(TOPIC, &transport.encode()).await.expect("is published");
            if number % 1000 == 999 {
                while number - start > adapter.received("inv", "input") - taken_before + AHEAD_MAX {
                    Timer::after(Duration::from_millis(10)).await;
                }
            }
        }
        client.flush(Duration::from_secs(10)).await.expect("is flushed");
    });
}

/// Waits until the adapter has taken so many messages.
fn taken(adapter: &Running, count: u64) {
    let started = Instant::now();
    while adapter.received("inv", "input") < count {
        let has = adapter.received("inv", "input");
        assert!(started.elapsed() < Duration::from_secs(120), "it has taken {has} of {count}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // What was counted is in the queue a moment later, and on disk when an attempt has failed.
    std::thread::sleep(Duration::from_secs(1));
}

/// A part of the messages goes out before, while and after each kill of the target; the adapter is killed while the second
/// target is away and it has taken everything.
fn nothing_is_lost(name: &str, count: u64) {
    let folder = Folder::new(name);
    let source = Streams::start(&folder, "source", false);
    let mut target = Some(Streams::start(&folder, "target", false));
    let port = target.as_ref().map(|target| target.port).expect("runs");
    make_stream(port, false);
    let lines = format!(
        "plugin.choria.middleware_hosts = 127.0.0.1:{}\nplugin.choria.adapters = inv\n{}",
        source.port,
        adapter(
            "inv",
            port,
            &format!("spool.dir = {}\nstream.timeout = 3s", folder.file("spool").display())
        )
    );
    let mut adapter = Running::start(&folder, false, &lines);
    let part = count / (2 * KILLS + 1);
    let (mut next, mut taken_before) = (0, 0);
    for kill in 0..KILLS {
        publish(source.port, next..next + part, &adapter, taken_before);
        let Some(running) = target.take() else { panic!("the target runs") };
        running.kill();
        publish(source.port, next + part..next + 2 * part, &adapter, taken_before + part);
        next += 2 * part;
        if kill == 1 {
            taken(&adapter, taken_before + 2 * part);
            adapter.process.signal("KILL");
            // It has the spool until it is gone.
            adapter.process.wait();
            adapter = Running::start(&folder, false, &lines);
            taken_before = 0;
        } else {
            taken_before += 2 * part;
        }
        target = Some(Streams::start_on(&folder, "target", false, port));
    }
    publish(source.port, next..count, &adapter, taken_before);
    let started = Instant::now();
    taken(&adapter, taken_before + count - next);
    loop {
        let waiting = adapter.figure("choria_adapter_spooled_msgs")
            + adapter.figure("choria_adapter_queue_length")
            + adapter.figure("choria_adapter_in_flight");
        if waiting == 0 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(600), "{waiting} messages wait");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(adapter.figure("choria_adapter_dropped_msgs"), 0);
    let said = reader(&["count", &url(port, false), &count.to_string()]);
    // Duplicates within the window of the stream are dropped by their ids.
    assert_eq!(said, format!("{count} messages, 0 of them twice\n"));
    println!("{name}: {said}");
}

/// Names the number of messages for long runs.
const COUNT: &str = "CHORIA_TEST_MESSAGES";

#[test]
fn nothing_is_lost_when_target_and_adapter_are_killed() {
    let count = std::env::var(COUNT).map_or(21_000, |count| count.parse().expect(COUNT));
    nothing_is_lost("adapt_killed", count);
}
