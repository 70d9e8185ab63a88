//! JSON as Go's `encoding/json` writes it, so that our bytes equal the reference's.

use std::io::{self, Write};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, Serializer};

use super::escape::escape_text;
use super::{Fault, Layer};
use crate::util::form::only_object;

/// Compact JSON with Go's escapes.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut serializer = Serializer::with_formatter(&mut out, GoFormatter);
    // Only a map with keys that are not text, or a failing writer, can fail: neither exists here.
    value.serialize(&mut serializer).expect("our envelopes are JSON");
    out
}

/// [`encode`] as text.
pub(super) fn encode_string<T: Serialize>(value: &T) -> String {
    // The serializer writes text and ASCII only.
    String::from_utf8(encode(value)).expect("JSON is UTF-8")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(layer: Layer, text: &'a [u8]) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = only_object(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| Fault::json(layer, &error))
}

/// Padded standard base64. Line breaks are skipped: old Ruby clients send them and Go skips them.
pub fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    if memchr::memchr2(b'\r', b'\n', text).is_none() {
        return BASE64.decode(text).ok();
    }
    let joined: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    BASE64.decode(&joined).ok()
}

/// serde_json escapes what it has to itself; the text between comes here.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        escape_text(writer, fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("a<b>&c", r#""a\u003cb\u003e\u0026c""#),
            ("\u{2028}x\u{2029}", r#""\u2028x\u2029""#),
            ("q\"\\ \n\r\t\u{8}\u{c}\u{1}\u{7f}", "\"q\\\"\\\\ \\n\\r\\t\\b\\f\\u0001\u{7f}\""),
            ("Grüße ✓ &", r#""Grüße ✓ \u0026""#),
            ("&", r#""\u0026""#),
        ] {
            assert_eq!(encode_string(&text), expected);
        }
    }

    #[test]
    fn base64_is_strict_but_for_line_breaks() {
        for (text, expected) in [
            ("cGluZw==", Some("ping")),
            ("cGlu\nZw==\r\n", Some("ping")),
            ("", Some("")),
            ("cGluZw=", None),
            ("cGluZw", None),
            ("cGluZx==", None),
            ("cGlu Zw==", None),
            ("_-8=", None),
        ] {
            let decoded = base64_decode(text.as_bytes());
            assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
