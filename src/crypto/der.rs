//! The little DER that certificates need: a reader that borrows, and functions that build.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// Reads values one after the other. Every failure is `None`: the caller knows what it looked for.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// One value: its tag, its contents, and both with the length between them.
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) contents: &'a [u8],
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Reader(input)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value, whatever it is. Lengths must be definite and below 16 MiB.
    pub(super) fn any(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 3 {
                return None;
            }
            let (digits, tail) = rest.split_at_checked(count)?;
            length = digits.iter().fold(0, |sum, &digit| (sum << 8) | usize::from(digit));
            rest = tail;
        }
        let (contents, tail) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - tail.len()];
        self.0 = tail;
        Some(Value { tag, contents, whole })
    }

    /// The contents of the next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? != tag {
            return None;
        }
        Some(self.any()?.contents)
    }

    /// [`Reader::take`] when the next value has this tag, else nothing is read.
    pub(super) fn take_optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek() == Some(tag) { self.take(tag) } else { None }
    }

    /// A reader inside the next value, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(Reader)
    }
}

/// One value with its tag and length.
pub(super) fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = contents.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = &bytes[zeros..];
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(contents);
    out
}

/// A SEQUENCE of values that are already encoded.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(SEQUENCE, &parts.concat())
}

/// A BIT STRING without unused bits.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

/// An OBJECT IDENTIFIER from its encoded contents.
pub(super) fn oid(contents: &[u8]) -> Vec<u8> {
    value(OID, contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_each_form() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let contents = vec![7; length];
            let encoded = value(OCTET_STRING, &contents);
            let mut reader = Reader::new(&encoded);
            assert_eq!(reader.take(OCTET_STRING), Some(&contents[..]), "{length}");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x05, 1],
            &[0x30, 0x84, 0, 0, 0, 0],
            &[0x30, 0xff],
            &[0x1f, 0x81, 0x01, 0],
        ] {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:?}");
        }
    }
}
