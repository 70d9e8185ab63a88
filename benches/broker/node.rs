//! One connection of a fleet, from its opening to the messages it gets.

use std::io::ErrorKind;

use crate::connection::{Target, source_address};
use crate::failure::{Doing, Failure};
use crate::frame::{Frame, Inbox};
use crate::wire::Wire;

/// Subscriptions of one connection.
pub const SUBSCRIPTIONS: usize = 8;
/// Subject that every connection subscribes to, with identifier 1.
pub const BROADCAST: &str = "mcollective.broadcast.agent.rpcutil";
const OTHER_AGENTS: [&str; SUBSCRIPTIONS - 2] =
    ["discovery", "choria_util", "scout", "package", "service", "puppet"];

/// A server of a fleet.
#[derive(Debug)]
pub struct Node {
    wire: Wire,
    stage: Stage,
    inbox: Inbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for INFO.
    Info,
    /// CONNECT and all subscriptions are sent.
    Admission,
    /// The broker has acted on them.
    Open,
}

impl Node {
    /// Begins to connect.
    pub fn begin(index: usize, target: &Target) -> Result<Node, Failure> {
        let wire = Wire::begin(target.address, Some(source_address(index)))?;
        Ok(Node { wire, stage: Stage::Info, inbox: Inbox::default() })
    }

    /// Its connection.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Messages received.
    pub fn messages(&self) -> u64 {
        self.inbox.messages()
    }

    /// Whether the broker has acted on all it was sent at the opening.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Goes on with the opening as far as it can.
    pub fn advance(
        &mut self,
        index: usize,
        target: &Target,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        self.serve(Frame::none(), buffer)?;
        if self.stage == Stage::Info && self.inbox.infos() > 0 {
            if let Some(config) = target.tls_of(index) {
                self.wire.start_tls(config).doing("begin TLS")?;
            }
            self.wire.write_all(hello(index, target).as_bytes()).doing("send CONNECT")?;
            self.stage = Stage::Admission;
            self.serve(Frame::none(), buffer)?;
        }
        if self.inbox.pongs() > 0 {
            self.stage = Stage::Open;
        }
        Ok(())
    }

    /// Takes all that has arrived; every message must be this one.
    pub fn serve(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<(), Failure> {
        loop {
            match self.wire.read(buffer) {
                Ok(0) => return Err(Failure::Broker("it closed a connection".into())),
                Ok(count) => {
                    self.inbox.take(frame, &buffer[..count], &mut self.wire)?;
                    if count < buffer.len() && self.wire.is_plain() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).doing("receive"),
            }
        }
    }
}

/// CONNECT, what a server of a fleet listens to (agents, and its own name), and a PING.
fn hello(index: usize, target: &Target) -> String {
    let others = OTHER_AGENTS.iter().map(|agent| format!("mcollective.broadcast.agent.{agent}"));
    let own = format!("mcollective.node.node-{index:06}.example.net");
    let subjects = std::iter::once(BROADCAST.to_owned()).chain(others).chain([own]);
    let subscriptions =
        subjects.enumerate().map(|(place, subject)| format!("SUB {subject} {}\r\n", place + 1));
    format!("{}{}PING\r\n", target.connect, subscriptions.collect::<String>())
}
