//! A request to all servers of a fleet and one reply from each: what `choria ping` does.

use std::thread;
use std::time::{Duration, Instant};

use crate::connection;
use crate::contestant::Running;
use crate::failure::{Doing, Failure};
use crate::fleet::Fleet;
use crate::frame::{Frame, Inbox, SID, Shape};
use crate::idle::{PAUSE, Size, bursts, kib_each};
use crate::node::BROADCAST;
use crate::report::{Measure, Unit};
use crate::wire::Wire;

const REQUEST_BYTES: usize = 2048;
const REPLY_BYTES: usize = 1024;
const REPLY_SUBJECT: &str = "mcollective.reply.a8f5f167f44f4964e6c998dee827110c";
/// Pings before memory is read again.
const FIRST_BURSTS: usize = 3;
const READ_BYTES_MAX: usize = 256 * 1024;
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// After a read that brought less than this the requester waits for more.
const READ_FEW: usize = 64 * 1024;
const MODERATION: Duration = Duration::from_micros(500);

/// One who asks the whole fleet.
#[derive(Debug)]
pub struct Requester {
    wire: Wire,
    inbox: Inbox,
    request: Frame,
    reply: Frame,
    buffer: Vec<u8>,
}

impl Requester {
    /// Connects and subscribes to the replies.
    pub fn connect(target: &connection::Target) -> Result<Requester, Failure> {
        let subscribe = format!("SUB {REPLY_SUBJECT}.* {SID}\r\n");
        let wire = connection::open(target, subscribe.as_bytes())?;
        wire.socket().set_read_timeout(Some(STALL_TIMEOUT)).doing("set a socket option")?;
        let reply_to = format!("{REPLY_SUBJECT}.1");
        let request = Shape { subject: BROADCAST, reply: &reply_to, ..Shape::new(REQUEST_BYTES) };
        let reply = Shape { subject: &reply_to, ..Shape::new(REPLY_BYTES) };
        Ok(Requester {
            wire,
            inbox: Inbox::default(),
            request: Frame::new(&request),
            reply: Frame::new(&reply),
            buffer: vec![0; READ_BYTES_MAX],
        })
    }

    /// The request as every server gets it.
    pub fn request() -> Frame {
        let reply_to = format!("{REPLY_SUBJECT}.1");
        Frame::new(&Shape { subject: BROADCAST, reply: &reply_to, ..Shape::new(REQUEST_BYTES) })
    }

    /// The reply of every server.
    pub fn reply() -> Frame {
        Frame::new(&Shape { subject: &format!("{REPLY_SUBJECT}.1"), ..Shape::new(REPLY_BYTES) })
    }

    /// Asks, and waits for so many replies; how long that took.
    pub fn ask(&mut self, count: usize) -> Result<Duration, Failure> {
        let expected = self.inbox.messages() + count as u64;
        let start = Instant::now();
        self.wire.write_all(self.request.published()).doing("publish a request")?;
        while self.inbox.messages() < expected {
            let missing = expected - self.inbox.messages();
            let count = self
                .wire
                .read(&mut self.buffer)
                .map_err(|_| Failure::Lost { missing, expected: count as u64 })?;
            if count == 0 {
                return Err(Failure::Broker("it closed the connection of the requester".into()));
            }
            self.inbox.take(&self.reply, &self.buffer[..count], &mut self.wire)?;
            if count < READ_FEW && self.inbox.messages() < expected {
                thread::sleep(MODERATION);
            }
        }
        if self.inbox.messages() > expected {
            return Err(Failure::Broker("it delivered a reply twice".into()));
        }
        Ok(start.elapsed())
    }
}

/// Requests to a whole fleet.
pub fn run(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let before = broker.usage()?;
    let (mut fleet, mut requester) = connect(size, broker)?;
    let idle = kib_each(&before, &broker.usage()?, size.connections);
    let (request, reply) = (Requester::request(), Requester::reply());
    let mut ask = |fleet: &mut Fleet| {
        fleet
            .receive(&request, Some(reply.published()), || requester.ask(size.connections))
            .map(|(_, took)| took)
    };
    let mut measures = Vec::new();
    if !size.recovery.is_zero() {
        for _ in 0..FIRST_BURSTS {
            ask(&mut fleet)?;
            fleet.idle(PAUSE)?;
        }
        fleet.idle(size.recovery)?;
        let after = kib_each(&before, &broker.usage()?, size.connections);
        measures.extend([
            Measure::new("memory per connection", Unit::Kibibytes, idle),
            Measure::new("memory after 3 pings", Unit::Kibibytes, after).bar(4e3 / 1024.0),
        ]);
    }
    let bursts = bursts(size.bursts, broker, &mut fleet, ask)?;
    measures.extend([
        Measure::new("last reply after", Unit::Milliseconds, bursts.wall_ms).ratio_bar(0.6),
        Measure::new("broker CPU a request", Unit::Milliseconds, bursts.cpu_ms).ratio_bar(0.4),
    ]);
    Ok(measures)
}

fn connect(size: &Size, broker: &Running) -> Result<(Fleet, Requester), Failure> {
    let mut fleet = Fleet::connect(0, size.connections, &broker.target)?;
    let requester = Requester::connect(&broker.target)?;
    fleet.idle(size.settle)?;
    Ok((fleet, requester))
}
