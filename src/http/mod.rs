//! A small HTTP/1.1 server for status pages: GET and HEAD, no bodies, every size and time bounded.
//!
//! It is for machines of an operator that ask now and then, not for the public: no TLS, no compression, no files.
//! [`Server::bind`] takes the address, [`Server::serve`] answers with whatever the given handler returns. What a peer
//! may cost is in [`Limits`]; who exceeds them gets a status where that helps, and is closed.
//!
//! [`Base`] asks such a server, for checks. [`fetch`] is the client of HTTPS services of others.
//!
//! `head` reads requests and `response` writes answers, both without I/O; `server` has the sockets.

mod client;
pub mod fetch;
mod head;
mod response;
mod server;
mod target;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use client::{Base, GetError};
pub use head::{Method, Request};
pub use response::Response;
pub use server::{Answer, Handler, Server};
pub use target::Query;

/// What one peer, and all of them together, may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; one more is told 503 and closed.
    pub connections_max: usize,
    /// Bytes of request line and headers.
    pub head_bytes_max: usize,
    /// Requests on one connection, after which it is closed.
    pub requests_max: u32,
    /// Time from the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// Time a connection may be without a request.
    pub idle_timeout: Duration,
    /// Time a peer has to take an answer.
    pub write_timeout: Duration,
    /// Time the handler has to make one.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 64,
            head_bytes_max: 8 * 1024,
            requests_max: 1000,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(20),
        }
    }
}
