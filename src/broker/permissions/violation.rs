//! The texts of refused operations. Clients know them (nats-server `server/errors.go`, `server/client.go`).

use std::fmt::{self, Write};

/// An attempt to use what the connection has no right to. Displayed as the text that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Violation<'v> {
    Publish { subject: &'v [u8] },
    Reply { reply: &'v [u8] },
    Subscribe { subject: &'v [u8], queue: Option<&'v [u8]> },
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Publish { subject } => {
                write!(f, "Permissions Violation for Publish to {}", Quoted(subject))
            }
            Violation::Reply { reply } => {
                write!(f, "Permissions Violation for Publish with Reply of {}", Quoted(reply))
            }
            Violation::Subscribe { subject, queue } => {
                write!(f, "Permissions Violation for Subscription to {}", Quoted(subject))?;
                queue.map_or(Ok(()), |queue| write!(f, " using queue {}", Quoted(queue)))
            }
        }
    }
}

/// Text as Go's `%q` writes it: in double quotes, with what cannot be printed escaped.
struct Quoted<'q>(&'q [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| quote(c, f))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        f.write_char('"')
    }
}

fn quote(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '"' | '\\' => write!(f, "\\{c}"),
        ' '..='~' => f.write_char(c),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        '\0'..='\x7f' => write!(f, "\\x{:02x}", c as u32),
        _ if is_printable(c) => f.write_char(c),
        _ if (c as u32) < 0x10000 => write!(f, "\\u{:04x}", c as u32),
        _ => write!(f, "\\U{:08x}", c as u32),
    }
}

/// What Rust shows as it is; Go shows combining marks as well.
fn is_printable(c: char) -> bool {
    c.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_clients_know() {
        let publish = Violation::Publish { subject: b"a.b" };
        assert_eq!(publish.to_string(), "Permissions Violation for Publish to \"a.b\"");
        let reply = Violation::Reply { reply: b"_R_.x" };
        assert_eq!(reply.to_string(), "Permissions Violation for Publish with Reply of \"_R_.x\"");
        let plain = Violation::Subscribe { subject: b"a.*", queue: None };
        assert_eq!(plain.to_string(), "Permissions Violation for Subscription to \"a.*\"");
        let queue = Violation::Subscribe { subject: b"a", queue: Some(b"q") };
        assert_eq!(
            queue.to_string(),
            "Permissions Violation for Subscription to \"a\" using queue \"q\""
        );
    }

    #[test]
    fn quoting() {
        for (bytes, expected) in [
            (&b"a'b"[..], r#""a'b""#),
            (b"a\"b\\", r#""a\"b\\""#),
            (b"\x00\x07\x08\x0b\x1b\x7f", r#""\x00\a\b\v\x1b\x7f""#),
            (b"\xff\xc3", r#""\xff\xc3""#),
            ("\u{e4}\u{20ac}\u{1f600}".as_bytes(), "\"\u{e4}\u{20ac}\u{1f600}\""),
            ("\u{85}\u{a0}\u{200b}\u{feff}".as_bytes(), r#""\u0085\u00a0\u200b\ufeff""#),
            ("\u{e0001}".as_bytes(), r#""\U000e0001""#),
        ] {
            assert_eq!(Quoted(bytes).to_string(), expected);
        }
    }
}
