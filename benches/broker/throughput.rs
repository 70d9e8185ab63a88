//! Scenarios that send as many messages as a broker takes and count every delivery.
//!
//! One thread publishes and one receives, whatever the number of connections: the generator must leave as much of the
//! host as it can to the broker. The bytes in flight are bounded, so that no broker has a reason to drop a receiver.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::connection;
use crate::contestant::Running;
use crate::failure::{Doing, Failure};
use crate::frame::{Frame, Inbox, SID, SUBJECT, Shape};
use crate::report::{Measure, Unit};
use crate::wire::Wire;

const WRITE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Published and not yet received by the slowest subscriber. Far below what any broker holds for a connection.
const IN_FLIGHT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The same for all subscribers together. With more of it the system has to get new memory for its sockets all the time,
/// and in a virtual machine that takes longer than everything a broker does.
const IN_FLIGHT_TOTAL_MAX: u64 = 32 * 1024 * 1024;
const IN_FLIGHT_PAUSE: Duration = Duration::from_micros(50);
/// Without any delivery for this long the rest counts as lost.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Who sends what to whom; every subscriber gets every message.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections that publish.
    pub publishers: usize,
    /// Connections that subscribe.
    pub subscribers: usize,
    /// Length of the payload, without headers.
    pub payload_bytes: usize,
    /// Whether messages carry two headers.
    pub headers: bool,
    /// What the deliveries per CPU-second are to be, as a multiple of the best peer's.
    pub bar: Option<f64>,
}

/// How long to send.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Before anything is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
}

/// Runs the load once against a started broker.
pub fn run(load: &Load, lengths: &Lengths, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let frame = Frame::new(&Shape { headers: load.headers, ..Shape::new(load.payload_bytes) });
    let subscribe = format!("SUB {SUBJECT} {SID}\r\n");
    let mut subscribers = connect(load.subscribers, broker, subscribe.as_bytes())?
        .into_iter()
        .map(|wire| Subscriber { wire, inbox: Inbox::default() })
        .collect::<Vec<_>>();
    let mut publishers = connect(load.publishers, broker, b"")?
        .into_iter()
        .map(|wire| Publisher { wire, written_bytes: 0 })
        .collect::<Vec<_>>();
    send(&frame, &mut publishers, &mut subscribers, lengths.warm_up)?;
    let before = broker.usage()?;
    let sent = send(&frame, &mut publishers, &mut subscribers, lengths.measured)?;
    let cpu = broker.usage()?.cpu - before.cpu;
    let per_second = |time: Duration| sent.deliveries as f64 / time.as_secs_f64();
    let per_cpu = Measure::new("delivered per CPU-second", Unit::PerSecond, per_second(cpu));
    Ok(vec![
        Measure::new("delivered per second", Unit::PerSecond, per_second(sent.wall)),
        load.bar.map_or(per_cpu, |bar| per_cpu.ratio_bar(bar)),
    ])
}

fn connect(count: usize, broker: &Running, more: &[u8]) -> Result<Vec<Wire>, Failure> {
    (0..count)
        .map(|_| {
            let wire = connection::open(&broker.target, more)?;
            wire.socket().set_nonblocking(true).doing("set a socket option")?;
            Ok(wire)
        })
        .collect()
}

struct Sent {
    deliveries: u64,
    wall: Duration,
}

/// Publishes for this long and waits for the last delivery.
fn send(
    frame: &Frame,
    publishers: &mut [Publisher],
    subscribers: &mut [Subscriber],
    length: Duration,
) -> Result<Sent, Failure> {
    let count = subscribers.len() as u64;
    let progress = Progress::new(publishers, subscribers, frame);
    let before = progress.slowest.load(Ordering::Relaxed);
    let start = Instant::now();
    let (published, received) = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let result = publish(frame, publishers, length, &progress);
            progress.end(result.as_ref().ok().copied());
            result
        });
        let received = receive(frame, subscribers, &progress);
        progress.failed.fetch_or(received.is_err(), Ordering::Relaxed);
        (publishing.join(), received)
    });
    let last = received?;
    let published =
        published.map_err(|_| Failure::Broker("the publishing thread failed".into()))??;
    Ok(Sent { deliveries: (published - before) * count, wall: last - start })
}

/// What the two threads tell each other.
struct Progress {
    /// Messages that the slowest subscriber has received since it connected.
    slowest: AtomicU64,
    /// Messages published since the start, once that is final.
    expected: AtomicU64,
    failed: AtomicBool,
    in_flight_max: u64,
}

const NOT_FINAL: u64 = u64::MAX;

impl Progress {
    fn new(publishers: &[Publisher], subscribers: &[Subscriber], frame: &Frame) -> Progress {
        let published = total_messages(publishers, frame);
        debug_assert!(
            subscribers.iter().all(|subscriber| subscriber.inbox.messages() == published)
        );
        Progress {
            slowest: AtomicU64::new(published),
            expected: AtomicU64::new(NOT_FINAL),
            failed: AtomicBool::new(false),
            in_flight_max: IN_FLIGHT_BYTES_MAX
                .min(IN_FLIGHT_TOTAL_MAX / subscribers.len() as u64)
                .div_ceil(frame.delivered_bytes as u64),
        }
    }

