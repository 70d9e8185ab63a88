//! What an adapter did, for Prometheus. Names and labels are those of go-choria (`broker/adapter/stats`); here every figure
//! counts what its name says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::util::exposition::Exposition;

/// Why records were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The queue was full and there is no spool.
    QueueFull,
    /// The spool was full.
    SpoolFull,
    /// The spool could not be written or read.
    SpoolFault,
    /// The connection delivered faster than messages were read.
    Ingest,
    /// The sink will never take it.
    Refused,
    /// It was tried as often as allowed.
    Attempts,
    /// The adapter ended before they were delivered.
    Shutdown,
}

impl Reason {
    /// All of them, with their words in metrics.
    const ALL: [(Reason, &'static str); 7] = [
        (Reason::QueueFull, "queue_full"),
        (Reason::SpoolFull, "spool_full"),
        (Reason::SpoolFault, "spool_fault"),
        (Reason::Ingest, "ingest"),
        (Reason::Refused, "refused"),
        (Reason::Attempts, "attempts"),
        (Reason::Shutdown, "shutdown"),
    ];

    /// The word in metrics and logs.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// One side of an adapter.
#[derive(Debug, Default)]
pub struct Side {
    received: AtomicU64,
    published: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
}

/// Everything one adapter counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the network to the queue.
    pub input: Side,
    /// From the queue to the sink.
    pub output: Side,
    retried: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
    queued: AtomicU64,
    capacity: AtomicU64,
    in_flight: AtomicU64,
    spooled_bytes: AtomicU64,
    spooled_records: AtomicU64,
    is_stuck: AtomicBool,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

fn set(gauge: &AtomicU64, value: usize) {
    gauge.store(value as u64, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Side {
    /// Messages that came to this side.
    pub fn receive(&self, count: usize, bytes: usize) {
        add(&self.received, count);
        add(&self.bytes, bytes);
    }

    /// Messages that this side has passed on for good.
    pub fn publish(&self, count: usize) {
        add(&self.published, count);
    }

    /// Messages that could not be handled.
    pub fn fail(&self, count: usize) {
        add(&self.errors, count);
    }

    /// Time that messages took.
    pub fn spend(&self, time: Duration) {
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Messages that were passed on for good.
    pub fn published(&self) -> u64 {
        get(&self.published)
    }

    /// Messages that came.
    pub fn received(&self) -> u64 {
        get(&self.received)
    }

    /// Messages that could not be handled.
    pub fn errors(&self) -> u64 {
        get(&self.errors)
    }
}

impl Counters {
    /// Deliveries that have to be tried again.
    pub fn retry(&self, count: usize) {
        add(&self.retried, count);
    }

    /// Records that were given up.
    pub fn lose(&self, reason: Reason, count: usize) {
        add(&self.dropped[reason as usize], count);
    }

    /// Records that were given up for a reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        get(&self.dropped[reason as usize])
    }

    /// What waits in memory now, and how much may.
    pub fn queue(&self, records: usize, capacity: usize) {
        set(&self.queued, records);
        set(&self.capacity, capacity);
    }

    /// What waits on disk now.
    pub fn spool(&self, records: u64, bytes: u64) {
        self.spooled_records.store(records, Ordering::Relaxed);
        self.spooled_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What the sink has in its hands now.
    pub fn flight(&self, records: usize) {
        set(&self.in_flight, records);
    }

    /// The last attempt to deliver has failed, or has not.
    pub fn stick(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Ordering::Relaxed);
    }

    /// Whether the last attempt to deliver has failed.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// Records on disk.
    pub fn spooled(&self) -> u64 {
        get(&self.spooled_records)
    }
}

/// One adapter with its labels.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// Name in the configuration.
    pub name: &'a str,
    /// Identity of the process.
    pub identity: &'a str,
    /// Its figures.
    pub counters: &'a Counters,
}

/// Reads one figure.
type Read<T> = fn(&T) -> u64;

/// Adds the figures of adapters. There are as many series as adapters, whatever they carry.
pub fn write(text: &mut Exposition, adapters: &[Labelled<'_>]) {
    if adapters.is_empty() {
        return;
    }
    let both: [(&str, &str, Read<Side>); 4] = [
        ("received_msgs", "Messages that came to a side of an adapter", |side| get(&side.received)),
        ("published_msgs", "Messages that a side has passed on for good", |side| {
            get(&side.published)
        }),
        ("errors", "Messages that could not be handled", |side| get(&side.errors)),
        ("bytes", "Bytes that came to a side of an adapter", |side| get(&side.bytes)),
    ];
    for (name, help, value) in both {
        let name = format!("choria_adapter_{name}");
        text.head(&name, "counter", help);
        for_sides(adapters, |labels, side| text.sample(&name, labels, value(side)));
    }
    text.head("choria_adapter_time", "summary", "Seconds taken to process messages");
    for_sides(adapters, |labels, side| {
        let seconds = Duration::from_micros(get(&side.micros)).as_secs_f64();
        text.sample("choria_adapter_time_sum", labels, seconds);
        text.sample("choria_adapter_time_count", labels, get(&side.received));
    });
    let whole: [(&str, &str, &str, Read<Counters>); 6] = [
        ("queue_length", "gauge", "Messages in the queue now", |all| get(&all.queued)),
        ("queue_capacity", "gauge", "Messages the queue may hold", |all| get(&all.capacity)),
        ("in_flight", "gauge", "Messages the target has not confirmed yet", |all| {
            get(&all.in_flight)
        }),
        ("spooled_bytes", "gauge", "Bytes in the spool now", |all| get(&all.spooled_bytes)),
        ("spooled_msgs", "gauge", "Messages in the spool now", |all| get(&all.spooled_records)),
        ("retried_msgs", "counter", "Deliveries tried again", |all| get(&all.retried)),
    ];
    for (name, kind, help, value) in whole {
        let name = format!("choria_adapter_{name}");
        text.head(&name, kind, help);
        for adapter in adapters {
            text.sample(&name, &adapter.labels(), value(adapter.counters));
        }
    }
    const DROPPED: &str = "choria_adapter_dropped_msgs";
    text.head(DROPPED, "counter", "Messages given up, by reason");
    for adapter in adapters {
        let [name, identity] = adapter.labels();
        for (reason, word) in Reason::ALL {
            let labels = [name, identity, ("reason", word)];
            text.sample(DROPPED, &labels, adapter.counters.dropped(reason));
        }
    }
}

fn for_sides(adapters: &[Labelled<'_>], mut line: impl FnMut(&[(&str, &str)], &Side)) {
    for adapter in adapters {
        // One worker a side, with the number that the reference gives its first.
        let name = format!("{}.0", adapter.name);
        for (role, side) in
            [("input", &adapter.counters.input), ("output", &adapter.counters.output)]
        {
            line(&[("name", &name), ("role", role), ("identity", adapter.identity)], side);
        }
    }
}

impl<'a> Labelled<'a> {
    fn labels(&self) -> [(&'static str, &'a str); 2] {
        [("name", self.name), ("identity", self.identity)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_place() {
        for (index, (reason, word)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, reason.name()), (index, word));
        }
    }

    #[test]
    fn figures_have_the_names_of_the_reference() {
        let counters = Counters::default();
        counters.input.receive(3, 300);
        counters.input.fail(1);
        counters.output.publish(2);
        counters.lose(Reason::SpoolFull, 7);
        counters.queue(5, 1000);
        let mut text = Exposition::default();
        write(&mut text, &[Labelled { name: "inv", identity: "b\"1", counters: &counters }]);
        let text = text.finish();
        for line in [
            r#"choria_adapter_received_msgs{name="inv.0",role="input",identity="b\"1"} 3"#,
            r#"choria_adapter_errors{name="inv.0",role="input",identity="b\"1"} 1"#,
            r#"choria_adapter_published_msgs{name="inv.0",role="output",identity="b\"1"} 2"#,
            r#"choria_adapter_queue_length{name="inv",identity="b\"1"} 5"#,
            r#"choria_adapter_queue_capacity{name="inv",identity="b\"1"} 1000"#,
            r#"choria_adapter_dropped_msgs{name="inv",identity="b\"1",reason="spool_full"} 7"#,
            r#"choria_adapter_time_count{name="inv.0",role="input",identity="b\"1"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut none = Exposition::default();
        write(&mut none, &[]);
        assert_eq!(none.finish(), "");
    }
}
