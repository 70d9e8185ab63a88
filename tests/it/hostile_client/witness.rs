//! A well-behaved pair of connections that exchanges messages while others misbehave, and what the broker used meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::peer::{Door, pause};
use crate::support::{Broker, DEADLINE};

const BETWEEN: Duration = Duration::from_millis(5);
const PAYLOAD_BYTES: usize = 512;
/// A message of the pair that takes longer has been held up. Machines that test are busy: this is not a figure of the
/// broker.
const USUAL_MAX: Duration = Duration::from_millis(500);
const WORST_MAX: Duration = Duration::from_secs(5);
/// CPU time of a broker that has nothing to do for a second.
const QUIET_CPU_MAX: Duration = Duration::from_millis(300);

/// Runs an attack beside a pair, and checks that the pair lost nothing and waited for nothing, that the broker's memory
/// grew by so many MiB at the most, and that it is quiet when all is over.
pub fn unaffected(broker: &Broker, door: &Door, growth_mib_max: u64, attack: impl FnOnce(&Door)) {
    let pair = Pair::start(door);
    let (_, before) = broker.process.usage();
    let peak = Peak::watch(broker);
    attack(door);
    let grown = peak.end().saturating_sub(before) / 1024;
    pair.end();
    assert!(grown <= growth_mib_max, "memory grew by {grown} MiB");
    pause(500);
    let (busy, _) = broker.process.usage();
    pause(1000);
    let (quiet, _) = broker.process.usage();
    assert!(quiet - busy < QUIET_CPU_MAX, "{:?} of CPU in a quiet second", quiet - busy);
}

/// Who watches the resident memory of a broker.
struct Peak {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Peak {
    fn watch(broker: &Broker) -> Peak {
        let is_over = Arc::new(AtomicBool::new(false));
        let id = broker.process.id();
        let thread = thread::spawn({
            let is_over = is_over.clone();
            move || {
                let mut peak = 0;
                while !is_over.load(Ordering::Relaxed) {
                    peak = peak.max(crate::support::resident_kib(id));
                    thread::sleep(Duration::from_millis(20));
                }
                peak
            }
        });
        Peak { is_over, thread }
    }

    /// The most memory seen, in KiB.
    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch ends")
    }
}

/// One connection that publishes and one that receives; each message must come, as it was sent, before the next goes.
struct Pair {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Pair {
    fn start(door: &Door) -> Pair {
        let (mut publisher, mut subscriber) = (door.enter(), door.enter());
        subscriber.send(b"SUB witness.> 7\r\n");
        subscriber.settle();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) || times.is_empty() {
                let number = times.len();
                let payload = format!("{number:0PAYLOAD_BYTES$}");
                let start = Instant::now();
                let text = format!("PUB witness.{number} {PAYLOAD_BYTES}\r\n{payload}\r\n");
                publisher.send(text.as_bytes());
                let wanted = format!("MSG witness.{number} 7 {PAYLOAD_BYTES}\r\n{payload}\r\n");
                let came = subscriber.wait_for(&wanted);
                // Only a PING of the broker may stand before it.
                let before = &came[..came.len() - wanted.len()];
                assert!(matches!(before, b"" | b"PING\r\n"), "before {number}: {before:?}");
                if !before.is_empty() {
                    subscriber.send(b"PONG\r\n");
                }
                times.push(start.elapsed());
                thread::sleep(BETWEEN);
            }
            times
        });
        Pair { is_over, thread }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().expect("the pair loses nothing");
        times.sort();
        let (usual, worst) = (times[times.len() * 9 / 10], times[times.len() - 1]);
        assert!(worst < WORST_MAX && worst < DEADLINE, "a message took {worst:?}");
        assert!(usual < USUAL_MAX, "one message in ten took {usual:?}");
    }
}
