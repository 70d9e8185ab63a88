//! Choria messages: envelopes, filters, subjects, RPC bodies, events. Pure.
//!
//! A message on the wire is a [`Transport`] around a secure request or reply ([`v1`], [`v2`]) around a
//! [`Request`] or [`Reply`] around the bytes an agent understands ([`rpc`]). Nothing here checks a
//! signature, reads a clock or opens a socket: [`crate::security`] says who may say what, and times
//! are passed in. Everything is bounded by [`limits`], and no input makes a decoder panic.

mod escape;
pub mod event;
mod fault;
pub mod filter;
mod json;
pub mod limits;
mod message;
pub mod passage;
pub mod rpc;
mod skim;
pub mod subject;
mod transport;
pub mod v1;
pub mod v2;

pub use escape::escape;
pub use fault::{Fault, Layer, Plain, Saying};
pub use filter::Filter;
pub use json::base64_decode;
pub use message::{Reply, Request};
pub use skim::{Skimmed, Skimmer};
pub use transport::{Federation, Hop, Transport};

/// Which generation of the protocol a message belongs to. A reply has the version of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// X.509 security: `choria:transport:1` and the layers inside it.
    V1,
    /// Token security: `io.choria.protocol.v2.transport` and the layers inside it.
    V2,
}

impl Version {
    /// The smallest time to live of a request, seconds.
    pub fn ttl_secs_min(self) -> u64 {
        match self {
            Version::V1 => limits::TTL_SECS_MIN,
            Version::V2 => limits::TTL_SECS_MIN_V2,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }
}

#[cfg(test)]
mod tests;
