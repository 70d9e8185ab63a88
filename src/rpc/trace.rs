//! The way that requests and their replies take, as the messages themselves record it.

use std::time::{Duration, SystemTime};

use super::client::Client;
use super::discovery::{Pings, named_identities};
use super::error::Error;
use super::options::Discovery;
use crate::protocol::passage::{self, Passage};
use crate::protocol::{Hop, subject};

/// How one node was reached, and how its reply came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The node.
    pub sender: String,
    /// Every step in order: this client, federation brokers, the node, federation brokers. Without federation only
    /// the node is on record.
    pub hops: Vec<Hop>,
    /// From the publish to the arrival of the reply.
    pub total: Duration,
    /// When the request was published, by the clock here.
    pub sent: SystemTime,
}

/// Paths as replies arrive.
pub struct Paths {
    pings: Pings,
    request_id: String,
    sent: SystemTime,
}

impl Client {
    /// Asks the nodes of a filter to answer, and has times recorded on the way. Nodes that are named are asked
    /// directly, others by a broadcast.
    ///
    /// # Errors
    /// When the network cannot be asked.
    pub async fn trace(&self, discovery: &Discovery) -> Result<Paths, Error> {
        let collective = self.collective(discovery.collective.as_deref())?;
        let targets = named_identities(&discovery.filter).map(|names| {
            names.iter().map(|name| subject::node(collective, name)).collect::<Vec<_>>()
        });
        let sent = SystemTime::now();
        let mark = Passage { at: sent, took: Duration::ZERO };
        let processor = passage::processor(&self.settings().identity, &[mark.entry()]);
        let window = discovery.window.unwrap_or(targets.is_none());
        let pings = self.ask_with(discovery, window, targets, Some(processor)).await?;
        let request_id = pings.request_id().to_owned();
        Ok(Paths { pings, request_id, sent })
    }
}

impl Paths {
    /// The id of the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The next path; nothing when the time is over.
    pub async fn next(&mut self) -> Option<Path> {
        let pong = self.pings.next().await?;
        Some(Path { sender: pong.sender, hops: pong.hops, total: pong.delay, sent: self.sent })
    }
}
