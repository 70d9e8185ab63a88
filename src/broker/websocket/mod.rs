//! WebSocket connections, RFC 6455: the same client protocol in the frames of another one.
//!
//! [`upgrade`] is the HTTP request that begins one, [`frame`] what follows, [`encode`] what is sent, `deflate` the compression that both sides may
//! agree on: all of them without I/O. `channel` puts them together for one connection.

mod channel;
mod deflate;
pub mod encode;
pub mod frame;
pub mod upgrade;

pub(super) use channel::{Channel, Opening};
