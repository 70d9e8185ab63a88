//! A long mixed load: well-behaved clients that check every message, beside slow receivers, connections that come and go,
//! messages that are too large, and subscriptions that change all the time.
//!
//! Two brokers of ours run at once, one without TLS and one with mutual TLS. [`steady`] has the well-behaved clients,
//! [`ill`] the others, [`verdict`] judges.

mod ill;
mod messages;
mod steady;
mod verdict;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Target;
use crate::contestant::{Contestant, Running, Setup};
use crate::failure::Failure;
use crate::fleet::joined;
use verdict::{Samples, Verdict};

const SAMPLE_PAUSE: Duration = Duration::from_secs(2);
/// From the end of the load to the last look at memory.
const SETTLE: Duration = Duration::from_secs(15);

/// What every part of the load works on.
#[derive(Debug)]
struct Ground<'g> {
    target: &'g Target,
    is_over: &'g AtomicBool,
    /// Connections that the broker closed because they did not read.
    left_behind: &'g AtomicU64,
}

impl Ground<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Sleeps, but not beyond the end.
    fn pause(&self, length: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        let end = Instant::now() + length;
        while !self.is_over()
            && let Some(left) = end.checked_duration_since(Instant::now())
        {
            thread::sleep(left.min(STEP));
        }
    }
}

/// What one part of the load did.
#[derive(Debug)]
struct Tally {
    /// What it counts.
    what: &'static str,
    count: u64,
    /// Messages it published, as far as they have to stand in the broker's counters.
    published: u64,
}

type Part = fn(&Ground<'_>) -> Result<Tally, Failure>;

const PARTS: &[Part] = &[
    steady::fan_out,
    steady::queue_group,
    steady::requests,
    steady::fleet,
    ill::slow_receivers,
    ill::passers_by,
    ill::oversized,
    ill::changing_subscriptions,
];

/// Runs the load for this long; true when nothing was lost and memory did not grow.
pub fn run(
    length: Duration,
    ours: &Contestant,
    directory: &Path,
    tls: Setup,
) -> Result<bool, Failure> {
    let setups = [("without TLS", Setup::Plain), ("with TLS", tls)];
    let mut brokers = Vec::new();
    for (name, setup) in setups {
        brokers.push((name, ours.start(&Setup::Observed(Box::new(setup)), directory)?));
    }
    let verdicts = thread::scope(|scope| {
        let loads = brokers
            .iter()
            .map(|(name, broker)| scope.spawn(move || load(name, broker, length)))
            .collect::<Vec<_>>();
        loads.into_iter().map(joined).collect::<Result<Vec<_>, _>>()
    })?;
    let mut is_good = true;
    for verdict in &verdicts {
        print!("{verdict}");
        is_good &= verdict.is_good();
    }
    println!("{}", if is_good { "passed" } else { "FAILED" });
    Ok(is_good)
}

/// All parts of the load against one broker, to their end.
fn load(name: &'static str, broker: &Running, length: Duration) -> Result<Verdict, Failure> {
    let (is_over, left_behind) = (AtomicBool::new(false), AtomicU64::new(0));
    let ground = Ground { target: &broker.target, is_over: &is_over, left_behind: &left_behind };
    let mut samples = Samples::new(broker.usage()?);
    let results = thread::scope(|scope| {
        let parts = PARTS.iter().map(|part| scope.spawn(|| part(&ground))).collect::<Vec<_>>();
        let watched = watch(broker, &mut samples, length, &|| {
            parts.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        is_over.store(true, Ordering::Relaxed);
        let results = parts.into_iter().map(joined).collect::<Vec<_>>();
        watched.map(|()| results)
    })?;
    thread::sleep(SETTLE);
    samples.after = broker.usage()?.resident_kib;
    Verdict::new(name, broker, samples, results, left_behind.load(Ordering::Relaxed))
}

/// Reads the memory of the broker now and then, until the time is over or a part has ended, which it must not.
fn watch(
    broker: &Running,
    samples: &mut Samples,
    length: Duration,
    is_ended: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let end = Instant::now() + length;
    while Instant::now() < end && !is_ended() {
        thread::sleep(SAMPLE_PAUSE);
        samples.add(broker.usage()?);
    }
    Ok(())
}
