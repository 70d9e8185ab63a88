//! Time of a request and its reply while other messages keep the broker busy.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection;
use crate::contestant::Running;
use crate::failure::{Doing, Failure};
use crate::fleet::joined;
use crate::frame::{Frame, Inbox, SID, SUBJECT, Shape};
use crate::report::{Measure, Unit, percentile};
use crate::throughput::Lengths;
use crate::wire::Wire;

const REQUEST: Shape<'static> = Shape {
    subject: "mcollective.node.node-000001.example.net",
    reply: "mcollective.reply.a8f5f167f44f4964e6c998dee827110c.1",
    sid: SID,
    payload_bytes: 256,
    headers: false,
};
const BACKGROUND_PER_SECOND: u64 = 100_000;
const BACKGROUND_BYTES: usize = 128;
/// The background comes in pieces of this length, as it does from a busy network.
const BACKGROUND_STEP: Duration = Duration::from_millis(1);
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often one who waits for messages looks whether there will be more.
const LOOK_AFTER: Duration = Duration::from_millis(100);
const NOT_FINAL: u64 = u64::MAX;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Behind by more than this share, the background is not what it should be.
const BEHIND_MAX: f64 = 0.05;

/// Two ends of a steady stream of messages, two of request and reply.
pub fn run(lengths: &Lengths, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let subscribe = |subject: &str| format!("SUB {subject} {SID}\r\n").into_bytes();
    let open = |more: &[u8]| -> Result<Wire, Failure> {
        let wire = connection::open(&broker.target, more)?;
        wire.socket().set_read_timeout(Some(LOOK_AFTER)).doing("set a socket option")?;
        Ok(wire)
    };
    let (mut source, mut sink) = (open(b"")?, open(&subscribe(SUBJECT))?);
    let mut asking = open(&subscribe(REQUEST.reply))?;
    let mut answering = open(&subscribe(REQUEST.subject))?;
    let is_over = AtomicBool::new(false);
    let total = AtomicU64::new(NOT_FINAL);
    let before = broker.usage()?;
    let start = Instant::now();
    let (times, took) = thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&mut source, &is_over, &total));
        let swallowing = scope.spawn(|| swallow(&mut sink, &total));
        let replying = scope.spawn(|| answer(&mut answering, &is_over));
        let times = ask(&mut asking, lengths);
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let published = joined(publishing)?;
        let received = joined(swallowing)?;
        joined(replying)?;
        check_background(published, received, took)?;
        Ok::<_, Failure>((times?, took))
    })?;
    let cpu = (broker.usage()?.cpu - before.cpu).as_secs_f64() / took.as_secs_f64();
    Ok(vec![
        Measure::new("p50", Unit::Milliseconds, percentile(&times, 50.0)).ratio_bar(0.9),
        Measure::new("p99", Unit::Milliseconds, percentile(&times, 99.0)).ratio_bar(0.7),
        Measure::new("broker CPU a second", Unit::Milliseconds, cpu * 1e3),
    ])
}

fn check_background(published: u64, received: u64, took: Duration) -> Result<(), Failure> {
    if received != published {
        return Err(Failure::Lost { missing: published - received, expected: published });
    }
    let wanted = took.as_secs_f64() * BACKGROUND_PER_SECOND as f64;
    if (published as f64) < wanted * (1.0 - BEHIND_MAX) {
        return Err(Failure::Broker(format!(
            "it took {published} messages in {:.1} s: fewer than {BACKGROUND_PER_SECOND} a second",
            took.as_secs_f64()
        )));
    }
    Ok(())
}

/// Times in milliseconds, one request after the other.
fn ask(wire: &mut Wire, lengths: &Lengths) -> Result<Vec<f64>, Failure> {
    let request = Frame::new(&REQUEST);
    let reply = Frame::new(&Shape { subject: REQUEST.reply, reply: "", ..REQUEST });
    let (mut inbox, mut times) = (Inbox::default(), Vec::new());
    let begin = Instant::now();
    loop {
        let start = Instant::now();
        wire.write_all(request.published()).doing("publish a request")?;
        let wanted = inbox.messages() + 1;
        receive(wire, &mut inbox, &reply, wanted)?;
        if begin.elapsed() >= lengths.warm_up {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        if begin.elapsed() >= lengths.warm_up + lengths.measured {
            return Ok(times);
        }
    }
}

/// Answers every request.
fn answer(wire: &mut Wire, is_over: &AtomicBool) -> Result<(), Failure> {
    let request = Frame::new(&REQUEST);
    let reply = Frame::new(&Shape { subject: REQUEST.reply, reply: "", ..REQUEST });
    let (mut inbox, mut buffer) = (Inbox::default(), [0; 4096]);
    while !is_over.load(Ordering::Relaxed) {
        let before = inbox.messages();
        take(wire, &mut inbox, &request, &mut buffer)?;
        if inbox.messages() != before {
            wire.write_all(reply.published()).doing("send a reply")?;
        }
    }
    Ok(())
}

fn receive(wire: &mut Wire, inbox: &mut Inbox, frame: &Frame, wanted: u64) -> Result<(), Failure> {
    let (start, mut buffer) = (Instant::now(), [0; 4096]);
    while inbox.messages() < wanted {
        if !take(wire, inbox, frame, &mut buffer)? && start.elapsed() > STALL_TIMEOUT {
            return Err(Failure::Lost { missing: 1, expected: wanted });
        }
    }
    Ok(())
}

/// Takes what arrives; false when that is nothing for a while.
fn take(
    wire: &mut Wire,
    inbox: &mut Inbox,
    frame: &Frame,
    buffer: &mut [u8],
) -> Result<bool, Failure> {
    match wire.read(buffer) {
        Ok(0) => Err(Failure::Broker("it closed a connection".into())),
        Ok(count) => inbox.take(frame, &buffer[..count], wire).map(|()| true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).doing("receive"),
    }
}

/// Publishes at a steady rate until told to end; the number of messages.
fn publish(wire: &mut Wire, is_over: &AtomicBool, total: &AtomicU64) -> Result<u64, Failure> {
    let frame = Frame::new(&Shape::new(BACKGROUND_BYTES));
    let room = (frame.published_run.len() / frame.published_bytes) as u64;
    let start = Instant::now();
    let mut published = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * BACKGROUND_PER_SECOND as f64) as u64;
        while published < due {
            let count = room.min(due - published);
            let bytes = &frame.published_run[..count as usize * frame.published_bytes];
            wire.write_all(bytes).doing("publish")?;
            published += count;
        }
        thread::sleep(BACKGROUND_STEP);
    }
    total.store(published, Ordering::Relaxed);
    Ok(published)
}

/// Receives the stream to its end; the number of messages.
fn swallow(wire: &mut Wire, total: &AtomicU64) -> Result<u64, Failure> {
    let frame = Frame::new(&Shape::new(BACKGROUND_BYTES));
    let (mut inbox, mut buffer) = (Inbox::default(), vec![0; READ_BYTES_MAX]);
    let mut last = Instant::now();
    while inbox.messages() < total.load(Ordering::Relaxed) && last.elapsed() < STALL_TIMEOUT {
        if take(wire, &mut inbox, &frame, &mut buffer)? {
            last = Instant::now();
        }
    }
    Ok(inbox.messages())
}
