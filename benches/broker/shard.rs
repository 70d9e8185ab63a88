//! The connections that one thread of the generator serves.
//!
//! The generator shares the host with the broker, so it does as little as it can: sockets are watched edge-triggered and
//! read once a message, bytes are compared and nothing is parsed, and a thread that finds little to do sleeps a moment
//! instead of being woken for every message.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::connection::Target;
use crate::failure::{Doing, Failure};
use crate::frame::Frame;
use crate::node::Node;
use crate::opening::{Agenda, Policy};

const READ_BYTES_MAX: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;
/// With fewer connections to serve at once than this a thread waits for more.
const EVENTS_FEW: usize = 64;
const MODERATION: Duration = Duration::from_micros(500);
/// Connections begun before those under way are looked after again.
const BEGUN_MAX: usize = 32;
const TURN_MAX: Duration = Duration::from_millis(20);
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A share of a fleet.
#[derive(Debug)]
pub struct Shard {
    /// Number of its first connection in the fleet.
    first: usize,
    nodes: Vec<Option<Node>>,
    /// Messages that every node has received.
    rounds: u64,
    epoll: OwnedFd,
    /// Places of the connections that something happened to.
    ready: Vec<usize>,
    buffer: Vec<u8>,
}

impl Shard {
    /// Room for `count` connections, none of them open.
    pub fn new(first: usize, count: usize) -> Result<Shard, Failure> {
        Ok(Shard {
            first,
            nodes: (0..count).map(|_| None).collect(),
            rounds: 0,
            epoll: epoll::create(CreateFlags::CLOEXEC).doing("create an epoll")?,
            ready: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES_MAX],
        })
    }

    /// Opens all connections and waits until the broker has acted on their subscriptions; the number of failed attempts.
    pub fn connect(&mut self, target: &Target, policy: Policy) -> Result<u64, Failure> {
        let mut agenda = Agenda::new(self.nodes.len(), policy);
        let (mut open, mut progress) = (0, Instant::now());
        while open < self.nodes.len() {
            let now = Instant::now();
            for _ in 0..BEGUN_MAX {
                let Some(index) = agenda.next(now) else { break };
                self.begin(index, target)?;
            }
            self.wait(if policy.is_persistent { Duration::from_millis(1) } else { TURN_MAX })?;
            for place in 0..self.ready.len() {
                let index = self.ready[place];
                let Some(node) = &mut self.nodes[index] else { continue };
                let was_open = node.is_open();
                match node.advance(self.first + index, target, &mut self.buffer) {
                    Ok(()) if node.is_open() && !was_open => {
                        agenda.succeeded();
                        open += 1;
                        progress = Instant::now();
                    }
                    Ok(()) => {}
                    Err(failure) if !policy.is_persistent => return Err(failure),
                    Err(_) => {
                        self.nodes[index] = None;
                        open -= usize::from(was_open);
                        agenda.failed(index, was_open, Instant::now());
                    }
                }
            }
            self.expire(&mut agenda, policy)?;
            if progress.elapsed() > STALL_TIMEOUT + policy.patience {
                return Err(Failure::Broker("it admits nobody any more".into()));
            }
        }
        self.rounds = 0;
        Ok(agenda.failed)
    }

    fn begin(&mut self, index: usize, target: &Target) -> Result<(), Failure> {
        let mut node = Node::begin(self.first + index, target)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, node.wire().socket(), EventData::new_u64(index as u64), flags)
            .doing("watch a socket")?;
        self.nodes[index] = Some(node);
        Ok(())
    }

    fn expire(&mut self, agenda: &mut Agenda, policy: Policy) -> Result<(), Failure> {
        while let Some(index) = agenda.overdue(Instant::now()) {
            if self.nodes[index].as_ref().is_some_and(Node::is_open) {
                continue;
            }
            if !policy.is_persistent {
                return Err(Failure::Broker("it does not admit a connection".into()));
            }
            self.nodes[index] = None;
            agenda.failed(index, false, Instant::now());
        }
        Ok(())
    }

    /// Resets all connections.
    pub fn disconnect(&mut self) {
        self.nodes.iter_mut().for_each(|node| *node = None);
    }

    /// Receives this message once on every connection, and answers with `reply` if there is one. The time of the last.
    pub fn receive(&mut self, frame: &Frame, reply: Option<&[u8]>) -> Result<Instant, Failure> {
        let mut missing = self.nodes.len();
        let mut last = Instant::now();
        self.rounds += 1;
        while missing > 0 {
            self.wait(TURN_MAX)?;
            for &index in &self.ready {
                let Some(node) = &mut self.nodes[index] else { continue };
                let before = node.messages();
                node.serve(frame, &mut self.buffer)?;
                if node.messages() == before {
                    continue;
                }
                if node.messages() != self.rounds {
                    return Err(Failure::Broker("it delivered a message twice".into()));
                }
                missing -= 1;
                if let Some(reply) = reply {
                    node.wire().write_all(reply).doing("send a reply")?;
                }
            }
            if !self.ready.is_empty() {
                last = Instant::now();
            } else if last.elapsed() > STALL_TIMEOUT {
                let expected = self.nodes.len() as u64;
                return Err(Failure::Lost { missing: missing as u64, expected });
            }
            if missing > 0 && self.ready.len() < EVENTS_FEW {
                thread::sleep(MODERATION);
            }
        }
        Ok(last)
    }

    /// Serves the connections for a while in which no message may arrive.
    pub fn idle(&mut self, length: Duration) -> Result<(), Failure> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.wait(left)?;
            for &index in &self.ready {
                if let Some(node) = &mut self.nodes[index] {
                    node.serve(Frame::none(), &mut self.buffer)?;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), Failure> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.ready.clear();
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        match epoll::wait(&self.epoll, events.as_mut_slice(), Some(&timeout)) {
            Ok((events, _)) => {
                self.ready.extend(events.iter().map(|event| event.data.u64() as usize));
                Ok(())
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).doing("wait for sockets"),
        }
    }
}
