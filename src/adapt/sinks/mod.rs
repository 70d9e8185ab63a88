//! The systems that records go to, one file or folder each.

#[cfg(feature = "kafka")]
pub mod kafka;
pub mod kinesis;
