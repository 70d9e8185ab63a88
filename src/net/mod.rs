//! Reaching other machines: name and SRV lookup, dialling, TLS, the list of brokers.
//!
//! Nothing here knows what is spoken over a connection. Start reading at [`stream`].

pub mod dial;
pub mod facter;
pub mod resolve;
pub mod servers;
pub mod stream;
pub mod tls;
