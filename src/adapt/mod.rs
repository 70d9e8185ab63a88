//! Data adapters: what nodes publish on the network, copied to another system.
//!
//! An [`Adapter`] reads a subject as a member of a queue group, makes a [`Record`] of each message ([`Transformer`]), keeps
//! records in a [`queue`] and hands them in batches to a [`Sink`]. The engine owns the queue, the spool on disk, attempts
//! and pauses, and all counters; a sink delivers one batch and says what became of each record, nothing else.
//!
//! A record that the sink has not confirmed stays in the queue or in the spool. Whatever is given up is counted under a
//! reason and said in the log.
//!
//! Nothing here reads a configuration: `settings::adapt` makes [`Settings`].

pub mod counters;
mod delivery;
mod engine;
mod queue;
mod record;
mod sample;
mod sink;
pub mod sinks;
mod spool;
mod template;
mod transform;

pub use engine::{Adapter, Ingest, Settings, StartError};
pub use queue::QueueLimits;
pub use record::{OUTPUT_PROTOCOL, Record};
pub use sink::{BatchLimits, BoxFuture, Sink, SinkError, Verdict};
pub use spool::{DropRule, SPOOL_BYTES_MIN, SpoolError, SpoolSettings};
pub use template::{BadTemplate, Template};
pub use transform::{BadMessage, Form, Transformer};

use crate::nats::client::Message;

/// A message as it came from the network.
#[derive(Debug, Clone, Copy)]
pub struct Input<'m> {
    /// What it was published on.
    pub subject: &'m str,
    /// The content.
    pub payload: &'m [u8],
    /// What its publisher calls it, in the header `Nats-Msg-Id`.
    pub message_id: Option<&'m str>,
}

impl<'m> Input<'m> {
    fn of(message: &'m Message) -> Input<'m> {
        let message_id = message.headers.as_ref().and_then(|headers| headers.first("Nats-Msg-Id"));
        Input { subject: &message.subject, payload: &message.payload, message_id }
    }
}
