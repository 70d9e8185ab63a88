//! The inside of a JSON text as Go's `encoding/json` writes it.
//!
//! The difference to serde_json's own escapes: `<`, `>`, `&`, U+2028 and U+2029 are escaped as well.

use std::io::{self, Write};

/// Appends `bytes`, escaped. What is not UTF-8 becomes U+FFFD: Go replaces each byte, not each sequence.
pub fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        escape_text(out, chunk.valid()).expect("memory takes every byte");
        for _ in chunk.invalid() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

/// Writes `text`, escaped.
pub(super) fn escape_text<W: Write + ?Sized>(out: &mut W, text: &str) -> io::Result<()> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if !NEEDS_CARE[usize::from(byte)] {
            at += 1;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let (length, escaped): (usize, &[u8]) = match rest {
            [b'"', ..] => (1, br#"\""#),
            [b'\\', ..] => (1, br"\\"),
            [b'\n', ..] => (1, br"\n"),
            [b'\r', ..] => (1, br"\r"),
            [b'\t', ..] => (1, br"\t"),
            [0x08, ..] => (1, br"\b"),
            [0x0c, ..] => (1, br"\f"),
            [b'<', ..] => (1, br"\u003c"),
            [b'>', ..] => (1, br"\u003e"),
            [b'&', ..] => (1, br"\u0026"),
            [0xe2, 0x80, 0xa8, ..] => (3, br"\u2028"),
            [0xe2, 0x80, 0xa9, ..] => (3, br"\u2029"),
            [0xe2, ..] => {
                at += 1;
                continue;
            }
            _ => {
                let [high, low] = [byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]);
                (1, &[b'\\', b'u', b'0', b'0', high, low])
            }
        };
        out.write_all(text.get(start..at).unwrap_or_default())?;
        out.write_all(escaped)?;
        at += length;
        start = at;
    }
    out.write_all(text.get(start..).unwrap_or_default())
}

/// Bytes that are, or may begin, something that is escaped.
static NEEDS_CARE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_go_does() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"a<b>&c", r"a\u003cb\u003e\u0026c"),
            ("\u{2028}x\u{2029}\u{20ac}".as_bytes(), "\\u2028x\\u2029\u{20ac}"),
            (b"q\"\\ \n\r\t\x08\x0c\x01\x1f\x7f", "q\\\"\\\\ \\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}"),
            (b"a\xff\xfeb", r"a\ufffd\ufffdb"),
            // The first two bytes of a sequence of three.
            (b"\xe2\x80z", r"\ufffd\ufffdz"),
            (b"\xe2\x80", r"\ufffd\ufffd"),
            (b"", ""),
        ] {
            let mut out = Vec::new();
            escape(&mut out, bytes);
            assert_eq!(String::from_utf8(out).expect("text"), expected, "{bytes:?}");
        }
    }
}
