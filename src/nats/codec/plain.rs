//! The quick way for the forms that nearly every published message has: `PUB` or `HPUB`, words one blank apart, CR LF,
//! all of it in one read. Whatever looks different in any way is left to the framer, which knows the whole grammar.

use super::{Limits, Publish};

/// Digits of a size that are read here.
const DIGITS_MAX: usize = 7;

/// The message at the start of `input`, which moves past it.
#[inline(always)]
pub(super) fn publish<'i>(input: &mut &'i [u8], limits: &Limits) -> Option<Publish<'i>> {
    let bytes: &'i [u8] = input;
    let (words, is_hpub) = match bytes.strip_prefix(b"PUB ") {
        Some(words) => (words, false),
        None => (bytes.strip_prefix(b"HPUB ")?, true),
    };
    let subject_end = word_end(words, 0)?;
    if words.get(subject_end) != Some(&b' ') || subject_end == 0 {
        return None;
    }
    let (publish, rest) = match is_hpub {
        false => plain(words, subject_end, limits)?,
        true => with_headers(words, subject_end, limits)?,
    };
    *input = rest;
    Some(publish)
}

/// The message at the start of `input` if it begins with `start`: verb, subject and blank of the one before it.
#[inline(always)]
pub(super) fn publish_same<'i>(
    start: &[u8],
    input: &mut &'i [u8],
    limits: &Limits,
) -> Option<Publish<'i>> {
    let bytes: &'i [u8] = input;
    if !bytes.starts_with(start) {
        return None;
    }
    let (publish, rest) = match start.first()? {
        b'P' => plain(bytes.get(4..)?, start.len().checked_sub(5)?, limits)?,
        _ => with_headers(bytes.get(5..)?, start.len().checked_sub(6)?, limits)?,
    };
    *input = rest;
    Some(publish)
}

/// The rest of a `PUB` whose subject ends at `subject_end`, and what follows it.
#[inline(always)]
fn plain<'i>(
    words: &'i [u8],
    subject_end: usize,
    limits: &Limits,
) -> Option<(Publish<'i>, &'i [u8])> {
    let second = subject_end + 1;
    let (reply_end, size) = match size_at(words, second) {
        Some(size) => (None, size),
        None => {
            let reply_end = word_end(words, second)?;
            if words.get(reply_end) != Some(&b' ') || reply_end == second {
                return None;
            }
            (Some(reply_end), size_at(words, reply_end + 1)?)
        }
    };
    message(words, Line { subject_end, reply_end, size, header_bytes: None }, limits)
}

/// The rest of an `HPUB`.
#[inline]
fn with_headers<'i>(
    words: &'i [u8],
    subject_end: usize,
    limits: &Limits,
) -> Option<(Publish<'i>, &'i [u8])> {
    let second = subject_end + 1;
    let second_end = word_end(words, second)?;
    let third = second_end + 1;
    let (reply_end, headers, size) = match size_at(words, third) {
        Some(size) => (None, second..second_end, size),
        None => {
            let third_end = word_end(words, third)?;
            (Some(second_end), third..third_end, size_at(words, third_end + 1)?)
        }
    };
    let ends = [second_end, headers.end];
    if ends.iter().any(|end| words.get(*end) != Some(&b' ')) || second_end == second {
        return None;
    }
    let digits = words.get(headers)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let header_bytes = digits.iter().fold(0, |bytes, digit| bytes * 10 + usize::from(digit - b'0'));
    if header_bytes > size.bytes {
        return None;
    }
    message(words, Line { subject_end, reply_end, size, header_bytes: Some(header_bytes) }, limits)
}

/// Where the parts of a control line are.
struct Line {
    subject_end: usize,
    reply_end: Option<usize>,
    size: Size,
    /// Nothing for `PUB`.
    header_bytes: Option<usize>,
}

#[inline(always)]
fn message<'i>(words: &'i [u8], line: Line, limits: &Limits) -> Option<(Publish<'i>, &'i [u8])> {
    let Line { subject_end, reply_end, size, header_bytes } = line;
    let is_within =
        size.line_end <= limits.control_line_bytes_max && size.bytes <= limits.payload_bytes_max;
    if !is_within {
        return None;
    }
    let second = subject_end + 1;
    let body_start = size.line_end + 2;
    let payload_start = body_start + header_bytes.unwrap_or(0);
    let payload_end = body_start + size.bytes;
    let (frame, rest) = words.split_at_checked(payload_end + 2)?;
    let publish = Publish {
        subject: frame.get(..subject_end)?,
        reply: match reply_end {
            Some(end) => Some(frame.get(second..end)?),
            None => None,
        },
        is_hpub: header_bytes.is_some(),
        headers: frame.get(body_start..payload_start)?,
        payload: frame.get(payload_start..payload_end)?,
        tail: Some(frame.get(second..)?),
    };
    (frame.get(payload_end..)? == b"\r\n").then_some((publish, rest))
}

/// Place of the first blank or control character from `at` on.
#[inline(always)]
fn word_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        // The lowest byte below 0x21 has its high bit set in `found`; bytes above it may have it by mistake.
        let word = u64::from_le_bytes(*word);
        let found = word.wrapping_sub(ONES * 0x21) & !word & (ONES * 0x80);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| *byte <= b' ').map(|place| at + place)
}

/// A size that is the last word of a line.
struct Size {
    bytes: usize,
    /// Place of the CR.
    line_end: usize,
}

