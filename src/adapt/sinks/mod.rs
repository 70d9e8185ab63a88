//! The systems that records go to, one file or folder each.

pub mod file;
pub mod jetstream;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod kinesis;
mod link;
pub mod nats;
pub mod webhook;
