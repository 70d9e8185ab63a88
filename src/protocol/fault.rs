//! Why a peer's message, or one of ours, is refused.

use std::fmt::{self, Write};

use super::Version;

/// The envelope a fault was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The outermost envelope.
    Transport,
    /// The signed envelope of a request.
    SecureRequest,
    /// The hashed envelope of a reply.
    SecureReply,
    /// The request itself.
    Request,
    /// The reply itself.
    Reply,
    /// The body of an RPC request.
    RequestBody,
    /// The body of an RPC reply.
    ReplyBody,
    /// A lifecycle event.
    Event,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Transport => "transport",
            Layer::SecureRequest => "secure request",
            Layer::SecureReply => "secure reply",
            Layer::Request => "request",
            Layer::Reply => "reply",
            Layer::RequestBody => "request body",
            Layer::ReplyBody => "reply body",
            Layer::Event => "event",
        })
    }
}

/// Why a message is refused. The first word of the text is what could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The text is not JSON, not UTF-8, nested too deep, or a field is missing or of another type.
    Json {
        /// Where.
        layer: Layer,
        /// What the JSON reader said.
        reason: String,
    },
    /// A message of the other version of the protocol than the one in use.
    Version {
        /// The version of the message.
        found: Version,
    },
    /// `protocol` names something else.
    Protocol {
        /// Where.
        layer: Layer,
        /// What it named, shortened.
        found: String,
    },
    /// A byte field is not padded standard base64.
    Base64 {
        /// Where.
        layer: Layer,
        /// The field.
        field: &'static str,
    },
    /// A field is larger than [`crate::protocol::limits`] allows.
    TooLarge {
        /// Where.
        layer: Layer,
        /// The field.
        field: &'static str,
        /// Its size: bytes, or entries of a list.
        size: usize,
        /// The limit in the same unit.
        limit: usize,
    },
    /// A field is empty that may not be.
    Empty {
        /// Where.
        layer: Layer,
        /// The field.
        field: &'static str,
    },
    /// A request id is not 32 characters long.
    RequestId {
        /// How many characters it has.
        chars: usize,
    },
    /// The time to live is below what the version demands.
    Ttl {
        /// The seconds asked for.
        secs: u64,
        /// The least.
        least: u64,
    },
    /// A time that no clock of this system can show, or that the version does not have.
    Time {
        /// Where.
        layer: Layer,
        /// Since 1970, in the unit of the version.
        value: i64,
    },
    /// The payload is not UTF-8, which v1 needs.
    Payload {
        /// Where.
        layer: Layer,
    },
    /// A filter holds an operator that does not exist.
    Operator {
        /// The operator, shortened.
        found: String,
    },
    /// The hash of a secure reply does not fit its message.
    Hash,
    /// A lifecycle event of a kind this build does not know.
    EventKind {
        /// The event protocol, shortened.
        found: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Json { layer, reason } => write!(f, "cannot read the {layer}: {reason}"),
            Fault::Version { found } => {
                write!(
                    f,
                    "refused a message of protocol {found}: this network speaks the other version"
                )
            }
            Fault::Protocol { layer, found } => {
                write!(f, "cannot read the {layer}: unknown protocol {found:?}")
            }
            Fault::Base64 { layer, field } => {
                write!(f, "cannot read the {layer}: {field} is not valid base64")
            }
            Fault::TooLarge { layer, field, size, limit } => {
                write!(
                    f,
                    "refused the {layer}: {field} has size {size}, at most {limit} is allowed"
                )
            }
            Fault::Empty { layer, field } => write!(f, "refused the {layer}: {field} is empty"),
            Fault::RequestId { chars } => {
                write!(f, "refused the request: requestid has {chars} characters, it must have 32")
            }
            Fault::Ttl { secs, least } => {
                write!(f, "refused the request: ttl is {secs} seconds, it must be at least {least}")
            }
            Fault::Time { layer, value } => {
                write!(f, "refused the {layer}: time {value} is out of range")
            }
            Fault::Payload { layer } => {
                write!(f, "refused the {layer}: a v1 message must be UTF-8 text")
            }
            Fault::Operator { found } => {
                write!(f, "refused the filter: {found:?} is not a fact operator")
            }
            Fault::Hash => {
                f.write_str("refused the secure reply: its hash does not fit its message")
            }
            Fault::EventKind { found } => {
                write!(f, "cannot read the event: unknown protocol {found:?}")
            }
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(super) fn json(layer: Layer, error: &serde_json::Error) -> Self {
        Fault::Json { layer, reason: short(&error.to_string()) }
    }

    /// [`Fault::TooLarge`] when `size` is above `limit`.
    pub(super) fn bound(
        layer: Layer,
        field: &'static str,
        size: usize,
        limit: usize,
    ) -> Result<(), Self> {
        if size > limit { Err(Fault::TooLarge { layer, field, size, limit }) } else { Ok(()) }
    }

    /// [`Fault::Empty`] or [`Fault::TooLarge`] unless `text` has 1 to `limit` bytes.
    pub(super) fn filled(
        layer: Layer,
        field: &'static str,
        text: &str,
        limit: usize,
    ) -> Result<(), Self> {
        if text.is_empty() {
            return Err(Fault::Empty { layer, field });
        }
        Self::bound(layer, field, text.len(), limit)
    }
}

/// Text from a peer as it may stand in a log line: control characters are escaped, and what is too
/// long is cut.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plain(self.0, 160, f)
    }
}

/// What a peer has to say to a person, as part of an error: as [`Plain`], but there may be more of it.
#[derive(Debug, Clone, Copy)]
pub struct Saying<'a>(pub &'a str);

impl fmt::Display for Saying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_plain(self.0, 500, f)
    }
}

fn write_plain(text: &str, chars_max: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (count, c) in text.chars().enumerate() {
        if count == chars_max {
            return f.write_str("...");
        }
        // Ends of lines, and what turns the direction of the text around it.
        let is_layout = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || is_layout {
            write!(f, "{}", c.escape_default())?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// [`Plain`] text to keep.
pub(super) fn short(text: &str) -> String {
    Plain(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_peers_stays_on_one_short_line() {
        for (text, expected) in [
            ("plain ü", "plain ü"),
            ("a\nb\r\u{1b}[31m", "a\\nb\\r\\u{1b}[31m"),
            ("\u{2028}\u{85}", "\\u{2028}\\u{85}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
        ] {
            assert_eq!(short(text), expected);
        }
        assert_eq!(short(&"x".repeat(500)).len(), 163);
        assert_eq!(Saying(&"x".repeat(600)).to_string().len(), 503);
    }
}
