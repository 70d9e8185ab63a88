//! Clients that do what a broker has to live with.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use super::messages::Client;
use super::{Ground, Tally};
use crate::connection;
use crate::failure::{Doing, Failure};
use crate::frame::{Frame, Shape};

const FLOOD_BYTES: usize = 8 * 1024;
const FLOOD_BATCH: usize = 64;
const FLOOD_PAUSE: Duration = Duration::from_millis(50);
/// Longer than the ten seconds in which a receiver has to take something.
const FLOOD: Duration = Duration::from_secs(20);
const BETWEEN_SLOW: Duration = Duration::from_secs(5);
const BETWEEN_PASSERS_BY: Duration = Duration::from_millis(20);
const BETWEEN_OVERSIZED: Duration = Duration::from_millis(500);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const OVERSIZED_BYTES: usize = 1024 * 1024 + 1;

/// Receivers that read nothing while much is sent to them: they must have been closed when they look at last.
pub(super) fn slow_receivers(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let frame = Frame::new(&Shape { subject: "flood", ..Shape::new(FLOOD_BYTES) });
    let (mut publisher, mut count, mut published) = (Client::open(ground.target, "")?, 0, 0);
    while !ground.is_over() {
        let slow = [
            connection::open(ground.target, b"SUB flood 1\r\n")?,
            connection::open(ground.target, b"SUB flood 1\r\n")?,
        ];
        let start = Instant::now();
        while start.elapsed() < FLOOD {
            for _ in 0..FLOOD_BATCH {
                publisher.send(frame.published())?;
                published += 1;
            }
            std::thread::sleep(FLOOD_PAUSE);
        }
        publisher.read(&mut |_| Ok(()))?;
        for wire in slow {
            wait_closed(wire.socket())?;
            count += 1;
            ground.left_behind.fetch_add(1, Ordering::Relaxed);
        }
        ground.pause(BETWEEN_SLOW);
    }
    Ok(Tally { what: "slow receivers left behind", count, published })
}

/// Reads what the kernel kept, and the end behind it.
fn wait_closed(mut socket: &TcpStream) -> Result<(), Failure> {
    socket.set_read_timeout(Some(CLOSED_WITHIN)).doing("set a socket option")?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(_) => {
                return Err(Failure::Broker("it keeps a receiver that takes nothing".into()));
            }
        }
    }
}

/// Connections that come, say something, and go in one of several ways.
pub(super) fn passers_by(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let mut count = 0;
    while !ground.is_over() {
        let subscribe = format!("SUB passing.{count}.> 1\r\nSUB passing.* group 2\r\n");
        let mut client = Client::open(ground.target, &subscribe)?;
        client.send(format!("PUB passing.{count}.a 2\r\nok\r\n").as_bytes())?;
        let socket = client.wire().socket();
        match count % 4 {
            // It ends as it should.
            0 => socket.shutdown(Shutdown::Write).doing("close")?,
            // Its computer is switched off.
            1 => {
                sockopt::set_socket_linger(socket, Some(Duration::ZERO))
                    .doing("set a socket option")?;
            }
            // In the middle of a message.
            2 => client.send(b"PUB passing.half 100\r\nhalf")?,
            // With a message that it does not read.
            _ => {}
        }
        drop(client);
        count += 1;
        ground.pause(BETWEEN_PASSERS_BY);
    }
    Ok(Tally { what: "connections that came and went", count, published: count })
}

/// Messages and lines that are larger than any may be: the broker says so and closes.
pub(super) fn oversized(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let mut count = 0;
    while !ground.is_over() {
        let (what, answer) = match count % 3 {
            0 => (
                [format!("PUB large {OVERSIZED_BYTES}\r\n").into_bytes(), vec![b'x'; 64 * 1024]]
                    .concat(),
                "Maximum Payload Violation",
            ),
            1 => ([b"SUB ".to_vec(), vec![b'x'; 64 * 1024]].concat(), "maximum control line"),
            _ => (b"ZZZ\r\n".to_vec(), "Unknown Protocol Operation"),
        };
        let mut client = Client::open(ground.target, "")?;
        // It may be closed before all is written.
        let _ = client.send(&what);
        refused_with(client, answer)?;
        count += 1;
        ground.pause(BETWEEN_OVERSIZED);
    }
    Ok(Tally { what: "oversized and malformed lines refused", count, published: 0 })
}

/// Reads to the end, which must come soon. What the broker says may be cut off by a reset.
fn refused_with(mut client: Client, answer: &str) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        match client.read(&mut |_| Ok(())) {
            Ok(_) if start.elapsed() < CLOSED_WITHIN => {}
            Ok(_) => {
                return Err(Failure::Broker(format!("it does not close a connection: {answer}")));
            }
            Err(Failure::Broker(text)) if text.contains("-ERR") && !text.contains(answer) => {
                return Err(Failure::Broker(text));
            }
            Err(_) => break,
        }
    }
    let _ = client.wire().socket().read(&mut [0; 16]);
    Ok(())
}

/// Subscriptions that overlap with those of the well-behaved, and change all the time.
pub(super) fn changing_subscriptions(ground: &Ground<'_>) -> Result<Tally, Failure> {
    let patterns = ["steady.fan.*", "steady.>", "*.*.out", "steady.queue", "steady.service.x", ">"];
    let (mut client, mut count) = (Client::open(ground.target, "")?, 0_usize);
    while !ground.is_over() {
        let mut lines = String::new();
        for place in 0..50 {
            let sid = 10 + (count + place) % 500;
            let pattern = patterns[(count + place) % (patterns.len() - 1)];
            match (count + place) % 5 {
                0 => lines.push_str(&format!("SUB {pattern} {sid}\r\nUNSUB {sid} 3\r\n")),
                1 => lines.push_str(&format!("SUB changing.{sid}.{count} group {sid}\r\n")),
                2 => lines.push_str(&format!("SUB {pattern} {sid}\r\nUNSUB {sid}\r\n")),
                _ => lines.push_str(&format!("UNSUB {sid}\r\n")),
            }
        }
        if change(&mut client, &lines, ground).is_err() {
            // It leaves much unread, and on a busy host too much: then it is a slow consumer like the others, and the
            // broker must have counted it as one.
            ground.left_behind.fetch_add(1, Ordering::Relaxed);
            client = Client::open(ground.target, "")?;
        }
        count += 50;
    }
    Ok(Tally { what: "changes of subscriptions", count: count as u64, published: 0 })
}

/// Sends the lines, and reads some of what came.
fn change(client: &mut Client, lines: &str, ground: &Ground<'_>) -> Result<(), Failure> {
    client.send(lines.as_bytes())?;
    while client.read(&mut |_| Ok(()))? && !ground.is_over() {
        if fastrand::u8(..) < 32 {
            break;
        }
    }
    Ok(())
}
