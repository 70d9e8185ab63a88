//! The two fleet scenarios: idle connections with broadcasts, and a request that every node answers.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use choria::nats::codec::ServerOp;

use crate::connection;
use crate::contestant::{Running, Usage};
use crate::failure::{Doing, Failure};
use crate::fleet::{BROADCAST, Fleet};
use crate::report::{Measure, Unit, median};

const BROADCAST_BYTES: usize = 1024;
const REQUEST_BYTES: usize = 2048;
const REPLY_BYTES: usize = 1024;
const REPLY_SUBJECT: &str = "mcollective.reply.a8f5f167f44f4964e6c998dee827110c";
const PAUSE: Duration = Duration::from_millis(100);

/// How large and how long a fleet scenario is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections, without the one that publishes.
    pub connections: usize,
    /// Broadcasts or requests that are measured; one more comes before them.
    pub bursts: usize,
    /// Quiet time before memory is read.
    pub settle: Duration,
}

/// Idle connections: memory of each, then one-to-all broadcasts.
pub fn memory_and_fan_out(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let (before, mut fleet, publisher) = connect(size, broker, b"")?;
    fleet.idle(size.settle)?;
    let idle = resident_per_connection(&before, &broker.usage()?, size);
    let message = publication(BROADCAST, "", BROADCAST_BYTES);
    let bursts = bursts(size, broker, &mut fleet, |fleet| {
        let mut missing = Missing(fleet.len() - 1);
        (&publisher).write_all(&message).doing("publish a broadcast")?;
        fleet.run_until(|_, _, op| {
            if is_message(op, BROADCAST_BYTES)? { missing.one_came() } else { Ok(false) }
        })
    })?;
    fleet.idle(size.settle)?;
    let after = resident_per_connection(&before, &broker.usage()?, size);
    fleet.close();
    Ok(vec![
        Measure::new("memory per connection", Unit::Kibibytes, idle),
        Measure::new("memory after broadcasts", Unit::Kibibytes, after),
        Measure::new("last delivery after", Unit::Milliseconds, bursts.wall_ms),
        Measure::new("broker CPU a broadcast", Unit::Milliseconds, bursts.cpu_ms),
    ])
}

/// One request to all, one reply from each.
pub fn request(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let (_, mut fleet, requester) =
        connect(size, broker, format!("SUB {REPLY_SUBJECT}.* 1\r\n").as_bytes())?;
    fleet.idle(size.settle.min(PAUSE))?;
    let reply_to = format!("{REPLY_SUBJECT}.1");
    let request = publication(BROADCAST, &reply_to, REQUEST_BYTES);
    let reply = publication(&reply_to, "", REPLY_BYTES);
    let requester_index = fleet.len() - 1;
    let bursts = bursts(size, broker, &mut fleet, |fleet| {
        let mut missing = Missing(fleet.len() - 1);
        (&requester).write_all(&request).doing("publish a request")?;
        fleet.run_until(|index, mut stream, op| {
            let is_requester = index == requester_index;
            if !is_message(op, if is_requester { REPLY_BYTES } else { REQUEST_BYTES })? {
                return Ok(false);
            }
            if is_requester {
                return missing.one_came();
            }
            stream.write_all(&reply).doing("send a reply")?;
            Ok(false)
        })
    })?;
    fleet.close();
    Ok(vec![
        Measure::new("last reply after", Unit::Milliseconds, bursts.wall_ms),
        Measure::new("broker CPU a request", Unit::Milliseconds, bursts.cpu_ms),
    ])
}

/// The fleet, a publisher as its last connection, and what the broker used before they came.
fn connect(
    size: &Size,
    broker: &Running,
    more: &[u8],
) -> Result<(Usage, Fleet, TcpStream), Failure> {
    let before = broker.usage()?;
    let mut fleet = Fleet::connect(size.connections, broker)?;
    let publisher = connection::open(broker.address, None)?;
    connection::handshake(&publisher, more)?;
    fleet.add(publisher)?;
    let publisher = fleet.stream(size.connections).try_clone().doing("duplicate a socket")?;
    Ok((before, fleet, publisher))
}

fn publication(subject: &str, reply: &str, payload_bytes: usize) -> Vec<u8> {
    let space = if reply.is_empty() { "" } else { " " };
    format!("PUB {subject} {reply}{space}{payload_bytes}\r\n{}\r\n", "x".repeat(payload_bytes))
        .into_bytes()
}

/// Whether the operation is the message that was sent; another message is a failure.
fn is_message(op: &ServerOp<'_>, payload_bytes: usize) -> Result<bool, Failure> {
    match op {
        ServerOp::Message(message) if message.payload.len() == payload_bytes => Ok(true),
        ServerOp::Message(_) => {
            Err(Failure::Broker("it delivered a message of another length".into()))
        }
        _ => Ok(false),
    }
}

/// Messages of a burst that have not come yet.
struct Missing(usize);

impl Missing {
    /// Counts one; true when it was the last.
    fn one_came(&mut self) -> Result<bool, Failure> {
        self.0 = self
            .0
            .checked_sub(1)
            .ok_or_else(|| Failure::Broker("it delivered a message twice".into()))?;
        Ok(self.0 == 0)
    }
}

fn resident_per_connection(before: &Usage, now: &Usage, size: &Size) -> f64 {
    now.resident_kib.saturating_sub(before.resident_kib) as f64 / size.connections as f64
}

struct Bursts {
    /// Median time of a burst.
    wall_ms: f64,
    /// Mean CPU time of the broker for a burst.
    cpu_ms: f64,
}

fn bursts(
    size: &Size,
    broker: &Running,
    fleet: &mut Fleet,
    mut burst: impl FnMut(&mut Fleet) -> Result<(), Failure>,
) -> Result<Bursts, Failure> {
    burst(fleet)?;
    fleet.idle(PAUSE)?;
    let before = broker.usage()?;
    let mut times_ms = Vec::with_capacity(size.bursts);
    for _ in 0..size.bursts {
        let start = Instant::now();
        burst(fleet)?;
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
        fleet.idle(PAUSE)?;
    }
    let cpu = broker.usage()?.cpu - before.cpu;
    Ok(Bursts { wall_ms: median(&times_ms), cpu_ms: cpu.as_secs_f64() * 1e3 / size.bursts as f64 })
}
