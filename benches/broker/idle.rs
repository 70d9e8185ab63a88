//! Connections that do nothing: what each costs in memory, and how long a broadcast takes to reach the last of them.

use std::time::{Duration, Instant};

use crate::connection;
use crate::contestant::{Running, Usage};
use crate::failure::{Doing, Failure};
use crate::fleet::Fleet;
use crate::frame::{Frame, Shape};
use crate::node::BROADCAST;
use crate::report::{Measure, Unit, median};

const BROADCAST_BYTES: usize = 1024;
/// Between two bursts.
pub const PAUSE: Duration = Duration::from_millis(100);

/// How large and how long a scenario with a fleet is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections, without the one that publishes.
    pub connections: usize,
    /// Broadcasts or requests that are measured; one more comes before them.
    pub bursts: usize,
    /// Quiet time before memory is read.
    pub settle: Duration,
    /// The same after the memory of bursts should have been given back.
    pub recovery: Duration,
}

/// Memory of idle connections, then one-to-all broadcasts.
pub fn memory_and_fan_out(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let before = broker.usage()?;
    let mut fleet = Fleet::connect(0, size.connections, &broker.target)?;
    let mut publisher = connection::open(&broker.target, b"")?;
    fleet.idle(size.settle)?;
    let idle = kib_each(&before, &broker.usage()?, size.connections);
    let frame = Frame::new(&Shape { subject: BROADCAST, ..Shape::new(BROADCAST_BYTES) });
    let bursts = bursts(size.bursts, broker, &mut fleet, |fleet| {
        let (last, start) = fleet.receive(&frame, None, || {
            let start = Instant::now();
            publisher.write_all(frame.published()).doing("publish a broadcast")?;
            Ok(start)
        })?;
        Ok(last - start)
    })?;
    fleet.idle(size.settle)?;
    let after = kib_each(&before, &broker.usage()?, size.connections);
    Ok(vec![
        Measure::new("memory per connection", Unit::Kibibytes, idle)
            .ratio_bar(0.1)
            .bar(2e3 / 1024.0),
        Measure::new("memory after broadcasts", Unit::Kibibytes, after),
        Measure::new("last delivery after", Unit::Milliseconds, bursts.wall_ms).ratio_bar(0.5),
        Measure::new("broker CPU a broadcast", Unit::Milliseconds, bursts.cpu_ms),
    ])
}

/// Memory of idle connections with TLS.
pub fn memory(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let before = broker.usage()?;
    let mut fleet = Fleet::connect(0, size.connections, &broker.target)?;
    let connected = broker.usage()?.cpu - before.cpu;
    fleet.idle(size.settle)?;
    let idle = kib_each(&before, &broker.usage()?, size.connections);
    Ok(vec![
        Measure::new("memory per connection", Unit::Kibibytes, idle)
            .ratio_bar(0.18)
            .bar(8e3 / 1024.0),
        Measure::new(
            "broker CPU a handshake",
            Unit::Milliseconds,
            connected.as_secs_f64() * 1e3 / size.connections as f64,
        ),
    ])
}

/// Growth of the resident memory that is no file's, for each connection.
pub fn kib_each(before: &Usage, now: &Usage, connections: usize) -> f64 {
    now.own_kib.saturating_sub(before.own_kib) as f64 / connections as f64
}

/// What several bursts took.
#[derive(Debug)]
pub struct Bursts {
    /// Median time of a burst.
    pub wall_ms: f64,
    /// Mean CPU time of the broker for a burst.
    pub cpu_ms: f64,
}

/// Runs a burst once to warm up, and so many times to measure.
pub fn bursts(
    count: usize,
    broker: &Running,
    fleet: &mut Fleet,
    mut burst: impl FnMut(&mut Fleet) -> Result<Duration, Failure>,
) -> Result<Bursts, Failure> {
    burst(fleet)?;
    fleet.idle(PAUSE)?;
    let before = broker.usage()?;
    let mut times_ms = Vec::with_capacity(count);
    for _ in 0..count {
        times_ms.push(burst(fleet)?.as_secs_f64() * 1e3);
        fleet.idle(PAUSE)?;
    }
    let cpu = broker.usage()?.cpu - before.cpu;
    Ok(Bursts { wall_ms: median(&times_ms), cpu_ms: cpu.as_secs_f64() * 1e3 / count as f64 })
}