#[inline(always)]
fn size_at(words: &[u8], start: usize) -> Option<Size> {
    let mut bytes = 0;
    let mut at = start;
    loop {
        let byte = *words.get(at)?;
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 && at - start < DIGITS_MAX {
            bytes = bytes * 10 + usize::from(digit);
            at += 1;
            continue;
        }
        let is_end = byte == b'\r' && words.get(at + 1) == Some(&b'\n') && at > start;
        return is_end.then_some(Size { bytes, line_end: at });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientOp, Decoder};
    use super::*;

    const PLAIN: [&str; 14] = [
        "PUB a 0\r\n\r\n",
        "PUB foo.bar 5\r\nhello\r\n",
        "PUB a.subject.that.is.longer.than.a.word _INBOX.abc.12 5\r\nhello\r\n",
        "PUB a 1 5\r\nhello\r\n",
        "PUB a 12b 5\r\nhello\r\n",
        "PUB \u{fc}ber.alles \u{e4} 5\r\nhello\r\n",
        "PUB 8letters 0005\r\nhello\r\n",
        "PUB a 10\r\n012345678\n\r\n",
        "HPUB a 12 14\r\nNATS/1.0\r\n\r\nok\r\n",
        "HPUB a.subject.longer.than.a.word _INBOX.a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        "HPUB a 12 0012 14\r\nNATS/1.0\r\n\r\nok\r\n",
        "HPUB a 0 2\r\nok\r\n",
        "HPUB a b 0 2\r\nok\r\n",
        "HPUB a 0 0\r\n\r\n",
    ];

    const OTHER: [&str; 33] = [
        "",
        "P",
        "PUB ",
        "PUB a",
        "PUB a 5",
        "PUB a 5\r",
        "PUB a 5\r\nhell",
        "PUB a 5\r\nhello\r",
        "PUB a 5\r\nhelloxx",
        "pub a 5\r\nhello\r\n",
        "PUB  a 5\r\nhello\r\n",
        "PUB a  5\r\nhello\r\n",
        "PUB a 5 \r\nhello\r\n",
        "PUB a 5\nhello\r\n",
        "PUB\ta 5\r\nhello\r\n",
        "PUB a\tb 5\r\nhello\r\n",
        "PUB a 00000005\r\nhello\r\n",
        "PUB a b c 5\r\nhello\r\n",
        "PUB a \r\n\r\n",
        "PUB a\u{1}b 5\r\nhello\r\n",
        "HPUB ",
        "HPUB a",
        "HPUB a 2",
        "HPUB a 2\r\nok\r\n",
        "HPUB a 3 2\r\nok\r\n",
        "HPUB a x 2\r\nok\r\n",
        "HPUB a  0 2\r\nok\r\n",
        "HPUB a 0  2\r\nok\r\n",
        "HPUB  a 0 2\r\nok\r\n",
        "HPUB a b c 0 2\r\nok\r\n",
        "HPUB a 0\t2\r\nok\r\n",
        "HPUB a 00000000 2\r\nok\r\n",
        "HPUB a 0 2\r\nokx\r\n",
    ];

    #[test]
    fn plain_messages_are_what_the_framer_says() {
        for text in PLAIN {
            let input = [text, "PING\r\n"].concat();
            let (mut quick, mut slow) = (input.as_bytes(), input.as_bytes());
            let limits = Limits::default();
            let publish =
                publish(&mut quick, &limits).unwrap_or_else(|| panic!("not seen: {text:?}"));
            let mut decoder = Decoder::new();
            let expected = decoder.next(&mut slow, &limits).expect("valid");
            assert_eq!((Some(ClientOp::Publish(publish)), quick), (expected, slow), "{text:?}");
        }
    }

    #[test]
    fn messages_like_the_one_before_are_what_they_are_alone() {
        let limits = Limits::default();
        for first in PLAIN {
            let start: String = first.split_inclusive(' ').take(2).collect();
            for text in PLAIN.iter().chain(&OTHER) {
                let (mut quick, mut slow) = (text.as_bytes(), text.as_bytes());
                let same = publish_same(start.as_bytes(), &mut quick, &limits);
                let expected = match text.starts_with(&start) {
                    true => publish(&mut slow, &limits),
                    false => None,
                };
                assert_eq!((same, quick), (expected, slow), "{text:?} after {first:?}");
            }
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for text in OTHER {
            let mut input = text.as_bytes();
            assert_eq!(publish(&mut input, &Limits::default()), None, "{text:?}");
            assert_eq!(input, text.as_bytes());
        }
    }

    #[test]
    fn limits_are_left_to_the_framer() {
        let seen = |text: &str, limits: Limits| publish(&mut text.as_bytes(), &limits).is_some();
        let limits =
            Limits { control_line_bytes_max: 8, json_line_bytes_max: 100, payload_bytes_max: 5 };
        for (text, expected) in [
            ("PUB abcdef 5\r\nhello\r\n", true),
            ("PUB abcdefg 5\r\nhello\r\n", false),
            ("PUB a 6\r\nhello!\r\n", false),
        ] {
            assert_eq!(seen(text, limits.clone()), expected, "{text}");
        }
    }

    #[test]
    fn words_end_at_their_first_low_byte() {
        for length in 0..40 {
            for byte in [0, b'\t', b'\r', b' '] {
                let mut text = vec![b'\xff'; length];
                assert_eq!(word_end(&text, 0), None);
                text.extend([byte, b'!', b' ', b'x', 0x80, 0x21, 0x20, 0x1f]);
                assert_eq!(word_end(&text, 0), Some(length), "{length} {byte}");
                assert_eq!(word_end(&text, length / 2), Some(length), "{length} {byte}");
            }
        }
    }
}
