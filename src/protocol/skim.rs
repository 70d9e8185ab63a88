//! A short way through the envelopes of a v1 request, for those who believe them as they are.
//!
//! A data adapter copies what a whole fleet registers. Of each request it needs the names, and the message as the inside
//! of a JSON text; that is how the message stands in the request already. So one pass takes one level of escapes away,
//! where the decoders of the envelopes would read two and write one again.
//!
//! Only the form that go-choria and this program write is read here. Anything else, good or bad, is left to the decoders:
//! nothing is refused here, and what is read has passed all of their checks.

use data_encoding::BASE64;
use serde::Deserialize;

use super::{Request, json, transport, v1};

/// What a secure request begins with, as far as the message of the request in it. The request is a text in it.
const START: &[u8] = concat!(
    r#"{"protocol":"choria:secure:request:1","message":""#,
    r#"{\"protocol\":\"choria:request:1\",\"message\":\""#
)
.as_bytes();
/// Bytes read at once; buffers have as much room behind what is in them.
const STEP: usize = 8;
/// Memory of a buffer that is kept from one request to the next.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Reads requests; keeps buffers from one to the next.
#[derive(Debug, Clone, Default)]
pub struct Skimmer {
    secure: Vec<u8>,
    text: Vec<u8>,
}

/// A request of which nobody has looked at the signature.
#[derive(Debug)]
pub struct Skimmed<'s> {
    /// The request, without its message.
    pub request: Request,
    /// The message as the inside of a JSON text, with the escapes of Go.
    pub message: &'s [u8],
}

impl Skimmer {
    /// Reads a transport with a request in it. Nothing when it has to be read in another way.
    pub fn request(&mut self, transport: &[u8]) -> Option<Skimmed<'_>> {
        let data = transport::usual_v1_data(transport)?;
        for buffer in [&mut self.secure, &mut self.text] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES_MAX);
        }
        self.secure.resize(BASE64.decode_len(data.len()).ok()?, 0);
        let size = BASE64.decode_mut(data, &mut self.secure).ok()?;
        self.secure.truncate(size);
        let start = self.secure.get(..START.len())?;
        let body_at = (start == START).then_some(START.len())?;
        self.text.resize(size + STEP, 0);

        let secure = self.secure.get(body_at..)?;
        let (read, message_bytes) = Level::Twice.unescape(secure, &mut self.text)?;
        let (message, rest) = self.text.split_at_mut(message_bytes);
        if message.is_empty() || has_unusual(message) || std::str::from_utf8(message).is_err() {
            return None;
        }
        let behind_at = body_at + read;
        let (read, envelope_bytes) = Level::Once.unescape(self.secure.get(behind_at..)?, rest)?;
        let envelope = rest.get_mut(..envelope_bytes)?;
        if envelope.iter().any(|byte| *byte < 0x20) || std::str::from_utf8(envelope).is_err() {
            return None;
        }
        let envelope: Envelope<'_> = object(envelope)?;
        let request = v1::believed(envelope.envelope)?;

        let proof: Proof<'_> = object(self.secure.get_mut(behind_at + read..)?)?;
        v1::check_proof(&proof.signature, &proof.pubcert).ok()?;
        Some(Skimmed { request, message })
    }
}

/// What follows the message of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, deserialize_with = "crate::util::form::only_object")]
    envelope: v1::WireRequestEnvelope<'a>,
}

/// What follows the message of a secure request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof<'a> {
    #[serde(borrow)]
    signature: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pubcert: std::borrow::Cow<'a, str>,
}

/// Reads what follows a field of an object, with its comma, as an object of its own.
fn object<'a, T: Deserialize<'a>>(rest: &'a mut [u8]) -> Option<T> {
    let comma = rest.first_mut().filter(|byte| **byte == b',')?;
    *comma = b'{';
    json::decode(super::Layer::Request, rest).ok()
}

/// Whether there is anything that Go would have escaped, or might have.
fn has_unusual(text: &[u8]) -> bool {
    // Without a way out in the middle it becomes vector instructions.
    let unusual = |byte: u8| {
        (byte < 0x20) | (byte == b'<') | (byte == b'>') | (byte == b'&') | (byte == 0xe2)
    };
    text.iter().fold(false, |any, byte| any | unusual(*byte))
}

/// How often what is read was escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Once,
    Twice,
}

impl Level {
    /// Takes one level of escapes away, as far as the quote that ends the text. Gives how many bytes were read, with that
    /// quote, and written; nothing for what is escaped in another way than Go does it. Other bytes are not looked at.
    /// `to` needs room for all of `from` and [`STEP`] bytes.
    fn unescape(self, from: &[u8], to: &mut [u8]) -> Option<(usize, usize)> {
        let (mut at, mut end) = (0, 0);
        loop {
            if let Some(bytes) = from.get(at..).and_then(|rest| rest.first_chunk::<STEP>()) {
                let room = to.get_mut(end..)?.first_chunk_mut::<STEP>()?;
                *room = *bytes;
                let usual = usual_bytes(u64::from_le_bytes(*bytes));
                (at, end) = (at + usual, end + usual);
                if usual == STEP {
                    continue;
                }
            }
            let rest = from.get(at..)?;
            let (read, written): (usize, &[u8]) = match (self, rest) {
                (Level::Twice, [b'\\', b'"', ..]) => return Some((at + 2, end)),
                (Level::Twice, [b'\\', b'\\', b'\\', b'"', ..]) => (4, br#"\""#),
                (Level::Twice, [b'\\', b'\\', b'\\', b'\\', ..]) => (4, br"\\"),
                (Level::Twice, [b'\\', b'\\', short @ (b'n' | b'r' | b't' | b'b' | b'f'), ..]) => {
                    *to.get_mut(end)? = b'\\';
                    *to.get_mut(end + 1)? = *short;
                    (at, end) = (at + 3, end + 2);
                    continue;
                }
                (Level::Twice, [b'\\', b'\\', b'u', digits @ ..]) if is_go_escape(digits) => {
                    (3, br"\u")
                }
                (Level::Once, [b'"', ..]) => return Some((at + 1, end)),
                (Level::Once, [b'\\', b'"', ..]) => (2, br#"""#),
                (Level::Once, [b'\\', b'\\', ..]) => (2, br"\"),
                (_, [usual, ..]) if !matches!(usual, b'"' | b'\\' | 0..0x20) => {
                    *to.get_mut(end)? = *usual;
                    (at, end) = (at + 1, end + 1);
                    continue;
                }
                _ => return None,
            };
            to.get_mut(end..end + written.len())?.copy_from_slice(written);
            (at, end) = (at + read, end + written.len());
        }
    }
}

/// How many of eight bytes, of which the lowest is the first, come before a quote or a backslash.
fn usual_bytes(bytes: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that this sets belongs to a byte that is zero; higher ones may be wrong.
    let zeros = |value: u64| value.wrapping_sub(ONES) & !value & HIGH;
    let found = zeros(bytes ^ (ONES * 0x22)) | zeros(bytes ^ (ONES * 0x5c));
    (found.trailing_zeros() / 8) as usize
}

/// Whether these are the digits of a character that Go escapes with its number.
fn is_go_escape(digits: &[u8]) -> bool {
    match digits {
        [b'0', b'0', b'3', b'c' | b'e', ..] | [b'0', b'0', b'2', b'6', ..] => true,
        [b'2', b'0', b'2', b'8' | b'9', ..] => true,
        // What has a short form is written in that.
        [b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => true,
        [b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
