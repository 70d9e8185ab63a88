//! Well-behaved clients: whatever the others do, each of their messages must come, once, in order and unchanged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::messages::{Client, number, publication};
use super::{Ground, Tally};
use crate::failure::Failure;
use crate::fleet::{Fleet, joined};
use crate::request::Requester;

/// Messages published together, and the pause after them.
const BATCH: u64 = 8;
const BATCH_PAUSE: Duration = Duration::from_millis(10);
/// Without any message for this long, the rest counts as lost.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
const NOT_FINAL: u64 = u64::MAX;
const FLEET_CONNECTIONS: usize = 400;
const FLEET_PAUSE: Duration = Duration::from_secs(3);
const REQUEST_PAUSE: Duration = Duration::from_millis(5);

/// Four subscribers that get all messages of one publisher: by its subject and by patterns.
pub(super) fn fan_out(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let patterns = ["steady.fan.out", "steady.fan.*", "steady.*.out", "*.fan.>"];
    let total = AtomicU64::new(NOT_FINAL);
    let clients = patterns
        .iter()
        .map(|pattern| Client::open(ground.target, &format!("SUB {pattern} 1\r\n")))
        .collect::<Result<Vec<_>, _>>()?;
    thread::scope(|scope| {
        let readers = clients
            .into_iter()
            .map(|client| scope.spawn(|| in_order(client, &total)))
            .collect::<Vec<_>>();
        let published = publish(ground, "steady.fan.out", &total);
        let received = readers.into_iter().map(joined).sum::<Result<u64, _>>();
        Ok(Tally { what: "messages to each of four", count: received? / 4, published: published? })
    })
}

/// Three members of a queue group: each message goes to one of them.
pub(super) fn queue_group(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let total = AtomicU64::new(NOT_FINAL);
    let (count, sum) = (AtomicU64::new(0), AtomicU64::new(0));
    let clients = (0..3)
        .map(|_| Client::open(ground.target, "SUB steady.queue workers 1\r\n"))
        .collect::<Result<Vec<_>, _>>()?;
    let published = thread::scope(|scope| {
        let members = clients
            .into_iter()
            .map(|client| scope.spawn(|| member(client, &total, &count, &sum)))
            .collect::<Vec<_>>();
        let published = publish(ground, "steady.queue", &total);
        members.into_iter().try_for_each(joined)?;
        published
    })?;
    let (count, sum) = (count.into_inner(), sum.into_inner());
    if count < published {
        return Err(Failure::Lost { missing: published - count, expected: published });
    }
    if count > published || sum != (0..published).sum::<u64>() {
        return Err(Failure::Broker("it gave a message to two members of a group".into()));
    }
    Ok(Tally { what: "messages to one of three", count, published })
}

fn publish(ground: &Ground<'_>, subject: &str, total: &AtomicU64) -> Result<u64, Failure> {
    let mut next = 0;
    let outcome = (|| {
        let mut client = Client::open(ground.target, "")?;
        let mut last_read = Instant::now();
        while !ground.is_over() {
            for _ in 0..BATCH {
                client.send(&publication(subject, "", next))?;
                next += 1;
            }
            thread::sleep(BATCH_PAUSE);
            // PINGs come every two minutes.
            if last_read.elapsed() > STALL_TIMEOUT {
                client.read(&mut |_| Ok(()))?;
                last_read = Instant::now();
            }
        }
        // All of it is taken before the connection closes.
        client.send(b"PING\r\n")?;
        client.read(&mut |_| Ok(()))
    })();
    total.store(next, Ordering::Relaxed);
    outcome.map(|_| next)
}

/// Receives every message in order; how many.
fn in_order(mut client: Client, total: &AtomicU64) -> Result<u64, Failure> {
    let (mut next, mut last) = (0, Instant::now());
    while next < total.load(Ordering::Relaxed) {
        let came = client.read(&mut |message| {
            let number = number(message.payload)?;
            if number != next {
                return Err(Failure::Broker(format!("message {number} came in place of {next}")));
            }
            next += 1;
            Ok(())
        })?;
        stalled(came, &mut last, total.load(Ordering::Relaxed).saturating_sub(next))?;
    }
    Ok(next)
}

fn member(
    mut client: Client,
    total: &AtomicU64,
    count: &AtomicU64,
    sum: &AtomicU64,
) -> Result<(), Failure> {
    let mut last = Instant::now();
    while count.load(Ordering::Relaxed) < total.load(Ordering::Relaxed) {
        let came = client.read(&mut |message| {
            sum.fetch_add(number(message.payload)?, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })?;
        // Another member may get everything.
        if total.load(Ordering::Relaxed) == NOT_FINAL {
            last = Instant::now();
        }
        stalled(came, &mut last, 1)?;
    }
    Ok(())
}

fn stalled(came: bool, last: &mut Instant, missing: u64) -> Result<(), Failure> {
    if came {
        *last = Instant::now();
    } else if last.elapsed() > STALL_TIMEOUT {
        return Err(Failure::Lost { missing: missing.max(1), expected: missing.max(1) });
    }
    Ok(())
}

/// Requests and their replies, one after the other.
pub(super) fn requests(ground: &Ground<'_>) -> Result<Tally, Failure> {
    const REPLY: &str = "steady.reply.5f2c90a1";
    let mut asking = Client::open(ground.target, &format!("SUB {REPLY}.* 1\r\n"))?;
    let mut answering = Client::open(ground.target, "SUB steady.service 1\r\n")?;
    let mut count = 0;
    while !ground.is_over() {
        asking.send(&publication("steady.service", &format!("{REPLY}.{count}"), count))?;
        let request = one(&mut answering)?;
        if request.1 != count {
            return Err(Failure::Broker("a request came that was not sent".into()));
        }
        answering.send(&publication(&request.0, "", count + 1))?;
        if one(&mut asking)?.1 != count + 1 {
            return Err(Failure::Broker("a reply came that was not sent".into()));
        }
        count += 1;
        thread::sleep(REQUEST_PAUSE);
    }
    Ok(Tally { what: "requests with their replies", count, published: 2 * count })
}

/// The next message: where it is to be answered, and its number.
fn one(client: &mut Client) -> Result<(String, u64), Failure> {
    let (mut found, mut last) = (None, Instant::now());
    while found.is_none() {
        let came = client.read(&mut |message| {
            let reply = String::from_utf8_lossy(message.reply.unwrap_or_default()).into_owned();
            match found.replace((reply, number(message.payload)?)) {
                None => Ok(()),
                Some(_) => Err(Failure::Broker("it delivered a message twice".into())),
            }
        })?;
        stalled(came, &mut last, 1)?;
    }
    found.ok_or_else(|| Failure::Broker("it delivered nothing".into()))
}

/// A fleet that is asked now and then; every server answers.
pub(super) fn fleet(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let mut fleet = Fleet::connect(0, FLEET_CONNECTIONS, ground.target)?;
    let mut requester = Requester::connect(ground.target)?;
    let (request, reply) = (Requester::request(), Requester::reply());
    let mut count = 0;
    while !ground.is_over() {
        fleet.receive(&request, Some(reply.published()), || requester.ask(FLEET_CONNECTIONS))?;
        count += 1;
        fleet.idle(FLEET_PAUSE)?;
    }
    let published = count * (FLEET_CONNECTIONS as u64 + 1);
    Ok(Tally { what: "requests to a fleet of 400", count, published })
}
