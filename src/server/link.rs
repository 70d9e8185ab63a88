//! What a server needs of its connection once it runs; tests put a recorder in its place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::nats::client::{Client, ErrorKind};

/// A publish on its way.
pub type Publishing<'a> = Pin<Box<dyn Future<Output = Result<(), Unsent>> + Send + 'a>>;

/// The sending half of a connection.
pub trait Link: Send + Sync {
    /// Hands a message to the connection; done when it is queued, not when it has arrived.
    fn publish<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> Publishing<'a>;

    /// The broker it is connected to, without passwords; nothing while disconnected.
    fn connected_url(&self) -> Option<String>;

    /// What went over it so far.
    fn traffic(&self) -> Traffic;
}

/// Counters of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages received.
    pub in_messages: u64,
    /// Messages published.
    pub out_messages: u64,
    /// Bytes of the messages received.
    pub in_bytes: u64,
    /// Bytes of the messages published.
    pub out_bytes: u64,
    /// Connections after the first.
    pub reconnects: u64,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// The broker takes no message of this size.
    TooLarge,
    /// Any other reason, in the words of the connection.
    Failed(String),
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsent::TooLarge => f.write_str("larger than the broker takes"),
            Unsent::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Unsent {}

impl Link for Client {
    fn publish<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> Publishing<'a> {
        Box::pin(async move {
            Client::publish(self, subject, payload).await.map_err(|error| match error.kind() {
                ErrorKind::PayloadTooLarge => Unsent::TooLarge,
                _ => Unsent::Failed(error.to_string()),
            })
        })
    }

    fn connected_url(&self) -> Option<String> {
        Client::connected_url(self)
    }

    fn traffic(&self) -> Traffic {
        let statistics = self.statistics();
        Traffic {
            in_messages: statistics.received_messages,
            out_messages: statistics.sent_messages,
            in_bytes: statistics.received_bytes,
            out_bytes: statistics.sent_bytes,
            reconnects: statistics.reconnects,
        }
    }
}
