//! Scenarios with many connections that are mostly idle, as the servers of a fleet are: what they cost in memory, how
//! long a broadcast takes to reach the last of them, and what a request with an answer from each costs.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use choria::nats::codec::{Limits, ServerDecoder, ServerOp};
use choria::sys::{Epoll, Events, Interest};

use crate::connection::{self, protocol_fault, refused};
use crate::contestant::Running;
use crate::failure::{Doing, Failure};

/// Subscriptions of one connection.
pub const SUBSCRIPTIONS: usize = 8;
/// Subject that every connection subscribes to.
pub const BROADCAST: &str = "mcollective.broadcast.agent.rpcutil";
const OTHER_AGENTS: [&str; SUBSCRIPTIONS - 2] =
    ["discovery", "choria_util", "scout", "package", "service", "puppet"];
/// Connections that are opened before their handshakes must be complete.
const OPENING_MAX: usize = 250;
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
const READ_BYTES_MAX: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;

/// Many connections and the loop that serves them.
pub struct Fleet {
    nodes: Vec<Node>,
    epoll: Epoll,
    events: Events,
    buffer: Vec<u8>,
}

struct Node {
    stream: TcpStream,
    decoder: ServerDecoder,
}

impl Fleet {
    /// Opens connections and their subscriptions and waits until the broker has acted on all of them.
    pub fn connect(count: usize, broker: &Running) -> Result<Fleet, Failure> {
        let epoll = Epoll::new().doing("create an epoll")?;
        let events = Events::with_capacity(EVENTS_MAX);
        let mut fleet = Fleet {
            nodes: Vec::with_capacity(count),
            epoll,
            events,
            buffer: vec![0; READ_BYTES_MAX],
        };
        while fleet.nodes.len() < count {
            let batch = OPENING_MAX.min(count - fleet.nodes.len());
            for _ in 0..batch {
                fleet.open(broker)?;
            }
            let mut answered = 0;
            fleet.run_until(|_, _, op| {
                answered += usize::from(matches!(op, ServerOp::Pong));
                Ok(answered == batch)
            })?;
        }
        Ok(fleet)
    }

    fn open(&mut self, broker: &Running) -> Result<(), Failure> {
        let index = self.nodes.len();
        let mut stream = connection::open(broker.address, Some(connection::source_address(index)))?;
        let mut hello = connection::CONNECT.to_vec();
        for (sid, subject) in subscriptions(index).iter().enumerate() {
            hello.extend_from_slice(format!("SUB {subject} {}\r\n", sid + 1).as_bytes());
        }
        hello.extend_from_slice(b"PING\r\n");
        stream.write_all(&hello).doing("send CONNECT")?;
        self.add(stream)
    }

    /// Adds a connection whose handshake is done or under way; its index is the number of those before it.
    pub fn add(&mut self, stream: TcpStream) -> Result<(), Failure> {
        stream.set_nonblocking(true).doing("set a socket option")?;
        self.epoll.add(&stream, self.nodes.len() as u64, Interest::READ).doing("watch a socket")?;
        self.nodes.push(Node { stream, decoder: ServerDecoder::new() });
        Ok(())
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The socket of a connection.
    pub fn stream(&self, index: usize) -> &TcpStream {
        &self.nodes[index].stream
    }

    /// Serves the connections until `on` says that what it waits for is complete. Fails when nothing arrives any more.
    pub fn run_until(
        &mut self,
        mut on: impl FnMut(usize, &TcpStream, &ServerOp<'_>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut last = Instant::now();
        while last.elapsed() < STALL_TIMEOUT {
            let (mut done, mut served) = (false, false);
            self.turn(Duration::from_millis(100), &mut |index, stream, op| {
                served = true;
                done |= on(index, stream, op)?;
                Ok(())
            })?;
            if done {
                return Ok(());
            }
            if served {
                last = Instant::now();
            }
        }
        Err(Failure::Broker(format!("nothing arrived for {} seconds", STALL_TIMEOUT.as_secs())))
    }

    /// Serves the connections for a while in which no message may arrive.
    pub fn idle(&mut self, length: Duration) -> Result<(), Failure> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left, &mut |_, _, op| match op {
                ServerOp::Message(_) => {
                    Err(Failure::Broker("it delivered a message nobody sent".into()))
                }
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// One wait and whatever it brings. PINGs are answered here.
    fn turn(
        &mut self,
        timeout: Duration,
        on: &mut dyn FnMut(usize, &TcpStream, &ServerOp<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.epoll.wait(&mut self.events, Some(timeout)).doing("wait for sockets")?;
        for ready in (0..self.events.len()).filter_map(|place| self.events.at(place)) {
            let index = ready.token as usize;
            self.nodes[index].serve(&mut self.buffer, &mut |stream, op| on(index, stream, op))?;
        }
        Ok(())
    }

    /// Closes every connection and gives the broker a moment to notice.
    pub fn close(self) {
        drop(self);
        thread::sleep(Duration::from_millis(100));
    }
}

impl Node {
    fn serve(
        &mut self,
        buffer: &mut [u8],
        on: &mut dyn FnMut(&TcpStream, &ServerOp<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(Failure::Broker("it closed a connection".into())),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).doing("receive"),
        };
        let mut rest = &buffer[..count];
        while let Some(op) =
            self.decoder.next(&mut rest, &Limits::default()).map_err(protocol_fault)?
        {
            match &op {
                ServerOp::Ping => (&self.stream).write_all(b"PONG\r\n").doing("answer a PING")?,
                ServerOp::Err(text) => return Err(refused(text)),
                _ => on(&self.stream, &op)?,
            }
        }
        Ok(())
    }
}

/// What a server of a fleet listens to: agents, and its own name.
fn subscriptions(index: usize) -> Vec<String> {
    let others = OTHER_AGENTS.iter().map(|agent| format!("mcollective.broadcast.agent.{agent}"));
    let own = format!("mcollective.node.node-{index:06}.example.net");
    std::iter::once(BROADCAST.to_owned()).chain(others).chain([own]).collect()
}
