//! The NATS wire protocol: codec and subjects (pure), and the client.
//!
//! `codec` turns bytes into operations and back, for both ends of a connection; `subject` knows what a subject may
//! look like and which pattern matches which. Neither does any I/O.

pub mod client;
pub mod codec;
pub mod subject;
