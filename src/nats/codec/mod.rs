//! Bytes to operations and back, for both ends of a NATS connection. Pure: no I/O, no clock.
//!
//! * [`Decoder`] reads what a client sends and is what a broker uses; [`ServerDecoder`] is its counterpart in a client.
//!   Both keep their place between calls, look at every byte once, and lend payloads out of the caller's buffer. Only
//!   an operation that is split over two reads is copied, into a buffer that is given back as soon as it was handled.
//! * [`RouteDecoder`] reads what another broker of a cluster sends on a route.
//! * [`encode`] writes the operations of a client; [`headers`] reads and writes header blocks; [`info`] holds the JSON of
//!   `INFO` and `CONNECT`, [`route_info`] that of routes.
//!
//! The grammar follows nats-server `server/parser.go` (v2.14) and its documentation "Client Protocol".

mod client_ops;
pub mod encode;
mod frame;
pub mod headers;
pub mod info;
mod plain;
pub mod route_info;
mod route_ops;
mod server_ops;

pub use client_ops::{ClientOp, Decoder, Publish};
pub use route_ops::{Queues, RouteDecoder, RouteMessage, RouteOp};
pub use server_ops::{Delivery, ServerDecoder, ServerOp};

use std::fmt;

/// How much of a peer's bytes one operation may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of arguments of one control line, verb and blanks excluded.
    pub control_line_bytes_max: usize,
    /// The same for CONNECT, which carries tokens, and for INFO, which carries addresses.
    pub json_line_bytes_max: usize,
    /// Bytes of headers and payload of one message together.
    pub payload_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            control_line_bytes_max: 4096,
            json_line_bytes_max: 32 * 1024,
            payload_bytes_max: 1024 * 1024,
        }
    }
}

/// Why a peer's bytes cannot be read any further. Each one ends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not a verb of this side of the protocol, or a payload that does not end where it was said to end.
    UnknownOperation,
    /// A control line longer than the limit.
    ControlLineTooLong {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// A message larger than the limit, seen on its control line.
    PayloadTooLarge {
        /// What the control line announced.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// A known verb with the wrong number of arguments, or a size that is not one.
    BadArguments {
        /// The verb.
        verb: &'static str,
    },
}

impl Fault {
    /// The text a broker sends in `-ERR '...'` before it closes the connection; nothing when it closes silently.
    /// Texts by nats-server `server/errors.go`.
    pub fn answer(&self) -> Option<&'static str> {
        match self {
            Fault::UnknownOperation => Some("Unknown Protocol Operation"),
            Fault::ControlLineTooLong { .. } => Some("maximum control line exceeded"),
            Fault::PayloadTooLarge { .. } => Some("Maximum Payload Violation"),
            Fault::BadArguments { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::UnknownOperation => write!(f, "unknown protocol operation"),
            Fault::ControlLineTooLong { bytes_max } => {
                write!(f, "control line is longer than {bytes_max} bytes")
            }
            Fault::PayloadTooLarge { bytes, bytes_max } => {
                write!(f, "message of {bytes} bytes is larger than {bytes_max}")
            }
            Fault::BadArguments { verb } => write!(f, "bad arguments of {verb}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A size field: 1 to 9 decimal digits, no sign.
fn parse_size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0usize, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + usize::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("16", Some(16)),
            ("000000001", Some(1)),
            ("999999999", Some(999_999_999)),
            ("0000000001", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
        ] {
            assert_eq!(parse_size(text.as_bytes()), expected, "{text}");
        }
    }
}