    fn end(&self, published: Option<u64>) {
        match published {
            Some(total) => self.expected.store(total, Ordering::Relaxed),
            None => self.failed.store(true, Ordering::Relaxed),
        }
    }

    fn is_full(&self, published: u64) -> bool {
        published.saturating_sub(self.slowest.load(Ordering::Relaxed)) > self.in_flight_max
    }
}

struct Publisher {
    wire: Wire,
    written_bytes: u64,
}

impl Publisher {
    /// Writes a piece of the run, or only the rest of the message it is in. False when the socket takes nothing.
    fn write(&mut self, frame: &Frame, only_finish: bool) -> Result<bool, Failure> {
        let run = &frame.published_run;
        let offset = (self.written_bytes % run.len() as u64) as usize;
        let in_frame = offset % frame.published_bytes;
        let rest = if in_frame == 0 { 0 } else { frame.published_bytes - in_frame };
        let wanted = if only_finish { rest } else { WRITE_BYTES_MAX };
        let end = run.len().min(offset + wanted);
        if offset == end {
            return Ok(false);
        }
        match self.wire.socket().write(&run[offset..end]) {
            Ok(count) => self.written_bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).doing("publish"),
        }
        Ok(true)
    }

    fn is_inside_message(&self, frame: &Frame) -> bool {
        !self.written_bytes.is_multiple_of(frame.published_bytes as u64)
    }
}

fn total_messages(publishers: &[Publisher], frame: &Frame) -> u64 {
    publishers.iter().map(|publisher| publisher.written_bytes / frame.published_bytes as u64).sum()
}

fn publish(
    frame: &Frame,
    publishers: &mut [Publisher],
    length: Duration,
    progress: &Progress,
) -> Result<u64, Failure> {
    let end = Instant::now() + length;
    let give_up = end + STALL_TIMEOUT;
    loop {
        let is_over = Instant::now() >= end;
        if is_over && !publishers.iter().any(|publisher| publisher.is_inside_message(frame)) {
            return Ok(total_messages(publishers, frame));
        }
        if progress.failed.load(Ordering::Relaxed) || Instant::now() > give_up {
            return Err(Failure::Broker("it stopped taking messages".into()));
        }
        if !is_over && progress.is_full(total_messages(publishers, frame)) {
            thread::sleep(IN_FLIGHT_PAUSE);
            continue;
        }
        let mut wrote = false;
        for publisher in publishers.iter_mut() {
            wrote |= publisher.write(frame, is_over)?;
        }
        if !wrote {
            wait(publishers.iter().map(|publisher| &publisher.wire), PollFlags::OUT)?;
        }
    }
}

struct Subscriber {
    wire: Wire,
    inbox: Inbox,
}

/// Receives until everything published has arrived; the time of the last delivery.
fn receive(
    frame: &Frame,
    subscribers: &mut [Subscriber],
    progress: &Progress,
) -> Result<Instant, Failure> {
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut last = Instant::now();
    loop {
        let mut read = false;
        for Subscriber { wire, inbox } in subscribers.iter_mut() {
            let count = match wire.read(&mut buffer) {
                Ok(0) => return Err(Failure::Broker("it closed a subscriber".into())),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).doing("receive"),
            };
            inbox.take(frame, &buffer[..count], wire)?;
            read = true;
        }
        let slowest =
            subscribers.iter().map(|subscriber| subscriber.inbox.messages()).min().unwrap_or(0);
        progress.slowest.store(slowest, Ordering::Relaxed);
        if read {
            last = Instant::now();
        }
        let expected = progress.expected.load(Ordering::Relaxed);
        if slowest >= expected {
            return check_complete(subscribers, expected).map(|()| last);
        }
        if progress.failed.load(Ordering::Relaxed) {
            return Err(Failure::Broker("publishing ended early".into()));
        }
        if last.elapsed() > STALL_TIMEOUT {
            return Err(lost(subscribers, expected));
        }
        if !read {
            wait(subscribers.iter().map(|subscriber| &subscriber.wire), PollFlags::IN)?;
        }
    }
}

/// More than was published is as wrong as less.
fn check_complete(subscribers: &[Subscriber], expected: u64) -> Result<(), Failure> {
    match subscribers.iter().find(|subscriber| subscriber.inbox.messages() != expected) {
        None => Ok(()),
        Some(one) => {
            let extra = one.inbox.messages() - expected;
            Err(Failure::Broker(format!("it delivered {extra} messages twice")))
        }
    }
}

fn lost(subscribers: &[Subscriber], expected: u64) -> Failure {
    if expected == NOT_FINAL {
        return Failure::Broker("it stopped delivering".into());
    }
    let missing = subscribers
        .iter()
        .map(|subscriber| expected - subscriber.inbox.messages().min(expected))
        .sum();
    Failure::Lost { missing, expected: expected * subscribers.len() as u64 }
}

fn wait<'w>(wires: impl Iterator<Item = &'w Wire>, what: PollFlags) -> Result<(), Failure> {
    let mut polled = wires.map(|wire| PollFd::new(wire.socket(), what)).collect::<Vec<_>>();
    poll(&mut polled, Some(&POLL_TIMEOUT)).doing("wait for a socket")?;
    Ok(())
}
