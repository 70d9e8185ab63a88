//! The systems that records go to, one file or folder each.

pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod kinesis;
pub mod webhook;
