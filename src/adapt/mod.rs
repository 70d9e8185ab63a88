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

mod record;
mod sink;
pub mod sinks;
mod template;

pub use record::{OUTPUT_PROTOCOL, Record, output};
pub use sink::{BatchLimits, BoxFuture, Sink, SinkError, Verdict};
pub use template::{BadTemplate, Template};
